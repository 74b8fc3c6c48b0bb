//! rust-libp2p's request-response over TCP, Noise and yamux, with CBOR bodies.

use std::collections::HashMap;

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm,
    request_response::{self, Message, ProtocolSupport, cbor},
    swarm::SwarmEvent,
};
use o_transport::{BoxedTransport, Keypair, TransportConfig, build_transport};
use tokio::sync::{mpsc, oneshot};

type Behaviour = cbor::Behaviour<Vec<u8>, Vec<u8>>;
type Request = (Vec<u8>, oneshot::Sender<Vec<u8>>);

fn swarm() -> Swarm<Behaviour> {
    let keys = Keypair::generate();
    let mut config = TransportConfig::default();
    config.tcp.enabled = true;
    let transport: BoxedTransport = build_transport(&config, &keys, Vec::new()).unwrap();
    let protocol = (StreamProtocol::new("/bench/1"), ProtocolSupport::Full);
    let behaviour = Behaviour::new([protocol], request_response::Config::default());
    let peer = keys.libp2p().public().to_peer_id();
    let config = libp2p::swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(std::time::Duration::from_secs(600));
    Swarm::new(transport, behaviour, peer, config)
}

/// Makes requests to the other swarm.
pub(crate) struct Client(mpsc::Sender<Request>);

impl Client {
    pub(crate) async fn echo(&self, body: &[u8]) -> Vec<u8> {
        let (reply, answer) = oneshot::channel();
        self.0.send((body.to_vec(), reply)).await.unwrap();
        answer.await.unwrap()
    }
}

/// Two connected swarms, each with a loop of its own.
pub(crate) async fn pair() -> Client {
    let mut server = swarm();
    server
        .listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap())
        .unwrap();
    let address: Multiaddr = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
            break address;
        }
    };
    let peer = *server.local_peer_id();
    tokio::spawn(serve(server));
    let mut client = swarm();
    client.add_peer_address(peer, address);
    let (requests, queue) = mpsc::channel(1024);
    tokio::spawn(call(client, peer, queue));
    let client = Client(requests);
    client.echo(b"warm").await;
    client
}

async fn serve(mut swarm: Swarm<Behaviour>) {
    loop {
        if let SwarmEvent::Behaviour(request_response::Event::Message {
            message: Message::Request {
                request, channel, ..
            },
            ..
        }) = swarm.select_next_some().await
        {
            swarm
                .behaviour_mut()
                .send_response(channel, request)
                .unwrap();
        }
    }
}

async fn call(mut swarm: Swarm<Behaviour>, peer: PeerId, mut queue: mpsc::Receiver<Request>) {
    let mut waiting = HashMap::new();
    loop {
        tokio::select! {
            request = queue.recv() => {
                let Some((body, reply)) = request else { return };
                waiting.insert(swarm.behaviour_mut().send_request(&peer, body), reply);
            }
            event = swarm.select_next_some() => {
                if let SwarmEvent::Behaviour(request_response::Event::Message {
                    message: Message::Response { request_id, response },
                    ..
                }) = event
                {
                    let reply: oneshot::Sender<Vec<u8>> = waiting.remove(&request_id).unwrap();
                    reply.send(response).unwrap();
                }
            }
        }
    }
}
