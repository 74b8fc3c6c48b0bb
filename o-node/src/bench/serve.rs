//! The built-in methods that others measure with.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use o_address::PeerId;
use o_core::{Body, BodyStream, CallError, Encoding, IncomingCall, MethodSpec, Reply, Shape};
use o_protocol::{decode_body, encode_body};

use super::{DOWNLOAD, Download, ECHO, UPLOAD, Uploaded};
use crate::config::BenchConfig;

/// Size of the items of a download that names none, in bytes.
const ITEM: u32 = 64 * 1024;
/// Largest item of a download, in bytes.
const MAX_ITEM: u32 = 1024 * 1024;

const METHODS: [(&str, Shape, &str); 3] = [
    (
        ECHO,
        Shape::Unary,
        "Answers with the parameters, for measuring.",
    ),
    (
        UPLOAD,
        Shape::Client,
        "Counts what comes, for measuring: {bytes, items}.",
    ),
    (
        DOWNLOAD,
        Shape::Server,
        "Sends so many bytes, for measuring: {bytes, item}.",
    ),
];

/// Answers whoever measures, within limits.
#[derive(Debug)]
pub(crate) struct Measured {
    config: BenchConfig,
    streams: Mutex<Vec<Taken>>,
    next: AtomicU64,
}

/// An upload or download that runs. It counts until its time is over even if nobody reads it.
#[derive(Debug)]
struct Taken {
    id: u64,
    peer: Option<PeerId>,
    until: Instant,
}

/// Makes room for another one when it is dropped.
#[derive(Debug)]
struct Place {
    measured: Arc<Measured>,
    id: u64,
    until: Instant,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.measured.lock().retain(|taken| taken.id != self.id);
    }
}

impl Measured {
    pub(crate) fn new(config: BenchConfig) -> Self {
        Self {
            config,
            streams: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    /// Whether a method is one of these, turned on or not: what can be hosted does not depend on
    /// that.
    pub(crate) fn is_reserved(method: &str) -> bool {
        METHODS.iter().any(|(name, ..)| *name == method)
    }

    pub(crate) fn methods(&self) -> impl Iterator<Item = MethodSpec> {
        let on = self.config.enabled;
        METHODS
            .iter()
            .filter(move |_| on)
            .map(|(name, shape, text)| {
                let mut spec = MethodSpec::new(*name, *shape);
                spec.description = (*text).into();
                spec.idempotent = true;
                spec
            })
    }

    /// Answers one of them.
    pub(crate) async fn call(self: Arc<Self>, call: IncomingCall) -> Result<Reply, CallError> {
        let found = METHODS.iter().find(|(name, ..)| *name == &*call.method);
        let Some((_, shape, _)) = found.filter(|_| self.config.enabled) else {
            return Err(CallError::UnknownMethod {
                method: call.method.to_string(),
            });
        };
        if !call.shape.can_call(*shape) {
            return Err(CallError::WrongShape {
                method: *shape,
                call: call.shape,
            });
        }
        match shape {
            Shape::Client => self.upload(call).await,
            Shape::Server => self.download(&call),
            _ => self.echo(call.body),
        }
    }

    fn echo(&self, body: Body) -> Result<Reply, CallError> {
        let (length, limit) = (body.len(), self.config.max_echo);
        if length > limit {
            let what = format!("an echo of {length} bytes, {limit} at most");
            return Err(CallError::TooLarge { what });
        }
        Ok(Reply::One(body))
    }

    async fn upload(self: Arc<Self>, call: IncomingCall) -> Result<Reply, CallError> {
        let (peer, encoding) = (call.context.peer, call.body.encoding);
        let place = self.place(peer)?;
        let limit = self.config.max_bytes;
        let mut input = call.input.unwrap_or_else(|| stream::empty().boxed());
        let counting = async {
            let mut counted = Uploaded::default();
            while let Some(item) = input.next().await {
                let length = u64::try_from(item?.len()).unwrap_or(u64::MAX);
                counted.bytes = counted.bytes.saturating_add(length);
                counted.items = counted.items.saturating_add(1);
                if counted.bytes > limit {
                    return Err(self.too_many());
                }
            }
            Ok(counted)
        };
        let counted = tokio::time::timeout_at(place.until.into(), counting)
            .await
            .unwrap_or_else(|_| Err(self.too_long()))?;
        let encoded = encode_body(encoding, &counted);
        let body = encoded.map_err(|error| CallError::InvalidParams {
            message: format!("the answer cannot be encoded like them: {error}"),
        })?;
        Ok(Reply::One(body))
    }

    fn download(self: Arc<Self>, call: &IncomingCall) -> Result<Reply, CallError> {
        let invalid = |message| CallError::InvalidParams { message };
        let wanted: Download =
            decode_body(&call.body).map_err(|error| invalid(error.to_string()))?;
        if wanted.bytes > self.config.max_bytes {
            return Err(self.too_many());
        }
        let item = wanted.item.unwrap_or(ITEM);
        if !(1..=MAX_ITEM).contains(&item) {
            return Err(invalid(format!("an item has 1 to {MAX_ITEM} bytes")));
        }
        let place = self.place(call.context.peer)?;
        let block = Bytes::from(vec![0; usize::try_from(item).unwrap_or(0)]);
        Ok(Reply::Stream(zeros(self, place, block, wanted.bytes)))
    }

    fn place(self: &Arc<Self>, peer: Option<PeerId>) -> Result<Place, CallError> {
        let config = &self.config;
        let now = Instant::now();
        let busy = |limit, whose| {
            let reason = format!("{limit} measurements {whose}");
            Err(CallError::Busy { reason })
        };
        let mut streams = self.lock();
        streams.retain(|taken| taken.until > now);
        if streams.len() >= config.max_streams {
            return busy(config.max_streams, "on this node");
        }
        let by_peer = streams.iter().filter(|taken| taken.peer == peer).count();
        if by_peer >= config.max_streams_per_peer {
            return busy(config.max_streams_per_peer, "by this peer");
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        // A time that no clock holds was refused when the node started.
        let until = now.checked_add(config.max_time).unwrap_or(now);
        streams.push(Taken { id, peer, until });
        let measured = self.clone();
        Ok(Place {
            measured,
            id,
            until,
        })
    }

    fn too_many(&self) -> CallError {
        let what = format!("a measurement, {} bytes at most", self.config.max_bytes);
        CallError::TooLarge { what }
    }

    fn too_long(&self) -> CallError {
        let after = self.config.max_time;
        CallError::TimedOut { after }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Taken>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So many bytes, in items of one block, as long as there is time.
fn zeros(measured: Arc<Measured>, place: Place, block: Bytes, bytes: u64) -> BodyStream {
    stream::unfold(Some((place, bytes)), move |state| {
        let (measured, block) = (measured.clone(), block.clone());
        async move {
            let (place, left) = state.filter(|(_, left)| *left > 0)?;
            if Instant::now() >= place.until {
                return Some((Err(measured.too_long()), None));
            }
            let whole = u64::try_from(block.len()).unwrap_or(u64::MAX);
            let length = usize::try_from(left.min(whole)).unwrap_or(block.len());
            let item = Body::new(Encoding::Raw, block.slice(..length));
            Some((Ok(item), Some((place, left.saturating_sub(whole)))))
        }
    })
    .boxed()
}
