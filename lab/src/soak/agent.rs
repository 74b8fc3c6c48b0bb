//! The agent that a soak calls: one method of each shape, whose answers can be foretold.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use o_core::{Agent, Body, BodyStream, CallError, IncomingCall, MethodSpec, Reply, Shape};

use super::plan::CallPlan;
use crate::rng::Rng;

/// Bytes of the head of each call's parameters.
const HEAD: usize = 20;

/// How many handlers began and ended.
#[derive(Debug, Default)]
pub(crate) struct Handlers {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Handlers {
    /// How many run now.
    pub(crate) fn running(&self) -> u64 {
        let ended = self.ended.load(Ordering::SeqCst);
        self.begun.load(Ordering::SeqCst).saturating_sub(ended)
    }
}

/// A handler that runs.
struct Guard(Arc<Handlers>);

impl Guard {
    fn begin(handlers: &Arc<Handlers>) -> Self {
        handlers.begun.fetch_add(1, Ordering::SeqCst);
        Self(handlers.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// The method of a shape.
pub(crate) fn method(shape: Shape) -> &'static str {
    match shape {
        Shape::Unary => "echo",
        Shape::Server => "items",
        Shape::Client => "fold",
        Shape::Bidirectional => "mirror",
    }
}

/// An item of the stream that follows from a seed.
pub(crate) fn item(seed: u64, index: usize, size: usize) -> Bytes {
    Rng::new(seed ^ (index as u64).wrapping_mul(0xd6e8_feb8_6659_fd93))
        .bytes(size)
        .into()
}

/// FNV-1a over bytes, from an earlier value on.
pub(crate) fn checksum(so_far: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(so_far, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Where [`checksum`] begins.
pub(crate) const CHECKSUM_BEGIN: u64 = 0xcbf2_9ce4_8422_2325;

/// The parameters of a planned call; of a unary one with its value.
pub(crate) fn params(plan: &CallPlan) -> Body {
    let mut bytes = BytesMut::with_capacity(HEAD);
    bytes.put_u32(u32::try_from(plan.linger.as_millis()).unwrap_or(u32::MAX));
    bytes.put_u64(plan.seed);
    bytes.put_u32(u32::try_from(plan.items).unwrap_or(u32::MAX));
    bytes.put_u32(u32::try_from(plan.size).unwrap_or(u32::MAX));
    if plan.shape == Shape::Unary {
        bytes.extend_from_slice(&item(plan.seed, 0, plan.size));
    }
    Body::raw(bytes.freeze())
}

/// The agent. Clones share what they count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answering(pub(crate) Arc<Handlers>);

#[async_trait]
impl Agent for Answering {
    fn methods(&self) -> Vec<MethodSpec> {
        let shapes = [
            Shape::Unary,
            Shape::Server,
            Shape::Client,
            Shape::Bidirectional,
        ];
        shapes
            .map(|shape| MethodSpec::new(method(shape), shape))
            .to_vec()
    }

    async fn call(&self, call: IncomingCall) -> Result<Reply, CallError> {
        let guard = Guard::begin(&self.0);
        let mut head = call.body.bytes;
        if head.len() < HEAD {
            return Err(CallError::InvalidParams {
                message: format!("{} bytes", head.len()),
            });
        }
        let linger = Duration::from_millis(head.get_u32().into());
        let (seed, items, size) = (head.get_u64(), head.get_u32(), head.get_u32());
        if !linger.is_zero() {
            tokio::time::sleep(linger).await;
        }
        let nothing = || stream::empty().boxed();
        match &*call.method {
            "echo" => Ok(Reply::One(Body::raw(head))),
            "items" => {
                let items = stream::iter(0..items as usize)
                    .map(move |index| Ok(Body::raw(item(seed, index, size as usize))));
                Ok(Reply::Stream(guarded(items.boxed(), guard)))
            }
            "fold" => fold(call.input.unwrap_or_else(nothing)).await,
            "mirror" => {
                let items = call.input.unwrap_or_else(nothing);
                Ok(Reply::Stream(guarded(items, guard)))
            }
            method => Err(CallError::UnknownMethod {
                method: method.into(),
            }),
        }
    }
}

async fn fold(mut items: BodyStream) -> Result<Reply, CallError> {
    let mut sum = CHECKSUM_BEGIN;
    while let Some(item) = items.next().await {
        sum = checksum(sum, &item?.bytes);
    }
    Ok(Reply::One(Body::raw(sum.to_be_bytes().to_vec())))
}

/// The same stream, counted as long as it lives.
fn guarded(items: BodyStream, guard: Guard) -> BodyStream {
    items
        .map(move |item| {
            let _ = &guard;
            item
        })
        .boxed()
}
