//! amoCRM was away for 72 hours. It comes back with a dead token, then a good one: how fast the backlog
//! drains, beside pace times batch, when each answer takes 300 ms.
//!
//!     cargo run --release --example drain [-- CALLS]
//!
//! Some callers are unknown: what they called in the last 24 hours becomes items of Incoming leads, older calls
//! and calls to them make nothing. Some calls were missed: those of the last 24 hours make tasks to call back,
//! but not where a later talk with the number is in the backlog too. At the end a missed call of the moment makes
//! one task more, and a call to an unknown number a lead.
//!
//! The exit code says whether all is delivered once, with the start of its call, nothing stale was made and all
//! that was due, few requests tried the dead token, and the rate is 95 % or more of the limit.

#![expect(clippy::print_stdout, reason = "an example speaks to the person who started it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use ami2amo::call::record::{CallRecord, Direction, FinishedCall, Outcome, Seconds};
use ami2amo::daemon::policies;
use ami2amo::daemon::systemd::Notifier;
use ami2amo::ops::log::control::Control;
use ami2amo::ops::log::{self, Format};
use ami2amo::outbox::queue::{Phase, Queue as _};
use ami2amo::outbox::store::Store;
use ami2amo::outbox::store::handle::Handle;
use ami2amo::time::{HostTime, PbxTime};
use ami2amo::{clock, config, daemon};
use anyhow::{Context as _, ensure};
use tokio_util::sync::CancellationToken;

use fake_ami::{Clock, FakeAmi, Script};
use fake_amo::{FakeAmo, Known, Options, Request};

#[path = "../tests/support/fake_ami.rs"]
mod fake_ami;
#[path = "../tests/support/fake_amo.rs"]
mod fake_amo;
#[path = "../tests/support/samples.rs"]
mod samples;

const CALLS: usize = 6_000;
/// Every so manieth caller is unknown to amoCRM.
const UNKNOWN: usize = 600;
/// One in so many calls was missed, and one was missed before a talk with the number.
const MISSED: usize = 300;
/// So many calls after it comes that talk.
const LATER: usize = 50;
/// A caller of the moment, whom amoCRM knows; the next one it does not know.
const NEW: usize = 9_000_000;
const AWAY: Duration = Duration::from_hours(72);
/// Nothing is made for calls that are older.
const FRESH: Duration = Duration::from_hours(24);
/// What is nearer to that would be of either kind, by the second in which it is looked at.
const EDGE: Duration = Duration::from_mins(10);
const LATENCY: Duration = Duration::from_millis(300);
/// The pace and the batch of the default configuration.
const PER_SECOND: f64 = 5.0;
const BATCH: f64 = 50.0;
const LEAST: f64 = 0.95;
/// How long the dead token is tried.
const DEAD: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_mins(5);

/// What was waiting, and what is due for it.
#[derive(Default)]
struct Backlog {
    /// Start in seconds by `uniq`.
    started: BTreeMap<String, i64>,
    /// Calls of numbers that amoCRM knows.
    known: usize,
    /// Items of Incoming leads.
    items: usize,
    /// Calls with unknown numbers that are too old for anything to be made.
    stale: usize,
    /// The numbers to call back.
    tasks: BTreeSet<String>,
    /// Missed calls that are too old for that.
    stale_missed: usize,
    /// Missed calls that are not, and a talk followed.
    talked: usize,
}

/// What a call of the backlog is.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Talked,
    Missed,
    /// A talk with the number follows.
    MissedOnce,
    Unknown,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let log = log::init_daemon("error", Format::Text).context("cannot set up logging")?;
    let count =
        std::env::args().nth(1).map_or(Ok(CALLS), |text| text.parse()).context("CALLS is a number")?;
    let dir = tempfile::tempdir().context("cannot make a folder for the store")?;
    let mut store = Store::open(&dir.path().join("store"), clock::host()).context("cannot open the store")?;
    let mut backlog = fill(&mut store, count)?;
    let store = store.spawn(clock::host).context("cannot start the store's thread")?;
    let known = (0..count).filter(|index| kind(*index, count) != Kind::Unknown).chain([NEW]);
    let amo = fake_amo::start(Options {
        known: Known::Only(known.map(|index| (phone(index), "contact")).collect()),
        relaxed_pace: false,
        latency: LATENCY,
        ..Options::default()
    });
    let amo = amo.await;
    let token = dir.path().join("token");
    fs::write(&token, "dead.token\n")?;
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(dir.path().to_owned(), amo.base_url(), store.clone(), log, stop.clone()));

    tokio::time::sleep(DEAD).await;
    let tried = amo.requests().len();
    ensure!(amo.calls().is_empty() && tried > 0, "a dead token delivers nothing");
    ensure!(tried <= 8, "{tried} requests with a dead token in {DEAD:?}");
    fs::write(&token, "test.token\n")?;
    let drained =
        |state: &fake_amo::State| state.notes.len() >= backlog.known && state.unsorted.len() >= backlog.items;
    ensure!(amo.wait_within(PATIENCE, drained).await, "the backlog does not drain");
    let (posts, of_limit) = speed(&amo)?;
    call_anew(&amo, &store, &mut backlog).await?;
    stop.cancel();
    drop(store);
    running.await.context("the daemon panicked")??;
    judge(&amo, &backlog)?;
    left(&dir.path().join("store"), &backlog)?;
    let Backlog { known, items, stale, tasks, stale_missed, talked, .. } = backlog;
    println!(
        "drained {known} notes and {items} items in {posts} requests: {:.1} calls/s, {:.1} % of {PER_SECOND} x {BATCH}; \
         {tried} requests with the dead token; no item and no lead for {stale} older calls of unknown numbers, one \
         lead for a new one; {} tasks to call back, none for {stale_missed} older missed calls and {talked} before a talk",
        of_limit * PER_SECOND * BATCH,
        of_limit * 100.0,
        tasks.len(),
    );
    ensure!(of_limit >= LEAST, "slower than {LEAST} of pace times batch");
    Ok(())
}

/// Calls of three days, evenly spread, as they were stored when they ended.
fn fill(store: &mut Store, count: usize) -> anyhow::Result<Backlog> {
    let (mut backlog, now) = (Backlog::default(), clock::host());
    let step = AWAY / u32::try_from(count)?;
    for index in 0..count {
        let age = AWAY.checked_sub(step * u32::try_from(index)?).unwrap_or_default();
        let (kind, is_fresh) = (kind(index, count), age + EDGE < FRESH);
        if kind != Kind::Talked && !is_fresh && age < FRESH + EDGE {
            continue;
        }
        let ended = now.before(age);
        let mut call = call(index, ended);
        match (kind, is_fresh) {
            (Kind::Talked, _) => {}
            (Kind::Missed, true) => _ = backlog.tasks.insert(phone(index)),
            (Kind::MissedOnce, true) => backlog.talked += 1,
            (Kind::Missed | Kind::MissedOnce, false) => backlog.stale_missed += 1,
            (Kind::Unknown, true) => backlog.items += 1,
            (Kind::Unknown, false) => backlog.stale += 1,
        }
        let turn = index / UNKNOWN;
        if kind == Kind::Unknown && !is_fresh && turn.is_multiple_of(2) {
            call.record.direction = Direction::Outbound;
        }
        if matches!(kind, Kind::Missed | Kind::MissedOnce) || kind == Kind::Unknown && turn % 4 >= 2 {
            miss(&mut call.record);
        }
        backlog.known += usize::from(kind != Kind::Unknown);
        backlog.take(&call);
        store.enqueue(vec![call], ended).context("cannot store a call")?;
    }
    Ok(backlog)
}

impl Backlog {
    fn take(&mut self, call: &FinishedCall) {
        let record = &call.record;
        self.started.insert(record.call_id.as_str().to_owned(), record.started_at.micros() / 1_000_000);
    }
}

/// An answered call to us, seven seconds long.
fn call(index: usize, ended: HostTime) -> FinishedCall {
    let mut call = samples::call(&format!("1790000000.{index}"));
    let start = ended.micros() - 7_300_000;
    call.record.phone = Some(phone(index));
    call.record.started_at = PbxTime::from_micros(start);
    call.record.ended_at = PbxTime::from_micros(ended.micros());
    call.record.answered_at = Some(PbxTime::from_micros(start + 3_100_000));
    call
}

/// Nobody answered.
fn miss(record: &mut CallRecord) {
    (record.answered, record.answered_at, record.outcome) = (false, None, Outcome::NoAnswer);
    (record.responsible, record.talk_seconds) = (None, Seconds::default());
    record.wait_seconds = Seconds::from_duration(record.ended_at.since(record.started_at));
    record.answered_by.clear();
    record.segments.clear();
}

async fn run(
    dir: std::path::PathBuf,
    amo_url: String,
    store: Handle,
    log: Control,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let ami = FakeAmi::start(Script { clock: Clock::Host, ..Script::default() }).await;
    let path = dir.join("ami2amo.toml");
    let text = format!(
        "[[pbx]]\nhost = \"127.0.0.1\"\nport = {}\nusername = \"ami2amo\"\nsecret = \"s3cret\"\n\
         [amocrm]\nbase-url = \"{amo_url}\"\ntoken-file = \"{1}/token\"\ndefault-user = 504000\n\
         [amocrm.unknown]\ninbound = \"unsorted\"\noutbound = \"lead\"\n[amocrm.callback-task]\nmake = true\n\
         [delivery]\nprobe-first = \"1s\"\nprobe-max = \"1s\"\n\
         [store]\ndir = \"{1}/store\"\n[admin]\nsocket = \"{1}/ctl.sock\"\n",
        ami.port(),
        dir.display(),
    );
    fs::write(&path, text).context("cannot write the configuration")?;
    let (config, _) = config::load(&path)?;
    let (_sender, policies) = policies::channel(config.policy);
    daemon::run(config.setup, policies, None, store, Notifier::without_watchdog(), log, stop).await
}

/// A missed call of this moment makes a task, and a call to an unknown number a lead.
async fn call_anew(amo: &FakeAmo, store: &Handle, backlog: &mut Backlog) -> anyhow::Result<()> {
    let due = backlog.tasks.len();
    let called_back = |state: &fake_amo::State| state.tasks.len() >= due;
    ensure!(amo.wait_within(PATIENCE, called_back).await, "tasks to call back are missing");
    let now = clock::host();
    let (mut missed, mut stranger) = (call(NEW, now), call(NEW + 1, now));
    miss(&mut missed.record);
    miss(&mut stranger.record);
    stranger.record.direction = Direction::Outbound;
    backlog.tasks.insert(phone(NEW));
    backlog.take(&missed);
    backlog.take(&stranger);
    backlog.known += 2;
    store.enqueue(vec![missed, stranger], now).await.context("cannot store calls")?;
    let all = |state: &fake_amo::State| state.tasks.len() > due && state.notes.len() >= backlog.known;
    ensure!(amo.wait_within(PATIENCE, all).await, "two calls after the backlog are not done with");
    Ok(())
}

/// How many requests delivered the backlog, and how near to the limit that was.
fn speed(amo: &FakeAmo) -> anyhow::Result<(usize, f64)> {
    let posts: Vec<Request> =
        amo.posts().into_iter().filter(|post| post.path == "/api/v4/calls" && post.status == 200).collect();
    let (Some(first), Some(last)) = (posts.first(), posts.last()) else { anyhow::bail!("no posts") };
    let calls: usize = posts.iter().filter_map(|post| post.body.as_array()).map(Vec::len).sum();
    // The first request had its own turn before the time that is measured.
    let calls = calls - first.body.as_array().map_or(0, Vec::len);
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "thousands fit")]
    let rate = calls as f64 / seconds;
    Ok((posts.len(), rate / (PER_SECOND * BATCH)))
}

fn judge(amo: &FakeAmo, backlog: &Backlog) -> anyhow::Result<()> {
    let (notes, items) = (amo.calls(), amo.unsorted());
    ensure!(amo.violations().is_empty(), "{:?}", amo.violations());
    ensure!(notes.len() == backlog.known, "{} notes for {} calls", notes.len(), backlog.known);
    ensure!(items.len() == backlog.items, "{} items, {} are due", items.len(), backlog.items);
    let made = (amo.contacts().len(), amo.leads().len());
    ensure!(made == (1, 1), "{made:?} contacts and leads, one of each is due");
    for note in &notes {
        let start = backlog.started.get(note.uniq()).context("a call that nobody had")?;
        let sent = note.call["created_at"].as_i64().context("created_at is missing")?;
        ensure!((sent - start).abs() <= 1, "created_at is {sent}, the call began at {start}");
    }
    let tasks = amo.tasks();
    let due: BTreeSet<String> =
        backlog.tasks.iter().map(|number| format!("Перезвонить {number}: пропущенный звонок")).collect();
    let open: BTreeSet<String> =
        tasks.iter().filter(|task| task.is_open()).map(|task| task.text().to_owned()).collect();
    ensure!(open == due, "tasks that are not due or missing: {:?}", open.symmetric_difference(&due));
    ensure!(tasks.len() == due.len(), "{} tasks, {} are due", tasks.len(), due.len());
    Ok(())
}

/// Nothing waits but the old calls of unknown numbers.
fn left(dir: &Path, backlog: &Backlog) -> anyhow::Result<()> {
    let mut store = Store::open(dir, clock::host()).context("cannot open the store again")?;
    let by_phase = store.stats()?.by_phase;
    let count = |calls: usize| u64::try_from(calls).unwrap_or(u64::MAX);
    let expected = [
        (Phase::Sent, count(backlog.known)),
        (Phase::Unsorted, count(backlog.items)),
        (Phase::Parked, count(backlog.stale)),
    ];
    let rest: BTreeMap<Phase, u64> = by_phase.into_iter().filter(|(_, calls)| *calls > 0).collect();
    ensure!(rest == expected.into_iter().filter(|(_, calls)| *calls > 0).collect(), "the store has {rest:?}");
    Ok(())
}

fn kind(index: usize, count: usize) -> Kind {
    match (index % UNKNOWN, index % MISSED) {
        (17, _) => Kind::Unknown,
        (_, 117) => Kind::Missed,
        (_, 217) if index + LATER < count => Kind::MissedOnce,
        _ => Kind::Talked,
    }
}

fn phone(index: usize) -> String {
    let caller = if index % MISSED == 217 + LATER { index - LATER } else { index };
    format!("7916{caller:07}")
}
