//! Peers that break the rules, or keep to them in bad faith.

use proptest::prelude::*;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_violation_is_answered_with_a_goodbye() {
    let (listener, mut raw) = Raw::greeted(Side::Listener, 1000).await;
    raw.hear(Kind::Hello).await;
    raw.say(Kind::Call, FLAG_END, 2, &call_header("echo"), &[])
        .await;
    let (_, header) = raw.hear(Kind::Goodbye).await;
    let goodbye = Goodbye::decode(&header).unwrap();
    assert_eq!(goodbye.code, ErrorCode::Protocol.number());
    let mut rest = Vec::new();
    within(raw.stream.read_to_end(&mut rest)).await.unwrap();
    assert!(matches!(
        within(listener.driver).await.unwrap(),
        SessionEnd::Protocol { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_frame_over_the_limit_is_refused_before_it_is_there() {
    let (listener, mut raw) = Raw::greeted(Side::Listener, 1000).await;
    within(raw.stream.write_all(&[0xff; 4])).await.unwrap();
    let (_, header) = raw.hear(Kind::Goodbye).await;
    assert!(
        Goodbye::decode(&header)
            .unwrap()
            .message
            .contains("over the limit")
    );
    assert!(matches!(
        within(listener.driver).await.unwrap(),
        SessionEnd::Protocol { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn who_asks_without_reading_is_not_read() {
    // Pings, and calls that are answered with errors longer than themselves.
    let mut frames = Vec::new();
    for kind in [Kind::Ping, Kind::Call] {
        let (listener, mut raw) = Raw::greeted(Side::Listener, 1000).await;
        let mut sent = 0_u64;
        let flood = async {
            loop {
                frames.clear();
                frame::encode(&mut frames, kind, FLAG_END, sent * 2 + 1, &[], &[]).unwrap();
                if raw.stream.write_all(&frames).await.is_err() {
                    break;
                }
                sent += 1;
            }
        };
        let look = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            listener.handle.control_len()
        };
        let ((), waiting) = within(async { tokio::join!(flood, look) }).await;
        let limit = SessionConfig::default().max_control;
        assert!(
            (limit..limit + 200).contains(&waiting),
            "{waiting} bytes of answers wait"
        );
        let config = SessionConfig::default();
        let most = config.max_control + 2 * config.max_frame as usize + 3000;
        assert!(
            sent as usize * 16 < most,
            "{sent} frames of {kind:?} were read"
        );
        let end = within(listener.driver).await.unwrap();
        assert!(matches!(end, SessionEnd::Lost { .. }), "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_was_slow_gets_every_pong() {
    let (_listener, mut raw) = Raw::greeted(Side::Listener, 1 << 20).await;
    raw.hear(Kind::Hello).await;
    let count = 20_000;
    let mut frames = Vec::new();
    for nonce in 0..count {
        frame::encode(&mut frames, Kind::Ping, 0, nonce, &[], &[]).unwrap();
    }
    within(raw.stream.write_all(&frames)).await.unwrap();
    settle().await;
    for nonce in 0..count {
        assert_eq!(raw.hear(Kind::Ping).await.0, nonce);
    }
}

/// Takes calls and never works on them, like a runtime that is overloaded.
struct Hoard(Arc<Mutex<Vec<ServedCall>>>);

impl Serve for Hoard {
    fn serve(&self, call: ServedCall) {
        self.0.lock().unwrap().push(call);
    }
}

#[tokio::test(start_paused = true)]
async fn calling_and_cancelling_makes_no_more_work_than_waiting() {
    let (here, there) = duplex(1000);
    let hoard = Arc::new(Mutex::new(Vec::new()));
    let serve = Arc::new(Hoard(hoard.clone()));
    let hello = Hello::new(NetworkId::default());
    let config = SessionConfig {
        max_calls: 10,
        ..SessionConfig::default()
    };
    let (handle, driver) = connect(here.compat(), Side::Listener, config, hello, None, serve);
    tokio::spawn(driver);
    let mut raw = Raw {
        stream: there,
        input: Vec::new(),
    };
    raw.hello().await;
    for id in (1..101).step_by(2) {
        raw.say(Kind::Call, FLAG_END, id, &call_header("any"), &[])
            .await;
        settle().await;
        raw.say(Kind::Cancel, 0, id, &[], &[]).await;
        settle().await;
    }
    assert_eq!(hoard.lock().unwrap().len(), 20);
    assert_eq!(raw.hear(Kind::Error).await.0, 41);
    // Once they are dropped, calls are taken again.
    hoard.lock().unwrap().clear();
    assert_eq!(handle.counts(), (0, 0));
    raw.say(Kind::Call, FLAG_END, 101, &call_header("any"), &[])
        .await;
    settle().await;
    assert_eq!(hoard.lock().unwrap().len(), 1);
    hoard.lock().unwrap().clear();
    assert_eq!(raw.hear(Kind::Error).await.0, 43);
}

#[test]
fn random_bytes_never_panic_and_always_end() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let strategy = (
        proptest::collection::vec(any::<u8>(), 0..2000),
        proptest::collection::vec((0_u8..10, 0_u8..16, 0_u64..6, 0_usize..40_000), 0..20),
        any::<bool>(),
        1_usize..5000,
    );
    let mut runner = proptest::test_runner::TestRunner::default();
    let result = runner.run(&strategy, |(noise, frames, listener, capacity)| {
        runtime.block_on(async {
            let side = if listener {
                Side::Listener
            } else {
                Side::Dialer
            };
            let (driven, mut raw) = Raw::greeted(side, capacity).await;
            let header = call_header("sum");
            let mut bytes = Vec::new();
            for (kind, flags, id, length) in frames {
                let kind = Kind::from_number(kind).unwrap_or(Kind::Item);
                let header = if kind == Kind::Call { &header[..] } else { &[] };
                let body = &vec![0; length];
                frame::encode(&mut bytes, kind, flags, id, header, body).unwrap();
            }
            bytes.extend_from_slice(&noise);
            let (mut read, mut write) = tokio::io::split(raw.stream);
            let writing = tokio::spawn(async move {
                let _ = write.write_all(&bytes).await;
                let _ = write.shutdown().await;
            });
            raw.input.clear();
            let mut answers = Vec::new();
            within(read.read_to_end(&mut answers)).await.unwrap();
            within(driven.driver).await.unwrap();
            within(writing).await.unwrap();
            settle().await;
            assert_idle(&[&End {
                driver: tokio::spawn(std::future::pending()),
                ..driven
            }]);
        });
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
