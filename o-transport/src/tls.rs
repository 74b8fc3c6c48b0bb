//! The TLS 1.3 handshake, with certificates that carry the peer's key.
//!
//! What libp2p's own TLS does, byte for byte on the wire, with two differences that bulk needs: the
//! cipher that this processor is fastest at is asked for first, and records are filled before they
//! are sealed.

mod stream;
#[cfg(test)]
mod tests;
mod verify;

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use futures::{
    FutureExt, TryFutureExt,
    io::{AsyncRead, AsyncWrite},
};
use futures_rustls::{TlsAcceptor, TlsConnector};
use libp2p::{
    PeerId,
    tls::certificate::{self, GenError},
};
use rustls::{
    ClientConfig, CommonState, ServerConfig, SupportedCipherSuite,
    client::{ResolvesClientCert, Resumption},
    crypto::{
        CryptoProvider,
        ring::{self, cipher_suite},
    },
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::{NoServerSessionStorage, ResolvesServerCert},
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};

use self::{stream::TlsStream, verify::Verifier};
use crate::{
    BuildError, Keypair,
    security::{Chosen, Handshake, Handshaking, RawStream},
};

const PROTOCOL: &str = "/tls/1.0.0";

/// What every libp2p peer names in the handshake.
const ALPN: &[u8] = b"libp2p";

pub(crate) fn build(keys: &Keypair) -> Result<Box<dyn Handshake>, BuildError> {
    let tls = Tls::new(keys).map_err(|source| BuildError::Setup {
        part: "tls",
        source: source.into(),
    })?;
    Ok(Box::new(tls))
}

/// Why this node's half of the handshake cannot be made.
#[derive(Debug, thiserror::Error)]
enum SetupError {
    #[error("no certificate could be made")]
    Certificate(#[from] GenError),
    #[error("its parts do not go together")]
    Rustls(#[from] rustls::Error),
}

/// Both ends of the handshake, for any number of connections.
#[derive(Debug)]
struct Tls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Tls {
    fn new(keys: &Keypair) -> Result<Self, SetupError> {
        let (certificate, key) = certificate::generate(keys.libp2p())?;
        Self::with_chain(vec![certificate], key)
    }

    fn with_chain(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, SetupError> {
        let provider = Arc::new(provider());
        let key = provider.key_provider.load_private_key(key)?;
        let own = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
        Ok(Self {
            server: Arc::new(server(provider.clone(), own.clone())?),
            client: Arc::new(client(provider, own)?),
        })
    }
}

fn server(
    provider: Arc<CryptoProvider>,
    own: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, rustls::Error> {
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(Verifier))
        .with_cert_resolver(own);
    server.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would prove nothing anew, and connections live long.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(server)
}

fn client(
    provider: Arc<CryptoProvider>,
    own: Arc<dyn ResolvesClientCert>,
) -> Result<ClientConfig, rustls::Error> {
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier))
        .with_client_cert_resolver(own);
    client.alpn_protocols = vec![ALPN.to_vec()];
    client.resumption = Resumption::disabled();
    Ok(client)
}

/// ring: twice as fast at AES as aws-lc on processors with VAES and without AVX-512, and its first
/// random number does not take a tenth of a second of processor time.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: suites(has_aes()).to_vec(),
        ..ring::default_provider()
    }
}

/// The three ciphers of TLS 1.3. The dialing end's first one is taken.
fn suites(aes: bool) -> [SupportedCipherSuite; 3] {
    let (small, large, soft) = (
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    );
    if aes {
        [small, large, soft]
    } else {
        [soft, small, large]
    }
}

/// Whether this processor has instructions for AES; without them ChaCha20 is several times faster.
fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        std::arch::is_x86_feature_detected!("aes")
            && std::arch::is_x86_feature_detected!("pclmulqdq")
    }
    #[cfg(target_arch = "aarch64")]
    {
        std::arch::is_aarch64_feature_detected!("aes")
    }
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    {
        false
    }
}

impl Handshake for Tls {
    fn protocol(&self) -> &'static str {
        PROTOCOL
    }

    fn accept(&self, stream: Chosen) -> Handshaking {
        accept(self.server.clone(), stream)
            .map_ok(|(peer, stream)| (peer, Box::pin(stream) as RawStream))
            .boxed()
    }

    fn dial(&self, stream: Chosen) -> Handshaking {
        dial(self.client.clone(), stream)
            .map_ok(|(peer, stream)| (peer, Box::pin(stream) as RawStream))
            .boxed()
    }
}

async fn accept<C>(config: Arc<ServerConfig>, stream: C) -> io::Result<(PeerId, TlsStream<C>)>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let (stream, session) = stream.into_inner();
    Ok((peer(&session)?, TlsStream::new(stream, session.into())))
}

async fn dial<C>(config: Arc<ClientConfig>, stream: C) -> io::Result<(PeerId, TlsStream<C>)>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    // An IP address is not sent: libp2p's specification has no server name.
    let nobody = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into());
    let stream = TlsConnector::from(config).connect(nobody, stream).await?;
    let (stream, session) = stream.into_inner();
    Ok((peer(&session)?, TlsStream::new(stream, session.into())))
}

/// Who the other end has proved to be.
fn peer(session: &CommonState) -> io::Result<PeerId> {
    match session.peer_certificates() {
        Some([certificate]) => verify::peer(certificate).map_err(io::Error::other),
        // The verifier lets nothing else through.
        _ => Err(io::Error::other("not exactly one certificate")),
    }
}
