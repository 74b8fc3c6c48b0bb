//! The searches that are under way, each a query or several.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId,
    kad::{K_VALUE, QueryId},
};
use o_core::{Capability, DiscoveryError, Provider, Source};
use o_transport::from_peer_id;
use tokio::sync::mpsc;
use tracing::debug;

use super::{table_addresses, table_size};
use crate::swarm::{
    addresses::{filtered, to_transport},
    dht::{
        Behaviour, DhtConfig,
        handle::{Answer, Find},
        keys::{self, Digest, Target},
        record_key,
    },
};

/// How many times `max_providers` a search for one peer may see before it gives up: whoever crowds
/// a name must not hide the peer that a pin means.
const PASSED_OVER: usize = 16;

/// Queries that a search has under way at once, after the first.
const WIDTH: usize = 4;

/// How long a search that finds nobody is content with one query: whoever surrounds one shard and
/// keeps silent gains no more than this.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Searches {
    local: PeerId,
    running: HashMap<u64, Search>,
    queries: HashMap<QueryId, Part>,
    /// The number of the next search.
    next: u64,
}

#[derive(Debug)]
struct Search {
    pin: Option<o_address::PeerId>,
    /// What is looked for under more than one key.
    capability: Option<Capability>,
    level: u32,
    /// Keys of this level that are still to be asked.
    left: VecDeque<Digest>,
    /// Queries under way, and how many may be.
    open: usize,
    width: usize,
    /// Most providers that one key may tell: the others must have a say too.
    quota: usize,
    /// Whether a peer gave as many providers as an answer holds: there is a next level.
    full: bool,
    timed_out: bool,
    answers: mpsc::Sender<Answer>,
    seen: HashSet<PeerId>,
    started: Instant,
}

/// One key of a search, and the query that asks for it.
#[derive(Debug)]
struct Part {
    search: u64,
    key: Digest,
    /// How many it told that nobody had told before.
    told: usize,
    /// Whether in this round a peer gave as many providers as an answer holds: it may know more.
    full: bool,
    /// Whether this round found somebody new.
    fresh: bool,
}

/// Whether a query, or the whole search, goes on.
enum Next {
    On,
    EndQuery,
    EndSearch,
}

impl Searches {
    pub(super) fn new(local: PeerId) -> Self {
        Self {
            local,
            running: HashMap::new(),
            queries: HashMap::new(),
            next: 0,
        }
    }

    pub(super) fn start(
        &mut self,
        kad: &mut Behaviour,
        find: Find,
        config: &DhtConfig,
        now: Instant,
    ) {
        let Find { target, answers } = find;
        let limit = config.provider_limit();
        let (pin, capability, left, quota) = match target {
            // The others are passed over, but not without end.
            Target::Name(key, Some(pin)) => {
                let quota = limit.saturating_mul(PASSED_OVER);
                (Some(pin), None, VecDeque::from([key]), quota)
            }
            Target::Name(key, None) => (None, None, VecDeque::from([key]), limit),
            Target::Capability(capability) => {
                let left = self.keys_of_level(&capability, 0, config);
                let quota = limit.div_ceil(left.len().max(1));
                (None, Some(capability), left, quota)
            }
        };
        if self.running.len() >= config.max_searches {
            self.end_unread(kad);
        }
        let known = |key| kad.store_mut().knows(&record_key(key), now);
        let refusal = if self.running.len() >= config.max_searches {
            Some(DiscoveryError::Busy {
                limit: "max_searches",
            })
        } else if !left.iter().any(known) && table_size(kad) == 0 {
            Some(DiscoveryError::NoNetwork)
        } else {
            None
        };
        if let Some(error) = refusal {
            let _ = answers.try_send(Answer::Failed(error)); // Whoever asked may have gone.
            return;
        }
        let search = Search {
            pin,
            capability,
            level: 0,
            left,
            open: 0,
            width: 1,
            quota,
            full: false,
            timed_out: false,
            answers,
            seen: HashSet::new(),
            started: now,
        };
        let id = self.next;
        self.next += 1;
        self.running.insert(id, search);
        self.advance(kad, id, config, now);
    }

    /// The keys of a level. Each node begins with another one, so that they share the load.
    fn keys_of_level(
        &self,
        capability: &Capability,
        level: u32,
        config: &DhtConfig,
    ) -> VecDeque<Digest> {
        let shards = keys::level(config.min_shards, level);
        let home = keys::home(&shards, &self.local).unwrap_or(shards.start);
        let order = (home..shards.end).chain(shards.start..home);
        order.map(|shard| keys::shard(capability, shard)).collect()
    }

    /// Asks for as many more keys as may be; ends the search when there is none left.
    fn advance(&mut self, kad: &mut Behaviour, id: u64, config: &DhtConfig, now: Instant) {
        let Some(search) = self.running.get(&id) else {
            return;
        };
        if search.answers.is_closed() {
            self.end(kad, id, Answer::Done);
            return;
        }
        let through = search.open == 0 && search.left.is_empty();
        let deeper = search
            .capability
            .as_ref()
            .filter(|_| through && search.full);
        let level = search.level.saturating_add(1);
        let more = deeper.map(|capability| self.keys_of_level(capability, level, config));
        let Some(search) = self.running.get_mut(&id) else {
            return;
        };
        if let Some(more) = more {
            search.left = more;
            search.level = level;
            search.full = false;
        }
        while search.open < search.width
            && let Some(key) = search.left.pop_front()
        {
            search.open += 1;
            let part = Part {
                search: id,
                key,
                told: 0,
                full: false,
                fresh: false,
            };
            self.queries
                .insert(kad.get_providers(record_key(&key)), part);
        }
        if search.open == 0 {
            let answer = if search.timed_out {
                let after = now.saturating_duration_since(search.started);
                Answer::Failed(DiscoveryError::TimedOut { after })
            } else {
                Answer::Done
            };
            self.end(kad, id, answer);
        }
    }

    /// Takes in whom somebody told of.
    pub(super) fn on_told(
        &mut self,
        kad: &mut Behaviour,
        id: QueryId,
        providers: Vec<(PeerId, Vec<Multiaddr>)>,
        config: &DhtConfig,
        now: Instant,
    ) {
        let Some(part) = self.queries.get_mut(&id) else {
            return;
        };
        let Some(search) = self.running.get_mut(&part.search) else {
            return;
        };
        part.full |= providers.len() >= K_VALUE.get();
        search.full |= part.full;
        match search.offer_all(kad, part, providers, config) {
            Next::EndSearch => {
                let id = part.search;
                self.end(kad, id, Answer::Done);
            }
            Next::EndQuery => self.end_query(kad, id, config, now),
            Next::On => {}
        }
    }

    /// Takes in that a query is over, and whether it came to its end.
    pub(super) fn on_end(
        &mut self,
        kad: &mut Behaviour,
        id: QueryId,
        done: bool,
        config: &DhtConfig,
        now: Instant,
    ) {
        let Some(part) = self.queries.get_mut(&id) else {
            return;
        };
        if done && part.full && part.fresh {
            // Peers answer with twenty providers, and again with others: where an answer was full and
            // somebody in it was new, they are asked again.
            part.full = false;
            part.fresh = false;
            let again = kad.get_providers(record_key(&part.key));
            if let Some(part) = self.queries.remove(&id) {
                self.queries.insert(again, part);
            }
            return;
        }
        if let Some(search) = self.running.get_mut(&part.search) {
            search.timed_out |= !done;
        }
        self.end_query(kad, id, config, now);
    }

    /// A key has told what it knows.
    fn end_query(&mut self, kad: &mut Behaviour, id: QueryId, config: &DhtConfig, now: Instant) {
        if let Some(mut query) = kad.query_mut(&id) {
            query.finish();
        }
        let Some(part) = self.queries.remove(&id) else {
            return;
        };
        if let Some(search) = self.running.get_mut(&part.search) {
            search.open = search.open.saturating_sub(1);
            search.width = WIDTH;
        }
        self.advance(kad, part.search, config, now);
    }

    pub(super) fn on_tick(&mut self, kad: &mut Behaviour, config: &DhtConfig, now: Instant) {
        self.end_unread(kad);
        let age = |search: &Search| now.saturating_duration_since(search.started);
        let ages: Vec<_> = self
            .running
            .iter()
            .map(|(id, search)| (*id, age(search), search.seen.is_empty()))
            .collect();
        for (id, after, nobody) in ages {
            if after >= config.query_timeout {
                self.end(kad, id, Answer::Failed(DiscoveryError::TimedOut { after }));
            } else if nobody && after >= PATIENCE {
                if let Some(search) = self.running.get_mut(&id) {
                    search.width = WIDTH;
                }
                self.advance(kad, id, config, now);
            }
        }
    }

    fn end_unread(&mut self, kad: &mut Behaviour) {
        let unread = self
            .running
            .iter()
            .filter(|(_, search)| search.answers.is_closed());
        let unread: Vec<_> = unread.map(|(id, _)| *id).collect();
        for id in unread {
            self.end(kad, id, Answer::Done);
        }
    }

    fn end(&mut self, kad: &mut Behaviour, id: u64, answer: Answer) {
        let queries = self.queries.extract_if(|_, part| part.search == id);
        for (query, _) in queries {
            if let Some(mut query) = kad.query_mut(&query) {
                query.finish();
            }
        }
        if let Some(search) = self.running.remove(&id) {
            search.answer(answer);
        }
    }
}

impl Search {
    fn offer_all(
        &mut self,
        kad: &mut Behaviour,
        part: &mut Part,
        providers: Vec<(PeerId, Vec<Multiaddr>)>,
        config: &DhtConfig,
    ) -> Next {
        let most = config.provider_limit().max(self.quota);
        for (peer, told) in providers {
            if self.answers.is_closed() {
                return Next::EndSearch;
            }
            let Ok(known) = from_peer_id(&peer) else {
                continue;
            };
            if !self.seen.insert(peer) {
                continue;
            }
            part.fresh = true;
            part.told += 1;
            if self.pin.is_none_or(|pin| pin == known) {
                let addresses = to_transport(&addresses(kad, &peer, &told, config), &peer);
                let provider = Provider::hint(known, addresses, Source::Dht);
                self.answer(Answer::Found(Box::new(provider)));
                if self.pin.is_some() {
                    return Next::EndSearch; // There is no other.
                }
            }
            if self.seen.len() >= most {
                return Next::EndSearch;
            }
            if part.told >= self.quota {
                return Next::EndQuery;
            }
        }
        Next::On
    }

    /// The queue has room for every provider of a search and its end, so a failure means that
    /// nobody reads any longer.
    fn answer(&self, answer: Answer) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.answers.try_send(answer) {
            debug!("the queue of a search is full");
        }
    }
}

/// Where `peer` is: as somebody told, as the routing table has it, and as the peer said of itself.
fn addresses(
    kad: &mut Behaviour,
    peer: &PeerId,
    told: &[Multiaddr],
    config: &DhtConfig,
) -> Vec<Multiaddr> {
    let table = table_addresses(kad, peer);
    let itself = kad.store_mut().remembered(peer);
    filtered(
        told.iter().chain(&table).chain(itself),
        peer,
        config.allow_private,
        config.max_addresses,
    )
}
