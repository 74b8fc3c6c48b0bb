//! Which names are believed only with the chain of their root.

use std::{sync::Arc, time::SystemTime};

use o_address::Address;
use o_core::{SignedRecord, Verifier};
use o_protocol::verify_record_chain;

use crate::{hierarchy::Hierarchy, trust::Trust};

/// What this node wants to see before it believes that somebody has a name: the chain of its own tree's
/// root, and those of the roots whose keys it remembers.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) hierarchy: Option<Arc<Hierarchy>>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) verifier: Arc<dyn Verifier>,
}

impl Authority {
    /// Whether only who has a chain for the name is believed to have it.
    pub(crate) fn wants_chain(&self, address: &Address) -> bool {
        let own = self.hierarchy.as_ref();
        own.is_some_and(|own| own.wants_chain(address)) || self.trust.root_for(address).is_some()
    }

    /// What a record must pass before it is believed.
    ///
    /// # Errors
    /// Why its name is not its peer's, in words.
    pub(crate) fn certified(&self, record: &SignedRecord) -> Result<(), String> {
        let name = &record.record().address;
        if let Some(own) = &self.hierarchy
            && own.wants_chain(name)
        {
            return own.certified(record);
        }
        let Some(root) = self.trust.root_for(name) else {
            return Ok(());
        };
        let chain = verify_record_chain(record.record(), &root, &*self.verifier, SystemTime::now());
        chain
            .map(drop)
            .map_err(|error| format!("not certified: {error}"))
    }
}
