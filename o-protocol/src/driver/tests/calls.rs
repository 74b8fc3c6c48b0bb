//! Single values, cancelling, failing, many at once.

use super::*;

#[tokio::test(start_paused = true)]
async fn both_ends_call() {
    // Streams that hold a byte, a few, and everything at once.
    for capacity in [1, 100, 1 << 20] {
        let (dialer, listener) = linked(capacity).await;
        for (caller, length) in [(&dialer, 0), (&listener, 5), (&dialer, 200_000)] {
            let body = Body::cbor(vec![3; length]);
            let reply = one(&caller.handle, unary("echo", body.clone())).await;
            assert_eq!(reply, Ok(body));
        }
        settle().await;
        assert_idle(&[&dialer, &listener]);
    }
}

#[tokio::test(start_paused = true)]
async fn errors_keep_their_code() {
    let (dialer, listener) = linked(1000).await;
    let call = |method| one(&dialer.handle, unary(method, Body::default()));
    assert_eq!(call("fail").await, Err(CallError::failed("as asked")));
    let expected = CallError::UnknownMethod {
        method: "nothing".into(),
    };
    assert_eq!(call("nothing").await, Err(expected));
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_is_an_internal_error_and_nothing_else_stops() {
    let (dialer, listener) = linked(1000).await;
    let error = one(&dialer.handle, unary("panic", Body::default()))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Internal);
    assert!(one(&dialer.handle, unary("echo", zeros(1))).await.is_ok());
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_call_drops_the_handler() {
    let (dialer, listener) = linked(1000).await;
    let dropped = listener.agent.watch();
    let call = timeout(Duration::from_millis(10), async {
        dialer.handle.call(unary("hang", Body::default())).await
    });
    assert!(call.await.is_err(), "the handler answers never");
    assert!(within(dropped).await.is_err());
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_goes_by_the_clock_of_the_driver() {
    let (dialer, _listener) = linked(1000).await;
    // The machine's own clock has not moved on.
    tokio::time::advance(Duration::from_secs(3600)).await;
    let limit = Duration::from_secs(5);
    let call = unary("echo after two seconds", Body::raw("hi")).timeout(limit);
    assert_eq!(one(&dialer.handle, call).await, Ok(Body::raw("hi")));
    let begun = tokio::time::Instant::now();
    let error = one(
        &dialer.handle,
        unary("hang", Body::default()).timeout(limit),
    )
    .await;
    assert_eq!(error, Err(CallError::TimedOut { after: limit }));
    assert_eq!(begun.elapsed(), limit);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_both_ends() {
    let (dialer, listener) = linked(1000).await;
    let dropped = listener.agent.watch();
    let started = tokio::time::Instant::now();
    let mut call = unary("hang", Body::default());
    call.terms.deadline = Some(now() + Duration::from_millis(250));
    let error = one(&dialer.handle, call).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::TimedOut);
    assert!(within(dropped).await.is_err());
    let took = started.elapsed();
    assert!((250..300).contains(&took.as_millis()), "{took:?}");
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_at_once() {
    let (dialer, listener) = linked(64 * 1024).await;
    let calls = (0_u32..1000).map(|number| {
        let handle = dialer.handle.clone();
        let body = Body::raw(number.to_be_bytes().to_vec());
        async move { (one(&handle, unary("echo", body.clone())).await, body) }
    });
    for (reply, body) in within(futures::future::join_all(calls)).await {
        assert_eq!(reply, Ok(body));
    }
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

#[tokio::test(start_paused = true)]
async fn calls_over_the_limit_are_busy_and_the_others_are_not() {
    let (dialer, listener) = linked(64 * 1024).await;
    let hanging = (0..1024).map(|_| {
        let handle = dialer.handle.clone();
        tokio::spawn(async move { handle.call(unary("hang", Body::default())).await.map(drop) })
    });
    let hanging: Vec<_> = hanging.collect();
    settle().await;
    assert_eq!(listener.handle.active_calls(), 1024);
    let error = one(&dialer.handle, unary("echo", Body::default()))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Busy);
    hanging.iter().for_each(JoinHandle::abort);
    settle().await;
    assert!(
        one(&dialer.handle, unary("echo", Body::default()))
            .await
            .is_ok()
    );
    settle().await;
    assert_idle(&[&dialer, &listener]);
}

#[tokio::test(start_paused = true)]
async fn calls_need_not_wait_for_the_hello() {
    let (here, there) = duplex(1000);
    let dialer = end(here, Side::Dialer, SessionConfig::default());
    let handle = dialer.handle.clone();
    let call = tokio::spawn(async move { one(&handle, unary("echo", zeros(9))).await });
    settle().await;
    assert!(matches!(dialer.handle.status(), SessionStatus::Opening));
    let _listener = end(there, Side::Listener, SessionConfig::default());
    assert_eq!(within(call).await.unwrap(), Ok(zeros(9)));
}
