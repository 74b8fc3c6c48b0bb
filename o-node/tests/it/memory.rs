//! What long bodies cost the second time.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::{fs, hint::black_box};

use crate::support::{quiet, start, stop};

/// As long as a body that many calls have.
const LENGTH: usize = 2 << 20;
const IN_FLIGHT: usize = 8;
const ROUNDS: usize = 8;

/// Page faults of this process that needed no disk: field 10 of `/proc/pid/stat`, proc(5).
fn faults() -> usize {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // After the name, which may hold anything.
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest.split(' ').nth(7).unwrap().parse().unwrap()
}

fn faults_of_bodies() -> usize {
    let before = faults();
    for round in 1..=ROUNDS {
        let bodies: Vec<_> = (0..IN_FLIGHT).map(|_| vec![round as u8; LENGTH]).collect();
        drop(black_box(bodies));
    }
    faults() - before
}

#[tokio::test]
async fn the_memory_of_bodies_is_used_for_the_next_ones() {
    // The allocator is left as it is: it gives back what is free, and each body is cleared page by page.
    let node = start(quiet().configure(|config| config.node.keep_memory = 0)).await;
    let given_back = faults_of_bodies();
    stop([node]).await;
    let node = start(quiet()).await;
    let kept = faults_of_bodies();
    stop([node]).await;
    assert!(kept * 3 < given_back, "{kept} instead of {given_back}");
}
