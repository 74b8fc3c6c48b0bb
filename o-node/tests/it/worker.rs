//! The agent that most tests call: every shape, every way to end, and it tells what became of its
//! calls.

use std::{future::pending, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};
use o_core::{Agent, CallContext, CallError, IncomingCall, MethodSpec, Reply};
use o_node::{Hosting, Methods, TypedStream};
use tokio::sync::watch;

use crate::support::address;

/// Clones share what they count. `hang`, `drip` and `gate` run until somebody ends them; `running`
/// and `ended` tell how many do and did, `wait_running` and `wait_ended` wait for it, here and
/// from afar.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    methods: Methods,
    counts: Counts,
}

#[derive(Clone, Debug)]
struct Counts(Arc<Watches>);

#[derive(Debug)]
struct Watches {
    running: watch::Sender<usize>,
    ended: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

/// A call that runs.
struct Guard(Counts);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.running.send_modify(|count| *count -= 1);
        self.0.0.ended.send_modify(|count| *count += 1);
    }
}

impl Counts {
    fn begin(&self) -> Guard {
        self.0.running.send_modify(|count| *count += 1);
        Guard(self.clone())
    }
}

async fn at_least(counts: &watch::Sender<usize>, count: usize) {
    // The sender lives as long as the agent.
    let _ = counts.subscribe().wait_for(|now| *now >= count).await;
}

impl Worker {
    pub(crate) fn new() -> Self {
        let counts = Counts(Arc::new(Watches {
            running: watch::Sender::new(0),
            ended: watch::Sender::new(0),
            open: watch::Sender::new(false),
        }));
        Self {
            methods: methods(&counts),
            counts,
        }
    }

    /// Itself at an address, able to `test/work`.
    pub(crate) fn at(&self, text: &str) -> Hosting {
        Hosting::new(address(text), self.clone()).capability("test/work".parse().unwrap())
    }

    /// Lets every `gate` answer.
    pub(crate) fn open(&self) {
        self.counts.0.open.send_replace(true);
    }

    pub(crate) fn running(&self) -> usize {
        *self.counts.0.running.borrow()
    }

    pub(crate) async fn wait_running(&self, count: usize) {
        at_least(&self.counts.0.running, count).await;
    }

    pub(crate) async fn wait_ended(&self, count: usize) {
        at_least(&self.counts.0.ended, count).await;
    }
}

#[async_trait::async_trait]
impl Agent for Worker {
    fn methods(&self) -> Vec<MethodSpec> {
        self.methods.methods()
    }

    async fn call(&self, call: IncomingCall) -> Result<Reply, CallError> {
        self.methods.call(call).await
    }
}

fn methods(counts: &Counts) -> Methods {
    streams(waits(Methods::new(), counts), counts)
        .unary("echo", async |_, text: String| Ok::<_, CallError>(text))
        .unary("fail", async |_, message: String| {
            Err::<(), _>(CallError::Failed {
                message,
                retryable: true,
                data: Bytes::from_static(&[0, 1, 255]),
            })
        })
        .unary("who", async |context: CallContext, ()| {
            Ok::<_, CallError>(context.peer.map(|peer| peer.to_string()))
        })
        .unary("left", async |context: CallContext, ()| {
            let left = context.terms.remaining(std::time::Instant::now());
            Ok::<_, CallError>(left.map(|left| left.as_secs_f64()))
        })
        .unary("blob", async |_, length: usize| {
            Ok::<_, CallError>("x".repeat(length))
        })
}

/// Methods that end when somebody ends them.
fn waits(methods: Methods, counts: &Counts) -> Methods {
    let counts = || counts.clone();
    let (hang, gate, running, ended) = (counts(), counts(), counts(), counts());
    methods
        .unary("hang", move |_, ()| {
            let guard = hang.begin();
            async move {
                let _guard = guard;
                pending::<()>().await;
                Ok::<_, CallError>(())
            }
        })
        .unary("gate", move |_, text: String| {
            let (guard, gate) = (gate.begin(), gate.clone());
            async move {
                let _guard = guard;
                let _ = gate.0.open.subscribe().wait_for(|open| *open).await;
                Ok::<_, CallError>(text)
            }
        })
        .unary("wait_running", move |_, count: usize| {
            let counts = running.clone();
            async move {
                at_least(&counts.0.running, count).await;
                Ok::<_, CallError>(())
            }
        })
        .unary("wait_ended", move |_, count: usize| {
            let counts = ended.clone();
            async move {
                at_least(&counts.0.ended, count).await;
                Ok::<_, CallError>(())
            }
        })
}

fn streams(methods: Methods, counts: &Counts) -> Methods {
    let (drip, endless) = (counts.clone(), counts.clone());
    methods
        .server("count", async |_, below: u64| {
            Ok::<_, CallError>(stream::iter((0..below).map(Ok::<_, CallError>)))
        })
        .server("fail_late", async |_, good: u64| {
            let end = Err(CallError::failed("as asked"));
            Ok::<_, CallError>(stream::iter((0..good).map(Ok).chain([end])))
        })
        .server("drip", move |_, ()| {
            let guard = drip.begin();
            async move {
                let never = async move {
                    let _guard = guard;
                    pending::<Result<u64, CallError>>().await
                };
                let first = stream::iter([Ok::<_, CallError>(0)]);
                Ok::<_, CallError>(first.chain(never.into_stream()))
            }
        })
        .server("endless", move |_, ()| {
            let guard = endless.begin();
            async move {
                let numbers = stream::iter(0_u64..).map(move |number| {
                    let _guard = &guard;
                    Ok::<_, CallError>(number)
                });
                Ok::<_, CallError>(numbers)
            }
        })
        .client("sum", async |_, mut numbers: TypedStream<i64>| {
            let mut sum = 0;
            while let Some(number) = numbers.next().await {
                sum += number?;
            }
            Ok::<_, CallError>(sum)
        })
        .bidirectional("upper", async |_, texts: TypedStream<String>| {
            Ok::<_, CallError>(texts.map(|text| text.map(|text| text.to_uppercase())))
        })
}
