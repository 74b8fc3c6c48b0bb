//! A node's registry, kept on the disk.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use o_discovery::registry::{Registry, RegistryConfig, Store};
use tokio_util::sync::CancellationToken;

use crate::tasks;

/// How long changes are collected before they are written.
const SETTLE: Duration = Duration::from_millis(200);

/// Opens the store and takes in what is there. Without it the registry goes on in memory.
pub(crate) async fn restore(registry: &Registry, config: &RegistryConfig) -> Option<Store> {
    let path = config.file.clone()?;
    let (opened, into) = (path.clone(), registry.clone());
    let restored = tasks::blocking(move || {
        let (store, stored) = Store::open(&opened)?;
        Ok::<_, o_discovery::registry::StoreError>((store, into.restore(stored)))
    });
    match restored.await {
        Some(Ok((store, count))) => {
            tracing::debug!(path = %path.display(), count, "registry restored");
            Some(store)
        }
        Some(Err(error)) => {
            let error = o_transport::flatten_error(&error);
            tracing::warn!(%error, "the registry is not kept on the disk");
            None
        }
        None => None,
    }
}

/// Writes every change, at most a quarter of a second after it was made, until `leaving`; and once, when
/// `grace` is over, forgets those that were restored and that nobody has announced anew.
pub(crate) async fn keep(
    registry: Registry,
    store: Store,
    grace: Duration,
    leaving: CancellationToken,
) {
    let store = Arc::new(Mutex::new(store));
    let mut changes = registry.changes();
    changes.mark_changed();
    let mut grace = std::pin::pin!(tokio::time::sleep(grace));
    let mut over = false;
    loop {
        tokio::select! {
            () = leaving.cancelled() => return,
            () = &mut grace, if !over => {
                over = true;
                let gone = registry.forget_unrenewed();
                tracing::debug!(count = gone.len(), "not announced anew since the start");
            }
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(SETTLE).await;
                changes.mark_unchanged();
                save(&registry, &store).await;
            }
        }
    }
}

async fn save(registry: &Registry, store: &Arc<Mutex<Store>>) {
    let (records, tombstones) = registry.contents();
    let store = store.clone();
    let saved = tasks::blocking(move || {
        let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
        store.save(&records, &tombstones)
    });
    if let Some(Err(error)) = saved.await {
        let error = o_transport::flatten_error(&error);
        tracing::warn!(%error, "the registry was not written");
    }
}
