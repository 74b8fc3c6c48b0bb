//! A streamed answer whose first item, or end, is remembered of the peer that gives it.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures::{Stream, StreamExt};
use o_core::{Body, BodyStream, CallError};

use super::{Entry, Outcome};

/// The same stream, observed.
pub(super) struct Watched {
    items: BodyStream,
    entry: Arc<Entry>,
    method: Arc<str>,
    begun: Instant,
    /// Whether the first item was seen: how long the others take is the method's business.
    answered: bool,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl Watched {
    pub(super) fn new(
        items: BodyStream,
        entry: Arc<Entry>,
        method: Arc<str>,
        begun: Instant,
    ) -> Self {
        Self {
            items,
            entry,
            method,
            begun,
            answered: false,
        }
    }
}

impl Stream for Watched {
    type Item = Result<Body, CallError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let item = this.items.poll_next_unpin(cx);
        match &item {
            Poll::Ready(Some(Err(error))) => {
                this.answered = true;
                this.entry.failed(&this.method, error, this.begun);
            }
            Poll::Ready(_) if !this.answered => {
                this.answered = true;
                this.entry
                    .observe(&this.method, Outcome::Succeeded, this.begun);
            }
            _ => {}
        }
        item
    }
}
