//! The Swarm task: it dials, listens, discovers and gates. Bytes of calls never pass it.
//!
//! The select names what happened, a plain function acts. Nothing in here waits for anything else.

mod behaviour;
mod calls;
#[cfg(feature = "kad")]
mod dht;
mod dial;
#[cfg(feature = "gossip")]
mod gossip;
mod handle;
mod later;
mod limits;
mod listen;
#[cfg(feature = "mdns")]
mod mdns;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, Swarm,
    multiaddr::Protocol,
    swarm::{SwarmEvent, dial_opts::DialOpts},
};
use o_address::TransportAddr;
use o_core::{DenyReason, Direction, Event, Events};
use o_pool::Pool;
use o_transport::{PlaintextPeers, from_multiaddr, from_peer_id, to_multiaddr, to_peer_id};
use tokio::sync::mpsc;

#[cfg(feature = "gossip")]
pub(crate) use self::gossip::Errands;
use self::{
    behaviour::{Behaviour, BehaviourEvent},
    calls::Denied,
    dial::Dials,
    handle::{Command, DialCommand},
};
pub(crate) use self::{
    behaviour::{Built, SourceList, build},
    calls::Shared,
    handle::SwarmHandle,
    listen::Listens,
};
use crate::{dialer::NodeDialer, events::EventBus, link::Link, peers::Peers};

/// How often time-outs of discovery are looked at.
const TICK: Duration = Duration::from_secs(1);

/// What the Swarm task is made of; see [`build`].
pub(crate) struct Parts {
    pub(crate) swarm: Swarm<Behaviour>,
    sources: Sources,
    plaintext: PlaintextPeers,
}

/// The states of the sources of discovery that are turned on.
struct Sources {
    #[cfg(feature = "kad")]
    dht: Option<dht::Dht>,
    #[cfg(feature = "gossip")]
    gossip: Option<gossip::Gossip>,
    #[cfg(feature = "mdns")]
    mdns: Option<o_discovery::swarm::mdns::State>,
}

impl Sources {
    /// The next command for one of them; waits for ever where there is none.
    async fn next(&mut self) -> Input {
        #[cfg(feature = "kad")]
        let dht = dht::next(&mut self.dht);
        #[cfg(not(feature = "kad"))]
        let dht = std::future::pending();
        #[cfg(feature = "gossip")]
        let gossip = gossip::next(&mut self.gossip);
        #[cfg(not(feature = "gossip"))]
        let gossip = std::future::pending();
        tokio::select! {
            input = dht => input,
            input = gossip => input,
        }
    }
}

/// Owner of the Swarm.
pub(crate) struct SwarmTask {
    parts: Parts,
    commands: mpsc::Receiver<Command>,
    pool: Pool<NodeDialer>,
    peers: Arc<Peers>,
    events: EventBus,
    dials: Dials,
    listens: Listens,
    /// Connections with a call session, to be told apart when they end.
    links: std::collections::HashMap<libp2p::swarm::ConnectionId, Link>,
}

enum Input {
    Command(Command),
    Swarm(Box<SwarmEvent<BehaviourEvent>>),
    #[cfg(feature = "kad")]
    Dht(o_discovery::swarm::dht::Command),
    #[cfg(feature = "gossip")]
    Gossip(o_discovery::swarm::gossip::Command),
    Tick,
}

impl SwarmTask {
    pub(crate) fn new(
        parts: Parts,
        commands: mpsc::Receiver<Command>,
        pool: Pool<NodeDialer>,
        peers: Arc<Peers>,
        events: EventBus,
        listens: Listens,
    ) -> Self {
        let dials = Dials::default();
        let links = std::collections::HashMap::new();
        Self {
            parts,
            commands,
            pool,
            peers,
            events,
            dials,
            listens,
            links,
        }
    }

    /// Runs until every handle is gone or the node stops.
    pub(crate) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            let input = tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command::Shutdown) | None => break,
                    Some(command) => Input::Command(command),
                },
                input = self.parts.sources.next() => input,
                // Before the Swarm: a busy one must not keep time-outs from being looked at.
                _ = tick.tick() => Input::Tick,
                event = self.parts.swarm.select_next_some() => Input::Swarm(Box::new(event)),
            };
            self.handle(input);
        }
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Command(Command::Dial(dial)) => self.dial(dial),
            Input::Command(Command::Listen(listen)) => {
                self.listens.start(&mut self.parts.swarm, listen);
            }
            Input::Command(Command::Table(reply)) => {
                // Who asked may have gone.
                let _ = reply.send(self.parts.table());
            }
            Input::Command(Command::Leave) => self.parts.on_leave(),
            Input::Command(Command::Shutdown) => {}
            Input::Swarm(event) => self.on_swarm(*event),
            #[cfg(feature = "kad")]
            Input::Dht(command) => self.parts.on_dht_command(command, Instant::now()),
            #[cfg(feature = "gossip")]
            Input::Gossip(command) => self.parts.on_gossip_command(command),
            Input::Tick => self.parts.on_tick(Instant::now()),
        }
    }

    fn dial(&mut self, dial: DialCommand) {
        let opts = match dial.peer {
            Some(peer) => {
                let Ok(peer) = to_peer_id(&peer) else {
                    return dial.fail(o_core::DialError::NoAddresses { peer });
                };
                // As the behaviours name them: the Swarm would dial the two forms of one address both,
                // and adds the peer's id by itself.
                let bare = |address| without_peer(address, &peer);
                let mut addresses: Vec<_> = multiaddrs(&dial.addresses).map(bare).collect();
                if let Some(dialed) = &dial.known_but {
                    let dialed: Vec<_> = multiaddrs(dialed).map(bare).collect();
                    let known = self.parts.known(peer).into_iter().map(bare);
                    addresses.extend(known.filter(|address| !dialed.contains(address)));
                }
                DialOpts::peer_id(peer)
                    .condition(libp2p::swarm::dial_opts::PeerCondition::Always)
                    // From the port that we listen on, two nodes that dial each other at once would open
                    // one TCP connection from both ends, on which each waits for the other's handshake.
                    .allocate_new_port()
                    .addresses(addresses)
                    .build()
            }
            None => {
                let Some(address) = multiaddrs(&dial.addresses).next() else {
                    let named: Vec<_> = dial.addresses.iter().map(ToString::to_string).collect();
                    let reason = format!("{}: not an address that can be dialed", named.join(", "));
                    return dial.fail(o_core::DialError::FailedAt { reason });
                };
                DialOpts::unknown_peer_id()
                    .address(address)
                    .allocate_new_port()
                    .build()
            }
        };
        let (connection, expected) = (opts.connection_id(), opts.get_peer_id());
        // Before `dial`: a dial that is refused at once is reported by an event as well.
        self.dials.insert(connection, dial);
        if let Err(error) = self.parts.swarm.dial(opts) {
            self.dial_failed(connection, expected, error);
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                cause,
                ..
            } => {
                self.dials.closed(connection_id, &peer_id);
                let link = self.links.get(&connection_id);
                if num_established == 0 {
                    let lost = cause.is_some() && link.is_some_and(Link::is_lost);
                    self.parts.on_disconnected(peer_id, lost);
                }
                let reason = cause.map_or_else(
                    || "closed".to_owned(),
                    |cause| o_transport::flatten_error(&cause),
                );
                self.unlink(connection_id, reason);
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id,
                error,
            } => {
                self.dial_failed(connection_id, peer_id, error);
            }
            SwarmEvent::IncomingConnectionError { error, peer_id, .. } => {
                let reason = denied_reason(match &error {
                    libp2p::swarm::ListenError::Denied { cause } => Some(cause),
                    _ => None,
                });
                if let Some(reason) = reason {
                    let peer = peer_id.and_then(|peer| from_peer_id(&peer).ok());
                    let direction = Direction::Inbound;
                    self.events.publish(Event::Denied {
                        peer,
                        direction,
                        reason,
                    });
                } else {
                    tracing::debug!(error = %o_transport::flatten_error(&error), "inbound connection failed");
                }
            }
            other => self.listens.on_event(other, &self.events),
        }
    }

    fn dial_failed(
        &mut self,
        connection: libp2p::swarm::ConnectionId,
        peer: Option<libp2p::PeerId>,
        error: libp2p::swarm::DialError,
    ) {
        let peer = peer.and_then(|peer| from_peer_id(&peer).ok());
        let reason = denied_reason(match &error {
            libp2p::swarm::DialError::Denied { cause } => Some(cause),
            _ => None,
        });
        if let Some(reason) = reason {
            let direction = Direction::Outbound;
            self.events.publish(Event::Denied {
                peer,
                direction,
                reason,
            });
        }
        self.dials.failed(connection, peer, error);
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Calls(event) => self.on_calls(event),
            BehaviourEvent::Identify(event) => self.parts.on_identify(event, Instant::now()),
            #[cfg(feature = "kad")]
            BehaviourEvent::Dht(event) => self.parts.on_dht_event(event, Instant::now()),
            #[cfg(feature = "gossip")]
            BehaviourEvent::Gossip(event) => self.parts.on_gossip_event(event),
            #[cfg(feature = "mdns")]
            BehaviourEvent::Mdns(event) => self.parts.on_mdns_event(event),
            // Whoever answers no ping is gone, though no packet has said so.
            BehaviourEvent::Ping(libp2p::ping::Event {
                connection,
                result: Err(libp2p::ping::Failure::Timeout),
                ..
            }) => {
                self.parts.swarm.close_connection(connection);
            }
            other => tracing::trace!(?other, "event of a behaviour"),
        }
    }

    fn on_calls(&mut self, event: calls::Event) {
        match event {
            calls::Event::Opened {
                connection,
                peer,
                session,
                remote,
                direction,
            } => {
                let local = from_peer_id(self.parts.swarm.local_peer_id());
                let (Ok(local), Ok(peer)) = (local, from_peer_id(&peer)) else {
                    return;
                };
                let Ok(remote) = from_multiaddr(&remote) else {
                    return;
                };
                let plaintext =
                    remote.transport_label() == "unix" && self.parts.plaintext.contains(&peer);
                let known = self.peers.known(peer);
                let link = Link::new(session, local, known, remote, direction, plaintext);
                self.links.insert(connection, link.clone());
                self.peers.add(link.clone());
                let address = (*link.remote).clone();
                self.events.publish(Event::Connected {
                    peer,
                    address,
                    direction,
                    plaintext,
                });
                // Nobody waits for it: it was dialed by the other side, by discovery, or for who has gone.
                let late = |link: &Link| self.peers.has_dialed_as_good(link);
                if let Some(link) = self.dials.opened(connection, link, late)
                    && self.pool.adopt(peer, link, direction).is_err()
                {
                    tracing::debug!(%peer, "the pool takes no more connections");
                }
            }
            calls::Event::Ended { connection, end } => {
                self.unlink(connection, end.to_string());
            }
            calls::Event::Unsupported { connection, peer } => {
                self.dials.unsupported(connection, &peer);
            }
            calls::Event::Refused { peer, reason } => {
                let peer = from_peer_id(&peer).ok();
                let direction = Direction::Inbound;
                self.events.publish(Event::Denied {
                    peer,
                    direction,
                    reason,
                });
            }
        }
    }

    fn unlink(&mut self, connection: libp2p::swarm::ConnectionId, reason: String) {
        if let Some(link) = self.links.remove(&connection) {
            self.peers.remove(&link);
            self.pool.forget(&link.peer, &link);
            self.events.publish(Event::Disconnected {
                peer: link.peer,
                reason,
            });
        }
    }
}

impl Drop for SwarmTask {
    /// Here and not at the end of [`SwarmTask::run`], which a node that stops may cut short.
    fn drop(&mut self) {
        self.listens.close(&mut self.parts.swarm);
    }
}

/// Those that libp2p can read.
fn multiaddrs(addresses: &[TransportAddr]) -> impl Iterator<Item = Multiaddr> {
    let each = addresses.iter();
    each.filter_map(|address| to_multiaddr(address).ok())
}

/// An address without this peer's id at its end.
fn without_peer(mut address: Multiaddr, peer: &libp2p::PeerId) -> Multiaddr {
    if address.iter().last() == Some(Protocol::P2p(*peer)) {
        address.pop();
    }
    address
}

fn denied_reason(cause: Option<&libp2p::swarm::ConnectionDenied>) -> Option<DenyReason> {
    o_transport::find_cause::<Denied>(cause?).map(|denied| denied.0.clone())
}
