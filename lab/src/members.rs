//! Nodes in processes of their own: this program, run once more for each.

use std::{
    fs::File,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use o_address::{Address, PeerId, TransportAddr};
use o_core::{Access, Attributes, CallError, Query};
use o_node::{CallerExt as _, Hosting, Keypair, Methods, Node, Preset};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{rng::Rng, say};

/// Holds what the process is to be, as JSON.
const VARIABLE: &str = "O_LAB_MEMBER";
/// Begins the one line that it prints when it runs.
const READY: &str = "READY ";
/// What every member can do.
const CAPABILITY: &str = "lab/member";
/// Longest time that a member may take to start.
const STARTING: Duration = Duration::from_secs(20);
/// Longest time that a call of the experiment may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What a process is to be.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) seed: String,
    pub(crate) listen: Option<TransportAddr>,
    pub(crate) bootstrap: Vec<TransportAddr>,
    pub(crate) parent: Option<TransportAddr>,
    /// By multicast on every interface, instead of on 127.0.0.1 only.
    pub(crate) lan: bool,
    /// Where warnings go; otherwise nobody reads them.
    pub(crate) log: Option<PathBuf>,
}

/// Calls that a member has made, by how they ended.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub(crate) struct Driven {
    pub(crate) answered: usize,
    pub(crate) failed: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    peer: PeerId,
    address: TransportAddr,
}

/// A process that runs; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: Address,
    pub(crate) peer: PeerId,
    pub(crate) address: TransportAddr,
    child: Child,
}

impl Member {
    /// Starts it and waits until it listens.
    pub(crate) async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(VARIABLE, serde_json::to_string(plan)?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(match &plan.log {
                Some(path) => Stdio::from(File::create(path)?),
                None => Stdio::inherit(),
            })
            .kill_on_drop(true)
            .spawn()
            .context("the process of a member")?;
        let stdout = child.stdout.take().context("its output")?;
        let mut lines = BufReader::new(stdout).lines();
        let reading = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(ready) = line.strip_prefix(READY) {
                    return Ok(serde_json::from_str::<Ready>(ready)?);
                }
            }
            bail!("it ended before it listened")
        };
        let ready = tokio::time::timeout(STARTING, reading).await;
        let ready = ready.context("a member does not start")??;
        Ok(Self {
            name: plan.name.parse()?,
            peer: ready.peer,
            address: ready.address,
            child,
        })
    }

    /// Its process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Halts it: its connections stay open, and nothing answers, as with a machine that goes without a
    /// packet.
    pub(crate) fn freeze(&self) -> anyhow::Result<()> {
        let id = self.child.id().context("it has ended")?;
        let process = Pid::from_raw(id.try_into()?).context("a process")?;
        Ok(kill_process(process, Signal::STOP)?)
    }

    /// Kills it, so that it cannot say goodbye.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Whom it knows, by its own search.
    pub(crate) async fn known(&self, by: &Node) -> Result<Vec<String>, CallError> {
        self.ask(by, "known", &()).await
    }

    /// Asks one of its methods.
    pub(crate) async fn ask<T: serde::de::DeserializeOwned + Send>(
        &self,
        by: &Node,
        method: &str,
        params: &(impl Serialize + Sync),
    ) -> Result<T, CallError> {
        let target = self.name.pinned(self.peer);
        match by.call_typed(&target, method, params).await {
            // Nobody called for so long that the connection was closed, and the observer knows no other way.
            Err(CallError::NotFound { .. } | CallError::Unreachable { .. }) => {
                let unreachable = |error: o_core::DialError| CallError::Unreachable {
                    address: target.clone(),
                    reason: error.to_string(),
                };
                by.connect(&self.address).await.map_err(unreachable)?;
                by.call_typed(&target, method, params).await
            }
            answered => answered,
        }
    }
}

/// A node that asks members, and takes part in nothing.
pub(crate) async fn observer(members: &[&Member]) -> anyhow::Result<Node> {
    let node = Node::builder(Keypair::generate(), Preset::Local);
    let node = node.configure(|config| {
        let alone = config.clone().client();
        *config = alone;
        config.dht.enabled = false;
        config.node.call_timeout = PATIENCE;
    });
    let node = node.start().await?;
    for member in members {
        node.connect(&member.address).await?;
    }
    Ok(node)
}

/// Is a member, if the environment says so.
///
/// # Errors
/// Its node does not start.
///
/// # Cancel safety
/// Dropping the future drops the node.
pub async fn be_member() -> anyhow::Result<bool> {
    let Ok(plan) = std::env::var(VARIABLE) else {
        return Ok(false);
    };
    let plan: Plan = serde_json::from_str(&plan)?;
    if plan.log.is_some() {
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .init();
    }
    let node = start(&plan).await?;
    let address = node.listen_addresses().into_iter().next();
    let ready = Ready {
        peer: node.peer_id(),
        address: address.context("it listens nowhere")?,
    };
    say(format_args!("{READY}{}", serde_json::to_string(&ready)?));
    // Until it is killed.
    std::future::pending::<()>().await;
    Ok(true)
}

async fn start(plan: &Plan) -> anyhow::Result<Node> {
    let own = Arc::new(OnceLock::new());
    let name: Address = plan.name.parse()?;
    let hosting = Hosting::new(name, methods(&own)).capability(CAPABILITY.parse()?);
    let preset = if plan.lan { Preset::Lan } else { Preset::Local };
    let builder = Node::builder(Keypair::from_seed(&plan.seed), preset);
    let plan = plan.clone();
    let builder = builder.configure(move |config| {
        config.bootstrap = plan.bootstrap;
        config.hierarchy.parent = plan.parent;
        // As with `o serve --gate open`: by default siblings call each other by way of their parent only.
        config.hierarchy.policy.access = Some(Access::Everybody);
        if let Some(listen) = plan.listen {
            config.listen = vec![listen];
        }
    });
    let node = builder.host(hosting).start().await?;
    // It is set nowhere else.
    let _ = own.set(node.clone());
    Ok(node)
}

fn methods(own: &Arc<OnceLock<Node>>) -> Methods {
    let [known, driven] = [(); 2].map(|()| own.clone());
    let starting = || CallError::failed("it is just starting");
    Methods::new()
        .unary("echo", async |_, text: String| Ok::<_, CallError>(text))
        .unary("known", move |_, ()| {
            let node = known.get().cloned();
            async move { Ok::<_, CallError>(names(&node.ok_or_else(starting)?).await) }
        })
        .unary("drive", move |_, (to, millis): (Vec<String>, u64)| {
            let node = driven.get().cloned();
            let to: Vec<Address> = to.iter().filter_map(|name| name.parse().ok()).collect();
            async move {
                let time = Duration::from_millis(millis);
                Ok::<_, CallError>(drive(&node.ok_or_else(starting)?, &to, time).await)
            }
        })
}

/// Whom a node knows that can do what members can, by a search of its own that asks nobody.
async fn names(node: &Node) -> Vec<String> {
    let Ok(wanted) = format!("capability:{CAPABILITY}").parse() else {
        return Vec::new();
    };
    let found = node.find(Query::Attributes(Attributes::any([wanted])));
    let found = found.filter_map(async |found| {
        let record = found.ok()?.record?;
        Some(record.record().address.to_string())
    });
    let mut names: Vec<_> = found.collect().await;
    names.sort_unstable();
    names.dedup();
    names
}

/// Calls these, one after the other and again, for so long.
async fn drive(node: &Node, to: &[Address], time: Duration) -> Driven {
    const PAUSE: Duration = Duration::from_millis(100);
    let (begun, mut driven) = (Instant::now(), Driven::default());
    let mut rng = Rng::new(u64::from(std::process::id()));
    while begun.elapsed() < time && !to.is_empty() {
        let target = &to[rng.index(to.len())];
        match node.call_typed::<String>(target, "echo", "x").await {
            Ok(_) => driven.answered += 1,
            Err(error) => {
                driven.failed += 1;
                say(format_args!("a call to {target} failed: {error}"));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    driven
}
