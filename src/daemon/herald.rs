//! What the daemon says by itself of how it fares: every problem with its remedy to the log, once and then once
//! an hour (of one that comes and goes: `news`); one line to systemd, for `systemctl status`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::clock;
use crate::daemon::memory::Unwritten;
use crate::daemon::overview::{Memo, Overview};
use crate::daemon::systemd;
use crate::ops::status::Status;
use crate::ops::status::news::{News, Tidings};
use crate::ops::status::problem::{Problem, Severity};
use crate::ops::words::Language;
use crate::outbox::store::hung::Watch;

/// How often it is looked, where no connection says before that something has changed.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What changes within this time is looked at once.
const TOGETHER: Duration = Duration::from_millis(500);

/// Tells until it is dropped.
pub async fn run(overview: Overview) {
    let changed = Arc::new(Notify::new());
    let mut watching = JoinSet::new();
    for pbx in &overview.pbxs {
        watching.spawn(announce(pbx.link.clone(), Arc::clone(&changed)));
    }
    for account in overview.accounts.values() {
        watching.spawn(announce(account.standing.clone(), Arc::clone(&changed)));
        if let Some(seen) = &account.seen {
            watching.spawn(announce(seen.lately.clone(), Arc::clone(&changed)));
        }
    }
    // The store is asked while it is awake: once it rests, it is left to.
    watching.spawn(announce(overview.store.news(), Arc::clone(&changed)));
    let (mut news, mut line) = (News::default(), String::new());
    let (mut memo, mut watch) = (Memo::default(), Watch::default());
    let (mut has_changed, mut unwritten) = (true, Unwritten::find());
    loop {
        // What else was needed since, and then what this look needed: together they would be the most that there ever is.
        unwritten.trim(has_changed, clock::mono());
        overview.mind_store(&mut watch).await;
        let status = overview.status_since(&mut memo, has_changed).await;
        let now = systemd::status_line(&status);
        if now != line {
            systemd::tell_status(&now);
            line = now;
        }
        news.take(&status.problems, clock::mono()).iter().for_each(tell);
        unwritten.trim(has_changed, clock::mono());
        // What comes first; that the time is over is no failure.
        has_changed = timeout(LOOK_EVERY, changed.notified()).await.is_ok();
        if has_changed {
            clock::sleep_until(Some(clock::mono().after(TOGETHER))).await;
        }
    }
}

/// Ends with whoever changes it.
async fn announce<T>(mut value: watch::Receiver<T>, changed: Arc<Notify>) {
    while value.changed().await.is_ok() {
        changed.notify_one();
    }
}

fn tell(tidings: &Tidings) {
    match tidings {
        Tidings::Wrong(problem) => tell_problem(problem, &problem.text(Language::En)),
        Tidings::Restless { problem, times, within, is_there } => {
            let (minutes, text) = (within.as_secs() / 60, problem.text(Language::En));
            let now = if *is_there { "it is there now" } else { "it is away now" };
            tell_problem(problem, &format!("came {times} times within {minutes} min, {now}: {text}"));
        }
        Tidings::Mended(problem) => {
            let (code, pbx, account) = (problem.code(), problem.pbx(), problem.account());
            info!(code, pbx, account, "over: {}", problem.text(Language::En));
        }
    }
}

fn tell_problem(problem: &Problem, text: &str) {
    let (code, pbx, account) = (problem.code(), problem.pbx(), problem.account());
    let what_to_do = problem.remedy(Language::En);
    match problem.severity() {
        Severity::Notice => info!(code, pbx, account, what_to_do, "{text}"),
        Severity::Warning => warn!(code, pbx, account, what_to_do, "{text}"),
        Severity::Critical => error!(code, pbx, account, what_to_do, "{text}"),
    }
}

/// How it fares, for health checks: the problems with what to do, a line each.
pub fn page(status: &Status) -> String {
    let line = |problem: &Problem| {
        let severity = problem.severity().name();
        let (code, text, remedy) = (problem.code(), problem.text(Language::En), problem.remedy(Language::En));
        format!("{severity} {code}: {text}; what to do: {remedy}\n")
    };
    status.problems.iter().map(line).collect()
}
