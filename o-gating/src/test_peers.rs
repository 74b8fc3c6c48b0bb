//! Peers and attempts for the unit tests.

use o_address::PeerId;
use o_core::{Attempt, Direction, Stage};

/// A peer id that differs for each `key`.
pub(crate) fn peer(key: u8) -> PeerId {
    match PeerId::from_bytes(&[&[0x00, 32][..], &[key; 32]].concat()) {
        Ok(peer) => peer,
        Err(error) => panic!("a peer id of the wrong shape: {error}"),
    }
}

/// Every stage with every direction.
pub(crate) const SITUATIONS: [(Stage, Direction); 4] = [
    (Stage::Pending, Direction::Inbound),
    (Stage::Pending, Direction::Outbound),
    (Stage::Established, Direction::Inbound),
    (Stage::Established, Direction::Outbound),
];

/// An attempt with or without a known peer.
pub(crate) fn attempt(
    (stage, direction): (Stage, Direction),
    peer: Option<&PeerId>,
) -> Attempt<'_> {
    let mut attempt = Attempt::new(stage, direction);
    attempt.peer = peer;
    attempt
}
