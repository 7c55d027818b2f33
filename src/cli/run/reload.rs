//! SIGHUP: the configuration is read again while the daemon runs.
//!
//! A task of its own, so that a file that cannot be read (a share that hangs) holds up nothing: the
//! running configuration stays until another one has passed every check.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::config::check::{Finding, Grade};
use crate::config::reload::{Reload, reload};
use crate::config::{self, Config, Policy};

/// The configuration that runs, and who hears of another policy.
pub(super) struct Reloading {
    path: PathBuf,
    /// The set-up of the start and the policy of now.
    running: Config,
    policy: watch::Sender<Arc<Policy>>,
}

impl Reloading {
    pub(super) fn new(path: PathBuf, running: Config, policy: watch::Sender<Arc<Policy>>) -> Self {
        Self { path, running, policy }
    }

    /// Reads the configuration again at each notification; several at once are one.
    pub(super) async fn run(mut self, hangup: Arc<Notify>) {
        loop {
            hangup.notified().await;
            let path = self.path.clone();
            match tokio::task::spawn_blocking(move || config::load(&path)).await {
                Ok(Ok((read, findings))) => self.take(&read, &findings),
                Ok(Err(error)) => refuse(error),
                Err(panic) => {
                    error!(%panic, "SIGHUP: reading the configuration failed: the running one stays");
                }
            }
        }
    }

    fn take(&mut self, read: &Config, findings: &[Finding]) {
        for finding in findings {
            match finding.grade {
                Grade::Ok => {}
                Grade::Warn => warn!("{finding}"),
                Grade::Down | Grade::Fail => error!("{finding}"),
            }
        }
        let Reload { policy, restart } = reload(&self.running, read);
        if !restart.is_empty() {
            warn!(keys = restart.join(", "), "SIGHUP: what is read once has changed: restart to apply it");
        }
        if policy == self.running.policy {
            info!("SIGHUP: the configuration was read again: nothing else has changed");
            return;
        }
        self.running.policy = Arc::clone(&policy);
        self.policy.send_replace(policy);
        info!("SIGHUP: the configuration was read again and counts for calls that end from here on");
    }
}

/// Tells each fault on a line of its own.
fn refuse(error: config::Error) {
    const STAYS: &str = "SIGHUP: the configuration is wrong and the running one stays";
    match error {
        config::Error::Wrong { findings, .. } => {
            for finding in findings.iter().filter(|finding| finding.grade == Grade::Fail) {
                error!("{STAYS}: {finding}");
            }
        }
        config::Error::Unreadable { .. } | config::Error::NotText { .. } | config::Error::Malformed(_) => {
            let text = format!("{:#}", anyhow::Error::new(error));
            // What follows is a drawing for people before a terminal.
            error!("{STAYS}: {}", text.lines().next().unwrap_or_default());
        }
    }
}
