//! The store as the others need it: a door for the intakes, an outbox for the courier.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{error, warn};

use crate::call::id::{AccountId, PbxName};
use crate::call::record::{CallRecord, FinishedCall};
use crate::clock;
use crate::intake::task::{Kept, Sink};
use crate::ops::sides::Doubts;
use crate::outbox::callback;
use crate::outbox::courier::effect::TaskRow;
use crate::outbox::courier::task::Outbox;
use crate::outbox::parcel::Parcel;
use crate::outbox::queue::{BatchId, Error, Item, Seq, Settlement};
use crate::outbox::store::Shelf;
use crate::outbox::store::handle::{Handle, Receipt, Refused};
use crate::time::HostTime;

/// The store's door for the calls of one PBX.
#[derive(Debug)]
pub struct Door {
    store: Handle,
    pbx: PbxName,
    /// What was taken and not answered yet, and how many calls were in it.
    receipts: VecDeque<(Receipt, usize)>,
    /// Endpoints whose side rests on little, each told once.
    doubts: Doubts,
    /// How long calls that a gap cut short wait for what the PBX's records have of them.
    hold: Duration,
}

/// The store as the courier asks it.
#[derive(Clone, Debug)]
pub struct Outlet {
    pub store: Handle,
    /// False until calls are held back that must wait for the PBX's records; no longer than the store takes nothing.
    pub is_open: watch::Receiver<bool>,
}

/// Calls of one PBX that the store may have before it: eight groups. What is more waits in the PBX's own
/// backlog, so that a PBX which floods the store keeps nobody else's calls waiting behind its own, and
/// what waits is counted in bytes.
const CALLS_MAX: usize = 2048;

impl Door {
    pub fn new(store: Handle, pbx: PbxName, hold: Duration) -> Self {
        Self { store, pbx, receipts: VecDeque::new(), doubts: Doubts::default(), hold }
    }
}

impl Door {
    /// Logs each endpoint whose side should be in the configuration.
    fn tell_doubts(&mut self, record: &CallRecord) {
        for doubt in self.doubts.news(record) {
            let (endpoint, taken_for, [line, other_line]) = (&doubt.endpoint, doubt.side, doubt.remedies());
            warn!(
                call_id = %record.call_id, endpoint, ?taken_for, line, other_line,
                "the side of an endpoint rests on little: the right line under [calls.sides] settles it"
            );
        }
    }
}

impl Sink for Door {
    fn offer(&mut self, parcel: Parcel) -> Result<(), Parcel> {
        let count = parcel.calls.len();
        let under_way: usize = self.receipts.iter().map(|(_, calls)| calls).sum();
        if count > 0 && under_way >= CALLS_MAX {
            return Err(parcel);
        }
        for call in &parcel.calls {
            self.tell_doubts(&call.record);
        }
        self.receipts.push_back((self.store.try_hold(&self.pbx, parcel, self.hold)?, count));
        Ok(())
    }

    fn returned(&mut self) -> Parcel {
        let mut returned = Parcel::default();
        // Answers come in the order of the questions, so the first that is missing ends the search.
        while let Some(answer) = self.receipts.front_mut().and_then(|(receipt, _)| receipt.try_answer()) {
            self.receipts.pop_front();
            if let Err(Refused { parcel: Parcel { calls, changes }, .. }) = answer {
                returned.calls.extend(calls);
                returned.changes.extend(changes);
            }
        }
        returned
    }

    fn kept(&self) -> Pin<Box<dyn Future<Output = Result<Kept, String>> + Send>> {
        let (store, pbx) = (self.store.clone(), self.pbx.clone());
        Box::pin(async move { store.checkpoints(&pbx).await.map_err(|error| error.to_string()) })
    }

    fn owes(&self) -> bool {
        !self.receipts.is_empty()
    }

    fn owes_values(&self) -> bool {
        self.receipts.iter().any(|(_, calls)| *calls == 0)
    }

    fn is_dead(&self) -> bool {
        self.store.is_over() || self.store.failure().is_some()
    }

    fn spill(&mut self, calls: Vec<FinishedCall>) -> Result<(), Vec<FinishedCall>> {
        self.store.spill(calls, clock::host()).map_err(|(calls, error)| {
            error!(%error, count = calls.len(), "calls cannot be written to the emergency file, either");
            calls
        })
    }
}

impl Outbox for Outlet {
    async fn adopt(&self, account: &AccountId, now: HostTime) -> Result<u64, Error> {
        self.store.adopt(account, now).await
    }

    async fn unknown(&self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        self.store.unknown(account, limit, now).await
    }

    async fn lease(&self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        if !*self.is_open.borrow() {
            return Err(Error::Store("the gaps that waited at the last end are not read yet".to_owned()));
        }
        self.store.lease(account, limit, now).await
    }

    async fn owing(&self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        self.store.owing(account, limit, now).await
    }

    async fn next_due(&self, account: &AccountId) -> Result<Option<HostTime>, Error> {
        self.store.next_due(account).await
    }

    async fn intend(&self, calls: Vec<Seq>, now: HostTime) -> Result<BatchId, Error> {
        self.store.intend(&calls, now).await
    }

    async fn settle(&self, settlements: Vec<Settlement>, now: HostTime) -> Result<(), Error> {
        self.store.settle(settlements, now).await
    }

    async fn recall(&self, account: &AccountId) -> Result<Option<Vec<u8>>, Error> {
        self.store.get(Shelf::Manners, account.as_str()).await
    }

    async fn tasks(&self, account: &AccountId) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.store.list(Shelf::Tasks, &callback::key(account, "")).await
    }

    async fn keep_tasks(&self, rows: Vec<TaskRow>) -> Result<(), Error> {
        let values = rows.into_iter().map(|TaskRow { key, value }| (key, value)).collect();
        self.store.put_all(Shelf::Tasks, values).await
    }

    async fn remember(&self, account: &AccountId, manner: Vec<u8>) -> Result<(), Error> {
        self.store.put(Shelf::Manners, account.as_str(), manner).await
    }
}
