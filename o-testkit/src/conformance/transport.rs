//! The suite of `Transport`, `Listener` and `Connection`.

mod bytes;
mod closing;
mod dialing;

use std::sync::Arc;

use o_address::{PeerId, TransportAddr};
use o_core::{Connection, Listener, Transport};

use self::{
    bytes::{both_ways, half_closed, held_back, many_substreams, only_substream},
    closing::{closed_by_drop, closed_wakes_everybody, substream_dropped},
    dialing::{addresses, dropped_waits, failing_dials, listener_dropped, proved_peers},
};
use super::check::Suite;

const SUITE: Suite = Suite("Transport");

/// One peer of the network under test.
#[derive(Clone, Debug)]
pub struct TransportEnd {
    /// Who it is.
    pub peer: PeerId,
    /// Its transport, without a policy that refuses the others.
    pub transport: Arc<dyn Transport>,
    /// Where it may listen, with the port or number left open.
    pub listen: TransportAddr,
    /// Where nobody listens.
    pub nobody: TransportAddr,
    /// Whether a connection carries one substream only, which the dialer opens and with which the
    /// connection ends. That is all that calls need; what takes more is left out then.
    pub one_substream: bool,
}

/// A connection between two peers, and the listener that took it.
struct Connected {
    dialer: TransportEnd,
    acceptor: TransportEnd,
    listener: Box<dyn Listener>,
    dialed: Arc<dyn Connection>,
    accepted: Arc<dyn Connection>,
}

async fn listen(end: &TransportEnd) -> Box<dyn Listener> {
    SUITE
        .ok_within("listening", end.transport.listen(&end.listen))
        .await
}

async fn connect<F: AsyncFn() -> TransportEnd>(make: &F) -> Connected {
    let (dialer, acceptor) = (make().await, make().await);
    let mut listener = listen(&acceptor).await;
    let (dialed, accepted) = dial(&dialer, &acceptor, &mut *listener).await;
    Connected {
        dialer,
        acceptor,
        listener,
        dialed,
        accepted,
    }
}

async fn dial(
    dialer: &TransportEnd,
    acceptor: &TransportEnd,
    listener: &mut dyn Listener,
) -> (Arc<dyn Connection>, Arc<dyn Connection>) {
    let addresses = [listener.address()];
    let step = "connecting";
    let both = async {
        tokio::join!(
            dialer.transport.dial(acceptor.peer, &addresses),
            listener.accept()
        )
    };
    let (dialed, accepted) = SUITE.within(step, both).await;
    (SUITE.ok(step, dialed), SUITE.some("accepting", accepted))
}

/// Checks how a transport listens and dials, and how its connections carry bytes and end.
///
/// `make` gives a new peer at each call; all of them have to reach each other.
///
/// # Panics
/// When the transport does not conform.
///
/// # Cancel safety
/// Dropping the future ends the suite.
pub async fn transport<F: AsyncFn() -> TransportEnd>(make: F) {
    addresses(&make).await;
    proved_peers(&make).await;
    failing_dials(&make).await;
    both_ways(&make).await;
    if make().await.one_substream {
        only_substream(&make).await;
    } else {
        many_substreams(&make).await;
    }
    half_closed(&make).await;
    held_back(&make).await;
    dropped_waits(&make).await;
    substream_dropped(&make).await;
    closed_wakes_everybody(&make).await;
    closed_by_drop(&make).await;
    listener_dropped(&make).await;
}
