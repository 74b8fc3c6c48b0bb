//! The bytes that are signed, and what a hostile other end may try.

use std::{pin::Pin, time::Duration};

use futures::{AsyncRead, AsyncWrite, future::join, io::Cursor};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::*;

type End = Compat<tokio::io::DuplexStream>;

fn pair() -> (End, End) {
    let (near, far) = tokio::io::duplex(4096);
    (near.compat(), far.compat())
}

fn keys(seed: &str) -> identity::Keypair {
    Keypair::from_seed(seed).libp2p().clone()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an end of this role makes of a hostile other end; it must come to an end.
async fn refused<F: Future>(role: Role, other: impl FnOnce(End) -> F) -> String {
    let (mut near, far) = pair();
    let keys = keys("honest");
    let honest = async {
        let proved = prove(&mut near, &keys, [1; 32], role).await;
        drop(near);
        proved
    };
    let both = join(honest, other(far));
    let (proved, _) = tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .unwrap();
    crate::flatten_error(&proved.unwrap_err())
}

#[tokio::test]
async fn both_ends_learn_whom_they_talk_to() {
    let (mut near, mut far) = pair();
    let (a, b) = (keys("a"), keys("b"));
    let dialing = prove(&mut near, &a, [1; 32], Role::Dialer);
    let listening = prove(&mut far, &b, [2; 32], Role::Listener);
    let (dialed, listened) = join(dialing, listening).await;
    assert_eq!(dialed.unwrap(), b.public().to_peer_id());
    assert_eq!(listened.unwrap(), a.public().to_peer_id());
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    let golden = include_str!("../../testdata/plain.txt");
    let (a, b) = (keys("a"), keys("b"));
    let dialer = Hello::new([0x11; 32], &a).unwrap();
    let listener = Hello::new([0x22; 32], &b).unwrap();
    let transcript = Transcript::new(&dialer, &listener);
    let lines = [
        hex(&dialer.to_bytes()),
        hex(&listener.to_bytes()),
        hex(&transcript.to_sign(Role::Listener)),
        hex(&b.sign(&transcript.to_sign(Role::Listener)).unwrap()),
        hex(&a.sign(&transcript.to_sign(Role::Dialer)).unwrap()),
    ];
    let written: Vec<_> = golden
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(written, lines, "{}", lines.join("\n"));
}

/// Listens as `keys`, with a signature of what `signed` makes of the two greetings.
async fn listen_signing(
    mut stream: End,
    keys: &identity::Keypair,
    signed: impl FnOnce(&Hello, &Hello) -> Vec<u8>,
) {
    let mut bytes = [0; Hello::LEN];
    stream.read_exact(&mut bytes).await.unwrap();
    let (theirs, ours) = (
        Hello::from_bytes(&bytes),
        Hello::new([9; 32], keys).unwrap(),
    );
    let signature = keys.sign(&signed(&theirs, &ours)).unwrap();
    stream.write_all(&ours.to_bytes()).await.unwrap();
    stream.write_all(&signature).await.unwrap();
}

#[tokio::test]
async fn a_replayed_signature_proves_nothing() {
    let other = keys("other");
    let error = refused(Role::Dialer, |far| {
        // As in an earlier connection, in which the nonces were others.
        listen_signing(far, &other, |theirs, ours| {
            let earlier = Hello {
                nonce: [7; 32],
                ..*theirs
            };
            Transcript::new(&earlier, ours).to_sign(Role::Listener)
        })
    })
    .await;
    assert!(error.contains("signature"), "{error}");
}

#[tokio::test]
async fn a_signature_of_the_other_role_proves_nothing() {
    let other = keys("other");
    let error = refused(Role::Dialer, |far| {
        listen_signing(far, &other, |theirs, ours| {
            Transcript::new(theirs, ours).to_sign(Role::Dialer)
        })
    })
    .await;
    assert!(error.contains("signature"), "{error}");
}

#[tokio::test]
async fn the_key_of_somebody_else_cannot_be_claimed() {
    let (victim, other) = (keys("victim"), keys("other"));
    let error = refused(Role::Dialer, |mut far| async move {
        let mut bytes = [0; Hello::LEN];
        far.read_exact(&mut bytes).await.unwrap();
        let theirs = Hello::from_bytes(&bytes);
        let claimed = Hello::new([9; 32], &victim).unwrap();
        let signed = Transcript::new(&theirs, &claimed).to_sign(Role::Listener);
        far.write_all(&claimed.to_bytes()).await.unwrap();
        far.write_all(&other.sign(&signed).unwrap()).await.unwrap();
    })
    .await;
    assert!(error.contains("signature"), "{error}");
}

#[tokio::test]
async fn bytes_that_come_back_are_refused_in_both_roles() {
    let error = refused(Role::Dialer, |mut far| async move {
        let mut bytes = [0; Hello::LEN];
        far.read_exact(&mut bytes).await.unwrap();
        far.write_all(&bytes).await.unwrap();
    })
    .await;
    assert!(error.contains("our own"), "{error}");
    // A listener that is sent its own signature, for its own key.
    let honest = keys("honest");
    let error = refused(Role::Listener, |mut far| async move {
        let claimed = Hello::new([9; 32], &honest).unwrap();
        far.write_all(&claimed.to_bytes()).await.unwrap();
        let mut answer = [0; Hello::LEN + SIGNATURE_LEN];
        far.read_exact(&mut answer).await.unwrap();
        far.write_all(&answer[Hello::LEN..]).await.unwrap();
    })
    .await;
    assert!(error.contains("signature"), "{error}");
}

#[tokio::test]
async fn a_key_that_is_none_and_bytes_too_many_or_too_few_are_refused() {
    let error = refused(Role::Listener, |mut far| async move {
        // No point of the curve has these coordinates.
        let mut hello = [9; Hello::LEN];
        hello[32..].fill(0);
        hello[32] = 2;
        far.write_all(&hello).await.unwrap();
    })
    .await;
    assert!(error.contains("no Ed25519 key"), "{error}");
    let error = refused(Role::Listener, |mut far| async move {
        // What is over stands where the signature should.
        let hello = Hello::new([9; 32], &keys("other")).unwrap().to_bytes();
        far.write_all(&hello).await.unwrap();
        far.write_all(&[0x55; 2048]).await.unwrap();
        far.read_exact(&mut [0; 128]).await.unwrap();
    })
    .await;
    assert!(error.contains("signature"), "{error}");
    let error = refused(Role::Listener, |mut far| async move {
        far.write_all(&[9; 63]).await.unwrap();
    })
    .await;
    assert!(error.contains("end of file"), "{error}");
}

/// Takes and gives a few bytes at a time.
struct Slow {
    written: Vec<u8>,
    read: Cursor<Vec<u8>>,
    calls: usize,
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        self.calls += 1;
        let count = buf.len().min(5000);
        self.written.extend_from_slice(&buf[..count]);
        std::task::Poll::Ready(Ok(count))
    }

    fn poll_flush(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_close(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut [u8],
    ) -> std::task::Poll<io::Result<usize>> {
        self.calls += 1;
        let count = buf.len().min(5000);
        Pin::new(&mut self.read).poll_read(cx, &mut buf[..count])
    }
}

#[tokio::test]
async fn pieces_of_all_sizes_arrive_in_order() {
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let peer = Keypair::from_seed("peer").peer_id();
    let slow = Slow {
        written: Vec::new(),
        read: Cursor::new(bytes.clone()),
        calls: 0,
    };
    let mut stream = PlainStream::new(slow, PlaintextPeers::default().mark(peer));
    let sizes = [1, 12, 100, 8180, 12, 8192, 12, 20_000, 3000, 3000, 3000];
    let mut rest = bytes.as_slice();
    let mut back = Vec::new();
    for size in sizes.iter().cycle() {
        let (piece, others) = rest.split_at((*size).min(rest.len()));
        stream.write_all(piece).await.unwrap();
        let mut read = vec![0; piece.len()];
        stream.read_exact(&mut read).await.unwrap();
        back.extend(read);
        rest = others;
        if rest.is_empty() {
            break;
        }
    }
    stream.flush().await.unwrap();
    assert_eq!(back, bytes);
    assert_eq!(stream.into_inner().written, bytes);
}

#[tokio::test]
async fn small_pieces_cost_one_call_together() {
    let slow = Slow {
        written: Vec::new(),
        read: Cursor::new(vec![3; 4000]),
        calls: 0,
    };
    let peer = Keypair::from_seed("peer").peer_id();
    let mut stream = PlainStream::new(slow, PlaintextPeers::default().mark(peer));
    for _ in 0..40 {
        stream.write_all(&[1; 100]).await.unwrap();
        stream.read_exact(&mut [0; 100]).await.unwrap();
    }
    stream.flush().await.unwrap();
    assert_eq!(stream.into_inner().calls, 2);
}
