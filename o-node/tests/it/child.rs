//! A node in a process of its own: this test binary, run once more.

use std::{
    io::{Read as _, Write as _},
    process::Stdio,
};

use o_address::{PeerId, TransportAddr};
use o_core::{Attempt, CallContext, ConnectionGater, DenyReason, Direction, Node as _};
use o_node::{BlockList, Hosting, Keypair, Methods, Node, NodeConfig};
use o_protocol::Call;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{
    faucet::faucet,
    support::{address, soon, start},
    tally::tally,
    worker::Worker,
};

/// Holds what the child is to do, as JSON.
const VARIABLE: &str = "O_NODE_TEST_CHILD";
/// Begins the one line that the child prints when it runs.
const READY: &str = "READY ";

/// What a child is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) config: NodeConfig,
    pub(crate) seed: Option<String>,
    /// A worker of its own at each address.
    pub(crate) host: Vec<String>,
    pub(crate) block: Vec<PeerId>,
    /// The one IPv4 address that others may dial from; without it, any.
    pub(crate) only_from: Option<String>,
    /// Where an agent is whose `pass` calls another, on behalf of its caller.
    pub(crate) relay: Option<String>,
    /// Where an agent is that counts its calls.
    pub(crate) tally: Option<String>,
    /// Where an agent is that sends and takes as much as it can, or may.
    pub(crate) faucet: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    peer: PeerId,
    addresses: Vec<TransportAddr>,
}

impl Plan {
    /// A worker on 127.0.0.1, TCP.
    pub(crate) fn worker(at: &str) -> Self {
        let (config, host) = (NodeConfig::default(), vec![at.to_owned()]);
        Self {
            config,
            seed: None,
            host,
            block: Vec::new(),
            only_from: None,
            relay: None,
            tally: None,
            faucet: None,
        }
    }

    /// Starts the child and waits until its node runs.
    pub(crate) async fn start(&self) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "child::the_other_process",
                "--test-threads=1",
                "--nocapture",
            ])
            .env(VARIABLE, serde_json::to_string(self).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready: Ready = soon(async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, ready)) = line.split_once(READY) {
                    return serde_json::from_str(ready).unwrap();
                }
            }
            panic!("the child ended before its node ran");
        })
        .await;
        Process {
            child,
            stdin: Some(stdin),
            _stdout: lines,
            peer: ready.peer,
            addresses: ready.addresses,
        }
    }
}

/// A child that runs. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Closed, it would be an error for the child to write.
    _stdout: Lines<BufReader<ChildStdout>>,
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<TransportAddr>,
}

impl Process {
    pub(crate) fn address(&self) -> &TransportAddr {
        self.addresses.first().unwrap()
    }

    /// The memory that it takes now, in bytes, as the kernel counts.
    pub(crate) fn resident(&self) -> u64 {
        let id = self.child.id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.unwrap().split_whitespace().next().unwrap();
        kib.parse::<u64>().unwrap() * 1024
    }

    /// Halts it (`SIGSTOP`): its connections stay, and nothing answers.
    pub(crate) fn freeze(&self) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        let process = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    }

    /// Kills it without a word (`SIGKILL`) and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        soon(self.child.kill()).await.unwrap();
    }

    /// Lets it stop by itself, and it must end well.
    pub(crate) async fn stop(mut self) {
        drop(self.stdin.take());
        assert!(soon(self.child.wait()).await.unwrap().success());
    }
}

/// Not a test: what a child does. Does nothing without its plan.
#[test]
fn the_other_process() {
    let Ok(plan) = std::env::var(VARIABLE) else {
        return;
    };
    let plan: Plan = serde_json::from_str(&plan).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let node = run(plan).await;
        let ready = Ready {
            peer: node.peer_id(),
            addresses: node.listen_addresses(),
        };
        let line = format!("\n{READY}{}\n", serde_json::to_string(&ready).unwrap());
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        // Whoever started us has gone, or wants us to, when there is nothing more to read.
        let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        end.await.unwrap().unwrap();
        soon(node.stop()).await.unwrap();
    });
}

async fn run(plan: Plan) -> Node {
    let keypair = plan
        .seed
        .as_deref()
        .map_or_else(Keypair::generate, Keypair::from_seed);
    let door = Door {
        blocked: BlockList::from_peers(plan.block).unwrap(),
        only_from: plan.only_from.map(|ip| format!("/ip4/{ip}/")),
    };
    let mut builder = Node::builder(keypair, o_node::Preset::Local)
        .config(plan.config)
        .gater(door);
    for address in &plan.host {
        builder = builder.host(Worker::new().at(address));
    }
    if let Some(at) = &plan.tally {
        builder = builder.host(tally(at));
    }
    let node = start(builder).await;
    if let Some(at) = &plan.faucet {
        node.host(faucet(at, node.clone())).unwrap();
    }
    if let Some(at) = &plan.relay {
        node.host(relay(at, node.clone())).unwrap();
    }
    node
}

/// Who may connect to a child.
#[derive(Debug)]
struct Door {
    blocked: BlockList,
    only_from: Option<String>,
}

impl ConnectionGater for Door {
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        self.blocked.allow(attempt)?;
        let wanted = |remote: &TransportAddr| {
            let from = self.only_from.as_deref();
            from.is_none_or(|from| remote.to_string().starts_with(from))
        };
        match attempt.remote {
            Some(remote) if attempt.direction == Direction::Inbound && !wanted(remote) => {
                Err(DenyReason::Policy {
                    reason: "from elsewhere".into(),
                })
            }
            _ => Ok(()),
        }
    }
}

/// An agent whose `pass` calls a method that takes nothing, and answers what that answers.
fn relay(at: &str, node: Node) -> Hosting {
    let pass = move |context: CallContext, (target, method): (String, String)| {
        let node = node.clone();
        async move {
            let call = Call::to(address(&target), method).params(());
            let call = call.on_behalf_of(&context);
            call.send::<serde_json::Value>(&node).await
        }
    };
    Hosting::new(address(at), Methods::new().unary("pass", pass))
}
