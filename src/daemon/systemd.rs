//! What systemd is told: ready, status, signs of life, stopping. Without `NOTIFY_SOCKET` nothing is.

use std::fmt::Write as _;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, error};

use crate::call::id::PbxName;
use crate::clock;
use crate::intake::task::Link;

/// The line to the service manager.
#[derive(Clone, Copy, Debug)]
pub struct Notifier {
    watchdog: Option<Duration>,
}

impl Notifier {
    /// By the environment, as systemd sets it.
    pub fn from_environment() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled() }
    }

    /// One that tells nothing of life; READY and the like still go where `NOTIFY_SOCKET` says.
    pub fn without_watchdog() -> Self {
        Self { watchdog: None }
    }

    /// Tells READY, and then, until the returned set is dropped, each change of a link, and signs of
    /// life for as long as `intake` gives any itself.
    pub fn on_duty(&self, links: &[(PbxName, watch::Receiver<Link>)], intake: Handle) -> JoinSet<()> {
        tell(&[NotifyState::Ready, NotifyState::Status(&status_line(links))]);
        let mut duties = JoinSet::new();
        for (_, link) in links {
            duties.spawn(tell_status(link.clone(), links.to_vec()));
        }
        if let Some(watchdog) = self.watchdog {
            duties.spawn(feed(watchdog, intake));
        }
        duties
    }

    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }
}

async fn tell_status(mut link: watch::Receiver<Link>, links: Vec<(PbxName, watch::Receiver<Link>)>) {
    while link.changed().await.is_ok() {
        tell(&[NotifyState::Status(&status_line(&links))]);
    }
}

/// Feeds the watchdog at half its time. That this task runs shows that the main thread lives; the
/// intake's thread must have run an empty task within a quarter.
async fn feed(watchdog: Duration, intake: Handle) {
    loop {
        let alive = tokio::time::timeout(watchdog / 4, intake.spawn(async {})).await;
        match alive {
            Ok(Ok(())) => tell(&[NotifyState::Watchdog]),
            Ok(Err(_)) => return, // its runtime is gone: the process is ending
            Err(_) => error!("the intake's thread gives no sign of life: systemd will restart the daemon"),
        }
        clock::sleep_until(Some(clock::mono().after(watchdog / 2))).await;
    }
}

/// `default: up, Asterisk 22.10.1; msk: down, …`
fn status_line(links: &[(PbxName, watch::Receiver<Link>)]) -> String {
    let mut line = String::new();
    for (name, link) in links {
        let separator = if line.is_empty() { "" } else { "; " };
        let written = match &*link.borrow() {
            Link::Connecting => write!(line, "{separator}{name}: connecting"),
            Link::Up { asterisk_version: None } => write!(line, "{separator}{name}: up"),
            Link::Up { asterisk_version: Some(version) } => {
                write!(line, "{separator}{name}: up, Asterisk {version}")
            }
            Link::Down { reason } => write!(line, "{separator}{name}: down, {reason}"),
            Link::Stopped => write!(line, "{separator}{name}: not read, the store takes no calls"),
        };
        written.expect("a String takes everything");
    }
    // The protocol is lines: a reason must not bring a variable of its own.
    line.replace(|c: char| c.is_control(), " ")
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "systemd could not be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_names_each_pbx() {
        let link = |name: &str, link| (PbxName::new(name).unwrap(), watch::channel(link).1);
        let links = [
            link("msk", Link::Up { asterisk_version: Some("22.10.1".to_owned()) }),
            link("spb", Link::Down { reason: "gone\nREADY=1".to_owned() }),
        ];
        assert_eq!(status_line(&links), "msk: up, Asterisk 22.10.1; spb: down, gone READY=1");
    }
}
