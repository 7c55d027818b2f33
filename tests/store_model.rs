//! The store does what the queue in memory does, whatever is asked in whatever order, and however
//! often it is opened anew in between.

use std::fmt::Debug;

use ami2amo::call::id::{AccountId, CallId};
use ami2amo::call::record::{FinishedCall, Skip};
use ami2amo::outbox::errand::Errand;
use ami2amo::outbox::memory::MemoryQueue;
use ami2amo::outbox::queue::{BatchId, Error, Queue, Seq, Settlement, State};
use ami2amo::outbox::store::{Opened, Store};
use ami2amo::time::HostTime;
use proptest::prelude::*;

#[path = "support/samples.rs"]
mod samples;

#[derive(Clone, Debug)]
enum Ask {
    Enqueue(Vec<(u8, bool)>),
    Lease { limit: usize },
    Intend(Vec<u64>),
    Settle(Vec<(u64, State, i64)>),
    Adopt,
    Unknown,
    NextDue,
    Find(u8),
    Reopen,
}

fn asks() -> impl Strategy<Value = Vec<(i64, Ask)>> {
    let seqs = || prop::collection::vec(0_u64..12, 1..4);
    let ask = prop_oneof![
        3 => prop::collection::vec((0_u8..14, prop::bool::weighted(0.2)), 1..4).prop_map(Ask::Enqueue),
        2 => (1_usize..5).prop_map(|limit| Ask::Lease { limit }),
        4 => seqs().prop_map(Ask::Intend),
        8 => prop::collection::vec((0_u64..12, states(), 0_i64..50), 1..3).prop_map(Ask::Settle),
        1 => Just(Ask::Adopt),
        1 => Just(Ask::Unknown),
        1 => Just(Ask::NextDue),
        2 => (0_u8..14).prop_map(Ask::Find),
        1 => Just(Ask::Reopen),
    ];
    prop::collection::vec((0_i64..50, ask), 1..40)
}

fn states() -> impl Strategy<Value = State> {
    let (batch, at) = (BatchId(7), time(1));
    prop_oneof![
        Just(State::Pending),
        Just(State::Sent { note_id: Some(1), entity: None, at }),
        Just(State::Unknown { batch, since: at, looked: 1 }),
        Just(State::Parked { since: at }),
        Just(State::Unsorted { uid: None, at }),
        Just(State::Skipped { reason: Skip::Policy, at }),
        Just(State::Expired { reason: "old".into(), at }),
        Just(State::Dead { reason: "no".into(), at }),
    ]
}

fn time(second: i64) -> HostTime {
    HostTime::from_micros((1_795_337_600 + second) * 1_000_000)
}

fn id(n: u8) -> CallId {
    samples::id(&format!("{n}.1"))
}

fn call(n: u8, skipped: bool) -> FinishedCall {
    let mut call = samples::call(&format!("{n}.1"));
    call.record.skip = skipped.then_some(Skip::Anonymous);
    call
}

/// Asks one queue; the answer as text, errors too, for two errors have no equality.
fn ask(queue: &mut impl Queue, now: HostTime, ask: &Ask) -> String {
    let account = AccountId::default();
    match ask {
        Ask::Enqueue(calls) => {
            let calls = calls.iter().map(|(n, skipped)| call(*n, *skipped)).collect();
            text(&queue.enqueue(calls, now))
        }
        Ask::Lease { limit } => text(&queue.lease(&account, *limit, now)),
        Ask::Intend(seqs) => text(&queue.intend(&seqs.iter().copied().map(Seq).collect::<Vec<_>>(), now)),
        Ask::Settle(steps) => text(&queue.settle(steps.iter().map(settlement).collect(), now)),
        Ask::Adopt => text(&queue.adopt(&account, now)),
        Ask::Unknown => text(&queue.unknown(&account, 50, now)),
        Ask::NextDue => text(&queue.next_due(&account)),
        Ask::Find(n) => text(&queue.find(&id(*n))),
        Ask::Reopen => String::new(),
    }
}

fn settlement((seq, state, next_at): &(u64, State, i64)) -> Settlement {
    Settlement {
        seq: Seq(*seq),
        state: state.clone(),
        next_at: time(*next_at),
        last_error: Some("said so".into()),
        attempted: true,
        errand: Errand::default(),
    }
}

fn text<T: Debug>(answer: &Result<T, Error>) -> String {
    format!("{answer:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_store_and_the_memory_agree(asks in asks()) {
        let dir = tempfile::tempdir().unwrap();
        let mut model = MemoryQueue::new();
        let mut store = Store::open(dir.path(), time(0)).unwrap();
        for (second, what) in asks {
            if matches!(what, Ask::Reopen) {
                drop(store);
                store = Store::open(dir.path(), time(0)).unwrap();
                prop_assert_eq!(store.opened(), Opened::default());
            }
            let now = time(second);
            prop_assert_eq!(ask(&mut store, now, &what), ask(&mut model, now, &what), "{:?}", what);
            prop_assert_eq!(store.stats().unwrap(), model.stats().unwrap());
        }
    }
}
