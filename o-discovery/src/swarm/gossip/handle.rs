//! What everybody holds of gossip: searches, announcements, and what neighbors tell each other.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use o_address::{PeerId, TransportAddr};
use o_core::{
    Discovery, DiscoveryError, NetworkId, ProviderStream, Query, SignedRecord, SignedTombstone,
    Verifier,
};
use o_protocol::{Blob, RecordError, verify_record, verify_tombstone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::{
    GossipConfig, Moment,
    state::{Command, Kind, Reply},
    table::{Known, Said, Table},
};

/// What a node tells a neighbor: one thing that a peer announced or withdrew, and how long ago that peer
/// was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Told {
    /// The envelope of its record or, where `withdrawn`, of its tombstone.
    #[schemars(with = "String")]
    pub envelope: Blob,
    /// Whether it is withdrawn.
    #[serde(default)]
    pub withdrawn: bool,
    /// When the peer said last that it is there: milliseconds since 1970 by its own clock.
    #[serde(default)]
    pub at: u64,
    /// How often it says so, in milliseconds.
    #[serde(default)]
    pub interval_ms: u64,
    /// How long ago it was heard, in milliseconds.
    #[serde(default)]
    pub quiet_ms: u64,
}

/// What became of what a neighbor told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Learned {
    /// What was right to believe.
    pub believed: usize,
    /// What nobody should have believed.
    pub bad: usize,
}

/// Everything that gossip knows. Cloning is cheap.
///
/// A record is announced by the node that signed it: `announce` refuses the records of others. It
/// returns when it has been handed to the neighbors; a node without any succeeds at once and tells the
/// first that comes. `find` answers from what is known here, without the network: with the signed
/// record, and the time since its peer was last heard as the age. Where there is no neighbor and
/// nothing is known, it yields `NoNetwork`. A node does not find itself.
#[derive(Clone)]
pub struct Handle {
    table: Arc<Mutex<Table>>,
    config: Arc<GossipConfig>,
    verifier: Arc<dyn Verifier>,
    network: NetworkId,
    commands: mpsc::Sender<Command>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

impl Handle {
    pub(super) fn new(
        table: Arc<Mutex<Table>>,
        config: GossipConfig,
        verifier: Arc<dyn Verifier>,
        commands: mpsc::Sender<Command>,
    ) -> Self {
        let network = lock(&table).network.clone();
        Self {
            table,
            config: Arc::new(config),
            verifier,
            network,
            commands,
        }
    }

    /// What this node knows of one peer, or of everybody; at most `max_told`.
    pub fn tell(&self, of: Option<&PeerId>) -> Vec<Told> {
        let known = lock(&self.table).tell(of, Moment::now());
        known.into_iter().map(Told::from).collect()
    }

    /// Most of what a neighbor may tell in one answer.
    pub fn max_told(&self) -> usize {
        self.config.max_told
    }

    /// How much of that may be bad before the neighbor is not asked for a while.
    pub fn max_bad(&self) -> usize {
        usize::try_from(self.config.max_bad).unwrap_or(usize::MAX)
    }

    /// Takes in what a neighbor told, in answer to [`Want::Pull`](super::Want::Pull): verifies each. It takes
    /// as long as that many signatures.
    pub fn learn(&self, told: impl IntoIterator<Item = Told>) -> Learned {
        let mut learned = Learned::default();
        for told in told.into_iter().take(self.config.max_told) {
            let now = Moment::now();
            match self.verified(told, now) {
                Ok(known) => {
                    lock(&self.table).learn(known, now);
                    learned.believed += 1;
                }
                // It held when the neighbor heard it, or by the neighbor's clock.
                Err(RecordError::Expired) => {}
                Err(error) => {
                    tracing::debug!(%error, "a neighbor told what is not so");
                    learned.bad += 1;
                }
            }
        }
        learned
    }

    fn verified(&self, told: Told, now: Moment) -> Result<Known, RecordError> {
        let Blob(envelope) = told.envelope;
        let said = if told.withdrawn {
            let (verifier, network) = (&*self.verifier, &self.network);
            Said::Tombstone(verify_tombstone(envelope, verifier, now.clock, network)?)
        } else {
            let (verifier, network) = (&*self.verifier, &self.network);
            Said::Record(verify_record(envelope, verifier, now.clock, network)?)
        };
        Ok(Known {
            said,
            at: told.at,
            interval: Duration::from_millis(told.interval_ms.min(u32::MAX.into())),
            quiet: Duration::from_millis(told.quiet_ms),
        })
    }

    /// Connected peers that take part.
    pub fn neighbors(&self) -> Vec<PeerId> {
        lock(&self.table).neighbors()
    }

    /// How many more neighbors this node should connect with.
    pub fn lacking(&self) -> usize {
        lock(&self.table).lacking()
    }

    /// How many neighbors' connections should stay open when nobody calls.
    pub fn max_kept(&self) -> usize {
        self.config.max_kept_neighbors
    }

    /// How long a neighbor may take to say that it is there.
    pub fn probe_timeout(&self) -> Duration {
        self.config.probe_timeout
    }

    /// Peers that could become neighbors, at most so many, picked at random.
    pub fn candidates(&self, limit: usize) -> Vec<(PeerId, Vec<TransportAddr>)> {
        lock(&self.table).candidates(limit)
    }

    /// This node cannot reach a peer: it is forgotten everywhere unless it speaks up.
    ///
    /// # Cancel safety
    /// Dropping the future before it is done tells nobody.
    pub async fn suspect(&self, peer: PeerId) {
        // Where there is no Swarm task any more nobody needs to know.
        let _ = self.commands.send(Command(Kind::Suspect(peer))).await;
    }

    async fn ask(&self, command: impl FnOnce(Reply) -> Kind) -> Result<(), DiscoveryError> {
        let (reply, answer) = oneshot::channel();
        let command = Command(command(reply));
        let sent = self.commands.send(command).await;
        sent.map_err(|_| DiscoveryError::Shutdown)?;
        answer.await.unwrap_or(Err(DiscoveryError::Shutdown))
    }
}

#[async_trait]
impl Discovery for Handle {
    async fn announce(&self, record: &SignedRecord) -> Result<(), DiscoveryError> {
        lock(&self.table).check(record)?;
        let record = Box::new(record.clone());
        self.ask(|reply| Kind::Announce(record, reply)).await
    }

    async fn withdraw(&self, tombstone: &SignedTombstone) -> Result<(), DiscoveryError> {
        let local = lock(&self.table).local;
        let said = tombstone.tombstone();
        if said.peer != local || said.network != self.network {
            return Ok(()); // Never announced from here.
        }
        let tombstone = Box::new(tombstone.clone());
        self.ask(|reply| Kind::Withdraw(tombstone, reply)).await
    }

    fn find(&self, query: Query) -> ProviderStream {
        let table = lock(&self.table);
        let found = table.find(&query, Moment::now());
        let nobody = found.is_empty() && table.is_alone();
        let nobody = nobody.then_some(Err(DiscoveryError::NoNetwork));
        let found: Vec<_> = found.into_iter().map(Ok).chain(nobody).collect();
        stream::iter(found).boxed()
    }
}

impl From<Known> for Told {
    fn from(known: Known) -> Self {
        let (envelope, withdrawn) = match known.said {
            Said::Record(record) => (record.envelope().clone(), false),
            Said::Tombstone(tombstone) => (tombstone.envelope().clone(), true),
        };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            envelope: Blob(envelope),
            withdrawn,
            at: known.at,
            interval_ms: millis(known.interval),
            quiet_ms: millis(known.quiet),
        }
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    // Every change is complete before anything in it can panic.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
