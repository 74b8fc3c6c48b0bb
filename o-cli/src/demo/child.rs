//! A process of the demo: one node with its own key, which lives as long as its parent.

use std::{
    ffi::OsString,
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use o_address::{Address, AddressError, PeerId, TransportAddr};
use o_core::{Access, Capability, CapabilityError, NetworkId, Node as _};
use o_node::{Hosting, KeyFile, Methods, Node, NodeBuilder, Preset};
use tokio::sync::oneshot;

use super::{
    DemoArgs, caller,
    event::{Event, Role, millis},
    files,
    library::{Library, Limits},
    text,
    wire::{READ, SEARCH, SUMMARIZE},
};
use crate::{exit::Failure, output::Output};

/// How long a node waits for its calls when it stops.
const DRAIN: Duration = Duration::from_millis(500);

/// The name of the node that the others join.
const LEADER: &str = "o://demo";

/// The name of the agent that is killed.
pub(super) const SPARE: &str = "o://demo/spare";

/// What the demo tells its processes. Nobody else needs it.
#[derive(Clone, Debug, Args)]
pub(super) struct ChildArgs {
    #[arg(long, hide = true, requires_all = ["demo_network", "demo_key"])]
    pub(super) role: Option<Role>,
    #[arg(long, hide = true)]
    demo_network: Option<NetworkId>,
    #[arg(long, hide = true)]
    demo_key: Option<PathBuf>,
    #[arg(long, hide = true)]
    demo_bootstrap: Option<TransportAddr>,
}

impl ChildArgs {
    /// The node that this one knows.
    pub(super) fn leader(&self) -> Option<PeerId> {
        self.demo_bootstrap.as_ref()?.peer_id()
    }

    /// The flags that make a process what it is.
    pub(super) fn flags(
        role: Role,
        network: &str,
        key: &Path,
        bootstrap: Option<&TransportAddr>,
    ) -> Vec<OsString> {
        let mut flags: Vec<OsString> = vec![
            "--role".into(),
            role.name().into(),
            "--demo-network".into(),
            network.into(),
        ];
        flags.extend(["--demo-key".into(), key.into()]);
        if let Some(bootstrap) = bootstrap {
            flags.extend(["--demo-bootstrap".into(), bootstrap.as_str().into()]);
        }
        flags
    }
}

/// Runs a process of the demo until its work is done or its parent has gone.
pub(super) async fn run(role: Role, args: &DemoArgs, output: &Output) -> Result<(), Failure> {
    let begun = Instant::now();
    let parent_gone = parent_gone()?;
    let missing = || Failure::usage("--role needs --demo-network and --demo-key");
    let key = KeyFile::open_or_create(args.child.demo_key.as_ref().ok_or_else(missing)?)?;
    let hosted = Hosted::of(role, args)?;
    let address = hosted.as_ref().map(|hosted| hosted.address.clone());
    let capabilities = hosted.as_ref().map(|hosted| hosted.capabilities.clone());

    let node = builder(role, args, &key, hosted).start().await?;
    if let Some(bootstrap) = &args.child.demo_bootstrap {
        node.connect(bootstrap).await?;
    }
    output.value(&Event::Ready {
        role,
        pid: std::process::id(),
        peer_id: node.peer_id(),
        address,
        capabilities: capabilities.unwrap_or_default(),
        listen: node.listen_addresses(),
        elapsed_ms: millis(begun.elapsed()),
    })?;
    if role == Role::Caller {
        tokio::select! {
            _ = parent_gone => {}
            done = caller::run(&node, args, output) => if let Err(failure) = done {
                output.value(&Event::Failed(failure.into()))?;
            },
        }
    } else {
        let _ = parent_gone.await;
    }
    if let Err(error) = node.stop().await {
        tracing::debug!(%error, "stopped");
    }
    Ok(())
}

fn builder(role: Role, args: &DemoArgs, key: &KeyFile, hosted: Option<Hosted>) -> NodeBuilder {
    let leader: Option<Address> = match role {
        Role::Leader => LEADER.parse().ok(),
        _ => None,
    };
    let is_child = hosted.is_some();
    let builder = Node::builder(key.keypair().clone(), Preset::Local).configure(|config| {
        config.network = args.child.demo_network.clone().unwrap_or_default();
        config.bootstrap = args.child.demo_bootstrap.iter().cloned().collect();
        config.node.drain = DRAIN;
        config.hierarchy.name = leader;
        if is_child {
            config.hierarchy.parent = args.child.demo_bootstrap.clone();
            // The caller belongs to no family.
            config.hierarchy.policy.access = Some(Access::Everybody);
        }
        config.agent = format!("o-demo-{}/{}", role.name(), env!("CARGO_PKG_VERSION"));
    });
    let builder = if role == Role::Caller {
        builder.client()
    } else {
        builder
    };
    match hosted {
        Some(Hosted {
            address,
            methods,
            description,
            capabilities,
        }) => {
            let hosting = Hosting::new(address, methods).description(description);
            builder.host(capabilities.into_iter().fold(hosting, Hosting::capability))
        }
        None => builder,
    }
}

/// The agent of a process.
struct Hosted {
    address: Address,
    methods: Methods,
    description: &'static str,
    capabilities: Vec<Capability>,
}

impl Hosted {
    fn of(role: Role, args: &DemoArgs) -> Result<Option<Self>, Failure> {
        let (address, methods, description, capabilities) = match role {
            Role::Leader | Role::Caller => return Ok(None),
            Role::Files => {
                let library = Library::open(&args.path, Limits::default())?;
                let description = "Searches and reads the text files under one directory.";
                (
                    "o://demo/files",
                    files::methods(library),
                    description,
                    vec![SEARCH.0, READ.0],
                )
            }
            Role::Text | Role::Spare => {
                let description = "Picks the sentences of documents that say most.";
                let address = match role {
                    Role::Spare => SPARE,
                    _ => "o://demo/text",
                };
                (address, text::methods(), description, vec![SUMMARIZE.0])
            }
        };
        let address = address
            .parse()
            .map_err(|e: AddressError| Failure::internal(e.to_string()))?;
        let capabilities: Result<Vec<_>, _> = capabilities.into_iter().map(str::parse).collect();
        let capabilities =
            capabilities.map_err(|e: CapabilityError| Failure::internal(e.to_string()))?;
        Ok(Some(Self {
            address,
            methods,
            description,
            capabilities,
        }))
    }
}

/// Tells when the parent has gone: it holds the other end of our standard input, and nothing else
/// tells of its death in time.
fn parent_gone() -> Result<oneshot::Receiver<()>, Failure> {
    let (gone, told) = oneshot::channel();
    // A thread of its own: one of the runtime's would be held for as long as the process lives.
    std::thread::Builder::new()
        .name("parent".into())
        .spawn(move || {
            let mut input = std::io::stdin().lock();
            let mut ignored = [0; 64];
            while matches!(input.read(&mut ignored), Ok(1..)) {}
            let _ = gone.send(());
        })?;
    Ok(told)
}
