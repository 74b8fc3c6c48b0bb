//! Where the node listens.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use libp2p::{
    Swarm,
    core::transport::ListenerId,
    swarm::{NetworkBehaviour, SwarmEvent},
};
use o_address::{PeerId, TransportAddr};
use o_core::{Event, Events, ListenError};
use o_transport::{flatten_error, from_multiaddr, io_error_kind, to_multiaddr};
use tokio::sync::watch;

use super::handle::ListenCommand;
use crate::events::EventBus;

/// The addresses that the node listens on, each with its peer id. Watched by who announces them.
pub(crate) type ListenAddresses = watch::Sender<Vec<TransportAddr>>;

/// Listeners, and who waits for one to come up.
#[derive(Debug)]
pub(crate) struct Listens {
    peer: PeerId,
    addresses: Arc<ListenAddresses>,
    waiting: HashMap<ListenerId, ListenCommand>,
    /// All that have not closed.
    open: HashSet<ListenerId>,
}

impl Listens {
    pub(crate) fn new(peer: PeerId, addresses: Arc<ListenAddresses>) -> Self {
        Self {
            peer,
            addresses,
            waiting: HashMap::new(),
            open: HashSet::new(),
        }
    }

    pub(super) fn start<B: NetworkBehaviour>(
        &mut self,
        swarm: &mut Swarm<B>,
        listen: ListenCommand,
    ) {
        let address = match to_multiaddr(&listen.address) {
            Ok(address) => address,
            Err(error) => {
                let reason = flatten_error(&error);
                let _ = listen.reply.send(Err(ListenError::Unsupported { reason }));
                return;
            }
        };
        match swarm.listen_on(address) {
            Ok(id) => {
                self.open.insert(id);
                self.waiting.insert(id, listen);
            }
            Err(libp2p::TransportError::MultiaddrNotSupported(address)) => {
                let reason = format!("no transport that is turned on takes {address}");
                let _ = listen.reply.send(Err(ListenError::Unsupported { reason }));
            }
            Err(libp2p::TransportError::Other(error)) => {
                let _ = listen.reply.send(Err(listen_error(error)));
            }
        }
    }

    /// Closes every listener. To drop a Swarm is not enough: a port of the memory transport stays
    /// taken until its listener is removed.
    pub(super) fn close<B: NetworkBehaviour>(&mut self, swarm: &mut Swarm<B>) {
        for id in self.open.drain() {
            swarm.remove_listener(id);
        }
    }

    fn waiting(&mut self, id: ListenerId) -> Option<ListenCommand> {
        self.waiting.remove(&id)
    }

    pub(super) fn on_event<E: std::fmt::Debug>(&mut self, event: SwarmEvent<E>, events: &EventBus) {
        match event {
            SwarmEvent::NewListenAddr {
                listener_id,
                address,
            } => {
                let Ok(address) = from_multiaddr(&address) else {
                    return;
                };
                let address = address.with_peer(&self.peer);
                self.addresses.send_if_modified(|all| {
                    let new = !all.contains(&address);
                    if new {
                        all.push(address.clone());
                    }
                    new
                });
                if let Some(listen) = self.waiting(listener_id) {
                    let _ = listen.reply.send(Ok(address.clone()));
                }
                events.publish(Event::Listening(address));
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                let Ok(address) = from_multiaddr(&address) else {
                    return;
                };
                let address = address.with_peer(&self.peer);
                self.addresses
                    .send_modify(|all| all.retain(|other| *other != address));
                events.publish(Event::ListenerClosed(address));
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                reason,
                ..
            } => {
                self.open.remove(&listener_id);
                if let (Some(listen), Err(error)) = (self.waiting(listener_id), reason) {
                    let _ = listen.reply.send(Err(listen_error(error)));
                }
            }
            SwarmEvent::ListenerError { listener_id, error } => match self.waiting(listener_id) {
                Some(listen) => {
                    let _ = listen.reply.send(Err(listen_error(error)));
                }
                None => tracing::warn!(%error, "a listener has trouble"),
            },
            other => tracing::trace!(?other, "event of the swarm"),
        }
    }
}

fn listen_error(error: std::io::Error) -> ListenError {
    if io_error_kind(&error) == Some(std::io::ErrorKind::AddrInUse) {
        ListenError::InUse
    } else {
        ListenError::Failed(flatten_error(&error).into())
    }
}
