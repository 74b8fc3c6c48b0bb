//! What holds while the Swarm task does not come round to its work.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use o_core::{Attempt, CallError, ConnectionGater, DenyReason};
use o_protocol::Call;
use tokio::sync::Notify;

use crate::{
    support::{address, connect, quiet, soon, start, stop, within},
    worker::Worker,
};

const WORKER: &str = "o://far/worker";

/// A policy that, asked for the first time after it was armed, thinks until the other end of the
/// channel is dropped: inside the Swarm task, where policies are asked.
#[derive(Debug, Default)]
struct Slow {
    until: Mutex<Option<mpsc::Receiver<()>>>,
    asked: Notify,
}

impl ConnectionGater for Slow {
    fn allow(&self, _: &Attempt<'_>) -> Result<(), DenyReason> {
        let until = self.until.lock().unwrap().take();
        if let Some(until) = until {
            self.asked.notify_one();
            let _ = until.recv();
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_deadline_holds_while_the_swarm_task_is_busy_for_seconds() {
    let server = start(quiet().host(Worker::new().at(WORKER))).await;
    let slow = Arc::new(Slow::default());
    let client = quiet().client().gater(slow.clone());
    // Each ping is an event for the Swarm task. With a few that are not taken, the task of the
    // connection waits, and does not poll the session.
    let client = client.configure(|config| config.node.ping_interval = Duration::from_millis(10));
    let client = start(client).await;
    connect(&client, &server).await;

    let (busy, until) = mpsc::sync_channel(1);
    *slow.until.lock().unwrap() = Some(until);
    let dialing = tokio::spawn({
        let client = client.clone();
        async move {
            client
                .connect(&"/ip4/127.0.0.1/tcp/1".parse().unwrap())
                .await
        }
    });
    soon(slow.asked.notified()).await;
    let (begun, limit) = (Instant::now(), Duration::from_secs(1));
    let call = Call::to(address(WORKER), "gate")
        .params("never opened")
        .timeout(limit);
    let answer = within(Duration::from_secs(10), call.send::<String>(&client)).await;
    let took = begun.elapsed();
    assert!(
        matches!(answer, Err(CallError::TimedOut { .. })),
        "{answer:?}"
    );
    assert!(took >= limit && took < 3 * limit, "{took:?}");
    assert!(!dialing.is_finished(), "the Swarm task went on");
    drop(busy);
    soon(dialing).await.unwrap().unwrap_err();
    stop([client, server]).await;
}
