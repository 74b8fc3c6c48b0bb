//! `o serve`: an agent on a node of its own, until somebody ends it.

mod events;
mod gate;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Instant};

use futures::StreamExt;
use o_address::{Address, TransportAddr};
use o_core::{Agent, Event, EventStream, Node as _};
use o_node::{Hosting, Identity, IdentityConfig, KeySource, Keypair, Node, NodeBuilder};
use serde_json::json;

use self::events::Connections;
use super::Context;
use crate::{
    cli::{MethodArg, ServeArgs},
    control::{Control, Facts},
    echo,
    exec::{Children, CommandAgent, Program},
    exit::{Exit, Failure},
    network,
    output::{Output, Style},
    paths,
    runtime_dir::{Registration, RunningNode},
    settings::{Layer, Role, Settings},
    signals::Interrupt,
};

/// Serves an address.
pub(super) async fn run(args: ServeArgs, context: Context<'_>) -> Result<(), Failure> {
    let flags = Layer::try_from(&args.settings)?;
    let settings = Settings::load(context.config.as_deref(), flags, Role::Server)?;
    check(&settings)?;
    let children = match args.method.is_empty() {
        true => Children::default(),
        false => Children::guarded(),
    };
    let agent = agent(&args.method, &settings, &children)?;
    let identity = identity(&args.address, &settings)?;

    let node = builder(&args, &settings, &identity, agent)?
        .build()
        .map_err(|error| Failure::usage(error.to_string()))?;
    let events = node.events();
    context
        .interrupt
        .during(async { Ok(node.start().await?) })
        .await?;
    let server = Server {
        args: &args,
        settings: &settings,
        output: context.output,
        node,
        registration: None,
        unheard: false,
    };
    server.run(events, &children, &context.interrupt).await
}

/// Refuses settings that no node can be started with, before anything is opened or made.
///
/// # Errors
/// What is wrong with them.
pub(super) fn check(settings: &Settings) -> Result<(), Failure> {
    settings.node.validate()?;
    settings.node.check_listen()?;
    gate::gater(settings, false)?;
    // Whatever the address and the key will be.
    let keys = Keypair::from_seed("nobody");
    let address = "o://nobody".parse();
    let address = address.map_err(|e: o_address::AddressError| Failure::internal(e.to_string()))?;
    let hosting = hosting(address, settings, Arc::new(echo::agent()));
    let builder = Node::builder(keys, settings.preset.value).host(hosting);
    let built = builder.config(settings.node.clone()).build();
    built.map_err(|error| Failure::usage(error.to_string()))?;
    Ok(())
}

/// The programs as methods, or the echo agent.
fn agent(
    methods: &[MethodArg],
    settings: &Settings,
    children: &Children,
) -> Result<Arc<dyn Agent>, Failure> {
    if methods.is_empty() {
        return Ok(Arc::new(echo::agent()));
    }
    let mut programs = BTreeMap::new();
    for MethodArg { name, words } in methods {
        let program =
            Program::find(words).map_err(|f| f.context(format_args!("--method {name}")))?;
        if programs.insert(name.clone(), program).is_some() {
            return Err(Failure::usage(format!("--method {name} is given twice")));
        }
    }
    let limits = settings.exec.limits();
    Ok(Arc::new(CommandAgent::new(
        programs,
        limits,
        children.clone(),
    )))
}

fn identity(address: &Address, settings: &Settings) -> Result<Identity, Failure> {
    let key = match (&settings.key.value, key_file(address, settings)?) {
        (_, Some(path)) => KeySource::File(path),
        (Some(key), None) => key.clone(),
        (None, None) => KeySource::default(),
    };
    Ok(IdentityConfig::new(key).open()?)
}

/// The file of the node's key, where it is in one.
fn key_file(address: &Address, settings: &Settings) -> Result<Option<PathBuf>, Failure> {
    Ok(match &settings.key.value {
        None => Some(paths::key_file(address)?),
        Some(KeySource::File(path)) => Some(path.clone()),
        Some(_) => None,
    })
}

fn builder(
    args: &ServeArgs,
    settings: &Settings,
    identity: &Identity,
    agent: Arc<dyn Agent>,
) -> Result<NodeBuilder, Failure> {
    let mut config = settings.node.clone();
    if config.bootstrap.is_empty() && args.parent.is_none() && config.hierarchy.parent.is_none() {
        config.bootstrap = network::neighbors(settings).unwrap_or_else(|error| {
            tracing::warn!(%error, "it does not join the other nodes of this user by itself");
            Vec::new()
        });
    }
    if config.reputation.file.is_none() {
        config.reputation.file = paths::reputation_file(&identity.keypair().peer_id());
    }
    #[cfg(feature = "store")]
    if config.registry.file.is_none() {
        config.registry.file = paths::registry_file(&identity.keypair().peer_id());
    }
    config.hierarchy = gate::place(args, settings)?;
    if config.hierarchy.successors.is_none()
        && let Some(key) = key_file(&args.address, settings)?
    {
        config.hierarchy.successors = Some(super::key::successors_file(&key));
    }
    let is_child = config.hierarchy.parent.is_some();
    let builder = Node::builder(identity.keypair().clone(), settings.preset.value)
        .config(config)
        .host(hosting(args.address.clone(), settings, agent));
    Ok(match gate::gater(settings, is_child)? {
        Some(gater) => builder.gater(gater),
        None => builder,
    })
}

fn hosting(address: Address, settings: &Settings, agent: Arc<dyn Agent>) -> Hosting {
    let hosting = Hosting::new(address, agent);
    let all = settings.capabilities.value.iter().cloned();
    let hosting = all.fold(hosting, Hosting::capability);
    let all = settings.specialisations.value.iter().cloned();
    let hosting = all.fold(hosting, Hosting::specialisation);
    let all = settings.labels.value.iter().cloned();
    let hosting = all.fold(hosting, Hosting::label);
    match &settings.description.value {
        Some(description) => hosting.description(description),
        None => hosting,
    }
}

struct Server<'a> {
    args: &'a ServeArgs,
    settings: &'a Settings,
    output: &'a Output,
    node: Node,
    registration: Option<Registration>,
    /// Whether nobody reads standard output any more.
    unheard: bool,
}

impl Server<'_> {
    /// Says that it is ready, and serves until it is interrupted.
    async fn run(
        mut self,
        mut events: EventStream,
        children: &Children,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        self.register();
        let control = self.control().await;
        let listen = self.node.listen_addresses();
        let ready = self.ready(&listen);
        let served = match self.written(ready) {
            Ok(()) => {
                let (node, facts) = (self.node.clone(), self.facts());
                let answering = async {
                    match &control {
                        Some(control) => control.serve(&node, &facts).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    served = self.watch(listen, &mut events, interrupt) => served,
                    () = answering => Ok(()),
                }
            }
            failed => failed,
        };
        drop(control);
        let hurry = {
            let stopping = async {
                if let Err(error) = self.node.stop().await {
                    tracing::warn!(%error, "stopped");
                }
                children.settle().await;
            };
            tokio::select! {
                () = stopping => false,
                () = interrupt.again() => true,
            }
        };
        if hurry {
            children.kill();
            return Err(Failure::interrupted());
        }
        drop(self.registration.take());
        served?;
        self.event(|| json!({ "event": "stopped" }))
    }

    /// Passes events on until it is interrupted; not those of the addresses that were told.
    async fn watch(
        &mut self,
        mut told: Vec<TransportAddr>,
        events: &mut EventStream,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let mut connections = Connections::default();
        loop {
            let event = tokio::select! {
                biased;
                () = interrupt.wait() => {
                    self.output.note("stopping …");
                    return self.event(|| json!({ "event": "stopping" }));
                }
                Some(event) = events.next() => event,
            };
            match &event {
                Ok(Event::Listening(address)) if told.contains(address) => {
                    told.retain(|other| other != address);
                    continue;
                }
                Ok(Event::Listening(_) | Event::ListenerClosed(_)) => self.register(),
                _ => {}
            }
            if self.output.is_json()
                && connections.is_news(&event)
                && let Some(line) = events::as_json(&event)
            {
                self.event(|| line)?;
            }
        }
    }

    /// Lets the other programs of this user ask the node. Serving goes on where that fails.
    async fn control(&self) -> Option<Control> {
        match Control::open(&self.node.peer_id()).await {
            Ok(control) => Some(control),
            Err(error) => {
                tracing::warn!(%error, "there is no control socket: `o peers` cannot ask this node");
                None
            }
        }
    }

    fn facts(&self) -> Facts {
        Facts {
            address: self.args.address.clone(),
            network: self.settings.network.value.clone(),
            since: Instant::now(),
        }
    }

    /// Lets the other programs of this user find the node. Serving goes on where that fails.
    fn register(&mut self) {
        let node = RunningNode {
            pid: std::process::id(),
            address: self.args.address.clone(),
            peer_id: self.node.peer_id(),
            network: self.settings.network.value.clone(),
            listen: self.node.listen_addresses(),
        };
        let done = match &mut self.registration {
            Some(registration) => registration.update(&node),
            None => Registration::new(&node).map(|new| self.registration = Some(new)),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "clients of this user cannot find this node by themselves");
        }
    }

    fn ready(&self, listen: &[TransportAddr]) -> Result<(), Failure> {
        let (address, peer) = (&self.args.address, self.node.peer_id());
        if self.output.is_json() {
            return self.output.value(&json!({
                "event": "ready",
                "address": address,
                "peer_id": peer,
                "listen": listen,
                "network": self.settings.network.value,
                "parent": self.args.parent,
            }));
        }
        let output = self.output;
        let shown = output.paint(Style::Green, address);
        output.line(format_args!("serving {shown} as {peer}"))?;
        for address in listen {
            let plain = self.settings.unix_plaintext.value && address.transport_label() == "unix";
            let note = match plain {
                true => ", in plaintext with processes of this user that want it",
                false => "",
            };
            output.line(format_args!("listening on {address}{note}"))?;
        }
        if self.args.method.is_empty() {
            let methods = echo::METHODS;
            output.line(format_args!(
                "no --method: this is the echo agent ({methods})"
            ))?;
            output.line(format_args!("try: o call {address} echo '\"hello\"'"))?;
        }
        output.note("Ctrl-C ends it");
        Ok(())
    }

    fn event(&mut self, event: impl FnOnce() -> serde_json::Value) -> Result<(), Failure> {
        if !self.output.is_json() || self.unheard {
            return Ok(());
        }
        let written = self.output.value(&event());
        self.written(written)
    }

    /// That nobody reads what it writes is no reason for a server to end.
    fn written(&mut self, written: Result<(), Failure>) -> Result<(), Failure> {
        match written {
            Err(failure) if failure.exit == Exit::Silent => {
                self.unheard = true;
                tracing::warn!("nobody reads standard output any more: it goes on serving");
                Ok(())
            }
            other => other,
        }
    }
}
