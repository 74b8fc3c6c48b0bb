//! Who is measured, and in which words.

/// One contender.
#[derive(Debug)]
pub(super) struct Contender {
    /// What the program calls it.
    pub(super) kind: &'static str,
    /// What readers call it.
    pub(super) label: &'static str,
    /// A program that it needs, and how to get it.
    pub(super) needs: Option<(&'static str, &'static str)>,
}

const fn contender(kind: &'static str, label: &'static str) -> Contender {
    Contender {
        kind,
        label,
        needs: None,
    }
}

/// Our node with its defaults.
pub(super) const OURS: &str = "o";
/// Its own ways for large bodies: over the network, and inside one machine.
pub(super) const OURS_TLS: &str = "o-tls";
pub(super) const OURS_LOCAL: &str = "o-unix-plain";
/// The yardsticks.
pub(super) const RAW_TLS: &str = "raw-tls";
pub(super) const TONIC: &str = "tonic";
pub(super) const NATS: &str = "nats";
pub(super) const BARE: &str = "libp2p-stream";

/// Everybody, in the order of the tables.
pub(super) const ALL: &[Contender] = &[
    contender("raw-tcp", "raw TCP (plaintext)"),
    contender(RAW_TLS, "raw TLS 1.3, AES-128-GCM"),
    contender("libp2p-rr", "libp2p request-response, Noise"),
    contender(BARE, "bare libp2p substream, Noise"),
    contender(TONIC, "tonic, h2c (plaintext)"),
    Contender {
        needs: Some(("nats-server", "apt-get install nats-server")),
        ..contender(NATS, "NATS request/reply (plaintext)")
    },
    contender(OURS, "o, TCP and Noise"),
    contender(OURS_TLS, "o, TCP and TLS"),
    contender("o-quic", "o, QUIC"),
    contender("o-unix", "o, Unix socket, Noise"),
    contender(OURS_LOCAL, "o, Unix socket, plaintext"),
];

/// What readers call it.
pub(super) fn label(kind: &str) -> &str {
    ALL.iter()
        .find(|contender| contender.kind == kind)
        .map_or(kind, |contender| contender.label)
}
