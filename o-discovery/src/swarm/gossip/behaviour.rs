//! Gossipsub as this network speaks it.

use libp2p::{
    StreamProtocol,
    gossipsub::{
        self, ConfigBuilder, IdentTopic, IdentityTransform, MaxCountSubscriptionFilter,
        MessageAuthenticity, MessageId, TopicHash, ValidationMode, Version,
        WhitelistSubscriptionFilter,
    },
    identity::Keypair,
};
use o_core::NetworkId;
use o_protocol::GossipMessage;
use sha2::{Digest, Sha256};

/// The one topic.
const TOPIC: &str = "records";
/// What gossipsub puts around a message: sender, key, signature, topic, number, lengths.
const ENVELOPE: usize = 512;
/// Messages that wait for one slow peer.
const QUEUE: usize = 512;

/// The behaviour that publishes and passes on.
pub type Behaviour = gossipsub::Behaviour<
    IdentityTransform,
    MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>,
>;

/// The protocol id of a network's gossip: `/o-gossip/1/<network>`.
#[expect(
    clippy::expect_used,
    reason = "a text that begins with a slash is a protocol id"
)]
pub fn protocol(network: &NetworkId) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/o-gossip/1/{network}"))
        .expect("it begins with a slash")
}

pub(super) fn topic() -> IdentTopic {
    IdentTopic::new(TOPIC)
}

pub(super) fn topic_hash() -> TopicHash {
    topic().hash()
}

/// A behaviour for the node with this key, subscribed.
///
/// # Errors
/// A text that says what gossipsub does not like about the configuration, which is fixed: a fault.
pub fn behaviour(keypair: &Keypair, network: &NetworkId) -> Result<Behaviour, String> {
    let config = ConfigBuilder::default()
        .protocol_id(protocol(network).as_ref().to_owned(), Version::V1_1)
        .max_transmit_size(GossipMessage::MAX_BYTES + ENVELOPE)
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        // What a peer says twice is one message; what another one repeats is another one.
        .message_id_fn(|message| {
            let mut hash = Sha256::new();
            if let Some(source) = &message.source {
                hash.update(source.to_bytes());
            }
            hash.update(&message.data);
            MessageId::new(&hash.finalize()[..20])
        })
        .flood_publish(true)
        // Every copy of a message costs a signature: what a smaller mesh loses is pulled.
        .mesh_n(4)
        .mesh_n_low(3)
        .mesh_n_high(8)
        .mesh_outbound_min(1)
        .connection_handler_queue_len(QUEUE)
        .build()
        .map_err(|error| error.to_string())?;
    let filter = MaxCountSubscriptionFilter {
        filter: WhitelistSubscriptionFilter([topic_hash()].into()),
        max_subscribed_topics: 1,
        max_subscriptions_per_request: 4,
    };
    let signed = MessageAuthenticity::Signed(keypair.clone());
    let mut behaviour = Behaviour::new_with_subscription_filter(signed, config, filter)?;
    behaviour
        .subscribe(&topic())
        .map_err(|error| error.to_string())?;
    Ok(behaviour)
}
