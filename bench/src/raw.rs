//! Frames over TCP, and over TLS 1.3 with AES-128-GCM and a self-signed certificate.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
        version::TLS13,
    },
};

use crate::{
    contender::{Client, Op},
    mux::{self, Mux},
};

const NAME: &str = "localhost";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
        ..ring::default_provider()
    })
}

/// Serves either; the address of TLS carries the certificate.
pub(crate) async fn serve(encrypted: bool) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    if !encrypted {
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (reader, writer) = stream.into_split();
                tokio::spawn(mux::answer(reader, writer, mux::READ));
            }
        });
        return Ok(address.to_string());
    }
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()])?;
    let key = PrivateKeyDer::try_from(made.key_pair.serialize_der()).map_err(anyhow::Error::msg)?;
    let certificate = made.cert.der().clone();
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await?;
                let (reader, writer) = tokio::io::split(stream);
                mux::answer(reader, writer, mux::READ).await
            });
        }
    });
    Ok(format!("{address}#{}", hex(&certificate)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> anyhow::Result<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| Ok(u8::from_str_radix(str::from_utf8(pair)?, 16)?))
        .collect()
}

/// Over TCP.
#[derive(Clone, Debug)]
pub(crate) struct Tcp(Mux);

impl Client for Tcp {
    type Prepared = ();

    async fn prepare() -> anyhow::Result<()> {
        Ok(())
    }

    async fn connect((): (), address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self(Mux::start(reader, writer, mux::READ)))
    }

    async fn call(&self, op: Op, body: Bytes) -> anyhow::Result<Bytes> {
        self.0.call(op, body).await
    }

    async fn close(self) {
        self.0.close();
    }
}

/// Over TLS.
#[derive(Clone, Debug)]
pub(crate) struct Tls(Mux);

impl Client for Tls {
    type Prepared = ();

    async fn prepare() -> anyhow::Result<()> {
        Ok(())
    }

    async fn connect((): (), address: &str) -> anyhow::Result<Self> {
        let (address, certificate) = address.split_once('#').context("no certificate")?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(unhex(certificate)?))?;
        // A configuration of its own each time: no session is resumed.
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector
            .connect(ServerName::try_from(NAME)?, stream)
            .await?;
        let (reader, writer) = tokio::io::split(stream);
        Ok(Self(Mux::start(reader, writer, mux::READ)))
    }

    async fn call(&self, op: Op, body: Bytes) -> anyhow::Result<Bytes> {
        self.0.call(op, body).await
    }

    async fn close(self) {
        self.0.close();
    }
}
