//! What systemd is told: ready, status, signs of life, stopping. Without `NOTIFY_SOCKET` nothing is.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tracing::{debug, error};

use crate::clock;
use crate::daemon::herald;
use crate::daemon::overview::Overview;
use crate::ops::reload::Reloaded;
use crate::ops::status::problem::{Problem, Severity};
use crate::ops::status::{AccountStatus, LinkStatus, PbxStatus, Status};
use crate::outbox::courier::standing::Standing;

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

    /// Tells READY, and then, until the returned set is dropped, how the daemon fares, and signs of life for as
    /// long as it makes progress.
    pub async fn on_duty(&self, overview: &Overview, intake: Handle) -> JoinSet<()> {
        let line = status_line(&overview.status().await);
        tell(&[NotifyState::Ready, NotifyState::Status(&line)]);
        let mut duties = JoinSet::new();
        duties.spawn(herald::run(overview.clone()));
        if let Some(watchdog) = self.watchdog {
            let overview = overview.clone();
            let stuck = move || overview.stuck();
            duties.spawn(feed(watchdog, intake, stuck, || tell(&[NotifyState::Watchdog])));
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

/// Tells that the configuration is read again; [`reloaded`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "systemd is not told that the configuration is read again"),
    }
}

/// Tells that it was read, or refused, in one line.
pub(super) fn reloaded(line: &str) {
    let line = of_one_line(line);
    tell(&[NotifyState::Ready, NotifyState::Status(&line)]);
}

/// Tells one line of how the daemon fares.
pub(super) fn tell_status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// Feeds the watchdog at half its time, and after a look that did not feed looks again soon: one bad moment, as after
/// the host stood still, is no reason to end a daemon that goes on. That this task runs shows that the main thread lives; the intake's
/// thread must have run an empty task within a quarter, and every intake have had its turn.
async fn feed(watchdog: Duration, intake: Handle, stuck: impl Fn() -> Option<String>, mut eat: impl FnMut()) {
    loop {
        let mut rest = watchdog / 12;
        let alive = tokio::time::timeout(watchdog / 4, intake.spawn(async {})).await;
        match (alive, stuck()) {
            (Ok(Ok(())), None) => {
                eat();
                rest = watchdog / 2;
            }
            (Ok(Ok(())), Some(reason)) => {
                error!(reason, "no progress: systemd will restart the daemon if that stays so");
            }
            (Ok(Err(_)), _) => return, // its runtime is gone: the process is ending
            (Err(_), _) => {
                error!(
                    "the intake's thread gives no sign of life: systemd will restart the daemon if that stays so"
                );
            }
        }
        clock::sleep_until(Some(clock::mono().after(rest))).await;
    }
}

/// `default: up, Asterisk 22.10.1; amoCRM default: delivering; 3 calls wait; wrong: clock-off (ami2amo status)`
pub(super) fn status_line(status: &Status) -> String {
    let link = |pbx: &PbxStatus| {
        let name = &pbx.name;
        match &pbx.link {
            LinkStatus::Connecting => format!("{name}: connecting"),
            LinkStatus::Up { asterisk: None } => format!("{name}: up"),
            LinkStatus::Up { asterisk: Some(version) } => format!("{name}: up, Asterisk {version}"),
            LinkStatus::Down { reason } => format!("{name}: down, {reason}"),
            LinkStatus::Refused { reason } => format!("{name}: refused, {reason}"),
            LinkStatus::NotRead => format!("{name}: not read, the store takes no calls"),
        }
    };
    let standing = |account: &AccountStatus| {
        let name = &account.name;
        match &account.standing {
            _ if account.paused.is_some() => format!("amoCRM {name}: paused"),
            Standing::Starting => format!("amoCRM {name}: no answer yet"),
            Standing::Delivering if account.shadow => format!("amoCRM {name}: shadow, posts nothing"),
            Standing::Delivering => format!("amoCRM {name}: delivering"),
            Standing::Troubled { .. } => format!("amoCRM {name}: in trouble"),
            Standing::Held { why, .. } => format!("amoCRM {name}: held, {why}"),
        }
    };
    let mut parts: Vec<_> = status.pbxs.iter().map(link).collect();
    parts.extend(status.accounts.iter().map(standing));
    match status.accounts.iter().flat_map(|account| account.waiting.values()).sum() {
        0 => {}
        1 => parts.push("1 call waits".to_owned()),
        calls => parts.push(format!("{calls} calls wait")),
    }
    let codes: Vec<_> =
        status.problems.iter().filter(|p| p.severity() > Severity::Notice).map(Problem::code).collect();
    if !codes.is_empty() {
        parts.push(format!("wrong: {} (ami2amo status)", codes.join(", ")));
    }
    parts.extend(status.reload.as_ref().map(Reloaded::line));
    of_one_line(&parts.join("; "))
}

/// The protocol is lines: a reason must not bring a variable of its own.
fn of_one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
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

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_missed_one_look_is_fed_in_time() {
        let watchdog = Duration::from_mins(1);
        let (looks, begin) = (std::cell::Cell::new(0), clock::mono());
        let mut fed = Vec::new();
        let stuck = || {
            looks.set(looks.get() + 1);
            (looks.get() == 2).then(|| "the host stood still".to_owned())
        };
        let feeding =
            feed(watchdog, Handle::current(), stuck, || fed.push(clock::mono().since(begin).as_secs()));
        assert!(tokio::time::timeout(Duration::from_secs(70), feeding).await.is_err());
        assert_eq!(fed, [0, 35, 65], "in seconds: the look at 30 did not feed");
    }

    #[test]
    fn the_status_line_names_each_pbx_and_account_and_what_is_wrong() {
        let text = r#"{"v":1,"version":"0.1.0","started_at":"2026-11-22T09:00:00.000Z",
            "now":"2026-11-22T09:13:11.389Z","problems":[{"code":"dead","calls":2},
            {"code":"unmapped","account":"default","extensions":["101"],"more":0,"calls":1}],
            "outbox":{"ended":0,"by_state":{},"unaccounted":0,"oldest_at":null},
            "store":{"dir":"/s","failure":null,"bytes":0,"free_bytes":null},
            "pbxs":[{"name":"msk","link":{"state":"up","asterisk":"22.10.1"}},
            {"name":"spb","link":{"state":"down","reason":"gone\nREADY=1"}}],
            "accounts":[{"name":"default","address":null,"standing":"delivering",
            "waiting":{"parked":2,"pending":1}}]}"#;
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        let numbers = ["open", "finished", "events", "backlog"];
        for pbx in value["pbxs"].as_array_mut().unwrap() {
            for name in numbers {
                pbx[name] = 0.into();
            }
            for name in ["last_event_at", "lag_ms", "host_ahead_ms"] {
                pbx[name] = serde_json::Value::Null;
            }
        }
        for name in ["oldest_at", "last_sent_at", "last_error", "token_ends_at", "paused"] {
            value["accounts"][0][name] = serde_json::Value::Null;
        }
        let status: Status = serde_json::from_value(value).unwrap();
        assert_eq!(
            status_line(&status),
            "msk: up, Asterisk 22.10.1; spb: down, gone READY=1; amoCRM default: delivering; 3 calls wait; wrong: \
             dead (ami2amo status)"
        );
    }
}
