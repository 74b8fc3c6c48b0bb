//! Calls to the peers that their targets are pinned to, for the parts of a node that keep no handle of it.

use std::sync::Arc;

use async_trait::async_trait;
use o_core::{CallError, Caller, OutgoingCall, Reply};
use o_pool::Pool;

use crate::{dialer::NodeDialer, peers::Peers, route};

/// Calls the peer to which the target is pinned, over the connection that is there, or a new one.
#[derive(Clone, Debug)]
pub(crate) struct PinnedCaller {
    pub(crate) peers: Arc<Peers>,
    pub(crate) pool: Pool<NodeDialer>,
}

#[async_trait]
impl Caller for PinnedCaller {
    async fn call(&self, mut call: OutgoingCall) -> Result<Reply, CallError> {
        let Some(peer) = call.target.pin() else {
            return Err(CallError::NotFound {
                address: call.target,
            });
        };
        let link = match self.peers.get(&peer) {
            Some(link) => link,
            None => {
                let lease = self.pool.acquire(peer, &[]).await;
                (*lease.map_err(|error| route::call_error(&error, &call.target))?).clone()
            }
        };
        let asked = link.session.request(&mut call).await;
        asked.map_err(|unanswered| unanswered.error)
    }
}
