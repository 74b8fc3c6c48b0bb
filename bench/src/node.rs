//! Our own node, over TCP with Noise or TLS, over QUIC, or over a Unix socket; the preset for one machine with its defaults, except that several
//! bodies of 16 MiB may be under way and that one machine may connect a thousand times.

use std::marker::PhantomData;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::stream;
use o_address::{Address, TransportAddr};
use o_core::{
    Body, CallError, Caller as _, IncomingCall, MethodSpec, Node as _, OutgoingCall, Priority,
    Reply, Shape,
};
use o_node::{Hosting, Keypair, Methods, Node, NodeBuilder, NodeConfig, Preset};

use crate::contender::{Client, Op, Stalled};

const ADDRESS: &str = "o://bench/echo";
const BODIES: usize = 256 * 1024 * 1024;
const CONNECTIONS: usize = 1024;
/// One item of the stream that nobody reads.
const ITEM: &[u8] = &[7; 16 * 1024];

/// How the bytes travel.
pub(crate) trait Path: Clone + Send + Sync + 'static {
    /// Turns it on.
    fn set(config: &mut NodeConfig) -> anyhow::Result<()>;
}

/// TCP and Noise.
#[derive(Clone, Debug)]
pub(crate) struct Noise;

impl Path for Noise {
    fn set(_: &mut NodeConfig) -> anyhow::Result<()> {
        Ok(())
    }
}

/// QUIC.
#[derive(Clone, Debug)]
pub(crate) struct Quic;

impl Path for Quic {
    fn set(config: &mut NodeConfig) -> anyhow::Result<()> {
        if cfg!(not(feature = "quic")) {
            bail!("compiled without the feature `quic`");
        }
        config.transport.tcp.enabled = false;
        config.transport.quic.enabled = true;
        config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse()?];
        Ok(())
    }
}

/// TCP and TLS.
#[derive(Clone, Debug)]
pub(crate) struct Tls;

impl Path for Tls {
    fn set(config: &mut NodeConfig) -> anyhow::Result<()> {
        if cfg!(not(feature = "tls")) {
            bail!("compiled without the feature `tls`");
        }
        config.transport.security = vec![o_node::Security::Tls];
        Ok(())
    }
}

/// A Unix socket and Noise.
#[derive(Clone, Debug)]
pub(crate) struct Unix;

impl Path for Unix {
    fn set(config: &mut NodeConfig) -> anyhow::Result<()> {
        let path = std::env::temp_dir().join(format!("o-bench-{}.sock", std::process::id()));
        config.transport.tcp.enabled = false;
        config.transport.unix.enabled = true;
        config.listen = vec![format!("/unix{}", path.display()).parse()?];
        Ok(())
    }
}

/// A Unix socket in plaintext.
#[derive(Clone, Debug)]
pub(crate) struct UnixPlain;

impl Path for UnixPlain {
    fn set(config: &mut NodeConfig) -> anyhow::Result<()> {
        config.transport.unix.plaintext = true;
        Unix::set(config)
    }
}

fn builder<P: Path>() -> anyhow::Result<NodeBuilder> {
    let mut config = NodeConfig::preset(Preset::Local);
    P::set(&mut config)?;
    config.session.max_buffered = BODIES;
    config.session.max_outgoing = BODIES;
    config.limits.max_connections = CONNECTIONS;
    config.limits.max_inbound = CONNECTIONS - 1;
    config.limits.max_per_ip = CONNECTIONS - 1;
    Ok(Node::builder(Keypair::generate(), Preset::Local).config(config))
}

fn methods() -> Methods {
    let unary = |name| MethodSpec::new(name, Shape::Unary);
    Methods::new()
        .raw(unary("echo"), |call: IncomingCall| {
            std::future::ready(Ok::<_, CallError>(Reply::One(call.body)))
        })
        .raw(unary("sink"), |_| {
            std::future::ready(Ok::<_, CallError>(Reply::One(Body::raw(Bytes::new()))))
        })
        .raw(MethodSpec::new("flood", Shape::Server), |_| {
            let items = stream::repeat_with(|| Ok(Body::raw(Bytes::from_static(ITEM))));
            std::future::ready(Ok::<_, CallError>(Reply::Stream(Box::pin(items))))
        })
}

/// Serves and says where; the node runs as long as what is returned with the address.
pub(crate) async fn serve<P: Path>() -> anyhow::Result<(String, Node)> {
    let hosting = Hosting::new(ADDRESS.parse()?, methods());
    let node = builder::<P>()?.host(hosting).start().await?;
    let address = node.listen_addresses().first().cloned();
    Ok((address.context("it listens nowhere")?.to_string(), node))
}

/// A node that is connected to the server's.
#[derive(Clone, Debug)]
pub(crate) struct Ours<P> {
    node: Node,
    target: Address,
    path: PhantomData<P>,
}

impl<P: Path> Client for Ours<P> {
    type Prepared = Node;

    async fn prepare() -> anyhow::Result<Node> {
        Ok(builder::<P>()?.client().start().await?)
    }

    async fn connect(node: Node, address: &str) -> anyhow::Result<Self> {
        node.connect(&address.parse::<TransportAddr>()?).await?;
        Ok(Self {
            node,
            target: ADDRESS.parse()?,
            path: PhantomData,
        })
    }

    async fn call(&self, op: Op, body: Bytes) -> anyhow::Result<Bytes> {
        let mut call = OutgoingCall::unary(self.target.clone(), op.name(), Body::raw(body));
        if op == Op::PatientEcho {
            call.terms.priority = Priority::Bulk;
        }
        match self.node.call(call).await? {
            Reply::One(body) => Ok(body.bytes),
            Reply::Stream(_) => bail!("a stream"),
        }
    }

    async fn stall(&self) -> anyhow::Result<Option<Stalled>> {
        let nothing = Body::raw(Bytes::new());
        let call = OutgoingCall::server_streaming(self.target.clone(), "flood", nothing);
        match self.node.call(call).await? {
            Reply::Stream(items) => Ok(Some(Box::new(std::sync::Mutex::new(items)))),
            Reply::One(_) => bail!("not a stream"),
        }
    }

    async fn close(self) {
        // A node that does not stop in order is dropped.
        let _ = self.node.stop().await;
    }
}
