//! Whether somebody was talked with since he called in vain, by all that is stored: also by calls on their way.

use crate::call::id::AccountId;
use crate::outbox::callback::{self, Ended};
use crate::outbox::queue::Error;
use crate::outbox::store::Store;
use crate::outbox::store::handle::Handle;
use crate::outbox::store::trees::{Tree, seq_of, tail_prefix};

impl Store {
    /// Whether there is a talk of `account` with `number` that ended after `ended`, in whatever state. One that
    /// cannot be read is none.
    ///
    /// # Errors
    /// When the store failed.
    pub fn has_talk_after(&self, account: &AccountId, number: &str, ended: Ended) -> Result<bool, Error> {
        self.alive()?;
        for key in self.trees.keys_from(Tree::Ids, &tail_prefix(number)).rev() {
            let key = key.map_err(|error| self.fail("the database cannot be read", error))?;
            let Some(seq) = seq_of(&key) else { continue };
            let Ok(Some((_, stored))) = self.load(seq) else { continue };
            // What came before the end of that call ended before it, too. An import brings old calls in behind it.
            match (stored.slip().enqueued_at < ended.at, seq < ended.seq) {
                (true, true) => break,
                (true, false) => continue,
                (false, _) => {}
            }
            if stored.into_item().is_ok_and(|item| callback::is_talk_after(&item, account, number, ended)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Handle {
    /// As [`Store::has_talk_after`].
    ///
    /// # Errors
    /// When the store failed.
    pub async fn has_talk_after(
        &self,
        account: &AccountId,
        number: &str,
        ended: Ended,
    ) -> Result<bool, Error> {
        let (account, number) = (account.clone(), number.to_owned());
        self.ask(move |store| store.has_talk_after(&account, &number, ended)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::{FinishedCall, Outcome, Skip, Source};
    use crate::outbox::filter::Filter;
    use crate::outbox::memory::MemoryQueue;
    use crate::outbox::queue::contract::{at, call};
    use crate::outbox::queue::{Enqueued, Queue, Seq};
    use crate::time::PbxTime;

    const NUMBER: &str = "9161234567";

    fn talk(n: u32, phone: &str) -> FinishedCall {
        let mut call = call(n);
        call.record.source = Source::Ami;
        (call.record.phone, call.record.phone_e164) = (Some(phone.to_owned()), None);
        call.record.answered = true;
        call
    }

    /// A call comes, to the store and to the queue in memory.
    fn come(store: &mut Store, memory: &mut MemoryQueue, call: FinishedCall, second: i64) -> Seq {
        let stored = store.enqueue(vec![call.clone()], at(second)).unwrap();
        assert_eq!(stored, memory.enqueue(vec![call], at(second)).unwrap());
        let [Enqueued::New(seq)] = stored[..] else { panic!("it is known: {stored:?}") };
        seq
    }

    #[test]
    fn a_talk_counts_when_it_ended_later_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, mut memory) = (Store::open(dir.path(), at(0)).unwrap(), MemoryQueue::new());
        let account = AccountId::default();
        let other = AccountId::new("other").unwrap();
        let check =
            |store: &mut Store, memory: &MemoryQueue, number: &str, ended, expected: bool, why: &str| {
                assert_eq!(store.has_talk_after(&account, number, ended).unwrap(), expected, "{why}");
                assert_eq!(memory.has_talk_after(&account, number, ended), expected, "{why}");
            };
        come(&mut store, &mut memory, talk(9, "100"), 5);
        let before = come(&mut store, &mut memory, talk(1, "+79161234567"), 10);
        let ended = Ended { at: at(20), seq: Seq(before.0 + 1) };
        check(&mut store, &memory, NUMBER, ended, false, "it was before");
        check(&mut store, &memory, NUMBER, Ended { at: at(9), ..ended }, true, "it was after");
        check(&mut store, &memory, NUMBER, Ended { at: at(10), seq: Seq(0) }, true, "at once, and behind it");
        let mut missed = talk(2, "89161234567");
        missed.record.answered = false;
        come(&mut store, &mut memory, missed, 30);
        come(&mut store, &mut memory, talk(3, "79161234568"), 31);
        come(&mut store, &mut memory, talk(4, "4567"), 32);
        check(&mut store, &memory, NUMBER, ended, false, "in vain, and of others");
        check(&mut store, &memory, "4567", ended, true, "a short number");
        check(&mut store, &memory, "567", ended, false, "the end of a number is none");
        // The PBX's records told of it later.
        let mut told = talk(5, "+7 916 123-45-67");
        told.record.source = Source::Cdr;
        told.record.ended_at = PbxTime::from_micros(at(15).micros());
        come(&mut store, &mut memory, told, 40);
        check(&mut store, &memory, NUMBER, ended, false, "it came later, and ended before");
        come(&mut store, &mut memory, talk(6, "89161234567"), 41);
        check(&mut store, &memory, NUMBER, ended, true, "a later talk");
        assert!(!store.has_talk_after(&other, NUMBER, ended).unwrap(), "of another account");
        drop(store);
        let store = Store::open(dir.path(), at(50)).unwrap();
        assert!(store.has_talk_after(&AccountId::default(), NUMBER, ended).unwrap(), "over a restart");
    }

    #[test]
    fn an_imported_call_of_long_ago_hides_no_talk() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, mut memory) = (Store::open(dir.path(), at(0)).unwrap(), MemoryQueue::new());
        let mut missed = talk(2, "89161234567");
        missed.record.answered = false;
        let seq = come(&mut store, &mut memory, missed, 30);
        come(&mut store, &mut memory, talk(3, "89161234567"), 40);
        let other_dir = tempfile::tempdir().unwrap();
        let mut other = Store::open(other_dir.path(), at(0)).unwrap();
        other.enqueue(vec![talk(7, "89161234567")], at(3)).unwrap();
        let items = other.export(&Filter::default(), None, 9).unwrap().items;
        store.import(&items, "anna", at(50)).unwrap();
        assert!(store.has_talk_after(&AccountId::default(), NUMBER, Ended { at: at(30), seq }).unwrap());
    }

    #[test]
    fn a_fax_is_no_talk() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, mut memory) = (Store::open(dir.path(), at(0)).unwrap(), MemoryQueue::new());
        let (mut fax, mut page) = (talk(3, "89161234567"), talk(4, "89161234567"));
        fax.record.outcome = Outcome::Fax;
        page.record.skip = Some(Skip::NoConversation);
        for call in [fax, page] {
            come(&mut store, &mut memory, call, 40);
        }
        let ended = Ended { at: at(30), seq: Seq(0) };
        assert!(!store.has_talk_after(&AccountId::default(), NUMBER, ended).unwrap());
        assert!(!memory.has_talk_after(&AccountId::default(), NUMBER, ended));
    }
}
