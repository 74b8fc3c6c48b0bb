//! `o serve`: an agent on a node of its own, until somebody ends it.

mod events;
mod gate;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

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
    let key = match &settings.key.value {
        Some(key) => key.clone(),
        None => KeySource::File(paths::key_file(address)?),
    };
    Ok(IdentityConfig::new(key).open()?)
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
