//! What a database that opened has lost or forgotten, put right from the journal. sled may open with
//! fewer entries than it had, or with older ones, and say nothing; the journal is never behind.

use sled::IVec;
use tracing::{error, warn};

use crate::call::id::CallId;
use crate::call::record::FinishedCall;
use crate::outbox::queue::{self, Phase, Seq, State};
use crate::outbox::schedule::{Slip, waits};
use crate::outbox::store::draft::{Draft, Entering, LEDGER, Saved, id_entries};
use crate::outbox::store::history;
use crate::outbox::store::journal::read::{Entry, Intent, Open, Spot};
use crate::outbox::store::scan::Findings;
use crate::outbox::store::trees::{Tree, seq_key};
use crate::outbox::store::value::Stored;
use crate::outbox::store::{Opened, Store, fit, frame, inflight, swap};

/// Calls put back in one transaction.
pub(super) const REFILL_CHUNK: usize = 128;

/// Calls that are done and looked for at every start: enough to see the loss of a hundredth of them.
pub(super) const SAMPLE: usize = 512;

/// The newest of the calls that are done; a database that fell back has lost those.
pub(super) const NEWEST: usize = 64;

/// What is said of a call whose end the journal alone still knows.
pub(super) const END_LOST: &str =
    "how it ended was lost with the database; the journal says that it came to its end";

/// How far a database is believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Doubt {
    /// It was made a moment ago.
    New,
    /// It was there.
    Old,
    /// It is a copy of a damaged one: sled may have left out anything.
    Damaged,
}

impl Store {
    /// Brings the ledger back, moves aside what cannot be read, and puts back what was lost.
    pub(super) fn recover(&mut self, findings: Findings, doubt: Doubt) -> Result<(), queue::Error> {
        let saved = self.meta::<Saved>(LEDGER)?;
        // A database that had calls has a ledger, and a journal unless somebody took it away.
        let dig = match doubt {
            Doubt::New => false,
            Doubt::Old => saved.is_none() || findings.missing.is_empty(),
            Doubt::Damaged => true,
        };
        let numbered_from = saved.as_ref().and_then(|saved| saved.numbered_from);
        if let Some(saved) = saved {
            (self.ledger, self.kept) = (saved.ledger, saved.kept);
        }
        let is_whole = self.ledger.is_whole(self.kept);
        self.counted_to = Seq(self.ledger.next_seq);
        self.ledger.next_seq = self.ledger.next_seq.max(self.first_free_seq()?);
        self.numbered_from = numbered_from.unwrap_or(Seq(self.ledger.next_seq));
        let free_batch = findings.last_batch.map_or(0, |batch| batch.0 + 1);
        self.ledger.next_batch = self.ledger.next_batch.max(free_batch);
        self.opened.unreadable = findings.unreadable.len() as u64;
        for (seq, bytes, error) in findings.unreadable {
            self.set_aside(seq, &bytes, &error, self.now)?;
        }
        let journal = findings.missing;
        self.opened.damaged_lines = journal.damaged;
        if journal.damaged > 0 {
            warn!(lines = journal.damaged, "the journal has lines that cannot be read");
        }
        self.doubt(&findings.perhaps_sent, &journal)?;
        self.close_again(&findings.closed, &journal)?;
        let is_sure = doubt != Doubt::Damaged && self.is_sure(&journal)?;
        if !is_sure {
            self.name_again()?;
        }
        self.refill(&journal)?;
        if !is_sure {
            self.remember_and_count(&journal)?;
        }
        if dig || self.unaccounted() > 0 {
            self.dig(&swap::ruins_of(&self.ground.dir))?;
        }
        if !is_sure {
            self.recount(is_whole)?;
        }
        self.balance();
        self.persist()
    }

    /// Whether nothing was found yet that the database lost: a sample is looked at. Otherwise every call
    /// is; a damaged line of the journal alone says nothing of the database.
    fn is_sure(&self, journal: &Open) -> Result<bool, queue::Error> {
        let Opened { unreadable, doubted, closed_again, .. } = self.opened;
        if (unreadable, doubted, closed_again) != (0, 0, 0) || !self.names_lead_to_calls()? {
            return Ok(false);
        }
        for id in journal.ids() {
            if !self.is_stored(&id)? {
                return Ok(false);
            }
        }
        self.knows_done(journal)
    }

    /// How many more calls came than can be shown.
    pub(super) fn unaccounted(&self) -> u64 {
        let stats = self.ledger.stats(&self.schedule);
        stats.ended.saturating_sub(stats.by_phase.values().sum())
    }

    pub(super) fn first_free_seq(&self) -> Result<u64, queue::Error> {
        let mut free = 0;
        for tree in [Tree::Outbox, Tree::Dead, Tree::History] {
            let last = self.trees.last_seq(tree);
            let last = last.map_err(|error| self.fail("the database cannot be read", error))?;
            free = free.max(last.map_or(0, |seq| seq.0 + 1));
        }
        Ok(free)
    }

    /// Calls whose last intent the database forgot: they may have been sent, as the journal has them. What the
    /// hook decided, or the PBX's records told, before that intent may be forgotten with it.
    fn doubt(&mut self, calls: &[(Seq, Intent, Option<Spot>)], journal: &Open) -> Result<(), queue::Error> {
        for calls in calls.chunks(REFILL_CHUNK) {
            let mut draft = self.draft();
            for (seq, intent, spot) in calls {
                let Some((_, mut stored)) = self.load(*seq)? else { continue };
                let entry = spot.and_then(|spot| journal.done_entry(spot).ok().flatten());
                let entry = entry.and_then(with_call);
                let is_other = |call: &FinishedCall| stored.call().is_ok_and(|known| known != *call);
                if let Some((_, call)) = entry.filter(|(_, call)| is_other(call)) {
                    let call = fit::fit(&call).map_err(|error| self.fail("a call has no JSON", error))?;
                    stored.set_call(call);
                }
                let slip = in_doubt(stored.slip().clone(), *intent);
                stored.set_slip(slip);
                self.lay(&mut draft, &stored)?;
            }
            self.commit(draft)?;
        }
        self.opened.doubted = calls.len() as u64;
        if self.opened.doubted > 0 {
            let calls = self.opened.doubted;
            warn!(calls, "the database forgot that calls were on their way: they are looked up first");
        }
        Ok(())
    }

    /// Waiting calls that the journal holds for done have fallen back; of which it holds nothing, are
    /// written into it anew.
    fn close_again(&mut self, calls: &[(Seq, String)], journal: &Open) -> Result<(), queue::Error> {
        if calls.is_empty() {
            return Ok(());
        }
        let done = journal.done_ids().map_err(|error| self.fail("the journal cannot be read", error))?;
        for calls in calls.chunks(REFILL_CHUNK) {
            let mut draft = self.draft();
            for (seq, id) in calls {
                let Some((tree, mut stored)) = self.load(*seq)? else { continue };
                if !done.contains(&CallId::from_text(id)) {
                    self.note_enter(&stored)?;
                    self.note_intent(&stored)?;
                    continue;
                }
                let slip = ended(stored.slip().clone());
                stored.set_slip(slip);
                draft.change.remove(tree, &seq_key(*seq));
                draft.kept += 1;
                *draft.ledger.finals.entry(Phase::Sent).or_default() += 1;
                self.opened.closed_again += 1;
                self.lay(&mut draft, &stored)?;
            }
            self.commit(draft)?;
        }
        if self.opened.closed_again > 0 {
            let calls = self.opened.closed_again;
            warn!(calls, "the database had forgotten the end of calls that the journal knows");
        }
        Ok(())
    }

    pub(super) fn refill(&mut self, missing: &Open) -> Result<(), queue::Error> {
        for ids in missing.ids().chunks(REFILL_CHUNK) {
            let mut draft = self.draft();
            for id in ids {
                if !self.is_stored(id)? {
                    self.refill_one(&mut draft, id, missing)?;
                }
            }
            if !draft.slips.is_empty() {
                self.commit(draft)?;
            }
        }
        if self.opened.refilled > 0 {
            let calls = self.opened.refilled;
            warn!(calls, "calls that the database did not have were put back from the journal");
        }
        Ok(())
    }

    fn refill_one(&mut self, draft: &mut Draft, id: &CallId, missing: &Open) -> Result<(), queue::Error> {
        let entry = missing.entry(id).map_err(|error| self.fail("the journal cannot be read", error))?;
        let Some((entry, call)) = entry.and_then(with_call) else {
            error!(call_id = %id, "a call is lost: neither database nor journal can be read");
            return Ok(());
        };
        let slip = self.refilled_slip(draft, &entry, &call)?;
        // What the database kept of it is of before its end: it shall not go on beside it.
        for key in inflight::keys_of(&call.record) {
            draft.change.remove(Tree::Inflight, key.as_bytes());
        }
        let call = fit::fit(&call).map_err(|error| self.fail("a call has no JSON", error))?;
        self.opened.refilled += 1;
        self.enter(draft, Entering { slip, call })
    }

    /// Whether an open call is in the database. One that expired and is open in the journal was revived,
    /// which the database forgot.
    pub(super) fn is_stored(&self, id: &CallId) -> Result<bool, queue::Error> {
        let Some((tree, bytes)) = self.own_entry(id)? else { return Ok(false) };
        let has_expired = || {
            let stored = Stored::decode(&bytes);
            stored.is_ok_and(|stored| stored.slip().state.phase() == Phase::Expired)
        };
        Ok(!(tree == Tree::History && has_expired()))
    }

    /// Whether a call is in the database, in whatever state.
    pub(super) fn is_known(&self, id: &CallId) -> Result<bool, queue::Error> {
        Ok(self.own_entry(id)?.is_some())
    }

    /// The entry to which a call's name leads, where it is there, sound and the call's own.
    fn own_entry(&self, id: &CallId) -> Result<Option<(Tree, IVec)>, queue::Error> {
        let Some(seq) = self.seq_of_call(id)? else { return Ok(None) };
        for tree in [Tree::Dead, Tree::History, Tree::Outbox] {
            let Some(bytes) = self.read(tree, &seq_key(seq))? else { continue };
            if frame::decode(&bytes).is_ok_and(|frame| frame.key == id.as_str().as_bytes()) {
                return Ok(Some((tree, bytes)));
            }
        }
        Ok(None)
    }

    /// The slip of a lost call: at its old place in the queue when that is free, and with an
    /// unknown outcome when it may have been sent, so that it is looked up and not sent blindly.
    fn refilled_slip(
        &self,
        draft: &mut Draft,
        entry: &Entry,
        call: &FinishedCall,
    ) -> Result<Slip, queue::Error> {
        let seq = self.place_of(draft, entry.seq)?;
        let mut slip = Slip::new(seq, &call.record, entry.enqueued_at);
        let ledger = &mut draft.ledger;
        ledger.ended += u64::from(entry.seq >= self.counted_to);
        if let Some(intent) = entry.intent
            && slip.state == State::Pending
        {
            ledger.next_batch = ledger.next_batch.max(intent.batch.0 + 1);
            slip = in_doubt(slip, intent);
        }
        if !waits(slip.state.phase()) {
            *ledger.finals.entry(slip.state.phase()).or_default() += 1;
        }
        Ok(slip)
    }

    /// The place that a call had, when that is free, else a new one.
    pub(super) fn place_of(&self, draft: &mut Draft, wanted: Seq) -> Result<Seq, queue::Error> {
        let is_free = self.tree_of(wanted)?.is_none() && !draft.has(wanted);
        let seq = if is_free { wanted } else { draft.ledger.take_seq() };
        draft.ledger.next_seq = draft.ledger.next_seq.max(seq.0 + 1);
        Ok(seq)
    }

    /// Whether the calls that the journal holds for done are known here, by a sample. What is forgotten
    /// would be taken in again, and sent twice.
    fn knows_done(&self, journal: &Open) -> Result<bool, queue::Error> {
        let done = journal.done();
        // Many calls a day leave the history by number, and earlier.
        if self.kept >= history::KEPT_MAX {
            return Ok(true);
        }
        let newest = &done[done.len().saturating_sub(NEWEST)..];
        let sample = done.iter().step_by(done.len().div_ceil(SAMPLE).max(1));
        for spot in newest.iter().chain(sample) {
            if self.forgotten(journal, *spot)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A ledger that fell back with the database has not counted the calls that are newer; whether it
    /// has counted the ends of the others is not known, so they are while more came than can be shown.
    fn remember_and_count(&mut self, journal: &Open) -> Result<(), queue::Error> {
        if self.kept >= history::KEPT_MAX {
            return Ok(());
        }
        let remembered = self.remember_all(journal)?;
        let (newer, older): (Vec<_>, Vec<_>) =
            remembered.into_iter().partition(|(seq, _)| *seq >= self.counted_to);
        for (_, phase) in newer {
            self.ledger.ended += 1;
            *self.ledger.finals.entry(phase).or_default() += 1;
        }
        let gap = usize::try_from(self.unaccounted()).unwrap_or(usize::MAX);
        for (_, phase) in older.into_iter().take(gap) {
            *self.ledger.finals.entry(phase).or_default() += 1;
        }
        self.commit(self.draft())
    }

    /// Puts calls that are done and not known into the history; returns the places that they had, and
    /// their phases. The ledger stays as it is.
    pub(super) fn remember_all(&mut self, journal: &Open) -> Result<Vec<(Seq, Phase)>, queue::Error> {
        let mut remembered = Vec::new();
        for spots in journal.done().chunks(REFILL_CHUNK) {
            let mut draft = self.draft();
            for spot in spots {
                if let Some((entry, call)) = self.forgotten(journal, *spot)?
                    && !draft.ids.contains(&call.record.call_id)
                {
                    let phase = self.remember(&mut draft, &entry, &call)?;
                    remembered.push((entry.seq, phase));
                }
            }
            self.commit(draft)?;
        }
        let calls = self.opened.remembered;
        if calls > 0 {
            warn!(
                calls,
                "the database had forgotten calls that are done: they are known again from the journal"
            );
        }
        Ok(remembered)
    }

    fn forgotten(&self, journal: &Open, spot: Spot) -> Result<Option<(Entry, FinishedCall)>, queue::Error> {
        let entry = journal.done_entry(spot);
        let entry = entry.map_err(|error| self.fail("the journal cannot be read", error))?;
        let Some(entry) = entry else { return Ok(None) };
        let is_old = self.now.since(entry.enqueued_at) >= history::KEPT_FOR;
        // One that is open again was taken up since.
        if is_old || journal.has(entry.id.as_str()) || self.is_known(&entry.id)? {
            return Ok(None);
        }
        Ok(with_call(entry))
    }

    fn remember(
        &mut self,
        draft: &mut Draft,
        entry: &Entry,
        call: &FinishedCall,
    ) -> Result<Phase, queue::Error> {
        let seq = self.place_of(draft, entry.seq)?;
        let mut slip = Slip::new(seq, &call.record, entry.enqueued_at);
        if waits(slip.state.phase()) {
            slip = Slip { attempts: 1, ..ended(slip) };
        }
        let phase = slip.state.phase();
        let call = fit::fit(call).map_err(|error| self.fail("a call has no JSON", error))?;
        for (key, value) in id_entries(&call.call.record, seq) {
            draft.change.put(Tree::Ids, key, value);
        }
        draft.ids.insert(call.call.record.call_id.clone());
        draft.kept += 1;
        self.opened.remembered += 1;
        self.lay(draft, &Stored::new(slip, call))?;
        Ok(phase)
    }

    /// The ledger never says that fewer calls came than can be shown. That more came than can be
    /// shown is a loss, and stays visible.
    pub(super) fn balance(&mut self) {
        let stats = self.ledger.stats(&self.schedule);
        let shown: u64 = stats.by_phase.values().sum();
        self.ledger.ended = stats.ended.max(shown);
        if stats.ended > shown {
            let calls = stats.ended - shown;
            error!(calls, "calls are unaccounted for: database and journal have lost them");
        }
    }
}

/// The slip of a call that may have been sent: it is looked up, and never sent blindly.
pub(super) fn in_doubt(slip: Slip, Intent { batch, since }: Intent) -> Slip {
    let state = State::Unknown { batch, since, looked: 0 };
    Slip { state, attempts: slip.attempts.max(1), ..slip }
}

/// The slip of a call that is at its end, nobody knows how: nothing brings it back.
pub(super) fn ended(slip: Slip) -> Slip {
    let state = State::Sent { note_id: None, entity: None, at: slip.enqueued_at };
    Slip { state, last_error: Some(END_LOST.to_owned()), ..slip }
}

pub(super) fn with_call(entry: Entry) -> Option<(Entry, FinishedCall)> {
    let call = serde_json::from_str(entry.call.get()).ok()?;
    Some((entry, call))
}
