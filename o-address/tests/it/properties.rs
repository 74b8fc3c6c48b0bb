//! Properties of random values: parsing undoes printing, names form a tree, no text causes a panic.

use o_address::{Address, AddressError, PeerId, TransportAddr};
use proptest::{collection::vec, prelude::*};

use crate::strategies::{address, name, near_miss, peer, peer_bytes, place, segment};

proptest! {
    #[test]
    fn parsing_a_name_undoes_printing(text in name(16)) {
        let address = Address::parse(&text)?;
        prop_assert_eq!(address.to_string(), &text[..]);
        prop_assert_eq!(address.name(), &text[..]);
        prop_assert_eq!(address.pin(), None);
    }

    #[test]
    fn parsing_a_pinned_address_undoes_printing(name in name(16), peer in peer()) {
        let text = format!("{name}#{peer}");
        let address = Address::parse(&text)?;
        prop_assert_eq!(address.as_str(), &text[..]);
        prop_assert_eq!(address.pin(), Some(peer));
        prop_assert_eq!(address.name(), &name[..]);
        prop_assert_eq!(Address::parse(&name)?.pinned(peer), address);
    }

    #[test]
    fn a_peer_id_keeps_its_bytes_and_its_text(bytes in peer_bytes()) {
        let peer = PeerId::from_bytes(&bytes)?;
        prop_assert_eq!(peer.as_bytes(), &bytes[..]);
        let text = peer.to_string();
        prop_assert!(text.len() <= PeerId::MAX_TEXT_LEN);
        prop_assert_eq!(text.parse::<PeerId>()?, peer);
        prop_assert!(text.ends_with(&peer.short().to_string()));
    }

    #[test]
    fn peer_ids_compare_as_their_bytes(a in peer_bytes(), b in peer_bytes()) {
        let (first, second) = (PeerId::from_bytes(&a)?, PeerId::from_bytes(&b)?);
        prop_assert_eq!(first.cmp(&second), a.cmp(&b));
        prop_assert_eq!(first == second, a == b);
    }

    #[test]
    fn parsing_a_transport_address_undoes_printing(place in place(), peer in peer()) {
        prop_assert_eq!(&TransportAddr::parse(place.as_str())?, &place);
        let there = place.with_peer(&peer);
        prop_assert_eq!(&TransportAddr::parse(there.as_str())?, &there);
        prop_assert_eq!(there.peer_id(), Some(peer));
        prop_assert_eq!(&there.with_peer(&peer), &there);
        prop_assert_eq!(there.without_peer(), Some(place));
    }

    #[test]
    fn the_parent_of_a_child_is_the_address(parent in address(15), segment in segment()) {
        let child = parent.child(&segment)?;
        prop_assert_eq!(child.parent(), Some(parent.without_pin()));
        prop_assert_eq!(child.leaf(), &segment[..]);
        prop_assert_eq!(child.depth(), parent.depth() + 1);
        prop_assert_eq!(child.root(), parent.root());
        prop_assert!(parent.is_ancestor_of(&child));
        prop_assert_eq!(&Address::parse(child.as_str())?, &child);
    }

    #[test]
    fn ancestry_is_strict_and_transitive(
        top in address(5),
        between in vec(segment(), 1..5),
        below in vec(segment(), 1..5),
        pin in peer(),
    ) {
        let descend = |from: &Address, segments: &[String]| segments.iter().try_fold(from.clone(), |at, s| at.child(s));
        let middle = descend(&top, &between)?.pinned(pin);
        let bottom = descend(&middle, &below)?;
        for (ancestor, descendant) in [(&top, &middle), (&middle, &bottom), (&top, &bottom)] {
            prop_assert!(ancestor.is_ancestor_of(descendant));
            prop_assert!(!descendant.is_ancestor_of(ancestor));
        }
        for address in [&top, &middle, &bottom] {
            prop_assert!(!address.is_ancestor_of(address));
            prop_assert!(!address.is_ancestor_of(&address.pinned(pin)));
        }
    }

    /// Few letters and short segments, so that one name is often a prefix of the other as text.
    #[test]
    fn ancestors_are_exactly_the_strict_prefixes_of_segments(
        a in "o://[ab]{1,2}(/[ab]{1,2}){0,3}",
        b in "o://[ab]{1,2}(/[ab]{1,2}){0,3}",
    ) {
        let (a, b) = (Address::parse(&a)?, Address::parse(&b)?);
        let (upper, lower): (Vec<_>, Vec<_>) = (a.segments().collect(), b.segments().collect());
        prop_assert_eq!(a.is_ancestor_of(&b), upper.len() < lower.len() && lower.starts_with(&upper));
    }

    #[test]
    fn the_protocol_form_round_trips_without_the_pin(address in address(16)) {
        let protocol = address.to_protocol();
        prop_assert_eq!(Address::from_protocol(&protocol)?, address.without_pin());
        prop_assert_eq!(&protocol[3..], &address.name()[4..]);
    }

    #[test]
    fn equal_addresses_are_those_with_equal_texts(a in address(2), b in address(2)) {
        prop_assert_eq!(a == b, a.as_str() == b.as_str());
        prop_assert_eq!(a.cmp(&b), a.as_str().cmp(b.as_str()));
        prop_assert_eq!(&a, &Address::parse(a.as_str())?);
    }

    #[test]
    fn every_text_is_accepted_as_it_is_or_refused_at_a_place_in_it(text in prop_oneof![any::<String>(), near_miss()]) {
        judge(&text)?;
    }

    #[test]
    fn any_bytes_are_a_peer_id_or_an_error(bytes in vec(any::<u8>(), 0..80)) {
        if let Ok(peer) = PeerId::from_bytes(&bytes) {
            prop_assert_eq!(peer.as_bytes(), &bytes[..]);
        }
    }

    #[test]
    fn any_text_is_a_child_or_an_error(address in address(16), segment in prop_oneof![any::<String>(), near_miss()]) {
        match address.child(&segment) {
            Ok(child) => prop_assert_eq!(&Address::parse(child.as_str())?, &child),
            Err(AddressError::TooManySegments { .. }) => prop_assert_eq!(address.depth(), Address::MAX_SEGMENTS),
            Err(error) => prop_assert!(error.offset() <= segment.len()),
        }
    }
}

/// Gives `text` to every parser: what is accepted prints as `text`, and an error points into it.
fn judge(text: &str) -> Result<(), TestCaseError> {
    match Address::parse(text) {
        Ok(address) => {
            prop_assert_eq!(address.to_string(), text);
            let rebuilt = address
                .pin()
                .map_or(address.without_pin(), |pin| address.pinned(pin));
            prop_assert_eq!(rebuilt, address);
        }
        Err(error) => {
            prop_assert!(error.offset() <= text.len());
            let unread = matches!(error, AddressError::TooLong { .. });
            prop_assert!(unread || text.is_char_boundary(error.offset()));
            if let AddressError::BadCharacter { offset, found } = error {
                prop_assert!(text[offset..].starts_with(found));
            }
        }
    }
    match Address::from_protocol(text) {
        Ok(address) => prop_assert_eq!(address.to_protocol(), text),
        Err(error) => prop_assert!(error.offset() <= text.len()),
    }
    match TransportAddr::parse(text) {
        Ok(address) => {
            prop_assert_eq!(address.to_string(), text);
            let _ = (
                address.peer_id(),
                address.is_loopback(),
                address.transport_label(),
                address.without_peer(),
            );
        }
        Err(error) => prop_assert!(error.offset() <= text.len()),
    }
    if let Ok(peer) = text.parse::<PeerId>() {
        prop_assert_eq!(peer.to_string(), text);
    }
    Ok(())
}
