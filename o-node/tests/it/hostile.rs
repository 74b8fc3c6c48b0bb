//! Peers that break the protocol, and peers that speak another one.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use o_core::{CallError, DialError, Event};
use o_node::Node;
use o_protocol::{
    Call, Hello, Session, SessionConfig, Side,
    frame::{self, Kind},
};

use crate::{
    raw_peer::{RawPeer, Words},
    support::{
        Ask as _, Watch, address, by_capability, connect, found, from_new_port, only_address,
        quiet, soon, start, stop, until, within,
    },
    worker::Worker,
};

const CALLS: &str = "/o-call/1";
const WORKER: &str = "o://far/worker";

fn frame(kind: Kind, id: u64, header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(&mut out, kind, 0, id, header, body).unwrap();
    out
}

/// The HELLO of a well-behaved dialer.
fn hello() -> Vec<u8> {
    let hello = Hello::new(o_core::NetworkId::default());
    let mut session = Session::new(
        Side::Dialer,
        SessionConfig::default(),
        hello,
        Instant::now(),
    );
    let mut out = Vec::new();
    session.transmit(&mut out, 1);
    assert!(!out.is_empty());
    out
}

fn after_hello(rest: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    std::iter::once(hello())
        .chain(rest)
        .collect::<Vec<_>>()
        .concat()
}

/// A call header that nests this deep: an array in an array, under an unknown key.
fn nested(depth: usize) -> Vec<u8> {
    let mut header = vec![0xa1, 0x18, 0x63];
    header.extend(std::iter::repeat_n(0x81, depth));
    header.push(0x00);
    header
}

/// What no peer should say.
#[expect(clippy::too_many_lines, reason = "a table")]
fn rubbish() -> Vec<(&'static str, Vec<u8>)> {
    let mut noise = Vec::new();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..8192 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_be_bytes());
    }
    let many = |frame: &[u8], count: usize| frame.repeat(count);
    vec![
        ("nothing", Vec::new()),
        ("zeros", vec![0; 4096]),
        ("noise", noise.clone()),
        (
            "a browser",
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_vec(),
        ),
        ("the largest length", [&[0xff; 4][..], &[1; 64]].concat()),
        ("half a frame", hello().split_at(9).0.to_vec()),
        (
            "a header longer than its frame",
            vec![0, 0, 0, 12, 1, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        ("HELLO without a header", frame(Kind::Hello, 0, &[], &[])),
        (
            "HELLO of noise",
            frame(Kind::Hello, 0, noise.get(..200).unwrap(), &[]),
        ),
        ("HELLO twice", many(&hello(), 2)),
        ("HELLO ten thousand times", many(&hello(), 10_000)),
        ("a call before HELLO", frame(Kind::Call, 1, &[0xa0], &[])),
        (
            "a call of noise",
            after_hello([frame(Kind::Call, 1, noise.get(..500).unwrap(), &[])]),
        ),
        (
            "a call with our ids",
            after_hello([frame(Kind::Call, 2, &[0xa0], &[])]),
        ),
        (
            "a call twice",
            after_hello([many(&frame(Kind::Call, 1, &[0xa0], &[]), 2)]),
        ),
        (
            "a deep header",
            after_hello([frame(Kind::Call, 1, &nested(10_000), &[])]),
        ),
        (
            "items of no call",
            after_hello([many(&frame(Kind::Item, 77, &[], &[1; 1000]), 100)]),
        ),
        (
            "credit for no call",
            after_hello([many(&frame(Kind::Credit, 9, &[0xa0], &[]), 1000)]),
        ),
        (
            "cancels of no call",
            after_hello([many(&frame(Kind::Cancel, 9, &[], &[]), 10_000)]),
        ),
        (
            "an error from the caller",
            after_hello([frame(Kind::Error, 1, &[0xa0], &[])]),
        ),
        (
            "pings without end",
            after_hello([many(&frame(Kind::Ping, 5, &[], &[]), 50_000)]),
        ),
        (
            "calls without end",
            after_hello((0..5000).map(|n| frame(Kind::Call, 2 * n + 1, &[0xa0], &[]))),
        ),
        (
            "goodbye and on",
            after_hello([frame(Kind::Goodbye, 0, &[0xa0], &[]), noise]),
        ),
    ]
}

/// Somebody well-behaved still gets an answer.
async fn still_answers(good: &Node) {
    let echo = good.ask::<String>(WORKER, "echo", "still");
    let echo = within(Duration::from_secs(5), echo).await;
    assert_eq!(echo.as_deref(), Ok("still"));
}

async fn server_and_client() -> (Node, Node) {
    let server = start(quiet().host(Worker::new().at(WORKER))).await;
    let client = start(quiet().client()).await;
    connect(&client, &server).await;
    (server, client)
}

#[tokio::test]
async fn rubbish_from_a_dialer_harms_nobody_else() {
    let (server, good) = server_and_client().await;
    let there = only_address(&server);
    still_answers(&good).await;
    stream::iter(rubbish())
        .for_each_concurrent(6, async |(_, bytes)| {
            let mut hostile = RawPeer::speaking(CALLS).await;
            let words = [Words { bytes, hold: false }];
            hostile.say_to(&there, &words).await;
            still_answers(&good).await;
        })
        .await;
    // Each of them came in, and none is left.
    until("their connections are gone", || {
        server.pool_stats().unwrap().connections == 1
    })
    .await;
    assert!(server.pool_stats().unwrap().adopted_total > 1);
    stop([good, server]).await;
}

#[tokio::test]
async fn a_peer_that_never_ends_its_rubbish_is_cut() {
    let (server, good) = server_and_client().await;
    let there = only_address(&server);
    let mut watch = Watch::new(&server);
    let bytes = [0xff; 4096].to_vec();
    let mut hostile = RawPeer::speaking(CALLS).await;
    // It holds the substream open; the node closes the connection all the same.
    within(
        Duration::from_secs(10),
        hostile.say_to(&there, &[Words { bytes, hold: true }]),
    )
    .await;
    let gone = |event: &Event| matches!(event, Event::Disconnected { .. });
    watch.until("it is cut", gone).await;
    still_answers(&good).await;
    stop([good, server]).await;
}

#[tokio::test]
async fn one_connection_has_one_call_substream() {
    let (server, good) = server_and_client().await;
    let mut watch = Watch::new(&server);
    let words: Vec<_> = (0..50)
        .map(|_| Words {
            bytes: hello(),
            hold: false,
        })
        .collect();
    let mut hostile = RawPeer::speaking(CALLS).await;
    hostile.say_to(&only_address(&server), &words).await;
    still_answers(&good).await;
    let up = |event: &&Event| matches!(event, Event::Connected { .. });
    assert!(watch.so_far().iter().filter(up).count() <= 1);
    stop([good, server]).await;
}

#[tokio::test]
async fn a_hostile_listener_is_an_error_and_never_a_hang() {
    let each = rubbish().into_iter().flat_map(|(what, bytes)| {
        [false, true].map(|hold| {
            (
                what,
                Words {
                    bytes: bytes.clone(),
                    hold,
                },
            )
        })
    });
    stream::iter(each)
        .for_each_concurrent(8, async |(what, words)| hostile_listener(what, words).await)
        .await;
}

async fn hostile_listener(what: &str, words: Words) {
    let hostile = RawPeer::speaking(CALLS).await;
    let there = hostile.address.clone();
    let client = quiet().client().configure(|config| {
        config.session.hello_timeout = Duration::from_millis(500);
        config.bootstrap = vec![there.clone()];
    });
    let client = start(client).await;
    let calls = async {
        let connected = client.connect(&there).await;
        // A HELLO that is in order makes a connection, whatever follows it.
        let call = Call::to(address(WORKER), "echo")
            .params("")
            .timeout(Duration::from_secs(3));
        (connected, call.send::<String>(&client).await)
    };
    let (connected, call) = tokio::select! {
        _ = hostile.answer_with(words) => unreachable!(),
        outcome = within(Duration::from_secs(20), calls) => outcome,
    };
    assert!(call.is_err(), "{what}: {call:?}");
    if let Err(error) = connected {
        let kind = matches!(
            error,
            DialError::Failed { .. } | DialError::Refused { certain: false, .. }
        );
        assert!(kind, "{what}: {error:?}");
    }
    stop([client]).await;
}

#[tokio::test]
async fn a_libp2p_node_of_another_kind_speaks_the_wrong_protocol() {
    let other = RawPeer::speaking("/somebody/else/1").await;
    let there = other.address.clone();
    let client = quiet()
        .client()
        .configure(|config| config.bootstrap = vec![there.clone()]);
    let client = start(client).await;
    let peer = there.peer_id().unwrap();
    let talk = async {
        let error = within(Duration::from_secs(5), client.connect(&there))
            .await
            .unwrap_err();
        assert!(
            matches!(error, DialError::WrongProtocol { peer: p } if p == peer),
            "{error:?}"
        );
        assert_eq!(found(&client, by_capability("test/work")).await, []);
        let call = client.ask::<String>(WORKER, "echo", "");
        let error = within(Duration::from_secs(5), call).await;
        let Err(CallError::Unreachable { reason, .. }) = &error else {
            panic!("{error:?}")
        };
        assert!(reason.contains("protocol"), "{reason}");
        stop([client]).await;
    };
    tokio::select! {
        _ = other.answer_with(Words { bytes: Vec::new(), hold: false }) => unreachable!(),
        () = soon(talk) => {}
    }
}

#[tokio::test]
async fn a_peer_that_never_opens_a_substream_does_not_stay() {
    let server = start(quiet()).await;
    let mut idle = RawPeer::speaking("/somebody/else/1").await;
    let there = o_transport::to_multiaddr(&only_address(&server)).unwrap();
    idle.swarm.dial(from_new_port(there)).unwrap();
    let closed = async {
        use libp2p::swarm::SwarmEvent;
        loop {
            match idle.swarm.select_next_some().await {
                SwarmEvent::ConnectionClosed { .. } => return,
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
    };
    soon(closed).await;
    stop([server]).await;
}

#[tokio::test]
async fn bytes_that_are_no_handshake_harm_nobody() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (server, good) = server_and_client().await;
    let port = only_address(&server)
        .as_str()
        .split('/')
        .nth(4)
        .unwrap()
        .parse::<u16>()
        .unwrap();
    for (_, bytes) in rubbish().into_iter().take(6) {
        let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap();
        // It may close in the middle of them.
        let _ = socket.write_all(&bytes).await;
        let _ = socket.shutdown().await;
        let _ = soon(socket.read_to_end(&mut Vec::new())).await;
        still_answers(&good).await;
    }
    stop([good, server]).await;
}

#[tokio::test]
async fn a_dial_that_nobody_waits_for_leaves_no_connection() {
    let mute = RawPeer::speaking(CALLS).await;
    let there = mute.address.clone();
    let client = start(quiet().client()).await;
    let resting = client.task_count();
    let mut watch = Watch::new(&client);
    let talk = async {
        {
            // It takes the substream and never says HELLO.
            let dial = client.connect(&there);
            let up = watch.until("up", |event| matches!(event, Event::Connected { .. }));
            tokio::select! {
                end = dial => panic!("{end:?}"),
                _ = up => {}
            }
        }
        watch.until_disconnected(there.peer_id().unwrap()).await;
        until("its tasks end", || client.task_count() <= resting).await;
    };
    let words = Words {
        bytes: Vec::new(),
        hold: true,
    };
    tokio::select! {
        _ = mute.answer_with(words) => unreachable!(),
        () = within(Duration::from_secs(8), talk) => {}
    }
    stop([client]).await;
}

#[tokio::test]
async fn a_peer_that_never_closes_holds_up_no_stop() {
    let mute = RawPeer::speaking(CALLS).await;
    let there = mute.address.clone();
    let client = start(quiet().client()).await;
    let words = Words {
        bytes: hello(),
        hold: true,
    };
    let talk = async {
        soon(client.connect(&there)).await.unwrap();
        let begun = Instant::now();
        stop([client]).await;
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
    };
    tokio::select! {
        _ = mute.answer_with(words) => unreachable!(),
        () = talk => {}
    }
}
