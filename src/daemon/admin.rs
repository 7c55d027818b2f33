//! The admin socket: how the daemon fares, for its own command line and for monitoring, over HTTP on a
//! unix socket. It runs on the main thread beside the couriers; a request does little and waits for the
//! store alone, connections are few and short, so that nobody who asks keeps a call waiting.
//!
//! ```text
//! GET /v1/status    the whole of it, as JSON
//! GET /metrics      the same for Prometheus
//! GET /healthz      200 while the daemon runs
//! GET /readyz       200 while calls are taken from every PBX and stored, else 503
//! ```

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as Probe;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::Listener;
use axum::{Json, Router};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream, unix};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tracing::{info, warn};

use crate::daemon::overview::Overview;
use crate::ops::status::metrics;

/// Connections at a time; more wait.
const CONNECTIONS_MAX: usize = 16;

/// How long one connection may last.
const CONNECTION_MAX: Duration = Duration::from_secs(30);

/// Who owns the socket, and his group, may ask.
const MODE: u32 = 0o660;

/// The socket while it is listened on; the file goes with it.
#[derive(Debug)]
pub struct Admin {
    listener: UnixListener,
    path: SocketFile,
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Admin {
    /// Makes the socket `path`; one that an earlier process left there is replaced.
    ///
    /// # Errors
    /// When it cannot be made, or another process listens there.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
            if Probe::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
            }
            fs::remove_file(path)?;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let listener = UnixListener::bind(path)?;
        let path = SocketFile(path.to_owned());
        fs::set_permissions(&path.0, Permissions::from_mode(MODE))?;
        Ok(Self { listener, path })
    }

    /// Answers until it is dropped.
    pub async fn run(self, overview: Overview) {
        let Self { listener, path } = self;
        info!(socket = %path.0.display(), "the admin socket listens");
        let gate = Gate { listener, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
        // It ends with its task only.
        if let Err(error) = axum::serve(gate, router(Arc::new(overview))).await {
            warn!(%error, "the admin socket answers no more");
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // One that stays is replaced by the next start.
        let _ = fs::remove_file(&self.0);
    }
}

fn router(overview: Arc<Overview>) -> Router {
    Router::new()
        .route("/v1/status", get(async |State(overview): State<Arc<Overview>>| Json(overview.status().await)))
        .route(
            "/metrics",
            get(async |State(overview): State<Arc<Overview>>| {
                ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(&overview.status().await))
            }),
        )
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready_or_not))
        .with_state(overview)
}

async fn ready_or_not(State(overview): State<Arc<Overview>>) -> impl IntoResponse {
    let status = overview.status().await;
    if status.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

/// Lets in as many connections as there are places, each for its time.
struct Gate {
    listener: UnixListener,
    places: Arc<Semaphore>,
}

impl Listener for Gate {
    type Io = Guest;
    type Addr = unix::SocketAddr;

    async fn accept(&mut self) -> (Guest, unix::SocketAddr) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { continue };
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let guest = Guest { stream, until: Box::pin(sleep(CONNECTION_MAX)), _place: place };
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
struct Guest {
    stream: UnixStream,
    until: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Guest {
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
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
