//! Listening, dialing, and who is at the other end.

use std::time::Duration;

use futures::{
    FutureExt,
    future::{Either, select},
};
use o_core::{DialError, Direction, ListenError};

use super::{Connected, SUITE, TransportEnd, connect, dial, listen};
use crate::test_peer;

/// Pause between two dials at a listener that is about to close.
const PAUSE: Duration = Duration::from_millis(50);

/// Which addresses are the transport's.
pub(super) async fn addresses<F: AsyncFn() -> TransportEnd>(make: &F) {
    let end = make().await;
    for address in [&end.listen, &end.nobody] {
        SUITE.check(
            "its own addresses",
            end.transport.handles(address),
            &format!("not {address}"),
        );
    }
    let listener = listen(&end).await;
    let address = listener.address();
    let step = "the address that it really listens at";
    SUITE.check(
        step,
        end.transport.handles(&address),
        &format!("{address} is not handled"),
    );
    SUITE.check(
        step,
        address != end.listen,
        &format!("{address} has no number of its own"),
    );

    let other = SUITE.ok("an address", "/o-conformance/1".parse());
    let step = "an address of another transport";
    SUITE.check(step, !end.transport.handles(&other), "it is handled");
    match SUITE.within(step, end.transport.listen(&other)).await {
        Err(ListenError::Unsupported { .. }) => {}
        found => SUITE.fail(step, &format!("expected `Unsupported`, found {found:?}")),
    }
    let peer = make().await.peer;
    for (step, addresses) in [(step, vec![other]), ("no address", vec![])] {
        match SUITE
            .within(step, end.transport.dial(peer, &addresses))
            .await
        {
            Err(DialError::NoAddresses { peer: named }) => SUITE.equal(step, &named, &peer),
            found => SUITE.fail(step, &format!("expected `NoAddresses`, found {found:?}")),
        }
    }
}

/// Both ends know who the other is.
pub(super) async fn proved_peers<F: AsyncFn() -> TransportEnd>(make: &F) {
    let mut first = connect(make).await;
    check_peers(&first);
    // Another dialer at the same listener, and the first once more.
    let third = make().await;
    let (dialed, accepted) = dial(&third, &first.acceptor, &mut *first.listener).await;
    SUITE.equal("a second dialer", &accepted.peer(), &third.peer);
    SUITE.equal("a second dialer", &dialed.peer(), &first.acceptor.peer);
    let (_dialed, accepted) = dial(&first.dialer, &first.acceptor, &mut *first.listener).await;
    SUITE.equal("a second connection", &accepted.peer(), &first.dialer.peer);
}

fn check_peers(connected: &Connected) {
    let Connected {
        dialer,
        acceptor,
        dialed,
        accepted,
        ..
    } = connected;
    SUITE.equal(
        "the dialer's proof of who answered",
        &dialed.peer(),
        &acceptor.peer,
    );
    SUITE.equal(
        "the listener's proof of who dialed",
        &accepted.peer(),
        &dialer.peer,
    );
    SUITE.equal("who dialed", &dialed.direction(), &Direction::Outbound);
    SUITE.equal("who was dialed", &accepted.direction(), &Direction::Inbound);
}

/// Dials that cannot work, and one that can after all.
pub(super) async fn failing_dials<F: AsyncFn() -> TransportEnd>(make: &F) {
    let (dialer, acceptor) = (make().await, make().await);
    let step = "dialing where nobody listens";
    let nobody = [acceptor.nobody.clone()];
    match SUITE
        .within(step, dialer.transport.dial(acceptor.peer, &nobody))
        .await
    {
        Err(DialError::Failed { peer, .. } | DialError::TimedOut { peer, .. }) => {
            SUITE.equal(step, &peer, &acceptor.peer);
        }
        found => SUITE.fail(
            step,
            &format!("expected `Failed` or `TimedOut`, found {found:?}"),
        ),
    }

    let mut listener = listen(&acceptor).await;
    let step = "dialing somebody else than who listens";
    let somebody = test_peer(u64::MAX);
    let there = [listener.address()];
    let dialing = dialer.transport.dial(somebody, &there);
    // A listener may have to take part in the handshake.
    let outcome = {
        let accepting = async { while listener.accept().await.is_some() {} };
        match SUITE
            .within(step, select(dialing, Box::pin(accepting)))
            .await
        {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => SUITE.fail(step, "the listener closed"),
        }
    };
    match outcome {
        Err(DialError::WrongPeer { expected, found }) => {
            SUITE.equal(step, &(expected, found), &(somebody, acceptor.peer));
        }
        found => SUITE.fail(step, &format!("expected `WrongPeer`, found {found:?}")),
    }

    let step = "an address that answers after one that does not";
    let both = [acceptor.nobody.clone(), listener.address()];
    let dialed = async {
        tokio::join!(
            dialer.transport.dial(acceptor.peer, &both),
            listener.accept()
        )
        .0
    };
    let dialed = SUITE.ok_within(step, dialed).await;
    SUITE.equal(step, &dialed.peer(), &acceptor.peer);
}

/// Dropping a future that waits loses nothing.
pub(super) async fn dropped_waits<F: AsyncFn() -> TransportEnd>(make: &F) {
    let (dialer, acceptor) = (make().await, make().await);
    let mut listener = listen(&acceptor).await;
    let step = "accepting where nobody has dialed";
    SUITE.check(
        step,
        listener.accept().now_or_never().is_none(),
        "somebody is there",
    );
    // Whatever a dropped dial has left behind must not be in the way of the next.
    let _ = dialer
        .transport
        .dial(acceptor.peer, &[listener.address()])
        .now_or_never();

    let addresses = [listener.address()];
    let step = "a dial after dropped ones";
    let both = async {
        tokio::join!(dialer.transport.dial(acceptor.peer, &addresses), async {
            loop {
                let accepted =
                    SUITE.some("accepting after a dropped dial", listener.accept().await);
                // The dropped dial may have come through; this one does for certain.
                if accepted
                    .accept()
                    .now_or_never()
                    .is_none_or(|substream| substream.is_ok())
                {
                    return accepted;
                }
            }
        })
    };
    let (dialed, accepted) = SUITE.within(step, both).await;
    let dialed = SUITE.ok(step, dialed);
    SUITE.equal(
        step,
        &(dialed.peer(), accepted.peer()),
        &(acceptor.peer, dialer.peer),
    );
}

/// Nobody can connect any more.
pub(super) async fn listener_dropped<F: AsyncFn() -> TransportEnd>(make: &F) {
    let Connected {
        dialer,
        acceptor,
        listener,
        dialed,
        accepted,
    } = connect(make).await;
    let addresses = [listener.address()];
    drop(listener);
    let step = "a listener that was dropped is gone";
    let gone = async {
        while dialer
            .transport
            .dial(acceptor.peer, &addresses)
            .await
            .is_ok()
        {
            tokio::time::sleep(PAUSE).await;
        }
    };
    SUITE.within(step, gone).await;

    let step = "connections outlive their listener";
    let substream = SUITE.ok_within(step, dialed.open()).await;
    super::bytes::exchange(step, substream, &*accepted).await;
}
