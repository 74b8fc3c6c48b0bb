//! The traits and domain types of an agent network: no network stack, no runtime, no codec.
//!
//! Everything that a node is made of stands here as a trait of one to three required methods:
//! [`Node`], [`Agent`], [`Caller`], [`Connector`], [`Resolver`], [`Transport`], [`Connection`],
//! [`ConnectionGater`], [`Discovery`], [`Signer`], [`Verifier`] and [`Events`]. The concrete node
//! is in `o-node`; an in-memory network that needs nothing else is in `o-testkit`.
//!
//! Dropping is cancelling: a future or stream that this crate hands out stops its work, also at
//! the other end of a connection, when it is dropped.

mod agent;
mod body;
mod call;
mod caller;
mod capability;
mod connector;
mod delegation;
mod discovery;
mod error;
mod events;
mod gating;
mod identity;
mod label;
mod lifecycle;
mod method;
mod network;
mod node;
mod query;
mod record;
mod resolver;
mod transport;

pub use crate::{
    agent::{Agent, IncomingCall},
    body::{Body, BodyStream, Encoding, Reply},
    call::{CallContext, CallTerms, OutgoingCall, Priority, Shape},
    caller::Caller,
    capability::{Capability, CapabilityError},
    connector::{Channel, ConnectError, Connector, NextHop},
    delegation::{Access, Chain, Delegation, Policy, SignedDelegation, SignedSuccessor, Successor},
    discovery::{Discovery, DiscoveryError, Provider, ProviderStream, Source},
    error::{BoxError, CallError, ErrorCode},
    events::{Event, EventStream, Events, Lagged},
    gating::{Attempt, ConnectionGater, DenyReason, Direction, Stage},
    identity::{SignError, Signer, Verified, Verifier, VerifyError},
    label::{Label, LabelError},
    lifecycle::{Lifecycle, NodeState},
    method::{MethodSpec, Schema, SchemaHash},
    network::{NetworkId, NetworkIdError},
    node::{Hook, Node, StartError, StopError},
    query::{Attribute, AttributeError, Attributes, Match, Pattern, Query, Text, Wanted},
    record::{
        MethodDigest, Record, RecordTimes, SignedRecord, SignedTombstone, Tombstone, is_plain_text,
        plain_text,
    },
    resolver::{ResolveError, Resolver, Route},
    transport::{
        ByteStream, Connection, ConnectionError, DialError, ListenError, Listener, Substream,
        Transport,
    },
};
