//! The agents that live on a node, and how calls find them.

use std::{
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, FutureExt as _, ready};
use o_address::{Address, PeerId};
use o_core::{Agent, CallError, Capability, IncomingCall, Label, MethodSpec, Record, Reply};
use o_discovery::registry;
use o_protocol::{Serve, ServedCall};
use tokio::sync::watch;
use tracing::Instrument as _;

use crate::{builtin::BuiltIn, pace::Pace, peers::Peers, tasks::Tasks};

/// An agent and what is said about it.
///
/// ```
/// use o_node::{Hosting, Methods};
///
/// let methods = Methods::new().unary("add", async |_, (a, b): (i64, i64)| Ok::<_, o_core::CallError>(a + b));
/// let hosting = Hosting::new("o://math/adder".parse()?, methods).capability("math/add".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Hosting {
    pub(crate) address: Address,
    pub(crate) agent: Arc<dyn Agent>,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) specialisations: Vec<Capability>,
    pub(crate) labels: Vec<Label>,
    pub(crate) description: Option<String>,
    pub(crate) announced: bool,
}

impl fmt::Debug for Hosting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosting")
            .field("address", &self.address)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

impl Hosting {
    /// An agent at an address, announced by its name.
    pub fn new(address: Address, agent: impl Agent) -> Self {
        Self {
            address,
            agent: Arc::new(agent),
            capabilities: Vec::new(),
            specialisations: Vec::new(),
            labels: Vec::new(),
            description: None,
            announced: true,
        }
    }

    /// Says what it is for, to people and models.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Announces a capability too; at most [`Record::MAX_CAPABILITIES`].
    #[must_use]
    pub fn capability(mut self, capability: Capability) -> Self {
        if !self.capabilities.contains(&capability) {
            self.capabilities.push(capability);
        }
        self
    }

    /// Says that it is especially good at something, in the grammar of capabilities; at most
    /// [`Record::MAX_SPECIALISATIONS`]. Searches by attribute and by text look at it.
    #[must_use]
    pub fn specialisation(mut self, specialisation: Capability) -> Self {
        if !self.specialisations.contains(&specialisation) {
            self.specialisations.push(specialisation);
        }
        self
    }

    /// Says something else about itself, such as `lang=de`; at most [`Record::MAX_LABELS`].
    #[must_use]
    pub fn label(mut self, label: Label) -> Self {
        if !self.labels.contains(&label) {
            self.labels.push(label);
        }
        self
    }

    /// Announces nothing: only who knows the address can call it.
    #[must_use]
    pub fn unannounced(mut self) -> Self {
        self.announced = false;
        self
    }
}

/// Bytes of capabilities, specialisations and labels: with sixteen addresses and a chain of
/// delegations they fit in a record.
const MAX_ATTRIBUTES: usize = 4096;

/// Why an agent cannot be hosted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Another agent has the address on this node.
    #[error("{address} is hosted here already")]
    Taken {
        /// The address.
        address: Address,
    },
    /// The address is `o://~`, `o://network`, or below one of them, or has a pin.
    #[error("{address} cannot be hosted: it is reserved or pinned")]
    Reserved {
        /// The address.
        address: Address,
    },
    /// A method has the name of a built-in one, a name over 128 bytes or with control characters, or
    /// the name of another.
    #[error("method `{method}` cannot be used: {reason}")]
    BadMethod {
        /// Its name.
        method: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A limit of the node or of a record.
    #[error("too many {what}: {limit} at most")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// Counts of one agent.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) served: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Of built-in methods, which are not among the others.
    pub(crate) builtin: AtomicU64,
    pub(crate) running: AtomicUsize,
    pub(crate) pace: Pace,
}

/// A hosted agent.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) hosting: Hosting,
    pub(crate) counts: Counts,
}

impl Hosted {
    /// An agent of the node itself, which is not among those that it was given.
    pub(crate) fn of_the_node(hosting: Hosting) -> Self {
        Self {
            hosting,
            counts: Counts::default(),
        }
    }

    pub(crate) fn methods(&self) -> Vec<MethodSpec> {
        self.hosting.agent.methods()
    }
}

/// All of them, by name. Watched by who announces them.
#[derive(Debug)]
pub(crate) struct Agents {
    map: RwLock<HashMap<String, Arc<Hosted>>>,
    limit: usize,
    changed: watch::Sender<u64>,
}

impl Agents {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            map: RwLock::default(),
            limit,
            changed: watch::Sender::new(0),
        }
    }

    pub(crate) fn add(&self, hosting: Hosting) -> Result<(), HostError> {
        check(&hosting)?;
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if map.contains_key(hosting.address.name()) {
            return Err(HostError::Taken {
                address: hosting.address,
            });
        }
        if map.len() >= self.limit {
            return Err(HostError::TooMany {
                what: "agents",
                limit: self.limit,
            });
        }
        let name = hosting.address.name().to_owned();
        map.insert(
            name,
            Arc::new(Hosted {
                hosting,
                counts: Counts::default(),
            }),
        );
        drop(map);
        self.changed.send_modify(|version| *version += 1);
        Ok(())
    }

    pub(crate) fn remove(&self, address: &Address) -> Option<Arc<Hosted>> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let removed = map.remove(address.name());
        drop(map);
        self.changed.send_modify(|version| *version += 1);
        removed
    }

    pub(crate) fn get(&self, address: &Address) -> Option<Arc<Hosted>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.get(address.name()).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Hosted>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = map.values().cloned().collect();
        all.sort_by(|a, b| a.hosting.address.cmp(&b.hosting.address));
        all
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

fn check(hosting: &Hosting) -> Result<(), HostError> {
    let address = &hosting.address;
    if address.root().is_node() || address.pin().is_some() || registry::is_reserved(address) {
        return Err(HostError::Reserved {
            address: address.clone(),
        });
    }
    let methods = hosting.agent.methods();
    let counts = [
        (
            "capabilities",
            hosting.capabilities.len(),
            Record::MAX_CAPABILITIES,
        ),
        (
            "specialisations",
            hosting.specialisations.len(),
            Record::MAX_SPECIALISATIONS,
        ),
        ("labels", hosting.labels.len(), Record::MAX_LABELS),
        ("methods", methods.len(), Record::MAX_METHODS),
    ];
    for (what, count, limit) in counts {
        if count > limit {
            return Err(HostError::TooMany { what, limit });
        }
    }
    let texts = hosting.capabilities.iter().chain(&hosting.specialisations);
    let texts = texts.map(Capability::as_str);
    let texts = texts.chain(hosting.labels.iter().map(Label::as_str));
    let bytes = texts.map(|text| text.len() + 2).sum::<usize>();
    if bytes > MAX_ATTRIBUTES {
        return Err(HostError::TooMany {
            what: "bytes of capabilities, specialisations and labels",
            limit: MAX_ATTRIBUTES,
        });
    }
    let mut names = std::collections::HashSet::new();
    for method in &methods {
        let reason = if BuiltIn::is_reserved(&method.name) {
            "every agent has a built-in method of this name"
        } else if method.name.is_empty() || method.name.len() > MethodSpec::MAX_NAME {
            "a name has 1 to 128 bytes"
        } else if method.name.contains(char::is_control) {
            "a name has no control characters"
        } else if !names.insert(method.name.clone()) {
            "two methods have this name"
        } else {
            continue;
        };
        return Err(HostError::BadMethod {
            method: method.name.to_string(),
            reason,
        });
    }
    Ok(())
}

/// Finds the agent for each call and lets a task of the node answer it.
pub(crate) struct Dispatcher {
    pub(crate) local: PeerId,
    pub(crate) agents: Arc<Agents>,
    pub(crate) builtin: Arc<BuiltIn>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) tasks: Tasks,
    /// Calls served at once.
    pub(crate) limit: usize,
    /// Longest first step of a call that is begun where it arrives.
    pub(crate) quick_step: Duration,
    /// Of the node's own methods.
    pub(crate) pace: Pace,
    pub(crate) running: Arc<AtomicUsize>,
    /// Those of them that were made in this process.
    pub(crate) local_calls: AtomicUsize,
    /// Whether the node stops, and nothing new begins.
    pub(crate) leaving: AtomicBool,
}

/// One running call, counted as long as it lives.
pub(crate) struct Running {
    total: Arc<AtomicUsize>,
    hosted: Option<Arc<Hosted>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.total.fetch_sub(1, Ordering::Relaxed);
        if let Some(hosted) = &self.hosted {
            hosted.counts.running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Dispatcher {
    /// Who answers a call to `target`.
    ///
    /// # Errors
    /// Nobody here has that name, or it is pinned to another node.
    pub(crate) fn target(&self, target: &Address) -> Result<Target, CallError> {
        let here = target.pin().is_none_or(|pin| pin == self.local);
        if here && target.is_node() {
            return Ok(Target {
                builtin: self.builtin.clone(),
                hosted: None,
            });
        }
        let hosted = match registry::is_reserved(target) {
            true => self.registry_at(target),
            false => self.agents.get(target),
        };
        match hosted {
            Some(hosted) if here => Ok(Target {
                builtin: self.builtin.clone(),
                hosted: Some(hosted),
            }),
            _ => Err(CallError::NotFound {
                address: target.clone(),
            }),
        }
    }

    /// Whether the hierarchy lets the peer make this call.
    fn admit(&self, call: &IncomingCall) -> Result<(), CallError> {
        match (self.builtin.hierarchy.get(), &call.context.peer) {
            (Some(hierarchy), Some(peer)) => {
                hierarchy.admit_call(peer, &call.context.target, &call.method)
            }
            _ => Ok(()),
        }
    }

    /// Lets the next node of the tree answer a call that nobody here does; where there is none, the
    /// error says why nobody does.
    fn pass_on(&self, call: ServedCall, error: &CallError) {
        let context = &call.incoming().context;
        let hierarchy = self.builtin.hierarchy.get();
        let may = !crate::hierarchy::is_direct(&call.incoming().method);
        let hierarchy = hierarchy.filter(|_| may);
        let hop = hierarchy.and_then(|h| h.hop(&context.target, context.peer.as_ref()));
        let Some(hop) = hop else {
            return call.refuse(error);
        };
        let running = match self.begin(None) {
            Ok(running) => running,
            Err(error) => return call.refuse(&error),
        };
        let span = span(&call);
        let answer = async move {
            call.answer(&hop).await;
            drop(running);
        };
        self.tasks.spawn_call(answer.instrument(span));
    }

    /// The registry, if that is its name and there is one.
    fn registry_at(&self, target: &Address) -> Option<Arc<Hosted>> {
        let registry = self.builtin.registry.get()?;
        (registry.hosting.address.name() == target.name()).then(|| registry.clone())
    }

    /// Counts a call as running until what it gives is dropped.
    ///
    /// # Errors
    /// There are too many, or the node stops.
    pub(crate) fn begin(&self, hosted: Option<Arc<Hosted>>) -> Result<Running, CallError> {
        if self.leaving.load(Ordering::Relaxed) {
            return Err(CallError::ShuttingDown);
        }
        let running = self.running.fetch_add(1, Ordering::Relaxed);
        if let Some(hosted) = &hosted {
            hosted.counts.running.fetch_add(1, Ordering::Relaxed);
        }
        let guard = Running {
            total: self.running.clone(),
            hosted,
        };
        if running >= self.limit {
            return Err(CallError::Busy {
                reason: format!("{} calls on this node", self.limit),
            });
        }
        Ok(guard)
    }
}

impl Serve for Dispatcher {
    fn serve(&self, call: ServedCall) {
        if let Err(error) = self.admit(call.incoming()) {
            return call.refuse(&error);
        }
        let target = match self.target(&call.incoming().context.target) {
            Ok(target) => target,
            Err(error) => return self.pass_on(call, &error),
        };
        let running = match self.begin(target.hosted.clone()) {
            Ok(running) => running,
            Err(error) => return call.refuse(&error),
        };
        let span = span(&call);
        // The node may note a connection only after its first call has come: an agent that calls back at
        // once would not find its caller.
        let stranger = call
            .incoming()
            .context
            .peer
            .filter(|_| call.id().0 <= 2)
            .map(|peer| (self.peers.clone(), peer));
        let hosted = target.hosted.clone();
        let pace = hosted
            .as_ref()
            .map_or(&self.pace, |hosted| &hosted.counts.pace);
        let answer = async move {
            if let Some((peers, peer)) = stranger {
                peers.noted(&peer).await;
            }
            call.answer(&target).await;
            drop(running);
        };
        let mut answer = Box::pin(answer.instrument(span));
        if pace.is_quick(self.quick_step) {
            let begun = Instant::now();
            let done = ends_at_once(answer.as_mut());
            pace.took(begun.elapsed(), self.quick_step);
            if done {
                return;
            }
        }
        self.tasks.spawn_call(answer);
    }
}

/// Polls a future once; whether it is over. It must be polled again, by who will be woken, if it is
/// not. A panic ends it as it would end a task: what it held has been dropped.
fn ends_at_once(future: Pin<&mut impl Future<Output = ()>>) -> bool {
    let mut nobody = Context::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| future.poll(&mut nobody)));
    polled.map_or(true, |polled| polled.is_ready())
}

/// Under which everything is logged that is done for a call.
fn span(call: &ServedCall) -> tracing::Span {
    let incoming = call.incoming();
    tracing::debug_span!(
        "call",
        address = %incoming.context.target,
        method = &*incoming.method,
        peer = incoming.context.peer.map(tracing::field::display),
        id = call.id().0,
    )
}

/// An agent with the built-in methods, or the node itself, which has only those.
pub(crate) struct Target {
    builtin: Arc<BuiltIn>,
    pub(crate) hosted: Option<Arc<Hosted>>,
}

// Written out: no future but the agent's own holds the call.
impl Agent for Target {
    fn methods(&self) -> Vec<MethodSpec> {
        let mut methods = self
            .hosted
            .as_ref()
            .map_or_else(Vec::new, |hosted| hosted.methods());
        methods.extend(self.builtin.methods());
        methods
    }

    fn call<'a, 'b>(&'a self, call: IncomingCall) -> BoxFuture<'b, Result<Reply, CallError>>
    where
        'a: 'b,
        Self: 'b,
    {
        if BuiltIn::is_reserved(&call.method) {
            return self.builtin.call(self.hosted.as_deref(), call).boxed();
        }
        let Some(hosted) = &self.hosted else {
            let method = call.method.to_string();
            return ready(Err(CallError::UnknownMethod { method })).boxed();
        };
        let answer = (*hosted.hosting.agent).call(call);
        let counted = move |reply: Result<Reply, CallError>| {
            let count = if reply.is_ok() {
                &hosted.counts.served
            } else {
                &hosted.counts.failed
            };
            count.fetch_add(1, Ordering::Relaxed);
            reply.map_err(|error| its_own(error, hosted))
        };
        answer.map(counted).boxed()
    }
}

/// An error of a handler, told so that the caller does not take it for one of this node.
///
/// "Nobody found" from a call that the handler made would say that the handler never ran, and the
/// caller would try elsewhere; an unknown method that the agent does have would make a liar of it.
fn its_own(error: CallError, hosted: &Hosted) -> CallError {
    let of_another = match &error {
        CallError::NotFound { .. }
        | CallError::NoProviders { .. }
        | CallError::Unreachable { .. }
        | CallError::NoNetwork { .. }
        | CallError::ShuttingDown => true,
        CallError::UnknownMethod { method } => {
            let methods = hosted.methods();
            methods.iter().any(|known| *known.name == **method)
        }
        _ => false,
    };
    match of_another {
        true => CallError::Failed {
            message: error.to_string(),
            retryable: error.is_retryable(),
            data: bytes::Bytes::new(),
        },
        false => error,
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("hosted", &self.hosted)
            .finish_non_exhaustive()
    }
}
