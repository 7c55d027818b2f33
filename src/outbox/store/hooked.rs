//! What the hook decided on a call, stored with it before it is first leased.

use std::collections::BTreeMap;

use crate::call::id::AccountId;
use crate::call::record::FinishedCall;
use crate::outbox::hook;
use crate::outbox::queue::{Error, Item, Seq, State};
use crate::outbox::schedule::Turn;
use crate::outbox::store::draft::id_entries;
use crate::outbox::store::handle::Handle;
use crate::outbox::store::trees::Tree;
use crate::outbox::store::{Store, fit};
use crate::time::HostTime;

/// A call that the hook was asked about.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub seq: Seq,
    /// As it was when the hook was asked.
    pub asked: FinishedCall,
    /// As it is sent, or not sent, from here on.
    pub told: FinishedCall,
}

impl Store {
    /// Stores what was decided on calls that wait for it; how many took it. One that changed meanwhile, was
    /// given up or sent, keeps what it is.
    pub(super) fn decide(&mut self, decisions: &[Decision], now: HostTime) -> Result<usize, Error> {
        self.begin(now)?;
        let (mut draft, mut turns, mut loaded) = (self.draft(), Vec::new(), BTreeMap::new());
        for Decision { seq, asked, told } in decisions {
            let Ok(Some((Tree::Outbox, mut stored))) = self.load(*seq) else { continue };
            let mut slip = stored.slip().clone();
            let is_meant = slip.state == State::Pending && slip.attempts == 0 && !slip.hooked;
            let is_same = || stored.call().is_ok_and(|call| call.record == asked.record);
            let is_forgotten = stored.is_forgotten();
            if !is_meant || !(is_forgotten || is_same()) {
                continue;
            }
            slip.hooked = true;
            let from = slip.state.phase();
            if !is_forgotten {
                if let Some(reason) = told.record.skip {
                    slip.state = State::Skipped { reason, at: now };
                }
                let call = fit::fit(told).map_err(|error| self.fail("a call has no JSON", error))?;
                for (key, value) in id_entries(&call.call.record, *seq) {
                    draft.change.put(Tree::Ids, key, value);
                }
                stored.set_call(call);
                // The journal's line is what a lost database is refilled from.
                self.note_enter(&stored)?;
            }
            turns.push(Turn { from, slip });
            loaded.insert(*seq, (Tree::Outbox, stored));
        }
        let count = turns.len();
        if count > 0 {
            draft.news = true;
            self.turn(draft, turns, loaded)?;
        }
        Ok(count)
    }

    /// Calls of `account` that are due and wait for the hook, in the order in which they will be sent, of the
    /// first `limit` that are due.
    pub(super) fn look_up_unhooked(
        &mut self,
        account: &AccountId,
        limit: usize,
        now: HostTime,
    ) -> Result<Vec<Item>, Error> {
        let mut items = self.look_up_due(account, limit, now)?;
        items.retain(hook::awaits);
        Ok(items)
    }
}

impl Handle {
    /// Stores what the hook decided on calls, so that they may be sent; how many took it.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn decide(&self, decisions: Vec<Decision>, now: HostTime) -> Result<usize, Error> {
        self.ask(move |store| store.decide(&decisions, now)).await
    }

    /// Calls of `account` that are due and wait for the hook, of the first `limit` that are due.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn unhooked(
        &self,
        account: &AccountId,
        limit: usize,
        now: HostTime,
    ) -> Result<Vec<Item>, Error> {
        let account = account.clone();
        self.ask(move |store| store.look_up_unhooked(&account, limit, now)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::Skip;
    use crate::outbox::queue::contract::{account, at, balances, call, enqueue, sent, settlement};
    use crate::outbox::queue::{Phase, Queue as _};

    fn open(dir: &tempfile::TempDir) -> Store {
        Store::open(dir.path(), at(0)).unwrap()
    }

    fn decision(seq: Seq, phone: &str, skip: Option<Skip>) -> Decision {
        let mut told = call(1);
        (told.record.phone, told.record.phone_e164, told.record.skip) = (Some(phone.to_owned()), None, skip);
        Decision { seq, asked: call(1), told }
    }

    fn decide(store: &mut Store, decision: Decision) -> usize {
        let count = store.decide(&[decision], at(1)).unwrap();
        store.persist().unwrap();
        count
    }

    #[test]
    fn a_decision_is_kept_with_the_call_and_is_the_only_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir);
        let seq = enqueue(&mut store, vec![call(1)], at(0))[0];
        assert_eq!(store.look_up_unhooked(&account(), 9, at(1)).unwrap().len(), 1);
        assert_eq!(decide(&mut store, decision(seq, "100200", None)), 1);
        assert_eq!(decide(&mut store, decision(seq, "300400", None)), 0, "it is decided");
        drop(store);
        let mut store = open(&dir);
        assert_eq!(store.look_up_unhooked(&account(), 9, at(1)).unwrap(), []);
        let leased = store.lease(&account(), 9, at(1)).unwrap();
        assert_eq!((leased.len(), leased[0].hooked), (1, true));
        assert_eq!(leased[0].call.record.phone.as_deref(), Some("100200"));
    }

    #[test]
    fn a_call_that_is_withheld_is_skipped_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir);
        let seq = enqueue(&mut store, vec![call(1)], at(0))[0];
        assert_eq!(decide(&mut store, decision(seq, "100200", Some(Skip::Policy))), 1);
        assert_eq!(store.lease(&account(), 9, at(1)).unwrap(), []);
        assert_eq!(store.stats().unwrap().by_phase, [(Phase::Skipped, 1)].into());
        assert!(balances(&store.stats().unwrap()));
        drop(store);
        assert_eq!(open(&dir).stats().unwrap().by_phase, [(Phase::Skipped, 1)].into());
    }

    #[test]
    fn a_call_that_is_told_anew_by_its_records_is_asked_about_once_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir);
        let seq = enqueue(&mut store, vec![call(1)], at(0))[0];
        assert_eq!(decide(&mut store, decision(seq, "100200", None)), 1);
        store.settle(vec![settlement(seq, State::Pending, at(60))], at(2)).unwrap();
        assert!(store.amend(seq, &call(1), at(3)).unwrap());
        store.persist().unwrap();
        let items = store.look_up_unhooked(&account(), 9, at(4)).unwrap();
        assert_eq!((items.len(), &items[0].call), (1, &call(1)));
    }

    #[test]
    fn what_changed_since_the_hook_was_asked_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir);
        let seq = enqueue(&mut store, vec![call(1)], at(0))[0];
        let other = Decision { asked: call(2), ..decision(seq, "100200", None) };
        assert_eq!(decide(&mut store, other), 0, "its records were found meanwhile");
        store.intend(&[seq], at(1)).unwrap();
        assert_eq!(decide(&mut store, decision(seq, "100200", None)), 0, "it is on its way");
        store.settle(vec![settlement(seq, sent(at(2)), at(2))], at(2)).unwrap();
        assert_eq!(decide(&mut store, decision(seq, "100200", None)), 0, "it is sent");
        assert_eq!(decide(&mut store, decision(Seq(99), "100200", None)), 0);
    }
}
