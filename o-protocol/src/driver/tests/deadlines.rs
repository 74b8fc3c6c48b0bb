//! Deadlines that hold although nobody polls the driver.

use std::pin::pin;

use futures::future::{join, select};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_call_at_both_ends_though_no_driver_is_polled() {
    let (here, there) = duplex(1000);
    let agent = Arc::new(TestAgent::default());
    let dropped = agent.watch();
    let begin = |stream: DuplexStream, side| {
        let serve = Arc::new(Tasks(agent.clone()));
        let (config, hello) = (SessionConfig::default(), Hello::new(NetworkId::default()));
        connect(stream.compat(), side, config, hello, None, serve)
    };
    let (caller, mut calling) = begin(here, Side::Dialer);
    let (callee, mut answering) = begin(there, Side::Listener);
    let call = unary("hang", Body::default()).timeout(Duration::from_secs(1));
    let call = {
        let caller = caller.clone();
        tokio::spawn(async move { one(&caller, call).await })
    };
    let served = async {
        while callee.counts().1 == 0 {
            settle().await;
        }
    };
    select(join(&mut calling, &mut answering), pin!(served)).await;

    // From here on nobody drives either end.
    for end in [&caller, &callee] {
        assert!(!end.is_due(now()));
        end.expire(now());
    }
    settle().await;
    assert!(!call.is_finished(), "it has time left");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!call.is_finished(), "nobody has looked at the time");
    assert!(caller.is_due(now()));
    caller.expire(now());
    assert!(!caller.is_due(now()), "nothing is left to end");
    let error = within(call).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::TimedOut);
    callee.expire(now());
    assert!(within(dropped).await.is_err());
    settle().await;
    for end in [&caller, &callee] {
        assert_eq!((end.active_calls(), end.counts()), (0, (0, 0)));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_not_held_against_a_peer_that_nobody_listened_to() {
    let (here, _there) = duplex(1000);
    let serve = Arc::new(Tasks(Arc::default()));
    let (config, hello) = (SessionConfig::default(), Hello::new(NetworkId::default()));
    let (handle, _driver) = connect(here.compat(), Side::Dialer, config, hello, None, serve);
    let waiting = handle.control_len();
    let call = {
        let handle = handle.clone();
        tokio::spawn(async move { one(&handle, unary("hang", zeros(1))).await })
    };
    settle().await;
    // Later than the time-outs of HELLO and of pings.
    handle.expire(now() + LIMIT);
    settle().await;
    assert!(handle.is_open() && !call.is_finished());
    assert_eq!(handle.control_len(), waiting, "no ping either");
}
