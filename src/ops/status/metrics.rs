//! Pure: the status in Prometheus's text form, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::{Display, Write as _};

use serde::Serialize;

use crate::ops::records::RecordsStatus;
use crate::ops::status::problem::{Problem, Severity};
use crate::ops::status::{CallsOf, Foreign, GapsStatus, LinkStatus, Status};
use crate::outbox::courier::sound::LateLinks;
use crate::outbox::courier::standing::Standing;
use crate::outbox::queue::Phase;
use crate::time::HostTime;

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every metric begins so.
const PREFIX: &str = "ami2amo_";

struct Page(String);

/// The page of metrics. Times are ages in seconds, so that an alarm needs no clock of its own.
pub fn text(status: &Status) -> String {
    let mut page = Page(String::new());
    page.gauge("build_info", "The program", &[("version", &status.version)], 1);
    page.gauge("uptime_seconds", "Since the start", &[], status.uptime().as_secs());
    pbxs(&mut page, status);
    traffic(&mut page, status);
    gaps(&mut page, status);
    accounts(&mut page, status);
    verdicts(&mut page, status);
    users(&mut page, status);
    outbox(&mut page, status);
    page.gauge("store_up", "Whether the store takes calls", &[], u8::from(status.store.failure.is_none()));
    page.gauge("store_bytes", "Size of the database", &[], status.store.bytes);
    if let Some(free) = status.store.free_bytes {
        page.gauge("store_free_bytes", "Room on the store's disk", &[], free);
    }
    hook(&mut page, status);
    records(&mut page, status);
    problems(&mut page, status);
    page.0
}

fn pbxs(page: &mut Page, status: &Status) {
    let rows = || status.pbxs.iter().map(|pbx| (pbx, pbx.name.as_str()));
    page.head("pbx_up", "gauge", "Whether events of the PBX are read");
    for (pbx, name) in rows() {
        page.row("pbx_up", &[("pbx", name)], u8::from(matches!(pbx.link, LinkStatus::Up { .. })));
    }
    page.head("pbx_login_refused", "gauge", "Whether the PBX does not let the user in");
    for (pbx, name) in rows() {
        page.row(
            "pbx_login_refused",
            &[("pbx", name)],
            u8::from(matches!(pbx.link, LinkStatus::Refused { .. })),
        );
    }
    page.head("pbx_timestamps", "gauge", "Whether events carry the PBX's own time");
    for (pbx, name) in rows() {
        if let Some(carried) = pbx.timestamps {
            page.row("pbx_timestamps", &[("pbx", name)], u8::from(carried));
        }
    }
    page.head("calls_finished_total", "counter", "Calls that ended, internal ones among them");
    for (pbx, name) in rows() {
        page.row("calls_finished_total", &[("pbx", name)], pbx.finished);
    }
    page.head("calls_open", "gauge", "Calls in progress");
    for (pbx, name) in rows() {
        page.row("calls_open", &[("pbx", name)], pbx.open);
    }
    page.head("backlog_calls", "gauge", "Ended calls in memory that the store has not taken");
    for (pbx, name) in rows() {
        page.row("backlog_calls", &[("pbx", name)], pbx.backlog);
    }
    page.head("lag_seconds", "gauge", "How long the last event was on its way");
    for (pbx, name) in rows() {
        page.seconds("lag_seconds", &[("pbx", name)], pbx.lag_ms);
    }
    page.head("clock_ahead_seconds", "gauge", "How far this host's clock is ahead of the PBX's");
    for (pbx, name) in rows() {
        page.seconds("clock_ahead_seconds", &[("pbx", name)], pbx.host_ahead_ms);
    }
}

/// What the hook did, where there is one.
fn hook(page: &mut Page, status: &Status) {
    page.head("hook_calls_total", "counter", "Calls that the hook was to decide on, by what it did");
    let Some(hook) = &status.hook else { return };
    for (effect, count) in [
        ("unchanged", hook.unchanged),
        ("changed", hook.changed),
        ("withheld", hook.withheld),
        ("failed", hook.failed),
        ("bypassed", hook.bypassed),
    ] {
        page.row("hook_calls_total", &[("effect", effect)], count);
    }
}

type CountOfRecords = fn(&RecordsStatus) -> u64;

/// The file of records, where one is written.
fn records(page: &mut Page, status: &Status) {
    let counts: [(_, _, _, CountOfRecords); 3] = [
        ("records_written_total", "counter", "Lines in the file of records", |records| records.written),
        ("records_lost_total", "counter", "Calls without a line in it", |records| records.lost),
        ("records_waiting", "gauge", "Lines for it that wait in memory", |records| records.waiting),
    ];
    for (name, kind, help, count) in counts {
        page.head(name, kind, help);
        if let Some(records) = &status.records {
            page.row(name, &[], count(records));
        }
    }
}

/// What came from the PBXs, and which calls it made.
fn traffic(page: &mut Page, status: &Status) {
    page.head("events_total", "counter", "Events of the PBX that calls depend on, by kind");
    for pbx in &status.pbxs {
        for (kind, count) in &pbx.events_by_kind {
            page.row("events_total", &[("pbx", pbx.name.as_str()), ("kind", kind)], count);
        }
    }
    page.head("call_outcomes_total", "counter", "Calls that ended, by direction and outcome");
    for pbx in &status.pbxs {
        for CallsOf { direction, outcome, calls } in &pbx.calls {
            let (direction, outcome) = (word(direction), word(outcome));
            let labels = [
                ("pbx", pbx.name.as_str()),
                ("direction", direction.as_str()),
                ("outcome", outcome.as_str()),
            ];
            page.row("call_outcomes_total", &labels, calls);
        }
    }
}

/// A word as JSON has it.
fn word(value: &impl Serialize) -> String {
    let json = serde_json::to_value(value).ok();
    json.and_then(|json| json.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What amoCRM made of calls.
fn verdicts(page: &mut Page, status: &Status) {
    page.head("account_held", "gauge", "What only a person can mend keeps the account from taking calls");
    for account in &status.accounts {
        if let Standing::Held { why, .. } = &account.standing {
            let labels = [("account", account.name.as_str()), ("why", &why.to_string())];
            page.row("account_held", &labels, 1);
        }
    }
    page.head("verdicts_total", "counter", "Tries to deliver calls, by the state that followed");
    for account in &status.accounts {
        for (phase, count) in &account.verdicts {
            let labels = [("account", account.name.as_str()), ("verdict", phase.name())];
            page.row("verdicts_total", &labels, count);
        }
    }
}

/// Who is not known: numbers in amoCRM, extensions in the configuration.
fn users(page: &mut Page, status: &Status) {
    let rows = || status.accounts.iter().map(|account| (account, [("account", account.name.as_str())]));
    page.head("account_oldest_parked_seconds", "gauge", "Age of the oldest call whose number nobody has");
    for (account, labels) in rows() {
        page.row("account_oldest_parked_seconds", &labels, age(account.parked_since, status.now));
    }
    page.head("unmapped_extensions", "gauge", "Extensions of calls since the start that have no user");
    for (account, labels) in rows() {
        page.row("unmapped_extensions", &labels, account.unmapped.len());
    }
    page.head("unmapped_calls", "gauge", "Calls of these extensions");
    for (account, labels) in rows() {
        page.row("unmapped_calls", &labels, account.unmapped.iter().map(|known| known.calls).sum::<u64>());
    }
}

fn problems(page: &mut Page, status: &Status) {
    let of_a_person = status.problems.iter().filter(|problem| problem.severity() > Severity::Notice);
    page.gauge(
        "problems",
        "Lines that `ami2amo status` has for a person to act on",
        &[],
        of_a_person.count(),
    );
    page.head("problem", "gauge", "Lines that `ami2amo status` has, by code");
    for code in Problem::CODES {
        let count = status.problems.iter().filter(|problem| problem.code() == code).count();
        page.row("problem", &[("code", code)], count);
    }
}

type Count = fn(&GapsStatus) -> u64;

fn gaps(page: &mut Page, status: &Status) {
    let counts: [(_, _, _, Count); 5] = [
        ("gaps_total", "counter", "Times in which nobody watched the PBX", |gaps| gaps.count),
        ("gap_seconds_total", "counter", "How long nobody watched the PBX", |gaps| gaps.seconds),
        ("gap_calls_found_total", "counter", "Calls of such times that the PBX's records had", |gaps| {
            gaps.found
        }),
        ("gaps_unseen_total", "counter", "Such times of which no records could be read", |gaps| gaps.unseen),
        ("gaps_waiting", "gauge", "Such times whose calls are still looked for", |gaps| gaps.waiting),
    ];
    for (name, kind, help, count) in counts {
        page.head(name, kind, help);
        for pbx in &status.pbxs {
            page.row(name, &[("pbx", pbx.name.as_str())], count(&pbx.gaps));
        }
    }
}

fn accounts(page: &mut Page, status: &Status) {
    page.head("account_up", "gauge", "Whether the amoCRM account takes calls");
    for account in &status.accounts {
        let is_up = matches!(account.standing, Standing::Delivering | Standing::Starting);
        page.row("account_up", &[("account", account.name.as_str())], u8::from(is_up));
    }
    page.head("account_paused", "gauge", "Whether a person has stopped delivery to the account");
    for account in &status.accounts {
        page.row("account_paused", &[("account", account.name.as_str())], u8::from(account.paused.is_some()));
    }
    page.head("account_last_sent_seconds", "gauge", "Since a call was last delivered to the account");
    for account in status.accounts.iter().filter(|account| account.last_sent_at.is_some()) {
        let age = age(account.last_sent_at, status.now);
        page.row("account_last_sent_seconds", &[("account", account.name.as_str())], age);
    }
    page.head(
        "late_links_total",
        "counter",
        "Links to recordings set after the call was posted, or given up",
    );
    for account in &status.accounts {
        let LateLinks { added, given_up } = account.late_links;
        for (outcome, count) in [("added", added), ("given-up", given_up)] {
            let labels = [("account", account.name.as_str()), ("outcome", outcome)];
            page.row("late_links_total", &labels, count);
        }
    }
    page.head("account_shadow", "gauge", "Whether nothing is posted to the account, and calls are compared");
    for account in &status.accounts {
        page.row("account_shadow", &[("account", account.name.as_str())], u8::from(account.shadow));
    }
    page.head("foreign_notes_total", "counter", "Call notes of others of calls that were posted, by source");
    for account in &status.accounts {
        for Foreign { source, notes, .. } in &account.foreign {
            let labels = [("account", account.name.as_str()), ("source", source.as_str())];
            page.row("foreign_notes_total", &labels, notes);
        }
    }
    page.head("account_token_seconds", "gauge", "How long the token works that only a person can renew");
    for account in &status.accounts {
        if let Some(ends) = account.token_ends_at {
            let left = ends.since(status.now).as_secs();
            page.row("account_token_seconds", &[("account", account.name.as_str())], left);
        }
    }
    page.head("account_waiting", "gauge", "Waiting calls of the account by state");
    for account in &status.accounts {
        for (phase, count) in &account.waiting {
            page.row(
                "account_waiting",
                &[("account", account.name.as_str()), ("state", phase.name())],
                count,
            );
        }
    }
    page.head("account_oldest_seconds", "gauge", "Age of the oldest call that waits for amoCRM alone");
    for account in &status.accounts {
        let age = age(account.oldest_at, status.now);
        page.row("account_oldest_seconds", &[("account", account.name.as_str())], age);
    }
}

fn outbox(page: &mut Page, status: &Status) {
    page.head("calls", "gauge", "Ended calls by state; final ones count for ever");
    for phase in Phase::ALL {
        let count = status.outbox.by_state.get(&phase).copied().unwrap_or_default();
        page.row("calls", &[("state", phase.name())], count);
    }
    page.head("calls_ended_total", "counter", "Calls that were ever stored");
    page.row("calls_ended_total", &[], status.outbox.ended);
    page.gauge("calls_unaccounted", "Calls that came and are nowhere", &[], status.outbox.unaccounted);
    let age = age(status.outbox.oldest_at, status.now);
    page.gauge("oldest_waiting_seconds", "Age of the oldest waiting call, parked ones too", &[], age);
}

fn age(at: Option<HostTime>, now: HostTime) -> u64 {
    at.map_or(0, |at| now.since(at).as_secs())
}

impl Page {
    fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: impl Display) {
        self.head(name, "gauge", help);
        self.row(name, labels, value);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n"));
    }

    fn row(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> =
            labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.write(format_args!("{PREFIX}{name}{labels} {value}\n"));
    }

    /// A row of milliseconds; none where they are not known.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of years are exact")]
    fn seconds(&mut self, name: &str, labels: &[(&str, &str)], millis: Option<i64>) {
        if let Some(millis) = millis {
            self.row(name, labels, millis as f64 / 1000.0);
        }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a string takes everything");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n")
}
