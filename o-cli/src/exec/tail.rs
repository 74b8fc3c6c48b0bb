//! The end of what a program writes to standard error.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::JoinHandle,
};

/// How long the rest may take once the program has ended: something that it left behind may keep
/// the pipe open.
const REST: Duration = Duration::from_millis(250);

/// Reads everything and keeps the end of it.
#[derive(Debug)]
pub(super) struct Tail {
    end: Arc<Mutex<End>>,
    reader: JoinHandle<()>,
}

#[derive(Debug)]
struct End {
    bytes: Vec<u8>,
    limit: usize,
    cut: bool,
}

impl End {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let excess = self.bytes.len().saturating_sub(self.limit);
        self.bytes.drain(..excess);
        self.cut |= excess > 0;
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let mark = if self.cut { "…" } else { "" };
        format!("{mark}{}", text.trim())
    }
}

impl Tail {
    /// Reads `stderr` and keeps its last `limit` bytes.
    pub(super) fn of(mut stderr: impl AsyncRead + Unpin + Send + 'static, limit: usize) -> Self {
        let end = Arc::new(Mutex::new(End {
            bytes: Vec::new(),
            limit,
            cut: false,
        }));
        let shared = end.clone();
        let reader = tokio::spawn(async move {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
                let bytes = chunk.get(..count).unwrap_or_default();
                tracing::debug!(text = %String::from_utf8_lossy(bytes).trim(), "a program says");
                shared
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(bytes);
            }
        });
        Self { end, reader }
    }

    /// The end, once the program has ended.
    pub(super) async fn text(&mut self) -> String {
        // What is there by then is enough.
        let _ = tokio::time::timeout(REST, &mut self.reader).await;
        self.end
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .text()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_end_is_kept() {
        assert_eq!(Tail::of(&b"all of it\n"[..], 100).text().await, "all of it");
        assert_eq!(Tail::of(&b"0123456789"[..], 4).text().await, "…6789");
        let long: &'static [u8] = Box::leak(vec![b'x'; 100_000].into_boxed_slice());
        assert_eq!(
            Tail::of(long, 10).text().await,
            format!("…{}", "x".repeat(10))
        );
    }
}
