//! Who is measured, and what each has to be able to do.

use std::future::Future;

use bytes::Bytes;
use clap::ValueEnum;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Frames with ids over TCP.
    RawTcp,
    /// The same over TLS 1.3 with AES-128-GCM.
    RawTls,
    /// libp2p's request-response with CBOR, over TCP and Noise.
    Libp2pRr,
    /// Frames with ids on one libp2p substream, over TCP and Noise.
    Libp2pStream,
    /// Unary gRPC over cleartext HTTP/2.
    Tonic,
    /// Request and reply through a NATS server.
    Nats,
    /// Our node over TCP and Noise.
    O,
    /// Our node over QUIC.
    OQuic,
    /// Our node over TCP and TLS.
    OTls,
    /// Our node over a Unix socket and Noise.
    OUnix,
    /// Our node over a Unix socket, in plaintext.
    OUnixPlain,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// The same bytes back.
    Echo,
    /// No bytes back.
    Sink,
    /// As `Echo`, and others may go first where the contender has priorities.
    PatientEcho,
}

impl Op {
    /// What the method is called where methods have names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo | Self::PatientEcho => "echo",
            Self::Sink => "sink",
        }
    }

    /// What the callee answers.
    pub(crate) fn answer(self, body: Bytes) -> Bytes {
        match self {
            Self::Echo | Self::PatientEcho => body,
            Self::Sink => Bytes::new(),
        }
    }
}

/// One connection to a server. Clones share it.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// What a program has before it connects: keys, configuration, a node.
    type Prepared: Send;

    /// Makes what is not part of connecting.
    fn prepare() -> impl Future<Output = anyhow::Result<Self::Prepared>> + Send;

    /// Connects to what `serve` printed.
    fn connect(
        prepared: Self::Prepared,
        address: &str,
    ) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// Makes a call.
    fn call(&self, op: Op, body: Bytes) -> impl Future<Output = anyhow::Result<Bytes>> + Send;

    /// Opens a stream that never ends and is never read, until what is returned is dropped; `None` where that was not built.
    fn stall(&self) -> impl Future<Output = anyhow::Result<Option<Stalled>>> + Send {
        async { Ok(None) }
    }

    /// Closes the connection.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// A stream that nobody reads.
pub(crate) type Stalled = Box<dyn Send + Sync>;
