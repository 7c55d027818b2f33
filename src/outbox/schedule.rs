//! Pure: the rules that every [`Queue`](crate::outbox::queue::Queue) shares, wherever its calls lie:
//! which step is allowed, which call is due, and the ledger.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use crate::call::id::{AccountId, PbxName};
use crate::call::record::{CallRecord, FinishedCall, Skip};
use crate::outbox::errand::Errand;
use crate::outbox::queue::{BatchId, Error, Item, Phase, Seq, Settlement, State, Stats, TRANSITIONS};
use crate::outbox::schedule::account::Account;
use crate::time::HostTime;

mod account;
mod lanes;
pub mod person;
pub mod waiting;

/// An [`Item`] without its call: all that changes while the call waits.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Slip {
    pub seq: Seq,
    pub account: AccountId,
    /// Whose call it is: PBXs take turns. Calls that an earlier version stored have the default name.
    #[serde(default)]
    pub pbx: PbxName,
    pub enqueued_at: HostTime,
    pub state: State,
    pub attempts: u32,
    pub next_at: HostTime,
    #[serde(default)]
    pub last_error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked_since: Option<HostTime>,
    #[serde(default, skip_serializing_if = "Errand::is_none")]
    pub errand: Errand,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hooked: bool,
}

/// The new slip of one call and the phase that it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    pub from: Phase,
    pub slip: Slip,
}

/// The waiting calls, by account, kind, due time and place in the queue.
#[derive(Debug, Default)]
pub struct Schedule {
    entries: BTreeMap<Seq, Waiting>,
    /// Calls at their end to which something is owed: whose, and by which time they are found.
    debts: BTreeMap<Seq, (usize, HostTime)>,
    accounts: Vec<Account>,
}

/// What is counted for ever; a store keeps it beside the calls, in the same transaction.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Ledger {
    /// Calls ever taken in as new.
    pub ended: u64,
    /// Calls that have come to their end, by phase.
    pub finals: BTreeMap<Phase, u64>,
    pub next_seq: u64,
    pub next_batch: u64,
}

#[derive(Debug)]
struct Waiting {
    /// Index into [`Schedule::accounts`].
    account: usize,
    /// Index into [`Account::pbxs`].
    pbx: usize,
    phase: Phase,
    next_at: HostTime,
    enqueued_at: HostTime,
}

/// Refuses every step that is not in [`TRANSITIONS`]: the only place that judges one.
///
/// # Errors
/// [`Error::Transition`].
pub fn permit(seq: Seq, from: Phase, to: Phase) -> Result<(), Error> {
    if TRANSITIONS.contains(&(from, to)) {
        return Ok(());
    }
    Err(Error::Transition { seq, from, to })
}

/// Whether calls in this phase wait for something to happen.
pub fn waits(phase: Phase) -> bool {
    match phase {
        Phase::Pending | Phase::Sending | Phase::Unknown | Phase::Parked => true,
        Phase::Sent | Phase::Unsorted | Phase::Skipped | Phase::Expired | Phase::Dead => false,
    }
}

/// Puts calls into [`State::Sending`], on copies that `load` gives: the caller stores all of what
/// is returned, or nothing.
///
/// # Errors
/// When a call is not waiting to be sent, or `load` failed.
pub fn intend(
    calls: &[Seq],
    batch: BatchId,
    now: HostTime,
    mut load: impl FnMut(Seq) -> Result<Slip, Error>,
) -> Result<Vec<Turn>, Error> {
    let mut turns = BTreeMap::new();
    for &seq in calls {
        let turn = turn_of(&mut turns, seq, &mut load)?;
        turn.slip.step(State::Sending { batch, since: now })?;
    }
    Ok(turns.into_values().collect())
}

/// Applies settlements in their order, on copies that `load` gives, as [`intend`] does.
///
/// # Errors
/// When a step is not allowed, a call is absent, or `load` failed.
pub fn settle(
    settlements: Vec<Settlement>,
    mut load: impl FnMut(Seq) -> Result<Slip, Error>,
) -> Result<Vec<Turn>, Error> {
    let mut turns = BTreeMap::new();
    for settlement in settlements {
        turn_of(&mut turns, settlement.seq, &mut load)?.slip.settle(settlement)?;
    }
    Ok(turns.into_values().collect())
}

/// Turns intents of a process that is gone into unknown outcomes, as [`Slip::adopt`] tells.
///
/// # Errors
/// When a call is not being sent, or `load` failed.
pub fn adopt(
    calls: &[Seq],
    now: HostTime,
    mut load: impl FnMut(Seq) -> Result<Slip, Error>,
) -> Result<Vec<Turn>, Error> {
    let mut turns = BTreeMap::new();
    for &seq in calls {
        turn_of(&mut turns, seq, &mut load)?.slip.adopt(now)?;
    }
    Ok(turns.into_values().collect())
}

fn turn_of<'a>(
    turns: &'a mut BTreeMap<Seq, Turn>,
    seq: Seq,
    load: &mut impl FnMut(Seq) -> Result<Slip, Error>,
) -> Result<&'a mut Turn, Error> {
    match turns.entry(seq) {
        Entry::Occupied(known) => Ok(known.into_mut()),
        Entry::Vacant(place) => {
            let slip = load(seq)?;
            Ok(place.insert(Turn { from: slip.state.phase(), slip }))
        }
    }
}

impl Slip {
    /// The slip of a call that is new: it waits, or was skipped by policy.
    pub fn new(seq: Seq, record: &CallRecord, now: HostTime) -> Self {
        let state = match record.skip {
            Some(reason) => State::Skipped { reason, at: now },
            None => State::Pending,
        };
        Self {
            seq,
            account: record.account.clone(),
            pbx: record.pbx.clone(),
            enqueued_at: now,
            state,
            attempts: 0,
            next_at: now,
            last_error: None,
            parked_since: None,
            errand: Errand::default(),
            hooked: false,
        }
    }

    /// Whether something is owed to the call, which is at its end.
    pub fn owes(&self) -> bool {
        self.owes_link() || self.owes_comparison()
    }

    /// Whether the link of the call is owed, which is delivered.
    fn owes_link(&self) -> bool {
        self.state.phase() == Phase::Sent && self.errand.owes_link()
    }

    /// Whether the call is not sent but compared, and was not yet.
    fn owes_comparison(&self) -> bool {
        matches!(self.state, State::Skipped { reason: Skip::Shadow, .. }) && self.errand.compared.is_none()
    }

    /// Takes an intent over from a process that is gone: its POST may have arrived, so it counts as
    /// an attempt, and `since` stays the time of the intent, by which the answer is judged absent.
    fn adopt(&mut self, now: HostTime) -> Result<(), Error> {
        let State::Sending { batch, since } = self.state else {
            return Err(Error::Transition { seq: self.seq, from: self.state.phase(), to: Phase::Unknown });
        };
        self.step(State::Unknown { batch, since, looked: 0 })?;
        self.attempts += 1;
        self.next_at = now;
        Ok(())
    }

    pub fn into_item(self, call: FinishedCall) -> Item {
        Item {
            seq: self.seq,
            account: self.account,
            enqueued_at: self.enqueued_at,
            state: self.state,
            attempts: self.attempts,
            next_at: self.next_at,
            last_error: self.last_error,
            parked_since: self.parked_since,
            errand: self.errand,
            hooked: self.hooked,
            call,
        }
    }

    /// Whoever settles had the call in his hands when it waited: he does not revive one that a person gave
    /// up meanwhile.
    fn settle(&mut self, settlement: Settlement) -> Result<(), Error> {
        let (from, to) = (self.state.phase(), settlement.state.phase());
        if matches!(from, Phase::Dead | Phase::Expired) {
            return Err(Error::Transition { seq: self.seq, from, to });
        }
        let compared = self.errand.compared.clone();
        self.step(settlement.state)?;
        self.attempts += u32::from(settlement.attempted);
        self.next_at = settlement.next_at;
        self.last_error = settlement.last_error;
        // Found out beside whatever else is done with the call.
        self.errand = Errand { compared: settlement.errand.compared.or(compared), ..settlement.errand };
        Ok(())
    }

    fn step(&mut self, to: State) -> Result<(), Error> {
        let from = self.state.phase();
        permit(self.seq, from, to.phase())?;
        if let State::Parked { since } = self.state {
            self.parked_since.get_or_insert(since);
        } else if !waits(from) {
            // Whoever revives a call gives it all its time.
            self.parked_since = None;
            self.errand = Errand::default();
        }
        self.state = to;
        Ok(())
    }
}

impl Schedule {
    /// Takes in the new slip of a call; one that waits no more is forgotten.
    pub fn put(&mut self, slip: &Slip) {
        self.remove(slip.seq);
        let phase = slip.state.phase();
        if slip.owes_link() {
            let account = self.account(&slip.account);
            self.accounts[account].owing.insert((slip.next_at, slip.seq));
            self.debts.insert(slip.seq, (account, slip.next_at));
        }
        if slip.owes_comparison() {
            let account = self.account(&slip.account);
            self.accounts[account].uncompared.insert((slip.enqueued_at, slip.seq));
            self.debts.insert(slip.seq, (account, slip.enqueued_at));
        }
        if !waits(phase) {
            return;
        }
        let account = self.account(&slip.account);
        let pbx = self.accounts[account].pbx(&slip.pbx);
        if let Some(lanes) = self.accounts[account].lanes(phase) {
            lanes.insert(pbx, slip.next_at, slip.seq);
        }
        let entry = Waiting { account, pbx, phase, next_at: slip.next_at, enqueued_at: slip.enqueued_at };
        self.entries.insert(slip.seq, entry);
    }

    /// Forgets a call.
    pub fn remove(&mut self, seq: Seq) {
        if let Some((account, at)) = self.debts.remove(&seq) {
            self.accounts[account].owing.remove(&(at, seq));
            self.accounts[account].uncompared.remove(&(at, seq));
        }
        let Some(entry) = self.entries.remove(&seq) else { return };
        if let Some(lanes) = self.accounts[entry.account].lanes(entry.phase) {
            lanes.remove(entry.pbx, entry.next_at, seq);
        }
    }

    /// Due calls of `account`: fresh ones while there are any, else parked ones. Where more are due than
    /// are asked for, each PBX gives as many as the others, its oldest; all are returned oldest first.
    pub fn lease(&mut self, account: &AccountId, limit: usize, now: HostTime) -> Vec<Seq> {
        let account = self.account(account);
        let account = &mut self.accounts[account];
        let fresh = account.fresh.due(limit, now);
        if fresh.is_empty() { account.parked.due(limit, now) } else { fresh }
    }

    /// Calls of `account` whose outcome is unknown and that are due for a look, as
    /// [`Self::lease`] chooses.
    pub fn unknown(&mut self, account: &AccountId, limit: usize, now: HostTime) -> Vec<Seq> {
        let account = self.account(account);
        self.accounts[account].unknown.due(limit, now)
    }

    /// Delivered calls of `account` to which something is owed that is due, the longest due first.
    pub fn owing(&mut self, account: &AccountId, limit: usize, now: HostTime) -> Vec<Seq> {
        let account = self.account(account);
        let due = self.accounts[account].owing.range(..=(now, Seq(u64::MAX)));
        due.take(limit).map(|(_, seq)| *seq).collect()
    }

    /// Calls of `account` that came before `until`, are not sent, and were not compared yet, the oldest first.
    pub fn uncompared(&mut self, account: &AccountId, limit: usize, until: HostTime) -> Vec<Seq> {
        let account = self.account(account);
        let due = self.accounts[account].uncompared.range(..(until, Seq(0)));
        due.take(limit).map(|(_, seq)| *seq).collect()
    }

    /// When the first call of `account` that waits for a time is due. Those being sent wait for an
    /// answer, and for no time.
    pub fn next_due(&self, account: &AccountId) -> Option<HostTime> {
        let account = self.accounts.iter().find(|known| known.id == *account)?;
        let lanes = [&account.fresh, &account.parked, &account.unknown];
        let owing = account.owing.first().map(|(at, _)| *at);
        lanes.iter().filter_map(|lanes| lanes.first()).chain(owing).min()
    }

    /// Calls of every account that are being sent.
    pub fn sending(&self) -> Vec<Seq> {
        let sending = self.entries.iter().filter(|(_, entry)| entry.phase == Phase::Sending);
        sending.map(|(seq, _)| *seq).collect()
    }

    /// Calls of `account` that are being sent.
    pub fn sending_of(&self, account: &AccountId) -> Vec<Seq> {
        let Some(account) = self.accounts.iter().position(|known| known.id == *account) else {
            return Vec::new();
        };
        let is_sending = |entry: &Waiting| entry.account == account && entry.phase == Phase::Sending;
        self.entries.iter().filter(|(_, entry)| is_sending(entry)).map(|(seq, _)| *seq).collect()
    }

    /// Calls of `pbx` that wait to be sent and were put off since they came.
    pub fn put_off(&self, pbx: &PbxName) -> Vec<Seq> {
        let is_meant = |entry: &Waiting| {
            entry.phase == Phase::Pending
                && entry.next_at > entry.enqueued_at
                && self.accounts[entry.account].pbxs[entry.pbx] == *pbx
        };
        self.entries.iter().filter(|(_, entry)| is_meant(entry)).map(|(seq, _)| *seq).collect()
    }

    /// The waiting calls, and when each was enqueued.
    pub fn enqueued(&self) -> impl Iterator<Item = (Seq, HostTime)> {
        self.entries.iter().map(|(seq, entry)| (*seq, entry.enqueued_at))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The index of an account; there are few, and they stay.
    fn account(&mut self, id: &AccountId) -> usize {
        if let Some(index) = self.accounts.iter().position(|known| known.id == *id) {
            return index;
        }
        self.accounts.push(Account::of(id.clone()));
        self.accounts.len() - 1
    }
}

impl Ledger {
    /// Whether the history, with `kept` calls, has every call that came to its end: it forgot none yet.
    pub fn is_whole(&self, kept: u64) -> bool {
        let finals = self.finals.iter().filter(|(phase, _)| **phase != Phase::Dead);
        finals.map(|(_, count)| count).sum::<u64>() == kept
    }

    pub fn take_seq(&mut self) -> Seq {
        self.next_seq += 1;
        Seq(self.next_seq - 1)
    }

    pub fn take_batch(&mut self) -> BatchId {
        self.next_batch += 1;
        BatchId(self.next_batch - 1)
    }

    /// Counts a new call.
    pub fn enter(&mut self, slip: &Slip) {
        self.ended += 1;
        self.count_final(slip.state.phase());
    }

    /// Counts a step: a final call that a person revives is final no more.
    pub fn turn(&mut self, turn: &Turn) {
        if !waits(turn.from) {
            let count = self.finals.entry(turn.from).or_default();
            *count = count.saturating_sub(1);
        }
        self.count_final(turn.slip.state.phase());
    }

    pub fn stats(&self, schedule: &Schedule) -> Stats {
        let mut by_phase = self.finals.clone();
        for entry in schedule.entries.values() {
            *by_phase.entry(entry.phase).or_default() += 1;
        }
        by_phase.retain(|_, count| *count > 0);
        let oldest = schedule.entries.values().map(|entry| entry.enqueued_at).min();
        Stats { ended: self.ended, by_phase, oldest }
    }

    fn count_final(&mut self, phase: Phase) {
        if !waits(phase) {
            *self.finals.entry(phase).or_default() += 1;
        }
    }
}
