//! Why a command failed, in the words, codes and exit status that shells and programs read.

use std::{fmt, io, process::ExitCode};

use o_address::PeerId;
use o_core::{CallError, DialError, DiscoveryError, ErrorCode, ListenError, StartError};
use o_node::KeyError;
use serde_json::{Value, json};

/// The exit status of the program; the numbers are an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Whoever read our output has gone: nothing to say, and to nobody.
    Silent = 0,
    Internal = 1,
    Usage = 2,
    NotFound = 3,
    Unreachable = 4,
    Refused = 5,
    TimedOut = 6,
    FailedThere = 7,
    Busy = 8,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The end of a command that did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// The stable name of the cause; that of [`ErrorCode`] where it is one of a call.
    pub(crate) code: &'static str,
    /// The stable number of the cause, where it has one.
    pub(crate) number: Option<u16>,
    pub(crate) message: String,
    /// Whether the same command may succeed later.
    pub(crate) retryable: bool,
    /// `false` when the cause was guessed: a connection closed without a word looks like a refusal.
    pub(crate) certain: bool,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// The peer that it is about, if known.
    pub(crate) peer: Option<PeerId>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.name(),
            number: Some(code.number()),
            message: message.into(),
            retryable: false,
            certain: true,
            hint: None,
            peer: None,
        }
    }

    /// Wrong flags, addresses, files or JSON on this side.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        let failure = Self::new(Exit::Usage, ErrorCode::InvalidParams, message);
        Self {
            code: "usage",
            number: None,
            ..failure
        }
    }

    /// Nobody has what was looked for.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        let failure = Self::new(Exit::NotFound, ErrorCode::NotFound, message);
        failure.hint("check the spelling and the network, and that the agent is serving")
    }

    /// There is nobody to ask.
    pub(crate) fn no_network() -> Self {
        Self::new(
            Exit::Unreachable,
            ErrorCode::Unreachable,
            "no network: give --peer, --bootstrap or start `o serve`",
        )
    }

    /// Who was asked does not answer.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        let failure = Self::new(Exit::Unreachable, ErrorCode::Unreachable, message);
        Self {
            retryable: true,
            ..failure
        }
    }

    /// The user, or the system, asked the program to end.
    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, ErrorCode::Cancelled, "interrupted")
    }

    /// Something is taken, or a limit is reached.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self {
            retryable: true,
            ..Self::new(Exit::Busy, ErrorCode::Busy, message)
        }
    }

    /// A failure of this program's own.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Internal, ErrorCode::Internal, message)
    }

    /// The same, with what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, about this peer unless it names one already.
    #[must_use]
    pub(crate) fn about(mut self, peer: Option<PeerId>) -> Self {
        self.peer = self.peer.or(peer);
        self
    }

    /// The same, with words in front.
    #[must_use]
    pub(crate) fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What `--json` prints.
    pub(crate) fn to_json(&self) -> Value {
        json!({"error": {
            "code": self.code,
            "number": self.number,
            "message": self.message,
            "retryable": self.retryable,
            "certain": self.certain,
            "hint": self.hint,
            "peer": self.peer.map(|peer| peer.to_string()),
        }})
    }
}

/// The exit status for a failed call.
fn exit_of(error: &CallError) -> Exit {
    match error.code() {
        ErrorCode::Internal => Exit::Internal,
        ErrorCode::BadAddress => Exit::Usage,
        ErrorCode::NotFound | ErrorCode::NoProviders => Exit::NotFound,
        ErrorCode::Unreachable | ErrorCode::ConnectionLost | ErrorCode::ShuttingDown => {
            Exit::Unreachable
        }
        ErrorCode::Refused => Exit::Refused,
        ErrorCode::TimedOut => Exit::TimedOut,
        ErrorCode::Busy | ErrorCode::TooLarge => Exit::Busy,
        _ => Exit::FailedThere,
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        if matches!(error, CallError::NoNetwork { .. }) {
            return Self::no_network();
        }
        let (peer, certain) = match &error {
            CallError::Refused { peer, certain, .. } => (*peer, *certain),
            _ => (None, true),
        };
        Self {
            number: Some(error.number()),
            retryable: error.is_retryable(),
            certain,
            hint: Some(error.hint().to_owned()),
            peer,
            ..Self::new(exit_of(&error), error.code(), error.to_string())
        }
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        let message = error.to_string();
        let unreachable = |message| {
            let hint = "check that it still runs and that this address can be dialed from here";
            let failure = Self::new(Exit::Unreachable, ErrorCode::Unreachable, message);
            Self {
                retryable: true,
                ..failure.hint(hint)
            }
        };
        match error {
            DialError::Refused {
                peer,
                reason,
                certain,
            } => Self::from(CallError::Refused {
                peer: Some(peer),
                reason,
                certain,
            }),
            DialError::Busy { .. } => Self::busy(message),
            DialError::PeerBusy { peer, .. } => Self::busy(message).about(Some(peer)),
            DialError::Shutdown => Self::internal(message),
            DialError::NoAddresses { peer }
            | DialError::TimedOut { peer, .. }
            | DialError::Failed { peer, .. }
            | DialError::WrongProtocol { peer }
            | DialError::BackingOff { peer, .. } => unreachable(message).about(Some(peer)),
            DialError::WrongPeer { expected, .. } => Self {
                hint: Some("check the peer id at the end of the address".into()),
                retryable: false,
                ..unreachable(message).about(Some(expected))
            },
            _ => unreachable(message),
        }
    }
}

impl From<DiscoveryError> for Failure {
    fn from(error: DiscoveryError) -> Self {
        match error {
            DiscoveryError::NoNetwork => Self::no_network(),
            DiscoveryError::Busy { limit } => Self::busy(format!("the search: {limit}")),
            DiscoveryError::TimedOut { after } => Self::from(CallError::TimedOut { after }),
            other => Self::internal(chain(&other)),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let message = chain(&error);
        match error {
            StartError::Listen {
                source: ListenError::InUse,
                ..
            } => Self::busy(message)
                .hint("another process listens there: stop it, or give another --listen"),
            StartError::Listen { .. } | StartError::Config { .. } => Self::usage(message),
            _ => Self::internal(message),
        }
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let message = chain(&error);
        match error {
            KeyError::InUse { .. } => Self::busy(message),
            _ => Self::usage(message),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let failure = Self::internal(error.to_string());
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self {
                exit: Exit::Silent,
                ..failure
            },
            _ => failure,
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::internal(format!("{error:#}"))
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn exit(error: CallError) -> u8 {
        Failure::from(error).exit as u8
    }

    #[test]
    fn each_class_of_failure_has_its_exit_status() {
        let address: o_address::Address = "o://a".parse().unwrap();
        let text = String::new;
        assert_eq!(exit(CallError::Internal { message: text() }), 1);
        assert_eq!(
            exit(CallError::NotFound {
                address: address.clone()
            }),
            3
        );
        assert_eq!(
            exit(CallError::Unreachable {
                address,
                reason: text()
            }),
            4
        );
        assert_eq!(exit(CallError::ConnectionLost { reason: text() }), 4);
        let refused = CallError::Refused {
            peer: None,
            reason: text(),
            certain: false,
        };
        assert_eq!(exit(refused), 5);
        assert_eq!(
            exit(CallError::TimedOut {
                after: Duration::ZERO
            }),
            6
        );
        assert_eq!(exit(CallError::failed("x")), 7);
        assert_eq!(exit(CallError::UnknownMethod { method: text() }), 7);
        assert_eq!(exit(CallError::InvalidParams { message: text() }), 7);
        assert_eq!(exit(CallError::Busy { reason: text() }), 8);
        assert_eq!(exit(CallError::TooLarge { what: text() }), 8);
        assert_eq!(Failure::usage("x").exit as u8, 2);
        assert_eq!(Failure::interrupted().exit as u8, 130);
    }

    #[test]
    fn the_error_object_has_the_documented_keys_and_numbers() {
        let failure = Failure::from(CallError::Refused {
            peer: None,
            reason: "no".into(),
            certain: false,
        });
        let json = failure.to_json();
        let error = json["error"].as_object().unwrap();
        let mut keys: Vec<_> = error.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "certain",
                "code",
                "hint",
                "message",
                "number",
                "peer",
                "retryable"
            ]
        );
        assert_eq!(
            (&error["code"], &error["number"]),
            (&json!("refused"), &json!(5))
        );
        assert_eq!(
            (&error["certain"], &error["retryable"]),
            (&json!(false), &json!(true))
        );
    }

    #[test]
    fn a_newer_peers_number_is_shown() {
        let error = CallError::UnknownCode {
            number: 900,
            message: "new".into(),
            retryable: false,
        };
        let failure = Failure::from(error);
        assert_eq!((failure.number, failure.exit as u8), (Some(900), 7));
    }
}
