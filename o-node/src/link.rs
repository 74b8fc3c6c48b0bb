//! A live connection, as pool, resolver and callers see it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::{FutureExt, future::BoxFuture};
use o_address::{PeerId, TransportAddr};
use o_core::{Direction, ErrorCode, OutgoingCall, Reply};
use o_protocol::{Goodbye, Hello, SessionEnd, SessionHandle, SessionStatus, Unanswered};

use crate::reputation::Entry;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A connection whose call session is up. Clones are handles of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) session: SessionHandle,
    pub(crate) peer: PeerId,
    pub(crate) remote: Arc<TransportAddr>,
    pub(crate) direction: Direction,
    /// Whether its bytes are in the clear.
    pub(crate) plaintext: bool,
    /// What is known of the peer.
    pub(crate) known: Arc<Entry>,
    id: u64,
    rank: u32,
}

impl Link {
    pub(crate) fn new(
        session: SessionHandle,
        local: PeerId,
        known: Arc<Entry>,
        remote: TransportAddr,
        direction: Direction,
        plaintext: bool,
    ) -> Self {
        let peer = known.peer();
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Self {
            rank: rank(local, peer, direction, &remote),
            session,
            peer,
            remote: Arc::new(remote),
            direction,
            plaintext,
            known,
            id,
        }
    }

    /// Calls, and remembers how it ended.
    pub(crate) async fn request(&self, call: &mut OutgoingCall) -> Result<Reply, Unanswered> {
        self.known.request(&self.session, call).await
    }

    /// What the peer said of itself, once it has.
    pub(crate) fn hello(&self) -> Option<Arc<Hello>> {
        self.session.hello()
    }

    /// Where the peer may be dialed again: there where this node dialed it.
    pub(crate) fn addresses(&self) -> Vec<TransportAddr> {
        let dialed = self.direction == Direction::Outbound;
        dialed.then(|| (*self.remote).clone()).into_iter().collect()
    }

    /// Whether the connection ended without a word of the peer's.
    pub(crate) fn is_lost(&self) -> bool {
        let status = self.session.status();
        matches!(status, SessionStatus::Closed(SessionEnd::Lost { .. }))
    }
}

/// Which of several connections to one peer is preferred: one within this machine before a direct one
/// before a relayed one, and of two that both sides dialed at once the one that the lower peer id dialed. Both ends come to the same.
fn rank(local: PeerId, peer: PeerId, direction: Direction, remote: &TransportAddr) -> u32 {
    let dialer_is_lower = (local < peer) == (direction == Direction::Outbound);
    worth(remote) * 2 + u32::from(dialer_is_lower)
}

/// How good a way to a peer is: through a relay, direct, or within this machine. Both ends see the same.
pub(crate) fn worth(remote: &TransportAddr) -> u32 {
    match remote.transport_label() {
        "relay" => 0,
        "unix" | "memory" => 2,
        _ => 1,
    }
}

/// A connection that was dialed for somebody. Dropped before it is kept, it closes: nobody waits for
/// it any longer, and the pool does not know of it.
#[derive(Debug)]
pub(crate) struct Fresh {
    link: Link,
    kept: bool,
}

impl Fresh {
    pub(crate) fn new(link: Link) -> Self {
        Self { link, kept: false }
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn keep(mut self) -> Link {
        self.kept = true;
        self.link.clone()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.kept {
            o_pool::Link::close(&self.link, "nobody waits for it");
        }
    }
}

impl o_pool::Link for Link {
    fn id(&self) -> u64 {
        self.id
    }

    fn is_alive(&self) -> bool {
        self.session.is_open()
    }

    fn rank(&self) -> u32 {
        self.rank
    }

    fn active_calls(&self) -> usize {
        self.session.active_calls()
    }

    fn calls_started(&self) -> u64 {
        self.session.calls_started()
    }

    fn close(&self, reason: &'static str) {
        self.session.part(reason);
    }

    fn refuse(&self, reason: &'static str) {
        self.session.goodbye(&Goodbye::new(ErrorCode::Busy, reason));
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        let session = self.session.clone();
        async move {
            session.closed().await;
        }
        .boxed()
    }
}
