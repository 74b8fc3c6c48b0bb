//! Connections of a node and the sessions on them.

use std::sync::Arc;

use o_address::{Address, PeerId, TransportAddr};
use o_core::{
    CallError, Connection, ConnectionError, DialError, Event, Listener, ResolveError, Substream,
};
use o_protocol::{Driver, Hello, SessionHandle, Side};

use super::{config::Names, run::Run, serve::Server, shared::Shared};

impl Shared {
    /// A session with somebody who answers to `target`.
    pub(super) async fn session_for(
        self: &Arc<Self>,
        run: &Arc<Run>,
        target: &Address,
    ) -> Result<SessionHandle, CallError> {
        let mut failure = CallError::NotFound {
            address: target.clone(),
        };
        for (peer, addresses) in self.routes(run, target).await? {
            if peer == self.built.peer {
                continue; // What is hosted here was looked for already.
            }
            match self.session_with(run, peer, &addresses, target).await {
                Ok(session) => return Ok(session),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn routes(
        &self,
        run: &Run,
        target: &Address,
    ) -> Result<Vec<(PeerId, Vec<TransportAddr>)>, CallError> {
        if let Some(pin) = target.pin() {
            let known = self.built.known.iter().find(|(peer, _)| *peer == pin);
            if known.is_some() || run.session(pin).is_some() {
                let addresses = known.map(|(_, addresses)| addresses.clone());
                return Ok(vec![(pin, addresses.unwrap_or_default())]);
            }
        }
        let resolved = match &self.built.names {
            Names::Directory(directory) => o_core::Resolver::resolve(directory, target).await,
            Names::Resolver(resolver) => resolver.resolve(target).await,
        };
        match resolved {
            Ok(routes) => Ok(routes
                .into_iter()
                .map(|route| (route.peer, route.addresses))
                .collect()),
            Err(ResolveError::NotFound { address }) => Err(CallError::NotFound { address }),
            Err(error) => Err(CallError::Unreachable {
                address: target.clone(),
                reason: error.to_string(),
            }),
        }
    }

    /// The session with `peer`, dialed if there is none; many callers wait for one dial.
    async fn session_with(
        self: &Arc<Self>,
        run: &Arc<Run>,
        peer: PeerId,
        addresses: &[TransportAddr],
        target: &Address,
    ) -> Result<SessionHandle, CallError> {
        if let Some(session) = run.session(peer) {
            return Ok(session);
        }
        let busy = || CallError::Busy {
            reason: "too many connections".into(),
        };
        let dialing = run.dialing(peer).ok_or_else(busy)?;
        let _dialing = dialing.lock().await;
        if let Some(session) = run.session(peer) {
            return Ok(session);
        }
        let limit = self.built.config.dial_timeout;
        let dial = async {
            let connection = self.built.transport.dial(peer, addresses).await;
            let connection = connection.map_err(|error| dial_failed(target, error))?;
            let substream = connection.open().await;
            let substream = substream.map_err(|error| open_failed(target, peer, error))?;
            Ok((connection, substream))
        };
        let dialed = tokio::time::timeout(limit, dial).await;
        let (connection, substream) = dialed.unwrap_or_else(|_| {
            Err(dial_failed(
                target,
                DialError::TimedOut { peer, after: limit },
            ))
        })?;
        self.adopt(run, connection, substream, Side::Dialer)
            .ok_or_else(busy)
    }

    /// Begins a session on a connection and spawns what drives it; `None` when there are too many.
    fn adopt(
        self: &Arc<Self>,
        run: &Arc<Run>,
        connection: Arc<dyn Connection>,
        substream: Substream,
        side: Side,
    ) -> Option<SessionHandle> {
        let config = &self.built.config;
        let mut hello = Hello::new(config.network.clone());
        hello.hosted = self.hosted();
        let server = Arc::new(Server::new(self.clone(), run.clone()));
        let peer = connection.peer();
        let (handle, driver) = o_protocol::connect(
            substream,
            side,
            config.session.clone(),
            hello,
            Some(peer),
            server,
        );
        let number = run.join(handle.clone())?;
        if run.leaving.is_cancelled() {
            handle.goodbye(&o_protocol::Goodbye::new(
                o_core::ErrorCode::ShuttingDown,
                "the node stops",
            ));
        }
        self.publish(Event::Connected {
            peer,
            address: connection.remote(),
            direction: connection.direction(),
            plaintext: false,
        });
        run.tasks
            .spawn(self.clone().drive(run.clone(), number, connection, driver));
        Some(handle)
    }

    async fn drive(
        self: Arc<Self>,
        run: Arc<Run>,
        number: u64,
        connection: Arc<dyn Connection>,
        driver: Driver<Substream>,
    ) {
        let reason = match run.over.run_until_cancelled(driver).await {
            Some(end) => end.to_string(),
            None => "the node has stopped".to_owned(),
        };
        connection.close().await;
        run.leave(number);
        self.publish(Event::Disconnected {
            peer: connection.peer(),
            reason,
        });
    }

    /// Takes connections until the node stops.
    pub(super) async fn accept_all(
        self: Arc<Self>,
        run: Arc<Run>,
        mut listener: Box<dyn Listener>,
    ) {
        let address = listener.address();
        while let Some(Some(connection)) = run.leaving.run_until_cancelled(listener.accept()).await
        {
            let (shared, in_run) = (self.clone(), run.clone());
            run.tasks
                .spawn(async move { shared.accept_one(&in_run, connection).await });
        }
        drop(listener);
        self.publish(Event::ListenerClosed(address));
    }

    async fn accept_one(self: Arc<Self>, run: &Arc<Run>, connection: Arc<dyn Connection>) {
        let limit = self.built.config.dial_timeout;
        let substream = tokio::time::timeout(limit, connection.accept());
        let Some(Ok(Ok(substream))) = run.over.run_until_cancelled(substream).await else {
            tracing::debug!(peer = %connection.peer(), "an accepted connection opened no substream");
            return connection.close().await;
        };
        if self
            .adopt(run, connection.clone(), substream, Side::Listener)
            .is_none()
        {
            tracing::debug!(peer = %connection.peer(), "too many connections");
            connection.close().await;
        }
    }
}

fn dial_failed(target: &Address, error: DialError) -> CallError {
    match error {
        DialError::Refused {
            peer,
            reason,
            certain,
        } => CallError::Refused {
            peer: Some(peer),
            reason,
            certain,
        },
        DialError::Busy { limit } => CallError::Busy {
            reason: limit.to_owned(),
        },
        other => CallError::Unreachable {
            address: target.clone(),
            reason: other.to_string(),
        },
    }
}

fn open_failed(target: &Address, peer: PeerId, error: ConnectionError) -> CallError {
    match error {
        ConnectionError::Refused { reason } => CallError::Refused {
            peer: Some(peer),
            reason: reason.to_string(),
            certain: true,
        },
        ConnectionError::Closed { .. } => CallError::Refused {
            peer: Some(peer),
            reason: "the connection was closed before a HELLO".into(),
            certain: false,
        },
        other => CallError::Unreachable {
            address: target.clone(),
            reason: other.to_string(),
        },
    }
}
