//! The calls of peers whom this node dialed.

use std::{fmt, sync::Arc};

use o_address::{PeerId, TransportAddr};
use o_core::{Attempt, CallError, ConnectionGater, Direction, Stage};
use o_protocol::{Serve, ServedCall};

/// Serves the calls that come over a connection which this node dialed, as long as the peer might have
/// come by itself.
///
/// Whom we dial is our choice only in part: a table names peers, and its queries dial them. Without
/// this, whoever gets himself dialed would be past a policy about who may connect. It is asked for each
/// call, so that edits count at once.
pub(crate) struct Dialed {
    pub(crate) gater: Arc<dyn ConnectionGater>,
    pub(crate) peer: PeerId,
    pub(crate) remote: Option<TransportAddr>,
    pub(crate) relayed: bool,
    pub(crate) serve: Arc<dyn Serve>,
}

impl Serve for Dialed {
    fn serve(&self, call: ServedCall) {
        let mut attempt = Attempt::new(Stage::Established, Direction::Inbound).peer(&self.peer);
        attempt.remote = self.remote.as_ref();
        attempt.relayed = self.relayed;
        match self.gater.allow(&attempt) {
            Ok(()) => self.serve.serve(call),
            Err(reason) => call.refuse(&CallError::Refused {
                peer: None,
                reason: reason.to_string(),
                certain: true,
            }),
        }
    }
}

impl fmt::Debug for Dialed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialed")
            .field("gater", &self.gater)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
