//! From configuration to one boxed libp2p transport; identity and address conversion.
//!
//! [`build_transport`] turns a [`TransportConfig`] and a [`Keypair`] into the single transport that
//! a Swarm takes: TCP, QUIC, WebSocket and memory side by side, each secured with Noise or TLS and
//! multiplexed, and transports of a user's own beside them.
//!
//! | concern | file |
//! |---|---|
//! | what is turned on, with which limits | `config.rs` |
//! | the one list of what is compiled in | `registry.rs` |
//! | how the parts are joined; the check of the expected peer | `stack.rs` |
//! | from raw bytes to a proved peer and substreams | `upgrade.rs`, `security.rs`, `muxer.rs` |
//! | one transport or handshake | `tcp.rs`, `quic.rs`, `websocket.rs`, `unix.rs`, `memory.rs`, `dns.rs`, `noise.rs`, `tls.rs` |
//! | plaintext between processes of one user, and who has it | `plain.rs`, `plaintext.rs` |
//! | which of two addresses is nearer | `rank.rs` |
//! | keys from a seed, a file, or for this run only | `identity.rs` |
//! | signing and checking for a purpose | `envelope.rs` |
//! | our ids and addresses to libp2p's and back | `convert.rs` |
//! | what went wrong inside nested errors, in one line | `causes.rs` |
//! | whether a fixed port is free | `probe.rs` |
//!
//! # Features
//!
//! `tcp`, `quic`, `websocket`, `dns`, `noise`, `tls` and `unix` compile a part in and change nothing else;
//! the configuration turns it on. What is turned on and not compiled in is
//! [`BuildError::NotCompiledIn`]. The memory transport and yamux are always there.
//!
//! Secure WebSocket (`/wss`) is left out so far: it needs certificates, which the configuration
//! does not carry yet. Plain WebSocket is encrypted all the same, by Noise or TLS inside it.

mod causes;
mod config;
mod convert;
#[cfg(feature = "dns")]
mod dns;
mod envelope;
mod error;
mod identity;
mod memory;
mod muxer;
#[cfg(feature = "noise")]
mod noise;
#[cfg(all(feature = "unix", unix))]
mod plain;
mod plaintext;
mod probe;
#[cfg(feature = "quic")]
mod quic;
mod rank;
mod registry;
mod security;
mod stack;
#[cfg(feature = "tcp")]
mod tcp;
#[cfg(feature = "tls")]
mod tls;
#[cfg(all(feature = "unix", unix))]
mod unix;
mod upgrade;
#[cfg(feature = "websocket")]
mod websocket;

pub use crate::{
    causes::{find_cause, flatten_error, io_error_kind},
    config::{
        DnsConfig, MemoryConfig, QuicConfig, Security, TcpConfig, TransportConfig, UnixConfig,
        WebSocketConfig, YamuxConfig,
    },
    convert::{AddrError, from_multiaddr, from_peer_id, to_multiaddr, to_peer_id},
    envelope::EnvelopeVerifier,
    error::{BuildError, WrongPeer},
    identity::{
        Identity, IdentityConfig, KeyDecodeError, KeyError, KeyFile, KeySource, Keypair, Seed,
    },
    muxer::MuxerError,
    plaintext::PlaintextPeers,
    probe::probe_fixed_port,
    rank::rank,
    stack::{
        BoxedTransport, ProvedMuxer, build_transport, build_watched_transport, can_listen,
        unsupported_reason,
    },
    upgrade::upgrade,
};
