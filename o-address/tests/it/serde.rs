//! Every type serializes as its text, and what is deserialized is checked.

use o_address::{Address, PeerId, TransportAddr};
use proptest::prelude::*;
use serde_json::{from_str, from_value, json, to_value};

use crate::strategies::{address, peer, place};

proptest! {
    #[test]
    fn values_are_their_texts(address in address(16), peer in peer(), place in place()) {
        prop_assert_eq!(to_value(&address)?, json!(address.as_str()));
        prop_assert_eq!(from_value::<Address>(json!(address.as_str()))?, address);
        prop_assert_eq!(to_value(peer)?, json!(peer.to_string()));
        prop_assert_eq!(from_value::<PeerId>(json!(peer.to_string()))?, peer);
        prop_assert_eq!(to_value(&place)?, json!(place.as_str()));
        prop_assert_eq!(from_value::<TransportAddr>(json!(place.as_str()))?, place);
    }
}

#[test]
fn escaped_texts_are_read() {
    let address: Address = from_str(r#""o:\/\/a\u002fb""#).unwrap();
    assert_eq!(address.as_str(), "o://a/b");
}

#[test]
fn errors_carry_the_whole_reason() {
    let message = from_str::<Address>(r#""o://a b""#).unwrap_err().to_string();
    assert!(message.contains("character ' ' at byte 5"), "{message}");
    let message = from_str::<Address>(r#""o://a#12D0""#)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("bad pin at byte 6") && message.contains("character '0' at byte 3"),
        "{message}"
    );
    let message = from_str::<PeerId>(r#""""#).unwrap_err().to_string();
    assert!(message.contains("a peer id is not empty"), "{message}");
    let message = from_str::<TransportAddr>(r#""/tcp//""#)
        .unwrap_err()
        .to_string();
    assert!(message.contains("empty component at byte 5"), "{message}");
    let message = from_str::<Address>("7").unwrap_err().to_string();
    assert!(
        message.contains("an address such as `o://company/sales`"),
        "{message}"
    );
}
