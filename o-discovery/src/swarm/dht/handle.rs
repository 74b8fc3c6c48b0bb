//! What everybody holds of the table: commands to the Swarm task, and `Discovery` on top.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use libp2p::{Multiaddr, PeerId};
use o_address::{Address, TransportAddr};
use o_core::{
    Capability, Discovery, DiscoveryError, NetworkId, Provider, ProviderStream, Query, Record,
    SignedRecord, SignedTombstone, Source,
};
use o_transport::{from_peer_id, to_multiaddr, to_peer_id};
use tokio::sync::{mpsc, oneshot};

use super::{
    DhtConfig,
    keys::{self, Digest, Target},
};

/// The answer to a command that has one.
pub(super) type Reply = oneshot::Sender<Result<(), DiscoveryError>>;

/// A request to the Swarm task, for [`State::on_command`](super::State::on_command).
#[derive(Debug)]
pub struct Command(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    Announce(Announce),
    Withdraw {
        name: Address,
        sequence: u64,
        reply: Reply,
    },
    Find(Find),
    AddPeer {
        peer: PeerId,
        address: Multiaddr,
        reply: Reply,
    },
    Bootstrap {
        reply: Reply,
    },
}

#[derive(Debug)]
pub(super) struct Announce {
    pub(super) name: Address,
    pub(super) sequence: u64,
    pub(super) key: Digest,
    pub(super) capabilities: Vec<Capability>,
    /// For how long it holds.
    pub(super) lifetime: Duration,
    pub(super) reply: Reply,
}

#[derive(Debug)]
pub(super) struct Find {
    pub(super) target: Target,
    /// Has room for every provider of a search and its end.
    pub(super) answers: mpsc::Sender<Answer>,
}

/// One item of a search.
#[derive(Debug)]
pub(super) enum Answer {
    Found(Box<Provider>),
    Failed(DiscoveryError),
    Done,
}

/// Commands to the table. Cloning is cheap.
///
/// A record is announced by the node that signed it: `announce` refuses the records of others. It
/// returns when the record's keys have been given to the peers that are responsible for them. A
/// node that knows no peer yet succeeds at once, and so does one whose peers do not answer: the
/// announcement is made as soon as somebody can be reached, again every `republish_interval` and
/// whenever a young routing table has doubled, until the record expires or is withdrawn.
///
/// After `withdraw` this node announces no longer, and tells so whom it told; it returns when they
/// have answered or are gone. Who cannot be reached keeps what it was told until `provider_ttl` has
/// passed: a provider that is found must be asked.
///
/// A capability is announced in several places of the table, its shards. `find` asks one of them
/// first and then, as long as somebody reads, the others where every provider announces itself; and
/// where they say that there are many providers, the shards over which these spread.
///
/// `find` yields each peer once, without a record. Without any peer to ask, and when nobody
/// announced the key to this node, it yields `NoNetwork`. A search that was cut short yields what
/// it found and then `TimedOut`. A node finds itself too.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    peer: Option<o_address::PeerId>,
    network: NetworkId,
    max_providers: usize,
}

impl Handle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        peer: &PeerId,
        network: &NetworkId,
        config: &DhtConfig,
    ) -> Self {
        Self {
            commands,
            peer: from_peer_id(peer).ok(),
            network: network.clone(),
            max_providers: config.provider_limit(),
        }
    }

    /// Makes a peer known to the table, such as one of the bootstrap list. It is dialed when it is
    /// needed, and forgotten when it turns out not to speak this network's protocol.
    ///
    /// # Errors
    /// `Busy` when its part of the routing table is full, `Failed` when the address is no multiaddr
    /// or one that is not kept (see `allow_private`), `Shutdown`.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the peer added.
    pub async fn add_peer(
        &self,
        peer: o_address::PeerId,
        address: TransportAddr,
    ) -> Result<(), DiscoveryError> {
        let (Ok(peer), Ok(address)) = (to_peer_id(&peer), to_multiaddr(&address)) else {
            return Err(refused_address(&address));
        };
        self.ask(|reply| Kind::AddPeer {
            peer,
            address,
            reply,
        })
        .await
    }

    /// Fills the routing table by asking the known peers for peers. Returns when that is done; the
    /// table does it by itself when it is young, and every `bootstrap_interval`.
    ///
    /// # Errors
    /// `NoNetwork` when no peer is known, `TimedOut` when nobody answered, `Busy`, `Shutdown`.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop it.
    pub async fn bootstrap(&self) -> Result<(), DiscoveryError> {
        self.ask(|reply| Kind::Bootstrap { reply }).await
    }

    async fn ask(&self, command: impl FnOnce(Reply) -> Kind) -> Result<(), DiscoveryError> {
        let (reply, answer) = oneshot::channel();
        let command = Command(command(reply));
        self.commands
            .send(command)
            .await
            .map_err(|_| DiscoveryError::Shutdown)?;
        answer.await.unwrap_or(Err(DiscoveryError::Shutdown))
    }

    /// For how long a record may be announced, if at all.
    fn check(&self, record: &Record, now: SystemTime) -> Result<Duration, DiscoveryError> {
        let lifetime = Duration::from_secs(record.times.lifetime.into()).min(Record::MAX_LIFETIME);
        let left = lifetime.saturating_sub(record.times.age(now));
        let reason = if Some(record.peer) != self.peer {
            "it was signed by another peer"
        } else if record.network != self.network {
            "it is of another network"
        } else if record.address.root().is_node() {
            "its name is reserved"
        } else if left.is_zero() {
            "it has expired"
        } else {
            return Ok(left);
        };
        Err(DiscoveryError::BadRecord {
            reason: reason.to_owned(),
        })
    }
}

#[async_trait]
impl Discovery for Handle {
    async fn announce(&self, record: &SignedRecord) -> Result<(), DiscoveryError> {
        let record = record.record();
        let lifetime = self.check(record, SystemTime::now())?;
        self.ask(|reply| {
            Kind::Announce(Announce {
                name: record.address.without_pin(),
                sequence: record.sequence,
                key: keys::of_name(record),
                capabilities: keys::capabilities(record),
                lifetime,
                reply,
            })
        })
        .await
    }

    async fn withdraw(&self, tombstone: &SignedTombstone) -> Result<(), DiscoveryError> {
        let tombstone = tombstone.tombstone();
        if Some(tombstone.peer) != self.peer || tombstone.network != self.network {
            return Ok(()); // Never announced from here.
        }
        let (name, sequence) = (tombstone.address.without_pin(), tombstone.sequence);
        self.ask(|reply| Kind::Withdraw {
            name,
            sequence,
            reply,
        })
        .await
    }

    fn find(&self, query: Query) -> ProviderStream {
        let Some(target) = keys::of_query(&query) else {
            return stream::empty().boxed(); // Only exact keys can be looked up.
        };
        let commands = self.commands.clone();
        let (answers, found) = mpsc::channel(self.max_providers + 1);
        stream::once(async move {
            let command = Command(Kind::Find(Find { target, answers }));
            match commands.send(command).await {
                Ok(()) => read(found),
                Err(_) => stream::iter([Err(DiscoveryError::Shutdown)]).boxed(),
            }
        })
        .flatten()
        .boxed()
    }
}

/// The items of a search until its end.
fn read(found: mpsc::Receiver<Answer>) -> ProviderStream {
    stream::unfold(Some(found), |found| async move {
        let mut found = found?;
        match found.recv().await {
            Some(Answer::Found(provider)) => Some((Ok(*provider), Some(found))),
            Some(Answer::Failed(error)) => Some((Err(error), None)),
            Some(Answer::Done) => None,
            None => Some((Err(DiscoveryError::Shutdown), None)),
        }
    })
    .boxed()
}

/// The error for an address that does not enter the table.
pub(super) fn refused_address(address: &dyn fmt::Display) -> DiscoveryError {
    DiscoveryError::Failed {
        origin: Source::Dht,
        source: format!("{address} is not an address that the table keeps").into(),
    }
}
