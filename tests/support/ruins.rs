//! A store with calls in every state, whose files are damaged, and what must be there afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ami2amo::call::id::{AccountId, PbxName};
use ami2amo::call::record::{FinishedCall, Skip};
use ami2amo::outbox::errand::Errand;
use ami2amo::outbox::queue::{Enqueued, Phase, Queue, Seq, Settlement, State};
use ami2amo::outbox::store::{Repair, Shelf, Store};
use ami2amo::time::HostTime;

use crate::samples;

pub const CALLS: u64 = 300;

/// In memory where that can be: no power is cut here, and every open syncs a dozen times.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub fn call(n: u64) -> FinishedCall {
    let mut call = samples::call(&format!("{n}.1"));
    call.record.skip = (n % 17 == 3).then_some(Skip::Anonymous);
    call
}

pub fn time(second: i64) -> HostTime {
    HostTime::from_micros((1_795_337_600 + second) * 1_000_000)
}

/// The state to which call `n` is brought.
pub fn fate(n: u64) -> Phase {
    match n % 17 {
        3 => Phase::Skipped,
        0 | 1 | 7..=12 => Phase::Sent,
        2 => Phase::Parked,
        4 => Phase::Dead,
        5 => Phase::Sending,
        6 => Phase::Unknown,
        _ => Phase::Pending,
    }
}

/// A store with calls in every state, tokens and checkpoints, closed and opened a few times.
pub fn make(dir: &Path) {
    let mut numbers = 0..CALLS;
    for _ in 0..3 {
        let mut store = Store::open(dir, time(0)).unwrap();
        for n in numbers.by_ref().take(usize::try_from(CALLS).unwrap() / 3) {
            store.put(Shelf::Inflight, &format!("default-{n}.1"), b"{\"v\":1,\"checkpoint\":true}").unwrap();
            let Enqueued::New(seq) = store.enqueue(vec![call(n)], time(1)).unwrap()[0] else { panic!() };
            store.remove(Shelf::Inflight, &format!("default-{n}.1")).unwrap();
            bring(&mut store, seq, fate(n));
        }
        store.put(Shelf::Tokens, "default", b"{\"v\":1,\"access\":\"t0ken\"}").unwrap();
        store.put(Shelf::Inflight, "default-9999.1", b"{\"v\":1,\"checkpoint\":true}").unwrap();
        store.pin_pbx(&[PbxName::default()]).unwrap();
    }
}

fn bring(store: &mut Store, seq: Seq, to: Phase) {
    if matches!(to, Phase::Skipped | Phase::Pending) {
        return;
    }
    let batch = store.intend(&[seq], time(2)).unwrap();
    let state = match to {
        Phase::Sent => State::Sent { note_id: Some(seq.0), entity: None, at: time(3) },
        Phase::Parked => State::Parked { since: time(3) },
        Phase::Dead => State::Dead { reason: "refused".into(), at: time(3) },
        Phase::Unknown => State::Unknown { batch, since: time(2), looked: 0 },
        _ => return,
    };
    let settlement = Settlement {
        seq,
        state,
        next_at: time(9),
        last_error: None,
        attempted: true,
        errand: Errand::default(),
    };
    store.settle(vec![settlement], time(3)).unwrap();
}

/// What a call may be after the damage, by what it was: what may have been sent is looked up, what was
/// done stays done, what waits waits.
pub fn may_be(was: Phase, is: Phase) -> bool {
    match was {
        Phase::Sent => is == Phase::Sent,
        Phase::Skipped => is == Phase::Skipped,
        Phase::Sending | Phase::Unknown => matches!(is, Phase::Sending | Phase::Unknown),
        Phase::Pending => matches!(is, Phase::Pending | Phase::Unknown),
        // A database that fell back may know of the intent only: it is looked up.
        Phase::Parked => matches!(is, Phase::Parked | Phase::Pending | Phase::Sending | Phase::Unknown),
        Phase::Dead => matches!(is, Phase::Dead | Phase::Sending | Phase::Unknown),
        Phase::Unsorted | Phase::Expired => panic!("no call was brought there"),
    }
}

/// Opens the store and looks at the calls `wanted`; returns what had to be done.
#[track_caller]
pub fn check(dir: &Path, wanted: &BTreeSet<u64>, what: &str) -> Option<Repair> {
    let mut store = Store::open(dir, time(10)).unwrap_or_else(|error| panic!("{what}: {error}"));
    for &n in wanted {
        let found = store.find(&samples::id(&format!("{n}.1"))).unwrap();
        let found = found.unwrap_or_else(|| panic!("{what}: call {n} is lost ({:?})", store.opened()));
        assert_eq!(found.call, call(n), "{what}");
        let is = found.state.phase();
        assert!(
            may_be(fate(n), is),
            "{what}: call {n} was {:?} and is {is:?} ({:?})",
            fate(n),
            store.opened()
        );
    }
    let again = store.enqueue(wanted.iter().map(|n| call(*n)).collect(), time(11)).unwrap();
    assert!(again.iter().all(|answer| *answer == Enqueued::Known), "{what}");
    let due = store.lease(&AccountId::default(), usize::MAX, time(20)).unwrap();
    let seqs: BTreeSet<Seq> = due.iter().map(|item| item.seq).collect();
    assert_eq!(seqs.len(), due.len());
    let stats = store.stats().unwrap();
    if wanted.len() as u64 == CALLS {
        assert_eq!(stats.ended, stats.by_phase.values().sum::<u64>(), "{what}: {:?}", store.opened());
        assert_eq!(stats.ended, CALLS, "{what}: {:?}", store.opened());
    }
    let repair = store.opened().repair;
    drop(store);
    let again = Store::open(dir, time(30)).unwrap();
    assert_eq!((again.opened().repair, again.opened().refilled), (None, 0), "{what}: it stays repaired");
    repair
}

pub fn queue(dir: &Path) -> PathBuf {
    dir.join("queue")
}

pub fn edit(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    edit(&mut bytes);
    fs::write(path, bytes).unwrap();
}
