//! Unix sockets: connections within this machine, encrypted unless both ends want otherwise.

mod file;
pub(crate) mod path;
pub(crate) mod socket;
mod sockets;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

use futures::future::BoxFuture;
use libp2p::core::{
    Endpoint, Transport,
    connection::ConnectedPoint,
    muxing::StreamMuxerBox,
    transport::timeout::TransportTimeout,
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
};
use multistream_select::{Version, dialer_select_proto, listener_select_proto};

use self::{socket::Socket, sockets::Sockets};
use crate::{
    BoxedTransport, BuildError, Keypair, PlaintextPeers, ProvedMuxer, TransportConfig, YamuxConfig,
    muxer::Yamux,
    plain::Plain,
    security::{RawStream, Selector},
};

/// Whether the process at the other end may be trusted with plaintext.
type Trust = fn(&Socket) -> bool;

pub(crate) fn build(
    config: &TransportConfig,
    keys: &Keypair,
    plaintext: &PlaintextPeers,
) -> Result<BoxedTransport, BuildError> {
    build_trusting(config, keys, plaintext, Socket::is_same_user)
}

pub(crate) fn build_trusting(
    config: &TransportConfig,
    keys: &Keypair,
    plaintext: &PlaintextPeers,
    trust: Trust,
) -> Result<BoxedTransport, BuildError> {
    config.validate()?;
    let encrypted = Selector::new(&config.security, keys)?;
    let trusted = match config.unix.plaintext {
        true => encrypted.after(Arc::new(Plain::new(keys, plaintext))),
        false => encrypted.clone(),
    };
    let upgrade = Arc::new(Upgrade {
        encrypted,
        trusted,
        trust,
        muxer: Yamux::new(&muxer(config)),
    });
    let sockets =
        Sockets::default().and_then(move |socket, endpoint| upgrade.clone().run(socket, endpoint));
    Ok(TransportTimeout::new(sockets, config.connect_timeout).boxed())
}

/// A longer frame costs nobody else much time here, and less of ours.
fn muxer(config: &TransportConfig) -> YamuxConfig {
    let mut yamux = config.yamux.clone();
    yamux.split_send_size = yamux.split_send_size.max(64 << 10);
    yamux
}

/// What is agreed on over a connection. Not libp2p's own upgrade: who may have plaintext is decided
/// for each connection, before a handshake is offered.
struct Upgrade {
    encrypted: Selector,
    trusted: Selector,
    trust: Trust,
    muxer: Yamux,
}

impl Upgrade {
    fn run(
        self: Arc<Self>,
        socket: Socket,
        endpoint: ConnectedPoint,
    ) -> BoxFuture<'static, io::Result<ProvedMuxer>> {
        Box::pin(async move {
            let selector = match (self.trust)(&socket) {
                true => self.trusted.clone(),
                false => self.encrypted.clone(),
            };
            let socket = Box::pin(socket) as RawStream;
            let (muxers, yamux) = (self.muxer.protocol_info(), self.muxer.clone());
            let (peer, muxer) = match endpoint.to_endpoint() {
                Endpoint::Dialer => {
                    // Lazy: with one handshake to choose from, the choice costs no round trip.
                    let lazy = Version::V1Lazy;
                    let (name, chosen) =
                        dialer_select_proto(socket, selector.protocol_info(), lazy).await?;
                    let (peer, stream) = selector.upgrade_outbound(chosen, name).await?;
                    let (name, chosen) = dialer_select_proto(stream, muxers, lazy).await?;
                    (peer, yamux.upgrade_outbound(chosen, name).await)
                }
                Endpoint::Listener => {
                    let (name, chosen) =
                        listener_select_proto(socket, selector.protocol_info()).await?;
                    let (peer, stream) = selector.upgrade_inbound(chosen, name).await?;
                    let (name, chosen) = listener_select_proto(stream, muxers).await?;
                    (peer, yamux.upgrade_inbound(chosen, name).await)
                }
            };
            let muxer = muxer.map_err(io::Error::other)?;
            Ok((peer, StreamMuxerBox::new(muxer)))
        })
    }
}
