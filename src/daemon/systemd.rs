//! What systemd is told: ready, status, signs of life, stopping. Without `NOTIFY_SOCKET` nothing is.

use std::fmt::Write as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, error};

use crate::clock;
use crate::daemon::overview::Watched;
use crate::intake::task::Link;

/// How often a long start asks for more time, for three times as much.
const EXTEND_EVERY: Duration = Duration::from_secs(10);

/// A start that takes longer hangs, and systemd may end it.
const START_MAX: Duration = Duration::from_mins(30);

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

    /// Does what comes before READY, and asks systemd for more time as long as that lasts: a store that
    /// is repaired may take longer than a start should.
    pub fn while_starting<T>(work: impl FnOnce() -> T) -> T {
        patiently(EXTEND_EVERY, |time| tell(&[NotifyState::ExtendTimeoutUsec(micros(time))]), work)
    }

    /// Tells READY, and then, until the returned set is dropped, each change of a link, and signs of
    /// life for as long as `intake` gives any itself.
    pub fn on_duty(&self, pbxs: &[Watched], intake: Handle) -> JoinSet<()> {
        tell(&[NotifyState::Ready, NotifyState::Status(&status_line(pbxs))]);
        let mut duties = JoinSet::new();
        for pbx in pbxs {
            duties.spawn(tell_status(pbx.link.clone(), pbxs.to_vec()));
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

/// Does `work`, and meanwhile calls `extend` now and then with the time that is needed until the next
/// call.
fn patiently<T>(every: Duration, extend: impl Fn(Duration) + Send, work: impl FnOnce() -> T) -> T {
    let (done, waiting) = mpsc::sync_channel::<()>(1);
    let calls = u32::try_from(START_MAX.as_micros() / every.as_micros().max(1)).unwrap_or(u32::MAX);
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..calls {
                if waiting.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                extend(every * 3);
            }
        });
        let outcome = work();
        drop(done);
        outcome
    })
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

async fn tell_status(mut link: watch::Receiver<Link>, pbxs: Vec<Watched>) {
    while link.changed().await.is_ok() {
        tell(&[NotifyState::Status(&status_line(&pbxs))]);
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
fn status_line(pbxs: &[Watched]) -> String {
    let mut line = String::new();
    for Watched { name, link, .. } in pbxs {
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
    use std::sync::Arc;

    use super::*;
    use crate::call::id::PbxName;
    use crate::intake::task::inquiry;

    #[test]
    fn a_long_start_asks_for_more_time_until_it_is_over() {
        let (asked, asks) = mpsc::sync_channel(1000);
        let ask = |time| asked.try_send(time).unwrap_or_default();
        let output = patiently(Duration::from_millis(1), ask, || {
            let times: Vec<_> = asks.iter().take(3).collect();
            assert_eq!(times, [Duration::from_millis(3); 3]);
            7
        });
        assert_eq!(output, 7);
        patiently(Duration::from_hours(1), |_| panic!("a short start needs no more time"), || ());
    }

    #[test]
    fn the_status_line_names_each_pbx() {
        let link = |name: &str, link| Watched {
            name: PbxName::new(name).unwrap(),
            link: watch::channel(link).1,
            pulse: Arc::default(),
            inquiry: inquiry::channel().0,
        };
        let pbxs = [
            link("msk", Link::Up { asterisk_version: Some("22.10.1".to_owned()) }),
            link("spb", Link::Down { reason: "gone\nREADY=1".to_owned() }),
        ];
        assert_eq!(status_line(&pbxs), "msk: up, Asterisk 22.10.1; spb: down, gone READY=1");
    }
}
