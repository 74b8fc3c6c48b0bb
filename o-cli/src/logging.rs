//! Logs, on standard error.

use std::io;

use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, field::MakeExt, fmt::format, util::SubscriberInitExt};

use crate::{
    cli::LogFormat,
    exit::Failure,
    output::{in_json, one_line},
    settings::Role,
};

/// What a server logs unless `O_LOG` says otherwise: what its operator can act on. What ends a
/// short command is its error, which is not told twice.
const SERVER: &str = "error,o=warn,o_node=warn,o_discovery=warn,o_transport=warn";
const CLIENT: &str = "error";

/// Turns logs on.
///
/// # Errors
/// When `O_LOG` or `O_LOG_FORMAT` cannot be understood.
pub(crate) fn start(format: Option<LogFormat>, role: Role) -> Result<(), Failure> {
    let directives = std::env::var("O_LOG").unwrap_or_default();
    let directives = match directives.trim() {
        "" if role == Role::Server => SERVER,
        "" => CLIENT,
        given => given,
    };
    let filter = EnvFilter::try_new(directives)
        .map_err(|error| Failure::usage(format!("O_LOG: {error}")))?;
    let format = match format {
        Some(format) => format,
        None => format_from_environment()?,
    };
    let color = io::IsTerminal::is_terminal(&io::stderr());
    let done = match format {
        LogFormat::Text => text(filter, io::stderr, color).try_init(),
        LogFormat::Json => json(filter, io::stderr).try_init(),
    };
    done.map_err(|error| Failure::internal(format!("logs: {error}")))
}

type Events = Box<dyn Subscriber + Send + Sync>;

/// Lines for people. What stands in a field, often a peer's words, stays on its line and does nothing
/// to a terminal.
fn text<W: io::Write>(
    filter: EnvFilter,
    writer: impl Fn() -> W + Send + Sync + 'static,
    color: bool,
) -> Events {
    let fields = format::debug_fn(|out, field, value| {
        let value = one_line(&format!("{value:?}"));
        match field.name() {
            "message" => write!(out, "{value}"),
            name => write!(out, "{name}={value}"),
        }
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(color)
        .fmt_fields(fields.delimited(" "))
        .with_writer(writer);
    Box::new(builder.finish())
}

/// Lines for programs, of which a terminal understands nothing either.
fn json<W: io::Write>(filter: EnvFilter, writer: impl Fn() -> W + Send + Sync + 'static) -> Events {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .json()
        .with_writer(move || Escaping(writer()));
    Box::new(builder.finish())
}

/// Gets lines of JSON, each in one piece.
struct Escaping<W>(W);

impl<W: io::Write> io::Write for Escaping<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.0.write_all(in_json(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn format_from_environment() -> Result<LogFormat, Failure> {
    match std::env::var("O_LOG_FORMAT").unwrap_or_default().as_str() {
        "" | "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(Failure::usage(format!(
            "O_LOG_FORMAT: {other:?} is neither text nor json"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is written, kept.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The log of an event with a peer's words in it.
    fn log(make: impl FnOnce(EnvFilter, Kept) -> Events) -> String {
        let kept = Kept::default();
        let events = make(EnvFilter::new("info"), kept.clone());
        tracing::subscriber::with_default(events, || {
            let reason = "no\r\u{1b}[2J\u{9b}2J\u{7f}\nERROR o: all is lost";
            tracing::info!(peer = 7, %reason, "refused: {reason}");
        });
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_a_peer_says_stays_on_its_line_and_does_nothing() {
        let text = log(|filter, kept| text(filter, move || kept.clone(), false));
        let shown = "no\u{fffd}\u{fffd}[2J\u{fffd}2J\u{fffd} ERROR o: all is lost";
        let end = format!("INFO o::logging::tests: refused: {shown} peer=7 reason={shown}\n");
        assert!(text.ends_with(&end), "{text:?}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn json_is_made_harmless_too_and_says_the_same() {
        let text = log(|filter, kept| json(filter, move || kept.clone()));
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        let reason = line["fields"]["reason"].as_str().unwrap();
        assert!(reason.contains("\u{9b}2J\u{7f}\n"), "{reason:?}");
    }
}
