//! Calls of one number at one time.

use std::collections::BTreeSet;

use crate::call::id::CallId;
use crate::call::record::{CallRecord, Direction, FinishedCall, Skip};
use crate::call::side::same_number;
use crate::outbox::queue::Error;
use crate::outbox::store::Store;
use crate::outbox::store::handle::Handle;
use crate::outbox::store::trees::{Tree, seq_of, tail_prefix};

/// So many of the latest calls with a number are looked at.
const LOOK_MAX: usize = 200;

impl Store {
    /// Whether a call of the PBX with the number of `call` outside, to be sent, went on while it did, that is none of
    /// `others`; of very many the latest are looked at. One that cannot be read is none. Two legs that an application
    /// joined are one call, of which the PBX's records know two, and only one by the number.
    ///
    /// # Errors
    /// When the store failed.
    pub fn has_alongside(&self, call: &CallRecord, others: &BTreeSet<CallId>) -> Result<bool, Error> {
        self.alive()?;
        let Some(number) = call.phone.as_deref() else { return Ok(false) };
        for key in self.trees.keys_from(Tree::Ids, &tail_prefix(number)).rev().take(LOOK_MAX) {
            let key = key.map_err(|error| self.fail("the database cannot be read", error))?;
            let Some(seq) = seq_of(&key) else { continue };
            let Ok(Some((_, stored))) = self.load(seq) else { continue };
            let Ok(FinishedCall { record, .. }) = stored.call() else { continue };
            if goes_along(&record, call) && !others.contains(&record.call_id) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Handle {
    /// As [`Store::has_alongside`].
    ///
    /// # Errors
    /// When the store failed.
    pub async fn has_alongside(&self, call: &CallRecord, others: &BTreeSet<CallId>) -> Result<bool, Error> {
        let (call, others) = (call.clone(), others.clone());
        self.ask(move |store| store.has_alongside(&call, &others)).await
    }
}

/// Whether `other` is a call with the number outside of `call`, to be sent, that went on while it did; not itself.
pub fn goes_along(other: &CallRecord, call: &CallRecord) -> bool {
    let is_sent = matches!(other.skip, None | Some(Skip::Shadow)) && other.direction != Direction::Internal;
    let is_meanwhile = other.started_at <= call.ended_at && other.ended_at >= call.started_at;
    // It may have had the number before it was told anew.
    let is_number = other.phone.as_deref().zip(call.phone.as_deref()).is_some_and(|(a, b)| same_number(a, b));
    other.pbx == call.pbx && other.call_id != call.call_id && is_sent && is_meanwhile && is_number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::id::PbxName;
    use crate::outbox::queue::Queue;
    use crate::outbox::queue::contract::{at, call};
    use crate::time::PbxTime;

    fn of(n: u32, phone: &str, from: i64, to: i64) -> FinishedCall {
        let mut call = call(n);
        (call.record.phone, call.record.phone_e164) = (Some(phone.to_owned()), None);
        [call.record.started_at, call.record.ended_at] =
            [from, to].map(|second| PbxTime::from_micros(second * 1_000_000));
        call
    }

    #[test]
    fn a_call_with_the_number_at_the_time_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), at(0)).unwrap();
        let mut elsewhere = of(7, "79161234567", 10, 20);
        elsewhere.record.pbx = PbxName::new("other").unwrap();
        let mut internal = of(8, "79161234567", 10, 20);
        internal.record.direction = Direction::Internal;
        let mut skipped = of(9, "79161234567", 10, 20);
        skipped.record.skip = Some(Skip::Policy);
        let calls = vec![
            of(1, "79161234567", 1, 9),
            of(2, "89161234567", 5, 10),
            of(3, "79161234568", 10, 20),
            of(4, "79161234567", 21, 30),
            of(5, "79161234567", 15, 16),
            elsewhere,
            internal,
            skipped,
        ];
        store.enqueue(calls, at(40)).unwrap();
        let other = of(6, "+7 916 123-45-67", 10, 20);
        let found = |call: &FinishedCall, others: &[u32]| {
            let others = others.iter().map(|n| self::call(*n).record.call_id).collect();
            store.has_alongside(&call.record, &others).unwrap()
        };
        assert!(found(&other, &[]) && found(&other, &[5]) && found(&other, &[2]));
        assert!(
            !found(&other, &[2, 5]),
            "it is before, later, of somebody else, elsewhere, internal or not sent"
        );
        assert!(!found(&of(5, "+7 916 123-45-67", 11, 20), &[]), "it is itself");
        let mut unknown = of(6, "", 10, 20);
        unknown.record.phone = None;
        assert!(!found(&unknown, &[]));
    }
}
