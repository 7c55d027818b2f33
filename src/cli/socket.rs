//! Asking the running daemon over its admin socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::Client;
use tokio::runtime::Builder;

use crate::config;
use crate::config::file::AdminTable;
use crate::config::surroundings::Host;

/// The daemon answers in milliseconds; a store that hangs costs it two seconds.
const ANSWER_MAX: Duration = Duration::from_secs(10);

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

/// What the daemon answers to this question.
///
/// # Errors
/// When nobody listens on the socket, or refuses the question.
pub fn get(socket: &Path, question: &str) -> anyhow::Result<Vec<u8>> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    runtime.context("cannot start the runtime")?.block_on(async {
        let client = Client::builder().unix_socket(socket).no_proxy().timeout(ANSWER_MAX).build()?;
        let answer = client.get(format!("http://localhost{question}")).send().await;
        let answer = answer.map_err(|error| unanswered(socket, error))?;
        let status = answer.status();
        let body = answer.bytes().await.context("the daemon's answer broke off")?;
        if !status.is_success() {
            bail!("the daemon says {status}: {}", String::from_utf8_lossy(&body).trim());
        }
        Ok(body.to_vec())
    })
}

/// Why there is no answer, and what to do.
fn unanswered(socket: &Path, error: reqwest::Error) -> anyhow::Error {
    let kind = io_kind(&error);
    let socket = socket.display();
    let advice = match kind {
        Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            "the daemon does not run, or has another [admin] socket: systemctl status ami2amo; \
             journalctl -u ami2amo -n 50"
        }
        Some(io::ErrorKind::PermissionDenied) => "you may not ask it: ask as root",
        Some(_) | None => "the daemon runs and does not answer: journalctl -u ami2amo -n 50",
    };
    anyhow::Error::new(error).context(format!("nobody answers on {socket}: {advice}"))
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}
