//! Unix sockets as a libp2p transport of raw bytes: listening and dialing.

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Ready},
};
use libp2p::{
    Multiaddr,
    core::{
        Transport,
        transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    },
};
use tokio::{
    net::{UnixListener, UnixStream},
    time::Sleep,
};

use super::{file::SocketFile, path, socket::Socket};

/// How long nothing is accepted after that has failed: too many open files do not close at once.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a dial waits for room in the queue of a busy listener.
const BUSY: Duration = Duration::from_millis(5);

type Event = TransportEvent<Ready<io::Result<Socket>>, io::Error>;

/// Listeners, and what there is to say of them: at most two events for each that was opened or closed.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    listeners: Vec<Listener>,
    events: VecDeque<Event>,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Listener {
    /// Removes the file when it is dropped: before the socket, so that nobody takes the file for a stale
    /// one meanwhile, and no other file can have its number.
    _file: SocketFile,
    id: ListenerId,
    address: Multiaddr,
    socket: UnixListener,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Listener {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(pause) = &mut self.pause {
            if pause.poll_unpin(cx).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        let (listener_id, address) = (self.id, self.address.clone());
        self.socket.poll_accept(cx).map(|accepted| match accepted {
            Ok((stream, _)) => TransportEvent::Incoming {
                listener_id,
                upgrade: futures::future::ok(Socket::new(stream)),
                // A client's socket has no name.
                send_back_addr: address.clone(),
                local_addr: address,
            },
            Err(error) => {
                self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                TransportEvent::ListenerError { listener_id, error }
            }
        })
    }
}

impl Sockets {
    fn say(&mut self, event: Event) {
        self.events.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Transport for Sockets {
    type Output = Socket;
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<Socket>>;
    type Dial = BoxFuture<'static, io::Result<Socket>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        let path = path_of(address)?;
        let (socket, file) = SocketFile::bind(&path).map_err(TransportError::Other)?;
        let address = path::to_address(&path);
        self.listeners.push(Listener {
            id,
            address: address.clone(),
            socket,
            _file: file,
            pause: None,
        });
        self.say(TransportEvent::NewAddress {
            listener_id: id,
            listen_addr: address,
        });
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let found = self.listeners.iter().position(|listener| listener.id == id);
        let Some(index) = found else {
            return false;
        };
        let listener = self.listeners.swap_remove(index);
        self.say(TransportEvent::AddressExpired {
            listener_id: id,
            listen_addr: listener.address.clone(),
        });
        self.say(TransportEvent::ListenerClosed {
            listener_id: id,
            reason: Ok(()),
        });
        true
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        _: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let path = path_of(address)?;
        let dialing = async move {
            loop {
                match UnixStream::connect(&path).await {
                    // Its queue is full. The timeout of the whole dial ends this.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        tokio::time::sleep(BUSY).await;
                    }
                    done => return done.map(Socket::new),
                }
            }
        };
        Ok(dialing.boxed())
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        for index in 0..self.listeners.len() {
            if let Some(listener) = self.listeners.get_mut(index)
                && let Poll::Ready(event) = listener.poll(cx)
            {
                // The others have their turn before this one's next.
                self.listeners.rotate_left(index + 1);
                return Poll::Ready(event);
            }
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

fn path_of(address: Multiaddr) -> Result<PathBuf, TransportError<io::Error>> {
    match path::of(&address) {
        None => Err(TransportError::MultiaddrNotSupported(address)),
        Some(path) => path.map_err(TransportError::Other),
    }
}
