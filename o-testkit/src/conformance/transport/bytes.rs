//! What substreams carry.

use std::time::Duration;

use futures::{
    AsyncReadExt, AsyncWriteExt,
    future::{join_all, try_join},
};
use o_core::{Connection, ConnectionError, Substream};

use super::{Connected, SUITE, TransportEnd, connect};

/// More than any buffer on the way should hold.
const TOO_MUCH: usize = 64 * 1024 * 1024;
const LARGE: usize = 1024 * 1024;
const SUBSTREAMS: u8 = 16;
/// A write that has not ended after this long waits for its reader.
const STUCK: Duration = Duration::from_millis(300);

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ seed).collect()
}

/// Sends a word on a substream that the other side has yet to accept, and gets it back.
pub(super) async fn exchange(
    step: &str,
    mut substream: Substream,
    other: &dyn Connection,
) -> (Substream, Substream) {
    let there = async {
        substream.write_all(b"ping").await?;
        substream.flush().await?;
        let mut answer = [0; 4];
        substream.read_exact(&mut answer).await?;
        SUITE.equal(step, &&answer, &b"pong");
        Ok::<_, std::io::Error>(substream)
    };
    let here = async {
        let mut accepted = SUITE.ok(step, other.accept().await);
        let mut question = [0; 4];
        accepted.read_exact(&mut question).await?;
        SUITE.equal(step, &&question, &b"ping");
        accepted.write_all(b"pong").await?;
        accepted.flush().await?;
        Ok(accepted)
    };
    SUITE.ok_within(step, try_join(there, here)).await
}

/// A substream with both of its ends.
pub(super) async fn substream(step: &str, connected: &Connected) -> (Substream, Substream) {
    let opened = SUITE.ok_within(step, connected.dialed.open()).await;
    exchange(step, opened, &*connected.accepted).await
}

/// Large amounts at the same time in both directions, on a substream that either side opened.
pub(super) async fn both_ways<F: AsyncFn() -> TransportEnd>(make: &F) {
    let connected = connect(make).await;
    let step = "bytes both ways";
    let (one, other) = (&connected.dialed, &connected.accepted);
    let either_side = [(one, other), (other, one)];
    let sides = if connected.dialer.one_substream { 1 } else { 2 };
    for (from, to) in either_side.into_iter().take(sides) {
        let opened = SUITE
            .ok_within("opening from either side", from.open())
            .await;
        let (one, two) = exchange("opening from either side", opened, &**to).await;
        let transfers = try_join(transfer(one, 0x00), transfer(two, 0xff));
        let (at_one, at_two) = SUITE.ok_within(step, transfers).await;
        SUITE.check(
            step,
            at_one == pattern(LARGE, 0xff),
            "other bytes came than were sent",
        );
        SUITE.check(
            step,
            at_two == pattern(LARGE, 0x00),
            "other bytes came than were sent",
        );
    }
}

/// Sends a pattern, and reads as much at the same time.
async fn transfer(substream: Substream, seed: u8) -> std::io::Result<Vec<u8>> {
    let (mut reader, mut writer) = substream.split();
    let send = async {
        writer.write_all(&pattern(LARGE, seed)).await?;
        writer.flush().await?;
        // Held until both are done: dropping it might cut the other direction short.
        Ok::<_, std::io::Error>(writer)
    };
    let receive = async {
        let mut received = vec![0; LARGE];
        reader.read_exact(&mut received).await?;
        Ok(received)
    };
    Ok(try_join(send, receive).await?.1)
}

/// A transport without substreams says so, instead of letting anybody wait.
pub(super) async fn only_substream<F: AsyncFn() -> TransportEnd>(make: &F) {
    let connected = connect(make).await;
    let step = "a second substream where only one is possible";
    let _first = substream(step, &connected).await;
    for connection in [&connected.dialed, &connected.accepted] {
        match SUITE.within(step, connection.open()).await {
            Err(ConnectionError::Busy) => {}
            Err(other) => SUITE.fail(step, &format!("expected `Busy`, found {other:?}")),
            Ok(_) => SUITE.fail(step, "it was opened"),
        }
    }
}

/// Substreams do not mix, and one whose reader sleeps holds up no other.
pub(super) async fn many_substreams<F: AsyncFn() -> TransportEnd>(make: &F) {
    let connected = connect(make).await;
    let step = "many substreams at once";
    let (mut unread, _sleeping) = substream(step, &connected).await;
    let fill = async {
        for _ in 0..TOO_MUCH / LARGE {
            if unread.write_all(&pattern(LARGE, 0)).await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(STUCK, fill).await;

    let ask = async |number: u8| {
        let mut substream = SUITE.ok(step, connected.dialed.open().await);
        substream.write_all(&[number]).await?;
        substream.flush().await?;
        let mut answer = [0; 2];
        substream.read_exact(&mut answer).await?;
        SUITE.equal(step, &answer, &[number, !number]);
        Ok::<_, std::io::Error>(substream)
    };
    let answer = async |_| {
        let mut substream = SUITE.ok(step, connected.accepted.accept().await);
        let mut question = [0];
        substream.read_exact(&mut question).await?;
        substream.write_all(&[question[0], !question[0]]).await?;
        substream.flush().await?;
        Ok::<_, std::io::Error>(substream)
    };
    let asked = join_all((0..SUBSTREAMS).map(ask));
    let answered = join_all((0..SUBSTREAMS).map(answer));
    let both = async { tokio::join!(asked, answered) };
    let (asked, answered) = SUITE.within(step, both).await;
    for result in asked.into_iter().chain(answered) {
        SUITE.ok(step, result);
    }
}

/// One direction ends, the other goes on.
pub(super) async fn half_closed<F: AsyncFn() -> TransportEnd>(make: &F) {
    let connected = connect(make).await;
    let step = "a substream of which one direction is closed";
    let (mut one, mut two) = substream(step, &connected).await;
    let talk = async {
        one.write_all(b"the question").await?;
        one.close().await?;
        let mut question = Vec::new();
        two.read_to_end(&mut question).await?;
        SUITE.equal(step, &question.as_slice(), &&b"the question"[..]);
        two.write_all(b"the answer").await?;
        two.close().await?;
        let mut answer = Vec::new();
        one.read_to_end(&mut answer).await?;
        SUITE.equal(step, &answer.as_slice(), &&b"the answer"[..]);
        Ok::<_, std::io::Error>(())
    };
    SUITE.ok_within(step, talk).await;
}

/// A writer is held when nobody reads, instead of memory being filled.
pub(super) async fn held_back<F: AsyncFn() -> TransportEnd>(make: &F) {
    let connected = connect(make).await;
    let step = "a writer whose reader sleeps is held";
    let (mut one, mut two) = substream(step, &connected).await;
    let chunk = pattern(LARGE, 0);
    let mut sent = 0;
    while let Ok(written) = tokio::time::timeout(STUCK, one.write(&chunk)).await {
        sent += SUITE.ok(step, written);
        SUITE.check(step, sent < TOO_MUCH, &format!("{sent} bytes were taken"));
    }
    let mut read = vec![0; sent];
    SUITE
        .ok_within("the reader wakes up", two.read_exact(&mut read))
        .await;
    let written = SUITE
        .ok_within("so does the writer", one.write(&chunk))
        .await;
    SUITE.check("so does the writer", written > 0, "it wrote nothing");
}
