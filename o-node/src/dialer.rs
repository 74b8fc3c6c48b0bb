//! How the pool gets its connections: custom transports first, then the Swarm.

mod turns;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use o_address::{PeerId, TransportAddr};
use o_core::{
    Attempt, Connection, ConnectionGater, DenyReason, DialError, Direction, Event, Events, Stage,
    Substream, Transport,
};
use o_pool::Dialer;
use o_protocol::{Hello, Serve, SessionConfig, SessionEnd, Side, connect};

use crate::{
    dialed::Dialed,
    events::EventBus,
    link::{Fresh, Link},
    parting::Parting,
    peers::Peers,
    swarm::SwarmHandle,
    tasks::Tasks,
};

/// What every connection outside the Swarm needs.
pub(crate) struct Outside {
    pub(crate) local: PeerId,
    pub(crate) transports: Vec<Arc<dyn Transport>>,
    pub(crate) gater: Arc<dyn ConnectionGater>,
    pub(crate) serve: Arc<dyn Serve>,
    pub(crate) hello: Arc<dyn Fn() -> Hello + Send + Sync>,
    pub(crate) session: SessionConfig,
    /// How long a peer that dialed may take to open its call substream.
    pub(crate) admit_timeout: Duration,
    /// How long a refused peer may take to read why.
    pub(crate) refuse_timeout: Duration,
    pub(crate) tasks: Tasks,
    pub(crate) peers: Arc<Peers>,
    pub(crate) events: EventBus,
}

impl Outside {
    /// The transport that takes this address, if a custom one does.
    pub(crate) fn transport_for(&self, address: &TransportAddr) -> Option<&Arc<dyn Transport>> {
        self.transports
            .iter()
            .find(|transport| transport.handles(address))
    }

    /// Begins a session on a connection's call substream, driven by a task of the node.
    pub(crate) fn begin(
        &self,
        connection: Arc<dyn Connection>,
        substream: Substream,
        side: Side,
    ) -> Link {
        let (peer, remote, direction) = (
            connection.peer(),
            connection.remote(),
            connection.direction(),
        );
        let serve = self.serve_for(peer, &remote, direction);
        let (session, driver) = connect(
            Parting::new(substream),
            side,
            self.session.clone(),
            (self.hello)(),
            Some(peer),
            serve,
        );
        let known = self.peers.known(peer);
        let link = Link::new(session, self.local, known, remote.clone(), direction, false);
        self.peers.add(link.clone());
        self.events.publish(Event::Connected {
            peer,
            address: remote,
            direction,
            plaintext: false,
        });
        let (peers, events, ours) = (self.peers.clone(), self.events.clone(), link.clone());
        self.tasks.spawn("session", async move {
            let end = driver.await;
            connection.close().await;
            peers.remove(&ours);
            events.publish(Event::Disconnected {
                peer,
                reason: end.to_string(),
            });
        });
        link
    }

    fn serve_for(
        &self,
        peer: PeerId,
        remote: &TransportAddr,
        direction: Direction,
    ) -> Arc<dyn Serve> {
        if direction == Direction::Inbound {
            return self.serve.clone();
        }
        Arc::new(Dialed {
            gater: self.gater.clone(),
            peer,
            remote: Some(remote.clone()),
            relayed: remote.transport_label() == "relay",
            serve: self.serve.clone(),
        })
    }

    /// Our own policy does not want a peer that dialed.
    pub(crate) fn denied_inbound(&self, peer: PeerId, reason: DenyReason) {
        let (peer, direction) = (Some(peer), Direction::Inbound);
        self.events.publish(Event::Denied {
            peer,
            direction,
            reason,
        });
    }

    /// Our own policy does not want a peer that was to be dialed.
    fn denied(&self, peer: PeerId, reason: DenyReason) -> DialError {
        let text = format!("by this node: {reason}");
        let (denied, direction) = (Some(peer), Direction::Outbound);
        self.events.publish(Event::Denied {
            peer: denied,
            direction,
            reason,
        });
        DialError::Refused {
            peer,
            reason: text,
            certain: true,
        }
    }

    async fn dial(
        &self,
        transport: &Arc<dyn Transport>,
        peer: PeerId,
        addresses: &[TransportAddr],
    ) -> Result<Fresh, DialError> {
        let attempt = Attempt::new(Stage::Pending, Direction::Outbound).peer(&peer);
        self.gater
            .allow(&attempt)
            .map_err(|reason| self.denied(peer, reason))?;
        let connection = transport.dial(peer, addresses).await?;
        let found = connection.peer();
        if found != peer {
            connection.close().await;
            return Err(DialError::WrongPeer {
                expected: peer,
                found,
            });
        }
        let remote = connection.remote();
        let attempt = Attempt::new(Stage::Established, Direction::Outbound);
        if let Err(reason) = self.gater.allow(&attempt.peer(&peer).remote(&remote)) {
            connection.close().await;
            return Err(self.denied(peer, reason));
        }
        let substream = connection.open().await.map_err(|error| {
            let reason = error.to_string();
            DialError::Refused {
                peer,
                reason,
                certain: false,
            }
        })?;
        Ok(Fresh::new(self.begin(connection, substream, Side::Dialer)))
    }
}

/// Dials for the pool.
#[derive(Clone)]
pub(crate) struct NodeDialer {
    pub(crate) swarm: SwarmHandle,
    pub(crate) outside: Arc<Outside>,
    /// The longest time for a dial, up to the other side's HELLO.
    pub(crate) timeout: Duration,
    /// How long addresses of one rank are dialed before others are, too.
    pub(crate) stagger: Duration,
    /// Known from the start, each with its peer id.
    pub(crate) bootstrap: Arc<[TransportAddr]>,
}

impl fmt::Debug for NodeDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeDialer")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl NodeDialer {
    /// Dials one address and takes whoever answers there.
    pub(crate) async fn dial_anybody(&self, address: TransportAddr) -> Result<Link, DialError> {
        let reason = format!("{address}: no answer within {:?}", self.timeout);
        let dial = async {
            let only = self.swarm.dial(None, vec![address], None).await?;
            self.greeted(only).await
        };
        let timed_out = DialError::FailedAt { reason };
        tokio::time::timeout(self.timeout, dial)
            .await
            .unwrap_or(Err(timed_out))
    }

    /// Dials one peer at one address, past the pool, and says exactly why that failed.
    pub(crate) async fn dial_known(
        &self,
        peer: PeerId,
        address: TransportAddr,
    ) -> Result<Link, DialError> {
        self.dial(peer, vec![address]).await
    }

    /// Waits for the HELLO, which is how a peer says that it takes us.
    async fn greeted(&self, fresh: Fresh) -> Result<Link, DialError> {
        let ready = fresh.link().session.ready().await;
        let link = fresh.keep();
        let peer = link.peer;
        match ready {
            Ok(_) => Ok(link),
            // It took us, and has already closed this one for a better one or for idleness. Whoever wants
            // to call over it sees that and asks again.
            Err(_) if link.session.is_parting() && link.hello().is_some() => Ok(link),
            Err(SessionEnd::Refused { reason, certain }) => Err(DialError::Refused {
                peer,
                reason,
                certain,
            }),
            Err(SessionEnd::Busy { reason }) => Err(DialError::PeerBusy { peer, reason }),
            Err(end) => Err(DialError::Failed {
                peer,
                reason: end.to_string(),
            }),
        }
    }

    async fn dial_all(
        &self,
        peer: PeerId,
        addresses: Vec<TransportAddr>,
    ) -> Result<Link, DialError> {
        let (custom, swarm): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .partition(|address| self.outside.transport_for(address).is_some());
        let mut failed = None;
        if let Some(transport) = custom
            .first()
            .and_then(|first| self.outside.transport_for(first))
        {
            match self.outside.dial(transport, peer, &custom).await {
                Ok(fresh) => return self.greeted(fresh).await,
                Err(error) => failed = Some(error),
            }
        }
        match (failed, swarm.is_empty()) {
            (Some(error), true) => Err(error),
            _ => {
                let fresh = self.dial_in_turns(peer, swarm).await?;
                self.greeted(fresh).await
            }
        }
    }

    async fn dial_in_turns(
        &self,
        peer: PeerId,
        addresses: Vec<TransportAddr>,
    ) -> Result<Fresh, DialError> {
        let turns = turns::turns(addresses, self.stagger);
        let mut begun = Vec::new();
        let dial = |addresses: Vec<_>, last: bool| {
            begun.extend_from_slice(&addresses);
            // What the table knows comes last, and may be all there is.
            let known_but = last.then(|| std::mem::take(&mut begun));
            self.swarm.dial(Some(peer), addresses, known_but)
        };
        let dialed = turns::take(turns, self.stagger, dial).await;
        dialed.map_err(|failed| turns::sum_up(failed).unwrap_or(DialError::NoAddresses { peer }))
    }
}

#[async_trait]
impl Dialer for NodeDialer {
    type Link = Link;

    async fn dial(
        &self,
        peer: PeerId,
        mut addresses: Vec<TransportAddr>,
    ) -> Result<Link, DialError> {
        if addresses.is_empty() {
            addresses = self.outside.peers.met_at(&peer);
        }
        let after = self.timeout;
        let dial = self.dial_all(peer, addresses);
        tokio::time::timeout(after, dial)
            .await
            .unwrap_or(Err(DialError::TimedOut { peer, after }))
    }

    /// Bootstrap peers, whom this node has met, and who is in its table.
    async fn known(&self) -> Vec<(PeerId, Vec<TransportAddr>)> {
        let given = self.bootstrap.iter();
        let mut known: Vec<_> = given
            .filter_map(|address| Some((address.peer_id()?, vec![address.clone()])))
            .collect();
        known.extend(self.outside.peers.met());
        known.extend(self.swarm.table().await);
        known.retain(|(peer, _)| *peer != self.outside.local);
        known
    }
}
