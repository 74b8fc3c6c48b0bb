//! What is said on a connection: frames, messages, the call session and a driver over any byte stream.
//!
//! [`Session`] is a state machine without I/O or clock: it takes frames and `now`, and gives frames
//! and notices. [`connect`] puts it on a byte stream: a [`SessionHandle`] that implements
//! [`o_core::Caller`], and a [`Driver`], the one future that has to be polled. docs/wire.md
//! specifies what goes over the stream.

mod driver;
pub mod frame;
mod header;
mod session;

pub use crate::{
    driver::{Driver, Serve, ServedCall, SessionHandle, SessionStatus, connect, refuse},
    header::{CallHeader, Goodbye, HeaderError, Hello, MAX_HEADER, MAX_HOSTED},
    session::{
        ASSUMED_CREDIT, ASSUMED_MAX_CALLS, ASSUMED_MAX_FRAME, CallId, Notice, Received, SendError,
        Session, SessionConfig, SessionEnd, Side,
    },
};
