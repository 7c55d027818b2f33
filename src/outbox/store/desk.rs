//! What the store does with calls, short of making it durable: each function here commits one
//! change to the trees and notes it in the journal; `persist` follows, once for a whole group.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::{debug, info};

use crate::call::checkpoint;
use crate::call::id::{AccountId, CallId, PbxName};
use crate::call::phone::Private;
use crate::call::record::{CallRecord, FinishedCall, Source};
use crate::outbox::forget;
use crate::outbox::queue::{BatchId, Enqueued, Error, Item, Phase, Seq, Settlement, Stats};
use crate::outbox::schedule::{self, Slip};
use crate::outbox::store::Store;
use crate::outbox::store::draft::{Draft, Entering};
use crate::outbox::store::fit;
use crate::outbox::store::load::unreadable;
use crate::outbox::store::trees::{Change, Tree, seq_key, seq_of, uniqueid_prefix};
use crate::outbox::store::value::Stored;
use crate::pseudonym;
use crate::time::HostTime;

/// Calls in one transaction: an hour's backlog shall not become one write of 60 MB.
pub(super) const CALLS_A_CHANGE: usize = 128;

/// Bytes of calls that may wait in memory for `persist`, here and in sled: a back-fill of months
/// is made durable in parts.
const WAITING_MAX: usize = 4 << 20;

impl Store {
    pub(super) fn take_in(&mut self, calls: &[FinishedCall], now: HostTime) -> Result<Vec<Enqueued>, Error> {
        self.take_in_with(calls, &PbxName::default(), &[], now, Duration::ZERO)
    }

    /// Takes calls in, and with the last of them what changed of those in progress of `pbx`. Calls that were
    /// cut short are held back for `hold`.
    pub(super) fn take_in_with(
        &mut self,
        calls: &[FinishedCall],
        pbx: &PbxName,
        changes: &[checkpoint::Change],
        now: HostTime,
        hold: Duration,
    ) -> Result<Vec<Enqueued>, Error> {
        self.begin(now)?;
        let mut answers = Vec::with_capacity(calls.len());
        if calls.is_empty() && !changes.is_empty() {
            let mut change = Change::default();
            change.keep(pbx, changes);
            self.write(&change)?;
        }
        let mut rest = calls;
        while !rest.is_empty() {
            let (calls, later) = rest.split_at(rest.len().min(CALLS_A_CHANGE));
            rest = later;
            let mut draft = self.draft();
            for call in calls {
                answers.push(self.take_one(&mut draft, call, now, hold)?);
            }
            if rest.is_empty() {
                draft.change.keep(pbx, changes);
            }
            self.commit(draft)?;
            if self.journal.waiting() > WAITING_MAX {
                self.persist()?;
            }
        }
        Ok(answers)
    }

    pub(super) fn look_up_due(
        &mut self,
        account: &AccountId,
        limit: usize,
        now: HostTime,
    ) -> Result<Vec<Item>, Error> {
        self.begin(now)?;
        let due = self.schedule.lease(account, limit, now);
        self.items(&due, now)
    }

    pub(super) fn look_up_unknown(
        &mut self,
        account: &AccountId,
        limit: usize,
        now: HostTime,
    ) -> Result<Vec<Item>, Error> {
        self.begin(now)?;
        let due = self.schedule.unknown(account, limit, now);
        self.items(&due, now)
    }

    pub(super) fn look_up_owing(
        &mut self,
        account: &AccountId,
        limit: usize,
        now: HostTime,
    ) -> Result<Vec<Item>, Error> {
        self.begin(now)?;
        let mut items = Vec::new();
        for seq in self.schedule.owing(account, limit, now) {
            match self.load(seq)?.map(|(_, stored)| stored.into_item()) {
                Some(Ok(item)) => items.push(item),
                // It is delivered: nothing is lost but the link.
                Some(Err(_)) | None => self.schedule.remove(seq),
            }
        }
        Ok(items)
    }

    pub(super) fn mark_sending(&mut self, calls: &[Seq], now: HostTime) -> Result<BatchId, Error> {
        self.begin(now)?;
        let mut draft = self.draft();
        let batch = draft.ledger.take_batch();
        let mut stored = BTreeMap::new();
        let turns = schedule::intend(calls, batch, now, |seq| self.load_into(&mut stored, seq))?;
        self.turn(draft, turns, stored)?;
        Ok(batch)
    }

    pub(super) fn apply(&mut self, settlements: Vec<Settlement>, now: HostTime) -> Result<(), Error> {
        self.begin(now)?;
        let mut stored = BTreeMap::new();
        let mut turns = schedule::settle(settlements, |seq| self.load_into(&mut stored, seq))?;
        for turn in &mut turns {
            if stored.get(&turn.slip.seq).is_some_and(|(_, stored)| stored.is_forgotten()) {
                // Whoever settles had it in his hands before its number was forgotten; a reason may have that.
                forget::anonymize_slip(&mut turn.slip, "");
                turn.slip.last_error = None;
            }
        }
        self.turn(self.draft(), turns, stored)
    }

    pub(super) fn take_over(&mut self, account: &AccountId, now: HostTime) -> Result<u64, Error> {
        self.begin(now)?;
        let sending = self.schedule.sending_of(account);
        for calls in sending.chunks(CALLS_A_CHANGE) {
            let mut stored = BTreeMap::new();
            let turns = schedule::adopt(calls, now, |seq| self.load_into(&mut stored, seq))?;
            for (_, stored) in stored.values() {
                let state = Phase::Unknown.name();
                info!(call_id = %stored.id, %account, state, "call was on its way at the last end: looked up first");
            }
            self.turn(self.draft(), turns, stored)?;
        }
        Ok(sending.len() as u64)
    }

    pub(super) fn first_due(&self, account: &AccountId) -> Result<Option<HostTime>, Error> {
        self.alive()?;
        Ok(self.schedule.next_due(account))
    }

    pub(super) fn count(&self) -> Result<Stats, Error> {
        self.alive()?;
        Ok(self.ledger.stats(&self.schedule))
    }

    pub(super) fn look_up(&self, id: &CallId) -> Result<Option<Item>, Error> {
        self.alive()?;
        let Some(seq) = self.seq_of_call(id)? else { return Ok(None) };
        let Some((_, stored)) = self.load(seq)? else { return Ok(None) };
        stored.into_item().map(Some).map_err(|error| unreadable(seq, &error.into()))
    }

    pub(super) fn look_up_uniqueid(&self, pbx: &PbxName, uniqueid: &str) -> Result<Vec<Item>, Error> {
        self.alive()?;
        let prefix = uniqueid_prefix(pbx, uniqueid);
        let mut items = Vec::new();
        for key in self.trees.keys_from(Tree::Ids, &prefix) {
            let key = key.map_err(|error| self.fail("the database cannot be read", error))?;
            let Some(seq) = seq_of(&key[prefix.len()..]) else { continue };
            if let Some((_, stored)) = self.load(seq)? {
                items.push(stored.into_item().map_err(|error| unreadable(seq, &error.into()))?);
            }
        }
        Ok(items)
    }

    pub(super) fn begin(&mut self, now: HostTime) -> Result<(), Error> {
        self.now = now;
        self.alive()
    }

    fn take_one(
        &mut self,
        draft: &mut Draft,
        call: &FinishedCall,
        now: HostTime,
        hold: Duration,
    ) -> Result<Enqueued, Error> {
        let id = &call.record.call_id;
        if draft.ids.contains(id) || self.seq_of_call(id)?.is_some() {
            debug!(call_id = %id, "call is known: nothing is added");
            return Ok(Enqueued::Known);
        }
        let call = fit::fit(call).map_err(|error| self.fail("a call has no JSON", error))?;
        let mut slip = Slip::new(draft.ledger.take_seq(), &call.call.record, now);
        if call.call.record.is_cut() {
            slip.next_at = now.after(hold);
        }
        let seq = slip.seq;
        tell_taken(&call.call.record);
        self.ended.note_new(seq, slip.state.phase());
        draft.ledger.enter(&slip);
        self.enter(draft, Entering { slip, call })?;
        Ok(Enqueued::New(seq))
    }

    /// Reads the calls; one that cannot be read is moved aside and holds nobody up.
    fn items(&mut self, seqs: &[Seq], now: HostTime) -> Result<Vec<Item>, Error> {
        let mut items = Vec::with_capacity(seqs.len());
        for &seq in seqs {
            let Some(bytes) = self.read(Tree::Outbox, &seq_key(seq))? else { continue };
            let item = Stored::decode(&bytes).and_then(|stored| Ok(stored.into_item()?));
            match item {
                Ok(item) => items.push(item),
                Err(error) => self.set_aside(seq, &bytes, &error, now)?,
            }
        }
        Ok(items)
    }
}

/// The line of a call that did not end before our eyes: of one that did the intake has told.
fn tell_taken(record: &CallRecord) {
    let source = match record.source {
        Source::Ami => return debug!(call_id = %record.call_id, "call is taken"),
        Source::Cdr => "the PBX's records",
        Source::Replay => "a capture",
    };
    let CallRecord { call_id, pbx, account, direction, outcome, responsible, skip, .. } = record;
    let number = Private::new(record.phone.as_deref().or(record.phone_raw.as_deref()));
    let (phone, phone_hash) = (number.masked(), pseudonym::of(number.whole()));
    let talk_s = record.talk_seconds.rounded();
    let state = if skip.is_some() { Phase::Skipped } else { Phase::Pending }.name();
    let reason = skip.map(tracing::field::debug);
    info!(
        %call_id, %pbx, %account, ?direction, ?outcome, phone, phone_hash, responsible, talk_s, state, reason, source,
        "call taken in that nobody followed"
    );
}
