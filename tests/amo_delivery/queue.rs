//! The smallest queue that keeps the outbox's contract, shared with the task under test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use ami2amo::call::id::AccountId;
use ami2amo::call::record::FinishedCall;
use ami2amo::outbox::courier::task::Outbox;
use ami2amo::outbox::queue::{BatchId, Error, Item, Phase, Seq, Settlement, State, TRANSITIONS};
use ami2amo::time::HostTime;

#[derive(Clone, Default)]
pub struct Queue(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    items: BTreeMap<Seq, Item>,
    batches: u64,
}

impl Queue {
    pub fn enqueue(&self, call: FinishedCall, now: HostTime) -> Seq {
        let mut inner = self.inner();
        let seq = Seq(inner.items.len() as u64 + 1);
        let account = call.record.account.clone();
        let item = Item {
            seq,
            account,
            enqueued_at: now,
            state: State::Pending,
            attempts: 0,
            next_at: now,
            last_error: None,
            call,
        };
        inner.items.insert(seq, item);
        seq
    }

    /// Leaves a call as a process that died in its POST would.
    pub fn leave_sending(&self, seq: Seq, since: HostTime) {
        self.inner().items.get_mut(&seq).unwrap().state = State::Sending { batch: BatchId(1), since };
    }

    pub fn items(&self) -> Vec<Item> {
        self.inner().items.values().cloned().collect()
    }

    pub fn phases(&self) -> Vec<Phase> {
        self.items().iter().map(|item| item.state.phase()).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    fn due(&self, account: &AccountId, now: HostTime, is_wanted: impl Fn(&Item) -> bool) -> Vec<Item> {
        let items = self.items().into_iter();
        items.filter(|item| item.account == *account && item.next_at <= now && is_wanted(item)).collect()
    }
}

impl Outbox for Queue {
    async fn adopt(&self, now: HostTime) -> Result<u64, Error> {
        let mut adopted = 0;
        for item in self.inner().items.values_mut() {
            if let State::Sending { batch, since } = item.state {
                item.state = State::Unknown { batch, since, looked: 0 };
                item.next_at = now;
                adopted += 1;
            }
        }
        Ok(adopted)
    }

    async fn unknown(&self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        let mut due = self.due(account, now, |item| item.state.phase() == Phase::Unknown);
        due.truncate(limit);
        Ok(due)
    }

    async fn lease(&self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        let waits = |item: &Item| matches!(item.state.phase(), Phase::Pending | Phase::Parked);
        let mut due = self.due(account, now, waits);
        if let Some(kind) = due.first().map(|item| item.state.phase()) {
            due.retain(|item| item.state.phase() == kind);
        }
        due.truncate(limit);
        Ok(due)
    }

    async fn next_due(&self, account: &AccountId) -> Result<Option<HostTime>, Error> {
        let items = self.items().into_iter().filter(|item| item.account == *account);
        let waiting =
            |item: &Item| matches!(item.state.phase(), Phase::Pending | Phase::Parked | Phase::Unknown);
        Ok(items.filter(waiting).map(|item| item.next_at).min())
    }

    async fn intend(&self, calls: Vec<Seq>, now: HostTime) -> Result<BatchId, Error> {
        let mut inner = self.inner();
        inner.batches += 1;
        let batch = BatchId(inner.batches);
        for seq in calls {
            let item = inner.items.get_mut(&seq).ok_or(Error::Absent(seq))?;
            step(item, State::Sending { batch, since: now })?;
        }
        Ok(batch)
    }

    async fn settle(&self, settlements: Vec<Settlement>, _now: HostTime) -> Result<(), Error> {
        let mut inner = self.inner();
        for settlement in settlements {
            let item = inner.items.get_mut(&settlement.seq).ok_or(Error::Absent(settlement.seq))?;
            step(item, settlement.state)?;
            item.next_at = settlement.next_at;
            item.last_error = settlement.last_error;
            item.attempts += u32::from(settlement.attempted);
        }
        Ok(())
    }
}

fn step(item: &mut Item, to: State) -> Result<(), Error> {
    let (from, phase) = (item.state.phase(), to.phase());
    if !TRANSITIONS.contains(&(from, phase)) {
        return Err(Error::Transition { seq: item.seq, from, to: phase });
    }
    item.state = to;
    Ok(())
}
