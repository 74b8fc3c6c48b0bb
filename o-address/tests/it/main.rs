//! What holds of every address, peer id and transport address, seen from outside.

mod properties;
#[cfg(feature = "serde")]
mod serde;
#[expect(
    clippy::expect_used,
    reason = "these values are made by the grammar; a refusal is a failed test"
)]
mod strategies;
mod vectors;
