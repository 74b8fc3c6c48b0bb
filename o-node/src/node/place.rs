//! Where a node stands in its hierarchy, and who stands where in the tree.

use futures::TryStreamExt as _;
use o_address::{Address, PeerId};
use o_core::{CallError, Chain, Encoding, OutgoingCall, Reply};
use o_protocol::{decode_body, encode_body};

use super::Node;
use crate::hierarchy::{Place, TreeNode};

impl Node {
    /// What gives this node its name in the hierarchy; `None` while it has joined nobody, or belongs to
    /// no hierarchy. A root has a chain of its own.
    pub fn chain(&self) -> Option<Chain> {
        let running = self.running().ok()?;
        running.hierarchy.as_ref()?.held()
    }

    /// The node that this one is attached to: its own parent or, while that is gone, one further up.
    pub fn parent(&self) -> Option<PeerId> {
        self.running().ok()?.hierarchy.as_ref()?.parent()
    }

    /// The nodes directly below this one.
    pub fn children(&self) -> Vec<(Address, PeerId)> {
        let running = self.running().ok();
        let hierarchy = running
            .as_ref()
            .and_then(|running| running.hierarchy.as_ref());
        hierarchy.map_or_else(Vec::new, |hierarchy| hierarchy.children())
    }

    /// Asks the node at `address` where it stands; `o://~#PEER` asks a peer.
    ///
    /// # Errors
    /// Those of any call; `UnknownMethod` from a node that belongs to no hierarchy.
    ///
    /// # Cancel safety
    /// Dropping the future ends it.
    pub async fn place_of(&self, address: &Address) -> Result<Place, CallError> {
        let body = encode_body(Encoding::Cbor, &()).map_err(internal)?;
        let call = OutgoingCall::unary(address.clone(), "hierarchy.place", body);
        match o_core::Caller::call(self, call).await? {
            Reply::One(body) => decode_body(&body).map_err(invalid),
            Reply::Stream(_) => Err(invalid("a stream came")),
        }
    }

    /// Asks the node at `address` for itself and `depth` levels below it, each node before those below
    /// it. At most 4,096 nodes come (`hierarchy.max_listed_nodes` there).
    ///
    /// # Errors
    /// Those of any call; `UnknownMethod` from a node that belongs to no hierarchy.
    ///
    /// # Cancel safety
    /// Dropping the future ends it.
    pub async fn tree_below(
        &self,
        address: &Address,
        depth: u8,
    ) -> Result<Vec<TreeNode>, CallError> {
        #[derive(serde::Serialize)]
        struct Request {
            depth: u8,
        }
        let body = encode_body(Encoding::Cbor, &Request { depth }).map_err(internal)?;
        let mut call = OutgoingCall::server_streaming(address.clone(), "hierarchy.tree", body);
        call.terms.timeout = Some(self.inner.config.node.call_timeout);
        match o_core::Caller::call(self, call).await? {
            Reply::One(_) => Err(invalid("one value came")),
            Reply::Stream(items) => {
                let nodes = items.and_then(|item| {
                    std::future::ready(decode_body::<TreeNode>(&item).map_err(invalid))
                });
                nodes.try_collect().await
            }
        }
    }
}

fn internal(error: impl std::fmt::Display) -> CallError {
    CallError::Internal {
        message: error.to_string(),
    }
}

fn invalid(error: impl std::fmt::Display) -> CallError {
    CallError::InvalidReply {
        message: error.to_string(),
    }
}
