//! A small, complete node over any transport: agents, calls, start and stop.

mod config;
mod run;
mod serve;
mod sessions;
mod shared;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use o_address::{Address, PeerId, TransportAddr};
use o_core::{
    Agent, CallError, Caller, Event, ListenError, Listener, Node, NodeState, OutgoingCall, Reply,
    StartError, StopError, Transport,
};
use tokio::time::Instant;

pub use self::config::{MemoryNodeBuilder, MemoryNodeConfig};
use self::{run::Run, shared::Shared};
use crate::RecordingEvents;

/// A node without anything built in: hosts agents, serves and makes calls over any
/// [`Transport`]. Clones are the same node; when the last is dropped, everything of it ends.
///
/// It is also the example of how o-core and o-protocol make a node: a session on every connection,
/// whoever dialed, and a resolver between a name and a connection.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use o_core::{Body, Caller, Node, OutgoingCall, Reply};
/// use o_testkit::{Directory, MemoryNetwork, MemoryNode, conformance::Probe, test_peer};
///
/// let (network, directory) = (MemoryNetwork::new(), Directory::default());
/// let alice = MemoryNode::builder(test_peer(1), network.transport(test_peer(1)))
///     .directory(&directory)
///     .build();
/// let bob = MemoryNode::builder(test_peer(2), network.transport(test_peer(2)))
///     .directory(&directory)
///     .listen("/memory/0".parse()?)
///     .build();
/// bob.host(&"o://bob/probe".parse()?, Probe::new())?;
/// alice.start().await?;
/// bob.start().await?;
///
/// let call = OutgoingCall::unary("o://bob/probe".parse()?, "echo", Body::raw("hello"));
/// let Reply::One(answer) = alice.call(call).await? else { return Err("a stream".into()) };
/// assert_eq!(answer, Body::raw("hello"));
/// bob.stop().await?;
/// alice.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryNode {
    owner: Arc<Owner>,
}

/// The user's side of a node: tasks hold what is shared, and not this.
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(run) = self.shared.run() {
            run.abort();
            self.shared
                .hosted()
                .iter()
                .for_each(|address| self.shared.unannounce(address));
        }
    }
}

/// Why an agent cannot be hosted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Another agent answers to this address already.
    #[error("the address is taken")]
    Taken,
    /// There are too many agents.
    #[error("too many agents")]
    TooMany,
    /// The address is pinned to another peer, or reserved.
    #[error("the address is another peer's or reserved")]
    BadAddress,
}

impl fmt::Debug for MemoryNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNode")
            .field("peer", &self.peer())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl MemoryNode {
    /// A node of `peer`, which is whom `transport` proves it to be.
    pub fn builder(peer: PeerId, transport: impl Transport) -> MemoryNodeBuilder {
        MemoryNodeBuilder::new(peer, Arc::new(transport))
    }

    fn new(shared: Arc<Shared>) -> Self {
        Self {
            owner: Arc::new(Owner { shared }),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    /// Whose node it is.
    pub fn peer(&self) -> PeerId {
        self.shared().built.peer
    }

    /// Where it listens now.
    pub fn addresses(&self) -> Vec<TransportAddr> {
        self.shared()
            .run()
            .map(|run| run.addresses())
            .unwrap_or_default()
    }

    /// How many connections it has.
    pub fn connections(&self) -> usize {
        self.shared().run().map_or(0, |run| run.sessions().len())
    }

    /// What happens in it.
    pub fn events(&self) -> &RecordingEvents {
        &self.shared().built.events
    }

    /// Lets `agent` answer to `address` from now on, or from the next start on.
    ///
    /// An agent that holds a clone of its own node keeps the node alive: end that with
    /// [`withdraw`](Self::withdraw), or at least with [`stop`](Node::stop).
    ///
    /// # Errors
    /// When the address is taken or not this node's to give, or there are too many agents.
    pub fn host(&self, address: &Address, agent: impl Agent) -> Result<(), HostError> {
        let mine = address.pin().is_none_or(|pin| pin == self.peer());
        if !mine || address.root().is_node() {
            return Err(HostError::BadAddress);
        }
        let address = address.without_pin();
        self.shared().host(address.clone(), Arc::new(agent))?;
        self.shared().publish(Event::Hosted(address.clone()));
        if let Ok(run) = self.shared().running() {
            self.shared().announce(&run, &address);
        }
        Ok(())
    }

    /// Ends what [`host`](Self::host) began; calls that run go on. Tells whether there was an agent.
    pub fn withdraw(&self, address: &Address) -> bool {
        let address = address.without_pin();
        let hosted = self.shared().withdraw(&address);
        if hosted {
            self.shared().unannounce(&address);
            self.shared().publish(Event::Withdrawn(address));
        }
        hosted
    }
}

#[async_trait]
impl Caller for MemoryNode {
    async fn call(&self, mut call: OutgoingCall) -> Result<Reply, CallError> {
        let run = self.shared().running()?;
        call.terms.begin(Instant::now().into());
        if let Some(agent) = self.shared().agent(&call.target) {
            return serve::call_here(&run, agent, call).await;
        }
        let begun = Instant::now();
        let connected = self.shared().session_for(&run, &call.target);
        let session = match call.terms.deadline {
            None => connected.await?,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), connected)
                .await
                .map_err(|_| CallError::TimedOut {
                    after: begun.elapsed(),
                })??,
        };
        session.call(call).await
    }
}

#[async_trait]
impl Node for MemoryNode {
    async fn start(&self) -> Result<(), StartError> {
        let shared = self.shared();
        shared.live(|life| life.begin_start())?;
        let _transition = shared.transition.lock().await;
        let run = Arc::new(Run::new(shared.built.config.max_connections));
        shared.set_run(Some(run.clone()));
        // A stop that came before there was anything to tell of it.
        let stopped = || {
            if shared.state() == NodeState::Starting {
                Ok(())
            } else {
                Err(StartError::Stopped)
            }
        };
        let up = async {
            stopped()?;
            self.bring_up(&run).await
        };
        let up = run
            .leaving
            .run_until_cancelled(up)
            .await
            .unwrap_or(Err(StartError::Stopped));
        let result = up.and_then(|()| {
            shared.live(|life| life.started());
            if shared.state() == NodeState::Running {
                Ok(())
            } else {
                Err(StartError::Stopped)
            }
        });
        if result.is_err() {
            // Nothing runs yet that could be cut short.
            let _ = self.take_down(&run).await;
        }
        result
    }

    async fn stop(&self) -> Result<(), StopError> {
        let shared = self.shared();
        shared.live(|life| life.begin_stop());
        if shared.state() == NodeState::Created {
            return Ok(());
        }
        if let Some(run) = shared.run() {
            run.leaving.cancel();
        }
        let _transition = shared.transition.lock().await;
        match shared.run() {
            Some(run) if shared.state() == NodeState::Stopping => self.take_down(&run).await,
            Some(_) => Ok(()),
            None => {
                shared.live(|life| life.stopped());
                Ok(())
            }
        }
    }

    fn state(&self) -> NodeState {
        self.shared().state()
    }
}

impl MemoryNode {
    /// Hooks, listeners, names; then calls are taken.
    async fn bring_up(&self, run: &Arc<Run>) -> Result<(), StartError> {
        let shared = self.shared();
        for hook in &shared.built.hooks {
            run.hooks.fetch_add(1, Ordering::Relaxed);
            hook.initialize()
                .await
                .map_err(|source| StartError::Hook { source })?;
        }
        let mut listeners: Vec<Box<dyn Listener>> = Vec::new();
        for address in &shared.built.listen {
            let listener = self.listen(address).await;
            let failed = |source| StartError::Listen {
                address: address.clone(),
                source,
            };
            let listener = listener.map_err(failed)?;
            run.listens_at(listener.address());
            listeners.push(listener);
        }
        for hook in &shared.built.hooks {
            hook.started()
                .await
                .map_err(|source| StartError::Hook { source })?;
        }
        for address in run.addresses() {
            shared.publish(Event::Listening(address.with_peer(&self.peer())));
        }
        for address in shared.hosted() {
            shared.announce(run, &address);
        }
        for listener in listeners {
            run.tasks
                .spawn(shared.clone().accept_all(run.clone(), listener));
        }
        Ok(())
    }

    async fn listen(&self, address: &TransportAddr) -> Result<Box<dyn Listener>, ListenError> {
        let transport = &self.shared().built.transport;
        if !transport.handles(address) {
            let reason = format!("{address} is not of this transport");
            return Err(ListenError::Unsupported { reason });
        }
        transport.listen(address).await
    }

    async fn take_down(&self, run: &Arc<Run>) -> Result<(), StopError> {
        let shared = self.shared();
        for address in shared.hosted() {
            shared.unannounce(&address);
        }
        let result = run.shut_down(shared.built.config.drain).await;
        let begun = run.hooks_begun();
        for hook in shared.built.hooks.iter().take(begun).rev() {
            hook.stopped().await;
            run.hooks.fetch_sub(1, Ordering::Relaxed);
        }
        shared.set_run(None);
        shared.live(|life| life.stopped());
        result
    }
}
