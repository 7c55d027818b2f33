//! What a worker was told to be durable, and what of it a store has no more.

use std::collections::{BTreeMap, BTreeSet};

use ami2amo::call::id::{AccountId, PbxName};
use ami2amo::outbox::queue::{Enqueued, Phase, Queue as _};
use ami2amo::outbox::store::Store;

use crate::worker::{self, call, id, key};

/// The last acknowledged step of each call, over the rounds of one store.
#[derive(Debug, Default)]
pub struct Told {
    /// Of calls that ended.
    pub calls: BTreeMap<u64, Phase>,
    /// Of calls in progress: the number of the value that was kept last.
    pub kept: BTreeMap<u64, u64>,
    /// Lines that were understood.
    pub steps: u64,
}

impl Told {
    /// A number that no worker has used yet.
    pub fn next(&self) -> u64 {
        let last = self.calls.keys().next_back().max(self.kept.keys().next_back());
        last.map_or(0, |n| n + 1_000)
    }

    pub fn settled(&self) -> usize {
        self.calls.values().filter(|phase| **phase == Phase::Sent).count()
    }

    /// Takes a line in; half a line, and what the test harness says on the same pipe, is none.
    pub fn hear(&mut self, line: &str) -> bool {
        let Some(line) = line.strip_suffix('\n') else { return false };
        let mut words = line.split_whitespace();
        let what = words.next().unwrap_or_default();
        let Ok(numbers) = words.map(str::parse).collect::<Result<Vec<u64>, _>>() else { return false };
        let phase = match what {
            "@enqueued" | "@released" => Phase::Pending,
            "@sending" => Phase::Sending,
            "@sent" => Phase::Sent,
            "@kept" => {
                let Some((value, calls)) = numbers.split_first() else { return false };
                self.kept.extend(calls.iter().map(|n| (*n, *value)));
                self.steps += 1;
                return true;
            }
            _ => return false,
        };
        self.calls.extend(numbers.into_iter().map(|n| (n, phase)));
        self.steps += 1;
        true
    }

    /// What a store that was opened again has lost, or has twice. It may know more than was told.
    pub fn faults(&self, store: &mut Store) -> Vec<String> {
        let mut faults = self.lost_calls(store);
        self.check_kept(store, &mut faults);
        self.check_ledger(store, &mut faults);
        faults
    }

    fn lost_calls(&self, store: &mut Store) -> Vec<String> {
        let (mut faults, mut places) = (Vec::new(), BTreeMap::new());
        for (&n, &phase) in &self.calls {
            let Some(item) = store.find(&id(n)).unwrap() else {
                faults.push(format!("call {n} is lost; it was {phase:?}"));
                continue;
            };
            if item.call != call(n) {
                faults.push(format!("call {n} is another one"));
            }
            if rank(item.state.phase()) < least(n, phase) {
                faults.push(format!("call {n} was {phase:?} and went back to {:?}", item.state));
            }
            if let Some(other) = places.insert(item.seq, n) {
                faults.push(format!("calls {n} and {other} have one place"));
            }
            if store.enqueue(vec![call(n)], worker::now()).unwrap() != [Enqueued::Known] {
                faults.push(format!("call {n} is taken twice"));
            }
        }
        faults
    }

    /// A call is in progress until it waits in the outbox: never both, never neither.
    fn check_kept(&self, store: &mut Store, faults: &mut Vec<String>) {
        let kept: BTreeMap<_, _> = store.checkpoints(&PbxName::default()).unwrap().into_iter().collect();
        for (&n, &value) in &self.kept {
            let ended = store.find(&id(n)).unwrap().is_some();
            match kept.get(&key(n)).map(|json| worker::value_of(json)) {
                None if !ended => faults.push(format!("call {n} in progress is lost")),
                Some(_) if ended => faults.push(format!("call {n} ended and is in progress still")),
                Some(found) if found < value => {
                    faults.push(format!("call {n} in progress is as of {found}, {value} was kept"));
                }
                None | Some(_) => {}
            }
        }
    }

    /// Nothing is there twice: the calls by phase add up to what ever came.
    fn check_ledger(&self, store: &mut Store, faults: &mut Vec<String>) {
        let stats = store.stats().unwrap();
        if stats.ended != stats.by_phase.values().sum::<u64>() || stats.ended < self.calls.len() as u64 {
            faults
                .push(format!("the ledger does not close: {stats:?}, {} calls were told", self.calls.len()));
        }
        let due = store.lease(&AccountId::default(), usize::MAX, worker::now()).unwrap();
        let ids: BTreeSet<_> = due.iter().map(|item| &item.call.record.call_id).collect();
        if ids.len() != due.len() {
            faults.push("a call waits twice".to_owned());
        }
    }
}

/// How far a call must have come at least.
fn least(n: u64, phase: Phase) -> i8 {
    match phase {
        // It may have been taken back without having been told.
        Phase::Sending if worker::is_refused_once(n) => rank(Phase::Pending),
        _ => rank(phase),
    }
}

fn rank(phase: Phase) -> i8 {
    match phase {
        Phase::Pending => 0,
        // At the start what was under way is taken over as unknown.
        Phase::Sending | Phase::Unknown => 1,
        Phase::Sent => 2,
        // Nothing brings a call there, but damage.
        Phase::Parked | Phase::Unsorted | Phase::Skipped | Phase::Expired | Phase::Dead => -1,
    }
}

#[cfg(test)]
mod tests {
    use ami2amo::outbox::store::Shelf;

    use super::*;

    #[test]
    fn whole_lines_of_the_worker_are_understood_and_nothing_else() {
        let mut told = Told::default();
        for line in ["@enqueued 1 2\n", "@sending 1\n", "@sent 1\n", "@kept 7 3 4\n", "@kept 8 4\n"] {
            assert!(told.hear(line), "{line}");
        }
        for line in ["@sent 2", "@sent x\n", "running 1 test\n", "\n", "@kept\n", "@lost 1\n"] {
            assert!(!told.hear(line), "{line}");
        }
        assert_eq!(told.calls, BTreeMap::from([(1, Phase::Sent), (2, Phase::Pending)]));
        assert_eq!(told.kept, BTreeMap::from([(3, 7), (4, 8)]));
        assert_eq!((told.steps, told.settled(), told.next()), (5, 1, 1_004));
    }

    #[test]
    fn every_kind_of_loss_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), worker::now()).unwrap();
        store.enqueue(vec![call(1), call(2)], worker::now()).unwrap();
        for n in [2, 3] {
            let stored = format!("default/{}", key(n));
            store.put(Shelf::Inflight, &stored, &worker::value(n, 5)).unwrap();
        }
        let mut check = |lines: &[&str], expected: &[&str]| {
            let mut told = Told::default();
            assert!(lines.iter().all(|line| told.hear(line)));
            let faults = told.faults(&mut store);
            let as_expected = faults.iter().zip(expected).all(|(fault, words)| fault.contains(words));
            assert!(faults.len() == expected.len() && as_expected, "{lines:?}: {faults:?}");
        };
        check(&["@enqueued 1 2\n", "@kept 5 3\n"], &[]);
        check(&["@enqueued 9\n"], &["call 9 is lost"]);
        check(&["@sent 1\n"], &["went back to Pending"]);
        check(&["@sending 1\n"], &["went back to Pending"]);
        check(&["@kept 6 3\n"], &["is as of 5, 6 was kept"]);
        check(&["@kept 1 8\n"], &["call 8 in progress is lost"]);
        check(&["@kept 5 2\n"], &["is in progress still"]);
        check(&["@enqueued 1 2 9\n"], &["call 9 is lost", "the ledger does not close"]);
    }
}
