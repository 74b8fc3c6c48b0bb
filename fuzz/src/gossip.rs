//! Messages of gossip: what is read is written the same way again, and means the same.

use o_address::PeerId;
use o_protocol::{Alive, GossipMessage};

use crate::Seed;

/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let Ok(message) = GossipMessage::decode(data) else {
        return;
    };
    assert!(data.len() <= GossipMessage::MAX_BYTES);
    match message.encode() {
        Ok(bytes) => {
            // Keys that mean nothing are left out, and nothing else is longer than it was.
            assert!(bytes.len() <= data.len());
            let again = GossipMessage::decode(&bytes);
            assert_eq!(again.ok().as_ref(), Some(&message));
        }
        Err(_) => assert!(matches!(message, GossipMessage::Unknown(_))),
    }
}

/// One of each kind.
///
/// # Panics
/// Never: its texts and peers are good.
pub fn seeds() -> Vec<Seed> {
    let Ok(peer) = PeerId::from_bytes(&[0, 2, 7, 7]) else {
        panic!("the peer of the golden vectors");
    };
    let (at, interval, digest) = (1_700_000_000_123, 2000, 7);
    let messages = [
        ("announce", GossipMessage::Announce(vec![1, 2, 3].into())),
        ("withdraw", GossipMessage::Withdraw(vec![1, 2, 3].into())),
        (
            "alive",
            GossipMessage::Alive(Alive {
                at,
                interval,
                digest,
            }),
        ),
        ("suspect", GossipMessage::Suspect { peer, at }),
    ];
    let written = messages.into_iter().filter_map(|(name, message)| {
        let bytes = message.encode().ok()?;
        Some((name.to_owned(), bytes))
    });
    let unknown = ("unknown".to_owned(), vec![0xa1, 0x01, 0x18, 0x4d]);
    written.chain([unknown]).collect()
}
