//! Whether an honest provider is found when others have surrounded its capability.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use libp2p::{
    Multiaddr, PeerId,
    identity::Keypair,
    kad::{KBucketKey, KadPeer, RecordKey},
};
use o_discovery::swarm::dht::DhtConfig;
use serde_json::{Value, json};

use super::{Outcome, Size};
use crate::{
    bare::{Bare, Liar, network, server, told},
    figures::{millis, percentile},
    plot::{Plot, Series},
    rng::Rng,
    say,
};

/// Keys among which the attacker picks those closest to the capability's.
const GROUND: usize = 1 << 16;

/// Searches of one network at once: most of their time they wait for those who say nothing.
const SEARCHING: usize = 64;

/// How long a Sybil asks around when it joins; those who came before it may say nothing.
const JOINING: Duration = Duration::from_secs(2);

/// Which keys the attacker surrounds, and how many shards the honest nodes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    name: &'static str,
    min_shards: u8,
    /// Sybils sit around so many shards, the same number around each.
    surrounded: u8,
}

const CASES: [Case; 3] = [
    Case {
        name: "one shard, which is surrounded",
        min_shards: 1,
        surrounded: 1,
    },
    Case {
        name: "four shards, of which one is surrounded",
        min_shards: 4,
        surrounded: 1,
    },
    Case {
        name: "four shards, all surrounded",
        min_shards: 4,
        surrounded: 4,
    },
];

/// How many Sybils there are, and out of how many keys they were picked.
#[derive(Clone, Copy, Debug)]
struct Attack {
    sybils: usize,
    ground: usize,
}

/// What the searches of one case and number of Sybils gave.
#[derive(Default)]
struct Tally {
    searches: usize,
    times: Vec<Duration>,
}

impl Tally {
    fn found(&self) -> f64 {
        100.0 * self.times.len() as f64 / self.searches.max(1) as f64
    }
}

/// For each number of Sybils, `rounds` networks of honest nodes; in each, one of them announces a
/// capability after the Sybils have come, and all others look for it.
pub(super) async fn run(size: &Size) -> anyhow::Result<Outcome> {
    let honest = size.nodes.first().copied().unwrap_or(50);
    let (mut series, mut figures) = (Vec::new(), Vec::new());
    for case in CASES {
        let mut points = Vec::new();
        let mut rows = Vec::new();
        let counts: &[usize] = if size.quick {
            &[0, 12]
        } else {
            &[0, 20, 40, 60]
        };
        for sybils in counts.iter().copied() {
            let mut tally = Tally::default();
            let ground = size.messages(GROUND);
            let attack = Attack { sybils, ground };
            for round in 0..size.rounds {
                one_network(case, honest, &attack, round, &mut tally).await?;
            }
            rows.push(row(case, sybils, &tally));
            points.push((sybils as f64, tally.found()));
        }
        let name = case.name.to_owned();
        figures.push(json!({ "name": name, "rows": rows }));
        series.push(Series { name, points });
    }
    let title = format!("Searches that find the honest provider, {honest} honest nodes");
    Ok(Outcome {
        figures: json!({ "title": title, "ground": size.messages(GROUND), "cases": figures }),
        plot: Plot {
            title,
            x: "Sybils".into(),
            y: "%".into(),
            series,
        },
    })
}

fn row(case: Case, sybils: usize, tally: &Tally) -> Value {
    let [p50, p99] = [50, 99].map(|percent| percentile(&tally.times, percent).map(millis));
    say(format_args!(
        "{:<42} {sybils:>3} Sybils  found {:>6.2} % of {:>4}  p50 {:>8.1} ms  p99 {:>8.1} ms",
        case.name,
        tally.found(),
        tally.searches,
        p50.unwrap_or_default(),
        p99.unwrap_or_default(),
    ));
    json!({
        "sybils": sybils,
        "searches": tally.searches,
        "found": tally.times.len(),
        "found_percent": tally.found(),
        "p50_ms": p50,
        "p99_ms": p99,
    })
}

async fn one_network(
    case: Case,
    honest: usize,
    attack: &Attack,
    round: usize,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let mut config = server();
    config.min_shards = case.min_shards;
    let nodes = network(honest, &config).await?;
    let capability = format!("lab/wanted-{round}");
    let _sybils = surround(&nodes, &capability, case.surrounded, attack, &config).await?;
    let provider = nodes.last().context("no nodes")?;
    provider.announce("o://lab/honest", &capability).await?;
    // A message without an answer may be a moment behind.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let searches = nodes[..nodes.len() - 1].iter();
    let searches = searches.map(|node| node.search(&capability, &provider.peer));
    let found: Vec<_> = stream::iter(searches)
        .buffer_unordered(SEARCHING)
        .collect()
        .await;
    tally.searches += found.len();
    tally
        .times
        .extend(found.into_iter().flatten().map(|found| found.time));
    Ok(())
}

/// Puts so many Sybils in all around the first shards of a capability. Each dials every honest node.
async fn surround(
    honest: &[Bare],
    capability: &str,
    shards: u8,
    attack: &Attack,
    config: &DhtConfig,
) -> anyhow::Result<Vec<Bare>> {
    let Attack { sybils, ground } = *attack;
    if sybils == 0 {
        return Ok(Vec::new());
    }
    // Nobody is asked meanwhile.
    let keys = (0..ground).map(|_| Keypair::generate_ed25519());
    let mut keys: Vec<Keypair> = keys.collect();
    let mut chosen = Vec::new();
    for shard in 0..shards {
        let target = key(capability, shard)?;
        let distance =
            |keys: &Keypair| KBucketKey::from(keys.public().to_peer_id()).distance(&target);
        keys.sort_by_cached_key(distance);
        chosen.extend(keys.drain(..sybils / usize::from(shards)));
    }
    let friends: Arc<[PeerId]> = chosen
        .iter()
        .map(|keys| keys.public().to_peer_id())
        .collect();
    let coming = chosen.iter().enumerate().map(|(n, keys)| {
        let habit = [Habit::Empty, Habit::Friends, Habit::Fakes, Habit::Silent][n % 4];
        let liar = Sybil {
            habit,
            friends: friends.clone(),
            rng: Rng::new(n as u64),
        };
        async move {
            let sybil = Bare::start(keys, config.clone(), Some(Box::new(liar))).await?;
            let others: Vec<&Bare> = honest.iter().collect();
            // They have all met it, whether or not it gets to know others in that time.
            let _ = tokio::time::timeout(JOINING, sybil.join(&others)).await;
            anyhow::Ok(sybil)
        }
    });
    stream::iter(coming).buffer_unordered(8).try_collect().await
}

fn key(capability: &str, shard: u8) -> anyhow::Result<KBucketKey<RecordKey>> {
    let digest = o_protocol::capability_shard_key(&capability.parse()?, shard);
    let mut multihash = vec![0x12, 0x20];
    multihash.extend_from_slice(&digest);
    Ok(KBucketKey::from(RecordKey::from(multihash)))
}

/// What a Sybil does when it is asked. None stores anything.
#[derive(Clone, Copy, Debug)]
enum Habit {
    /// Knows nobody.
    Empty,
    /// Tells of other Sybils that are not there, at addresses where nobody listens.
    Friends,
    /// Tells of twenty providers that do not exist, new ones each time, and of such peers.
    Fakes,
    /// Says nothing, and keeps whoever asks waiting.
    Silent,
}

#[derive(Debug)]
struct Sybil {
    habit: Habit,
    friends: Arc<[PeerId]>,
    rng: Rng,
}

impl Sybil {
    /// An address where nobody listens.
    fn nowhere(&mut self) -> Multiaddr {
        let port = self.rng.number() | 1 << 63;
        Multiaddr::empty().with(libp2p::multiaddr::Protocol::Memory(port))
    }

    fn invented(&mut self) -> Vec<KadPeer> {
        (0..20)
            .map(|_| told(PeerId::random(), self.nowhere()))
            .collect()
    }
}

impl Liar for Sybil {
    fn answer(&mut self, _: PeerId) -> Option<(Vec<KadPeer>, Vec<KadPeer>)> {
        match self.habit {
            Habit::Empty => Some((Vec::new(), Vec::new())),
            Habit::Friends => {
                let start = self.rng.index(self.friends.len());
                let friends = self.friends.clone();
                let some = friends
                    .iter()
                    .cycle()
                    .skip(start)
                    .take(friends.len().min(20));
                Some((
                    some.map(|peer| told(*peer, self.nowhere())).collect(),
                    Vec::new(),
                ))
            }
            Habit::Fakes => Some((self.invented(), self.invented())),
            Habit::Silent => None,
        }
    }
}
