//! Experiments with many nodes: what the programs `soak`, `scenario` and `netlab` share.

mod bare;
mod figures;
mod fit;
mod members;
pub mod netlab;
mod network;
pub mod own_network;
mod plot;
mod rng;
pub mod scenario;
pub mod soak;

pub use crate::{
    figures::{percentile, resident_bytes, say, warn},
    members::be_member,
    plot::{Plot, Series},
    rng::Rng,
};
