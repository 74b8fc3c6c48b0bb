//! A short-lived node on the network: how a client finds somebody to ask.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use o_address::{PeerId, TransportAddr};
use o_core::{Caller, Node as _};
use o_node::{Identity, IdentityConfig, Node, Preset};

use crate::{
    cli::NetworkArgs,
    exit::{Exit, Failure},
    runtime_dir::{self, RunningNode},
    settings::Settings,
    signals::Interrupt,
};

/// The most running nodes of this user that a node connects to.
const MAX_NEIGHBORS: usize = 16;
/// How long a client waits for the answers of cancelled calls.
const DRAIN: Duration = Duration::from_secs(1);
/// How long the reason for a failed search is looked for.
const EXPLAIN: Duration = Duration::from_secs(5);

/// A client on the network.
#[derive(Debug)]
pub(crate) struct Client {
    node: Node,
    /// The one peer to ask, if one was given.
    peer: Option<(PeerId, TransportAddr)>,
    bootstrap: Vec<TransportAddr>,
    /// Keeps the key file locked.
    _identity: Identity,
}

impl Client {
    async fn open(settings: &Settings, peer: Option<&TransportAddr>) -> Result<Self, Failure> {
        let bootstrap = match peer {
            Some(_) => Vec::new(),
            None => entrance(settings)?,
        };
        let key = settings.key.value.clone().unwrap_or_default();
        let identity = IdentityConfig::new(key).open()?;
        let mut config = settings.node.clone().client();
        config.bootstrap.clone_from(&bootstrap);
        config.node.drain = config.node.drain.min(DRAIN);
        let node = Node::builder(identity.keypair().clone(), settings.preset.value)
            .config(config)
            .start()
            .await?;
        let mut client = Self {
            node,
            peer: None,
            bootstrap,
            _identity: identity,
        };
        if let Some(address) = peer {
            match client.node.connect(address).await {
                Ok(peer) => client.peer = Some((peer, address.clone())),
                Err(error) => {
                    client.close().await;
                    return Err(error.into());
                }
            }
        }
        Ok(client)
    }

    /// The node, for searches.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// The one peer to ask, and where it is, if one was given.
    pub(crate) fn peer(&self) -> Option<&(PeerId, TransportAddr)> {
        self.peer.as_ref()
    }

    /// Calls the one peer, or whoever answers to the address.
    pub(crate) fn caller(&self) -> Arc<dyn Caller> {
        match &self.peer {
            Some((peer, _)) => Arc::new(self.node.peer(*peer)),
            None => Arc::new(self.node.clone()),
        }
    }

    /// If the search failed because there is nobody to ask, says why there is nobody.
    async fn explain(&self, failure: Failure) -> Failure {
        let vague = matches!(failure.exit, Exit::NotFound | Exit::Unreachable);
        if !vague || self.peer.is_some() {
            return failure;
        }
        if self.bootstrap.is_empty() {
            // Multicast was the only way, and nobody answered.
            return match failure.exit {
                Exit::Unreachable if failure.message.contains("no network") => {
                    Failure::no_network().hint("nobody answered on the local network")
                }
                _ => failure,
            };
        }
        let dials = self
            .bootstrap
            .iter()
            .map(|address| self.node.connect(address));
        let mut dials: FuturesUnordered<_> = dials.collect();
        let looking = async {
            let mut reason = None;
            while let Some(dial) = dials.next().await {
                match dial {
                    Ok(_) => return None,
                    Err(error) => {
                        let failure = Failure::from(error);
                        let refused = failure.exit == Exit::Refused;
                        reason = match reason {
                            Some(reason) if !refused => Some(reason),
                            _ => Some(failure),
                        };
                    }
                }
            }
            reason
        };
        match tokio::time::timeout(EXPLAIN, looking).await {
            Ok(Some(reason)) => reason.context("the network cannot be reached"),
            _ => failure,
        }
    }

    async fn close(&self) {
        if let Err(error) = self.node.stop().await {
            tracing::debug!(%error, "stopped");
        }
    }
}

/// Does some work as a client and leaves the network again, also when it is interrupted: what was
/// called hears of it.
///
/// # Errors
/// Those of the work, or why there is no network.
pub(crate) async fn with_client<T>(
    settings: &Settings,
    args: &NetworkArgs,
    interrupt: &Interrupt,
    work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let client = interrupt
        .during(Client::open(settings, args.peer.as_ref()))
        .await?;
    let done = match interrupt.during(work(&client)).await {
        Err(failure) => Err(interrupt
            .during(async { Ok(client.explain(failure).await) })
            .await?),
        done => done,
    };
    let peer = client.peer.as_ref().map(|(peer, _)| *peer);
    tokio::select! {
        () = client.close() => {}
        () = interrupt.again() => {}
    }
    done.map_err(|failure| failure.about(peer))
}

/// Who is asked first: those on the bootstrap list, else the nodes of this user on this machine.
///
/// # Errors
/// Nobody, and no multicast either.
fn entrance(settings: &Settings) -> Result<Vec<TransportAddr>, Failure> {
    let given = &settings.bootstrap.value;
    if !given.is_empty() {
        return Ok(given.clone());
    }
    let neighbors = neighbors(settings);
    match neighbors.is_empty() && settings.preset.value != Preset::Lan {
        true => Err(Failure::no_network()),
        false => Ok(neighbors),
    }
}

/// One address of each node of this user that runs on this machine and on this network.
pub(crate) fn neighbors(settings: &Settings) -> Vec<TransportAddr> {
    let nodes = runtime_dir::running(&settings.network.value);
    nodes
        .iter()
        .filter_map(nearest)
        .take(MAX_NEIGHBORS)
        .collect()
}

/// Where a node on this machine is dialed: without leaving the machine if possible, and over TCP,
/// which connects in the fewest steps that every build has.
fn nearest(node: &RunningNode) -> Option<TransportAddr> {
    let far = |address: &&TransportAddr| {
        let plain_tcp = address.transport_label() == "tcp";
        (!address.is_loopback(), !plain_tcp)
    };
    let nearest = node.listen.iter().min_by_key(far)?;
    Some(nearest.with_peer(&node.peer_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbor_is_dialed_over_loopback_and_tcp_if_possible() {
        let peer: PeerId = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo"
            .parse()
            .unwrap();
        let node = |listen: &[&str]| RunningNode {
            pid: 1,
            address: "o://a".parse().unwrap(),
            peer_id: peer,
            network: "main".parse().unwrap(),
            listen: listen
                .iter()
                .map(|address| address.parse().unwrap())
                .collect(),
        };
        let all = [
            "/ip4/192.0.2.1/tcp/1",
            "/ip4/127.0.0.1/udp/2/quic-v1",
            "/ip4/127.0.0.1/tcp/3/ws",
            "/ip4/127.0.0.1/tcp/4",
        ];
        let nearest = |listen: &[&str]| nearest(&node(listen)).map(|a| a.as_str().to_owned());
        let with_peer = |address: &str| Some(format!("{address}/p2p/{peer}"));
        assert_eq!(nearest(&all), with_peer(all[3]));
        assert_eq!(nearest(&all[..2]), with_peer(all[1]));
        assert_eq!(nearest(&all[..1]), with_peer(all[0]));
        assert_eq!(nearest(&[]), None);
    }
}
