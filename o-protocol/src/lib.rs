//! What is said on a connection: frames, messages, the call session and a driver over any byte stream.

mod cbor;
mod record;
mod typed;
