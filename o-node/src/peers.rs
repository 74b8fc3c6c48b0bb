//! Who is connected now.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use o_address::{Address, PeerId};
use o_pool::Link as _;

use crate::link::Link;

/// The connections of a node by peer. The Swarm's limits bound it.
#[derive(Debug, Default)]
pub(crate) struct Peers(Mutex<HashMap<PeerId, Vec<Link>>>);

impl Peers {
    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Vec<Link>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, link: Link) {
        self.lock().entry(link.peer).or_default().push(link);
    }

    pub(crate) fn remove(&self, link: &Link) {
        let mut peers = self.lock();
        if let Some(links) = peers.get_mut(&link.peer) {
            links.retain(|other| other.id() != link.id());
            if links.is_empty() {
                peers.remove(&link.peer);
            }
        }
    }

    /// Those that say they host `address`.
    pub(crate) fn hosting(&self, address: &Address) -> Vec<Link> {
        let links = self.all();
        links
            .into_iter()
            .filter(|link| link.is_alive() && link.hosts(address))
            .collect()
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<Link> {
        self.lock()
            .get(peer)?
            .iter()
            .find(|link| link.is_alive())
            .cloned()
    }

    pub(crate) fn all(&self) -> Vec<Link> {
        self.lock().values().flatten().cloned().collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }
}
