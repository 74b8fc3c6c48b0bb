//! The searches that are under way, each a query or several in a row.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use libp2p::{
    Multiaddr, PeerId,
    core::Endpoint,
    kad::{GetProvidersOk, GetProvidersResult, K_VALUE, QueryId},
    swarm::{ConnectionId, NetworkBehaviour as _},
};
use o_core::{DiscoveryError, Provider, Source};
use o_transport::from_peer_id;
use tokio::sync::mpsc;
use tracing::debug;

use super::table_size;
use crate::swarm::{
    addresses::{filtered, to_transport},
    dht::{
        Behaviour, DhtConfig,
        handle::{Answer, Find},
        keys::Digest,
        record_key,
    },
};

/// How many times `max_providers` a search for one peer may see before it gives up: whoever crowds
/// a name must not hide the peer that a pin means.
const PASSED_OVER: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Searches {
    running: HashMap<QueryId, Search>,
}

#[derive(Debug)]
struct Search {
    key: Digest,
    pin: Option<o_address::PeerId>,
    answers: mpsc::Sender<Answer>,
    seen: HashSet<PeerId>,
    /// Whether in this round a peer gave as many providers as an answer holds: it may know more.
    full: bool,
    /// Whether this round found somebody new.
    fresh: bool,
    started: Instant,
}

/// Whether a search goes on.
enum Next {
    On,
    End,
}

impl Searches {
    pub(super) fn start(
        &mut self,
        kad: &mut Behaviour,
        find: Find,
        config: &DhtConfig,
        now: Instant,
    ) {
        let Find { key, pin, answers } = find;
        let record_key = record_key(&key);
        if self.running.len() >= config.max_searches {
            self.end_unread(kad);
        }
        let refusal = if self.running.len() >= config.max_searches {
            Some(DiscoveryError::Busy {
                limit: "max_searches",
            })
        } else if table_size(kad) == 0 && !kad.store_mut().knows(&record_key, now) {
            Some(DiscoveryError::NoNetwork)
        } else {
            None
        };
        if let Some(error) = refusal {
            let _ = answers.try_send(Answer::Failed(error)); // Whoever asked may have gone.
            return;
        }
        let id = kad.get_providers(record_key);
        let seen = HashSet::new();
        let search = Search {
            key,
            pin,
            answers,
            seen,
            full: false,
            fresh: false,
            started: now,
        };
        self.running.insert(id, search);
    }

    pub(super) fn on_progress(
        &mut self,
        kad: &mut Behaviour,
        id: QueryId,
        result: GetProvidersResult,
        last: bool,
        config: &DhtConfig,
        now: Instant,
    ) {
        let Some(search) = self.running.get_mut(&id) else {
            return;
        };
        let timed_out = result.is_err();
        let next = match result {
            Ok(GetProvidersOk::FoundProviders { providers, .. }) => {
                search.full |= providers.len() >= K_VALUE.get();
                search.offer_all(kad, providers, config)
            }
            Ok(GetProvidersOk::FinishedWithNoAdditionalRecord { .. }) | Err(_) => Next::On,
        };
        match next {
            Next::End => self.end(kad, id, Answer::Done),
            Next::On if timed_out => {
                let after = now.saturating_duration_since(search.started);
                self.end(kad, id, Answer::Failed(DiscoveryError::TimedOut { after }));
            }
            Next::On if last => self.next_round(kad, id),
            Next::On => {}
        }
    }

    /// A query is over. Peers answer with twenty providers, and again with others: where an answer
    /// was full and somebody in it was new, they are asked again.
    fn next_round(&mut self, kad: &mut Behaviour, id: QueryId) {
        let Some(mut search) = self.running.remove(&id) else {
            return;
        };
        if search.full && search.fresh {
            search.full = false;
            search.fresh = false;
            let id = kad.get_providers(record_key(&search.key));
            self.running.insert(id, search);
        } else {
            search.answer(Answer::Done);
        }
    }

    pub(super) fn on_tick(&mut self, kad: &mut Behaviour, config: &DhtConfig, now: Instant) {
        self.end_unread(kad);
        let age = |search: &Search| now.saturating_duration_since(search.started);
        let late = self
            .running
            .iter()
            .filter(|(_, search)| age(search) >= config.query_timeout);
        let late: Vec<_> = late.map(|(id, search)| (*id, age(search))).collect();
        for (id, after) in late {
            self.end(kad, id, Answer::Failed(DiscoveryError::TimedOut { after }));
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

    fn end(&mut self, kad: &mut Behaviour, id: QueryId, answer: Answer) {
        if let Some(mut query) = kad.query_mut(&id) {
            query.finish();
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
        providers: HashSet<PeerId>,
        config: &DhtConfig,
    ) -> Next {
        let most = match self.pin {
            // The others are passed over, but not without end.
            Some(_) => config.provider_limit().saturating_mul(PASSED_OVER),
            None => config.provider_limit(),
        };
        for peer in providers {
            if self.answers.is_closed() {
                return Next::End;
            }
            let Ok(known) = from_peer_id(&peer) else {
                continue;
            };
            if self.seen.contains(&peer) {
                continue;
            }
            self.seen.insert(peer);
            self.fresh = true;
            if self.pin.is_none_or(|pin| pin == known) {
                let addresses = to_transport(&addresses(kad, &peer, config), &peer);
                let provider = Provider::hint(known, addresses, Source::Dht);
                self.answer(Answer::Found(Box::new(provider)));
                if self.pin.is_some() {
                    return Next::End; // There is no other.
                }
            }
            if self.seen.len() >= most {
                return Next::End;
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

/// Where the table knows `peer` to be: from its routing table, from the answers to the queries that
/// are under way, and from what the peer said of itself.
///
/// The behaviour tells the addresses in an answer to nobody but the Swarm, when that is about to
/// dial and only until the query has ended; so they are asked for in the Swarm's words. The id is
/// not looked at and no connection comes of it.
fn addresses(kad: &mut Behaviour, peer: &PeerId, config: &DhtConfig) -> Vec<Multiaddr> {
    let nobody = ConnectionId::new_unchecked(0);
    let told = kad
        .handle_pending_outbound_connection(nobody, Some(*peer), &[], Endpoint::Dialer)
        .unwrap_or_default();
    let itself = kad.store_mut().remembered(peer);
    filtered(
        told.iter().chain(itself),
        peer,
        config.allow_private,
        config.max_addresses,
    )
}
