//! Asking the running daemon over its admin socket.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Builder;

use crate::config;
use crate::config::file::AdminTable;
use crate::config::surroundings::Host;

/// The daemon answers in milliseconds; a store that hangs, or a look through all calls, costs it seconds.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Why there is no answer, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "nobody answers on {}: the daemon does not run, or has another [admin] socket: \
         systemctl status ami2amo; journalctl -u ami2amo -n 50", socket.display()
    )]
    Down { socket: PathBuf, source: reqwest::Error },
    #[error("you may not ask the daemon on {}: ask as root, or as a member of the socket's group", socket.display())]
    Denied { socket: PathBuf, source: reqwest::Error },
    #[error("the daemon on {} does not answer: journalctl -u ami2amo -n 50", socket.display())]
    Mute { socket: PathBuf, source: reqwest::Error },
    #[error("the daemon says: {words}")]
    Refused { status: StatusCode, words: String },
    #[error(
        "the daemon's answer is of another version: is the running one older or newer than this program? systemctl restart ami2amo"
    )]
    Version(#[source] serde_json::Error),
    #[error("cannot ask")]
    Own(#[source] anyhow::Error),
}

/// The admin socket of the configuration. Without one it is where it is by default.
///
/// # Errors
/// When a configuration that was named cannot be read.
pub fn path(config: Option<&Path>, default: &Path) -> anyhow::Result<PathBuf> {
    match config {
        Some(config) => Ok(config::read(config, &Host::Look)?.admin.socket),
        None => match config::read(default, &Host::Look) {
            Ok(file) => Ok(file.admin.socket),
            // Whoever may not read it, for the secrets in it, may still ask.
            Err(config::Error::Unreadable { .. }) => Ok(AdminTable::default().socket),
            Err(error) => Err(error.into()),
        },
    }
}

/// Whether a daemon answers at all.
///
/// # Errors
/// When none does.
pub fn alive(socket: &Path) -> Result<(), Error> {
    ask(socket, Method::GET, "/healthz", &[], |request| request).map(drop)
}

/// What the daemon answers to this question.
///
/// # Errors
/// When nobody listens on the socket, or refuses the question.
pub fn get<T: DeserializeOwned>(
    socket: &Path,
    question: &str,
    values: &[(String, String)],
) -> Result<T, Error> {
    read(&ask(socket, Method::GET, question, values, |request| request)?)
}

/// What the daemon answers to this order.
///
/// # Errors
/// As [`get`].
pub fn post<T: DeserializeOwned>(socket: &Path, place: &str, order: &impl Serialize) -> Result<T, Error> {
    let body = serde_json::to_vec(order).map_err(|error| Error::Own(error.into()))?;
    let with_body = |request: RequestBuilder| request.header("content-type", "application/json").body(body);
    read(&ask(socket, Method::POST, place, &[], with_body)?)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(Error::Version)
}

fn ask(
    socket: &Path,
    method: Method,
    place: &str,
    values: &[(String, String)],
    finish: impl FnOnce(RequestBuilder) -> RequestBuilder,
) -> Result<Vec<u8>, Error> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.context("cannot start the runtime").map_err(Error::Own)?;
    let address = format!("http://localhost{place}");
    let address =
        if values.is_empty() { Url::parse(&address) } else { Url::parse_with_params(&address, values) };
    let address = address.context("the question is no address").map_err(Error::Own)?;
    runtime.block_on(async {
        let client = client(socket).map_err(Error::Own)?;
        let answer = finish(client.request(method, address)).send().await;
        let answer = answer.map_err(|error| unanswered(socket, error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| unanswered(socket, error))?;
        if !status.is_success() {
            let words = String::from_utf8_lossy(&body).trim().to_owned();
            return Err(Error::Refused { status, words });
        }
        Ok(body.to_vec())
    })
}

fn client(socket: &Path) -> anyhow::Result<Client> {
    // Nothing is encrypted here; the HTTP client wants to know how it would be.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let client = Client::builder().tls_backend_preconfigured(tls).unix_socket(socket).no_proxy();
    Ok(client.timeout(ANSWER_MAX).build()?)
}

fn unanswered(socket: &Path, source: reqwest::Error) -> Error {
    let socket = socket.to_owned();
    match io_kind(&source) {
        Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Error::Down { socket, source },
        Some(io::ErrorKind::PermissionDenied) => Error::Denied { socket, source },
        Some(_) | None => Error::Mute { socket, source },
    }
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}
