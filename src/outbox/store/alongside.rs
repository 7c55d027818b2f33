//! Calls of one number at one time.

use crate::call::record::{CallRecord, Direction, Skip};
use crate::call::side::same_number;
use crate::outbox::queue::{Error, Item};
use crate::outbox::store::Store;
use crate::outbox::store::handle::Handle;
use crate::outbox::store::trees::{Tree, seq_of, tail_prefix};

/// So many of the latest calls with a number are looked at.
const LOOK_MAX: usize = 200;

impl Store {
    /// Calls of the PBX with the number of `call` outside, to be sent, that went on while it did; not itself, and of
    /// very many the latest. One that cannot be read is none.
    ///
    /// # Errors
    /// When the store failed.
    pub fn alongside(&self, call: &CallRecord) -> Result<Vec<Item>, Error> {
        self.alive()?;
        let Some(number) = call.phone.as_deref() else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for key in self.trees.keys_from(Tree::Ids, &tail_prefix(number)).rev().take(LOOK_MAX) {
            let key = key.map_err(|error| self.fail("the database cannot be read", error))?;
            let Some(seq) = seq_of(&key) else { continue };
            let Ok(Some((_, stored))) = self.load(seq) else { continue };
            found.extend(stored.into_item().ok().filter(|item| goes_along(&item.call.record, call)));
        }
        Ok(found)
    }
}

impl Handle {
    /// As [`Store::alongside`].
    ///
    /// # Errors
    /// When the store failed.
    pub async fn alongside(&self, call: &CallRecord) -> Result<Vec<Item>, Error> {
        let call = call.clone();
        self.ask(move |store| store.alongside(&call)).await
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
    use crate::call::record::FinishedCall;
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
        let found = |call: &FinishedCall| {
            let found = store.alongside(&call.record).unwrap();
            found.iter().map(|item| item.call.record.call_id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            found(&of(6, "+7 916 123-45-67", 10, 20)),
            [call(5), call(2)].map(|call| call.record.call_id)
        );
        assert_eq!(found(&of(5, "+7 916 123-45-67", 11, 20)), [], "it is itself");
        let mut unknown = of(6, "", 10, 20);
        unknown.record.phone = None;
        assert_eq!(found(&unknown), []);
    }
}
