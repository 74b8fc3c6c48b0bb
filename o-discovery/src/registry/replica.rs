//! A copy of another node's registry.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use futures::StreamExt as _;
use o_address::Address;
use o_core::{CallError, Caller, Encoding, OutgoingCall, Provider, Query, Reply};
use o_protocol::{Blob, decode_body, encode_body, verify_record};

use super::{Change, Registry, Watched};

/// Bad records after which another registry is no longer believed, until it is asked anew.
const MAX_BAD: usize = 16;

/// A copy of another node's registry, for the time in which that one cannot be asked. Clones share it.
///
/// Its records are verified as those of any registry, and it has the same bounds; when the other one is
/// gone it keeps them until they expire.
#[derive(Clone, Debug)]
pub struct Replica {
    held: Arc<Mutex<Registry>>,
}

impl Replica {
    /// An empty copy, with the settings and checks of this registry.
    pub fn like(registry: &Registry) -> Self {
        Self {
            held: Arc::new(Mutex::new(registry.emptied())),
        }
    }

    fn held(&self) -> Registry {
        // It is only ever replaced.
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whoever matches, as far as the copy knows.
    pub fn find(&self, query: &Query) -> Vec<Provider> {
        self.held().find(query)
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.held().len()
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.held().is_empty()
    }

    /// Copies a registry, and every change of it, for as long as it tells; why it does not any more.
    /// What was copied before is kept until the new copy is whole.
    ///
    /// # Cancel safety
    /// Dropping the future ends it; what was copied is kept.
    pub async fn follow(&self, caller: &dyn Caller, registry: Address) -> CallError {
        match self.copy(caller, registry).await {
            Ok(()) => CallError::ConnectionLost {
                reason: "the registry tells no more".into(),
            },
            Err(error) => error,
        }
    }

    async fn copy(&self, caller: &dyn Caller, registry: Address) -> Result<(), CallError> {
        let invalid = |message: String| CallError::InvalidReply { message };
        let nothing = encode_body(Encoding::Cbor, &()).map_err(|error| CallError::Internal {
            message: error.to_string(),
        })?;
        let call = OutgoingCall::server_streaming(registry, "watch", nothing);
        let Reply::Stream(mut items) = caller.call(call).await? else {
            return Err(invalid("one value came".into()));
        };
        let copy = self.held().emptied();
        let mut bad = 0;
        while let Some(item) = items.next().await {
            let Watched { changes, complete } =
                decode_body(&item?).map_err(|error| invalid(error.to_string()))?;
            for change in changes {
                if let Err(reason) = copy.apply(change) {
                    tracing::debug!(%reason, "a registry told of a record that is not to be believed");
                    bad += 1;
                }
            }
            if bad > MAX_BAD {
                return Err(invalid("too many records that do not hold".into()));
            }
            if complete {
                *self.held.lock().unwrap_or_else(PoisonError::into_inner) = copy.clone();
            }
        }
        Ok(())
    }
}

impl Registry {
    /// Does as another registry did.
    ///
    /// # Errors
    /// Why not, in words.
    fn apply(&self, change: Change) -> Result<(), String> {
        let Change { name, peer, record } = change;
        let Some(Blob(envelope)) = record else {
            let mut state = self.lock();
            state.index.forget(&name, &peer);
            if state.index.of_peer(&peer).next().is_none() {
                state.via.remove(&peer);
            }
            return Ok(());
        };
        let (verifier, network) = (&*self.shared.verifier, &self.shared.network);
        let record = verify_record(envelope, verifier, SystemTime::now(), network);
        let record = record.map_err(|error| error.to_string())?;
        self.check(&record)?;
        let taken = self.take(&record, record.record().peer);
        taken.map(drop).map_err(|error| error.to_string())
    }
}
