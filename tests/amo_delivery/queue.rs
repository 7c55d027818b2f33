//! The queue in memory, shared with the task under test.

#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ami2amo::call::id::{AccountId, CallId};
use ami2amo::call::record::FinishedCall;
use ami2amo::outbox::callback::Ended;
use ami2amo::outbox::courier::effect::TaskRow;
use ami2amo::outbox::courier::task::Outbox;
use ami2amo::outbox::memory::MemoryQueue;
use ami2amo::outbox::queue::{BatchId, Enqueued, Error, Item, Phase, Queue as _, Seq, Settlement};
use ami2amo::time::HostTime;

#[derive(Clone, Default)]
pub struct Queue(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    queue: MemoryQueue,
    /// In the order in which they came.
    ids: Vec<CallId>,
    /// Its disk is full.
    full: bool,
    /// What is kept of tasks.
    tasks: BTreeMap<String, Vec<u8>>,
}

impl Queue {
    pub fn enqueue(&self, call: FinishedCall, now: HostTime) -> Seq {
        let inner = &mut *self.inner();
        inner.ids.push(call.record.call_id.clone());
        match inner.queue.enqueue(vec![call], now).expect("memory does not fail")[..] {
            [Enqueued::New(seq)] => seq,
            ref other => panic!("{other:?}"),
        }
    }

    /// Leaves a call as a process that died in its POST would.
    pub fn leave_sending(&self, seq: Seq, since: HostTime) {
        self.inner().queue.intend(&[seq], since).expect("the call waits");
    }

    /// Nothing is settled any more.
    pub fn fill_up(&self) {
        self.inner().full = true;
    }

    pub fn items(&self) -> Vec<Item> {
        let Inner { queue, ids, .. } = &mut *self.inner();
        ids.iter().filter_map(|id| queue.find(id).expect("memory does not fail")).collect()
    }

    pub fn phases(&self) -> Vec<Phase> {
        self.items().iter().map(|item| item.state.phase()).collect()
    }

    /// What is kept of tasks, by key.
    pub fn task_rows(&self) -> BTreeMap<String, serde_json::Value> {
        let rows = self.inner().tasks.clone();
        rows.into_iter().map(|(key, value)| (key, serde_json::from_slice(&value).unwrap())).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox for Queue {
    async fn adopt(&self, account: &AccountId, now: HostTime) -> Result<u64, Error> {
        self.inner().queue.adopt(account, now)
    }

    async fn unknown(&self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        self.inner().queue.unknown(account, limit, now)
    }

    async fn lease(&self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        self.inner().queue.lease(account, limit, now)
    }

    async fn owing(&self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        self.inner().queue.owing(account, limit, now)
    }

    async fn next_due(&self, account: &AccountId) -> Result<Option<HostTime>, Error> {
        self.inner().queue.next_due(account)
    }

    async fn intend(&self, calls: Vec<Seq>, now: HostTime) -> Result<BatchId, Error> {
        self.inner().queue.intend(&calls, now)
    }

    async fn settle(&self, settlements: Vec<Settlement>, now: HostTime) -> Result<(), Error> {
        let inner = &mut *self.inner();
        if inner.full {
            return Err(Error::Store("the disk is full".to_owned()));
        }
        inner.queue.settle(settlements, now)
    }

    async fn tasks(&self, _account: &AccountId) -> Result<Vec<(String, Vec<u8>)>, Error> {
        Ok(self.inner().tasks.clone().into_iter().collect())
    }

    async fn has_talk_after(&self, account: &AccountId, number: &str, ended: Ended) -> Result<bool, Error> {
        Ok(self.inner().queue.has_talk_after(account, number, ended))
    }

    async fn keep_tasks(&self, rows: Vec<TaskRow>) -> Result<(), Error> {
        let inner = &mut *self.inner();
        if inner.full {
            return Err(Error::Store("the disk is full".to_owned()));
        }
        for TaskRow { key, value } in rows {
            match value {
                Some(value) => inner.tasks.insert(key, value),
                None => inner.tasks.remove(&key),
            };
        }
        Ok(())
    }
}
