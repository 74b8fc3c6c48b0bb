//! An agent that sends as much as is taken, takes as much as it may, and counts both.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use o_core::{
    Body, BodyStream, CallError, Caller as _, IncomingCall, MethodSpec, OutgoingCall, Reply, Shape,
};
use o_node::{Hosting, Methods, Node};
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::support::address;

/// How long each item is.
pub(crate) const ITEM: usize = 16 * 1024;

#[derive(Debug, Default)]
struct Faucet {
    /// Items that were made, by `flood` or for `pour`.
    made: AtomicU64,
    /// Items that `sink` took.
    taken: AtomicU64,
    /// How many more `sink` may take.
    permits: Semaphore0,
    /// What `open` has opened.
    open: tokio::sync::Mutex<Option<Pulled>>,
    /// What `pour` has begun.
    pouring: Mutex<Option<Pouring>>,
}

/// A stream that is read when somebody says so.
struct Pulled(BodyStream);

impl std::fmt::Debug for Pulled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pulled")
    }
}

/// Ends when it is dropped.
#[derive(Debug)]
struct Pouring(JoinHandle<Result<(), CallError>>);

impl Drop for Pouring {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A semaphore that begins with nothing.
#[derive(Debug)]
struct Semaphore0(Semaphore);

impl Default for Semaphore0 {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Faucet {
    /// Items without end, each counted when it is made.
    fn items(self: &Arc<Self>) -> BodyStream {
        let faucet = self.clone();
        stream::repeat_with(move || {
            faucet.made.fetch_add(1, Ordering::Relaxed);
            Ok(Body::raw(Bytes::from_static(&[7; ITEM])))
        })
        .boxed()
    }

    async fn sink(self: Arc<Self>, call: IncomingCall) -> Result<Reply, CallError> {
        let mut input = call.input.ok_or(CallError::Cancelled)?;
        loop {
            let permit = self.permits.0.acquire().await;
            permit.map_err(|_| CallError::Cancelled)?.forget();
            match input.next().await {
                Some(item) => {
                    assert_eq!(item?.len(), ITEM);
                    self.taken.fetch_add(1, Ordering::Relaxed);
                }
                None => return Ok(Reply::One(Body::default())),
            }
        }
    }
}

/// `flood` sends, `sink` takes what `permit` lets it. `open` calls somebody's `flood` and `pull` reads
/// it; `pour` sends into somebody's `sink`. `close` ends both. `made` and `taken` count items.
pub(crate) fn faucet(at: &str, node: Node) -> Hosting {
    let faucet = Arc::new(Faucet::default());
    let methods = calling(serving(Methods::new(), &faucet), &faucet, node);
    Hosting::new(address(at), methods)
}

fn serving(methods: Methods, faucet: &Arc<Faucet>) -> Methods {
    let faucet = || faucet.clone();
    let (flood, sink, permit, made, taken) = (faucet(), faucet(), faucet(), faucet(), faucet());
    methods
        .raw(MethodSpec::new("flood", Shape::Server), move |_| {
            std::future::ready(Ok::<_, CallError>(Reply::Stream(flood.items())))
        })
        .raw(MethodSpec::new("sink", Shape::Client), move |call| {
            sink.clone().sink(call)
        })
        .unary("permit", move |_, items: usize| {
            permit.permits.0.add_permits(items);
            async { Ok::<_, CallError>(()) }
        })
        .unary("made", move |_, ()| {
            let made = made.made.load(Ordering::Relaxed);
            async move { Ok::<_, CallError>(made) }
        })
        .unary("taken", move |_, ()| {
            let taken = taken.taken.load(Ordering::Relaxed);
            async move { Ok::<_, CallError>(taken) }
        })
        .unary("echo", async |_, text: String| Ok::<_, CallError>(text))
}

fn calling(methods: Methods, faucet: &Arc<Faucet>, node: Node) -> Methods {
    let faucet = || faucet.clone();
    let (open, pull, pour, close) = (faucet(), faucet(), faucet(), faucet());
    let opening = node.clone();
    methods
        .unary("open", move |_, target: String| {
            let (faucet, node) = (open.clone(), opening.clone());
            async move {
                let target = address(&target);
                let call = OutgoingCall::server_streaming(target, "flood", Body::default());
                match node.call(call).await? {
                    Reply::Stream(items) => *faucet.open.lock().await = Some(Pulled(items)),
                    Reply::One(_) => return Err(CallError::failed("not a stream")),
                }
                Ok(())
            }
        })
        .unary("pull", move |_, items: usize| {
            let faucet = pull.clone();
            async move {
                let mut open = faucet.open.lock().await;
                let Some(Pulled(stream)) = &mut *open else {
                    return Err(CallError::failed("nothing is open"));
                };
                for _ in 0..items {
                    stream.next().await.ok_or(CallError::Cancelled)??;
                }
                Ok(())
            }
        })
        .unary("pour", move |_, target: String| {
            let (faucet, node) = (pour.clone(), node.clone());
            async move {
                let (target, items) = (address(&target), faucet.items());
                let call = OutgoingCall::client_streaming(target, "sink", Body::default(), items)
                    .timeout(std::time::Duration::from_secs(600));
                let pouring = async move { node.call(call).await.map(drop) };
                let pouring = Pouring(tokio::spawn(pouring));
                *faucet.pouring.lock().unwrap() = Some(pouring);
                Ok::<_, CallError>(())
            }
        })
        .unary("close", move |_, ()| {
            let faucet = close.clone();
            async move {
                *faucet.open.lock().await = None;
                *faucet.pouring.lock().unwrap() = None;
                Ok::<_, CallError>(())
            }
        })
}
