//! What a look at amoCRM's call notes said of calls at their end, and the notes that are of no call.

use std::collections::BTreeMap;

use tracing::error;

use crate::call::id::AccountId;
use crate::outbox::compare::{self, Compared, Stranger};
use crate::outbox::queue::{Error, Item, Seq};
use crate::outbox::schedule::{Turn, waits};
use crate::outbox::store::handle::Handle;
use crate::outbox::store::{Shelf, Store};
use crate::time::HostTime;

/// Notes of an account that are kept, the latest: a connector that knows ten times as many calls as we shows in fewer.
pub const STRANGERS_MAX: usize = 2000;

impl Store {
    /// Calls of `account` that came before `until`, are not sent, and were not compared yet, the oldest first.
    pub(super) fn look_up_uncompared(
        &mut self,
        account: &AccountId,
        limit: usize,
        until: HostTime,
    ) -> Result<Vec<Item>, Error> {
        self.alive()?;
        let mut items = Vec::new();
        for seq in self.schedule.uncompared(account, limit, until) {
            let found = self.load(seq).map(|found| found.map(|(_, stored)| stored.into_item()));
            if let Ok(Some(Ok(item))) = found {
                items.push(item);
            } else {
                // It cannot be read, and is at its end: nothing is lost but the comparison.
                self.alive()?;
                self.schedule.remove(seq);
            }
        }
        Ok(items)
    }

    /// Keeps what was found out of calls at their end. Those that are gone, wait, cannot be
    /// read, or lost their number say nothing.
    pub(super) fn note_compared(&mut self, found: Vec<(Seq, Compared)>, now: HostTime) -> Result<(), Error> {
        self.begin(now)?;
        let (mut turns, mut loaded) = (Vec::new(), BTreeMap::new());
        for (seq, compared) in found {
            // One that cannot be read holds nobody up: calls wait until this is kept.
            let Ok(Some((tree, stored))) = self.load(seq) else {
                self.alive()?;
                continue;
            };
            let mut slip = stored.slip().clone();
            let from = slip.state.phase();
            if waits(from) || loaded.contains_key(&seq) {
                continue;
            }
            let compared = if stored.is_forgotten() { Compared::beside(&[], compared.at) } else { compared };
            slip.errand.compared = Some(compared);
            turns.push(Turn { from, slip });
            loaded.insert(seq, (tree, stored));
        }
        if turns.is_empty() { Ok(()) } else { self.turn(self.draft(), turns, loaded) }
    }

    /// Keeps notes that are of no call, the latest of an account.
    pub(super) fn note_strangers(&mut self, account: &AccountId, new: &[Stranger]) -> Result<(), Error> {
        let mut rows = Vec::with_capacity(new.len());
        for stranger in new {
            let json =
                serde_json::to_vec(stranger).map_err(|error| self.fail("a note has no JSON", error))?;
            rows.push((key(account, stranger), Some(json)));
        }
        self.place_all(Shelf::Strangers, &rows)?;
        let kept = self.fetch_all(Shelf::Strangers, &prefix(account))?;
        let surplus = kept.len().saturating_sub(STRANGERS_MAX);
        let gone: Vec<_> = kept.into_iter().take(surplus).map(|(key, _)| (key, None)).collect();
        self.place_all(Shelf::Strangers, &gone)
    }

    /// Notes of an account that are of no call, the earliest first.
    ///
    /// # Errors
    /// When the store failed.
    pub fn strangers(&self, account: &AccountId) -> Result<Vec<Stranger>, Error> {
        let kept = self.fetch_all(Shelf::Strangers, &prefix(account))?.into_iter();
        let read = |(key, value): (String, Vec<u8>)| match serde_json::from_slice(&value) {
            Ok(stranger) => Some(stranger),
            Err(error) => {
                error!(key, %error, "a note of another connector cannot be read");
                None
            }
        };
        Ok(kept.filter_map(read).collect())
    }

    /// Forgets notes that may be of this number: those with the same last digits.
    pub(super) fn forget_strangers(&mut self, number: &str) -> Result<(), Error> {
        let end = compare::end(number);
        let is_meant = |value: &[u8]| {
            serde_json::from_slice::<Stranger>(value).map_or(true, |stranger| stranger.phone_end == end)
        };
        let kept = self.fetch_all(Shelf::Strangers, "")?.into_iter();
        let gone: Vec<_> = kept.filter(|(_, value)| is_meant(value)).map(|(key, _)| (key, None)).collect();
        self.place_all(Shelf::Strangers, &gone)
    }
}

impl Handle {
    /// Calls of `account` that came before `until`, are not sent, and were not compared yet, the oldest first.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn uncompared(
        &self,
        account: &AccountId,
        limit: usize,
        until: HostTime,
    ) -> Result<Vec<Item>, Error> {
        let account = account.clone();
        self.ask(move |store| store.look_up_uncompared(&account, limit, until)).await
    }

    /// Keeps what was found out of calls at their end, and notes that are of no call.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn note_compared(
        &self,
        account: &AccountId,
        found: Vec<(Seq, Compared)>,
        strangers: Vec<Stranger>,
        now: HostTime,
    ) -> Result<(), Error> {
        let account = account.clone();
        self.ask(move |store| {
            store.note_compared(found, now)?;
            if strangers.is_empty() { Ok(()) } else { store.note_strangers(&account, &strangers) }
        })
        .await
    }

    /// As [`Store::strangers`].
    ///
    /// # Errors
    /// When the store failed.
    pub async fn strangers(&self, account: &AccountId) -> Result<Vec<Stranger>, Error> {
        let account = account.clone();
        self.ask(move |store| store.strangers(&account)).await
    }
}

fn prefix(account: &AccountId) -> String {
    format!("{}/", account.as_str())
}

/// Keys are in the order in which the notes were stored.
fn key(account: &AccountId, stranger: &Stranger) -> String {
    format!("{}{:012}/{}", prefix(account), stranger.stored_at.max(0), stranger.note.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::Skip;
    use crate::outbox::compare::Verdict;
    use crate::outbox::compare::tests::note;
    use crate::outbox::forget::Forget;
    use crate::outbox::queue::contract::{account, at, balances, call};
    use crate::outbox::queue::{Phase, Queue as _};
    use crate::outbox::store::trees::{Change, Tree, seq_key};

    fn shadowed(n: u32) -> crate::call::record::FinishedCall {
        let mut call = call(n);
        call.record.skip = Some(Skip::Shadow);
        call
    }

    fn seqs(store: &mut Store, until: i64) -> Vec<u64> {
        let found = store.look_up_uncompared(&account(), 9, at(until)).unwrap();
        found.iter().map(|item| item.seq.0).collect()
    }

    #[test]
    fn what_is_not_sent_but_compared_waits_for_that_over_a_restart_and_is_at_its_end_all_the_while() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), at(0)).unwrap();
        store.enqueue(vec![shadowed(1), call(2)], at(0)).unwrap();
        store.enqueue(vec![shadowed(3)], at(5)).unwrap();
        assert_eq!((seqs(&mut store, 5), seqs(&mut store, 6)), (vec![0], vec![0, 2]));
        let stats = store.stats().unwrap();
        assert!(balances(&stats) && stats.by_phase[&Phase::Skipped] == 2, "{stats:?}");
        assert_eq!(store.lease(&account(), 9, at(9)).unwrap().len(), 1, "compared ones are not leased");
        let (theirs, now) = (note(7, "+79161234567", 1), at(9));
        let compared = Compared::beside(&[&theirs], now);
        store.note_compared(vec![(Seq(0), compared.clone()), (Seq(99), compared.clone())], now).unwrap();
        store.persist().unwrap();
        drop(store);
        let mut store = Store::open(dir.path(), at(9)).unwrap();
        assert_eq!(seqs(&mut store, 99), [2]);
        let item = store.find(&call(1).record.call_id).unwrap().unwrap();
        assert_eq!(item.errand.compared, Some(compared));
        assert_eq!(item.state, crate::outbox::queue::State::Skipped { reason: Skip::Shadow, at: at(0) });
        assert!(balances(&store.stats().unwrap()));
    }

    #[test]
    fn a_call_that_waits_is_not_compared_and_a_number_that_was_forgotten_brings_nothing_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), at(0)).unwrap();
        store.enqueue(vec![call(1), shadowed(2)], at(0)).unwrap();
        let theirs = note(7, "+79161234567", 1);
        let number = call(2).record.phone.unwrap();
        let what = Forget { number, by: "anna".to_owned(), drop_waiting: false };
        store.forget_number(&what, at(1)).unwrap();
        let compared = Compared::beside(&[&theirs], at(2));
        store.note_compared([0, 1].map(|seq| (Seq(seq), compared.clone())).to_vec(), at(2)).unwrap();
        assert_eq!(store.find(&call(1).record.call_id).unwrap().unwrap().errand.compared, None);
        let forgotten = store.find(&call(2).record.call_id).unwrap().unwrap().errand.compared;
        assert_eq!(forgotten.map(|compared| compared.verdict()), Some(Verdict::Missing));
    }

    #[test]
    fn a_call_that_cannot_be_read_holds_no_other_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), at(0)).unwrap();
        store.enqueue(vec![shadowed(1), shadowed(2)], at(0)).unwrap();
        let mut change = Change::default();
        change.put(Tree::History, &seq_key(Seq(0)), b"damaged".to_vec());
        store.trees.commit(&change).unwrap();
        assert_eq!(seqs(&mut store, 9), [1]);
        let compared = Compared::beside(&[], at(9));
        store.note_compared([0, 1].map(|seq| (Seq(seq), compared.clone())).to_vec(), at(9)).unwrap();
        assert_eq!(store.find(&call(2).record.call_id).unwrap().unwrap().errand.compared, Some(compared));
    }

    #[test]
    fn strangers_are_kept_by_time_the_latest_and_go_with_their_number() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), at(0)).unwrap();
        let stranger = |id: u64, phone: &str| Stranger::from(&note(id, phone, id.cast_signed()));
        let new: Vec<Stranger> =
            (1..=STRANGERS_MAX as u64 + 5).map(|id| stranger(id, "+79161234567")).collect();
        store.note_strangers(&account(), &new).unwrap();
        store.note_strangers(&AccountId::new("other").unwrap(), &[stranger(1, "+79161112233")]).unwrap();
        let kept = store.strangers(&account()).unwrap();
        assert_eq!((kept.len(), kept[0].note.id), (STRANGERS_MAX, 6));
        store.forget_strangers("8 (999) 123-45-67").unwrap();
        assert_eq!(store.strangers(&account()).unwrap(), []);
        assert_eq!(store.strangers(&AccountId::new("other").unwrap()).unwrap()[0].phone_end, "2233");
    }
}
