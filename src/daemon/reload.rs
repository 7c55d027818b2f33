//! The configuration is read again while the daemon runs: at SIGHUP, and when the admin socket is asked to.
//!
//! A task of its own, so that a file that cannot be read (a share that hangs) holds up nothing: the
//! running configuration stays until another one has passed every check. systemd hears when it begins and
//! what came of it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinError;
use tracing::{error, info, warn};

use crate::clock;
use crate::config::check::{Finding, Grade};
use crate::config::reload::{Reload, reload};
use crate::config::{self, Config};
use crate::daemon::{policies, systemd};
use crate::ops::reload::{Outcome, Reloaded, VERSION};

/// Questions that may wait: whoever asks more often is told that the answer takes long.
const ASKED_MAX: usize = 4;

/// Who asks, and where the answer goes.
#[derive(Debug)]
struct Ask {
    by: String,
    reply: oneshot::Sender<Reloaded>,
}

/// Asks for it, and knows what came of it last.
#[derive(Clone, Debug)]
pub struct Reloader {
    asks: mpsc::Sender<Ask>,
    last: watch::Receiver<Option<Reloaded>>,
}

/// The configuration that runs, and who hears of another policy.
pub struct Reloading {
    path: PathBuf,
    /// The set-up of the start and the policy of now.
    running: Config,
    policies: policies::Sender,
    asks: mpsc::Receiver<Ask>,
    last: watch::Sender<Option<Reloaded>>,
}

impl Reloader {
    /// Reads the configuration again, since `by` wants it; `None` when the daemon ends before that is done.
    pub async fn reload(&self, by: String) -> Option<Reloaded> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask { by, reply }).await.ok()?;
        answer.await.ok()
    }

    /// What came of it last.
    pub fn last(&self) -> Option<Reloaded> {
        self.last.borrow().clone()
    }
}

impl Reloading {
    pub fn new(path: PathBuf, running: Config, policies: policies::Sender) -> (Self, Reloader) {
        let ((asks, asked), (told, last)) = (mpsc::channel(ASKED_MAX), watch::channel(None));
        (Self { path, running, policies, asks: asked, last: told }, Reloader { asks, last })
    }

    /// Reads the configuration again at each notification, several at once are one, and for everybody who asks.
    /// Both are cancel safe.
    pub async fn run(mut self, hangup: Arc<Notify>) {
        loop {
            let (by, reply) = tokio::select! {
                () = hangup.notified() => ("SIGHUP".to_owned(), None),
                Some(Ask { by, reply }) = self.asks.recv() => (by, Some(reply)),
            };
            let reloaded = self.once(&by).await;
            if let Some(reply) = reply {
                // Whoever asked may have gone.
                drop(reply.send(reloaded));
            }
        }
    }

    async fn once(&mut self, by: &str) -> Reloaded {
        systemd::reloading();
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || config::load(&path)).await;
        let outcome = match read {
            Ok(Ok((read, findings))) => self.take(&read, &findings, by),
            Ok(Err(error)) => refuse(&error, by),
            Err(panic) => stumble(&panic, by),
        };
        let config = self.path.display().to_string();
        let reloaded = Reloaded { v: VERSION, at: clock::host(), config, outcome };
        systemd::reloaded(&reloaded.line());
        self.last.send_replace(Some(reloaded.clone()));
        reloaded
    }

    fn take(&mut self, read: &Config, findings: &[Finding], by: &str) -> Outcome {
        for finding in findings {
            match finding.grade {
                Grade::Ok => {}
                Grade::Warn => warn!(by, "{finding}"),
                Grade::Down | Grade::Fail => error!(by, "{finding}"),
            }
        }
        let warnings = findings.iter().filter(|finding| finding.grade > Grade::Ok);
        let warnings = warnings.map(ToString::to_string).collect();
        let Reload { policy, changed, restart } = reload(&self.running, read);
        if !restart.is_empty() {
            warn!(by, keys = restart.join(", "), "what is read once has changed: restart to apply it");
        }
        if policy == self.running.policy {
            info!(by, "the configuration was read again: nothing else has changed");
        } else {
            self.running.policy = Arc::clone(&policy);
            self.policies.send(policy);
            let changed = changed.join(", ");
            info!(by, changed, "the configuration was read again and counts for calls that end from here on");
        }
        Outcome::Taken { changed, restart, warnings }
    }
}

/// Tells each fault on a line of its own.
fn refuse(error: &config::Error, by: &str) -> Outcome {
    const STAYS: &str = "the configuration is wrong and the running one stays";
    let problems = whole(error);
    match error {
        config::Error::Wrong { findings, .. } => {
            for finding in findings.iter().filter(|finding| finding.grade == Grade::Fail) {
                error!(by, "{STAYS}: {finding}");
            }
        }
        config::Error::Unreadable { .. } | config::Error::NotText { .. } | config::Error::Malformed(_) => {
            // What follows the first line is a drawing for people before a terminal.
            error!(by, "{STAYS}: {}", problems.lines().next().unwrap_or_default());
        }
    }
    Outcome::Refused { problems }
}

/// With its causes.
fn whole(error: &config::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn stumble(panic: &JoinError, by: &str) -> Outcome {
    error!(%panic, by, "reading the configuration failed: the running one stays");
    Outcome::Refused { problems: format!("reading it failed: {panic}") }
}
