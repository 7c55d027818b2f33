//! Pure: the queue in memory, for tests and dry runs.

use std::collections::BTreeMap;

use crate::call::id::{AccountId, CallId};
use crate::call::record::FinishedCall;
use crate::outbox::callback::{self, Ended};
use crate::outbox::queue::{BatchId, Enqueued, Error, Item, Queue, Seq, Settlement, Stats};
use crate::outbox::schedule::{self, Ledger, Schedule, Slip, Turn};
use crate::time::HostTime;

/// A [`Queue`] that forgets nothing until it is dropped.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    calls: BTreeMap<Seq, (Slip, FinishedCall)>,
    ids: BTreeMap<CallId, Seq>,
    schedule: Schedule,
    ledger: Ledger,
}

impl MemoryQueue {
    pub fn new() -> Self {
        Self::default()
    }

    fn take(&mut self, call: FinishedCall, now: HostTime) -> Enqueued {
        if self.ids.contains_key(&call.record.call_id) {
            return Enqueued::Known;
        }
        let slip = Slip::new(self.ledger.take_seq(), &call.record, now);
        let seq = slip.seq;
        self.ledger.enter(&slip);
        self.schedule.put(&slip);
        self.ids.insert(call.record.call_id.clone(), seq);
        self.calls.insert(seq, (slip, call));
        Enqueued::New(seq)
    }

    fn slip(&self, seq: Seq) -> Result<Slip, Error> {
        self.calls.get(&seq).map(|(slip, _)| slip.clone()).ok_or(Error::Absent(seq))
    }

    fn store(&mut self, turns: Vec<Turn>) {
        for turn in turns {
            self.ledger.turn(&turn);
            self.schedule.put(&turn.slip);
            if let Some((slip, _)) = self.calls.get_mut(&turn.slip.seq) {
                *slip = turn.slip;
            }
        }
    }

    /// Whether there is a talk of `account` with `number` that ended after `ended`.
    pub fn has_talk_after(&self, account: &AccountId, number: &str, ended: Ended) -> bool {
        let items = self.calls.keys().filter_map(|seq| self.item(*seq));
        items.into_iter().any(|item| callback::is_talk_after(&item, account, number, ended))
    }

    fn items(&self, seqs: &[Seq]) -> Vec<Item> {
        seqs.iter().filter_map(|seq| self.item(*seq)).collect()
    }

    fn item(&self, seq: Seq) -> Option<Item> {
        self.calls.get(&seq).map(|(slip, call)| slip.clone().into_item(call.clone()))
    }
}

impl Queue for MemoryQueue {
    fn enqueue(&mut self, calls: Vec<FinishedCall>, now: HostTime) -> Result<Vec<Enqueued>, Error> {
        Ok(calls.into_iter().map(|call| self.take(call, now)).collect())
    }

    fn lease(&mut self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        let due = self.schedule.lease(account, limit, now);
        Ok(self.items(&due))
    }

    fn intend(&mut self, calls: &[Seq], now: HostTime) -> Result<BatchId, Error> {
        let batch = BatchId(self.ledger.next_batch);
        let turns = schedule::intend(calls, batch, now, |seq| self.slip(seq))?;
        self.store(turns);
        Ok(self.ledger.take_batch())
    }

    fn settle(&mut self, settlements: Vec<Settlement>, _now: HostTime) -> Result<(), Error> {
        let turns = schedule::settle(settlements, |seq| self.slip(seq))?;
        self.store(turns);
        Ok(())
    }

    fn adopt(&mut self, account: &AccountId, now: HostTime) -> Result<u64, Error> {
        let turns = schedule::adopt(&self.schedule.sending_of(account), now, |seq| self.slip(seq))?;
        let count = turns.len() as u64;
        self.store(turns);
        Ok(count)
    }

    fn unknown(&mut self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        let due = self.schedule.unknown(account, limit, now);
        Ok(self.items(&due))
    }

    fn owing(&mut self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        let due = self.schedule.owing(account, limit, now);
        Ok(self.items(&due))
    }

    fn next_due(&mut self, account: &AccountId) -> Result<Option<HostTime>, Error> {
        Ok(self.schedule.next_due(account))
    }

    fn find(&mut self, id: &CallId) -> Result<Option<Item>, Error> {
        Ok(self.ids.get(id).and_then(|seq| self.item(*seq)))
    }

    fn stats(&mut self) -> Result<Stats, Error> {
        Ok(self.ledger.stats(&self.schedule))
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryQueue;
    use crate::outbox::queue::contract;

    contract::tests!((MemoryQueue::new(), ()));
}
