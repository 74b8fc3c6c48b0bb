//! Transports made from configuration, over real sockets on the loopback interface.

mod custom;
mod key_file;
mod mismatch;
mod pair;
mod together;
mod wire;
