//! What a session knows of one call.

use std::{sync::Arc, time::Instant};

use o_address::Address;
use o_core::{Encoding, Priority, Shape};

use super::flow::{Inbox, Outbox};
use crate::header::CallHeader;

#[derive(Debug)]
pub(super) struct Call {
    /// Whether we opened it.
    pub(super) ours: bool,
    /// Ours: the target and the method, for its errors.
    pub(super) asked: Option<(Address, Arc<str>)>,
    /// Theirs: until it is accepted.
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
    /// One of theirs; what else it needs is set by who makes it.
    pub(super) fn new(header: &CallHeader, opened: Instant, inbox: Inbox, outbox: Outbox) -> Self {
        Self {
            ours: false,
            asked: None,
            header: None,
            shape: header.shape,
            encoding: header.encoding,
            priority: header.terms.priority,
            deadline: header.terms.deadline,
            opened,
            inbox,
            outbox,
            announced: false,
            accepted: 0,
            settled: false,
        }
    }
}
