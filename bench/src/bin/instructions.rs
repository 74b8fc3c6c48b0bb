//! A fixed amount of work without a network, for a tool that counts instructions: `instructions WORK TIMES`.
//!
//! `calls`: unary echoes of 100 bytes, 64 in flight, both ends of a session over a pipe in memory.
//! `session`: the same call through the two state machines alone, with frames and headers written and read.
//! `frames`: one frame with a body of 100 bytes, written and read.

use std::{hint::black_box, sync::Arc, time::Instant};

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use o_address::Address;
use o_core::{
    Agent, Body, CallError, CallTerms, Caller as _, Encoding, IncomingCall, MethodSpec, NetworkId,
    OutgoingCall, Reply, Shape,
};
use o_protocol::{
    CallHeader, Hello, Notice, Serve, ServedCall, Session, SessionConfig, SessionHandle, Side,
    connect, frame,
};
use tokio_util::compat::TokioAsyncReadCompatExt as _;

const BODY: &[u8] = &[7; 100];
const IN_FLIGHT: usize = 64;

struct Echo;

#[async_trait]
impl Agent for Echo {
    fn methods(&self) -> Vec<MethodSpec> {
        Vec::new()
    }

    async fn call(&self, call: IncomingCall) -> Result<Reply, CallError> {
        Ok(Reply::One(call.body))
    }
}

impl Serve for Echo {
    fn serve(&self, call: ServedCall) {
        tokio::spawn(async move { call.answer(&Self).await });
    }
}

fn side(stream: tokio::io::DuplexStream, side: Side) -> SessionHandle {
    let hello = Hello::new(NetworkId::default());
    let config = SessionConfig::default();
    let (session, driver) = connect(stream.compat(), side, config, hello, None, Arc::new(Echo));
    tokio::spawn(driver);
    session
}

async fn calls(times: usize) -> anyhow::Result<()> {
    let (left, right) = tokio::io::duplex(1 << 20);
    let caller = side(left, Side::Dialer);
    let _callee = side(right, Side::Listener);
    caller.ready().await?;
    let target: Address = "o://bench/echo".parse()?;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (caller, target) = (caller.clone(), target.clone());
        callers.spawn(async move {
            for _ in 0..times / IN_FLIGHT {
                let body = Body::raw(Bytes::from_static(BODY));
                let call = OutgoingCall::unary(target.clone(), "echo", body);
                black_box(caller.call(call).await?);
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = callers.join_next().await {
        done??;
    }
    Ok(())
}

/// Hands everything that one side wants to send to the other.
fn deliver(
    from: &mut Session,
    to: &mut Session,
    wire: &mut Vec<u8>,
    now: Instant,
) -> anyhow::Result<()> {
    wire.clear();
    from.transmit(wire, usize::MAX);
    let mut rest = wire.as_slice();
    while let Some((frame, length)) = frame::decode(rest, 1 << 20)? {
        to.receive(&frame, now);
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(())
}

fn session(times: usize) -> anyhow::Result<()> {
    let now = Instant::now();
    let new = |side| {
        let hello = Hello::new(NetworkId::default());
        Session::new(side, SessionConfig::default(), hello, now)
    };
    let (mut caller, mut callee) = (new(Side::Dialer), new(Side::Listener));
    let mut wire = Vec::new();
    deliver(&mut caller, &mut callee, &mut wire, now)?;
    deliver(&mut callee, &mut caller, &mut wire, now)?;
    let header = CallHeader {
        target: "o://bench/echo".parse()?,
        method: "echo".into(),
        shape: Shape::Unary,
        encoding: Encoding::Raw,
        terms: CallTerms::default(),
    };
    for _ in 0..times {
        let id = caller.open(&header, Bytes::from_static(BODY), true, now)?;
        deliver(&mut caller, &mut callee, &mut wire, now)?;
        while let Some(notice) = callee.poll_notice() {
            if let Notice::Incoming(id) = notice {
                let (_, body) = callee.accept(id).context("no call")?;
                let sent = callee.send(id, body, true);
                ensure!(sent.is_ok(), "the answer was not taken: {sent:?}");
            }
        }
        deliver(&mut callee, &mut caller, &mut wire, now)?;
        while caller.poll_notice().is_some() {}
        black_box(caller.take(id).context("no answer")?);
    }
    Ok(())
}

fn frames(times: usize) -> anyhow::Result<()> {
    let mut wire = Vec::new();
    for id in 0..times {
        wire.clear();
        let header = black_box([0xa1, 0x01, 0x02].as_slice());
        frame::encode(
            &mut wire,
            frame::Kind::Item,
            frame::FLAG_END,
            id as u64,
            header,
            BODY,
        )?;
        black_box(frame::decode(&wire, 1 << 20)?);
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let work = arguments.next().context("what work?")?;
    let times: usize = arguments.next().context("how many times?")?.parse()?;
    match work.as_str() {
        "calls" => tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?
            .block_on(calls(times)),
        "session" => session(times),
        "frames" => frames(times),
        other => bail!("no such work: {other}"),
    }
}
