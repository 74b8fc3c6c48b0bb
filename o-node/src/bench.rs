//! Measuring the connection to a peer: round trips, calls per second, bytes per second.

mod samples;
mod serve;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt, stream, stream::FuturesUnordered};
use o_address::Address;
use o_core::{Body, BodyStream, CallError, Caller, OutgoingCall, Priority, Reply};
use o_protocol::{decode_body, encode_body};
use serde::{Deserialize, Serialize};

pub use self::samples::{Bar, Samples};
pub(crate) use self::serve::Measured;

const ECHO: &str = "bench.echo";
const UPLOAD: &str = "bench.upload";
const DOWNLOAD: &str = "bench.download";

/// Size of the items of an upload, in bytes.
const ITEM: usize = 64 * 1024;
/// Largest body of an echo, in bytes: it is kept while the load runs. Sessions allow less by default.
const MAX_ECHO: usize = 256 * 1024 * 1024;

/// What `bench.upload` answers.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Uploaded {
    bytes: u64,
    items: u64,
}

/// What `bench.download` takes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Download {
    bytes: u64,
    #[serde(default)]
    item: Option<u32>,
}

/// Why something could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The node there has measuring turned off, or is too old to have it.
    #[error("{target} does not let itself be measured")]
    NotOffered {
        /// What was to be measured.
        target: Address,
    },
    /// The load makes no sense; nothing was sent.
    #[error("nothing to measure: {reason}")]
    BadLoad {
        /// Why.
        reason: &'static str,
    },
    /// Not everything arrived.
    #[error("{sent} bytes were sent and {arrived} arrived")]
    Miscounted {
        /// Bytes sent, or asked for.
        sent: u64,
        /// Bytes that arrived at the other end.
        arrived: u64,
    },
    /// A call failed: `busy` and `too_large` are limits of the node there.
    #[error("a call failed while measuring")]
    Call(#[source] CallError),
}

impl BenchError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_retryable())
    }
}

/// What each call of a load does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Echo,
    Upload,
    Download,
}

/// What is done to measure. It ends after its time or its calls, whichever is first.
#[derive(Clone, Debug)]
pub struct Load {
    kind: Kind,
    bytes: u64,
    in_flight: usize,
    calls: u64,
    duration: Duration,
    timeout: Duration,
}

impl Load {
    /// Most calls in flight at once.
    pub const MAX_IN_FLIGHT: usize = 1024;
    /// Longest that a load may take, without its last calls.
    pub const MAX_DURATION: Duration = Duration::from_secs(3600);

    fn new(kind: Kind, bytes: u64) -> Self {
        Self {
            kind,
            bytes,
            in_flight: 1,
            calls: u64::MAX,
            duration: Duration::from_secs(2),
            timeout: Duration::from_secs(30),
        }
    }

    /// Calls whose body of so many bytes comes back. By default one after the other, for 2 s.
    pub fn echo(bytes: u64) -> Self {
        Self::new(Kind::Echo, bytes)
    }

    /// Calls that each send at most so many bytes one way, as a stream; when the time is over the
    /// last one sends less. By default one after the other, for 2 s.
    pub fn upload(bytes: u64) -> Self {
        Self::new(Kind::Upload, bytes)
    }

    /// Calls that each fetch so many bytes, as a stream. By default one after the other, for 2 s.
    pub fn download(bytes: u64) -> Self {
        Self::new(Kind::Download, bytes)
    }

    /// Keeps so many calls in flight; 1 to [`MAX_IN_FLIGHT`](Self::MAX_IN_FLIGHT).
    #[must_use]
    pub fn in_flight(mut self, calls: usize) -> Self {
        self.in_flight = calls;
        self
    }

    /// Makes so many calls at most.
    #[must_use]
    pub fn calls(mut self, calls: u64) -> Self {
        self.calls = calls;
        self
    }

    /// Begins no call after this time, except the first one; at most [`MAX_DURATION`](Self::MAX_DURATION).
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    /// Lets each call take so long. Default 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn check(&self) -> Result<(), BenchError> {
        let reason = if !(1..=Self::MAX_IN_FLIGHT).contains(&self.in_flight) {
            "1 to 1024 calls can be in flight"
        } else if self.calls == 0 {
            "no calls"
        } else if self.bytes == 0 && self.kind != Kind::Echo {
            "no bytes"
        } else if self.duration > Self::MAX_DURATION {
            "more than an hour"
        } else {
            return Ok(());
        };
        Err(BenchError::BadLoad { reason })
    }
}

/// Measures what calls to one address cost: `bench.echo`, `bench.upload` and `bench.download`, which
/// every agent and every node has unless it was turned off there.
///
/// ```no_run
/// use std::{sync::Arc, time::Duration};
///
/// use o_node::{Bench, Load, Node, Samples};
///
/// # async fn run(node: Node) -> Result<(), Box<dyn std::error::Error>> {
/// let bench = Bench::new(Arc::new(node), "o://math/adder".parse()?);
/// let mut samples = Samples::new();
/// let load = Load::echo(100).in_flight(64).duration(Duration::from_secs(3));
/// bench.run(&load, &mut samples).await?;
/// println!("{:.0} calls/s, p99 {:?}", samples.per_second(), samples.quantile(0.99));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Bench {
    caller: Arc<dyn Caller>,
    target: Address,
}

impl Bench {
    /// Measures calls that `caller` makes to `target`. A node finds and connects first; see
    /// [`Node::peer`](crate::Node::peer) for one peer only.
    pub fn new(caller: Arc<dyn Caller>, target: Address) -> Self {
        Self { caller, target }
    }

    /// Does what the load says and adds each call to the samples. At most
    /// [`Load::MAX_IN_FLIGHT`] calls and one body of the load are kept at once.
    ///
    /// # Errors
    /// The first call that fails ends it; what was measured until then is in the samples.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the calls in flight; what was measured until then is in the
    /// samples.
    pub async fn run(&self, load: &Load, samples: &mut Samples) -> Result<(), BenchError> {
        load.check()?;
        // Before the time begins: to clear a long one takes some, too.
        let body = Bytes::from(vec![0; Self::body_size(load)?]);
        samples.begin();
        let until = Instant::now() + load.duration;
        let mut running = FuturesUnordered::new();
        let mut left = load.calls;
        loop {
            while running.len() < load.in_flight
                && left > 0
                && (left == load.calls || Instant::now() < until)
            {
                left -= 1;
                running.push(self.one(load, body.clone(), until));
            }
            match running.next().await {
                Some(done) => {
                    let (took, bytes) = done?;
                    samples.add(took, bytes);
                }
                None => return Ok(()),
            }
        }
    }

    /// What is sent again and again.
    fn body_size(load: &Load) -> Result<usize, BenchError> {
        let size = match load.kind {
            Kind::Echo => usize::try_from(load.bytes).ok(),
            Kind::Upload => Some(ITEM),
            Kind::Download => Some(0),
        };
        let reason = "an echo has 256 MiB at most";
        size.filter(|size| *size <= MAX_ECHO)
            .ok_or(BenchError::BadLoad { reason })
    }

    /// One call: how long it took, and the bytes that it moved one way.
    async fn one(
        &self,
        load: &Load,
        body: Bytes,
        until: Instant,
    ) -> Result<(Duration, u64), BenchError> {
        let begun = Instant::now();
        let bytes = match load.kind {
            Kind::Echo => self.echo(load, body).await?,
            Kind::Upload => self.upload(load, body, until).await?,
            Kind::Download => self.download(load).await?,
        };
        Ok((begun.elapsed(), bytes))
    }

    async fn echo(&self, load: &Load, body: Bytes) -> Result<u64, BenchError> {
        let call = OutgoingCall::unary(self.target.clone(), ECHO, Body::raw(body));
        let Body { bytes, .. } = self.call(call.timeout(load.timeout)).await?;
        all(load.bytes, length(&bytes))
    }

    async fn upload(&self, load: &Load, item: Bytes, until: Instant) -> Result<u64, BenchError> {
        let sent = Arc::new(AtomicU64::new(0));
        let input = items(item, load.bytes, until, sent.clone());
        let none = Body::default();
        let mut call = OutgoingCall::client_streaming(self.target.clone(), UPLOAD, none, input);
        call.terms.priority = Priority::Bulk;
        let body = self.call(call.timeout(load.timeout)).await?;
        let counted: Uploaded = decode_body(&body).map_err(|error| {
            BenchError::Call(CallError::InvalidReply {
                message: error.to_string(),
            })
        })?;
        all(sent.load(Ordering::Relaxed), counted.bytes)
    }

    async fn download(&self, load: &Load) -> Result<u64, BenchError> {
        let wanted = Download {
            bytes: load.bytes,
            item: None,
        };
        let encoded = encode_body(o_core::Encoding::Cbor, &wanted);
        let body = encoded.map_err(|error| {
            BenchError::Call(CallError::Internal {
                message: error.to_string(),
            })
        })?;
        let mut call = OutgoingCall::server_streaming(self.target.clone(), DOWNLOAD, body);
        call.terms.priority = Priority::Bulk;
        let reply = self.caller.call(call.timeout(load.timeout)).await;
        let mut arrived = 0_u64;
        match reply.map_err(|error| self.failed(error))? {
            Reply::One(body) => arrived = length(&body.bytes),
            Reply::Stream(mut items) => {
                while let Some(item) = items.next().await {
                    let item = item.map_err(|error| self.failed(error))?;
                    arrived = arrived.saturating_add(length(&item.bytes));
                }
            }
        }
        all(load.bytes, arrived)
    }

    /// A call with one answer.
    async fn call(&self, call: OutgoingCall) -> Result<Body, BenchError> {
        match self.caller.call(call).await {
            Ok(Reply::One(body)) => Ok(body),
            Ok(Reply::Stream(_)) => Err(BenchError::Call(CallError::InvalidReply {
                message: "one value was expected and a stream came".into(),
            })),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: CallError) -> BenchError {
        match error {
            CallError::UnknownMethod { .. } => BenchError::NotOffered {
                target: self.target.clone(),
            },
            error => BenchError::Call(error),
        }
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The bytes, if as many arrived as were sent.
fn all(sent: u64, arrived: u64) -> Result<u64, BenchError> {
    match sent == arrived {
        true => Ok(arrived),
        false => Err(BenchError::Miscounted { sent, arrived }),
    }
}

/// At most so many bytes, as long as there is time; and always one item.
fn items(item: Bytes, bytes: u64, until: Instant, sent: Arc<AtomicU64>) -> BodyStream {
    stream::unfold(bytes, move |left| {
        let (item, sent) = (item.clone(), sent.clone());
        async move {
            let begun = left < bytes;
            if left == 0 || (begun && Instant::now() >= until) {
                return None;
            }
            let size = usize::try_from(left).map_or(item.len(), |left| left.min(item.len()));
            let item = item.slice(..size);
            let size = length(&item);
            sent.fetch_add(size, Ordering::Relaxed);
            Some((Ok(Body::raw(item)), left.saturating_sub(size)))
        }
    })
    .boxed()
}
