//! What a registry tells those who keep a copy of it: everything, and then every change.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use futures::{StreamExt as _, stream, stream::BoxStream};
use o_address::{Address, PeerId};
use o_core::{CallError, Record};
use o_protocol::Blob;
use tokio::sync::watch;

use super::{Change, Registry, Watched};

/// Changes that are remembered; who is further behind begins anew.
const REMEMBERED: usize = 4096;
/// Changes in one item, of a record each: with the longest records 160 KiB.
const PAGE: usize = 16;
/// How long changes are collected before they are told.
const SETTLE: Duration = Duration::from_millis(100);
/// Streams of one peer: one, and one that is left of a connection that broke.
const PER_PEER: u8 = 2;

/// Under which names something changed, the latest last.
#[derive(Debug, Default)]
pub(super) struct Log {
    keys: VecDeque<(Address, PeerId)>,
    /// How many there have been.
    count: u64,
}

impl Log {
    pub(super) fn push(&mut self, record: &Record) {
        self.push_key((record.address.without_pin(), record.peer));
    }

    pub(super) fn push_key(&mut self, key: (Address, PeerId)) {
        if self.keys.len() >= REMEMBERED {
            self.keys.pop_front();
        }
        self.keys.push_back(key);
        self.count += 1;
    }

    /// What came after the first `seen`, if all of that is remembered.
    fn since(&self, seen: u64) -> Option<impl Iterator<Item = &(Address, PeerId)>> {
        let new = usize::try_from(self.count.checked_sub(seen)?).ok()?;
        let first = self.keys.len().checked_sub(new)?;
        Some(self.keys.range(first..))
    }
}

/// Who is being told.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    streams: HashMap<PeerId, u8>,
    /// Nobody is any more.
    closed: bool,
}

/// One stream. It holds a place in the registry, and nothing of what is there.
struct Watcher {
    registry: Registry,
    from: PeerId,
    changes: watch::Receiver<u64>,
    /// Up to which name everything has been told; `None` when all of it has.
    telling: Option<Option<(Address, PeerId)>>,
    /// Changes that have been told, of those that there have been.
    seen: u64,
    ended: bool,
}

impl Registry {
    /// Tells everything that is held, and then every change.
    ///
    /// # Errors
    /// `Busy` where too many are told already, or this peer twice.
    pub(super) fn watch(
        &self,
        from: PeerId,
    ) -> Result<BoxStream<'static, Result<Watched, CallError>>, CallError> {
        self.admit(&from)?;
        let changes = self.changes();
        let mut state = self.lock();
        state.expire();
        let seen = state.log.count;
        let busy = |reason: &str| CallError::Busy {
            reason: reason.to_owned(),
        };
        if state.watchers.closed {
            return Err(CallError::ShuttingDown);
        }
        let streams = &mut state.watchers.streams;
        let room = streams.len() < self.shared.config.max_watchers;
        match streams.get_mut(&from) {
            Some(count) if *count >= PER_PEER => return Err(busy("this peer is told already")),
            Some(count) => *count += 1,
            None if room => {
                streams.insert(from, 1);
            }
            None => return Err(busy("max_watchers of the registry is reached")),
        }
        drop(state);
        let watcher = Watcher {
            registry: self.clone(),
            from,
            changes,
            telling: Some(None),
            seen,
            ended: false,
        };
        Ok(stream::unfold(watcher, Watcher::next).boxed())
    }

    /// Ends all streams of `watch`, which would never end by themselves.
    pub fn close(&self) {
        self.lock().watchers.closed = true;
        self.changed();
    }
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<Watched, CallError>, Self)> {
        loop {
            if self.ended || self.registry.lock().watchers.closed {
                return None;
            }
            if let Some(item) = self.page() {
                self.ended = item.is_err();
                return Some((item, self));
            }
            self.changes.changed().await.ok()?;
            if !self.registry.lock().watchers.closed {
                tokio::time::sleep(SETTLE).await;
            }
        }
    }

    /// What is to be told next, if there is anything.
    fn page(&mut self) -> Option<Result<Watched, CallError>> {
        let registry = self.registry.clone();
        let state = registry.lock();
        if let Some(after) = &mut self.telling {
            let records = state.index.records_after(after.as_ref()).take(PAGE);
            let changes: Vec<_> = records
                .map(|held| {
                    let record = held.record();
                    Change {
                        name: record.address.without_pin(),
                        peer: record.peer,
                        record: Some(Blob(held.envelope().clone())),
                    }
                })
                .collect();
            let complete = changes.len() < PAGE;
            if let Some(last) = changes.last() {
                *after = Some((last.name.clone(), last.peer));
            }
            if complete {
                self.telling = None;
            }
            return Some(Ok(Watched { changes, complete }));
        }
        self.changes.mark_unchanged();
        let Some(new) = state.log.since(self.seen) else {
            return Some(Err(CallError::Busy {
                reason: "too many changes at once: begin anew".into(),
            }));
        };
        let keys: Vec<_> = new.take(PAGE).collect();
        self.seen += keys.len() as u64;
        let keys: BTreeSet<_> = keys.into_iter().collect();
        let changes = keys.into_iter().map(|(name, peer)| {
            let held = state.index.get(name, peer);
            Change {
                name: name.clone(),
                peer: *peer,
                record: held.map(|held| Blob(held.envelope().clone())),
            }
        });
        let changes: Vec<_> = changes.collect();
        (!changes.is_empty()).then_some(Ok(Watched {
            changes,
            complete: false,
        }))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        let streams = &mut state.watchers.streams;
        if let Some(count) = streams.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.from);
            }
        }
    }
}
