//! How connections and substreams end.

use futures::{
    AsyncReadExt, AsyncWriteExt, FutureExt,
    future::{join, join3},
};
use o_core::{Connection, ConnectionError, Substream};

use super::{SUITE, TransportEnd, bytes::substream, connect};

/// Whether a read, on a substream that has nothing to tell, says that it is over.
async fn read_ends(step: &str, substream: &mut Substream) {
    let mut rest = Vec::new();
    // An end of file or an error: either proves nothing, but it has to come.
    let _ = SUITE.within(step, substream.read_to_end(&mut rest)).await;
    SUITE.equal(step, &rest, &Vec::new());
}

/// One end of a substream is dropped, the connection lives on.
pub(super) async fn substream_dropped<F: AsyncFn() -> TransportEnd>(make: &F) {
    let connected = connect(make).await;
    let step = "the other end of a substream was dropped";
    let (one, mut two) = substream(step, &connected).await;
    drop(one);
    read_ends(step, &mut two).await;
    let writes = async {
        // The first writes may go before the news has come.
        while two.write_all(&[0; 1024]).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    SUITE
        .within("writing to a substream that was dropped ends", writes)
        .await;
    if !connected.dialer.one_substream {
        substream("the connection outlives its substreams", &connected).await;
    }
}

fn closed<T>(step: &str, result: Result<T, ConnectionError>) {
    match result {
        Err(ConnectionError::Closed { .. }) => {}
        Err(other) => SUITE.fail(step, &format!("expected `Closed`, found {other:?}")),
        Ok(_) => SUITE.fail(step, "it gave a substream"),
    }
}

async fn waits(step: &str, connection: &dyn Connection) {
    let early = connection.accept().now_or_never();
    SUITE.check(step, early.is_none(), "a substream that nobody has opened");
}

/// Closing ends what waits, here and there.
pub(super) async fn closed_wakes_everybody<F: AsyncFn() -> TransportEnd>(make: &F) {
    let connected = connect(make).await;
    let step = "closing a connection";
    let (mut here, mut there) = substream(step, &connected).await;
    let (ours, theirs) = (&*connected.dialed, &*connected.accepted);
    waits("accepting", ours).await;
    waits("accepting", theirs).await;

    let accepts = join(ours.accept(), theirs.accept());
    let reads = join(
        read_ends("reading on a connection that was closed here", &mut here),
        read_ends("reading on a connection that was closed there", &mut there),
    );
    // Polled last, so that everybody waits when it comes.
    let close = ours.close();
    let ((accepted_here, accepted_there), ..) = SUITE
        .within("closing wakes everybody", join3(accepts, reads, close))
        .await;
    closed(
        "accepting on a connection that is closed here",
        accepted_here,
    );
    closed(
        "accepting on a connection that is closed there",
        accepted_there,
    );

    SUITE.within("closing twice", ours.close()).await;
    for (side, connection) in [("here", ours), ("there", theirs)] {
        let step = format!("opening on a connection that was closed {side}");
        closed(&step, SUITE.within(&step, connection.open()).await);
        let step = format!("accepting again on a connection that was closed {side}");
        closed(&step, SUITE.within(&step, connection.accept()).await);
    }
    SUITE
        .within("closing from the other side", theirs.close())
        .await;
}

/// Dropping the last handle closes too.
pub(super) async fn closed_by_drop<F: AsyncFn() -> TransportEnd>(make: &F) {
    let connected = connect(make).await;
    let step = "the last handle of a connection was dropped";
    let second = connected.dialed.clone();
    drop(connected.dialed);
    let opened = SUITE.ok_within("a handle is left", second.open()).await;
    let (_here, mut there) =
        super::bytes::exchange("a handle is left", opened, &*connected.accepted).await;
    drop(second);
    read_ends(step, &mut there).await;
    closed(step, SUITE.within(step, connected.accepted.accept()).await);
}
