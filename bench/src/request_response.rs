//! rust-libp2p's request-response with CBOR. Its limits on sizes and streams are raised so that the test can run at all.

use std::collections::HashMap;

use anyhow::Context as _;
use bytes::Bytes;
use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm,
    multiaddr::Protocol,
    request_response::{self, Message, OutboundRequestId, ProtocolSupport, cbor},
    swarm::SwarmEvent,
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use crate::{
    contender::{Client, Op},
    libp2p_node,
};

const MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    sink: bool,
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
}

pub(crate) type Answer = serde_bytes::ByteBuf;
pub(crate) type Behaviour = cbor::Behaviour<Request, Answer>;

fn behaviour() -> Behaviour {
    let codec = cbor::codec::Codec::default()
        .set_request_size_maximum(MAX)
        .set_response_size_maximum(MAX);
    let protocol = (StreamProtocol::new("/bench/1"), ProtocolSupport::Full);
    let config = request_response::Config::default().with_max_concurrent_streams(4096);
    Behaviour::with_codec(codec, [protocol], config)
}

/// Serves and says where.
pub(crate) async fn serve() -> anyhow::Result<String> {
    let mut swarm = libp2p_node::swarm(behaviour())?;
    let address = libp2p_node::listen(&mut swarm).await?;
    tokio::spawn(async move {
        loop {
            let event = swarm.select_next_some().await;
            if let SwarmEvent::Behaviour(request_response::Event::Message { message, .. }) = event
                && let Message::Request {
                    request, channel, ..
                } = message
            {
                let answer = if request.sink {
                    Vec::new()
                } else {
                    request.body
                };
                // A caller that has left gets no answer.
                let _ = swarm.behaviour_mut().send_response(channel, answer.into());
            }
        }
    });
    Ok(address.to_string())
}

type Waiting = oneshot::Sender<Vec<u8>>;

/// Hands requests to the task that owns the swarm.
#[derive(Clone, Debug)]
pub(crate) struct RequestResponse {
    requests: mpsc::Sender<(Request, Waiting)>,
    task: AbortHandle,
}

impl Client for RequestResponse {
    type Prepared = Swarm<Behaviour>;

    async fn prepare() -> anyhow::Result<Swarm<Behaviour>> {
        libp2p_node::swarm(behaviour())
    }

    async fn connect(mut swarm: Swarm<Behaviour>, address: &str) -> anyhow::Result<Self> {
        let address: Multiaddr = address.parse()?;
        let peer = address.iter().find_map(|part| match part {
            Protocol::P2p(peer) => Some(peer),
            _ => None,
        });
        let peer = peer.context("no peer id")?;
        swarm.add_peer_address(peer, address);
        let (requests, queue) = mpsc::channel(1024);
        let task = tokio::spawn(run(swarm, peer, queue)).abort_handle();
        Ok(Self { requests, task })
    }

    async fn call(&self, op: Op, body: Bytes) -> anyhow::Result<Bytes> {
        let (waiting, answer) = oneshot::channel();
        let request = Request {
            sink: op == Op::Sink,
            body: body.to_vec(),
        };
        self.requests
            .send((request, waiting))
            .await
            .context("gone")?;
        Ok(answer.await.context("the request failed")?.into())
    }

    async fn close(self) {
        self.task.abort();
    }
}

async fn run(
    mut swarm: Swarm<Behaviour>,
    peer: PeerId,
    mut queue: mpsc::Receiver<(Request, Waiting)>,
) {
    let mut waiting: HashMap<OutboundRequestId, Waiting> = HashMap::new();
    loop {
        tokio::select! {
            request = queue.recv() => {
                let Some((request, caller)) = request else { return };
                waiting.insert(swarm.behaviour_mut().send_request(&peer, request), caller);
            }
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(request_response::Event::Message {
                    message: Message::Response { request_id, response }, ..
                }) => {
                    if let Some(caller) = waiting.remove(&request_id) {
                        // A caller that has left does not wait.
                        let _ = caller.send(response.into_vec());
                    }
                }
                SwarmEvent::Behaviour(request_response::Event::OutboundFailure { request_id, .. }) => {
                    waiting.remove(&request_id);
                }
                _ => {}
            }
        }
    }
}
