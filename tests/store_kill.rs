//! Kills a process that uses the store, with SIGKILL and at random moments: what it was told to be
//! durable is there afterwards, exactly once.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use ami2amo::call::id::{AccountId, CallId, PbxName};
use ami2amo::call::record::FinishedCall;
use ami2amo::outbox::errand::Errand;
use ami2amo::outbox::queue::{Enqueued, Phase, Queue, Seq, Settlement, State};
use ami2amo::outbox::store::Store;
use ami2amo::outbox::store::handle::Handle;
use ami2amo::time::HostTime;

#[path = "support/samples.rs"]
mod samples;

/// Where the child keeps its store; not set in the parent.
const DIR: &str = "AMI2AMO_TEST_KILL_DIR";

/// The number of the child's first call.
const FIRST: &str = "AMI2AMO_TEST_KILL_FIRST";

const ROUNDS: u32 = 20;

fn call(n: u64) -> FinishedCall {
    let mut call = samples::call(&format!("{n}.1"));
    call.record.uniqueids.push(format!("{n}.2"));
    call
}

fn id(n: u64) -> CallId {
    samples::id(&format!("{n}.1"))
}

fn now() -> HostTime {
    HostTime::from_micros(1_795_337_600_000_000)
}

#[test]
fn a_kill_loses_no_call_that_was_acknowledged_and_doubles_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(20_261_122);
    // What the child was told about each call last, over all rounds.
    let mut told = BTreeMap::new();
    for round in 0..ROUNDS {
        let first = told.keys().next_back().map_or(0, |n| n + 1_000);
        let mut child = start(dir.path(), first);
        let mut news = BufReader::new(child.stdout.take().expect("it is piped"));
        // Some rounds end before anything was acknowledged, in the middle of the opening.
        let lines = if round % 4 == 0 { 0 } else { random.u32(1..40) };
        listen(&mut news, lines, &mut told);
        kill(child, news, &mut told);
        check(dir.path(), &told, round);
    }
    assert!(told.len() > 300, "{} calls in {ROUNDS} rounds prove little", told.len());
}

fn start(dir: &Path, first: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads `lines` acknowledgements.
fn listen(news: &mut impl BufRead, lines: u32, told: &mut BTreeMap<u64, Phase>) {
    let mut heard = 0;
    let mut line = String::new();
    while heard < lines {
        line.clear();
        assert_ne!(news.read_line(&mut line).unwrap(), 0, "the child ended by itself");
        heard += u32::from(understand(&line, told));
    }
}

fn kill(mut child: Child, mut news: BufReader<ChildStdout>, told: &mut BTreeMap<u64, Phase>) {
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said before it died counts as well, but for half a line.
    let mut rest = String::new();
    news.read_to_string(&mut rest).unwrap();
    for line in rest.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        understand(line, told);
    }
}

/// Takes an acknowledgement in; the test harness of the child speaks on the same pipe.
fn understand(line: &str, told: &mut BTreeMap<u64, Phase>) -> bool {
    let mut words = line.split_whitespace();
    let phase = match words.next() {
        Some("@enqueued") => Phase::Pending,
        Some("@sending") => Phase::Sending,
        Some("@sent") => Phase::Sent,
        _ => return false,
    };
    for n in words {
        told.insert(n.parse().unwrap(), phase);
    }
    true
}

fn check(dir: &Path, told: &BTreeMap<u64, Phase>, round: u32) {
    let mut store = Store::open(dir, now()).unwrap();
    let mut places: BTreeMap<Seq, u64> = BTreeMap::new();
    for (&n, &phase) in told {
        let item = store.find(&id(n)).unwrap();
        let item = item.unwrap_or_else(|| panic!("call {n} is lost in round {round}"));
        assert_eq!(item.call, call(n));
        // The child may have got further than it could tell.
        assert!(rank(item.state.phase()) >= rank(phase), "call {n} went back to {:?}", item.state);
        assert_eq!(places.insert(item.seq, n), None, "two calls in one place");
        assert_eq!(store.enqueue(vec![call(n)], now()).unwrap(), [Enqueued::Known]);
    }
    check_ledger(&mut store, told.len() as u64);
}

fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Pending => 0,
        // Of an intent that the kill cut short the journal may know and the database not: it is in doubt.
        Phase::Sending | Phase::Unknown => 1,
        Phase::Sent => 2,
        Phase::Parked | Phase::Unsorted | Phase::Skipped | Phase::Expired | Phase::Dead => {
            panic!("nothing brings a call to {phase:?}")
        }
    }
}

/// Nothing is there twice: what is leased, being sent and sent adds up to what ever came.
fn check_ledger(store: &mut Store, at_least: u64) {
    let stats = store.stats().unwrap();
    assert_eq!(stats.ended, stats.by_phase.values().sum::<u64>());
    assert!(stats.ended >= at_least);
    let items = store.lease(&AccountId::default(), usize::MAX, now()).unwrap();
    let ids: std::collections::BTreeSet<_> = items.iter().map(|item| &item.call.record.call_id).collect();
    assert_eq!(ids.len(), items.len());
    assert_eq!(items.len() as u64, stats.by_phase.get(&Phase::Pending).copied().unwrap_or(0));
}

/// The process that is killed: not a test of its own.
#[test]
fn child() {
    let Ok(dir) = env::var(DIR) else { return };
    let first = env::var(FIRST).unwrap().parse().unwrap();
    let handle = Store::open(Path::new(&dir), now()).unwrap().spawn(now).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(work(&handle, first));
}

/// Enqueues alone, in lists and without waiting; sends a part of it. Ends only by being killed.
async fn work(handle: &Handle, first: u64) {
    let mut n = first;
    loop {
        let alone = handle.enqueue(vec![call(n)], now()).await.unwrap();
        tell("@enqueued", &[n]);
        let list: Vec<u64> = (n + 1..n + 8).collect();
        let listed = handle.enqueue(list.iter().map(|n| call(*n)).collect(), now()).await.unwrap();
        tell("@enqueued", &list);
        let receipts: Vec<_> = (n + 8..n + 16)
            .map(|n| (n, handle.try_store(&PbxName::default(), vec![call(n)].into()).unwrap()))
            .collect();
        send(handle, &seqs(&alone), &[n]).await;
        send(handle, &seqs(&listed[..3]), &list[..3]).await;
        for (n, receipt) in receipts {
            receipt.await.unwrap();
            tell("@enqueued", &[n]);
        }
        n += 16;
    }
}

async fn send(handle: &Handle, seqs: &[Seq], calls: &[u64]) {
    handle.intend(seqs, now()).await.unwrap();
    tell("@sending", calls);
    let sent = |seq: &Seq| Settlement {
        seq: *seq,
        state: State::Sent { note_id: None, entity: None, at: now() },
        next_at: now(),
        last_error: None,
        attempted: true,
        errand: Errand::default(),
    };
    handle.settle(seqs.iter().map(sent).collect(), now()).await.unwrap();
    tell("@sent", calls);
}

fn seqs(enqueued: &[Enqueued]) -> Vec<Seq> {
    let seq = |enqueued: &Enqueued| match enqueued {
        Enqueued::New(seq) => *seq,
        Enqueued::Known => panic!("the call is new"),
    };
    enqueued.iter().map(seq).collect()
}

/// One write a line, past the harness's buffer: what is in the pipe outlives the process.
fn tell(what: &str, calls: &[u64]) {
    let calls: Vec<_> = calls.iter().map(u64::to_string).collect();
    let line = format!("{what} {}\n", calls.join(" "));
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}
