//! What the Swarm task does for gossip: judges messages, and says what this node has to say.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::gossipsub::{Event, Message, MessageAcceptance, PublishError};
use o_address::PeerId;
use o_core::{DiscoveryError, SignedRecord, SignedTombstone, Verifier};
use o_protocol::{GossipMessage, RecordError, verify_record, verify_tombstone};
use o_transport::{from_peer_id, to_peer_id};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, trace, warn};

use super::{
    Behaviour, GossipConfig, Moment, Want,
    behaviour::{topic, topic_hash},
    table::{Table, Worth},
};
use crate::throttle::{Bad, SILENCE, Throttle};

/// Who passes on what others say may say this many times as much as one who speaks for itself.
const CARRIED: u32 = 10;
/// Most peers that are not listened to at once; more are only slowed down.
const MAX_MUTED: usize = 1024;
/// Neighbors that a newcomer asks for everything; later ones are asked for what is missing.
const FIRST: usize = 2;
/// How soon after one proof of life another is published because somebody asked.
const ANSWER_PAUSE: Duration = Duration::from_millis(500);

/// A request to the Swarm task, for [`State::on_command`].
#[derive(Debug)]
pub struct Command(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    Announce(Box<SignedRecord>, Reply),
    Withdraw(Box<SignedTombstone>, Reply),
    Suspect(PeerId),
}

/// The answer to a command that has one.
pub(super) type Reply = oneshot::Sender<Result<(), DiscoveryError>>;

/// The state of gossip beside its behaviour: no task, no clock, no socket.
#[derive(Debug)]
pub struct State {
    table: Arc<Mutex<Table>>,
    verifier: Arc<dyn Verifier>,
    wants: mpsc::Sender<Want>,
    /// Those who say something, and those who pass it on.
    publishers: Throttle,
    carriers: Throttle,
    /// Who is not listened to, and until when.
    muted: Vec<(PeerId, Instant)>,
    /// Neighbors that were asked for everything.
    pulled: usize,
    /// Whether something was published while nobody listened.
    unheard: bool,
    next_alive: Instant,
    last_alive: Option<Instant>,
}

/// What became of a message.
enum Verdict {
    /// Others should hear it.
    Forward,
    /// They need not.
    Drop,
    /// Its sender should not have said it, or the carrier not have passed it on.
    Bad(String),
}

impl State {
    pub(super) fn new(
        table: Arc<Mutex<Table>>,
        config: GossipConfig,
        verifier: Arc<dyn Verifier>,
        wants: mpsc::Sender<Want>,
        now: Moment,
    ) -> Self {
        let (rate, bad) = (config.max_per_second, config.max_bad);
        Self {
            table,
            verifier,
            wants,
            publishers: Throttle::new(rate, bad),
            carriers: Throttle::new(rate.saturating_mul(CARRIED), bad),
            muted: Vec::new(),
            pulled: 0,
            unheard: false,
            next_alive: now.at,
            last_alive: None,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what a handle asks for.
    pub fn on_command(&mut self, gossip: &mut Behaviour, command: Command, now: Moment) {
        match command.0 {
            Kind::Announce(record, reply) => {
                self.table().announce(&record);
                self.publish(gossip, &GossipMessage::Announce(record.envelope().clone()));
                // Others learn how long to wait for the next word.
                self.next_alive = now.at;
                let _ = reply.send(Ok(()));
            }
            Kind::Withdraw(tombstone, reply) => {
                self.table().withdraw(&tombstone, now);
                let envelope = tombstone.envelope().clone();
                self.publish(gossip, &GossipMessage::Withdraw(envelope));
                let _ = reply.send(Ok(()));
            }
            Kind::Suspect(peer) => {
                let at = self.table().suspect(&peer, now);
                if let Some(at) = at {
                    debug!(%peer, "not reached: gone unless it says otherwise");
                    self.publish(gossip, &GossipMessage::Suspect { peer, at });
                }
            }
        }
    }

    /// Takes in an event of the behaviour.
    pub fn on_event(&mut self, gossip: &mut Behaviour, event: Event, now: Moment) {
        match event {
            Event::Message {
                propagation_source,
                message_id,
                message,
            } => {
                let carrier = from_peer_id(&propagation_source).ok();
                let verdict = carrier.map_or(Verdict::Drop, |carrier| {
                    self.on_message(gossip, &carrier, message, now)
                });
                let acceptance = match verdict {
                    Verdict::Forward => MessageAcceptance::Accept,
                    Verdict::Drop => MessageAcceptance::Ignore,
                    Verdict::Bad(_) => MessageAcceptance::Reject,
                };
                let from = &propagation_source;
                gossip.report_message_validation_result(&message_id, from, acceptance);
            }
            Event::Subscribed { peer_id, topic } if topic == topic_hash() => {
                if let Ok(peer) = from_peer_id(&peer_id) {
                    self.on_neighbor(gossip, peer, now);
                }
            }
            Event::Unsubscribed { peer_id, topic } if topic == topic_hash() => {
                if let Ok(peer) = from_peer_id(&peer_id) {
                    self.table().disconnected(&peer);
                }
            }
            other => trace!(?other, "event of gossip"),
        }
    }

    /// The last connection to a peer is closed; `lost` says that it broke.
    pub fn on_disconnected(&mut self, peer: &libp2p::PeerId, lost: bool) {
        let Ok(peer) = from_peer_id(peer) else {
            return;
        };
        let mut table = self.table();
        let addresses = table.addresses(&peer);
        let looked_after = table.disconnected(&peer) && lost && !addresses.is_empty();
        drop(table);
        if looked_after {
            self.want(Want::Check { peer, addresses });
        }
    }

    /// Lets time pass: forgets who is gone, and says that this node is there. Call it about once a
    /// second.
    pub fn on_tick(&mut self, gossip: &mut Behaviour, now: Moment) {
        for peer in self.table().sweep(now) {
            debug!(%peer, "gone");
        }
        self.muted.retain(|(peer, until)| {
            let silent = now.at < *until;
            if let (false, Ok(peer)) = (silent, to_peer_id(peer)) {
                gossip.remove_blacklisted_peer(&peer);
            }
            silent
        });
        if now.at >= self.next_alive {
            self.say_alive(gossip, now);
        }
    }

    fn on_neighbor(&mut self, gossip: &mut Behaviour, peer: PeerId, now: Moment) {
        self.table().connected(peer);
        if self.pulled < FIRST {
            self.pulled += 1;
            self.want(Want::Pull {
                from: peer,
                of: None,
            });
        }
        if self.unheard {
            self.unheard = false;
            let own = self.table().own();
            for record in own {
                self.publish(gossip, &GossipMessage::Announce(record.envelope().clone()));
            }
        }
        // Who is new sees by it what is missing.
        self.say_alive(gossip, now);
    }

    fn say_alive(&mut self, gossip: &mut Behaviour, now: Moment) {
        let recent = self
            .last_alive
            .is_some_and(|last| now.at.saturating_duration_since(last) < ANSWER_PAUSE);
        if recent {
            // Whoever asks just after an answer gets one, too, before it is too late for it.
            self.next_alive = self.next_alive.min(now.at + ANSWER_PAUSE);
            return;
        }
        let mut table = self.table();
        if !table.announces() {
            return;
        }
        let alive = table.alive(now);
        let interval = table.interval();
        drop(table);
        self.next_alive = now.at + interval;
        self.last_alive = Some(now.at);
        self.publish(gossip, &GossipMessage::Alive(alive));
    }

    fn publish(&mut self, gossip: &mut Behaviour, message: &GossipMessage) {
        let bytes = match message.encode() {
            Ok(bytes) => bytes,
            Err(error) => return warn!(%error, "a message cannot be written"),
        };
        match gossip.publish(topic(), bytes) {
            Ok(_) | Err(PublishError::Duplicate) => {}
            Err(PublishError::NoPeersSubscribedToTopic) => self.unheard = true,
            // Others see by the next proof of life that they lack something.
            Err(error) => debug!(%error, "not published"),
        }
    }

    fn want(&self, want: Want) {
        // What does not fit is wanted again: by the next proof of life, or found out by silence.
        if let Err(error) = self.wants.try_send(want) {
            debug!(%error, "too much to do at once");
        }
    }

    fn on_message(
        &mut self,
        gossip: &mut Behaviour,
        carrier: &PeerId,
        message: Message,
        now: Moment,
    ) -> Verdict {
        let source = message.source.and_then(|peer| from_peer_id(&peer).ok());
        let Some(source) = source else {
            return Verdict::Bad("it has no sender".into());
        };
        let admitted = self.carriers.admit(carrier, now.at);
        let admitted = admitted.and_then(|()| self.publishers.admit(&source, now.at));
        if let Err(reason) = admitted {
            self.blame(gossip, [carrier, &source], reason, now);
            return Verdict::Drop;
        }
        let verdict = self.judge(gossip, &source, carrier, &message.data, now);
        if let Verdict::Bad(reason) = &verdict {
            // Whoever passes it on should have seen that.
            self.blame(gossip, [carrier, &source], reason, now);
        }
        verdict
    }

    /// Counts against the carrier and the sender of a message; whoever has too much against it is not
    /// listened to for a while.
    fn blame(
        &mut self,
        gossip: &mut Behaviour,
        [carrier, source]: [&PeerId; 2],
        reason: &str,
        now: Moment,
    ) {
        let of_carrier = self.carriers.bad(carrier, now.at);
        let of_source = match source == carrier {
            true => Bad::Counted,
            false => self.publishers.bad(source, now.at),
        };
        for (peer, bad) in [(carrier, of_carrier), (source, of_source)] {
            let room = self.muted.len() < MAX_MUTED;
            if let Bad::Silenced { name } = bad
                && room
                && let Ok(blocked) = to_peer_id(peer)
            {
                if name {
                    warn!(%peer, reason, "a peer gossips too much that is bad: not listened to for a minute");
                }
                gossip.blacklist_peer(&blocked);
                self.muted.push((*peer, now.at + SILENCE));
            }
        }
    }

    fn judge(
        &mut self,
        gossip: &mut Behaviour,
        source: &PeerId,
        carrier: &PeerId,
        bytes: &[u8],
        now: Moment,
    ) -> Verdict {
        let message = match GossipMessage::decode(bytes) {
            Ok(message) => message,
            Err(error) => return Verdict::Bad(error.to_string()),
        };
        let worth = match message {
            GossipMessage::Announce(envelope) => match self.open(envelope, source, now) {
                Ok(record) => self.table().hear_record(&record, now),
                Err(error) => return Verdict::Bad(error),
            },
            GossipMessage::Withdraw(envelope) => match self.open_tombstone(envelope, source, now) {
                Ok(tombstone) => self.table().hear_tombstone(&tombstone, now),
                Err(error) => return Verdict::Bad(error),
            },
            GossipMessage::Alive(alive) => self.table().hear_alive(source, alive, now),
            GossipMessage::Suspect { peer, .. } if peer == self.table().local => {
                self.say_alive(gossip, now);
                Worth::News
            }
            GossipMessage::Suspect { peer, at } => self.table().hear_suspicion(&peer, at, now),
            // A later version may know what it means.
            _ => Worth::News,
        };
        if worth == Worth::Incomplete {
            self.want(Want::Pull {
                from: *carrier,
                of: Some(*source),
            });
        }
        match worth {
            Worth::News | Worth::Incomplete => Verdict::Forward,
            Worth::Nothing => Verdict::Drop,
        }
    }

    fn open(&self, envelope: Bytes, source: &PeerId, now: Moment) -> Result<SignedRecord, String> {
        let network = self.table().network.clone();
        let verified = verify_record(envelope, &*self.verifier, now.clock, &network);
        let record = verified.map_err(|error: RecordError| error.to_string())?;
        if record.record().peer == *source {
            Ok(record)
        } else {
            Err("it is the record of another".into())
        }
    }

    fn open_tombstone(
        &self,
        envelope: Bytes,
        source: &PeerId,
        now: Moment,
    ) -> Result<SignedTombstone, String> {
        let network = self.table().network.clone();
        let verified = verify_tombstone(envelope, &*self.verifier, now.clock, &network);
        let tombstone = verified.map_err(|error: RecordError| error.to_string())?;
        if tombstone.tombstone().peer == *source {
            Ok(tombstone)
        } else {
            Err("it is the withdrawal of another".into())
        }
    }
}
