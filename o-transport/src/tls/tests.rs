//! Our TLS against libp2p's, and against peers whose certificates prove nothing.

mod stream;

use std::{future::Future, time::Duration};

use futures::io::{AsyncReadExt, AsyncWriteExt};
use libp2p::{
    core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
    tls,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, date_time_ymd};
use tokio::io::DuplexStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::*;

const DEADLINE: Duration = Duration::from_secs(30);

/// The extension that carries the peer's key.
const EXTENSION: [u64; 9] = [1, 3, 6, 1, 4, 1, 53594, 1, 1];

fn pipe() -> (Compat<DuplexStream>, Compat<DuplexStream>) {
    let (one, two) = tokio::io::duplex(64 << 10);
    (one.compat(), two.compat())
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.unwrap()
}

fn keys(seed: &str) -> Keypair {
    Keypair::from_seed(seed)
}

fn id(keys: &Keypair) -> PeerId {
    keys.libp2p().public().to_peer_id()
}

fn ours(seed: &str) -> Tls {
    Tls::new(&keys(seed)).unwrap()
}

/// Sends a word each way.
async fn talk<A, B>(mut one: A, mut two: B)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut word = [0; 5];
    one.write_all(b"hello").await.unwrap();
    one.flush().await.unwrap();
    two.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"hello");
    two.write_all(b"there").await.unwrap();
    two.flush().await.unwrap();
    one.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"there");
    // An orderly end is seen as one.
    one.close().await.unwrap();
    assert_eq!(two.read(&mut word).await.unwrap(), 0);
}

#[tokio::test]
async fn both_ends_prove_who_they_are_with_the_fastest_cipher() {
    let (dialer, listener) = pipe();
    let (a, b) = (ours("a"), ours("b"));
    let (dialed, accepted) =
        in_time(async { futures::join!(dial(a.client, dialer), accept(b.server, listener)) }).await;
    let ((callee, dialed), (caller, accepted)) = (dialed.unwrap(), accepted.unwrap());
    assert_eq!((caller, callee), (id(&keys("a")), id(&keys("b"))));
    for stream in [&dialed, &accepted] {
        let suite = stream.session().negotiated_cipher_suite().unwrap();
        assert_eq!(suite, suites(has_aes())[0]);
        assert_eq!(stream.session().alpn_protocol(), Some(ALPN));
    }
    in_time(talk(dialed, accepted)).await;
}

#[test]
fn aes_comes_first_where_the_processor_has_it() {
    let first = |aes| suites(aes)[0].suite();
    assert_eq!(first(true), rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    assert_eq!(
        first(false),
        rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
    );
    // Whatever comes first, peers that have only one of them are understood.
    assert_eq!(suites(true).len(), 3);
}

#[tokio::test]
async fn libp2p_dials_us() {
    let (dialer, listener) = pipe();
    let theirs = tls::Config::new(keys("a").libp2p()).unwrap();
    let (dialed, accepted) = in_time(async {
        futures::join!(
            theirs.upgrade_outbound(dialer, PROTOCOL),
            accept(ours("b").server, listener)
        )
    })
    .await;
    let ((callee, dialed), (caller, accepted)) = (dialed.unwrap(), accepted.unwrap());
    assert_eq!((caller, callee), (id(&keys("a")), id(&keys("b"))));
    in_time(talk(dialed, accepted)).await;
}

#[tokio::test]
async fn we_dial_libp2p() {
    let (dialer, listener) = pipe();
    let theirs = tls::Config::new(keys("b").libp2p()).unwrap();
    let (dialed, accepted) = in_time(async {
        futures::join!(
            dial(ours("a").client, dialer),
            theirs.upgrade_inbound(listener, PROTOCOL)
        )
    })
    .await;
    let ((callee, dialed), (caller, accepted)) = (dialed.unwrap(), accepted.unwrap());
    assert_eq!((caller, callee), (id(&keys("a")), id(&keys("b"))));
    in_time(talk(dialed, accepted)).await;
}

/// A certificate that is as it should be, and its key.
struct Forged {
    params: CertificateParams,
    key: KeyPair,
}

impl Forged {
    fn new(host: &Keypair) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions = vec![extension(host, &key)];
        Self { params, key }
    }

    fn make(self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let certificate = self.params.self_signed(&self.key).unwrap();
        (certificate.into(), key)
    }
}

/// What a host's key says about a certificate's.
fn extension(host: &Keypair, key: &KeyPair) -> CustomExtension {
    let mut message = b"libp2p-tls-handshake:".to_vec();
    message.extend(key.public_key_der());
    let parts = [
        host.libp2p().public().encode_protobuf(),
        host.libp2p().sign(&message).unwrap(),
    ];
    // Two strings of bytes in a sequence, each shorter than 128.
    let strings: Vec<u8> = parts
        .iter()
        .flat_map(|part| [&[4, part.len() as u8][..], part].concat())
        .collect();
    let content = [&[0x30, strings.len() as u8][..], &strings].concat();
    let mut extension = CustomExtension::from_oid_content(&EXTENSION, content);
    extension.set_criticality(true);
    extension
}

/// Handshakes of whoever has this chain with us, in both roles: what we say to each.
async fn meet(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> [io::Result<PeerId>; 2] {
    let them = Tls::with_chain(chain, key).unwrap();
    let us = ours("us");
    let (dialer, listener) = pipe();
    let (_, accepted) =
        in_time(async { futures::join!(dial(them.client, dialer), accept(us.server, listener)) })
            .await;
    let (dialer, listener) = pipe();
    let (dialed, _) =
        in_time(async { futures::join!(dial(us.client, dialer), accept(them.server, listener)) })
            .await;
    [accepted.map(|(peer, _)| peer), dialed.map(|(peer, _)| peer)]
}

async fn refused(what: &str, forged: Forged) {
    let (certificate, key) = forged.make();
    for met in meet(vec![certificate], key).await {
        let error = met.expect_err(what);
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}: {error}");
    }
}

#[tokio::test]
async fn a_certificate_as_it_should_be_is_taken() {
    let host = keys("them");
    let (certificate, key) = Forged::new(&host).make();
    for met in meet(vec![certificate], key).await {
        assert_eq!(met.unwrap(), id(&host));
    }
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_is_refused() {
    let host = keys("them");
    let forged = || Forged::new(&host);

    let mut none = forged();
    none.params.custom_extensions.clear();
    refused("no key of a peer", none).await;

    let mut stolen = forged();
    stolen.params.custom_extensions = vec![extension(&host, &KeyPair::generate().unwrap())];
    refused("a peer's word about another certificate", stolen).await;

    let mut garbage = forged();
    garbage.params.custom_extensions = vec![CustomExtension::from_oid_content(
        &EXTENSION,
        vec![0x30, 3, 4, 9, 9],
    )];
    refused("an extension that cannot be read", garbage).await;

    let mut twice = forged();
    let again = extension(&keys("another"), &twice.key);
    twice.params.custom_extensions.push(again);
    refused("two peers at once", twice).await;

    let mut critical = forged();
    let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    unknown.set_criticality(true);
    critical.params.custom_extensions.push(unknown);
    refused("a critical extension that nobody knows", critical).await;

    let mut expired = forged();
    expired.params.not_after = date_time_ymd(2001, 1, 1);
    refused("an expired one", expired).await;

    let mut early = forged();
    early.params.not_before = date_time_ymd(3001, 1, 1);
    refused("one of the future", early).await;

    let mut other = forged();
    let issuer = Forged::new(&host);
    let signer = issuer.params.clone().self_signed(&issuer.key).unwrap();
    other.params.custom_extensions = vec![extension(&host, &other.key)];
    let signed = other
        .params
        .signed_by(&other.key, &signer, &issuer.key)
        .unwrap();
    let key = PrivateKeyDer::try_from(other.key.serialize_der()).unwrap();
    for met in meet(vec![signed.into()], key).await {
        met.expect_err("one that another key signed");
    }
}

#[tokio::test]
async fn an_unknown_extension_that_is_not_critical_is_ignored() {
    let host = keys("them");
    let mut forged = Forged::new(&host);
    let unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    forged.params.custom_extensions.push(unknown);
    let (certificate, key) = forged.make();
    for met in meet(vec![certificate], key).await {
        assert_eq!(met.unwrap(), id(&host));
    }
}

#[tokio::test]
async fn a_chain_of_two_is_refused() {
    let (certificate, key) = Forged::new(&keys("them")).make();
    for met in meet(vec![certificate.clone(), certificate], key).await {
        met.expect_err("a chain of two");
    }
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_is_refused() {
    let (certificate, _) = Forged::new(&keys("them")).make();
    let (_, key) = Forged::new(&keys("them")).make();
    for met in meet(vec![certificate], key).await {
        met.expect_err("somebody else's certificate");
    }
}

#[tokio::test]
async fn who_shows_no_certificate_is_refused() {
    let config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier))
        .with_no_client_auth();
    let (dialer, listener) = pipe();
    let (_, accepted) = in_time(async {
        futures::join!(
            dial(Arc::new(config), dialer),
            accept(ours("us").server, listener)
        )
    })
    .await;
    accepted.expect_err("no certificate");
}

#[tokio::test]
async fn another_protocol_in_the_handshake_is_refused() {
    let mut client = ClientConfig::clone(&ours("them").client);
    client.alpn_protocols = vec![b"h2".to_vec()];
    let (dialer, listener) = pipe();
    let (_, accepted) = in_time(async {
        futures::join!(
            dial(Arc::new(client), dialer),
            accept(ours("us").server, listener)
        )
    })
    .await;
    accepted.expect_err("HTTP");
}

#[tokio::test]
async fn what_is_no_handshake_is_refused() {
    let (mut peer, ours_end) = pipe();
    let talking = async {
        peer.write_all(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")
            .await
            .unwrap();
        // What comes back is an alert or an end.
        let _ = peer.read_to_end(&mut Vec::new()).await;
    };
    let accepting = async {
        accept(ours("us").server, ours_end)
            .await
            .map(|(peer, _)| peer)
    };
    let (_, accepted) = in_time(async { futures::join!(talking, accepting) }).await;
    accepted.expect_err("no handshake");
}
