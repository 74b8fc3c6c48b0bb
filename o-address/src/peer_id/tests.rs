//! Every error of a peer id, the limits of its length, and its text forms.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{PeerId, PeerIdError};

const TEXT: &str = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo";

fn identity(key: &[u8]) -> Vec<u8> {
    [&[0x00, u8::try_from(key.len()).unwrap()], key].concat()
}

#[test]
fn inlined_keys_have_up_to_42_bytes() {
    for len in 0..=42 {
        let bytes = identity(&vec![0xff; len]);
        let peer = PeerId::from_bytes(&bytes).unwrap();
        assert_eq!(peer.as_bytes(), bytes);
        assert_eq!(peer.to_string().parse(), Ok(peer));
    }
    assert_eq!(
        PeerId::from_bytes(&identity(&[0xff; 43])),
        Err(PeerIdError::BadLength {
            code: 0x00,
            length: 43
        })
    );
}

#[test]
fn hashes_have_32_bytes() {
    let sha256 = |len: u8| [&[0x12, len][..], &vec![1; usize::from(len)]].concat();
    assert_eq!(
        PeerId::from_bytes(&sha256(32)).unwrap().as_bytes(),
        sha256(32)
    );
    for length in [0, 31, 33, 42] {
        assert_eq!(
            PeerId::from_bytes(&sha256(length)),
            Err(PeerIdError::BadLength { code: 0x12, length })
        );
    }
}

#[test]
fn the_declared_length_is_the_length() {
    for code_and_length in [[0x00, 32], [0x12, 32]] {
        for len in [0, 1, 31, 33, 100] {
            let bytes = [&code_and_length[..], &vec![1; len]].concat();
            let expected = PeerIdError::WrongSize {
                expected: 34,
                found: len + 2,
            };
            assert_eq!(PeerId::from_bytes(&bytes), Err(expected));
        }
    }
    assert_eq!(
        PeerId::from_bytes(&[0x12]),
        Err(PeerIdError::WrongSize {
            expected: 2,
            found: 1
        })
    );
    assert_eq!(PeerId::from_bytes(&[]), Err(PeerIdError::Empty));
}

#[test]
fn other_codes_are_refused() {
    for code in (0..=u8::MAX).filter(|code| !matches!(code, 0x00 | 0x12)) {
        let bytes = [&[code, 32][..], &[1; 32]].concat();
        assert_eq!(
            PeerId::from_bytes(&bytes),
            Err(PeerIdError::UnknownCode { code })
        );
    }
}

#[test]
fn a_bad_text_is_refused_with_its_place() {
    let refused = |text: &str| text.parse::<PeerId>().unwrap_err();
    assert_eq!(refused(""), PeerIdError::Empty);
    for found in ['0', 'I', 'O', 'l', ' ', '\n', '/', '#', 'é', '€'] {
        assert_eq!(
            refused(&format!("12D3{found}K")),
            PeerIdError::BadCharacter { offset: 4, found }
        );
    }
    assert_eq!(refused("z"), PeerIdError::UnknownCode { code: 57 });
    assert_eq!(
        refused("1"),
        PeerIdError::WrongSize {
            expected: 2,
            found: 1
        }
    );
    // A peer id in its other text form, a CID.
    assert_eq!(
        refused("bafzaajaiaejcbvivcn7sqytqotknfgc2zxutyns5vx6apvutewxrwxjor6gbnutk"),
        PeerIdError::TextTooLong {
            length: 65,
            limit: 60
        }
    );
    assert_eq!(
        refused(&"\0".repeat(10_000_000)),
        PeerIdError::TextTooLong {
            length: 10_000_000,
            limit: 60
        }
    );
}

#[test]
fn the_longest_text_is_the_limit() {
    let longest = PeerId::from_bytes(&identity(&[0xff; 42])).unwrap();
    assert_eq!(longest.as_bytes().len(), PeerId::MAX_LEN);
    assert_eq!(longest.to_string().len(), PeerId::MAX_TEXT_LEN);

    // The texts of that length that decode to the most bytes, and to the largest number.
    let zeros = "1".repeat(PeerId::MAX_TEXT_LEN).parse::<PeerId>();
    assert_eq!(
        zeros,
        Err(PeerIdError::WrongSize {
            expected: 2,
            found: 60
        })
    );
    let largest = "z".repeat(PeerId::MAX_TEXT_LEN).parse::<PeerId>();
    assert!(
        matches!(largest, Err(PeerIdError::UnknownCode { .. })),
        "{largest:?}"
    );
}

#[test]
fn text_forms() {
    let peer: PeerId = TEXT.parse().unwrap();
    assert_eq!(peer.to_string(), TEXT);
    assert_eq!(format!("{peer:?}"), format!("PeerId({TEXT})"));
    assert_eq!(format!("{peer:>54}"), format!("  {TEXT}"));
    assert_eq!(peer.short().to_string(), "S2C1Duoo");
    assert_eq!(
        format!("{:<10}|{:?}", peer.short(), peer.short()),
        "S2C1Duoo  |S2C1Duoo"
    );

    let tiny = PeerId::from_bytes(&[0, 0]).unwrap();
    assert_eq!(
        (tiny.to_string(), tiny.short().to_string()),
        ("11".to_owned(), "11".to_owned())
    );
}

#[test]
fn order_and_hash_are_those_of_the_bytes() {
    let hash = |value: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        value(&mut hasher);
        hasher.finish()
    };
    let mut all = vec![
        identity(&[]),
        identity(&[0]),
        identity(&[0, 0]),
        identity(&[1]),
        identity(&[0xff; 42]),
        [&[0x12, 0x20][..], &[0; 32]].concat(),
    ];
    let mut peers: Vec<_> = all
        .iter()
        .map(|bytes| PeerId::from_bytes(bytes).unwrap())
        .collect();
    for (bytes, peer) in all.iter().zip(&peers) {
        assert_eq!(
            hash(&|hasher| peer.hash(hasher)),
            hash(&|hasher| bytes[..].hash(hasher))
        );
    }
    all.sort();
    peers.sort();
    peers.dedup();
    assert_eq!(peers.iter().map(PeerId::as_bytes).collect::<Vec<_>>(), all);
}
