//! QUIC, which brings its own handshake and substreams.

use std::{io, time::Duration};

use libp2p::{
    core::{Transport, muxing::StreamMuxerBox},
    quic,
};

use crate::{BoxedTransport, BuildError, Keypair, TransportConfig};

pub(crate) fn build(
    config: &TransportConfig,
    keys: &Keypair,
) -> Result<BoxedTransport, BuildError> {
    let mut quic = quic::Config::new(keys.libp2p());
    quic.handshake_timeout = config.connect_timeout;
    quic.max_idle_timeout = milliseconds(config.quic.idle_timeout)?;
    quic.keep_alive_interval = config.quic.keep_alive;
    quic.max_concurrent_stream_limit = config.quic.max_streams;
    quic.max_stream_data = config.quic.stream_window;
    quic.max_connection_data = config.quic.connection_window;
    Ok(quic::tokio::Transport::new(quic)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
        .map_err(cause)
        .boxed())
}

fn milliseconds(time: Duration) -> Result<u32, BuildError> {
    u32::try_from(time.as_millis()).map_err(|_| BuildError::Invalid {
        field: "quic.idle_timeout",
        reason: format!("{time:?} is too long"),
    })
}

/// The system's own error where there is one: libp2p's would pass it over as a source.
fn cause(error: quic::Error) -> io::Error {
    match error {
        quic::Error::Io(error) => error,
        error => io::Error::other(error),
    }
}
