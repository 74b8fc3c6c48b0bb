//! Calls that are begun on the task of their connection, and those that get tasks of their own.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use o_core::{CallError, Caller as _, ErrorCode, OutgoingCall};
use o_node::{Hosting, Methods};

use crate::support::{Ask as _, LIMIT, adder, address, connect, quiet, soon, start, stop};

const HALL: &str = "o://pace/hall";

/// Where callers wait for each other, with their threads blocked.
#[derive(Debug, Default)]
struct Hall {
    present: Mutex<u32>,
    came: Condvar,
}

impl Hall {
    /// Waits for a second caller, at most `limit`, with its thread blocked; whether one came.
    fn meet(&self, limit: Duration) -> bool {
        let mut present = self.present.lock().unwrap();
        *present += 1;
        self.came.notify_all();
        let alone = |present: &mut u32| *present < 2;
        let met = self.came.wait_timeout_while(present, limit, alone);
        !met.unwrap().1.timed_out()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_calls_of_an_agent_that_works_before_it_waits_run_side_by_side() {
    let hall = Arc::new(Hall::default());
    let slow = hall.clone();
    let methods = Methods::new()
        .unary("alone", move |_, millis: u64| {
            let alone = !slow.meet(Duration::from_millis(millis));
            *slow.present.lock().unwrap() = 0;
            std::future::ready(Ok::<_, CallError>(alone))
        })
        .unary("meet", move |_, (): ()| {
            std::future::ready(Ok::<_, CallError>(hall.meet(LIMIT)))
        });
    let server = start(quiet().host(Hosting::new(address(HALL), methods))).await;
    let client = start(quiet().client()).await;
    connect(&client, &server).await;

    let _: serde_json::Value = client.ask(HALL, "ping", ()).await.unwrap();
    // It shows how slow it is once.
    let alone: bool = client.ask(HALL, "alone", 20_u64).await.unwrap();
    assert!(alone);
    let meeting = async {
        futures::join!(
            client.ask::<bool>(HALL, "meet", ()),
            client.ask::<bool>(HALL, "meet", ())
        )
    };
    let (one, other) = soon(meeting).await;

    // On the task of the connection the first would have waited in vain for the second.
    assert!(one.unwrap() && other.unwrap());
    stop([client, server]).await;
}

#[tokio::test]
async fn a_handler_that_panics_at_once_fails_its_call_and_nothing_else() {
    let methods = Methods::new().unary("fail", |_, fail: bool| {
        assert!(!fail, "the handler's own fault");
        std::future::ready(Ok::<_, CallError>(fail))
    });
    let server = start(
        quiet()
            .host(Hosting::new(address(HALL), methods))
            .host(adder("o://pace/adder")),
    )
    .await;
    let client = start(quiet().client()).await;
    connect(&client, &server).await;

    for _ in 0..3 {
        let error = client.ask::<bool>(HALL, "fail", true).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Internal, "{error:?}");
        let fine: bool = client.ask(HALL, "fail", false).await.unwrap();
        assert!(!fine);
    }
    let sum: i64 = client.ask("o://pace/adder", "add", (2, 3)).await.unwrap();
    assert_eq!(sum, 5);
    let stats = OutgoingCall::unary(address("o://~"), "ping", o_core::Body::default());
    client.peer(server.peer_id()).call(stats).await.unwrap();
    stop([client, server]).await;
}
