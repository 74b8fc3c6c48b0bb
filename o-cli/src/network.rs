//! A short-lived node on the network: how a client finds somebody to ask.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use o_address::{Address, PeerId, TransportAddr};
use o_core::{Caller, Node as _};
use o_node::{Identity, IdentityConfig, KeySource, Node, Preset, rank};

use crate::{
    cli::NetworkArgs,
    deadline::Deadline,
    exit::{Exit, Failure},
    paths,
    runtime_dir::{self, RunningNode},
    settings::Settings,
    signals::Interrupt,
};

/// The most running nodes of this user that a node connects to.
const MAX_NEIGHBORS: usize = 16;
/// How long a client waits for the answers of cancelled calls.
const DRAIN: Duration = Duration::from_millis(250);
/// How long the reason for a failed search is looked for.
const EXPLAIN: Duration = Duration::from_secs(5);

/// A client on the network.
#[derive(Debug)]
pub(crate) struct Client {
    node: Node,
    /// The one peer to ask, if one was given.
    peer: Option<(PeerId, TransportAddr)>,
    bootstrap: Vec<TransportAddr>,
    /// How long connecting to that one took.
    connected_in: Duration,
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
        let is_kept = matches!(key, KeySource::File(_));
        let identity = IdentityConfig::new(key).open()?;
        let mut config = settings.node.clone().client();
        config.bootstrap.clone_from(&bootstrap);
        config.node.drain = config.node.drain.min(DRAIN);
        // Whoever comes again remembers whom it called; its key file is locked, and with it what it remembers.
        if is_kept && config.reputation.file.is_none() {
            config.reputation.file = paths::reputation_file(&identity.keypair().peer_id());
        }
        let node = Node::builder(identity.keypair().clone(), settings.preset.value)
            .config(config)
            .start()
            .await?;
        let mut client = Self {
            node,
            peer: None,
            bootstrap,
            connected_in: Duration::ZERO,
            _identity: identity,
        };
        if let Some(address) = peer {
            let begun = Instant::now();
            match client.node.connect(address).await {
                Ok(peer) => {
                    client.connected_in = begun.elapsed();
                    client.peer = Some((peer, address.clone()));
                }
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

    /// Whom it asks first.
    pub(crate) fn bootstrap(&self) -> &[TransportAddr] {
        &self.bootstrap
    }

    /// How long connecting to the one peer took, up to its greeting; zero without one.
    pub(crate) fn connected_in(&self) -> Duration {
        self.connected_in
    }

    /// Whether the connection to the one peer is in plaintext.
    pub(crate) fn is_plaintext(&self) -> bool {
        self.peer
            .as_ref()
            .is_some_and(|(peer, _)| self.node.is_plaintext(peer))
    }

    /// Calls the one peer, or whoever answers to the address.
    pub(crate) fn caller(&self) -> Arc<dyn Caller> {
        match &self.peer {
            Some((peer, _)) => Arc::new(self.node.peer(*peer)),
            None => Arc::new(self.node.clone()),
        }
    }

    /// If the search failed because there is nobody to ask, says why there is nobody.
    async fn explain(&self, failure: Failure, limit: Duration) -> Failure {
        let vague = matches!(failure.exit, Exit::NotFound | Exit::Unreachable);
        if !vague || self.peer.is_some() {
            return failure;
        }
        if self.bootstrap.is_empty() {
            // Multicast was the only way, and nobody answered.
            return if failure.message == Failure::no_network().message {
                failure.hint("nobody answered on the local network")
            } else {
                failure
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
        match tokio::time::timeout(limit, looking).await {
            Ok(Some(reason)) => reason.context("the network cannot be reached"),
            _ => failure,
        }
    }

    /// The one peer to ask, or the one that the agent was found on. Never this node: it is not what
    /// an error is about.
    pub(crate) fn peer_of(&self, target: Option<&Address>) -> Option<PeerId> {
        let asked = self.peer.as_ref().map(|(peer, _)| *peer);
        let found = || {
            let target = target?;
            target.pin().or_else(|| self.node.known_peer(target))
        };
        asked
            .or_else(found)
            .filter(|peer| *peer != self.node.peer_id())
    }

    /// Whether it is connected to anybody.
    pub(crate) fn is_connected(&self) -> bool {
        self.node
            .pool_stats()
            .is_some_and(|pool| pool.connections > 0)
    }

    async fn close(&self) {
        if let Err(error) = self.node.stop().await {
            tracing::debug!(%error, "stopped");
        }
    }
}

/// What a client goes to the network for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errand<'a> {
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) deadline: Deadline,
    /// The one agent that it is about.
    pub(crate) target: Option<&'a Address>,
}

/// Does some work as a client and leaves the network again, also when it is interrupted or its time
/// is over: what was called hears of it. Getting into the network has to be done by the deadline;
/// the rest too, where it is one of the whole command.
///
/// # Errors
/// Those of the work, why there is no network, or that the time is over.
pub(crate) async fn with_client<T>(
    settings: &Settings,
    args: &NetworkArgs,
    errand: Errand<'_>,
    work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (interrupt, deadline) = (errand.interrupt, errand.deadline);
    let asked = args.peer.as_ref().and_then(TransportAddr::peer_id);
    let opening = deadline.during(Client::open(settings, args.peer.as_ref()));
    let client = interrupt
        .during(opening)
        .await
        .map_err(|failure| failure.about(asked))?;
    let working = deadline.during_command(work(&client));
    let done = match interrupt.during(working).await {
        Err(failure) => {
            let limit = deadline.for_explaining(EXPLAIN);
            Err(interrupt
                .during(async { Ok(client.explain(failure, limit).await) })
                .await?)
        }
        done => done,
    };
    let peer = client.peer_of(errand.target);
    let over = async {
        match deadline.for_leaving() {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = client.close() => {}
        () = interrupt.again() => {}
        () = over => {}
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
    let multicast = settings.preset.value == Preset::Lan;
    match neighbors(settings) {
        Ok(neighbors) if neighbors.is_empty() && !multicast => Err(Failure::no_network()),
        Ok(neighbors) => Ok(neighbors),
        Err(error) if multicast => {
            tracing::warn!(%error, "running nodes are not looked up");
            Ok(Vec::new())
        }
        Err(error) => Err(Failure::no_network().hint(error.to_string())),
    }
}

/// One address of each node of this user that runs on this machine and on this network.
///
/// # Errors
/// When it is not certain that those were this user's.
pub(crate) fn neighbors(settings: &Settings) -> io::Result<Vec<TransportAddr>> {
    let nodes = runtime_dir::running(&settings.network.value)?;
    Ok(nodes
        .iter()
        .filter_map(nearest)
        .take(MAX_NEIGHBORS)
        .collect())
}

/// Where a node on this machine is dialed: at its nearest address.
fn nearest(node: &RunningNode) -> Option<TransportAddr> {
    let nearest = node.listen.iter().min_by_key(|address| rank(address))?;
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
        let local = ["/ip4/127.0.0.1/tcp/3", "/unix/tmp/a.sock"];
        let nearest = |listen: &[&str]| nearest(&node(listen)).map(|a| a.as_str().to_owned());
        let with_peer = |address: &str| Some(format!("{address}/p2p/{peer}"));
        assert_eq!(nearest(&local), with_peer(local[1]));
        assert_eq!(nearest(&all), with_peer(all[3]));
        assert_eq!(nearest(&all[..2]), with_peer(all[1]));
        assert_eq!(nearest(&all[..1]), with_peer(all[0]));
        assert_eq!(nearest(&[]), None);
    }
}
