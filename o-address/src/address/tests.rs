//! Every error of an address with its offset, and the operations on names.

use std::hash::{BuildHasher, RandomState};

use super::{Address, AddressError};
use crate::{PeerId, PeerIdError};

const PEER: &str = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo";
const OTHER_PEER: &str = "12D3KooWPnBbydeA5Uxas2QpTZL7fcckv7fS5E9cgQBJqreR54CW";

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[track_caller]
fn assert_refused(text: &str, expected: &AddressError, offset: usize) {
    let error = Address::parse(text).unwrap_err();
    assert_eq!(&error, expected, "{text:?}");
    assert_eq!(error.offset(), offset, "{text:?}");
}

#[test]
fn a_wrong_scheme_is_refused() {
    for text in [
        "", "o", "o:/", "o:/a", "O://a", " o://a", "/o/a", "http://a", "leader",
    ] {
        assert_refused(text, &AddressError::MissingScheme, 0);
    }
}

#[test]
fn an_empty_name_is_refused_where_it_should_begin() {
    for text in ["o://", "o://#", &format!("o://#{PEER}")] {
        assert_refused(text, &AddressError::Empty { offset: 4 }, 4);
    }
}

#[test]
fn an_empty_segment_is_refused_where_it_should_begin() {
    for (text, offset) in [
        ("o:///", 4),
        ("o:///a", 4),
        ("o://a//b", 6),
        ("o://a/b//", 8),
    ] {
        assert_refused(text, &AddressError::EmptySegment { offset }, offset);
    }
}

#[test]
fn a_trailing_slash_is_refused_where_it_stands() {
    for (text, offset) in [
        ("o://a/", 5),
        ("o://a/bc/", 8),
        (&format!("o://a/#{PEER}"), 5),
    ] {
        assert_refused(text, &AddressError::TrailingSlash { offset }, offset);
    }
}

#[test]
fn a_bad_character_is_refused_where_it_begins() {
    for (text, offset, found) in [
        ("o://a b", 5, ' '),
        ("o://a/\0", 6, '\0'),
        ("o://a\n", 5, '\n'),
        ("o://a\u{7f}", 5, '\u{7f}'),
        ("o://é", 4, 'é'),
        ("o://a/b€c", 7, '€'),
        ("o://a%2e", 5, '%'),
        ("o://a?b", 5, '?'),
        ("o://a\\b", 5, '\\'),
        ("o://a:b", 5, ':'),
        ("o://a@b", 5, '@'),
    ] {
        assert_refused(text, &AddressError::BadCharacter { offset, found }, offset);
    }
}

#[test]
fn every_ascii_character_is_judged_by_the_grammar() {
    const ALLOWED: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-";
    for byte in 0..=u8::MAX {
        let found = char::from(byte);
        if matches!(found, '/' | '#') {
            continue;
        }
        let result = Address::parse(&format!("o://a{found}b"));
        if ALLOWED.contains(found) {
            assert!(result.is_ok(), "{found:?}");
        } else {
            assert_eq!(result, Err(AddressError::BadCharacter { offset: 5, found }));
        }
    }
}

#[test]
fn a_long_segment_is_refused_where_it_begins() {
    let limit = "s".repeat(Address::MAX_SEGMENT_LEN);
    assert_eq!(address(&format!("o://{limit}/{limit}")).leaf(), limit);

    let expected = AddressError::SegmentTooLong {
        offset: 6,
        length: 64,
        limit: 63,
    };
    assert_refused(&format!("o://a/{limit}s"), &expected, 6);
}

#[test]
fn too_many_segments_are_refused_where_the_first_too_many_begins() {
    let deepest = format!("o://{}", ["ab"; 16].join("/"));
    assert_eq!(address(&deepest).depth(), Address::MAX_SEGMENTS);

    let expected = AddressError::TooManySegments {
        offset: 52,
        limit: 16,
    };
    assert_refused(&format!("{deepest}/c"), &expected, 52);
    assert_refused(
        &format!("{deepest}/"),
        &AddressError::TrailingSlash { offset: 51 },
        51,
    );
}

#[test]
fn dot_segments_are_refused_and_other_dots_are_not() {
    for (text, offset) in [
        ("o://.", 4),
        ("o://..", 4),
        ("o://a/../b", 6),
        ("o://a/b/.", 8),
    ] {
        assert_refused(text, &AddressError::DotSegment { offset }, offset);
    }
    for text in ["o://...", "o://.a", "o://a.", "o://a..b/.hidden"] {
        assert_eq!(address(text).as_str(), text);
    }
}

#[test]
fn a_bad_pin_is_refused_where_its_text_begins() {
    let bad = |source| AddressError::BadPin { offset: 8, source };
    assert_refused("o://a/b#", &bad(PeerIdError::Empty), 8);
    assert_refused(
        "o://a/b#12D0",
        &bad(PeerIdError::BadCharacter {
            offset: 3,
            found: '0',
        }),
        8,
    );
    let twice = format!("o://a/b#{}#2", &PEER[..40]);
    assert_refused(
        &twice,
        &bad(PeerIdError::BadCharacter {
            offset: 40,
            found: '#',
        }),
        8,
    );
    let long = format!("o://a/b#{}", "1".repeat(61));
    assert_refused(
        &long,
        &bad(PeerIdError::TextTooLong {
            length: 61,
            limit: 60,
        }),
        8,
    );
}

#[test]
fn the_longest_address_is_accepted_and_one_byte_more_is_refused_unread() {
    let segments = vec!["s".repeat(63); 16].join("/");
    let longest_peer = PeerId::from_bytes(&[&[0x00, 42][..], &[0xff; 42]].concat()).unwrap();
    let longest = address(&format!("o://{segments}")).pinned(longest_peer);
    assert_eq!(longest.name().len(), Address::MAX_NAME_LEN);
    assert_eq!(longest.as_str().len(), Address::MAX_LEN);
    assert_eq!(Address::parse(longest.as_str()), Ok(longest.clone()));
    assert_eq!(
        Address::from_protocol(&longest.to_protocol()),
        Ok(longest.without_pin())
    );

    let expected = AddressError::TooLong {
        length: 1089,
        limit: 1088,
    };
    assert_refused(&format!("{longest}\0"), &expected, 1088);
    // Were anything else looked at first, each of these would get another error.
    for start in ["", "o://", "o:///", "o://é", "o://a#"] {
        let length = 10_000_000 + start.len();
        let huge = format!("{start}{}", "\n".repeat(10_000_000));
        assert_refused(
            &huge,
            &AddressError::TooLong {
                length,
                limit: 1088,
            },
            1088,
        );
    }
}

#[test]
fn errors_say_what_is_allowed_in_one_short_line() {
    let huge = "x".repeat(10_000_000);
    for (text, words) in [
        ("leader", "an address begins with `o://`"),
        ("o://a b", "character ' ' at byte 5"),
        ("o://\u{1b}[2J", "character '\\u{1b}' at byte 4"),
        (&huge, "text of 10000000 bytes: the limit is 1088"),
        ("o://a#0", "after `#` stands a peer id"),
    ] {
        let message = Address::parse(text).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
        assert!(
            message.len() < 120 && !message.contains(char::is_control),
            "{message}"
        );
    }
}

#[test]
fn protocol_ids_are_checked_like_names_with_their_own_offsets() {
    let refused = |text: &str| Address::from_protocol(text).unwrap_err();
    assert_eq!(Address::from_protocol("/o/a/b"), Ok(address("o://a/b")));
    assert_eq!(refused("o://a"), AddressError::MissingProtocolPrefix);
    assert_eq!(refused("/o-call/1"), AddressError::MissingProtocolPrefix);
    assert_eq!(refused("/o"), AddressError::MissingProtocolPrefix);
    assert_eq!(refused("/o/"), AddressError::Empty { offset: 3 });
    assert_eq!(refused("/o/a//b"), AddressError::EmptySegment { offset: 5 });
    assert_eq!(refused("/o/a/"), AddressError::TrailingSlash { offset: 4 });
    assert_eq!(
        refused(&format!("/o/a#{PEER}")),
        AddressError::BadCharacter {
            offset: 4,
            found: '#'
        }
    );
    let huge = "\0".repeat(10_000_000);
    assert_eq!(
        refused(&huge),
        AddressError::TooLong {
            length: 10_000_000,
            limit: 1026
        }
    );
}

#[test]
fn the_parts_of_a_name() {
    let leaf = address("o://a/b/c");
    assert_eq!(leaf.segments().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(leaf.segments().rev().collect::<Vec<_>>(), ["c", "b", "a"]);
    assert_eq!((leaf.depth(), leaf.leaf()), (3, "c"));
    assert_eq!(leaf.root(), address("o://a"));
    assert_eq!(leaf.parent(), Some(address("o://a/b")));

    let root = address("o://a");
    assert_eq!((root.depth(), root.leaf()), (1, "a"));
    assert_eq!(root.root(), root);
    assert_eq!(root.parent(), None);
}

#[test]
fn a_child_is_checked_before_it_is_made() {
    let parent = address("o://a");
    assert_eq!(parent.child("b"), Ok(address("o://a/b")));
    for (segment, expected) in [
        ("", AddressError::EmptySegment { offset: 0 }),
        ("..", AddressError::DotSegment { offset: 0 }),
        (
            "b/c",
            AddressError::BadCharacter {
                offset: 1,
                found: '/',
            },
        ),
        (
            "b#",
            AddressError::BadCharacter {
                offset: 1,
                found: '#',
            },
        ),
        (
            &"\0".repeat(64),
            AddressError::SegmentTooLong {
                offset: 0,
                length: 64,
                limit: 63,
            },
        ),
    ] {
        assert_eq!(parent.child(segment), Err(expected));
    }
    let deepest = address(&format!("o://{}", ["a"; 16].join("/")));
    assert_eq!(
        deepest.child("b"),
        Err(AddressError::TooManySegments {
            offset: 0,
            limit: 16
        })
    );
}

#[test]
fn ancestors_end_at_a_slash() {
    let leader = address("o://leader");
    for below in [
        "o://leader/echo",
        "o://leader/a/b",
        &format!("o://leader/echo#{PEER}"),
    ] {
        assert!(leader.is_ancestor_of(&address(below)), "{below}");
        assert!(!address(below).is_ancestor_of(&leader), "{below}");
    }
    for beside in [
        "o://leader",
        "o://leaderboard",
        "o://leader-2/echo",
        "o://Leader/echo",
        "o://a/leader/echo",
    ] {
        assert!(!leader.is_ancestor_of(&address(beside)), "{beside}");
    }
    let pinned = leader.pinned(PEER.parse().unwrap());
    assert!(pinned.is_ancestor_of(&address("o://leader/echo")));
    assert!(!leader.is_ancestor_of(&pinned), "a pin makes no descendant");
}

#[test]
fn a_pin_is_set_replaced_and_dropped() {
    let (peer, other): (PeerId, PeerId) = (PEER.parse().unwrap(), OTHER_PEER.parse().unwrap());
    let plain = address("o://a/b");
    let pinned = address(&format!("o://a/b#{PEER}"));
    assert_eq!((plain.pin(), pinned.pin()), (None, Some(peer)));
    assert_eq!(plain.pinned(peer), pinned);
    assert_ne!(plain, pinned);
    assert_eq!(
        pinned.pinned(other).as_str(),
        format!("o://a/b#{OTHER_PEER}")
    );
    assert_eq!(pinned.pinned(other).pin(), Some(other));
    assert_eq!(pinned.without_pin(), plain);
    assert_eq!(plain.without_pin(), plain);
    assert_eq!(pinned.name(), "o://a/b");
    assert_eq!((pinned.leaf(), pinned.depth()), ("b", 2));
    assert_eq!(pinned.segments().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(pinned.root(), address("o://a"));
    assert_eq!(pinned.parent(), Some(address("o://a")));
    assert_eq!(pinned.child("c"), Ok(address("o://a/b/c")));
    assert_eq!(pinned.to_protocol(), "/o/a/b");
}

#[test]
fn the_node_itself_has_a_reserved_name() {
    let node = Address::node();
    assert_eq!(node, address("o://~"));
    assert!(node.is_node());
    assert!(node.pinned(PEER.parse().unwrap()).is_node());
    for other in ["o://~/a", "o://a/~", "o://~~", "o://a"] {
        assert!(!address(other).is_node(), "{other}");
    }
    assert!(address("o://~/a").root().is_node());
}

#[test]
fn case_is_kept_and_counts() {
    assert_eq!(address("o://Leader").as_str(), "o://Leader");
    assert_ne!(address("o://Leader"), address("o://leader"));
    assert!(address("o://Z") < address("o://a"));
}

#[test]
fn text_forms() {
    let a = address("o://a");
    assert_eq!(format!("{a}|{a:>7}|{a:?}"), "o://a|  o://a|Address(o://a)");
    assert_eq!(AsRef::<str>::as_ref(&a), "o://a");
    assert_eq!("o://a".parse(), Ok(a.clone()));
    assert_eq!(Address::try_from("o://a"), Ok(a.clone()));
    assert_eq!(Address::try_from("o://a".to_owned()), Ok(a.clone()));
    assert_eq!(
        Address::try_from("a".to_owned()),
        Err(AddressError::MissingScheme)
    );
}

#[test]
fn an_address_hashes_as_its_text() {
    let state = RandomState::new();
    for text in ["o://a/b", &format!("o://a/b#{PEER}")] {
        assert_eq!(state.hash_one(address(text)), state.hash_one(text));
    }
}

#[test]
fn a_clone_shares_the_text_and_an_address_is_one_word() {
    let a = address("o://a");
    assert!(std::ptr::eq(a.as_str(), a.clone().as_str()));
    assert_eq!(size_of::<Option<Address>>(), size_of::<usize>());
}
