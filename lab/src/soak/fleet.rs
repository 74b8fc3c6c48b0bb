//! The nodes of a soak: started, stopped, divided, measured.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use o_address::{Address, TransportAddr};
use o_core::{Node as _, StopError};
use o_node::{Hosting, Keypair, MemoryDiscovery, Node, Preset};

use super::{
    agent::{Answering, Handlers},
    plan::Config,
};
use crate::network::{Partition, Side};

/// How many of the nodes that are up a node knows when it starts, and keeps a connection to.
pub(crate) const BOOTSTRAP: usize = 3;
/// How long after a change an error is explained by it.
const UNSETTLED: Duration = Duration::from_secs(5);

/// The next port of the memory transport: no two nodes of this process have the same one.
static PORT: AtomicU64 = AtomicU64::new(41_000);

/// What is known of one node.
struct Member {
    name: Address,
    keypair: Keypair,
    /// The same after each start, as with a node that others know.
    listen: TransportAddr,
    node: Mutex<Option<Node>>,
    /// When it last was started or stopped.
    changed: Mutex<Instant>,
    /// Held while it starts or stops.
    changing: tokio::sync::Mutex<()>,
}

/// All nodes.
pub(crate) struct Fleet {
    members: Vec<Member>,
    directory: Option<MemoryDiscovery>,
    partition: Arc<Partition>,
    divided: Mutex<Instant>,
    pub(crate) handlers: Arc<Handlers>,
    /// Calls that still ran when the drain time of a node was over.
    pub(crate) cut_short: AtomicU64,
}

/// Numbers that must not grow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) tasks: usize,
    pub(crate) resident: u64,
    pub(crate) handlers: u64,
    pub(crate) links: usize,
    pub(crate) leases: usize,
    pub(crate) waiters: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fleet {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let mut members = Vec::new();
        for index in 0..config.nodes {
            members.push(Member {
                name: format!("o://soak/node-{index}").parse()?,
                listen: format!("/memory/{}", PORT.fetch_add(1, Ordering::Relaxed)).parse()?,
                keypair: Keypair::from_seed(&format!("soak {} {index}", config.seed)),
                node: Mutex::default(),
                changed: Mutex::new(Instant::now()),
                changing: tokio::sync::Mutex::default(),
            });
        }
        Ok(Self {
            members,
            directory: (!config.dht_only).then(MemoryDiscovery::default),
            partition: Arc::default(),
            divided: Mutex::new(Instant::now()),
            handlers: Arc::default(),
            cut_short: AtomicU64::new(0),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn name(&self, index: usize) -> Address {
        self.members[index].name.clone()
    }

    /// The node, if it is up.
    pub(crate) fn node(&self, index: usize) -> Option<Node> {
        lock(&self.members[index].node).clone()
    }

    /// How many names the directory still holds.
    pub(crate) fn announced(&self) -> usize {
        self.directory.as_ref().map_or(0, MemoryDiscovery::len)
    }

    pub(crate) fn up(&self) -> usize {
        (0..self.len())
            .filter(|index| self.node(*index).is_some())
            .count()
    }

    fn build(&self, index: usize) -> anyhow::Result<Node> {
        let member = &self.members[index];
        let bootstrap: Vec<TransportAddr> = (0..self.len())
            .filter_map(|other| self.node(other))
            .take(BOOTSTRAP)
            .flat_map(|other| other.listen_addresses())
            .collect();
        let agent = Answering(self.handlers.clone());
        let mut builder = Node::builder(member.keypair.clone(), Preset::Memory)
            .gater(Side {
                own: member.keypair.peer_id(),
                partition: self.partition.clone(),
            })
            .host(Hosting::new(member.name.clone(), agent).capability("soak/answer".parse()?))
            .pool(|pool| {
                // Short, so that connections come and go, and faults are soon over.
                pool.idle_timeout = Duration::from_secs(3);
                pool.backoff_base = Duration::from_millis(100);
                pool.backoff_max = Duration::from_secs(1);
            })
            .configure(|config| {
                config.listen = vec![member.listen.clone()];
                config.bootstrap = bootstrap;
                config.node.drain = Duration::from_secs(1);
            });
        if let Some(directory) = &self.directory {
            builder = builder.discovery(directory.clone());
        }
        Ok(builder.build()?)
    }

    /// Starts a node with its own key, unless it is up.
    pub(crate) async fn start(&self, index: usize) -> anyhow::Result<()> {
        let member = &self.members[index];
        let _changing = member.changing.lock().await;
        if self.node(index).is_some() {
            return Ok(());
        }
        let node = self.build(index)?;
        let started = node.start().await;
        started.with_context(|| format!("node {index} did not start"))?;
        *lock(&member.node) = Some(node);
        *lock(&member.changed) = Instant::now();
        Ok(())
    }

    /// Stops a node, which must leave nothing behind; at once it is no longer given to callers.
    pub(crate) async fn stop(&self, index: usize) -> anyhow::Result<()> {
        let member = &self.members[index];
        let _changing = member.changing.lock().await;
        let Some(node) = lock(&member.node).take() else {
            return Ok(());
        };
        *lock(&member.changed) = Instant::now();
        let stopping = tokio::time::timeout(Duration::from_secs(20), node.stop()).await;
        let stopped = stopping.with_context(|| format!("node {index} did not stop in 20 s"))?;
        *lock(&member.changed) = Instant::now();
        // Calls that are cut short by the end of the drain time end as typed errors; that they do
        // is checked at the caller.
        if let Err(StopError::Cancelled { calls, .. }) = stopped {
            self.cut_short.fetch_add(calls as u64, Ordering::Relaxed);
        } else {
            stopped.with_context(|| format!("node {index} did not stop as it should"))?;
        }
        let left = node.task_count();
        ensure!(left == 0, "node {index} stopped and has {left} tasks");
        Ok(())
    }

    /// Cuts some nodes off from the others, or nobody, and closes what is no longer allowed.
    pub(crate) async fn divide(&self, side: &[usize]) {
        let peers = side
            .iter()
            .map(|index| self.members[*index].keypair.peer_id());
        self.partition.cut(peers.collect());
        *lock(&self.divided) = Instant::now();
        for index in 0..self.len() {
            if let Some(node) = self.node(index) {
                node.recheck_connections().await;
            }
        }
    }

    /// Whether nothing has changed between two nodes for a while before `begun` and since.
    pub(crate) fn settled(&self, one: usize, other: usize, begun: Instant) -> bool {
        let pair = [one, other].map(|index| &self.members[index]);
        let times = [&pair[0].changed, &pair[1].changed, &self.divided];
        let peers = pair.map(|member| member.keypair.peer_id());
        times.iter().all(|time| *lock(time) + UNSETTLED <= begun)
            && pair.iter().all(|member| lock(&member.node).is_some())
            && !self.partition.divides(&peers[0], &peers[1])
    }

    pub(crate) fn sample(&self) -> Sample {
        let mut sample = Sample {
            tasks: tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks(),
            resident: crate::figures::resident_bytes(),
            handlers: self.handlers.running(),
            ..Sample::default()
        };
        let nodes = (0..self.len()).filter_map(|index| self.node(index));
        for pool in nodes.filter_map(|node| node.pool_stats()) {
            sample.links += pool.connections;
            sample.leases += pool.leases;
            sample.waiters += pool.waiters + pool.dialing + pool.queued;
        }
        sample
    }
}
