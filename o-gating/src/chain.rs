//! Gaters one after the other, and the gater that allows everybody.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use o_core::{Attempt, ConnectionGater, DenyReason};
use tracing::trace;

/// Asks its gaters in order; the first denial wins, and the gaters after it are not asked.
///
/// A connection may exist if all of them allow it; an empty chain allows everybody. Put what is
/// cheap and what refuses most first. The members are fixed once the chain is in use, as the node
/// owns it then; what changes at run time is *in* them, through handles such as
/// [`BlockList`](crate::BlockList). A chain is a gater itself, so chains nest.
///
/// ```
/// use o_core::{Attempt, ConnectionGater, DenyReason};
/// use o_gating::{AllowList, BlockList, GaterChain};
///
/// #[derive(Debug)]
/// struct NoRelays;
///
/// impl ConnectionGater for NoRelays {
///     fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
///         match attempt.relayed {
///             true => Err(DenyReason::Policy { reason: "direct connections only".into() }),
///             false => Ok(()),
///         }
///     }
/// }
///
/// let chain = GaterChain::new().with(BlockList::new()).with(AllowList::new()).with(NoRelays);
/// assert_eq!(chain.len(), 3);
/// ```
#[derive(Clone, Debug, Default)]
pub struct GaterChain {
    gaters: Vec<Arc<dyn ConnectionGater>>,
}

impl GaterChain {
    /// An empty chain, which allows everybody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same chain with `gater` at its end.
    #[must_use]
    pub fn with(mut self, gater: impl ConnectionGater) -> Self {
        self.push(Arc::new(gater));
        self
    }

    /// Puts `gater` at the end.
    pub fn push(&mut self, gater: Arc<dyn ConnectionGater>) {
        self.gaters.push(gater);
    }

    /// How many gaters it asks at most.
    #[must_use]
    pub fn len(&self) -> usize {
        self.gaters.len()
    }

    /// Whether it has no gater and so allows everybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gaters.is_empty()
    }
}

impl ConnectionGater for GaterChain {
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        for (index, gater) in self.gaters.iter().enumerate() {
            gater.allow(attempt).inspect_err(
                |reason| trace!(index, ?gater, %reason, "connection denied by this gater"),
            )?;
        }
        Ok(())
    }
}

/// Allows everybody: what a node without a policy uses.
///
/// ```
/// use o_core::{Attempt, ConnectionGater, Direction, Stage};
/// use o_gating::AllowAll;
///
/// let attempt = Attempt::new(Stage::Established, Direction::Inbound);
/// assert_eq!(AllowAll.allow(&attempt), Ok(()));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllowAll;

impl ConnectionGater for AllowAll {
    fn allow(&self, _attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        Ok(())
    }
}
