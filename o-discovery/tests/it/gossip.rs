//! Gossip between two Swarms with nothing else in them.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure is the test's"
)]

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use libp2p::{Multiaddr, Swarm, swarm::SwarmEvent};
use o_core::NetworkId;
use o_discovery::swarm::gossip::{
    self, Behaviour, Command, GossipConfig, Handle, Moment, State, Want,
};
use o_testkit::conformance::{self, DiscoveryCase};
use o_transport::{EnvelopeVerifier, Keypair};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use crate::support::{DEADLINE, swarm};

/// A node that runs until it is dropped.
struct Node {
    handle: Handle,
    address: Multiaddr,
    _task: JoinSet<()>,
}

impl Node {
    /// Listens on memory, and dials the other if there is one. What it wants to be told, `other` tells.
    async fn start(keypair: &Keypair, other: Option<&Self>) -> Self {
        let network = NetworkId::default();
        let behaviour = gossip::behaviour(keypair.libp2p(), &network).unwrap();
        let mut swarm = swarm(keypair.libp2p(), behaviour);
        swarm.listen_on("/memory/0".parse().unwrap()).unwrap();
        let address = loop {
            let event = timeout(DEADLINE, swarm.select_next_some()).await.unwrap();
            if let SwarmEvent::NewListenAddr { address, .. } = event {
                break address;
            }
        };
        if let Some(other) = other {
            swarm.dial(other.address.clone()).unwrap();
        }
        let (peer, config) = (keypair.peer_id(), GossipConfig::default());
        let verifier = Arc::new(EnvelopeVerifier);
        let (state, handle, commands, wants) =
            gossip::channel(peer, &network, config, verifier, Moment::now());
        let mut task = JoinSet::new();
        task.spawn(run(swarm, state, commands));
        task.spawn(errands(
            handle.clone(),
            wants,
            other.map(|other| other.handle.clone()),
        ));
        Self {
            handle,
            address,
            _task: task,
        }
    }
}

async fn run(mut swarm: Swarm<Behaviour>, mut state: State, mut commands: mpsc::Receiver<Command>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        let now = Moment::now();
        tokio::select! {
            command = commands.recv() => {
                let Some(command) = command else { return };
                state.on_command(swarm.behaviour_mut(), command, now);
            }
            event = swarm.select_next_some() => if let SwarmEvent::Behaviour(event) = event {
                state.on_event(swarm.behaviour_mut(), event, now);
            },
            _ = tick.tick() => state.on_tick(swarm.behaviour_mut(), now),
        }
    }
}

/// Asks the other what it knows, as a node does with a call.
async fn errands(handle: Handle, mut wants: mpsc::Receiver<Want>, other: Option<Handle>) {
    while let Some(want) = wants.recv().await {
        if let (Want::Pull { of, .. }, Some(other)) = (want, &other) {
            handle.learn(other.tell(of.as_ref()));
        }
    }
}

#[tokio::test]
async fn gossip_conforms_as_a_source() {
    let keypair = Keypair::generate();
    let announcer = Node::start(&keypair, None).await;
    let seeker = Node::start(&Keypair::generate(), Some(&announcer)).await;
    let mut case = DiscoveryCase::one(Arc::new(announcer.handle.clone()), keypair);
    case.seeker = Arc::new(seeker.handle.clone());
    timeout(DEADLINE, conformance::discovery(&case))
        .await
        .unwrap();
    timeout(DEADLINE, conformance::searching(&case))
        .await
        .unwrap();
}
