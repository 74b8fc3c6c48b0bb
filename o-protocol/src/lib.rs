//! What is said on a connection: frames, messages, the call session and a driver over any byte stream.
//!
//! [`Session`] is a state machine without I/O or clock: it takes frames and `now`, and gives frames
//! and notices. [`connect`] puts it on a byte stream: a [`SessionHandle`] that implements
//! [`o_core::Caller`], and a [`Driver`], the one future that has to be polled. docs/wire.md
//! specifies what goes over the stream.
//!
//! Around it: bodies as CBOR and JSON ([`encode_body`], [`transcode`]), typed calls ([`Methods`],
//! [`CallerExt`], [`Call`]), signed records ([`sign_record`]) and descriptions of agents
//! ([`AgentDescription`]).

mod cbor;
mod delegation;
mod describe;
mod driver;
mod fields;
pub mod frame;
mod gossip;
mod header;
mod record;
mod session;
mod typed;

pub use crate::{
    cbor::{
        Blob, DecodeError, EncodeError, Limits, TranscodeError, decode_body, encode_body,
        from_slice, to_vec, transcode,
    },
    delegation::{
        ChainError, DelegationError, RootOfTrust, sign_delegation, sign_successor, verify_chain,
        verify_delegation, verify_record_chain, verify_successor,
    },
    describe::{AgentDescription, MethodDescription, NodeDescription},
    driver::{
        Driver, Serve, ServedCall, SessionHandle, SessionStatus, Unanswered, connect, refuse,
    },
    gossip::{Alive, GossipMessage, announced_digest},
    header::{CallHeader, Goodbye, HeaderError, Hello, MAX_HEADER, MAX_HOSTED},
    record::{
        RecordError, capability_key, capability_shard_key, name_key, sign_fitting_record,
        sign_record, sign_tombstone, verify_record, verify_tombstone,
    },
    session::{
        ASSUMED_CREDIT, ASSUMED_MAX_CALLS, ASSUMED_MAX_FRAME, CallId, Notice, Received, SendError,
        Session, SessionConfig, SessionConfigError, SessionEnd, Side,
    },
    typed::{Call, CallerExt, Methods, OrFailed, TypedStream, params_schema, result_schema},
};
