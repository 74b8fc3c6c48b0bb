//! A libp2p node that is not ours: it says on `/o-call/1`, or on anything else, whatever a test
//! wants.

use std::io;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use libp2p::{
    Multiaddr, StreamProtocol, Swarm,
    request_response::{Behaviour, Codec, Config, Event, Message, ProtocolSupport},
    swarm::SwarmEvent,
};
use o_address::TransportAddr;
use o_node::{Keypair, Node, Preset};
use o_transport::{build_transport, from_multiaddr, to_multiaddr, to_peer_id};

use crate::support::soon;

/// What it says on a substream, and whether it keeps the substream open after that.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub(crate) bytes: Vec<u8>,
    pub(crate) hold: bool,
}

/// Bytes as they are, without any framing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw;

async fn say<T: AsyncWrite + Unpin + Send>(io: &mut T, words: Words) -> io::Result<()> {
    io.write_all(&words.bytes).await?;
    io.flush().await?;
    if words.hold {
        std::future::pending::<()>().await;
    }
    Ok(())
}

impl Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Words;
    type Response = Words;

    async fn read_request<T>(&mut self, _: &StreamProtocol, _: &mut T) -> io::Result<Words>
    where
        T: AsyncRead + Unpin + Send,
    {
        // It does not listen before it speaks.
        Ok(Words {
            bytes: Vec::new(),
            hold: false,
        })
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Words>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.take(1 << 20).read_to_end(&mut bytes).await?;
        Ok(Words { bytes, hold: false })
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        words: Words,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        say(io, words).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        words: Words,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        say(io, words).await
    }
}

/// The raw peer. It runs only while it is awaited.
pub(crate) struct RawPeer {
    pub(crate) swarm: Swarm<Behaviour<Raw>>,
    pub(crate) address: TransportAddr,
}

impl RawPeer {
    /// One that speaks only this protocol.
    pub(crate) async fn speaking(protocol: &'static str) -> Self {
        let keypair = Keypair::generate();
        // The transports of a plain local node.
        let config = Node::builder(keypair.clone(), Preset::Local)
            .build()
            .unwrap()
            .config()
            .clone();
        let transport = build_transport(&config.transport, &keypair, Vec::new()).unwrap();
        let protocols = [(StreamProtocol::new(protocol), ProtocolSupport::Full)];
        let behaviour = Behaviour::with_codec(Raw, protocols, Config::default());
        let peer = to_peer_id(&keypair.peer_id()).unwrap();
        let config = libp2p::swarm::Config::with_tokio_executor();
        let mut swarm = Swarm::new(transport, behaviour, peer, config);
        swarm
            .listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap())
            .unwrap();
        let address = soon(async {
            loop {
                if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                    return from_multiaddr(&address)
                        .unwrap()
                        .with_peer(&keypair.peer_id());
                }
            }
        })
        .await;
        Self { swarm, address }
    }

    /// Opens substreams to a node of ours, says one thing on each, and waits until all of them and
    /// the connection have come to their end, or one was answered.
    pub(crate) async fn say_to(&mut self, node: &TransportAddr, words: &[Words]) -> Vec<Vec<u8>> {
        let peer = to_peer_id(&node.peer_id().unwrap()).unwrap();
        let address: Multiaddr = to_multiaddr(&node.without_peer().unwrap()).unwrap();
        for words in words {
            let behaviour = self.swarm.behaviour_mut();
            behaviour.send_request_with_addresses(&peer, words.clone(), vec![address.clone()]);
        }
        let (mut open, mut answers) = (words.len(), Vec::new());
        soon(async {
            while open > 0 {
                match self.swarm.select_next_some().await {
                    SwarmEvent::Behaviour(Event::Message {
                        message: Message::Response { response, .. },
                        ..
                    }) => {
                        answers.push(response.bytes);
                        open -= 1;
                    }
                    SwarmEvent::Behaviour(Event::OutboundFailure { .. }) => open -= 1,
                    _ => {}
                }
            }
        })
        .await;
        answers
    }

    /// Answers whatever is opened to it with these words, for ever.
    pub(crate) async fn answer_with(mut self, words: Words) -> Self {
        loop {
            if let SwarmEvent::Behaviour(Event::Message {
                message: Message::Request { channel, .. },
                ..
            }) = self.swarm.select_next_some().await
            {
                // The other side may have gone.
                let _ = self
                    .swarm
                    .behaviour_mut()
                    .send_response(channel, words.clone());
            }
        }
    }
}
