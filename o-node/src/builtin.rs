//! The methods that every agent has: `ping`, `describe`, `stats`, and those for measuring.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime},
};

use o_address::PeerId;
use o_core::{CallError, IncomingCall, MethodSpec, NetworkId, Provider, Query, Reply, Shape};
use o_discovery::Index;
use o_protocol::{AgentDescription, Blob, NodeDescription, encode_body};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(feature = "gossip")]
use crate::gossip;
use crate::{
    bench::Measured,
    hierarchy::{self, Hierarchy},
    hosting::{Agents, Hosted},
    peers::Peers,
};

/// What `stats` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Stats {
    /// Milliseconds since the node was started.
    pub uptime_ms: u64,
    /// Peers that are connected now.
    pub peers: usize,
    /// Calls that run now on the node.
    pub running: usize,
    /// Calls of its own methods that this agent answered; of the node, all its agents.
    pub served: u64,
    /// Calls of its own methods that this agent answered with an error; of the node, all its agents.
    pub failed: u64,
    /// Calls of built-in methods that were answered here, this one included; of the node, its own and
    /// those of all its agents. Who looks for agents or measures makes such calls, so they say little
    /// about what an agent does. Zero from a node that does not count them.
    #[serde(default)]
    pub builtin: u64,
    /// Connections whose bytes are in the clear, over Unix sockets to processes of the same user. Zero
    /// from a node that does not count them.
    #[serde(default)]
    pub plaintext: usize,
}

/// What the built-in methods know.
#[derive(Debug)]
pub(crate) struct BuiltIn {
    pub(crate) peer: PeerId,
    pub(crate) network: NetworkId,
    pub(crate) agent: String,
    pub(crate) agents: Arc<Agents>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) running: Arc<AtomicUsize>,
    /// Built-in methods of the node itself that were answered.
    pub(crate) answered: AtomicU64,
    pub(crate) started: Instant,
    /// The newest record of each agent; as many as there are agents.
    pub(crate) records: Mutex<Index>,
    /// Those for measuring.
    pub(crate) measured: Arc<Measured>,
    /// Those of the hierarchy, where the node belongs to one.
    pub(crate) hierarchy: OnceLock<Arc<Hierarchy>>,
    /// The registry as an agent, where the node belongs to a hierarchy.
    pub(crate) registry: OnceLock<Arc<Hosted>>,
    /// What is known by gossip, where the node takes part.
    #[cfg(feature = "gossip")]
    pub(crate) gossip: OnceLock<o_discovery::swarm::gossip::Handle>,
}

const NAMES: [(&str, &str); 3] = [
    ("ping", "Answers with the parameters, at once."),
    (
        "describe",
        "Says what this is: methods with their schemas, capabilities, the signed record.",
    ),
    ("stats", "Counts calls, peers and time."),
];

impl BuiltIn {
    pub(crate) fn is_reserved(method: &str) -> bool {
        NAMES.iter().any(|(name, _)| *name == method)
            || Measured::is_reserved(method)
            || hierarchy::is_reserved(method)
            || is_gossip(method)
    }

    pub(crate) fn methods(&self) -> impl Iterator<Item = MethodSpec> {
        let plain = NAMES.iter().map(|(name, description)| {
            let mut spec = MethodSpec::new(*name, Shape::Unary);
            spec.description = (*description).into();
            spec.idempotent = true;
            spec
        });
        let hierarchy = self
            .hierarchy
            .get()
            .into_iter()
            .flat_map(|_| hierarchy::specs());
        let all = plain.chain(self.measured.methods()).chain(hierarchy);
        #[cfg(feature = "gossip")]
        let all = all.chain(self.gossip.get().into_iter().flat_map(|_| gossip::specs()));
        all
    }

    /// Answers a built-in method of an agent, or of the node itself.
    pub(crate) async fn call(
        &self,
        hosted: Option<&Hosted>,
        call: IncomingCall,
    ) -> Result<Reply, CallError> {
        if Measured::is_reserved(&call.method) {
            self.count(hosted);
            // In a box: the future of every call has room for it.
            return Box::pin(self.measured.clone().call(call)).await;
        }
        if hierarchy::is_reserved(&call.method) {
            self.count(hosted);
            return match self.hierarchy.get() {
                Some(hierarchy) if self.is_place(hosted, hierarchy) => {
                    Box::pin(hierarchy.call(call)).await
                }
                _ => Err(CallError::UnknownMethod {
                    method: call.method.to_string(),
                }),
            };
        }
        #[cfg(feature = "gossip")]
        if let (true, None, Some(handle)) = (is_gossip(&call.method), hosted, self.gossip.get()) {
            self.count(hosted);
            return gossip::answer(handle, &call);
        }
        if !call.shape.can_call(Shape::Unary) {
            return Err(CallError::WrongShape {
                method: Shape::Unary,
                call: call.shape,
            });
        }
        self.count(hosted);
        let encoding = call.body.encoding;
        let encoded = match (&*call.method, hosted) {
            ("ping", _) => return Ok(Reply::One(call.body.clone())),
            ("describe", Some(hosted)) => encode_body(encoding, &self.describe(hosted)),
            ("describe", None) => encode_body(encoding, &self.describe_node()),
            ("stats", _) => encode_body(encoding, &self.stats(hosted)),
            (method, _) => {
                return Err(CallError::UnknownMethod {
                    method: method.to_owned(),
                });
            }
        };
        let body = encoded.map_err(|error| CallError::Internal {
            message: error.to_string(),
        })?;
        Ok(Reply::One(body))
    }

    /// Whether the methods of the hierarchy are answered at this address: at the node itself, and at
    /// the name that it has in the hierarchy.
    fn is_place(&self, hosted: Option<&Hosted>, hierarchy: &Hierarchy) -> bool {
        hosted.is_none_or(|hosted| hosted.hosting.address.name() == hierarchy.name.name())
    }

    fn count(&self, hosted: Option<&Hosted>) {
        let count = hosted.map_or(&self.answered, |hosted| &hosted.counts.builtin);
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The agents of this node that match, as it tells others of them.
    pub(crate) fn find(&self, query: &Query) -> Vec<Provider> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = records.find(query, SystemTime::now());
        for provider in &mut found {
            provider.confirmed = true;
        }
        found
    }

    fn describe(&self, hosted: &Hosted) -> AgentDescription {
        let mut methods = hosted.methods();
        methods.extend(self.methods());
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let address = &hosted.hosting.address;
        let mut description = AgentDescription::new(address.clone(), &methods);
        description
            .capabilities
            .clone_from(&hosted.hosting.capabilities);
        let hosting = &hosted.hosting;
        description
            .specialisations
            .clone_from(&hosting.specialisations);
        description.labels.clone_from(&hosting.labels);
        description
            .description
            .clone_from(&hosted.hosting.description);
        description.record = records
            .get(address, &self.peer)
            .map(|record| Blob(record.envelope().clone()));
        description
    }

    fn describe_node(&self) -> NodeDescription {
        // What is not announced is not listed either: only who knows its address finds it.
        let agents = self.agents.all();
        let announced = agents.iter().filter(|hosted| hosted.hosting.announced);
        let mut node = NodeDescription::new(self.peer, self.network.clone(), &*self.agent);
        node.agents = announced.map(|hosted| self.describe(hosted)).collect();
        node
    }

    fn stats(&self, hosted: Option<&Hosted>) -> Stats {
        let all = self.agents.all();
        let of = |hosted: &Hosted| {
            let counts = &hosted.counts;
            (
                counts.served.load(Ordering::Relaxed),
                counts.failed.load(Ordering::Relaxed),
                counts.builtin.load(Ordering::Relaxed),
            )
        };
        let own = self.answered.load(Ordering::Relaxed);
        let (served, failed, builtin) = match hosted {
            Some(hosted) => of(hosted),
            None => all.iter().fold((0, 0, own), |sum, hosted| {
                let (served, failed, builtin) = of(hosted);
                (sum.0 + served, sum.1 + failed, sum.2 + builtin)
            }),
        };
        Stats {
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            peers: self.peers.count(),
            running: self.running.load(Ordering::Relaxed),
            served,
            failed,
            builtin,
            plaintext: self.peers.plaintext(),
        }
    }
}

/// Whether a method is one that nodes have that gossip.
fn is_gossip(method: &str) -> bool {
    #[cfg(feature = "gossip")]
    return gossip::is_reserved(method);
    #[cfg(not(feature = "gossip"))]
    {
        let _ = method;
        false
    }
}
