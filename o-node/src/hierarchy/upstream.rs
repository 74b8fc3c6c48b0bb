//! What a node's registry holds, told to the registry of its parent.

use std::{collections::HashMap, sync::Arc};

use o_address::{Address, PeerId};
use o_core::{CallError, Caller, SignedRecord};
use o_discovery::registry::{Lost, Registry, announce_at, tell};
use o_protocol::Blob;

use super::Hierarchy;

/// What the registry above has been told: for each record its sequence number.
type Told = HashMap<(Address, PeerId), u64>;

/// Tells the parent's registry of every change, and of everything when there is another parent, until
/// it is dropped.
pub(crate) async fn tell_upstream(
    hierarchy: Arc<Hierarchy>,
    registry: Registry,
    caller: Arc<dyn Caller>,
) {
    let mut changes = registry.changes();
    let mut attached = hierarchy.attached();
    let mut told = Told::new();
    loop {
        let patience = hierarchy.config.heartbeat;
        let parent = {
            if attached.has_changed().unwrap_or(true) {
                // Another one, or one that may have forgotten.
                told.clear();
            }
            attached.borrow_and_update();
            hierarchy.parent()
        };
        changes.mark_unchanged();
        let done = match parent {
            Some(parent) => tell_all(&registry, &*caller, parent, &mut told).await,
            None => Ok(()),
        };
        if let Err(error) = &done {
            tracing::debug!(%error, "the registry above was not told, will try again");
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            changed = attached.changed() => {
                if changed.is_err() {
                    return;
                }
                attached.mark_changed();
            }
            () = tokio::time::sleep(patience), if done.is_err() => {}
        }
    }
}

/// Tells what is new, what was withdrawn, and who is gone.
async fn tell_all(
    registry: &Registry,
    caller: &dyn Caller,
    parent: PeerId,
    told: &mut Told,
) -> Result<(), CallError> {
    let at = Registry::address().pinned(parent);
    let (records, tombstones) = registry.contents();
    let key = |record: &SignedRecord| (record.record().address.clone(), record.record().peer);
    let held: HashMap<_, _> = records
        .iter()
        .map(|held| (key(held), held.record().sequence))
        .collect();
    let gone: Vec<_> = told
        .keys()
        .filter(|key| !held.contains_key(*key))
        .cloned()
        .collect();
    let mut lost = Lost::default();
    for (name, peer) in gone {
        let withdrawn = tombstones.iter().find(|stone| {
            let stone = stone.tombstone();
            stone.address == name && stone.peer == peer
        });
        match withdrawn {
            Some(stone) => {
                let told = tell(caller, at.clone(), "remove", Blob(stone.envelope().clone()));
                match told.await {
                    // It has expired, say, and would be refused again.
                    Ok(()) | Err(CallError::InvalidParams { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            None if held.keys().any(|(_, held)| *held == peer) => {}
            None if lost.peers.contains(&peer) => {}
            None => {
                lost.peers.push(peer);
                continue;
            }
        }
        if !lost.peers.contains(&peer) {
            told.remove(&(name, peer));
        }
    }
    if !lost.peers.is_empty() {
        tell(caller, at.clone(), "lost", &lost).await?;
        // Only now: what was not told is told again.
        told.retain(|(_, peer), _| !lost.peers.contains(peer));
    }
    for record in &records {
        let key = key(record);
        let sequence = record.record().sequence;
        if told.get(&key).is_some_and(|told| *told >= sequence) {
            continue;
        }
        match announce_at(caller, at.clone(), record).await {
            Ok(()) => {}
            // It would say so again.
            Err(error @ CallError::InvalidParams { .. }) => {
                tracing::debug!(name = %key.0, %error, "the registry above refuses a record");
            }
            Err(error) => return Err(error),
        }
        told.insert(key, sequence);
    }
    Ok(())
}
