//! The store as the others need it: a door for the intakes, an outbox for the courier.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tracing::{error, warn};

use crate::call::checkpoint::Change;
use crate::call::id::{AccountId, PbxName};
use crate::call::record::{CallRecord, FinishedCall};
use crate::clock;
use crate::daemon::hook::Bell;
use crate::intake::task::{Kept, Sink};
use crate::ops::sides::Doubts;
use crate::ops::status::Mishap;
use crate::outbox::callback::{self, Ended};
use crate::outbox::compare::{Compared, Stranger};
use crate::outbox::courier::effect::TaskRow;
use crate::outbox::courier::task::Outbox;
use crate::outbox::hook;
use crate::outbox::parcel::Parcel;
use crate::outbox::queue::{BatchId, Error, Item, Phase, Seq, Settlement, State};
use crate::outbox::store::Shelf;
use crate::outbox::store::handle::Handle;
use crate::outbox::store::receipt::{Receipt, Refused};
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
    /// False until what an earlier process left is read, which this one's would be written over.
    is_open: watch::Receiver<bool>,
}

/// The store as the courier asks it. While a person has stopped delivery to an account, no call of it is
/// given out; what is under way is settled all the same, and what is unknown looked up.
#[derive(Clone, Debug)]
pub struct Outlet {
    store: Handle,
    /// False until calls are held back that must wait for the PBX's records; no longer than the store takes nothing.
    is_open: watch::Receiver<bool>,
    /// What became of calls lately, for whoever watches.
    lately: watch::Sender<Lately>,
    /// Rung for calls that wait for the hook, where there is one.
    bell: Option<Bell>,
}

/// The last delivery to an account and the last that failed, since the start.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Lately {
    pub sent_at: Option<HostTime>,
    pub error: Option<Mishap>,
    /// What became of calls that were tried, by the state that followed.
    pub verdicts: BTreeMap<Phase, u64>,
}

/// Calls of one PBX that the store may have before it: eight groups. What is more waits in the PBX's own
/// backlog, so that a PBX which floods the store keeps nobody else's calls waiting behind its own, and
/// what waits is counted in bytes.
const CALLS_MAX: usize = 2048;

impl Door {
    /// `is_open` is false until what an earlier process left of gaps is read.
    pub fn new(store: Handle, pbx: PbxName, hold: Duration, is_open: watch::Receiver<bool>) -> Self {
        Self { store, pbx, receipts: VecDeque::new(), doubts: Doubts::default(), hold, is_open }
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
        if !*self.is_open.borrow() {
            return Err(parcel);
        }
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
        if self.store.is_given_up() {
            return self.unanswered();
        }
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

    fn unanswered(&mut self) -> Parcel {
        let mut unanswered = Parcel::default();
        for (mut receipt, _) in self.receipts.drain(..) {
            let answer = receipt.try_answer().unwrap_or_else(|| Err(receipt.take_back()));
            if let Err(Refused { parcel: Parcel { calls, changes }, .. }) = answer {
                unanswered.calls.extend(calls);
                unanswered.changes.extend(changes);
            }
        }
        unanswered
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
        !*self.is_open.borrow() || self.store.is_over() || self.store.failure().is_some()
    }

    fn spill_values(&mut self, changes: &[Change]) -> bool {
        let written = self.store.spill_values(&self.pbx, changes);
        let refused = |error| error!(%error, values = changes.len(), "calls in progress cannot be written to the emergency file");
        written.map_err(refused).is_ok()
    }

    fn spill(&mut self, calls: Vec<FinishedCall>) -> Result<(), Vec<FinishedCall>> {
        self.store.spill(calls, clock::host()).map_err(|(calls, error)| {
            error!(%error, count = calls.len(), "calls cannot be written to the emergency file, either");
            calls
        })
    }
}

impl Outlet {
    /// `is_open` is false until calls are held back that must wait for the PBX's records.
    pub fn new(store: Handle, is_open: watch::Receiver<bool>) -> Self {
        Self { store, is_open, lately: watch::channel(Lately::default()).0, bell: None }
    }

    /// The same, which gives no call out that the hook has not decided on, and rings for it.
    pub fn ringing(self, bell: Option<Bell>) -> Self {
        Self { bell, ..self }
    }

    /// The same, for one account alone.
    pub fn of_account(&self) -> Self {
        Self::new(self.store.clone(), self.is_open.clone()).ringing(self.bell.clone())
    }

    pub fn store(&self) -> &Handle {
        &self.store
    }

    /// What became of calls lately.
    pub fn lately(&self) -> watch::Receiver<Lately> {
        self.lately.subscribe()
    }
}

impl Lately {
    /// Takes in what became of calls at `now`; whether that says anything.
    fn take(&mut self, settlements: &[Settlement], now: HostTime) -> bool {
        let before = self.clone();
        for settlement in settlements {
            let phase = settlement.state.phase();
            // A call that waits for something of its own was not judged.
            if settlement.attempted || phase != Phase::Pending {
                *self.verdicts.entry(phase).or_default() += 1;
            }
            match &settlement.state {
                State::Sent { .. } | State::Unsorted { .. } => self.sent_at = Some(now),
                State::Pending | State::Unknown { .. } | State::Parked { .. } => {
                    let words = settlement.last_error.clone().filter(|_| settlement.attempted);
                    self.error = words.map(|words| Mishap { at: now, words }).or(self.error.take());
                }
                State::Dead { reason, .. } => self.error = Some(Mishap { at: now, words: reason.clone() }),
                State::Sending { .. } | State::Skipped { .. } | State::Expired { .. } => {}
            }
        }
        *self != before
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
        if self.store.is_paused(account).await? {
            return Ok(Vec::new());
        }
        let mut items = self.store.lease(account, limit, now).await?;
        if let Some(bell) = self.bell.as_ref().filter(|_| !items.is_empty()) {
            bell.ring();
            items.retain(|item| !hook::awaits(item));
        }
        Ok(items)
    }

    async fn owing(&self, account: &AccountId, limit: usize, now: HostTime) -> Result<Vec<Item>, Error> {
        if self.store.is_paused(account).await? {
            return Ok(Vec::new());
        }
        self.store.owing(account, limit, now).await
    }

    async fn next_due(&self, account: &AccountId) -> Result<Option<HostTime>, Error> {
        if self.store.is_paused(account).await? {
            return Ok(None); // the end of the pause is news, and wakes the courier
        }
        self.store.next_due(account).await
    }

    async fn intend(&self, calls: Vec<Seq>, now: HostTime) -> Result<BatchId, Error> {
        self.store.intend(&calls, now).await
    }

    async fn settle(&self, settlements: Vec<Settlement>, now: HostTime) -> Result<(), Error> {
        let lately = settlements.clone();
        self.store.settle(settlements, now).await?;
        self.lately.send_if_modified(|known| known.take(&lately, now));
        Ok(())
    }

    async fn uncompared(
        &self,
        account: &AccountId,
        limit: usize,
        until: HostTime,
    ) -> Result<Vec<Item>, Error> {
        self.store.uncompared(account, limit, until).await
    }

    async fn note_compared(
        &self,
        account: &AccountId,
        found: Vec<(Seq, Compared)>,
        strangers: Vec<Stranger>,
        now: HostTime,
    ) -> Result<(), Error> {
        self.store.note_compared(account, found, strangers, now).await
    }

    async fn recall(&self, account: &AccountId) -> Result<Option<Vec<u8>>, Error> {
        self.store.get(Shelf::Manners, account.as_str()).await
    }

    async fn tasks(&self, account: &AccountId) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.store.list(Shelf::Tasks, &callback::key(account, "")).await
    }

    async fn has_talk_after(&self, account: &AccountId, number: &str, ended: Ended) -> Result<bool, Error> {
        self.store.has_talk_after(account, number, ended).await
    }

    async fn keep_tasks(&self, rows: Vec<TaskRow>) -> Result<(), Error> {
        let values = rows.into_iter().map(|TaskRow { key, value }| (key, value)).collect();
        self.store.put_all(Shelf::Tasks, values).await
    }

    fn forgotten(&self) -> Receiver<String> {
        self.store.forgotten()
    }

    async fn remember(&self, account: &AccountId, manner: Vec<u8>) -> Result<(), Error> {
        self.store.put(Shelf::Manners, account.as_str(), manner).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::errand::Errand;

    fn settlement(state: State, last_error: Option<&str>) -> Settlement {
        Settlement {
            seq: Seq(1),
            state,
            next_at: HostTime::default(),
            last_error: last_error.map(str::to_owned),
            attempted: true,
            errand: Errand::default(),
        }
    }

    #[test]
    fn the_last_delivery_and_the_last_failure_are_known() {
        let at = HostTime::from_micros;
        let mut lately = Lately::default();
        let put_off = Settlement { attempted: false, ..settlement(State::Pending, None) };
        assert!(!lately.take(&[put_off], at(1)));
        assert!(lately.take(&[settlement(State::Pending, Some("502"))], at(2)));
        let sent = State::Sent { note_id: None, entity: None, at: at(3) };
        assert!(lately.take(&[settlement(sent, None)], at(3)));
        let error = |at, words: &str| Some(Mishap { at, words: words.to_owned() });
        assert_eq!((lately.sent_at, &lately.error), (Some(at(3)), &error(at(2), "502")));
        lately.take(&[settlement(State::Dead { reason: "no user".to_owned(), at: at(4) }, None)], at(4));
        assert_eq!((lately.sent_at, &lately.error), (Some(at(3)), &error(at(4), "no user")));
        assert_eq!(lately.verdicts, [(Phase::Pending, 1), (Phase::Sent, 1), (Phase::Dead, 1)].into());
    }
}
