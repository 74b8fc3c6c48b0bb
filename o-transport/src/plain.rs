//! The handshake `/o-plain/1`: both ends prove their keys, and what follows is not encrypted.
//!
//! Only over Unix sockets, between processes of one user that both want it; see
//! `docs/wire.md` and decision 11.

mod message;
mod stream;
#[cfg(test)]
mod tests;

use std::io;

use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use libp2p::{PeerId, identity};
use o_core::BoxError;

use self::{
    message::{Hello, Role, SIGNATURE_LEN, Transcript},
    stream::PlainStream,
};
use crate::{
    Keypair, PlaintextPeers, from_peer_id,
    security::{Chosen, Handshake, Handshaking, RawStream},
};

/// Its name in the negotiation.
pub(crate) const PROTOCOL: &str = "/o-plain/1";

/// Why the other end is not who it says.
#[derive(Debug, thiserror::Error)]
enum PlainError {
    #[error("the key is no Ed25519 key")]
    BadKey(#[source] BoxError),
    #[error("the nonce is our own")]
    Reflected,
    #[error("the signature does not prove the key")]
    BadSignature,
}

impl From<PlainError> for io::Error {
    fn from(error: PlainError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// The handshake of one node.
pub(crate) struct Plain {
    keys: Keypair,
    peers: PlaintextPeers,
}

impl Plain {
    pub(crate) fn new(keys: &Keypair, peers: &PlaintextPeers) -> Self {
        Self {
            keys: keys.clone(),
            peers: peers.clone(),
        }
    }

    fn start(&self, stream: Chosen, role: Role) -> Handshaking {
        let (keys, peers) = (self.keys.libp2p().clone(), self.peers.clone());
        async move {
            let mut stream = stream;
            let nonce = message::nonce()?;
            let peer = prove(&mut stream, &keys, nonce, role).await?;
            let mark = peers.mark(from_peer_id(&peer).map_err(io::Error::other)?);
            let stream = PlainStream::new(stream, mark);
            Ok((peer, Box::pin(stream) as RawStream))
        }
        .boxed()
    }
}

impl Handshake for Plain {
    fn protocol(&self) -> &'static str {
        PROTOCOL
    }

    fn accept(&self, stream: Chosen) -> Handshaking {
        self.start(stream, Role::Listener)
    }

    fn dial(&self, stream: Chosen) -> Handshaking {
        self.start(stream, Role::Dialer)
    }
}

/// Proves our key to the other end, and says whose key it has proved. Reads 128 bytes and no more.
async fn prove<S>(
    stream: &mut S,
    keys: &identity::Keypair,
    nonce: [u8; message::NONCE_LEN],
    role: Role,
) -> io::Result<PeerId>
where
    S: futures::AsyncRead + futures::AsyncWrite + Unpin,
{
    let ours = Hello::new(nonce, keys)?;
    let mut theirs = [0; Hello::LEN];
    let mut proof = [0; SIGNATURE_LEN];
    if role == Role::Dialer {
        stream.write_all(&ours.to_bytes()).await?;
        stream.flush().await?;
    }
    stream.read_exact(&mut theirs).await?;
    let theirs = Hello::from_bytes(&theirs);
    if theirs.nonce == ours.nonce {
        return Err(PlainError::Reflected.into());
    }
    let key = theirs.public_key()?;
    let transcript = match role {
        Role::Dialer => Transcript::new(&ours, &theirs),
        Role::Listener => Transcript::new(&theirs, &ours),
    };
    let signature = keys.sign(&transcript.to_sign(role));
    let signature = signature.map_err(io::Error::other)?;
    if role == Role::Listener {
        stream.write_all(&ours.to_bytes()).await?;
        stream.write_all(&signature).await?;
        stream.flush().await?;
    }
    stream.read_exact(&mut proof).await?;
    if !key.verify(&transcript.to_sign(role.other()), &proof) {
        return Err(PlainError::BadSignature.into());
    }
    if role == Role::Dialer {
        stream.write_all(&signature).await?;
        stream.flush().await?;
    }
    Ok(identity::PublicKey::from(key).to_peer_id())
}
