//! The parent's registry, copied for the time in which it is gone.

use std::{sync::Arc, time::Duration};

use o_core::Caller;
use o_discovery::registry::Registry;

use super::Hierarchy;

/// How long after the parent has told nothing more it is asked anew.
const PAUSE: Duration = Duration::from_secs(5);

/// Copies the registry of whoever is the parent, until it is dropped.
pub(crate) async fn replicate(hierarchy: Arc<Hierarchy>, caller: Arc<dyn Caller>) {
    let mut attached = hierarchy.attached();
    loop {
        attached.mark_unchanged();
        let following = async {
            if let Some(parent) = hierarchy.parent() {
                let registry = Registry::address().pinned(parent);
                let error = hierarchy.replica().follow(&*caller, registry).await;
                tracing::debug!(%parent, %error, "the registry above is no longer copied");
            }
            tokio::time::sleep(PAUSE).await;
        };
        tokio::select! {
            () = following => {}
            changed = attached.changed() => if changed.is_err() {
                return;
            },
        }
    }
}
