//! Connections that can be broken in the middle of an answer.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// One connection, as the handler of its requests sees it.
#[derive(Clone, Debug, Default)]
pub struct Connection(Arc<Link>);

/// All connections.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Mutex<Vec<Connection>>>);

#[derive(Debug, Default)]
struct Link {
    health: AtomicU8,
    reader: Mutex<Option<Waker>>,
}

const WHOLE: u8 = 0;
/// The next answer ends in the middle of its body.
const CUT: u8 = 1;
const CLOSED: u8 = 2;
const RESET: u8 = 3;

pub struct Breakable {
    listener: TcpListener,
    connections: Connections,
}

pub struct Stream {
    stream: TcpStream,
    connection: Connection,
}

impl Connection {
    pub fn reset(&self) {
        self.set(RESET);
    }

    pub fn cut_answer(&self) {
        self.set(CUT);
    }

    fn set(&self, health: u8) {
        self.0.health.store(health, Ordering::SeqCst);
        if let Some(waker) = self.0.reader.lock().expect("nobody panics here").take() {
            waker.wake();
        }
    }

    fn health(&self) -> u8 {
        self.0.health.load(Ordering::SeqCst)
    }
}

impl Connections {
    pub fn break_all(&self) {
        for connection in self.0.lock().expect("nobody panics here").drain(..) {
            connection.reset();
        }
    }

    fn open(&self) -> Connection {
        let connection = Connection::default();
        self.0.lock().expect("nobody panics here").push(connection.clone());
        connection
    }
}

impl Breakable {
    pub fn new(listener: TcpListener, connections: Connections) -> Self {
        Self { listener, connections }
    }
}

impl Listener for Breakable {
    type Io = Stream;
    type Addr = Connection;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, _) = Listener::accept(&mut self.listener).await;
        let connection = self.connections.open();
        (Stream { stream, connection: connection.clone() }, connection)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(Connection::default())
    }
}

impl Connected<IncomingStream<'_, Breakable>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Breakable>) -> Self {
        stream.remote_addr().clone()
    }
}

impl Stream {
    fn check(&self) -> io::Result<()> {
        match self.connection.health() {
            RESET => {
                let _ = self.stream.set_zero_linger();
                Err(io::ErrorKind::ConnectionReset.into())
            }
            CLOSED => Err(io::ErrorKind::BrokenPipe.into()),
            _ => Ok(()),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        *self.connection.0.reader.lock().expect("nobody panics here") = Some(cx.waker().clone());
        self.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        if self.connection.health() != CUT {
            return Pin::new(&mut self.stream).poll_write(cx, buf);
        }
        let head = buf.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        let half = head + (buf.len() - head) / 2;
        let written = std::task::ready!(Pin::new(&mut self.stream).poll_write(cx, &buf[..half]));
        self.connection.set(CLOSED);
        written.map(|_| buf.len()).into()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
