//! Calls as frames on one byte stream, without anything else: what the layers below allow.
//!
//! A frame is its length (4 bytes, of what follows), an id (4), an operation (1) and the body.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{Notify, oneshot},
    task::AbortHandle,
};

use crate::contender::Op;

/// Length, id and operation.
const HEAD: usize = 9;
/// Bodies from here on are not copied into the batch.
const LARGE: usize = 32 * 1024;
/// What is read at once from a socket, if it is there.
pub(crate) const READ: usize = 256 * 1024;
/// The same where whatever lies between gives less at a time, and what is not filled is zeroed for nothing.
pub(crate) const READ_LESS: usize = 16 * 1024;
/// The largest frame that is taken.
const MAX: usize = 64 * 1024 * 1024;

/// What waits to be written.
#[derive(Debug, Default)]
struct Batch {
    whole: Vec<Bytes>,
    open: BytesMut,
}

impl Batch {
    fn push(&mut self, id: u32, op: u8, body: Bytes) -> anyhow::Result<()> {
        let length = u32::try_from(HEAD - 4 + body.len()).context("too large for a frame")?;
        self.open.reserve(HEAD);
        self.open.put_u32(length);
        self.open.put_u32(id);
        self.open.put_u8(op);
        if body.len() < LARGE {
            self.open.extend_from_slice(&body);
        } else {
            self.whole.push(self.open.split().freeze());
            self.whole.push(body);
        }
        Ok(())
    }

    async fn write(self, writer: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        for part in self.whole {
            writer.write_all(&part).await?;
        }
        writer.write_all(&self.open).await?;
        writer.flush().await
    }

    fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.open.is_empty()
    }
}

/// Takes the next whole frame out of what was read.
fn frame(read: &mut BytesMut) -> anyhow::Result<Option<(u32, u8, Bytes)>> {
    let Some(length) = read.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length) as usize;
    ensure!(
        (HEAD - 4..=MAX).contains(&length),
        "a frame of {length} bytes"
    );
    if read.len() < 4 + length {
        read.reserve(4 + length - read.len());
        return Ok(None);
    }
    let mut frame = read.split_to(4 + length);
    frame.advance(4);
    let (id, op) = (frame.get_u32(), frame.get_u8());
    Ok(Some((id, op, frame.freeze())))
}

/// Reads what is there, and not more than `at_once`.
async fn more(
    reader: &mut (impl AsyncRead + Unpin),
    read: &mut BytesMut,
    at_once: usize,
) -> std::io::Result<usize> {
    if read.capacity() - read.len() < at_once / 4 {
        read.reserve(at_once);
    }
    reader.read_buf(&mut read.limit(at_once)).await
}

/// Answers calls until the other side is gone.
pub(crate) async fn answer(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    at_once: usize,
) -> anyhow::Result<()> {
    let mut read = BytesMut::new();
    loop {
        if more(&mut reader, &mut read, at_once).await? == 0 {
            return Ok(());
        }
        let mut batch = Batch::default();
        while let Some((id, op, body)) = frame(&mut read)? {
            let body = if op == 0 { body } else { Bytes::new() };
            batch.push(id, op, body)?;
        }
        if !batch.is_empty() {
            batch.write(&mut writer).await?;
        }
    }
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    next: u32,
    waiting: HashMap<u32, oneshot::Sender<Bytes>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    ready: Notify,
}

impl Shared {
    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn write(self: Arc<Self>, mut writer: impl AsyncWrite + Unpin) -> anyhow::Result<()> {
        loop {
            self.ready.notified().await;
            let batch = self.with(|state| std::mem::take(&mut state.batch));
            batch.write(&mut writer).await?;
        }
    }

    async fn read(
        self: Arc<Self>,
        mut reader: impl AsyncRead + Unpin,
        at_once: usize,
    ) -> anyhow::Result<()> {
        let mut read = BytesMut::new();
        loop {
            let length = more(&mut reader, &mut read, at_once).await?;
            ensure!(length > 0, "the server is gone");
            while let Some((id, _, body)) = frame(&mut read)? {
                if let Some(caller) = self.with(|state| state.waiting.remove(&id)) {
                    // A caller that has left does not wait.
                    let _ = caller.send(body);
                }
            }
        }
    }
}

/// The calling side.
#[derive(Clone, Debug)]
pub(crate) struct Mux {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

impl Mux {
    /// Begins to call over a stream.
    pub(crate) fn start(
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        at_once: usize,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let writing = tokio::spawn(end(shared.clone(), shared.clone().write(writer)));
        let reading = tokio::spawn(end(shared.clone(), shared.clone().read(reader, at_once)));
        let tasks = [writing.abort_handle(), reading.abort_handle()];
        Self { shared, tasks }
    }

    pub(crate) async fn call(&self, op: Op, body: Bytes) -> anyhow::Result<Bytes> {
        let (caller, answer) = oneshot::channel();
        self.shared.with(|state| {
            let id = state.next;
            state.next = id.wrapping_add(1);
            state.waiting.insert(id, caller);
            state.batch.push(id, u8::from(op == Op::Sink), body)
        })?;
        self.shared.ready.notify_one();
        answer.await.context("the connection is gone")
    }

    pub(crate) fn close(self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// When one half ends, nobody waits for an answer any more.
async fn end(shared: Arc<Shared>, half: impl Future<Output = anyhow::Result<()>>) {
    let _ = half.await;
    shared.with(|state| state.waiting.clear());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_of_all_sizes_come_back_as_they_were() {
        let (left, right) = tokio::io::duplex(4096);
        let (reader, writer) = tokio::io::split(right);
        tokio::spawn(answer(reader, writer, READ));
        let (reader, writer) = tokio::io::split(left);
        let mux = Mux::start(reader, writer, READ_LESS);
        for size in [0, 1, 100, LARGE - 1, LARGE, 3 * READ] {
            let body = Bytes::from(vec![7; size]);
            assert_eq!(mux.call(Op::Echo, body.clone()).await.unwrap(), body);
            assert!(mux.call(Op::Sink, body).await.unwrap().is_empty());
        }
        mux.close();
    }

    #[tokio::test]
    async fn a_lost_connection_ends_every_call() {
        let (left, right) = tokio::io::duplex(4096);
        let (reader, writer) = tokio::io::split(left);
        let mux = Mux::start(reader, writer, READ_LESS);
        drop(right);
        assert!(mux.call(Op::Echo, Bytes::new()).await.is_err());
    }
}
