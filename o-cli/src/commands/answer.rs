//! What came back, as text.

use std::time::Duration;

use o_address::Address;
use o_core::{Body, CallError, Encoding, OutgoingCall, Reply};
use o_node::transcode;

use crate::{exec::bytes_as_json, exit::Failure, json_text, network::Client};

/// A body as compact JSON, whatever its encoding. One without a value is `null`.
///
/// # Errors
/// Bytes that are not what their encoding says.
pub(super) fn as_json(body: &Body) -> Result<String, CallError> {
    let invalid = |message: String| CallError::InvalidReply { message };
    if body.encoding == Encoding::Raw {
        return Ok(bytes_as_json(&body.bytes));
    }
    if body.is_empty() {
        return Ok("null".to_owned());
    }
    let json = transcode(body, Encoding::Json).map_err(|error| invalid(error.to_string()))?;
    json_text::compact(&json.bytes).map_err(invalid)
}

/// Calls one of the methods that every agent has.
///
/// # Errors
/// Those of the call.
pub(super) async fn call_builtin(
    client: &Client,
    address: &Address,
    method: &'static str,
    timeout: Duration,
) -> Result<Body, CallError> {
    let call = OutgoingCall::unary(address.clone(), method, Body::json("null")).timeout(timeout);
    match client.caller().call(call).await? {
        Reply::One(body) => Ok(body),
        Reply::Stream(_) => {
            let message = "a stream where one value was expected".into();
            Err(CallError::InvalidReply { message })
        }
    }
}

/// Refuses to ask for the node itself without saying which.
///
/// # Errors
/// For `o://~` without a peer.
pub(super) fn check_target(address: &Address, client: &Client) -> Result<(), Failure> {
    if address.is_node() && address.pin().is_none() && client.peer().is_none() {
        let failure = Failure::usage("o://~ is a node itself, and nothing says which");
        return Err(failure.hint("give --peer MULTIADDR, or write o://~#<peer id>"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_becomes_one_line_of_json() {
        let json = |body: Body| as_json(&body).unwrap();
        assert_eq!(json(Body::json("{ \"a\": 1 }\n")), "{\"a\":1}");
        assert_eq!(
            json(Body::cbor(&b"\x82\x01\x41\x00"[..])),
            "[1,{\"$bytes\":\"AA==\"}]"
        );
        assert_eq!(json(Body::raw("a")), "{\"$bytes\":\"YQ==\"}");
        assert_eq!(json(Body::json("")), "null");
        let error = as_json(&Body::json("{")).unwrap_err();
        assert!(matches!(error, CallError::InvalidReply { .. }));
    }
}
