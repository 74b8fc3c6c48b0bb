//! Connections that prove nothing and hide nothing: cryptography would be most of what is measured.

use std::{io, iter};

use futures::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, FutureExt as _, future::BoxFuture,
};
use libp2p::{
    PeerId,
    core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
};

/// Length of the peer id of an Ed25519 key.
const ID_BYTES: usize = 38;

/// Each side says who it is and is believed. Holds the local peer.
#[derive(Clone, Debug)]
pub(super) struct Plain(pub(super) PeerId);

impl Plain {
    async fn greet<S>(self, mut stream: S) -> io::Result<(PeerId, S)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        stream.write_all(&self.0.to_bytes()).await?;
        stream.flush().await?;
        let mut remote = [0; ID_BYTES];
        stream.read_exact(&mut remote).await?;
        let remote = PeerId::from_bytes(&remote).map_err(io::Error::other)?;
        Ok((remote, stream))
    }
}

impl UpgradeInfo for Plain {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/o-lab/plain")
    }
}

impl<S> InboundConnectionUpgrade<S> for Plain
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = (PeerId, S);
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Output>>;

    fn upgrade_inbound(self, stream: S, _: Self::Info) -> Self::Future {
        self.greet(stream).boxed()
    }
}

impl<S> OutboundConnectionUpgrade<S> for Plain
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = (PeerId, S);
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Output>>;

    fn upgrade_outbound(self, stream: S, _: Self::Info) -> Self::Future {
        self.greet(stream).boxed()
    }
}
