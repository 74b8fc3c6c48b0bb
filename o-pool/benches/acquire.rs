//! What it costs to get a lease on a connection that is there, and to give it back.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up may panic"
)]

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use async_trait::async_trait;
use criterion::{Criterion, criterion_group, criterion_main};
use futures::{FutureExt, future::BoxFuture};
use o_address::{PeerId, TransportAddr};
use o_core::{DialError, Direction};
use o_pool::{Dialer, Link, Pool, PoolConfig};

#[derive(Clone, Debug)]
struct Wire {
    id: u64,
    alive: Arc<AtomicBool>,
}

impl Link for Wire {
    fn id(&self) -> u64 {
        self.id
    }

    fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    fn active_calls(&self) -> usize {
        0
    }

    fn close(&self, _: &'static str) {
        self.alive.store(false, Ordering::Release);
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        std::future::pending().boxed()
    }
}

#[derive(Debug)]
struct NoDialer;

#[async_trait]
impl Dialer for NoDialer {
    type Link = Wire;

    async fn dial(&self, peer: PeerId, _: Vec<TransportAddr>) -> Result<Wire, DialError> {
        Err(DialError::NoAddresses { peer })
    }
}

fn peer(number: u32) -> PeerId {
    let mut multihash = vec![0, 36];
    multihash.extend([8, 1, 18, 32]);
    multihash.extend(number.to_le_bytes().repeat(8));
    PeerId::from_bytes(&multihash).unwrap()
}

fn pool(connections: u32) -> Pool<NoDialer> {
    let mut config = PoolConfig::default();
    config.max_connections = 20_000;
    let (pool, run) = Pool::new(config, NoDialer).unwrap();
    // Nothing is evicted or watched: the benchmark is of the callers' path.
    drop(run);
    for number in 0..connections {
        let alive = Arc::new(AtomicBool::new(true));
        let link = Wire {
            id: number.into(),
            alive,
        };
        pool.adopt(peer(number), link, Direction::Inbound).unwrap();
    }
    pool
}

fn acquire(c: &mut Criterion) {
    for connections in [1, 512, 10_000] {
        let pool = pool(connections);
        let peers: Vec<PeerId> = (0..connections).map(peer).collect();
        let mut index = 0;
        c.bench_function(&format!("acquire/{connections}"), |b| {
            b.iter(|| {
                // Another peer each time, spread over the table.
                index = (index + 7919) % peers.len();
                let lease = pool.acquire(black_box(peers[index]), &[]).now_or_never();
                lease.unwrap().unwrap()
            });
        });
    }
    let pool = pool(1);
    let peer = peer(0);
    c.bench_function("existing", |b| {
        b.iter(|| pool.existing(black_box(&peer)).unwrap());
    });
    c.bench_function("acquire/contended", |b| {
        b.iter_custom(|iterations| {
            let begun = Instant::now();
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for _ in 0..iterations {
                            let lease = pool.acquire(black_box(peer), &[]).now_or_never();
                            drop(lease.unwrap().unwrap());
                        }
                    });
                }
            });
            begun.elapsed() / 2
        });
    });
}

criterion_group!(benches, acquire);
criterion_main!(benches);
