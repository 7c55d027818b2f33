//! Who is let in at the admin socket, and for how long: connections are few and short, whatever is done
//! with them, and one more waits until there is a place.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream, unix};
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
pub struct Gate {
    listener: UnixListener,
    places: Arc<Semaphore>,
    lifetime: Duration,
}

impl Gate {
    pub fn new(listener: UnixListener, Limits { connections, lifetime }: Limits) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections)), lifetime }
    }
}

impl Listener for Gate {
    type Io = Guest;
    type Addr = unix::SocketAddr;

    async fn accept(&mut self) -> (Guest, unix::SocketAddr) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { continue };
            match self.listener.accept().await {
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

    fn local_addr(&self) -> io::Result<unix::SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when its time is over.
#[derive(Debug)]
pub struct Guest {
    stream: UnixStream,
    until: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Guest {
    /// The user at the other end, as the system knows him.
    pub fn user(&self) -> Option<u32> {
        self.stream.peer_cred().ok().map(|peer| peer.uid())
    }

    fn poll_over(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.until.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_over(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Guest {
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
