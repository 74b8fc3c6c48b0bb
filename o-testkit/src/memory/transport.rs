//! The transport of one peer in a network in memory, and its listeners.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use o_address::{PeerId, TransportAddr};
use o_core::{
    Attempt, Connection, ConnectionGater, DenyReason, DialError, Direction, ListenError, Listener,
    Stage, Transport,
};
use tokio::sync::mpsc;

use super::{
    connection::MemoryConnection,
    link::Link,
    refusals::Refusals,
    registry::{self, Listening, Registry},
    substream::End,
};

/// The transport of one peer of a [`MemoryNetwork`](crate::MemoryNetwork). Cheap to clone.
#[derive(Clone, Debug)]
pub struct MemoryTransport {
    registry: Arc<Registry>,
    peer: PeerId,
    gater: Option<Arc<dyn ConnectionGater>>,
}

impl MemoryTransport {
    pub(super) fn new(registry: Arc<Registry>, peer: PeerId) -> Self {
        Self {
            registry,
            peer,
            gater: None,
        }
    }

    /// The same with a policy, asked for every connection that is dialed or accepted from now on.
    #[must_use]
    pub fn gater(mut self, gater: impl ConnectionGater) -> Self {
        self.gater = Some(Arc::new(gater));
        self
    }

    /// Whose transport it is.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    async fn dial_one(
        &self,
        peer: PeerId,
        address: &TransportAddr,
        number: u64,
    ) -> Result<Arc<dyn Connection>, DialError> {
        let refused = |reason: DenyReason| refused_here(peer, &reason);
        let attempt = |stage| {
            Attempt::new(stage, Direction::Outbound)
                .peer(&peer)
                .remote(address)
        };
        allow(self.gater.as_ref(), &attempt(Stage::Pending)).map_err(refused)?;

        let config = &self.registry.config;
        let (latency, limit) = (config.latency, config.dial_timeout);
        let reach = async {
            let there = self.registry.listener(number)?;
            if !latency.is_zero() {
                tokio::time::sleep(latency * 2).await;
            }
            self.registry.reachable(self.peer, there.peer).await;
            // It may be gone by now.
            self.registry.listener(number)
        };
        let reached = tokio::time::timeout(limit, reach).await;
        let there = reached.map_err(|_| DialError::TimedOut { peer, after: limit })?;
        let there = there.ok_or_else(|| nobody(peer, address))?;

        let from = registry::address(self.registry.fresh());
        let knock = Attempt::new(Stage::Pending, Direction::Inbound).remote(&from);
        if allow(there.gater.as_ref(), &knock).is_err() {
            let reason = "closed before the handshake".to_owned();
            return Err(DialError::Refused {
                peer,
                reason,
                certain: false,
            });
        }
        if there.peer != peer {
            return Err(DialError::WrongPeer {
                expected: peer,
                found: there.peer,
            });
        }
        allow(self.gater.as_ref(), &attempt(Stage::Established)).map_err(refused)?;
        self.establish(there, address, from)
    }

    fn establish(
        &self,
        there: Listening,
        address: &TransportAddr,
        from: TransportAddr,
    ) -> Result<Arc<dyn Connection>, DialError> {
        let (link, incoming) = Link::new(self.registry.config.clone(), [self.peer, there.peer]);
        self.registry.connected(&link)?;
        let arrived = Attempt::new(Stage::Established, Direction::Inbound);
        let allowed = allow(
            there.gater.as_ref(),
            &arrived.peer(&self.peer).remote(&from),
        );
        let [at_dialer, at_listener] = incoming;
        let ours = MemoryConnection::new(link.clone(), End::Dialer, address.clone(), at_dialer);
        let theirs = MemoryConnection::new(link, End::Listener, from, at_listener);
        let theirs = Arc::new(theirs);
        match allowed {
            Err(reason) => there.refusals.refuse(theirs, &reason),
            Ok(()) => there
                .accepted
                .try_send(theirs)
                .map_err(|_| DialError::Failed {
                    peer: there.peer,
                    reason: format!("{address} takes no more connections"),
                })?,
        }
        Ok(Arc::new(ours))
    }
}

fn allow(
    gater: Option<&Arc<dyn ConnectionGater>>,
    attempt: &Attempt<'_>,
) -> Result<(), DenyReason> {
    gater.map_or(Ok(()), |gater| gater.allow(attempt))
}

fn refused_here(peer: PeerId, reason: &DenyReason) -> DialError {
    DialError::Refused {
        peer,
        reason: reason.to_string(),
        certain: true,
    }
}

fn nobody(peer: PeerId, address: &TransportAddr) -> DialError {
    DialError::Failed {
        peer,
        reason: format!("nobody listens at {address}"),
    }
}

/// What several addresses said, as one error: whoever answered counts more than silence.
fn worst(peer: PeerId, mut errors: Vec<DialError>) -> DialError {
    let answered = |error: &DialError| !matches!(error, DialError::Failed { .. });
    if let Some(at) = errors.iter().position(answered) {
        return errors.swap_remove(at);
    }
    let reasons = errors.iter().map(|error| match error {
        DialError::Failed { reason, .. } => reason.clone(),
        other => other.to_string(),
    });
    DialError::Failed {
        peer,
        reason: reasons.collect::<Vec<_>>().join("; "),
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn handles(&self, address: &TransportAddr) -> bool {
        registry::number(address).is_some()
    }

    async fn dial(
        &self,
        peer: PeerId,
        addresses: &[TransportAddr],
    ) -> Result<Arc<dyn Connection>, DialError> {
        let mut errors = Vec::new();
        for address in addresses {
            let Some(number) = registry::number(address) else {
                continue;
            };
            match self.dial_one(peer, address, number).await {
                Ok(connection) => return Ok(connection),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            return Err(DialError::NoAddresses { peer });
        }
        Err(worst(peer, errors))
    }

    async fn listen(&self, address: &TransportAddr) -> Result<Box<dyn Listener>, ListenError> {
        let Some(wanted) = registry::number(address) else {
            let reason = format!("{address} is not /memory/<number>");
            return Err(ListenError::Unsupported { reason });
        };
        let config = &self.registry.config;
        let (accepted, arriving) = mpsc::channel(config.backlog.max(1));
        let refusals = Arc::new(Refusals::new(config.max_refusals, config.refusal_timeout));
        let listening = Listening {
            peer: self.peer,
            gater: self.gater.clone(),
            accepted,
            refusals: refusals.clone(),
        };
        let number = self.registry.listen(wanted, listening)?;
        let registry = self.registry.clone();
        Ok(Box::new(MemoryListener {
            registry,
            number,
            arriving,
            refusals,
        }))
    }
}

struct MemoryListener {
    registry: Arc<Registry>,
    number: u64,
    arriving: mpsc::Receiver<Arc<MemoryConnection>>,
    refusals: Arc<Refusals>,
}

impl fmt::Debug for MemoryListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryListener")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Listener for MemoryListener {
    fn address(&self) -> TransportAddr {
        registry::address(self.number)
    }

    async fn accept(&mut self) -> Option<Arc<dyn Connection>> {
        let connection: Arc<dyn Connection> = self.arriving.recv().await?;
        Some(connection)
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        self.registry.unlisten(self.number);
        self.refusals.end();
    }
}
