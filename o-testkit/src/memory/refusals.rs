//! Telling dialers that a policy does not want them, a bounded number of them at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use o_core::{Connection, DenyReason, ErrorCode};
use o_protocol::Goodbye;
use tokio_util::sync::CancellationToken;

use super::connection::MemoryConnection;

#[derive(Debug)]
pub(super) struct Refusals {
    limit: usize,
    running: AtomicUsize,
    patience: Duration,
    ended: CancellationToken,
}

impl Refusals {
    pub(super) fn new(limit: usize, patience: Duration) -> Self {
        let running = AtomicUsize::new(0);
        Self {
            limit,
            running,
            patience,
            ended: CancellationToken::new(),
        }
    }

    /// Says goodbye to the dialer on the substream that it opens; over the limit, says nothing.
    pub(super) fn refuse(self: &Arc<Self>, connection: Arc<MemoryConnection>, reason: &DenyReason) {
        if reason.is_limit() || self.running.fetch_add(1, Ordering::Relaxed) >= self.limit {
            if !reason.is_limit() {
                self.running.fetch_sub(1, Ordering::Relaxed);
            }
            connection.cut();
            return;
        }
        let goodbye = Goodbye::new(ErrorCode::Refused, reason.to_string());
        let this = self.clone();
        tokio::spawn(async move {
            let talk = async {
                if let Ok(Ok(substream)) =
                    tokio::time::timeout(this.patience, connection.accept()).await
                {
                    o_protocol::refuse(substream, &goodbye, this.patience).await;
                }
            };
            this.ended.run_until_cancelled(talk).await;
            connection.close().await;
            this.running.fetch_sub(1, Ordering::Relaxed);
        });
    }

    pub(super) fn end(&self) {
        self.ended.cancel();
    }
}
