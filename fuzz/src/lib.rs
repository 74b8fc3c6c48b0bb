//! What the fuzz targets do with their input: everything that reads bytes from a peer, with what must hold of it.
//!
//! Each target is a plain function from bytes to nothing that panics when something does not hold. So it runs
//! under libFuzzer (the package in `targets`, outside of the workspace), and as an ordinary test over
//! `corpus/TARGET` and thousands of mutations of it (`tests/corpus.rs`), without a fuzzer.
//!
//! - `cargo xtask fuzz-smoke 60` replays the corpora and runs each target for a minute.
//! - `cargo run -p o-fuzz --example seeds` writes the seeds into `corpus`; they come from the golden vectors of
//!   docs/wire.md.
//! - An input that broke something goes to `corpus/TARGET` under a name that says what it broke.

pub mod address;
pub mod cbor;
pub mod delegation;
pub mod describe;
pub mod frame;
pub mod gossip;
pub mod header;
mod input;
pub mod record;
pub mod session;
mod target;
mod wire;

pub use crate::{
    target::{Seed, TARGETS, Target},
    wire::golden,
};
