//! amoCRM was away for 72 hours. It comes back with a dead token, then a good one: how fast the backlog
//! drains, beside pace times batch, when each answer takes 300 ms.
//!
//!     cargo run --release --example drain [-- CALLS]
//!
//! Every six hundredth caller is unknown: those of the last 24 hours become items of Incoming leads, older
//! ones make nothing. The exit code says whether all is delivered once, with the start of its call, nothing
//! stale was made, few requests tried the dead token, and the rate is 95 % or more of the limit.

#![expect(clippy::print_stdout, reason = "an example speaks to the person who started it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use ami2amo::daemon::systemd::Notifier;
use ami2amo::ops::log::{self, Format};
use ami2amo::outbox::queue::Queue as _;
use ami2amo::outbox::store::Store;
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
const AWAY: Duration = Duration::from_hours(72);
/// Nothing is made for calls that are older.
const FRESH: Duration = Duration::from_hours(24);
const LATENCY: Duration = Duration::from_millis(300);
/// The pace and the batch of the default configuration.
const PER_SECOND: f64 = 5.0;
const BATCH: f64 = 50.0;
const LEAST: f64 = 0.95;
/// How long the dead token is tried.
const DEAD: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_mins(5);

/// What was waiting: start in seconds by `uniq`, and how many items are due.
#[derive(Default)]
struct Backlog {
    started: BTreeMap<String, i64>,
    known: usize,
    items: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    log::init("error", Format::Text).context("cannot set up logging")?;
    let count =
        std::env::args().nth(1).map_or(Ok(CALLS), |text| text.parse()).context("CALLS is a number")?;
    let dir = tempfile::tempdir().context("cannot make a folder for the store")?;
    let backlog = fill(&dir.path().join("store"), count)?;
    let known = (0..count).filter(|index| !is_unknown(*index)).map(|index| (phone(index), "contact"));
    let amo = fake_amo::start(Options {
        known: Known::Only(known.collect()),
        relaxed_pace: false,
        latency: LATENCY,
        ..Options::default()
    });
    let amo = amo.await;
    let token = dir.path().join("token");
    fs::write(&token, "dead.token\n")?;
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(dir.path().to_owned(), amo.base_url(), stop.clone()));

    tokio::time::sleep(DEAD).await;
    let tried = amo.requests().len();
    ensure!(amo.calls().is_empty() && tried > 0, "a dead token delivers nothing");
    ensure!(tried <= 8, "{tried} requests with a dead token in {DEAD:?}");
    fs::write(&token, "test.token\n")?;
    let all =
        |state: &fake_amo::State| state.notes.len() >= backlog.known && state.unsorted.len() >= backlog.items;
    ensure!(amo.wait_within(PATIENCE, all).await, "the backlog does not drain");
    stop.cancel();
    running.await.context("the daemon panicked")??;
    judge(&amo, &backlog, tried)
}

/// Calls of three days, evenly spread, as they were stored when they ended.
fn fill(dir: &Path, count: usize) -> anyhow::Result<Backlog> {
    let mut store = Store::open(dir, clock::host()).context("cannot open the store")?;
    let (mut backlog, now) = (Backlog::default(), clock::host());
    let step = AWAY / u32::try_from(count)?;
    for index in 0..count {
        let age = AWAY.checked_sub(step * u32::try_from(index)?).unwrap_or_default();
        let ended = HostTime::from_micros(now.micros() - i64::try_from(age.as_micros())?);
        let mut call = samples::call(&format!("1790000000.{index}"));
        let start = ended.micros() - 7_300_000;
        call.record.phone = Some(phone(index));
        call.record.started_at = PbxTime::from_micros(start);
        call.record.ended_at = PbxTime::from_micros(ended.micros());
        call.record.answered_at = Some(PbxTime::from_micros(start + 3_100_000));
        backlog.started.insert(call.record.call_id.as_str().to_owned(), start / 1_000_000);
        match is_unknown(index) {
            false => backlog.known += 1,
            true if age + Duration::from_mins(10) < FRESH => backlog.items += 1,
            // One at the edge would be of either kind, by the second in which it is looked at.
            true if age < FRESH + Duration::from_mins(10) => continue,
            true => {}
        }
        store.enqueue(vec![call], ended).context("cannot store a call")?;
    }
    Ok(backlog)
}

async fn run(dir: std::path::PathBuf, amo_url: String, stop: CancellationToken) -> anyhow::Result<()> {
    let ami = FakeAmi::start(Script { clock: Clock::Host, ..Script::default() }).await;
    let path = dir.join("ami2amo.toml");
    let text = format!(
        "[[pbx]]\nhost = \"127.0.0.1\"\nport = {}\nusername = \"ami2amo\"\nsecret = \"s3cret\"\n\
         [amocrm]\nbase-url = \"{amo_url}\"\ntoken-file = \"{1}/token\"\ndefault-user = 504000\n\
         [delivery]\nprobe-first = \"1s\"\nprobe-max = \"1s\"\n\
         [store]\ndir = \"{1}/store\"\n[admin]\nsocket = \"{1}/ctl.sock\"\n",
        ami.port(),
        dir.display(),
    );
    fs::write(&path, text).context("cannot write the configuration")?;
    let (config, _) = config::load(&path)?;
    let store = Store::open(&config.setup.store_dir, clock::host()).context("cannot open the store")?;
    let store = store.spawn(clock::host).context("cannot start the store's thread")?;
    let (_policy, policies) = tokio::sync::watch::channel(config.policy);
    daemon::run(config.setup, policies, store, Notifier::without_watchdog(), stop).await
}

fn judge(amo: &FakeAmo, backlog: &Backlog, tried: usize) -> anyhow::Result<()> {
    let (notes, items) = (amo.calls(), amo.unsorted());
    ensure!(amo.violations().is_empty(), "{:?}", amo.violations());
    ensure!(notes.len() == backlog.known, "{} notes for {} calls", notes.len(), backlog.known);
    ensure!(items.len() == backlog.items, "{} items, {} are due", items.len(), backlog.items);
    for note in &notes {
        let start = backlog.started.get(note.uniq()).context("a call that nobody had")?;
        let sent = note.call["created_at"].as_i64().context("created_at is missing")?;
        ensure!((sent - start).abs() <= 1, "created_at is {sent}, the call began at {start}");
    }
    let posts: Vec<Request> =
        amo.posts().into_iter().filter(|post| post.path == "/api/v4/calls" && post.status == 200).collect();
    let (Some(first), Some(last)) = (posts.first(), posts.last()) else { anyhow::bail!("no posts") };
    let calls: usize = posts.iter().filter_map(|post| post.body.as_array()).map(Vec::len).sum();
    // The first request had its own turn before the time that is measured.
    let calls = calls - first.body.as_array().map_or(0, Vec::len);
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "thousands fit")]
    let rate = calls as f64 / seconds;
    let of_limit = rate / (PER_SECOND * BATCH);
    println!(
        "drained {} notes and {} items in {} requests: {rate:.1} calls/s, {:.1} % of {PER_SECOND} x {BATCH}; \
         {tried} requests with the dead token, no lead for {} older calls of unknown numbers",
        notes.len(),
        items.len(),
        posts.len(),
        of_limit * 100.0,
        backlog.started.len() - backlog.known - backlog.items,
    );
    ensure!(of_limit >= LEAST, "slower than {LEAST} of pace times batch");
    Ok(())
}

fn is_unknown(index: usize) -> bool {
    index % UNKNOWN == 17
}

fn phone(index: usize) -> String {
    format!("7916{index:07}")
}
