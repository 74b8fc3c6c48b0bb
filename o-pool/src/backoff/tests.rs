//! Pauses: their length, what cuts them short, what is remembered.

use super::*;

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, number]).unwrap()
}

fn address(number: usize) -> TransportAddr {
    format!("/memory/{number}").parse().unwrap()
}

fn addresses(numbers: std::ops::Range<usize>) -> Vec<TransportAddr> {
    numbers.map(address).collect()
}

fn config() -> PoolConfig {
    PoolConfig {
        jitter_seed: Some(7),
        ..PoolConfig::default()
    }
}

fn refused() -> DialError {
    DialError::Failed {
        peer: peer(1),
        reason: "refused".into(),
    }
}

fn wait(backoffs: &Backoffs, peer: PeerId, now: Instant) -> Option<Duration> {
    match backoffs.check(&peer, &[], now) {
        Verdict::Wait { retry_in, .. } => Some(retry_in),
        Verdict::Dial(_) => None,
    }
}

/// The pauses after so many failures in a row, each dial following at the end of the last pause.
fn pauses(config: &PoolConfig, count: usize) -> Vec<Duration> {
    let mut backoffs = Backoffs::new(config);
    let mut now = Instant::now();
    let mut pauses = Vec::new();
    for _ in 0..count {
        backoffs.failed(peer(1), &[], &refused(), now);
        let pause = wait(&backoffs, peer(1), now).unwrap();
        pauses.push(pause);
        now += pause;
        assert_eq!(wait(&backoffs, peer(1), now), None, "the pause is over");
    }
    pauses
}

#[test]
fn pauses_grow_up_to_the_limit() {
    let config = PoolConfig {
        backoff_jitter: 0.0,
        ..config()
    };
    let seconds: Vec<u64> = pauses(&config, 9).iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    let wild = PoolConfig {
        backoff_factor: 1000.0,
        backoff_jitter: 0.0,
        ..PoolConfig::default()
    };
    assert_eq!(pauses(&wild, 200).last(), Some(&Duration::from_secs(60)));
}

#[test]
fn jitter_shortens_within_its_range_and_follows_the_seed() {
    let nominal = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0];
    let mut parts = Vec::new();
    for seed in 0..200 {
        let config = PoolConfig {
            jitter_seed: Some(seed),
            ..config()
        };
        let once = pauses(&config, nominal.len());
        assert_eq!(once, pauses(&config, nominal.len()), "same seed");
        parts.extend(
            once.iter()
                .zip(nominal)
                .map(|(pause, full)| pause.as_secs_f64() / full),
        );
    }
    assert!(parts.iter().all(|part| (0.5..=1.0).contains(part)));
    // The whole range is used: with 1600 draws each twentieth of it is hit for certain enough.
    assert!(parts.iter().any(|part| *part < 0.525) && parts.iter().any(|part| *part > 0.975));
}

#[test]
fn only_addresses_that_were_not_tried_cut_a_pause_short() {
    let mut backoffs = Backoffs::new(&config());
    let now = Instant::now();
    backoffs.failed(peer(1), &addresses(0..2), &refused(), now);
    let Verdict::Wait { reason, .. } = backoffs.check(&peer(1), &addresses(0..2), now) else {
        panic!("the addresses were tried");
    };
    assert_eq!(reason, refused().to_string());
    assert_eq!(
        backoffs.check(&peer(1), &addresses(1..4), now),
        Verdict::Dial(addresses(2..4))
    );
    backoffs.failed(peer(1), &addresses(2..4), &refused(), now);
    assert!(matches!(
        backoffs.check(&peer(1), &addresses(0..4), now),
        Verdict::Wait { .. }
    ));
}

#[test]
fn new_addresses_without_end_do_not() {
    let mut backoffs = Backoffs::new(&PoolConfig {
        max_addresses: 4,
        ..config()
    });
    let now = Instant::now();
    let mut dialed = 0;
    backoffs.failed(peer(1), &addresses(0..1), &refused(), now);
    for number in 1..100 {
        if let Verdict::Dial(new) = backoffs.check(&peer(1), &addresses(number..number + 1), now) {
            backoffs.failed(peer(1), &new, &refused(), now);
            dialed += 1;
        }
    }
    assert_eq!(dialed, 7, "twice max_addresses, less the first");
}

#[test]
fn our_own_failures_are_not_the_peers() {
    let mut backoffs = Backoffs::new(&config());
    let now = Instant::now();
    for error in [
        DialError::NoAddresses { peer: peer(1) },
        DialError::Busy { limit: "test" },
        DialError::Shutdown,
    ] {
        backoffs.failed(peer(1), &[], &error, now);
        assert_eq!(wait(&backoffs, peer(1), now), None, "{error}");
    }
    for error in [
        DialError::Refused {
            peer: peer(1),
            reason: "blocked".into(),
            certain: true,
        },
        DialError::WrongPeer {
            expected: peer(1),
            found: peer(2),
        },
    ] {
        backoffs.failed(peer(1), &[], &error, now);
        assert!(wait(&backoffs, peer(1), now).is_some(), "{error}");
        backoffs.clear(&peer(1));
    }
}

#[test]
fn a_quiet_time_or_a_success_starts_from_the_base_again() {
    let config = PoolConfig {
        backoff_jitter: 0.0,
        ..config()
    };
    let mut backoffs = Backoffs::new(&config);
    let mut now = Instant::now();
    let second = Duration::from_secs(1);
    backoffs.failed(peer(1), &[], &refused(), now);
    backoffs.failed(peer(1), &[], &refused(), now);
    assert_eq!(wait(&backoffs, peer(1), now), Some(second * 2));
    now += second * 2 + config.backoff_max - Duration::from_nanos(1);
    backoffs.expire(now);
    assert_eq!(backoffs.len(), 1);
    now += Duration::from_nanos(1);
    backoffs.expire(now);
    assert_eq!(backoffs.len(), 0);
    backoffs.failed(peer(1), &[], &refused(), now);
    assert_eq!(wait(&backoffs, peer(1), now), Some(second));
    backoffs.clear(&peer(1));
    backoffs.failed(peer(1), &[], &refused(), now);
    assert_eq!(wait(&backoffs, peer(1), now), Some(second));
}

#[test]
fn the_memory_is_bounded() {
    let config = PoolConfig {
        max_backoffs: 3,
        backoff_jitter: 0.0,
        ..config()
    };
    let mut backoffs = Backoffs::new(&config);
    let now = Instant::now();
    for number in 0..3 {
        backoffs.failed(peer(number), &[], &refused(), now);
    }
    backoffs.failed(peer(0), &[], &refused(), now);
    backoffs.failed(peer(9), &[], &refused(), now);
    assert_eq!(backoffs.len(), 3);
    assert_eq!(wait(&backoffs, peer(1), now), None, "its pause ended first");
    assert!(wait(&backoffs, peer(0), now).is_some());
    assert!(wait(&backoffs, peer(9), now).is_some());

    let long = DialError::Failed {
        peer: peer(1),
        reason: "ä".repeat(1000),
    };
    assert!(shortened(long.to_string()).len() <= MAX_REASON_LEN + '…'.len_utf8());
}

#[test]
fn after_a_pause_an_old_address_is_new_again() {
    let mut backoffs = Backoffs::new(&config());
    let mut now = Instant::now();
    backoffs.failed(peer(1), &addresses(0..1), &refused(), now);
    now += wait(&backoffs, peer(1), now).unwrap();
    backoffs.failed(peer(1), &addresses(1..2), &refused(), now);
    assert_eq!(
        backoffs.check(&peer(1), &addresses(0..2), now),
        Verdict::Dial(addresses(0..1))
    );
}
