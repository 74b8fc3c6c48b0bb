//! How a node is put together.

use std::{fmt, sync::Arc};

use o_core::{ConnectionGater, Discovery, Hook, Resolver, StartError, Transport};
use o_gating::GaterChain;
use o_pool::PoolConfig;
use o_transport::{BoxedTransport, Keypair};

use crate::{
    config::{NodeConfig, Preset},
    hosting::{HostError, Hosting},
    node::Node,
};

/// Puts a node together. Everything that the preset chose can be changed.
pub struct NodeBuilder {
    pub(crate) keypair: Keypair,
    pub(crate) config: NodeConfig,
    pub(crate) gaters: GaterChain,
    pub(crate) discovery: Vec<Arc<dyn Discovery>>,
    pub(crate) resolvers: Vec<Arc<dyn Resolver>>,
    pub(crate) transports: Vec<Arc<dyn Transport>>,
    pub(crate) libp2p_transports: Option<crate::raw::TransportFactory>,
    pub(crate) hooks: Vec<Arc<dyn Hook>>,
    hostings: Vec<Hosting>,
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeBuilder")
            .field("peer", &self.keypair.peer_id())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl NodeBuilder {
    pub(crate) fn new(keypair: Keypair, preset: Preset) -> Self {
        Self {
            keypair,
            config: NodeConfig::preset(preset),
            gaters: GaterChain::new(),
            discovery: Vec::new(),
            resolvers: Vec::new(),
            transports: Vec::new(),
            libp2p_transports: None,
            hooks: Vec::new(),
            hostings: Vec::new(),
        }
    }

    /// Replaces the whole configuration.
    #[must_use]
    pub fn config(mut self, config: NodeConfig) -> Self {
        self.config = config;
        self
    }

    /// Changes the configuration in place.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut NodeConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes the configuration of the pool.
    #[must_use]
    pub fn pool(self, change: impl FnOnce(&mut PoolConfig)) -> Self {
        self.configure(|config| change(&mut config.pool))
    }

    /// Most connections at once, in all.
    #[must_use]
    pub fn max_connections(self, max: usize) -> Self {
        self.configure(|config| {
            config.limits.max_connections = max;
            config.limits.max_inbound = config.limits.max_inbound.min(max);
        })
    }

    /// Listens nowhere and is a client of the DHT: for short-lived nodes.
    #[must_use]
    pub fn client(self) -> Self {
        let config = self.config.clone().client();
        self.config(config)
    }

    /// Adds a policy; of several, the first denial wins.
    #[must_use]
    pub fn gater(mut self, gater: impl ConnectionGater) -> Self {
        self.gaters.push(Arc::new(gater));
        self
    }

    /// Adds a source of discovery beside those that configuration turns on.
    #[must_use]
    pub fn discovery(mut self, source: impl Discovery) -> Self {
        self.discovery.push(Arc::new(source));
        self
    }

    /// Adds a resolver that calls ask before the node looks for an address itself, in the order in
    /// which they were added.
    ///
    /// The first that knows the address decides: its routes are tried in their order, without a look
    /// at what the node knows itself, and if none of them leads to somebody who takes the call, the
    /// call fails. [`o_core::ResolveError::NotFound`], or no routes, passes the question on; any other
    /// error ends the call. A route to this node itself needs no addresses. Routes to others than the
    /// peer of a pinned address are left out.
    ///
    /// The peer of a route is proved by the handshake, as always. [`Node::find`] does not ask
    /// resolvers.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolver) -> Self {
        self.resolvers.push(Arc::new(resolver));
        self
    }

    /// Adds a transport beside libp2p's. It proves its peers itself and passes the same gater.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transports.push(Arc::new(transport));
        self
    }

    /// Adds libp2p transports of a user's own, made anew at each start; see [`crate::raw`].
    #[must_use]
    pub fn raw_transports(
        mut self,
        make: impl Fn(&Keypair) -> Vec<BoxedTransport> + Send + Sync + 'static,
    ) -> Self {
        self.libp2p_transports = Some(Arc::new(make));
        self
    }

    /// Adds code around start and stop.
    #[must_use]
    pub fn hook(mut self, hook: impl Hook) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// Adds an agent.
    #[must_use]
    pub fn host(mut self, hosting: Hosting) -> Self {
        self.hostings.push(hosting);
        self
    }

    /// The node, created and not started.
    ///
    /// # Errors
    /// An agent that cannot be hosted.
    pub fn build(mut self) -> Result<Node, HostError> {
        let hostings = std::mem::take(&mut self.hostings);
        let place = &mut self.config.hierarchy;
        if place.name.is_none() {
            // What is hosted is checked below.
            place.name = hostings.first().map(|first| first.address.without_pin());
        }
        let node = Node::new(self);
        hostings
            .into_iter()
            .try_for_each(|hosting| node.host(hosting))?;
        Ok(node)
    }

    /// The node, running.
    ///
    /// # Errors
    /// What `build` and [`o_core::Node::start`] return.
    ///
    /// # Cancel safety
    /// Dropping the future stops what has been started.
    pub async fn start(self) -> Result<Node, StartError> {
        let node = self.build().map_err(|error| StartError::Config {
            reason: error.to_string(),
        })?;
        o_core::Node::start(&node).await?;
        Ok(node)
    }
}
