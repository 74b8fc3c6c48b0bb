//! `o call`: parameters in, results out, as they come.

use std::{fs, io::Read};

use bytes::Bytes;
use futures::StreamExt;
use o_core::{Body, BodyStream, CallError, CallTerms, Caller as _, OutgoingCall, Reply};
use o_node::{AnyAttempt, AnyCall, AttemptOutcome};
use serde_json::json;

use super::{
    Context,
    answer::{as_json, check_target},
};
use crate::{
    cli::{CallArgs, Callee},
    deadline::Deadline,
    exit::Failure,
    json_text,
    network::{Errand, with_client},
    output::{Output, one_line},
    settings::Settings,
};

/// Longest W3C `traceparent` that travels.
const MAX_TRACE_PARENT: usize = 128;

/// Calls a method and writes what it answers.
pub(super) async fn run(args: CallArgs, context: Context<'_>) -> Result<(), Failure> {
    let wanted = args.wanted()?;
    let settings = context.client_settings(&args.network)?;
    let body = context
        .interrupt
        .during(parameters(&args, wanted.params.as_deref(), &settings))
        .await?;
    // The time begins here: who writes the parameters may take as long as it takes.
    let deadline = match args.timeout {
        Some(timeout) => Deadline::of_command(timeout),
        None => Deadline::of_first_answer(settings.call_timeout.value),
    };
    let address = match &wanted.callee {
        Callee::Address(address) => Some(address),
        Callee::Capability(_) => None,
    };
    with_client(
        &settings,
        &args.network,
        Errand {
            interrupt: &context.interrupt,
            deadline,
            target: address,
        },
        async |client| {
            let answers = Answers {
                deadline,
                left: args.limit.unwrap_or(u64::MAX),
                raw: args.raw,
                output: context.output,
            };
            let terms = terms(&args, deadline);
            match &wanted.callee {
                Callee::Address(address) => {
                    check_target(address, client)?;
                    // Whoever takes a stream can take one value: so it works for both kinds of methods.
                    let mut call =
                        OutgoingCall::server_streaming(address.clone(), &*wanted.method, body);
                    call.terms = terms;
                    let caller = client.caller();
                    let reply = async { Ok(caller.call(call).await?) };
                    answers.write(reply).await
                }
                Callee::Capability(capability) => {
                    let any = client.node().any(capability.clone());
                    let any = as_wanted(any.method(&*wanted.method).terms(terms), &args);
                    let reply = async {
                        let answer = any.traced_stream(body).await;
                        if args.explain {
                            explain(&answer.trace, context.output);
                        }
                        Ok(answer.reply?)
                    };
                    answers.write(reply).await
                }
            }
        },
    )
    .await
}

/// With what the flags say about other providers.
fn as_wanted(mut any: AnyCall, args: &CallArgs) -> AnyCall {
    if args.idempotent {
        any = any.idempotent();
    }
    if let Some(after) = args.hedge {
        any = any.hedge(after);
    }
    any
}

fn terms(args: &CallArgs, deadline: Deadline) -> CallTerms {
    CallTerms {
        // A stream may go on for ever, and finding somebody may not.
        deadline: args.timeout.map(|_| deadline.at()),
        trace_parent: std::env::var("TRACEPARENT")
            .ok()
            .filter(|text| (1..=MAX_TRACE_PARENT).contains(&text.len()))
            .map(Into::into),
        ..CallTerms::default()
    }
}

/// Says which providers were called and why.
fn explain(trace: &[AnyAttempt], output: &Output) {
    let millis = |attempt: &AnyAttempt| attempt.took.as_secs_f64() * 1e3;
    if output.is_json() {
        let rows = trace.iter().map(|attempt| {
            let (why, failed) = (
                &attempt.why,
                match &attempt.outcome {
                    AttemptOutcome::Failed(error) => Some(error.to_string()),
                    _ => None,
                },
            );
            let outcome = match &attempt.outcome {
                AttemptOutcome::Answered => "answered",
                AttemptOutcome::Failed(error) => error.code().name(),
                _ => "given_up",
            };
            json!({
                "peer": attempt.peer.to_string(), "address": attempt.address,
                "why": why.reason.to_string(), "candidates": why.candidates,
                "cost_ms": why.score * 1e3,
                "rival": why.rival.map(|(peer, cost)| {
                    json!({ "peer": peer.to_string(), "cost_ms": cost * 1e3 })
                }),
                "hedge": attempt.hedge, "outcome": outcome, "message": failed,
                "took_ms": millis(attempt),
            })
        });
        let rows: Vec<_> = rows.collect();
        return output.aside(json!({ "trace": rows }));
    }
    for (attempt, number) in trace.iter().zip(1..) {
        let beside = if attempt.hedge { " (beside it)" } else { "" };
        output.aside(format_args!(
            "{number}. {} on {}{beside}: {}; {} after {:.1} ms",
            attempt.address,
            attempt.peer.short(),
            attempt.why,
            one_line(&attempt.outcome.to_string()),
            millis(attempt),
        ));
    }
}

/// Writes the answers of one call.
struct Answers<'a> {
    /// When the first answer has to be there.
    deadline: Deadline,
    /// How many more to write.
    left: u64,
    raw: bool,
    output: &'a Output,
}

impl Answers<'_> {
    async fn write(
        mut self,
        reply: impl Future<Output = Result<Reply, Failure>>,
    ) -> Result<(), Failure> {
        let beginning = async {
            match reply.await? {
                Reply::One(body) => Ok::<_, Failure>((Some(body), None)),
                Reply::Stream(mut bodies) => {
                    let first = bodies.next().await.transpose()?;
                    Ok((first, Some(bodies)))
                }
            }
        };
        let (first, rest): (Option<Body>, Option<BodyStream>) =
            self.deadline.during(beginning).await?;
        let Some(first) = first else {
            return Ok(());
        };
        self.one(&first)?;
        let mut rest = rest.unwrap_or_else(|| futures::stream::empty().boxed());
        while self.left > 0
            && let Some(body) = rest.next().await
        {
            self.one(&body?)?;
        }
        Ok(())
    }

    fn one(&mut self, body: &Body) -> Result<(), Failure> {
        self.left = self.left.saturating_sub(1);
        if self.raw {
            return self.output.bytes(&body.bytes);
        }
        let json = as_json(body)?;
        match self.output.is_json() {
            true => self.output.json_text(&json),
            false => self.output.json_text(&json_text::pretty(&json)),
        }
    }
}

/// The body that the command line gives: a value in JSON, or bytes.
async fn parameters(
    args: &CallArgs,
    params: Option<&str>,
    settings: &Settings,
) -> Result<Body, Failure> {
    let limit = settings.node.session.max_body;
    let given: Bytes = match params {
        None if args.raw => Bytes::new(),
        None => Bytes::from_static(b"null"),
        Some("-") => read_input(limit).await?,
        Some(text) => match text.strip_prefix('@') {
            Some(path) => read_file(path, limit)?,
            None => text.to_owned().into(),
        },
    };
    if args.raw {
        return Ok(Body::raw(given));
    }
    json_value(&given).map(Body::json)
}

/// Checks that the text is one JSON value that can travel: its numbers are finite, its byte strings
/// base64, its nesting limited.
fn json_value(text: &[u8]) -> Result<String, Failure> {
    let wrong = |error: String| match error.contains("$bytes") {
        true => Failure::usage(format!("the parameters: {error}"))
            .hint("a byte string is {\"$bytes\":\"<base64>\"}; --raw sends bytes as they are"),
        false => Failure::usage(format!("the parameters are not JSON: {error}"))
            .hint("text needs quotes, for example '\"hello\"'; --raw sends bytes as they are"),
    };
    json_text::check(text).map_err(wrong)?;
    json_text::compact(text).map_err(wrong)
}

async fn read_input(limit: usize) -> Result<Bytes, Failure> {
    let reading = tokio::task::spawn_blocking(move || {
        read_up_to(std::io::stdin().lock(), limit)
            .map_err(|failure| failure.context("standard input"))
    });
    reading
        .await
        .unwrap_or_else(|error| Err(Failure::internal(error.to_string())))
}

fn read_file(path: &str, limit: usize) -> Result<Bytes, Failure> {
    let open = fs::File::open(path).map_err(|error| Failure::usage(error.to_string()));
    open.and_then(|file| read_up_to(file, limit))
        .map_err(|failure| failure.context(path))
}

fn read_up_to(input: impl Read, limit: usize) -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    input
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(error.to_string()))?;
    match bytes.len() > limit {
        true => Err(Failure::from(CallError::TooLarge {
            what: format!("parameters of over {limit} bytes"),
        })),
        false => Ok(bytes.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_numbers_and_whole_values_are_json() {
        assert_eq!(json_value(b" [1, 2.50] ").unwrap(), "[1,2.50]");
        for text in ["NaN", "[Infinity]", "1e999", "{", "", "hello"] {
            let failure = json_value(text.as_bytes()).unwrap_err();
            assert_eq!(failure.exit as u8, 2, "{text}");
            assert!(failure.message.contains("are not JSON"), "{failure:?}");
        }
    }

    #[test]
    fn bytes_that_are_none_are_a_mistake_here() {
        assert!(json_value(br#"[{"$bytes":"YQ"}]"#).is_ok());
        for text in [r#"{"$bytes":"!!!"}"#, r#"[{"$bytes":"YQ==","a":1}]"#] {
            let failure = json_value(text.as_bytes()).unwrap_err();
            assert_eq!(failure.exit as u8, 2, "{text}");
            let message = failure.message;
            assert!(message.starts_with("the parameters: "), "{message}");
            assert!(message.contains("$bytes"), "{message}");
        }
    }

    #[test]
    fn more_than_a_body_may_hold_is_not_read() {
        assert_eq!(read_up_to(&b"1234"[..], 4).unwrap().len(), 4);
        let failure = read_up_to(std::io::repeat(b'x'), 4).unwrap_err();
        assert_eq!(failure.exit as u8, 8);
    }
}
