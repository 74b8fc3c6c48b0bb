//! What the Swarm task keeps for the table: announcements, searches, and who may enter it.

mod announce;
mod refresh;
mod search;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId, StreamProtocol,
    kad::{
        self, GetProvidersOk, InboundRequest, Mode, ProviderRecord, QueryResult, RoutingUpdate,
        store::RecordStore as _,
    },
};
use o_core::{DiscoveryError, NetworkId};
use tracing::{debug, trace};

use self::{announce::Announcements, refresh::Refresh, search::Searches};
use super::{
    Behaviour, Command, DhtConfig, Event,
    behaviour::{self, Told},
    farewell::{Waiter, is_withdrawal},
    handle::{Kind, Reply, refused_address},
    is_our_key, protocol, table_addresses,
};
use crate::swarm::addresses::{filtered, usable};

/// How often what others announced is looked through for what has expired.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// The state of the table beside its behaviour: no task, no clock, no socket.
#[derive(Debug)]
pub struct State {
    local: PeerId,
    protocol: StreamProtocol,
    config: DhtConfig,
    announcements: Announcements,
    searches: Searches,
    refresh: Refresh,
    next_sweep: Option<Instant>,
}

impl State {
    /// For the node `local`; network and configuration as for [`behaviour`](fn@super::behaviour).
    pub fn new(local: PeerId, network: &NetworkId, config: DhtConfig) -> Self {
        Self {
            local,
            protocol: protocol(network),
            config,
            announcements: Announcements::new(local),
            searches: Searches::new(local),
            refresh: Refresh::default(),
            next_sweep: None,
        }
    }

    /// Does what a handle asks for.
    pub fn on_command(&mut self, kad: &mut Behaviour, command: Command, now: Instant) {
        match command.0 {
            Kind::Announce(announce) => {
                self.announcements
                    .announce(kad, announce, &self.config, now);
            }
            Kind::Withdraw {
                name,
                sequence,
                reply,
            } => {
                let waiter = Arc::new(Waiter(Some(reply)));
                self.announcements.withdraw(kad, &name, sequence, &waiter);
            }
            Kind::Find(find) => self.searches.start(kad, find, &self.config, now),
            Kind::AddPeer {
                peer,
                address,
                reply,
            } => {
                let _ = reply.send(self.add_peer(kad, &peer, &address));
            }
            Kind::Bootstrap { reply } => {
                self.refresh.ask(kad, reply, self.local, &self.config, now);
            }
        }
    }

    /// Takes in an event of the behaviour.
    pub fn on_event(&mut self, kad: &mut Behaviour, event: Event, now: Instant) {
        match event.0 {
            behaviour::Kind::Kad(event) => self.on_kad_event(kad, *event, now),
            behaviour::Kind::Told(Told { query, providers }) => {
                self.announcements.on_told(&query, providers.len());
                self.searches
                    .on_told(kad, query, providers, &self.config, now);
            }
        }
    }

    fn on_kad_event(&mut self, kad: &mut Behaviour, event: kad::Event, now: Instant) {
        match event {
            kad::Event::OutboundQueryProgressed {
                id,
                result,
                step,
                stats,
            } => match result {
                QueryResult::GetProviders(result) => {
                    if let Ok(GetProvidersOk::FoundProviders { key, providers }) = &result {
                        // Those that this node itself was told.
                        self.announcements.on_told(&id, providers.len());
                        let providers = kad.store_mut().providers(key).into_iter();
                        let providers = providers.map(|held| (held.provider, held.addresses));
                        let providers = providers.collect();
                        self.searches.on_told(kad, id, providers, &self.config, now);
                    }
                    if step.last {
                        self.announcements.on_looked(kad, id, &self.config, now);
                        let done = result.is_ok();
                        self.searches.on_end(kad, id, done, &self.config, now);
                    }
                }
                QueryResult::StartProviding(result) => {
                    let reached = result.is_ok() && stats.num_successes() > 0;
                    self.announcements
                        .on_published(kad, id, reached, &self.config, now);
                }
                QueryResult::Bootstrap(_) => {
                    self.refresh.on_bootstrap(kad, &id, self.local, now);
                }
                QueryResult::GetClosestPeers(result) if step.last => {
                    let found = result.is_ok_and(|found| !found.peers.is_empty());
                    let local = self.local;
                    self.refresh.on_found(kad, &id, found, local, &self.config);
                }
                other => trace!(?other, "result of a query that nobody made"),
            },
            kad::Event::InboundRequest {
                request:
                    InboundRequest::AddProvider {
                        record: Some(record),
                    },
            } => self.store(kad, record),
            kad::Event::RoutingUpdated {
                peer,
                is_new_peer: true,
                ..
            } => {
                debug!(%peer, "peer entered the routing table");
                self.announcements.on_new_peer(kad, &self.config, now);
            }
            other => trace!(?other, "event of the table"),
        }
    }

    /// Takes in what identify received from a peer: its protocols and where it says it listens.
    ///
    /// A peer that speaks this network's protocol enters the routing table with those of its
    /// addresses that are kept; one that does not leaves it. The addresses of either are remembered
    /// for the case that it announces something.
    pub fn on_identify(
        &mut self,
        kad: &mut Behaviour,
        peer: PeerId,
        protocols: &[StreamProtocol],
        addresses: &[Multiaddr],
        now: Instant,
    ) {
        if peer == self.local {
            return;
        }
        let kept = filtered(
            addresses,
            &peer,
            self.config.allow_private,
            self.config.max_addresses,
        );
        kad.store_mut().remember(peer, kept.clone());
        if !protocols.contains(&self.protocol) {
            if kad.remove_peer(&peer).is_some() {
                debug!(%peer, "peer left the routing table: it does not speak our protocol");
            }
            return;
        }
        let held = table_addresses(kad, &peer);
        if held.is_empty() {
            self.announcements.on_table_size(table_size(kad));
        }
        for address in &kept {
            kad.add_address(&peer, address.clone());
        }
        if kept.is_empty() {
            return;
        }
        // Its list replaces what was known: the table itself bounds no list of addresses.
        for old in held {
            let bare = usable(&old, &peer, self.config.allow_private);
            if bare.is_none_or(|bare| !kept.contains(&bare)) {
                kad.remove_address(&peer, &old);
            }
        }
        self.announcements.on_new_peer(kad, &self.config, now);
    }

    /// Begins to leave the network: this node is asked no longer and announces nothing more. Its
    /// peers learn it from identify and take it out of their routing tables.
    pub fn leave(&mut self, kad: &mut Behaviour) {
        self.config.max_publishes = 0;
        kad.set_mode(Some(Mode::Client));
    }

    /// The last connection to `peer` broke without a word. If it is in the routing table it is
    /// dialed, and leaves the table when it cannot be reached: others who are told of it would lose
    /// time.
    pub fn on_lost(&mut self, kad: &mut Behaviour, peer: PeerId) {
        kad.look_after(peer);
    }

    /// Lets time pass: announces again, ends searches that nobody reads or that took too long,
    /// forgets what has expired. Call it about once a second.
    pub fn on_tick(&mut self, kad: &mut Behaviour, now: Instant) {
        self.announcements.on_tick(kad, &self.config, now);
        self.searches.on_tick(kad, &self.config, now);
        self.refresh.on_tick(kad, self.local, &self.config, now);
        if self.next_sweep.is_none_or(|next| next <= now) {
            kad.store_mut().sweep(now);
            self.next_sweep = Some(now + SWEEP_INTERVAL);
        }
    }

    fn add_peer(
        &mut self,
        kad: &mut Behaviour,
        peer: &PeerId,
        address: &Multiaddr,
    ) -> Result<(), DiscoveryError> {
        if *peer == self.local {
            return Ok(());
        }
        let Some(address) = usable(address, peer, self.config.allow_private) else {
            return Err(refused_address(address));
        };
        let held = table_addresses(kad, peer);
        let known = address
            .clone()
            .with_p2p(*peer)
            .is_ok_and(|full| held.contains(&full));
        if !known && held.len() >= self.config.max_addresses {
            return Err(DiscoveryError::Busy {
                limit: "max_addresses",
            });
        }
        match kad.add_address(peer, address) {
            RoutingUpdate::Success | RoutingUpdate::Pending => Ok(()),
            RoutingUpdate::Failed => Err(DiscoveryError::Busy {
                limit: "the routing table",
            }),
        }
    }

    /// Keeps what a peer announced of itself, or forgets what it takes back; libp2p has checked that it came from that peer.
    fn store(&mut self, kad: &mut Behaviour, mut record: ProviderRecord) {
        if !is_our_key(&record.key) || record.provider == self.local {
            debug!(peer = %record.provider, "announcement of a key that is not ours");
            return;
        }
        if is_withdrawal(&record.addresses, &record.provider) {
            debug!(peer = %record.provider, "announcement withdrawn");
            kad.store_mut()
                .remove_provider(&record.key, &record.provider);
            return;
        }
        let limit = self.config.max_addresses;
        record.addresses = filtered(
            &record.addresses,
            &record.provider,
            self.config.allow_private,
            limit,
        );
        let peer = record.provider;
        if let Err(error) = kad.store_mut().add_provider(record) {
            debug!(%peer, %error, "announcement not kept");
        }
    }
}

/// How many peers are in the routing table.
fn table_size(kad: &mut Behaviour) -> usize {
    kad.kbuckets().map(|bucket| bucket.num_entries()).sum()
}
