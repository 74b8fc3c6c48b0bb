//! Asking the Swarm task for things.

use o_address::{PeerId, TransportAddr};
use o_core::{DialError, ListenError};
use tokio::sync::{mpsc, oneshot};

use crate::link::Fresh;

/// A connection whose call session has begun; its HELLO may still be on its way.
pub(crate) type Opened = Result<Fresh, DialError>;

#[derive(Debug)]
pub(crate) enum Command {
    Dial(DialCommand),
    Listen(ListenCommand),
    /// Who is in the routing table.
    Table(oneshot::Sender<Vec<(PeerId, Vec<TransportAddr>)>>),
    /// The node is about to stop.
    Leave,
    Shutdown,
}

#[derive(Debug)]
pub(crate) struct DialCommand {
    /// Whom; `None` dials the one address and takes whoever answers.
    pub(crate) peer: Option<PeerId>,
    pub(crate) addresses: Vec<TransportAddr>,
    /// Whether what the sources of discovery know of the peer is dialed, too: all but these addresses,
    /// which have been dialed already.
    pub(crate) known_but: Option<Vec<TransportAddr>>,
    pub(crate) reply: oneshot::Sender<Opened>,
}

impl DialCommand {
    pub(super) fn fail(self, error: DialError) {
        // Whoever asked may have gone.
        let _ = self.reply.send(Err(error));
    }
}

#[derive(Debug)]
pub(crate) struct ListenCommand {
    pub(crate) address: TransportAddr,
    pub(crate) reply: oneshot::Sender<Result<TransportAddr, ListenError>>,
}

/// Asks the Swarm task. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SwarmHandle(mpsc::Sender<Command>);

impl SwarmHandle {
    /// A queue in which at most `limit` commands wait.
    pub(crate) fn channel(limit: usize) -> (Self, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel(limit);
        (Self(sender), receiver)
    }

    /// Dials all addresses at once, and with `known_but` those, too, that the sources of discovery know
    /// and that are not among these.
    pub(crate) async fn dial(
        &self,
        peer: Option<PeerId>,
        addresses: Vec<TransportAddr>,
        known_but: Option<Vec<TransportAddr>>,
    ) -> Opened {
        let (reply, answer) = oneshot::channel();
        let command = Command::Dial(DialCommand {
            peer,
            addresses,
            known_but,
            reply,
        });
        self.0
            .send(command)
            .await
            .map_err(|_| DialError::Shutdown)?;
        answer.await.unwrap_or(Err(DialError::Shutdown))
    }

    /// Listens, and returns the address with the port that was given.
    pub(crate) async fn listen(
        &self,
        address: TransportAddr,
    ) -> Result<TransportAddr, ListenError> {
        let (reply, answer) = oneshot::channel();
        let closed = || ListenError::Failed("the node has shut down".into());
        let command = Command::Listen(ListenCommand { address, reply });
        self.0.send(command).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Whom the routing table names, and where; empty without a table.
    pub(crate) async fn table(&self) -> Vec<(PeerId, Vec<TransportAddr>)> {
        let (reply, answer) = oneshot::channel();
        // It may have ended already.
        let _ = self.0.send(Command::Table(reply)).await;
        answer.await.unwrap_or_default()
    }

    /// Takes the node out of the routing tables of others, as far as they are connected.
    pub(crate) async fn leave(&self) {
        // It may have ended already.
        let _ = self.0.send(Command::Leave).await;
    }

    pub(crate) async fn shutdown(&self) {
        // It may have ended already.
        let _ = self.0.send(Command::Shutdown).await;
    }
}
