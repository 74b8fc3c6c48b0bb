//! Peers that keep to no rule, frame by frame.

use futures::{
    future::{Either, select},
    io::{AsyncReadExt, AsyncWriteExt},
};

use super::*;

const DATA: u8 = 0;
const WINDOW: u8 = 1;
const PING: u8 = 2;
const GO_AWAY: u8 = 3;
const SYN: u8 = 1;
const RESET: u8 = 8;

fn header(kind: u8, flags: u8, stream: u32, length: u32) -> Vec<u8> {
    let mut header = vec![0, kind, 0, flags];
    header.extend(stream.to_be_bytes());
    header.extend(length.to_be_bytes());
    header
}

/// Sends `bytes` to a listener whose inbound substreams nobody takes. Says how the connection ended
/// (`None`: it stands) and what the peer got back.
fn send(config: &YamuxConfig, bytes: Vec<u8>) -> (Option<MuxerError>, Vec<u8>) {
    let (peer, ours) = pipe();
    let (mut reading, mut writing) = peer.split();
    let mut back = Vec::new();
    let end = {
        let ours = listener(ours, config);
        let sending = async {
            // The other end may have hung up half way.
            let _ = writing.write_all(&bytes).await;
            std::future::pending::<()>().await;
        };
        let reading = async {
            reading.read_to_end(&mut back).await.unwrap();
            std::future::pending::<()>().await;
        };
        let peer = async { futures::join!(sending, reading) };
        let both = async {
            match select(pin!(ours.run()), pin!(peer)).await {
                Either::Left((error, _)) => error,
                Either::Right(_) => unreachable!("a peer that never ends"),
            }
        };
        let end = until_idle(both);
        assert!(ours.0.borrow().waiting.len() <= MAX_WAITING);
        end
    };
    // What had been sent when it ended.
    drop(writing);
    finish(reading.read_to_end(&mut back)).unwrap();
    (end, back)
}

/// The frames that the peer got. None of them has a body.
fn frames(back: &[u8]) -> Vec<&[u8]> {
    back.chunks(12).collect()
}

fn told_to_go(back: &[u8], code: u8) -> bool {
    let wanted = header(GO_AWAY, 0, 0, code.into());
    frames(back).last() == Some(&&wanted[..])
}

#[test]
fn a_peer_that_opens_too_many_substreams_is_cut_off() {
    let few = config(64, 16 << 20);
    let open = |kind, count: u32| (0..count).flat_map(move |at| header(kind, SYN, 2 * at + 1, 0));

    let (end, _) = send(&few, open(WINDOW, 64).collect());
    assert!(end.is_none(), "{end:?}");
    let (end, back) = send(&few, open(WINDOW, 5000).collect());
    assert!(matches!(end, Some(MuxerError::Violation { .. })), "{end:?}");
    assert!(told_to_go(&back, 1), "{back:?}");

    // The way in which yamux itself opens substreams.
    let (end, _) = send(&few, open(DATA, 64).collect());
    assert!(end.is_none(), "{end:?}");
    let (end, back) = send(&few, open(DATA, 65).collect());
    let error = end.unwrap();
    assert!(matches!(error, MuxerError::Violation { .. }), "{error:?}");
    let text = "the peer broke the rules of yamux: too many substreams";
    assert_eq!(error.to_string(), text);
    assert!(told_to_go(&back, 2), "{back:?}");
}

#[test]
fn substreams_that_nobody_takes_are_reset() {
    let many = config(512, 128 << 20);
    let open = (0..300).flat_map(|at| header(WINDOW, SYN, 2 * at + 1, 0));
    let (end, back) = send(&many, open.collect());
    assert!(end.is_none(), "{end:?}");
    let resets = frames(&back)
        .iter()
        .filter(|frame| frame[3] == RESET)
        .count();
    assert_eq!(resets, 300 - MAX_WAITING);
}

#[test]
fn a_peer_that_ignores_the_window_is_cut_off() {
    let window = YamuxConfig::INITIAL_WINDOW;
    let fill = |bytes: usize| {
        let mut all = header(WINDOW, SYN, 1, 0);
        for part in vec![7; bytes].chunks(16 << 10) {
            all.extend(header(DATA, 0, 1, part.len() as u32));
            all.extend(part);
        }
        all
    };
    let (end, _) = send(&YamuxConfig::default(), fill(window));
    assert!(end.is_none(), "{end:?}");
    let (end, back) = send(&YamuxConfig::default(), fill(window + 1));
    assert!(matches!(end, Some(MuxerError::Violation { .. })), "{end:?}");
    assert!(told_to_go(&back, 1), "{back:?}");
}

/// A byte in a frame of its own costs much more than a byte: the window alone would let a peer fill
/// gigabytes with them.
#[test]
fn a_peer_that_sends_frames_of_one_byte_is_cut_off() {
    let few = config(64, 16 << 20);
    let most = few.receive_window / unread::FRAME_COST;
    let fill = |frames: usize| {
        // A window of each substream is more frames than may wait on all of them.
        let mut all = header(WINDOW, SYN, 1, 0);
        let frame = [header(DATA, 0, 1, 1), vec![7]].concat();
        all.extend(frame.repeat(frames));
        all
    };
    assert!(most < YamuxConfig::INITIAL_WINDOW);
    let (end, _) = send(&few, fill(most));
    assert!(end.is_none(), "{end:?}");
    let (end, _) = send(&few, fill(most + 1));
    let text = end.unwrap().to_string();
    assert!(text.contains("too many small frames"), "{text}");
}

/// Any number of them, as long as somebody reads.
#[test]
fn small_frames_that_are_read_are_no_violation() {
    let (mut peer, ours) = pipe();
    let few = config(64, 16 << 20);
    let frames = 2 * few.receive_window / unread::FRAME_COST;
    let ours = listener(ours, &few);
    let sending = async {
        peer.write_all(&header(WINDOW, SYN, 1, 4 << 20))
            .await
            .unwrap();
        let frame = [header(DATA, 0, 1, 1), vec![7]].concat();
        // What a window lets through, twice: credit comes back as it is read.
        for _ in 0..frames {
            peer.write_all(&frame).await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    let reading = async {
        let mut stream = ours.accept().await.unwrap();
        let mut left = frames;
        let mut buf = [0; 1000];
        while left > 0 {
            left -= stream.read(&mut buf).await.unwrap();
        }
        assert_eq!(ours.0.borrow().unread.frames(), 0);
    };
    let all = async {
        let driving = async { futures::join!(ours.run(), sending) };
        match select(pin!(reading), pin!(driving)).await {
            Either::Left(_) => {}
            Either::Right(_) => unreachable!("a peer that never ends"),
        }
    };
    finish(all);
}

#[test]
fn what_is_no_frame_ends_the_connection() {
    let config = YamuxConfig::default();
    let (end, _) = send(&config, b"GET / HTTP/1.1\r\n\r\n".to_vec());
    assert!(matches!(end, Some(MuxerError::Malformed(_))), "{end:?}");
    // The body is refused before there is memory for it.
    let (end, _) = send(&config, header(DATA, SYN, 1, (1 << 20) + 1));
    assert!(matches!(end, Some(MuxerError::Malformed(_))), "{end:?}");
    // An identifier of our own, an answer to no ping.
    for frame in [header(DATA, SYN, 2, 0), header(PING, 2, 0, 99)] {
        let (end, back) = send(&config, frame);
        assert!(matches!(end, Some(MuxerError::Violation { .. })), "{end:?}");
        assert!(told_to_go(&back, 1), "{back:?}");
    }
}

#[test]
fn an_orderly_end_is_no_violation() {
    for code in 0..3 {
        let (end, _) = send(&YamuxConfig::default(), header(GO_AWAY, 0, 0, code));
        assert!(matches!(end, Some(MuxerError::Closed)), "{end:?}");
    }
}

#[test]
fn a_lost_connection_is_told_apart() {
    let (peer, ours) = pipe();
    let ours = listener(ours, &YamuxConfig::default());
    drop(peer);
    let error = finish(ours.run());
    assert!(
        matches!(error, MuxerError::Closed | MuxerError::Io(_)),
        "{error:?}"
    );
}

/// Not hostile at all: yamux pings every ten seconds. Whoever stops reading until the answer is
/// written, while the other end does the same, never reads again.
#[test]
fn a_ping_does_not_stop_reading_while_nothing_can_be_written() {
    let (mut peer, ours) = pipe();
    let ours = listener(ours, &YamuxConfig::default());
    let work = async {
        // The peer reads nothing, and three windows are more than the pipe takes.
        let mut streams = Vec::new();
        for _ in 0..3 {
            let mut stream = ours.open().await.unwrap();
            while let Some(count) =
                until_idle(select(pin!(stream.write(&[7; 5000])), pin!(ours.run())))
            {
                assert!(
                    matches!(count, Either::Left((Ok(_), _))),
                    "the connection stands"
                );
            }
            streams.push(stream);
        }
        // More answers than have room, in time: then it waits, as it must.
        for at in 0..100 {
            peer.write_all(&header(PING, 1, 0, at)).await.unwrap();
        }
        peer.write_all(&header(DATA, SYN, 1, 0)).await.unwrap();
        match select(pin!(ours.accept()), pin!(ours.run())).await {
            Either::Left((stream, _)) => stream.unwrap(),
            Either::Right((error, _)) => panic!("{error}"),
        };
    };
    finish(work);
    // Nothing is lost or out of order: bodies first, then the answers.
    let reading = async {
        let mut all = vec![0; 600 << 10];
        let mut pings = 0;
        while pings < 100 {
            peer.read_exact(&mut all[..12]).await.unwrap();
            let length = u32::from_be_bytes([all[8], all[9], all[10], all[11]]);
            match all[1] {
                DATA => {
                    peer.read_exact(&mut all[..length as usize]).await.unwrap();
                    assert!(all[..length as usize].iter().all(|byte| *byte == 7));
                }
                PING if all[3] == 2 => {
                    assert_eq!(length, pings);
                    pings += 1;
                }
                PING => assert_eq!(all[3], 1),
                other => panic!("{other}"),
            }
        }
    };
    let all = async {
        match select(pin!(reading), pin!(ours.run())).await {
            Either::Left(_) => {}
            Either::Right((error, _)) => panic!("{error}"),
        }
    };
    finish(all);
}

/// Pings without end from a peer that reads nothing: at some point it is not read either.
#[test]
fn answers_to_pings_have_a_bound() {
    let (mut peer, ours) = pipe();
    let ours = listener(ours, &YamuxConfig::default());
    let mut sent = 0_usize;
    let flood = async {
        while peer.write_all(&header(PING, 1, 0, 1)).await.is_ok() {
            sent += 12;
        }
    };
    assert!(until_idle(async { futures::join!(flood, ours.run()) }).is_none());
    // Both pipes, what waits in between, and a few frames in hand.
    let most = (128 << 10) + (256 << 10) + 4096 + 64;
    assert!(sent < most, "{sent}");
}
