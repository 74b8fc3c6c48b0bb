//! The suite of gaters finds what is broken in each of these.

use std::sync::atomic::{AtomicUsize, Ordering};

use o_core::{Attempt, ConnectionGater, DenyReason, Direction, Stage};
use o_testkit::{
    conformance::{self, GaterCase},
    test_peer,
};

use crate::support::failure_of;

#[derive(Debug)]
enum Broken {
    /// Lets everybody in.
    Open,
    /// Lets nobody in.
    Closed,
    /// Lets the first few in, whoever they are.
    Counting(AtomicUsize),
    /// Takes for granted that there is a peer.
    Trusting,
    /// Does not say why.
    Silent,
}

impl ConnectionGater for Broken {
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        let enemy = attempt.peer == Some(&test_peer(2));
        let answer = |denied: bool| {
            if denied {
                Err(DenyReason::Blocked)
            } else {
                Ok(())
            }
        };
        match self {
            Self::Open => Ok(()),
            Self::Closed => Err(DenyReason::NotAllowed),
            Self::Counting(count) => answer(enemy || count.fetch_add(1, Ordering::Relaxed) > 20),
            Self::Trusting => answer(*attempt.peer.expect("a peer") == test_peer(2)),
            Self::Silent if enemy => Err(DenyReason::Policy { reason: "".into() }),
            Self::Silent => Ok(()),
        }
    }
}

async fn found(broken: Broken) -> String {
    failure_of(async {
        let (friend, enemy) = (test_peer(1), test_peer(2));
        let attempt = Attempt::new(Stage::Established, Direction::Inbound);
        let cases = [
            GaterCase::allowed("a friend", attempt.peer(&friend)),
            GaterCase::denied("an enemy", attempt.peer(&enemy)),
        ];
        conformance::gater(&broken, &cases);
    })
    .await
}

#[tokio::test]
async fn each_is_found() {
    for (broken, what) in [
        (Broken::Open, "`an enemy` should be denied"),
        (Broken::Closed, "`a friend` should be allowed"),
        (Broken::Counting(AtomicUsize::new(0)), "asked again"),
        (Broken::Trusting, "a peer"),
        (Broken::Silent, "it has no text"),
    ] {
        let found = found(broken).await;
        assert!(found.contains(what), "{found}");
    }
}
