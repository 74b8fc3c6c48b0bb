//! Random values of every type, made from the grammar and not by the crate's own operations where that is possible.

use o_address::{Address, PeerId, TransportAddr};
use proptest::{collection::vec, prelude::*};

/// A segment, with those of the grammar's edges (dots, the longest) among them.
pub(crate) fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[A-Za-z0-9._~-]{1,12}",
        1 => "[A-Za-z0-9._~-]{63}",
        1 => "[.~]{1,3}",
    ]
    .prop_filter("relative segments are not allowed", |segment| {
        segment != "." && segment != ".."
    })
}

/// The text of a name with at most `depth` segments.
pub(crate) fn name(depth: usize) -> impl Strategy<Value = String> {
    vec(segment(), 1..=depth).prop_map(|segments| format!("o://{}", segments.join("/")))
}

/// The bytes of a peer id.
pub(crate) fn peer_bytes() -> impl Strategy<Value = Vec<u8>> {
    let identity = vec(any::<u8>(), 0..=42_usize).prop_map(|key| (0x00, key));
    let sha256 = vec(any::<u8>(), 32).prop_map(|hash| (0x12, hash));
    prop_oneof![identity, sha256].prop_map(|(code, digest)| {
        let length = u8::try_from(digest.len()).expect("at most 42");
        [&[code, length], &digest[..]].concat()
    })
}

/// A peer id.
pub(crate) fn peer() -> impl Strategy<Value = PeerId> {
    peer_bytes().prop_map(|bytes| PeerId::from_bytes(&bytes).expect("made by the grammar"))
}

/// An address with at most `depth` segments, pinned or not.
pub(crate) fn address(depth: usize) -> impl Strategy<Value = Address> {
    (name(depth), proptest::option::of(peer())).prop_map(|(name, pin)| {
        let text = pin.map_or(name.clone(), |pin| format!("{name}#{pin}"));
        Address::parse(&text).expect("made by the grammar")
    })
}

/// A transport address that does not end in a peer.
pub(crate) fn place() -> impl Strategy<Value = TransportAddr> {
    vec("[!-.0-~]{1,40}", 1..20)
        .prop_filter(
            "a peer at the end is added where it is wanted",
            |components| components.len() < 2 || components[components.len() - 2] != "p2p",
        )
        .prop_map(|components| {
            TransportAddr::parse(&format!("/{}", components.join("/")))
                .expect("made by the grammar")
        })
}

/// Texts that nearly follow a grammar, which random texts hardly ever do.
pub(crate) fn near_miss() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => segment(),
        1 => peer().prop_map(|peer| peer.to_string()),
        2 => prop::sample::select(vec!["o://", "/o/", "/", "//", "#", ".", "..", "~", "/p2p/", "/ip6/::1", "ws"])
            .prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    (
        prop::sample::select(vec!["o://", "/o/", "/", ""]),
        vec(piece, 0..8),
    )
        .prop_map(|(start, pieces)| format!("{start}{}", pieces.concat()))
}
