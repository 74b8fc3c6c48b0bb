//! One end of a connection in memory.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use o_address::{PeerId, TransportAddr};
use o_core::{Connection, ConnectionError, Direction, Substream};
use tokio::sync::Mutex;

use super::{
    link::{Incoming, Link},
    substream::End,
};

pub(super) struct MemoryConnection {
    link: Arc<Link>,
    end: End,
    remote: TransportAddr,
    incoming: Mutex<Incoming>,
}

impl MemoryConnection {
    pub(super) fn new(
        link: Arc<Link>,
        end: End,
        remote: TransportAddr,
        incoming: Incoming,
    ) -> Self {
        Self {
            link,
            end,
            remote,
            incoming: Mutex::new(incoming),
        }
    }

    pub(super) fn cut(&self) {
        self.link.cut();
    }
}

impl fmt::Debug for MemoryConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConnection")
            .field("peer", &self.peer())
            .field("remote", &self.remote)
            .field("direction", &self.direction())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Connection for MemoryConnection {
    fn peer(&self) -> PeerId {
        self.link.peer(self.end.other())
    }

    fn remote(&self) -> TransportAddr {
        self.remote.clone()
    }

    fn direction(&self) -> Direction {
        match self.end {
            End::Dialer => Direction::Outbound,
            End::Listener => Direction::Inbound,
        }
    }

    async fn open(&self) -> Result<Substream, ConnectionError> {
        Ok(Box::pin(self.link.open(self.end)?))
    }

    async fn accept(&self) -> Result<Substream, ConnectionError> {
        let next = async { self.incoming.lock().await.recv().await };
        tokio::select! {
            biased;
            () = self.link.closed(self.end).cancelled() => Err(self.link.why_closed(self.end)),
            substream = next => match substream {
                Some(substream) => Ok(Box::pin(substream)),
                None => Err(self.link.why_closed(self.end)),
            },
        }
    }

    async fn close(&self) {
        self.link.close(self.end);
    }
}

impl Drop for MemoryConnection {
    fn drop(&mut self) {
        self.link.close(self.end);
    }
}
