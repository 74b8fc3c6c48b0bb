//! Our node and plain libp2p nodes: what each sees of the other, and that none harms the other.

mod opener;
mod plain;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::{
    Multiaddr,
    kad::{self, store::RecordStore as _},
    swarm::Stream,
};
use o_core::{CallError, DialError, Event, NodeState};
use o_node::{Hosting, Methods, Node, NodeBuilder, NodeConfig};
use o_transport::{from_multiaddr, from_peer_id, to_multiaddr, to_peer_id};

use self::{
    opener::Opener,
    plain::{AGENT, Over, Plain},
};
use crate::support::{
    Ask as _, Watch, address, by_capability, by_name, found, from_new_port, local, only_address,
    quiet, soon, start, stop, until,
};

const LEADER: &str = "o://leader/echo";
/// From docs/wire.md: the key of the name above, and that of the capability `text/summarize`.
const NAME_KEY: &str = "1220b927799ef03e811794ab0035a575fee07fe6363f36f8192ebd76c2e020f3efa5";
const CAPABILITY_KEY: &str = "1220d0f2f86982280b32b18d9fc3fd5e122b75cda907a50ae2c36c5dff71358ae467";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex
        .lines()
        .map(|line| line.split('#').next().unwrap())
        .flat_map(str::split_whitespace)
        .collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// A golden frame.
macro_rules! golden {
    ($name:literal) => {
        bytes(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../o-protocol/testdata/",
            $name,
            ".hex"
        )))
    };
}

fn echo(at: &str) -> Hosting {
    let methods = Methods::new().unary("echo", async move |_, text: String| {
        Ok::<_, CallError>(text)
    });
    Hosting::new(address(at), methods).capability("text/summarize".parse().unwrap())
}

fn over(transport: Over) -> NodeBuilder {
    local().configure(|config| {
        config.listen = vec![transport.listen().parse().unwrap()];
        match transport {
            Over::Tcp => {}
            #[cfg(feature = "quic")]
            Over::Quic => config.transport.quic.enabled = true,
            #[cfg(feature = "websocket")]
            Over::WebSocket => config.transport.websocket.enabled = true,
        }
    })
}

/// Where a node of ours is, for a libp2p node.
fn there(node: &Node) -> Multiaddr {
    let address = only_address(node);
    let peer = to_peer_id(&address.peer_id().unwrap()).unwrap();
    to_multiaddr(&address.without_peer().unwrap())
        .unwrap()
        .with_p2p(peer)
        .unwrap()
}

fn libp2p_id(node: &Node) -> libp2p::PeerId {
    to_peer_id(&node.peer_id()).unwrap()
}

/// Puts a node of ours into the table of the plain one, which connects to it.
async fn acquainted(plain: &mut Plain, node: &Node) {
    let peer = libp2p_id(node);
    let behaviour = plain.swarm.behaviour_mut();
    behaviour.kad.add_address(&peer, there(node));
    plain.swarm.dial(from_new_port(there(node))).unwrap();
    plain.identified(peer).await;
}

async fn connect_both_ways(transport: Over) {
    let node = start(over(transport).host(echo(LEADER))).await;
    let id = libp2p_id(&node);
    let mut watch = Watch::new(&node);

    // The plain one dials.
    let mut dialer = Plain::over(transport).await;
    dialer.swarm.dial(from_new_port(there(&node))).unwrap();
    let info = dialer.identified(id).await;
    assert_eq!(
        (&*info.protocol_version, &*info.agent_version),
        ("/o/1", &*node.config().agent)
    );
    assert!(info.agent_version.starts_with("o/"));
    for protocol in [
        "/o-call/1",
        "/o-kad/1/main",
        "/ipfs/ping/1.0.0",
        "/ipfs/id/1.0.0",
    ] {
        let spoken = info.protocols.iter().any(|spoken| spoken == &protocol);
        assert!(spoken, "{protocol} in {:?}", info.protocols);
    }
    let listening = to_multiaddr(&only_address(&node).without_peer().unwrap()).unwrap();
    assert!(info.listen_addrs.contains(&listening), "{info:?}");
    dialer.pinged(id).await;

    // Our node dials: it gets there, and learns that there is nothing to call.
    let mut listener = Plain::over(transport).await;
    let peer = listener.peer();
    let target = from_multiaddr(&listener.address).unwrap();
    let target = target.with_peer(&from_peer_id(&peer).unwrap());
    let refused = listener.meanwhile(node.connect(&target)).await.unwrap_err();
    assert!(
        matches!(refused, DialError::WrongProtocol { peer: p } if p == from_peer_id(&peer).unwrap()),
        "{refused:?}"
    );
    let info = listener.identified(id).await;
    assert_eq!(info.agent_version, node.config().agent);

    // Neither is somebody who calls.
    let none = watch.so_far();
    assert!(
        !none
            .iter()
            .any(|event| matches!(event, Event::Connected { .. })),
        "{none:?}"
    );
    assert_eq!(node.pool_stats().unwrap().connections, 0);
    stop([node]).await;
}

#[tokio::test]
async fn a_plain_node_and_ours_connect_both_ways_over_tcp() {
    connect_both_ways(Over::Tcp).await;
}

#[cfg(feature = "quic")]
#[tokio::test]
async fn a_plain_node_and_ours_connect_both_ways_over_quic() {
    connect_both_ways(Over::Quic).await;
}

#[cfg(feature = "websocket")]
#[tokio::test]
async fn a_plain_node_and_ours_connect_both_ways_over_websocket() {
    connect_both_ways(Over::WebSocket).await;
}

#[tokio::test]
async fn pings_go_both_ways() {
    let node = start(quiet()).await;
    let mut peer = Opener::speaking("/ipfs/ping/1.0.0").await;
    let mut first = peer.open(there(&node)).await;
    let mut second = peer.accept().await;
    // Each side opens one; which of the two came first is not said. On ours, 32 bytes come back; on
    // that of the node, 32 bytes come.
    let ask = async |stream: &mut Stream| {
        stream.write_all(&[7; 32]).await?;
        stream.flush().await?;
        let mut back = [0; 32];
        stream.read_exact(&mut back).await?;
        Ok::<_, std::io::Error>(back)
    };
    let (one, two) = soon(futures::future::join(ask(&mut first), ask(&mut second))).await;
    // The node takes what it gets on its own substream for a wrong answer; what it sent is there.
    let both = [one.unwrap(), two.unwrap()];
    assert_eq!(both.iter().filter(|back| **back == [7; 32]).count(), 1);
    stop([node]).await;
}

#[tokio::test]
async fn what_plain_kademlia_provides_is_a_hint_and_not_believed() {
    // That nobody had the name earlier must not be remembered.
    let forgets = |config: &mut NodeConfig| config.node.absent_lifetime = std::time::Duration::ZERO;
    let node = start(local().configure(forgets)).await;
    let mut plain = Plain::over(Over::Tcp).await;
    acquainted(&mut plain, &node).await;
    let call = |text: &'static str| node.ask::<String>(LEADER, "echo", text);
    // From when on it has heard of the plain one too, it asks and finds nothing.
    let early = async {
        loop {
            match call("early").await {
                Err(CallError::NotFound { .. }) => return,
                Err(CallError::NoNetwork { .. }) => tokio::task::yield_now().await,
                other => panic!("{other:?}"),
            }
        }
    };
    plain.meanwhile(early).await;

    for key in [NAME_KEY, CAPABILITY_KEY] {
        let kad = &mut plain.swarm.behaviour_mut().kad;
        let query = kad
            .start_providing(kad::RecordKey::new(&bytes(key)))
            .unwrap();
        plain
            .progress(query, |result| match result {
                kad::QueryResult::StartProviding(told) => told.as_ref().ok().map(drop),
                _ => None,
            })
            .await;
    }
    // The node has the hint now, follows it, and says what it met with there.
    let hinted = plain.meanwhile(call("late")).await;
    let Err(CallError::Unreachable { reason, .. }) = &hinted else {
        panic!("{hinted:?}")
    };
    let peer = from_peer_id(&plain.peer()).unwrap();
    assert!(
        reason.contains(&peer.short().to_string()) && reason.contains("protocol"),
        "{reason}"
    );
    for query in [by_name(LEADER), by_capability("text/summarize")] {
        assert_eq!(plain.meanwhile(found(&node, query)).await, []);
    }
    stop([node]).await;
}

#[tokio::test]
async fn what_we_announce_is_found_by_plain_kademlia() {
    let node = local().host(echo(LEADER)).build().unwrap();
    let mut watch = Watch::new(&node);
    soon(o_core::Node::start(&node)).await.unwrap();
    let id = libp2p_id(&node);
    let mut plain = Plain::over(Over::Tcp).await;
    acquainted(&mut plain, &node).await;
    let told = |event: &Event| matches!(event, Event::Announced(name) if *name == address(LEADER));
    plain.meanwhile(watch.until("announced", told)).await;

    for key in [NAME_KEY, CAPABILITY_KEY] {
        let key = kad::RecordKey::new(&bytes(key));
        plain.told(&key, id).await;
        // And it is told again when it asks.
        let kad = &mut plain.swarm.behaviour_mut().kad;
        kad.store_mut().remove_provider(&key, &id);
        let query = kad.get_providers(key);
        plain
            .progress(query, |result| match result {
                kad::QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders {
                    providers,
                    ..
                })) => providers.contains(&id).then_some(()),
                kad::QueryResult::GetProviders(end) => panic!("not found: {end:?}"),
                _ => None,
            })
            .await;
    }
    stop([node]).await;
}

/// The next frame, its length field included.
async fn frame(stream: &mut Stream) -> Vec<u8> {
    soon(async {
        let mut frame = vec![0; 4];
        stream.read_exact(&mut frame).await.unwrap();
        let rest = u32::from_be_bytes(frame[..].try_into().unwrap());
        assert!((12..=131_072).contains(&rest), "{rest}");
        frame.resize(4 + rest as usize, 0);
        stream.read_exact(&mut frame[4..]).await.unwrap();
        frame
    })
    .await
}

async fn say(stream: &mut Stream, frames: &[Vec<u8>]) {
    stream.write_all(&frames.concat()).await.unwrap();
    stream.flush().await.unwrap();
}

const HELLO: u8 = 1;
const CALL: u8 = 2;

#[tokio::test]
async fn golden_frames_spoken_by_hand_get_golden_answers() {
    let node = start(quiet().host(echo(LEADER))).await;
    let mut peer = Opener::speaking("/o-call/1").await;
    let mut stream = peer.open(there(&node)).await;
    // Without waiting for its HELLO.
    say(&mut stream, &[golden!("hello"), golden!("call-minimal")]).await;
    assert_eq!(frame(&mut stream).await[4], HELLO);
    assert_eq!(frame(&mut stream).await, golden!("item-end"));
    say(&mut stream, &[golden!("ping")]).await;
    assert_eq!(frame(&mut stream).await, golden!("pong"));
    until("it is a caller", || {
        node.pool_stats().unwrap().connections == 1
    })
    .await;
    stop([node]).await;
}

#[tokio::test]
async fn our_node_calls_a_peer_that_speaks_by_hand() {
    let node = start(quiet().client()).await;
    let mut peer = Opener::speaking("/o-call/1").await;
    let target = from_multiaddr(&peer.address).unwrap();
    let (calling, dial) = (node.clone(), node.clone());
    let dialing = tokio::spawn(async move { dial.connect(&target).await });
    let mut stream = peer.accept().await;
    assert_eq!(frame(&mut stream).await[4], HELLO);
    say(&mut stream, &[golden!("hello")]).await;
    soon(dialing).await.unwrap().unwrap();

    // The HELLO said which agent is here.
    let call = async move {
        calling
            .ask::<String>("o://company/sales/ai-assistant", "echo", "hi")
            .await
    };
    let call = tokio::spawn(call);
    let heard = frame(&mut stream).await;
    // Kind CALL, flag END, call id 1, and the parameters at the end.
    assert_eq!((heard[4], heard[5]), (CALL, 1));
    assert_eq!(heard[8..16], [0, 0, 0, 0, 0, 0, 0, 1]);
    assert!(heard.ends_with(b"\x62hi"), "{heard:02x?}");
    say(&mut stream, &[golden!("item-end")]).await;
    assert_eq!(soon(call).await.unwrap().as_deref(), Ok("hi"));
    stop([node]).await;
}

#[tokio::test]
async fn a_plain_node_that_only_looks_on_is_harmless_and_does_not_stay() {
    let node = start(local().host(echo(LEADER))).await;
    let mut watch = Watch::new(&node);
    let id = libp2p_id(&node);
    let mut plain = Plain::over(Over::Tcp).await;
    plain.swarm.dial(from_new_port(there(&node))).unwrap();
    assert_ne!(plain.identified(id).await.agent_version, AGENT);
    plain.pinged(id).await;
    assert!(plain.swarm.is_connected(&id));
    assert_eq!(node.pool_stats().unwrap().connections, 0);
    // Its own idle limit is longer than any wait here: the node closes.
    plain.closed(id).await;
    assert_eq!(o_core::Node::state(&node), NodeState::Running);
    let seen = watch.so_far();
    let calls = |event: &Event| {
        matches!(
            event,
            Event::Connected { .. } | Event::Disconnected { .. } | Event::Denied { .. }
        )
    };
    assert!(!seen.iter().any(calls), "{seen:?}");
    let stats = node.pool_stats().unwrap();
    assert_eq!((stats.connections, stats.adopted_total), (0, 0));
    // Somebody who does call is answered.
    let mut peer = Opener::speaking("/o-call/1").await;
    let mut stream = peer.open(there(&node)).await;
    say(&mut stream, &[golden!("hello"), golden!("call-minimal")]).await;
    assert_eq!(frame(&mut stream).await[4], HELLO);
    assert_eq!(frame(&mut stream).await, golden!("item-end"));
    until("it is a caller", || {
        node.pool_stats().unwrap().connections == 1
    })
    .await;
    stop([node]).await;
}
