//! Stand-ins for what a test does not want to have for real.

mod directory;
mod events;
mod gater;
mod peers;
mod signer;

pub use self::{
    directory::Directory,
    events::RecordingEvents,
    gater::{RecordingGater, SeenAttempt},
    peers::test_peer,
    signer::{FakeSigner, FakeVerifier},
};
