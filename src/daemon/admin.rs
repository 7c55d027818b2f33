//! The admin socket: how the daemon fares, what it has stored, and what a person wants done about it, for
//! its own command line and for monitoring, over HTTP on a unix socket. It runs on the main thread beside
//! the couriers; a request does little and waits for the store alone, connections are few and short (`gate`),
//! so that nobody who asks keeps a call waiting.
//!
//! ```text
//! GET  /v1/status         the whole of it, as JSON
//! GET  /v1/calls          calls by state, account, pbx, phone, extension, line, from, to; limit
//! GET  /v1/live           the calls in progress; pbx
//! GET  /v1/explain?call=  whole calls by id, uniqueid or number
//! GET  /v1/shadow         how calls compare with another connector's; account, from, to; limit
//! GET  /v1/export         whole calls with their slips, as /v1/calls chooses; after
//! POST /v1/import         {"calls":[…],"by":"…"}
//! POST /v1/retry, /drop   {"calls":[…],"by":"…","why":"…"}
//! POST /v1/forget         {"number":"…","by":"…","drop_waiting":false,"really":false}
//! POST /v1/pause, /resume {"account":"…","by":"…","why":"…"}
//! GET  /v1/log            the level of the log
//! POST /v1/log            {"level":"debug","for_seconds":600,"by":"…"}
//! GET  /v1/log/name?number=  under which name a number stands in the log
//! POST /v1/reload         {"by":"…"}
//! GET  /metrics           how it fares, for Prometheus
//! GET  /healthz           200 while the daemon makes progress, else 503
//! GET  /readyz            200 while calls are taken from every PBX and stored, else 503; all problems
//! ```
//! What cannot be done is answered by 400 (the question is wrong) or 503 (the store takes nothing), and a
//! line that says why.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::daemon::admin::gate::{Gate, Limits};
use crate::daemon::admin::orders::Peer;
use crate::daemon::herald;
use crate::daemon::overview::Overview;
use crate::ops::status::metrics;
use crate::outbox::schedule::person::Deed;

mod forget;
mod gate;
mod live;
mod log;
mod looks;
mod orders;
mod reload;
mod shadow;
mod transfer;

/// Who owns the socket, and his group, may ask.
const MODE: u32 = 0o660;

/// How long it may take to find out whether somebody listens at a socket.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// Bytes of an order: it names 200 calls at most.
const ORDER_MAX: usize = 64 << 10;

/// The socket while it is listened on; the file goes with it.
#[derive(Debug)]
pub struct Admin {
    listener: UnixListener,
    path: SocketFile,
    limits: Limits,
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Admin {
    /// Makes the socket `path`; one that an earlier process left there is replaced.
    ///
    /// # Errors
    /// When it cannot be made, or another process listens there.
    pub async fn bind(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.file_type().is_socket() => {
                if !is_deserted(path).await {
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
                }
                fs::remove_file(path)?;
            }
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file that is no socket",
                ));
            }
            Err(_) => {}
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let listener = UnixListener::bind(path)?;
        let path = SocketFile(path.to_owned());
        fs::set_permissions(&path.0, Permissions::from_mode(MODE))?;
        Ok(Self { listener, path, limits: Limits::default() })
    }

    /// Answers until it is dropped.
    pub async fn run(self, overview: Overview) {
        let Self { listener, path, limits } = self;
        info!(socket = %path.0.display(), "the admin socket listens");
        let router = router(Arc::new(overview)).into_make_service_with_connect_info::<Peer>();
        // It ends with its task only.
        if let Err(error) = axum::serve(Gate::new(listener, limits), router).await {
            warn!(%error, "the admin socket answers no more");
        }
    }
}

/// Whether nobody listens there any more. A process that hangs has a queue that may be full: who waits in it is
/// not answered, or sent away, and both are no refusal.
async fn is_deserted(path: &Path) -> bool {
    match timeout(PROBE_MAX, UnixStream::connect(path)).await {
        Ok(Err(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
        Ok(Ok(_)) | Err(_) => false,
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // One that stays is replaced by the next start.
        let _ = fs::remove_file(&self.0);
    }
}

/// Answers monitoring, and nobody else, at `address` until it is dropped. Where that cannot be, calls go on.
pub async fn watch_port(address: SocketAddr, overview: Overview) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            error!(%address, %error, "metrics cannot be served there: another process has the port; see [admin] listen");
            return;
        }
    };
    // Port 0 is whichever is free.
    let address = listener.local_addr().unwrap_or(address);
    info!(%address, "metrics and health checks are served");
    let router = monitoring().with_state(Arc::new(overview));
    // It ends with its task only.
    if let Err(error) = axum::serve(Gate::new(listener, Limits::default()), router).await {
        warn!(%error, "metrics are served no more");
    }
}

/// What changes nothing and names no call.
fn monitoring() -> Router<Arc<Overview>> {
    Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(alive_or_not))
        .route("/readyz", get(ready_or_not))
}

fn router(overview: Arc<Overview>) -> Router {
    monitoring()
        .route("/v1/status", get(async |State(overview): State<Arc<Overview>>| Json(overview.status().await)))
        .route("/v1/calls", get(looks::calls))
        .route("/v1/live", get(live::live))
        .route("/v1/explain", get(looks::explain))
        .route("/v1/shadow", get(shadow::report))
        .route("/v1/export", get(transfer::export))
        .route("/v1/import", post(transfer::import).layer(DefaultBodyLimit::max(transfer::PIECE_MAX)))
        .route(
            "/v1/retry",
            post(async |state, peer, order| orders::deed(Deed::Retry, state, peer, order).await),
        )
        .route(
            "/v1/drop",
            post(async |state, peer, order| orders::deed(Deed::Drop, state, peer, order).await),
        )
        .route("/v1/forget", post(forget::forget))
        .route("/v1/pause", post(async |state, peer, order| orders::pause(true, state, peer, order).await))
        .route("/v1/log", get(log::show).post(log::change))
        .route("/v1/log/name", get(log::name))
        .route("/v1/resume", post(async |state, peer, order| orders::pause(false, state, peer, order).await))
        .route("/v1/reload", post(reload::reload))
        .layer(DefaultBodyLimit::max(ORDER_MAX))
        .with_state(overview)
}

async fn metrics_page(State(overview): State<Arc<Overview>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(&overview.status().await))
}

async fn ready_or_not(State(overview): State<Arc<Overview>>) -> impl IntoResponse {
    let status = overview.status().await;
    let (code, word) = if status.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    };
    (code, word.to_owned() + &herald::page(&status))
}

/// That it is answered shows that the main thread lives.
async fn alive_or_not(State(overview): State<Arc<Overview>>) -> impl IntoResponse {
    match overview.stuck() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n"),
    }
}

/// The answer to what cannot be done.
#[derive(Debug)]
struct Sorry(StatusCode, String);

impl From<crate::outbox::queue::Error> for Sorry {
    fn from(error: crate::outbox::queue::Error) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for Sorry {
    fn into_response(self) -> axum::response::Response {
        (self.0, self.1 + "\n").into_response()
    }
}

#[cfg(test)]
mod tests;
