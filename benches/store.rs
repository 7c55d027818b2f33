//! What it costs to make a call durable, beside the bare sync that no store can do without.
//! Set `TMPDIR` to a folder on the disk that is to be measured.

use std::fs::File;
use std::io::Write;

use ami2amo::call::id::{AccountId, CallId, PbxName};
use ami2amo::call::record::FinishedCall;
use ami2amo::outbox::errand::Errand;
use ami2amo::outbox::queue::{Enqueued, Queue, Seq, Settlement, State};
use ami2amo::outbox::store::Store;
use ami2amo::time::HostTime;
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

fn now() -> HostTime {
    HostTime::from_micros(1_795_337_600_000_000)
}

/// Calls that were never there before.
struct Calls {
    sample: FinishedCall,
    count: u64,
}

impl Calls {
    fn new() -> Self {
        let sample = serde_json::from_str(include_str!("../tests/samples/call.json"));
        Self { sample: sample.expect("the sample is a call"), count: 0 }
    }

    fn take(&mut self, count: usize) -> Vec<FinishedCall> {
        (0..count).map(|_| self.next()).collect()
    }

    fn next(&mut self) -> FinishedCall {
        self.count += 1;
        let mut call = self.sample.clone();
        let uniqueid = format!("{}.1", self.count);
        call.record.call_id = CallId::new(&PbxName::default(), &uniqueid, 1);
        call.record.uniqueids = vec![uniqueid, format!("{}.2", self.count)];
        call
    }
}

/// Enqueue, so many calls in one commit.
#[divan::bench(args = [1, 10, 100, 1000], max_time = 4)]
fn enqueue(bencher: Bencher<'_, '_>, group: usize) {
    let dir = tempfile::tempdir().expect("there is a folder for it");
    let mut store = Store::open(dir.path(), now()).expect("it is new");
    let mut calls = Calls::new();
    bencher
        .counter(ItemsCount::new(group))
        .with_inputs(|| calls.take(group))
        .bench_local_values(|calls| store.enqueue(calls, now()).expect("it works"));
}

/// The whole way of one call: taken in, about to be sent, sent: three commits.
#[divan::bench(max_time = 4)]
fn one_call_from_intake_to_sent(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().expect("there is a folder for it");
    let mut store = Store::open(dir.path(), now()).expect("it is new");
    let mut calls = Calls::new();
    bencher.with_inputs(|| calls.take(1)).bench_local_values(|calls| deliver(&mut store, calls));
}

/// A lease of a full batch out of 10,000 waiting calls.
#[divan::bench(max_time = 2)]
fn lease_50_of_10_000(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().expect("there is a folder for it");
    let mut store = Store::open(dir.path(), now()).expect("it is new");
    store.enqueue(Calls::new().take(10_000), now()).expect("it works");
    bencher.bench_local(|| store.lease(&AccountId::default(), 50, now()).expect("it works"));
}

/// Opening with 10,000 waiting calls.
#[divan::bench(max_time = 4)]
fn open_with_10_000_waiting(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().expect("there is a folder for it");
    let mut store = Store::open(dir.path(), now()).expect("it is new");
    store.enqueue(Calls::new().take(10_000), now()).expect("it works");
    drop(store);
    bencher.bench_local(|| drop(Store::open(dir.path(), now()).expect("it opens")));
}

/// The floor: two files, each with 1.7 KB appended and synced.
#[divan::bench(max_time = 2)]
fn two_bare_syncs(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().expect("there is a folder for it");
    let mut files = ["a", "b"].map(|name| File::create(dir.path().join(name)).expect("it can be made"));
    bencher.bench_local(|| {
        for file in &mut files {
            file.write_all(&[b'x'; 1700]).expect("there is room");
            file.sync_data().expect("the disk works");
        }
    });
}

fn deliver(store: &mut Store, calls: Vec<FinishedCall>) {
    let taken = store.enqueue(calls, now()).expect("it works");
    let seqs: Vec<Seq> = taken.iter().filter_map(new_seq).collect();
    store.intend(&seqs, now()).expect("it works");
    let settlements = seqs.iter().map(|seq| Settlement {
        seq: *seq,
        state: State::Sent { note_id: Some(1), entity: None, at: now() },
        next_at: now(),
        last_error: None,
        attempted: true,
        errand: Errand::default(),
    });
    store.settle(settlements.collect(), now()).expect("it works");
}

fn new_seq(enqueued: &Enqueued) -> Option<Seq> {
    match enqueued {
        Enqueued::New(seq) => Some(*seq),
        Enqueued::Known => None,
    }
}
