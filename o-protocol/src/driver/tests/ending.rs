//! How connections end, and what callers and handlers learn of it.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_killed_loses_its_calls_at_both_ends() {
    for kill_caller in [false, true] {
        let (dialer, listener) = linked(1000).await;
        let dropped = listener.agent.watch();
        let mut items = {
            let call = OutgoingCall::server_streaming(target(), "endless", zeros(10));
            stream_of(&dialer.handle, call).await
        };
        within(items.next()).await.unwrap().unwrap();
        let killed = if kill_caller { &dialer } else { &listener };
        killed.driver.abort();
        let error = loop {
            match within(items.next()).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("a stream that was cut ends like a whole one"),
            }
        };
        assert_eq!(error.code(), ErrorCode::ConnectionLost);
        assert!(within(dropped).await.is_err());
        let survivor = if kill_caller { listener } else { dialer };
        let end = within(survivor.handle.closed()).await;
        assert!(matches!(end, SessionEnd::Lost { .. }), "{end:?}");
        assert!(!survivor.handle.is_open());
        assert_eq!(within(survivor.driver).await.unwrap(), end);
        let error = one(&survivor.handle, unary("echo", Body::default()))
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConnectionLost);
        settle().await;
        assert_eq!(survivor.handle.counts().1, 0, "handlers");
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_dropped_loses_its_calls_without_naming_a_refusal() {
    let (here, _there) = duplex(1000);
    let dialer = end(here, Side::Dialer, SessionConfig::default());
    let handle = dialer.handle.clone();
    let call = tokio::spawn(async move { one(&handle, unary("echo", zeros(1))).await });
    settle().await;
    dialer.driver.abort();
    let error = within(call).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_who_and_is_certain() {
    let (here, there) = duplex(1000);
    let peer: PeerId = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo"
        .parse()
        .unwrap();
    let serve = Arc::new(Tasks(Arc::new(TestAgent::default())));
    let hello = Hello::new(NetworkId::default());
    let config = SessionConfig::default();
    let (handle, driver) = connect(
        here.compat(),
        Side::Dialer,
        config,
        hello,
        Some(peer),
        serve,
    );
    let driver = tokio::spawn(driver);
    let goodbye = Goodbye::new(ErrorCode::Refused, "not on the list");
    let refusing = tokio::spawn(async move {
        refuse(there.compat(), &goodbye, Duration::from_secs(1)).await;
    });
    let expected = CallError::Refused {
        peer: Some(peer),
        reason: "not on the list".into(),
        certain: true,
    };
    let started = tokio::time::Instant::now();
    assert_eq!(one(&handle, unary("echo", zeros(100))).await, Err(expected));
    within(refusing).await.unwrap();
    let end = within(driver).await.unwrap();
    assert!(
        matches!(end, SessionEnd::Refused { certain: true, .. }),
        "{end:?}"
    );
    assert!(
        started.elapsed() < Duration::from_millis(900),
        "nobody waits for a time-out"
    );
    assert!(matches!(
        within(handle.ready()).await,
        Err(SessionEnd::Refused { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_refused_peer_that_stays_is_left() {
    let (mut here, there) = duplex(100);
    let goodbye = Goodbye::new(ErrorCode::Refused, "no");
    let started = tokio::time::Instant::now();
    refuse(there.compat(), &goodbye, Duration::from_secs(1)).await;
    assert_eq!(started.elapsed().as_secs(), 1);
    // One that sends without end is left sooner.
    let mut rest = Vec::new();
    assert!(within(here.read_to_end(&mut rest)).await.unwrap() > 0);
    let (mut here, there) = duplex(100);
    let flood = tokio::spawn(async move { while here.write_all(&[0; 1000]).await.is_ok() {} });
    refuse(there.compat(), &goodbye, Duration::from_secs(1_000_000)).await;
    within(flood).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_before_hello_may_have_been_a_refusal() {
    let (dialer, raw) = Raw::silent(Side::Dialer, 1000);
    let handle = dialer.handle.clone();
    let call = tokio::spawn(async move { one(&handle, unary("echo", zeros(1))).await });
    settle().await;
    drop(raw);
    let error = within(call).await.unwrap().unwrap_err();
    assert!(
        matches!(error, CallError::Refused { certain: false, .. }),
        "{error:?}"
    );
    assert!(error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn another_network_is_refused() {
    let (here, there) = duplex(1000);
    let dialer = end(here, Side::Dialer, SessionConfig::default());
    let hello = Hello::new("elsewhere".parse().unwrap());
    let serve = Arc::new(Tasks(dialer.agent.clone()));
    let config = SessionConfig::default();
    let (other, driver) = connect(there.compat(), Side::Listener, config, hello, None, serve);
    tokio::spawn(driver);
    for handle in [&dialer.handle, &other] {
        let error = one(handle, unary("echo", zeros(1))).await.unwrap_err();
        assert!(
            matches!(error, CallError::Refused { certain: true, .. }),
            "{error:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_hello_is_left() {
    let (listener, _raw) = Raw::silent(Side::Listener, 1000);
    let started = tokio::time::Instant::now();
    let end = within(listener.handle.closed()).await;
    assert!(matches!(end, SessionEnd::Lost { .. }), "{end:?}");
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_ping_without_an_answer_ends_the_session() {
    let (dialer, mut raw) = Raw::greeted(Side::Dialer, 1000).await;
    let handle = dialer.handle.clone();
    let started = tokio::time::Instant::now();
    let call = tokio::spawn(async move { one(&handle, unary("echo", zeros(1))).await });
    raw.hear(Kind::Ping).await;
    assert_eq!(started.elapsed().as_secs(), 15);
    let error = within(call).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
    assert_eq!(started.elapsed().as_secs(), 30);
    assert!(matches!(
        within(dialer.driver).await.unwrap(),
        SessionEnd::Lost { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_long_call_on_a_quiet_connection_is_no_lost_one() {
    let (dialer, listener) = linked(1000).await;
    let call = timeout(Duration::from_secs(400), async {
        dialer
            .handle
            .call(unary("hang", Body::default()))
            .await
            .map(drop)
    });
    assert!(call.await.is_err(), "pings keep it");
    assert!(listener.handle.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_reading_is_lost_after_thirty_seconds() {
    stops_reading(SessionConfig::default(), 30).await;
    let config = SessionConfig {
        write_timeout: Duration::from_secs(7),
        ..SessionConfig::default()
    };
    stops_reading(config, 7).await;
}

async fn stops_reading(config: SessionConfig, seconds: u64) {
    let (here, stream) = duplex(100);
    let dialer = end(here, Side::Dialer, config);
    let input = Vec::new();
    let mut raw = Raw { stream, input };
    raw.hello().await;
    within(dialer.handle.ready()).await.unwrap();
    let started = tokio::time::Instant::now();
    let handle = dialer.handle.clone();
    let call = tokio::spawn(async move { one(&handle, unary("echo", zeros(1000))).await });
    // It sends, so that it cannot be told from a living one by its silence.
    let sending = async {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            raw.say(Kind::Ping, crate::frame::FLAG_PONG, 0, &[], &[])
                .await;
        }
    };
    let error = tokio::select! {
        () = sending => unreachable!(),
        error = within(call) => error.unwrap().unwrap_err(),
    };
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
    assert_eq!(started.elapsed().as_secs(), seconds);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_drains_whoever_says_it() {
    for callee_leaves in [true, false] {
        let (dialer, listener) = linked(1000).await;
        let input = stream::iter([Ok(zeros(1))]).chain(stream::once(async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Ok(zeros(2))
        }));
        let call = OutgoingCall::client_streaming(target(), "sum", Body::default(), input.boxed());
        let handle = dialer.handle.clone();
        let running = tokio::spawn(async move { one(&handle, call).await });
        settle().await;
        let (leaving, staying) = if callee_leaves {
            (&listener, &dialer)
        } else {
            (&dialer, &listener)
        };
        leaving
            .handle
            .goodbye(&Goodbye::new(ErrorCode::ShuttingDown, "restarting"));
        settle().await;
        assert!(matches!(staying.handle.status(), SessionStatus::Leaving));
        assert!(!staying.handle.is_open());
        for handle in [&leaving.handle, &staying.handle] {
            let error = one(handle, unary("echo", Body::default()))
                .await
                .unwrap_err();
            assert_eq!(error, CallError::ShuttingDown);
        }
        assert_eq!(within(running).await.unwrap(), Ok(Body::raw("2 3")));
        let started = tokio::time::Instant::now();
        let (leaving, staying) = if callee_leaves {
            (listener, dialer)
        } else {
            (dialer, listener)
        };
        assert_eq!(within(leaving.driver).await.unwrap(), SessionEnd::Finished);
        assert_eq!(
            within(staying.driver).await.unwrap(),
            SessionEnd::ShuttingDown
        );
        assert!(
            started.elapsed() < Duration::from_millis(100),
            "{:?}",
            started.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_without_calls_ends_at_once() {
    let (dialer, listener) = linked(1000).await;
    dialer
        .handle
        .goodbye(&Goodbye::new(ErrorCode::ShuttingDown, ""));
    assert!(!dialer.handle.is_open(), "a goodbye of one's own counts");
    assert_eq!(within(dialer.driver).await.unwrap(), SessionEnd::Finished);
    assert_eq!(
        within(listener.driver).await.unwrap(),
        SessionEnd::ShuttingDown
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_goodbye_and_stays_silent_is_left() {
    let (driven, mut raw) = Raw::greeted(Side::Listener, 1000).await;
    let mut goodbye = Goodbye::new(ErrorCode::ShuttingDown, "");
    goodbye.drain = Duration::from_secs(5);
    let started = tokio::time::Instant::now();
    raw.say(Kind::Goodbye, 0, 0, &goodbye.encode(), &[]).await;
    let end = within(driven.driver).await.unwrap();
    assert_eq!(end, SessionEnd::ShuttingDown);
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_opened_before_ones_own_goodbye_is_answered() {
    let (dialer, listener) = linked(100).await;
    let handle = dialer.handle.clone();
    let call = tokio::spawn(async move { one(&handle, unary("echo", zeros(50_000))).await });
    // The call is opened, and its driver has not run: the goodbye overtakes it.
    tokio::task::yield_now().await;
    assert_eq!(dialer.handle.active_calls(), 1);
    dialer
        .handle
        .goodbye(&Goodbye::new(ErrorCode::ShuttingDown, ""));
    assert_eq!(within(call).await.unwrap(), Ok(zeros(50_000)));
    assert_eq!(within(dialer.driver).await.unwrap(), SessionEnd::Finished);
    assert_eq!(
        within(listener.driver).await.unwrap(),
        SessionEnd::ShuttingDown
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_may_take_its_time() {
    // 5 kB a second: the answer takes twelve seconds after the call is over for the session.
    let (mut slow, there) = duplex(1000);
    let listener = end(there, Side::Listener, SessionConfig::default());
    let mut hello = Vec::new();
    let header = Hello::new(NetworkId::default()).encode();
    frame::encode(&mut hello, Kind::Hello, 0, 0, &header, &[]).unwrap();
    let call = call_header("echo after two seconds");
    frame::encode(&mut hello, Kind::Call, FLAG_END, 1, &call, &[7; 60_000]).unwrap();
    let (mut read, mut write) = tokio::io::split(&mut slow);
    let writing = async { write.write_all(&hello).await };
    let reading = async {
        let mut bytes = Vec::new();
        let mut buffer = [0; 1000];
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            match read.read(&mut buffer).await? {
                0 => return std::io::Result::Ok(bytes),
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    };
    let leaving = async {
        within(listener.handle.ready()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(listener.handle.active_calls(), 1);
        listener
            .handle
            .goodbye(&Goodbye::new(ErrorCode::ShuttingDown, ""));
    };
    let (written, bytes, ()) = within(async { tokio::join!(writing, reading, leaving) }).await;
    written.unwrap();
    assert!(bytes.unwrap().len() > 60_000, "the answer was cut");
    assert_eq!(within(listener.driver).await.unwrap(), SessionEnd::Finished);
}
