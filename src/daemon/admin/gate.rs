//! Who is let in at the admin socket, and for how long: connections are few and short, whatever is done
//! with them, and one more waits until there is a place.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream, unix};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tracing::warn;

/// What all guests together may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more wait.
    pub connections: usize,
    /// How long one may last.
    pub lifetime: Duration,
}

impl Default for Limits {
    /// An answer takes milliseconds, two seconds where the disk hangs, and some more for a look through
    /// 200,000 calls on a slow one.
    fn default() -> Self {
        Self { connections: 16, lifetime: Duration::from_secs(15) }
    }
}

/// Lets in as many connections as there are places, each for its time.
#[derive(Debug)]
pub struct Gate<L> {
    listener: L,
    places: Arc<Semaphore>,
    lifetime: Duration,
}

/// Where guests come from.
pub trait Entrance: Send + 'static {
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    type Addr: Send;

    fn next(&self) -> impl Future<Output = io::Result<(Self::Io, Self::Addr)>> + Send;

    /// # Errors
    /// When the system does not say.
    fn address(&self) -> io::Result<Self::Addr>;
}

impl Entrance for UnixListener {
    type Io = UnixStream;
    type Addr = unix::SocketAddr;

    async fn next(&self) -> io::Result<(UnixStream, unix::SocketAddr)> {
        self.accept().await
    }

    fn address(&self) -> io::Result<unix::SocketAddr> {
        self.local_addr()
    }
}

impl Entrance for TcpListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept().await
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl<L> Gate<L> {
    pub fn new(listener: L, Limits { connections, lifetime }: Limits) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections)), lifetime }
    }
}

impl<L: Entrance> Listener for Gate<L> {
    type Io = Guest<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Guest<L::Io>, L::Addr) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { continue };
            match self.listener.next().await {
                Ok((stream, address)) => {
                    let guest = Guest { stream, until: Box::pin(sleep(self.lifetime)), _place: place };
                    return (guest, address);
                }
                // No file descriptor is free, most likely: calls go first.
                Err(error) => {
                    warn!(%error, "a connection to the admin socket cannot be taken");
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.address()
    }
}

/// A connection that ends when its time is over.
#[derive(Debug)]
pub struct Guest<S> {
    stream: S,
    until: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Guest<UnixStream> {
    /// The user at the other end, as the system knows him.
    pub fn user(&self) -> Option<u32> {
        self.stream.peer_cred().ok().map(|peer| peer.uid())
    }
}

impl<S> Guest<S> {
    fn poll_over(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.until.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guest<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_over(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guest<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_over(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_over(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
