//! The ways by which records come in, and what an attacker sends along them.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder,
    gossipsub::IdentTopic,
    kad::RecordKey,
    noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use o_core::{CallError, Encoding, NetworkId, OutgoingCall, Record, RecordTimes, Tombstone};
use o_discovery::{
    registry::Registry,
    swarm::{dht, gossip},
};
use o_node::{Keypair, Node, Preset};
use o_protocol::{Blob, GossipMessage, encode_body, sign_record, sign_tombstone};

use crate::{
    bare::{Counts, Watched, server, told},
    members::Member,
    warn,
};

/// Calls of an attacker under way at once.
const AT_ONCE: usize = 64;
/// Provider records that are sent in one go, and the pause after it: what the connection takes.
const BATCH: usize = 16;
const PAUSE: Duration = Duration::from_millis(1);
/// An attacker gives up that nobody listens to any more.
const STALLED: Duration = Duration::from_secs(10);

/// What an attacker has sent, and how much of it was answered with a refusal where there are answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) sent: usize,
    pub(super) refused: usize,
}

/// Makes bad records, each another one: forged, long past, no record at all, of another kind, too long.
struct Bad<'a> {
    keys: &'a Keypair,
    good: Vec<u8>,
    past: RecordTimes,
}

impl<'a> Bad<'a> {
    /// Of so many kinds, the last is too long.
    const KINDS: usize = 5;

    fn new(keys: &'a Keypair) -> anyhow::Result<Self> {
        let hour = Duration::from_secs(3600);
        let now = RecordTimes::starting(SystemTime::now(), hour);
        let past = RecordTimes::starting(SystemTime::now() - 100 * hour, hour);
        let good = sign_record(&record(keys, now, 1)?, keys)?
            .envelope()
            .to_vec();
        Ok(Self { keys, good, past })
    }

    fn make(&self, kind: usize, number: usize) -> anyhow::Result<Bytes> {
        let past = || record(self.keys, self.past, number as u64);
        Ok(match kind {
            0 => {
                let mut forged = self.good.clone();
                // Of the signature, which comes last.
                let end = forged.len() - 8;
                forged[end..].copy_from_slice(&number.to_be_bytes());
                forged.into()
            }
            1 => sign_record(&past()?, self.keys)?.envelope().clone(),
            2 => format!("nothing {number}").into(),
            3 => {
                let tombstone = Tombstone::of(&past()?, self.past);
                sign_tombstone(&tombstone, self.keys)?.envelope().clone()
            }
            _ => vec![7; Record::MAX_SIGNED + 1].into(),
        })
    }
}

fn record(keys: &Keypair, times: RecordTimes, sequence: u64) -> anyhow::Result<Record> {
    let (name, network) = ("o://lab/bad".parse()?, NetworkId::default());
    let mut record = Record::new(name, keys.peer_id(), network, times);
    record.capabilities = vec!["lab/member".parse()?];
    record.sequence = sequence;
    Ok(record)
}

/// Tells the registry of them, as every child does of its agents.
pub(super) async fn registry(
    keys: &Keypair,
    victim: &Member,
    count: usize,
) -> anyhow::Result<Sent> {
    let node = Node::builder(keys.clone(), Preset::Local);
    let node = node.configure(|config| {
        let alone = config.clone().client();
        *config = alone;
        config.dht.enabled = false;
    });
    let node = node.start().await?;
    node.connect(&victim.address).await?;
    let to = Registry::address().pinned(victim.peer);
    let bad = Bad::new(keys)?;
    let calls = (0..count).map(|number| {
        // Each as an announcement and as a withdrawal.
        let method = match number % 2 {
            0 => "announce",
            _ => "remove",
        };
        let record = bad.make(number / 2 % Bad::KINDS, number)?;
        let body = encode_body(Encoding::Cbor, &Blob(record))?;
        anyhow::Ok(OutgoingCall::unary(to.clone(), method, body))
    });
    let calls = calls.map(|call| {
        let node = &node;
        async move { anyhow::Ok(o_core::Caller::call(node, call?).await) }
    });
    let mut sent = Sent::default();
    let mut answers = stream::iter(calls).buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        sent.sent += 1;
        match answer? {
            Err(CallError::InvalidParams { .. } | CallError::Busy { .. }) => sent.refused += 1,
            Err(error) => return Err(error).context("the registry is gone"),
            Ok(_) => anyhow::bail!("the registry has taken a bad record"),
        }
    }
    drop(answers);
    o_core::Node::stop(&node).await?;
    Ok(sent)
}

fn swarm<B: NetworkBehaviour>(
    keys: &Keypair,
    behaviour: impl FnOnce() -> anyhow::Result<B>,
) -> anyhow::Result<Swarm<B>> {
    let behaviour = behaviour()?;
    let swarm = SwarmBuilder::with_existing_identity(keys.libp2p().clone())
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )?
        .with_behaviour(move |_| behaviour)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)));
    Ok(swarm.build())
}

fn at(victim: &Member) -> anyhow::Result<(PeerId, Multiaddr)> {
    let peer = o_transport::to_peer_id(&victim.peer)?;
    Ok((peer, o_transport::to_multiaddr(&victim.address)?))
}

/// Publishes them as announcements that everybody passes on.
pub(super) async fn gossip(keys: &Keypair, victim: &Member, count: usize) -> anyhow::Result<Sent> {
    let network = NetworkId::default();
    let behaviour = || {
        let behaviour = gossip::behaviour(keys.libp2p(), &network);
        behaviour.map_err(|error| anyhow::anyhow!("{error}"))
    };
    let mut swarm = swarm(keys, behaviour)?;
    swarm.dial(at(victim)?.1)?;
    loop {
        let event = swarm.select_next_some().await;
        if let SwarmEvent::Behaviour(libp2p::gossipsub::Event::Subscribed { .. }) = event {
            break;
        }
    }
    let bad = Bad::new(keys)?;
    let topic = IdentTopic::new("records");
    let mut sent = Sent::default();
    let (mut moved, mut number) = (Instant::now(), 0_usize);
    while sent.sent < count {
        number += 1;
        // One that is too long ends the stream over which it comes, and nothing more is read from the peer.
        let record = bad.make(number % (Bad::KINDS - 1), number)?;
        let message = GossipMessage::Announce(record).encode()?;
        match swarm.behaviour_mut().publish(topic.clone(), message) {
            Ok(_) => {
                sent.sent += 1;
                moved = Instant::now();
                if !sent.sent.is_multiple_of(BATCH) {
                    continue;
                }
            }
            Err(error) if moved.elapsed() > STALLED => {
                warn(format_args!("gossip is taken no more: {error}"));
                return Ok(sent);
            }
            Err(_) => {}
        }
        // What waits goes out.
        let event = tokio::time::timeout(PAUSE, swarm.select_next_some()).await;
        if let Ok(SwarmEvent::ConnectionClosed { cause, .. }) = event {
            warn(format_args!("gossip: the connection is gone: {cause:?}"));
            return Ok(sent);
        }
    }
    Ok(sent)
}

/// Says that it, or somebody else, provides one key after the other.
pub(super) async fn table(keys: &Keypair, victim: &Member, count: usize) -> anyhow::Result<Sent> {
    let local = o_transport::to_peer_id(&keys.peer_id())?;
    let (peer, address) = at(victim)?;
    let behaviour = || {
        let table = dht::behaviour(local, &NetworkId::default(), &server());
        Ok(Watched::new(table, Arc::new(Counts::default()), None))
    };
    let mut swarm = swarm(keys, behaviour)?;
    swarm.dial(address.clone())?;
    while !swarm.is_connected(&peer) {
        swarm.select_next_some().await;
    }
    let mut waiting: VecDeque<usize> = (0..count).collect();
    let mut sent = Sent::default();
    while !waiting.is_empty() {
        for number in waiting.drain(..BATCH.min(waiting.len())) {
            // As long as a real one: what is no hash is not even looked at.
            let mut key = vec![0x12, 0x20];
            key.extend_from_slice(&[0; 24]);
            key.extend_from_slice(&number.to_be_bytes());
            let key = RecordKey::from(key);
            let whose = if number.is_multiple_of(2) {
                local
            } else {
                PeerId::random()
            };
            let provider = told(whose, address.clone());
            swarm.behaviour_mut().announce(peer, key, provider);
            sent.sent += 1;
        }
        let until = tokio::time::sleep(PAUSE);
        let mut until = std::pin::pin!(until);
        loop {
            tokio::select! {
                () = until.as_mut() => break,
                event = swarm.select_next_some() => {
                    if let SwarmEvent::ConnectionClosed { .. } = event {
                        anyhow::bail!("the connection is gone after {}", sent.sent);
                    }
                }
            }
        }
    }
    Ok(sent)
}
