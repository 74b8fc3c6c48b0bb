//! Transports made from configuration, over real sockets on the loopback interface, and keys.

mod custom;
mod key_file;
mod mismatch;
mod pair;
mod signer;
mod together;
mod wire;
