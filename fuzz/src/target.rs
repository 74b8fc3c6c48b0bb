//! The list of targets.

use crate::{address, cbor, delegation, describe, frame, gossip, header, record, session};

/// A name and an input to begin with.
pub type Seed = (String, Vec<u8>);

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of its module, of its directory in `corpus`, and of its program for libFuzzer.
    pub name: &'static str,
    /// Takes any bytes; panics when something does not hold.
    pub run: fn(&[u8]),
    /// What its corpus begins with.
    pub seeds: fn() -> Vec<Seed>,
    /// How many mutations `cargo test` tries: some two seconds of them without optimization.
    pub mutations: usize,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "address",
        run: address::run,
        seeds: address::seeds,
        mutations: 20_000,
    },
    Target {
        name: "frame",
        run: frame::run,
        seeds: frame::seeds,
        mutations: 20_000,
    },
    Target {
        name: "header",
        run: header::run,
        seeds: header::seeds,
        mutations: 8_000,
    },
    Target {
        name: "cbor",
        run: cbor::run,
        seeds: cbor::seeds,
        mutations: 8_000,
    },
    Target {
        name: "record",
        run: record::run,
        seeds: record::seeds,
        mutations: 15_000,
    },
    Target {
        name: "delegation",
        run: delegation::run,
        seeds: delegation::seeds,
        mutations: 15_000,
    },
    Target {
        name: "describe",
        run: describe::run,
        seeds: describe::seeds,
        mutations: 15_000,
    },
    Target {
        name: "gossip",
        run: gossip::run,
        seeds: gossip::seeds,
        mutations: 15_000,
    },
    Target {
        name: "session",
        run: session::run,
        seeds: session::seeds,
        mutations: 1_500,
    },
];
