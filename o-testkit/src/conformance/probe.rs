//! An agent that does what a test asks of it and tells what happened to it.

use std::{future::pending, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use o_core::{Agent, Body, BodyStream, CallError, IncomingCall, MethodSpec, Reply, Shape};
use tokio::sync::watch;

/// An agent for tests. Clones share what it counts.
///
/// Bodies are raw bytes unless said otherwise. Its methods:
///
/// - `echo` (unary): the body, as it is.
/// - `who` (unary): the caller's peer id, or `nobody` inside one process.
/// - `count` (server): the numbers below the decimal number in the body.
/// - `sum` (client): how many bytes the body and the items have together, in decimal.
/// - `mirror` (bidirectional): the items, as they are.
/// - `fail` (unary): the error that [`Probe::failure`] gives for the body.
/// - `fail-late` (server): two items, then an error.
/// - `hang` (unary): never answers.
/// - `drip` (server): one item, then nothing more.
#[derive(Clone, Debug)]
pub struct Probe {
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    hanging: watch::Sender<usize>,
    dropped: watch::Sender<usize>,
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

/// A call of `hang` or `drip` that runs.
struct Hanging(Arc<Counts>);

impl Hanging {
    fn begin(counts: &Arc<Counts>) -> Self {
        counts.hanging.send_modify(|count| *count += 1);
        Self(counts.clone())
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.hanging.send_modify(|count| *count -= 1);
        self.0.dropped.send_modify(|count| *count += 1);
    }
}

impl Probe {
    /// A probe that has counted nothing.
    pub fn new() -> Self {
        let counts = Counts {
            hanging: watch::Sender::new(0),
            dropped: watch::Sender::new(0),
        };
        Self {
            counts: Arc::new(counts),
        }
    }

    /// How many calls of `hang` and `drip` run.
    pub fn hanging(&self) -> usize {
        *self.counts.hanging.borrow()
    }

    /// How many calls of `hang` and `drip` have ended: always because nobody wanted them any more.
    pub fn dropped(&self) -> usize {
        *self.counts.dropped.borrow()
    }

    /// Waits until `count` calls of `hang` and `drip` run.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn wait_hanging(&self, count: usize) {
        // The sender lives in this probe.
        let _ = self
            .counts
            .hanging
            .subscribe()
            .wait_for(|now| *now == count)
            .await;
    }

    /// Waits until `count` calls of `hang` and `drip` have ended since the probe was made.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn wait_dropped(&self, count: usize) {
        let _ = self
            .counts
            .dropped
            .subscribe()
            .wait_for(|now| *now >= count)
            .await;
    }

    /// The error of `fail` for each body: one for each kind that an agent may answer with.
    pub fn failures() -> Vec<(&'static str, CallError)> {
        let message = "as asked".to_owned();
        vec![
            ("failed", CallError::failed("as asked")),
            (
                "failed-data",
                CallError::Failed {
                    message: message.clone(),
                    retryable: true,
                    data: Bytes::from_static(&[0, 1, 255]),
                },
            ),
            (
                "busy",
                CallError::Busy {
                    reason: message.clone(),
                },
            ),
            (
                "invalid-params",
                CallError::InvalidParams {
                    message: message.clone(),
                },
            ),
            (
                "too-large",
                CallError::TooLarge {
                    what: message.clone(),
                },
            ),
            (
                "unsupported",
                CallError::Unsupported {
                    what: message.clone(),
                },
            ),
            ("internal", CallError::Internal { message }),
        ]
    }

    /// The error of `fail` for this body.
    pub fn failure(body: &[u8]) -> CallError {
        let failures = Self::failures();
        let found = failures
            .into_iter()
            .find(|(name, _)| name.as_bytes() == body);
        found.map_or_else(
            || CallError::InvalidParams {
                message: "no such failure".into(),
            },
            |(_, error)| error,
        )
    }

    const METHODS: [(&'static str, Shape); 9] = [
        ("echo", Shape::Unary),
        ("who", Shape::Unary),
        ("count", Shape::Server),
        ("sum", Shape::Client),
        ("mirror", Shape::Bidirectional),
        ("fail", Shape::Unary),
        ("fail-late", Shape::Server),
        ("hang", Shape::Unary),
        ("drip", Shape::Server),
    ];
}

fn number(body: &Body) -> Result<u64, CallError> {
    let text = std::str::from_utf8(&body.bytes).ok();
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| CallError::InvalidParams {
        message: "not a decimal number".into(),
    })
}

fn text(text: &impl ToString) -> Body {
    Body::raw(text.to_string())
}

#[async_trait]
impl Agent for Probe {
    fn methods(&self) -> Vec<MethodSpec> {
        Self::METHODS
            .iter()
            .map(|(name, shape)| MethodSpec::new(*name, *shape))
            .collect()
    }

    async fn call(&self, call: IncomingCall) -> Result<Reply, CallError> {
        let IncomingCall {
            context,
            method,
            shape,
            body,
            input,
            ..
        } = call;
        let known = Self::METHODS.iter().find(|(name, _)| *name == &*method);
        let Some((_, own)) = known else {
            return Err(CallError::UnknownMethod {
                method: method.to_string(),
            });
        };
        if !shape.can_call(*own) {
            return Err(CallError::WrongShape {
                method: *own,
                call: shape,
            });
        }
        let input = input.unwrap_or_else(|| stream::empty().boxed());
        match &*method {
            "echo" => Ok(Reply::One(body)),
            "who" => {
                let who = context
                    .peer
                    .map_or_else(|| "nobody".to_owned(), |peer| peer.to_string());
                Ok(Reply::One(text(&who)))
            }
            "sum" => sum(body, input).await,
            "fail" => Err(Self::failure(&body.bytes)),
            "hang" => {
                let _hanging = Hanging::begin(&self.counts);
                pending().await
            }
            "mirror" => Ok(Reply::Stream(input)),
            stream => self.items(stream, &body).map(Reply::Stream),
        }
    }
}

async fn sum(body: Body, mut input: BodyStream) -> Result<Reply, CallError> {
    let mut sum = body.len();
    while let Some(item) = input.next().await {
        sum += item?.len();
    }
    Ok(Reply::One(text(&sum)))
}

impl Probe {
    /// The items of a method that answers with some, whatever it is sent.
    fn items(&self, method: &str, body: &Body) -> Result<BodyStream, CallError> {
        Ok(match method {
            "count" => {
                let numbers = 0..number(body)?;
                stream::iter(numbers.map(|number| Ok(text(&number)))).boxed()
            }
            "drip" => {
                let hanging = Hanging::begin(&self.counts);
                let never = async move {
                    let _hanging = hanging;
                    pending().await
                };
                stream::iter([Ok(text(&"drip"))])
                    .chain(never.into_stream())
                    .boxed()
            }
            _ => {
                let error = CallError::failed("as asked");
                stream::iter([Ok(text(&0)), Ok(text(&1)), Err(error)]).boxed()
            }
        })
    }
}
