//! Calls that go to another store, in the order in which they came, and calls that come from one.

use std::collections::BTreeSet;

use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::outbox::filter::Filter;
use crate::outbox::queue::{BatchId, Error, Item, Phase, Seq, State};
use crate::outbox::schedule::Slip;
use crate::outbox::store::Store;
use crate::outbox::store::desk::CALLS_A_CHANGE;
use crate::outbox::store::draft::Entering;
use crate::outbox::store::fit;
use crate::outbox::store::handle::Handle;
use crate::outbox::store::trees::{Tree, seq_of};
use crate::outbox::store::value::Head;
use crate::time::HostTime;

/// Calls of one tree that are read at one go: a few milliseconds.
const AT_ONCE: usize = 256;

/// Some calls, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shipment {
    pub items: Vec<Item>,
    /// Where the next one goes on; `None` when this was the last.
    pub next: Option<Seq>,
}

/// What became of a call that came from another store.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrival {
    New,
    /// A call with this id is here, in whatever state: nothing was changed.
    Known,
}

impl Store {
    /// Reads on behind `after`; of the calls that are meant at most `limit`. There may be none, and more to
    /// come.
    ///
    /// # Errors
    /// When the store failed.
    pub fn export(&self, filter: &Filter, after: Option<Seq>, limit: usize) -> Result<Shipment, Error> {
        self.alive()?;
        let mark = filter.mark();
        let mark = mark.as_ref().map(Finder::new);
        let phases = Phase::ALL.into_iter().filter(|phase| filter.has_phase(*phase));
        // What cannot be read lies among the dead, and is left there.
        let trees: BTreeSet<Tree> = phases.map(Tree::of).collect();
        // Up to there every tree was read.
        let mut reached: Option<Seq> = None;
        let mut items = Vec::new();
        for tree in trees {
            let mut last = None;
            let mut read = 0;
            for entry in self.trees.oldest(tree, after).take(AT_ONCE) {
                let (key, bytes) = entry.map_err(|error| self.fail("the database cannot be read", error))?;
                read += 1;
                let Some(seq) = seq_of(&key) else { continue };
                last = Some(seq);
                let has_mark = mark.as_ref().is_none_or(|mark| mark.find(&bytes).is_some());
                if has_mark && Head::decode(&bytes).is_ok_and(|(_, head)| filter.fits_slip(&head.slip)) {
                    items.extend(self.listed(tree, seq, &bytes, filter));
                }
            }
            if read == AT_ONCE {
                reached = reached.into_iter().chain(last).min();
            }
        }
        items.retain(|item| reached.is_none_or(|reached| item.seq <= reached));
        items.sort_by_key(|item| item.seq);
        // A call that was moved between two looks at trees is there twice.
        items.dedup_by_key(|item| item.seq);
        let is_full = items.len() > limit;
        items.truncate(limit);
        let next = if is_full { items.last().map(|item| item.seq) } else { reached };
        Ok(Shipment { items, next })
    }

    /// Takes calls of another store in, as they stand there; those whose ids are known are left alone. One that
    /// was on its way there is looked up in amoCRM before it is sent from here.
    ///
    /// # Errors
    /// When the store failed; then none of the calls may be taken for stored.
    pub fn import(&mut self, items: &[Item], by: &str, now: HostTime) -> Result<Vec<Arrival>, Error> {
        let arrivals = self.receive(items, by, now)?;
        self.persist()?;
        Ok(arrivals)
    }

    fn receive(&mut self, items: &[Item], by: &str, now: HostTime) -> Result<Vec<Arrival>, Error> {
        self.begin(now)?;
        let mut arrivals = Vec::with_capacity(items.len());
        for part in items.chunks(CALLS_A_CHANGE) {
            let mut draft = self.draft();
            for item in part {
                let id = &item.call.record.call_id;
                if draft.ids.contains(id) || self.seq_of_call(id)?.is_some() {
                    arrivals.push(Arrival::Known);
                    continue;
                }
                let call = fit::fit(&item.call).map_err(|error| self.fail("a call has no JSON", error))?;
                let slip = arriving(item, draft.ledger.take_seq(), now);
                draft.ledger.enter(&slip);
                self.enter(&mut draft, Entering { slip, call })?;
                arrivals.push(Arrival::New);
            }
            self.commit(draft)?;
        }
        let new = arrivals.iter().filter(|arrival| **arrival == Arrival::New).count();
        info!(new, known = arrivals.len() - new, by, "calls of another store came in");
        Ok(arrivals)
    }
}

/// The slip of a call from another store.
fn arriving(item: &Item, seq: Seq, now: HostTime) -> Slip {
    let state = match &item.state {
        // Batches are the other store's; what is not known any more is looked up.
        State::Sending { since, .. } | State::Unknown { since, .. } => {
            State::Unknown { batch: BatchId(0), since: *since, looked: 0 }
        }
        state @ (State::Pending
        | State::Sent { .. }
        | State::Parked { .. }
        | State::Unsorted { .. }
        | State::Skipped { .. }
        | State::Expired { .. }
        | State::Dead { .. }) => state.clone(),
    };
    let was_on_its_way = matches!(item.state, State::Sending { .. });
    Slip {
        seq,
        account: item.account.clone(),
        pbx: item.call.record.pbx.clone(),
        enqueued_at: item.enqueued_at.min(now),
        state,
        attempts: item.attempts.saturating_add(u32::from(was_on_its_way)),
        next_at: if was_on_its_way { now } else { item.next_at },
        last_error: item.last_error.clone(),
        parked_since: item.parked_since,
        errand: item.errand.clone(),
        hooked: item.hooked,
    }
}

impl Handle {
    /// As [`Store::export`].
    ///
    /// # Errors
    /// When the store failed.
    pub async fn export(&self, filter: Filter, after: Option<Seq>, limit: usize) -> Result<Shipment, Error> {
        self.ask(move |store| store.export(&filter, after, limit)).await
    }

    /// As [`Store::import`].
    ///
    /// # Errors
    /// As [`Store::import`].
    pub async fn import(&self, items: Vec<Item>, by: String, now: HostTime) -> Result<Vec<Arrival>, Error> {
        self.ask(move |store| store.receive(&items, &by, now)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::queue::contract::{account, at, balances, call, sent, settlement};
    use crate::outbox::queue::{Enqueued, Queue as _};

    fn open(dir: &tempfile::TempDir) -> Store {
        Store::open(dir.path(), at(9)).unwrap()
    }

    /// All that is meant, in pieces of `limit`.
    fn all(store: &Store, filter: &Filter, limit: usize) -> Vec<Item> {
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let part = store.export(filter, after, limit).unwrap();
            items.extend(part.items);
            after = part.next;
            if after.is_none() {
                return items;
            }
        }
    }

    /// A call in each state: 0 pending, 1 sent, 2 unknown, 3 parked, 4 dead, 5 expired, 6 sending.
    fn every_state(store: &mut Store) {
        store.enqueue((0..7).map(call).collect(), at(0)).unwrap();
        store.intend(&[1, 2, 3, 4, 6].map(Seq), at(1)).unwrap();
        let batch = BatchId(7);
        let states = [
            (1, sent(at(2))),
            (2, State::Unknown { batch, since: at(1), looked: 3 }),
            (3, State::Parked { since: at(2) }),
            (4, State::Dead { reason: "no such user".to_owned(), at: at(2) }),
            (5, State::Expired { reason: "too old".to_owned(), at: at(2) }),
        ];
        let settled = states.map(|(seq, state)| settlement(Seq(seq), state, at(3)));
        store.settle(settled.to_vec(), at(3)).unwrap();
    }

    #[test]
    fn what_left_one_store_stands_in_another_as_it_stood() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut store, mut other) = (open(&here), open(&there));
        every_state(&mut store);
        // Sequence numbers and batches differ there.
        other.enqueue(vec![call(90)], at(0)).unwrap();
        let items = all(&store, &Filter::default(), 2);
        assert_eq!(items.iter().map(|item| item.seq.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(other.import(&items, "anna", at(5)).unwrap(), [Arrival::New; 7]);
        assert!(balances(&other.stats().unwrap()), "{:?}", other.stats());
        drop(other);
        let mut other = open(&there);
        assert_eq!(other.opened(), crate::outbox::store::Opened::default(), "the journal knows the same");
        for item in &items {
            let known = other.find(&item.call.record.call_id).unwrap().unwrap();
            assert_eq!((&known.call, known.enqueued_at), (&item.call, item.enqueued_at));
            match item.state {
                State::Sending { since, .. } | State::Unknown { since, .. } => {
                    assert_eq!(known.state, State::Unknown { batch: BatchId(0), since, looked: 0 });
                }
                State::Pending
                | State::Sent { .. }
                | State::Parked { .. }
                | State::Unsorted { .. }
                | State::Skipped { .. }
                | State::Expired { .. }
                | State::Dead { .. } => assert_eq!(known.state, item.state),
            }
        }
        let phases: Vec<_> = all(&other, &Filter::default(), 9).iter().map(|i| i.state.phase()).collect();
        assert_eq!(
            phases[1..],
            [
                Phase::Pending,
                Phase::Sent,
                Phase::Unknown,
                Phase::Parked,
                Phase::Dead,
                Phase::Expired,
                Phase::Unknown
            ]
        );
        let leased = other.lease(&account(), 9, at(9)).unwrap();
        assert!(leased.iter().all(|item| item.state == State::Pending), "nothing else is sent: {leased:?}");
    }

    #[test]
    fn a_call_that_is_known_is_left_alone() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut store, mut other) = (open(&here), open(&there));
        every_state(&mut store);
        other.enqueue(vec![call(0), call(4)], at(0)).unwrap();
        other.intend(&[Seq(0)], at(1)).unwrap();
        other.settle(vec![settlement(Seq(0), sent(at(2)), at(2))], at(2)).unwrap();
        let items = all(&store, &Filter::default(), 100);
        let arrivals = other.import(&items, "anna", at(5)).unwrap();
        assert_eq!(arrivals.iter().filter(|arrival| **arrival == Arrival::Known).count(), 2);
        assert_eq!(other.import(&items, "anna", at(6)).unwrap(), [Arrival::Known; 7]);
        let first = other.find(&call(0).record.call_id).unwrap().unwrap();
        assert_eq!(first.state.phase(), Phase::Sent, "it is not sent again");
        assert!(balances(&other.stats().unwrap()), "{:?}", other.stats());
        assert_eq!(other.enqueue(vec![call(3)], at(7)).unwrap(), [Enqueued::Known]);
    }

    #[test]
    fn what_comes_with_long_texts_fits_all_the_same() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut store, mut other) = (open(&here), open(&there));
        every_state(&mut store);
        let mut items = all(&store, &Filter::default(), 9);
        for item in &mut items {
            (item.last_error, item.attempts) = (Some("x".repeat(50_000)), u32::MAX);
        }
        items[4].state = State::Dead { reason: "y".repeat(50_000), at: at(2) };
        other.import(&items, "anna", at(5)).unwrap();
        for item in all(&other, &Filter::default(), 9) {
            let text = serde_json::to_string(&item).unwrap();
            assert!(text.len() <= fit::VALUE_MAX, "{} bytes", text.len());
        }
    }

    #[test]
    fn only_what_is_meant_leaves_and_many_leave_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir);
        let count = u32::try_from(AT_ONCE).unwrap() * 2 + 10;
        store.enqueue((0..count).map(call).collect(), at(0)).unwrap();
        let even: Vec<Seq> = (0..u64::from(count)).step_by(2).map(Seq).collect();
        store.intend(&even, at(1)).unwrap();
        let settled = even.iter().map(|seq| settlement(*seq, sent(at(2)), at(2))).collect();
        store.settle(settled, at(2)).unwrap();
        let seqs: Vec<u64> = all(&store, &Filter::default(), 100).iter().map(|item| item.seq.0).collect();
        assert_eq!(seqs, (0..u64::from(count)).collect::<Vec<_>>());
        let waiting = Filter { states: [Phase::Pending].into(), ..Filter::default() };
        assert_eq!(all(&store, &waiting, 7).len(), count as usize / 2);
    }
}
