//! What a session knows of one call.

use std::time::Instant;

use o_core::{Encoding, Priority, Shape};

use super::flow::{Inbox, Outbox};
use crate::header::CallHeader;

#[derive(Debug)]
pub(super) struct Call {
    /// Whether we opened it.
    pub(super) ours: bool,
    /// Ours: as long as the call lives, for its errors. Theirs: until it is accepted.
    pub(super) header: Option<Box<CallHeader>>,
    pub(super) shape: Shape,
    pub(super) encoding: Encoding,
    pub(super) priority: Priority,
    pub(super) deadline: Option<Instant>,
    pub(super) opened: Instant,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    /// The parameters are complete and the owner was told.
    pub(super) announced: bool,
    /// Bytes of parameters that were handed out; their handler holds them, so they stay counted.
    pub(super) accepted: usize,
    /// Ours: the other side has ended it.
    pub(super) settled: bool,
}

impl Call {
    pub(super) fn new(
        ours: bool,
        header: CallHeader,
        opened: Instant,
        inbox: Inbox,
        outbox: Outbox,
    ) -> Self {
        Self {
            ours,
            shape: header.shape,
            encoding: header.encoding,
            priority: header.terms.priority,
            deadline: header.terms.deadline,
            header: Some(Box::new(header)),
            opened,
            inbox,
            outbox,
            announced: false,
            accepted: 0,
            settled: false,
        }
    }
}
