//! An agent that counts how often each call ran, and whether it has ended, in every shape.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures::{StreamExt as _, stream};
use o_core::CallError;
use o_node::{Hosting, Methods, TypedStream};
use tokio::sync::watch;

use crate::support::address;

/// How often each call ran, by its number, and how many run now.
#[derive(Clone, Debug, Default)]
struct Tally {
    runs: Arc<Mutex<BTreeMap<u64, u32>>>,
    running: Arc<watch::Sender<usize>>,
}

/// A call that runs.
struct Run(Arc<watch::Sender<usize>>);

impl Drop for Run {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

impl Tally {
    fn begin(&self, id: u64) -> Run {
        *self.runs.lock().unwrap().entry(id).or_default() += 1;
        self.running.send_modify(|running| *running += 1);
        Run(self.running.clone())
    }
}

/// `one`, `many`, `sum` and `both` are the four shapes, `hold` never answers; each is told its
/// number first. `runs`, `all` and `idle` say what became of them.
pub(crate) fn tally(at: &str) -> Hosting {
    let tally = Tally::default();
    let methods = watching(shapes(Methods::new(), &tally), &tally);
    Hosting::new(address(at), methods)
}

fn shapes(methods: Methods, tally: &Tally) -> Methods {
    let tally = || tally.clone();
    let (one, hold, many, sum, both) = (tally(), tally(), tally(), tally(), tally());
    methods
        .unary("one", move |_, (id, text): (u64, String)| {
            let run = one.begin(id);
            async move {
                let _run = run;
                // Others run meanwhile.
                tokio::task::yield_now().await;
                Ok::<_, CallError>(text)
            }
        })
        .unary("hold", move |_, id: u64| {
            let run = hold.begin(id);
            async move {
                let _run = run;
                std::future::pending::<()>().await;
                Ok::<_, CallError>(())
            }
        })
        .server("many", move |_, (id, items, text): (u64, usize, String)| {
            let run = many.begin(id);
            async move {
                let items = stream::iter(std::iter::repeat_n(text, items)).map(move |text| {
                    let _run = &run;
                    Ok::<_, CallError>(text)
                });
                Ok::<_, CallError>(items)
            }
        })
        .client("sum", move |_, mut items: TypedStream<(u64, String)>| {
            let tally = sum.clone();
            async move {
                let (mut run, mut sum) = (None, 0);
                while let Some(item) = items.next().await {
                    let (id, text) = item?;
                    run.get_or_insert_with(|| tally.begin(id));
                    sum += text.len();
                }
                Ok::<_, CallError>(sum)
            }
        })
        .bidirectional("both", move |_, items: TypedStream<(u64, String)>| {
            let (tally, mut run) = (both.clone(), None);
            async move {
                Ok::<_, CallError>(items.map(move |item| {
                    let (id, text) = item?;
                    run.get_or_insert_with(|| tally.begin(id));
                    Ok::<_, CallError>(text)
                }))
            }
        })
}

fn watching(methods: Methods, tally: &Tally) -> Methods {
    let (runs, all, running) = (
        tally.runs.clone(),
        tally.runs.clone(),
        tally.running.clone(),
    );
    methods
        .unary("runs", move |_, id: u64| {
            let count = runs.lock().unwrap().get(&id).copied();
            async move { Ok::<_, CallError>(count.unwrap_or_default()) }
        })
        .unary("all", move |_, ()| {
            let all = all.lock().unwrap().clone();
            async move { Ok::<_, CallError>(Vec::from_iter(all)) }
        })
        .unary("idle", move |_, ()| {
            let running = running.clone();
            async move {
                // The sender lives as long as the agent.
                let _ = running.subscribe().wait_for(|running| *running == 0).await;
                Ok::<_, CallError>(())
            }
        })
}
