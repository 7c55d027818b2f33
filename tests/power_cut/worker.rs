//! The process that uses the store as the daemon does, and tells each step that was acknowledged on a pipe, which is
//! not on the disk that fails.
//!
//! ```text
//! @kept VALUE CALL…    the value of that number is kept of these calls in progress
//! @enqueued CALL…      they ended, and nothing is kept of them any more
//! @sending CALL…       an intent
//! @released CALL…      amoCRM did not want them: they wait again
//! @sent CALL…
//! ```

use std::env;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio, exit};
use std::thread;
use std::time::Duration;

use ami2amo::call::checkpoint::{self, Change};
use ami2amo::call::id::{AccountId, CallId, PbxName};
use ami2amo::call::record::FinishedCall;
use ami2amo::outbox::errand::Errand;
use ami2amo::outbox::parcel::Parcel;
use ami2amo::outbox::queue::{Item, Settlement, State};
use ami2amo::outbox::store::fsync::{Fsync, Kernel, Target};
use ami2amo::outbox::store::handle::Handle;
use ami2amo::outbox::store::{Store, rest};
use ami2amo::time::HostTime;
use serde_json::{Value, json};

use crate::samples;

/// Where its store is; not set in the parent.
const DIR: &str = "AMI2AMO_TEST_CUT_DIR";

/// The number of its first call.
const FIRST: &str = "AMI2AMO_TEST_CUT_FIRST";

/// Milliseconds between two turns: slow writers meet other moments of the disk than fast ones.
const PAUSE: &str = "AMI2AMO_TEST_CUT_PAUSE";

/// Whether it syncs; any value means no.
const SYNCS_NOTHING: &str = "AMI2AMO_TEST_CUT_SYNCS_NOTHING";

/// Nobody waits longer for a worker that hangs.
const LIFE_MAX: Duration = Duration::from_mins(2);

/// Calls in one turn.
const CALLS: u64 = 8;

/// How long ago what is unknown began, for the store: everything is due.
const LATER: Duration = Duration::from_hours(1);

/// What the worker makes durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Syncs {
    All,
    /// It says so and does nothing: sled's own flush is all there is.
    Nothing,
}

struct Forgetful;

impl Fsync for Forgetful {
    fn sync(&mut self, _target: Target, _file: &File) -> io::Result<()> {
        Ok(())
    }
}

pub fn start(dir: &Path, first: u64, pause: u64, syncs: Syncs) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    if syncs == Syncs::Nothing {
        command.env(SYNCS_NOTHING, "1");
    }
    command
        .args(["--exact", "child", "--nocapture"])
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .env(PAUSE, pause.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null()) // it complains of its disk
        .spawn()
        .unwrap()
}

pub fn run_if_asked() {
    let Ok(dir) = env::var(DIR) else { return };
    let number = |name| env::var(name).unwrap().parse().unwrap();
    thread::spawn(|| {
        thread::sleep(LIFE_MAX);
        exit(3);
    });
    let fsync: Box<dyn Fsync> =
        if env::var_os(SYNCS_NOTHING).is_some() { Box::new(Forgetful) } else { Box::new(Kernel) };
    let store = Store::open_with(Path::new(&dir), now(), fsync).unwrap();
    let handle = store.spawn_resting(now, rest::IDLE).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(work(&handle, number(FIRST), Duration::from_millis(number(PAUSE))));
}

pub fn now() -> HostTime {
    HostTime::from_micros(1_795_337_600_000_000)
}

pub fn call(n: u64) -> FinishedCall {
    let mut call = samples::call(&uniqueid(n));
    call.record.uniqueids.push(format!("{n}.2"));
    call
}

pub fn id(n: u64) -> CallId {
    samples::id(&uniqueid(n))
}

/// Of what is kept of a call in progress.
pub fn key(n: u64) -> String {
    checkpoint::channel_key(&uniqueid(n))
}

/// The value of number `value` of a call in progress, as large as those of real calls are.
pub fn value(n: u64, value: u64) -> Vec<u8> {
    let uniqueid = uniqueid(n);
    let value = json!({"v": 1, "uniqueid": uniqueid, "call": uniqueid, "born": 0, "value": value, "name": "x".repeat(500)});
    serde_json::to_vec(&value).unwrap()
}

pub fn value_of(json: &[u8]) -> u64 {
    serde_json::from_slice::<Value>(json).unwrap()["value"].as_u64().unwrap()
}

/// Calls whose first POST amoCRM does not take.
pub fn is_refused_once(n: u64) -> bool {
    n.is_multiple_of(5)
}

fn uniqueid(n: u64) -> String {
    format!("{n}.1")
}

/// Ends only by being killed. What fails is not told, and whatever comes is tried with new calls.
async fn work(handle: &Handle, first: u64, pause: Duration) {
    let _ = take_over(handle).await;
    let long = first;
    let mut n = first + 1;
    let mut turn = 0;
    loop {
        turn += 1;
        if keep(handle, &[long], turn).await.is_none() || one_turn(handle, n).await.is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        n += 2 * CALLS;
        tokio::time::sleep(pause).await;
    }
}

/// What an earlier worker had under way was sent, as a search finds.
async fn take_over(handle: &Handle) -> Option<()> {
    handle.adopt(&AccountId::default(), now()).await.ok()?;
    let unknown = handle.unknown(&AccountId::default(), usize::MAX, now().after(LATER)).await.ok()?;
    settle(handle, "@sent", &unknown, sent).await
}

/// Calls begin, go on and end; others come in a list; what waits is sent. `None` when the store failed.
async fn one_turn(handle: &Handle, n: u64) -> Option<()> {
    let begun: Vec<u64> = (n..n + CALLS).collect();
    keep(handle, &begun, 1).await?;
    keep(handle, &begun, 2).await?;
    let ends = begun.iter().map(|n| (*n, handle.try_store(&PbxName::default(), end(*n)).ok()));
    for (n, receipt) in ends.collect::<Vec<_>>() {
        receipt?.await.ok()?;
        tell("@enqueued", [n]);
    }
    let list = n + CALLS..n + 2 * CALLS;
    handle.enqueue(list.clone().map(call).collect(), now()).await.ok()?;
    tell("@enqueued", list);
    deliver(handle).await
}

/// Two batches: the first leaves as many waiting as it takes, so that calls are in every state.
async fn deliver(handle: &Handle) -> Option<()> {
    for _ in 0..2 {
        let items = handle.lease(&AccountId::default(), 5, now()).await.ok()?;
        let seqs: Vec<_> = items.iter().map(|item| item.seq).collect();
        handle.intend(&seqs, now()).await.ok()?;
        tell("@sending", items.iter().map(number));
        let (refused, taken): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| is_refused_once(number(item)) && item.attempts == 0);
        settle(handle, "@released", &refused, || State::Pending).await?;
        settle(handle, "@sent", &taken, sent).await?;
    }
    Some(())
}

async fn keep(handle: &Handle, calls: &[u64], number: u64) -> Option<()> {
    let change = |n: &u64| Change { key: key(*n), value: Some(value(*n, number)) };
    let parcel = Parcel { calls: Vec::new(), changes: calls.iter().map(change).collect() };
    handle.try_store(&PbxName::default(), parcel).ok()?.await.ok()?;
    tell("@kept", std::iter::once(number).chain(calls.iter().copied()));
    Some(())
}

async fn settle(handle: &Handle, what: &str, items: &[Item], state: impl Fn() -> State) -> Option<()> {
    let settlement = |item: &Item| Settlement {
        seq: item.seq,
        state: state(),
        next_at: now(),
        last_error: None,
        attempted: true,
        errand: Errand::default(),
    };
    handle.settle(items.iter().map(settlement).collect(), now()).await.ok()?;
    tell(what, items.iter().map(number));
    Some(())
}

fn sent() -> State {
    State::Sent { note_id: None, entity: None, at: now() }
}

/// The last word of a call, and the end of what is kept of it.
fn end(n: u64) -> Parcel {
    Parcel { calls: vec![call(n)], changes: vec![Change { key: key(n), value: None }] }
}

fn number(item: &Item) -> u64 {
    let uniqueid = item.call.record.uniqueids.first().unwrap();
    uniqueid.strip_suffix(".1").unwrap().parse().unwrap()
}

/// One write a line, past the harness's buffer: what is in the pipe outlives the process.
fn tell(what: &str, numbers: impl IntoIterator<Item = u64>) {
    let words: Vec<_> = numbers.into_iter().map(|n| n.to_string()).collect();
    let mut out = io::stdout().lock();
    out.write_all(format!("{what} {}\n", words.join(" ")).as_bytes()).unwrap();
    out.flush().unwrap();
}
