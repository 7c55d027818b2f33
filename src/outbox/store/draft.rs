//! One change in the making: new calls or steps of calls, with the ledger, their ids and their lines
//! in the journal; committed as a whole, on the store's thread.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use crate::call::id::CallId;
use crate::call::record::CallRecord;
use crate::outbox::queue::{BatchId, Error, Phase, Seq, State};
use crate::outbox::schedule::{Ledger, Slip, Turn, waits};
use crate::outbox::store::Store;
use crate::outbox::store::fit::Fitted;
use crate::outbox::store::journal;
use crate::outbox::store::trees::{
    Change, Tree, call_key, number_key, owing_key, seq_key, seq_of, uniqueid_key,
};
use crate::outbox::store::value::{self, Head, Stored};
use crate::time::HostTime;

/// Where the ledger lies in `meta`.
pub(super) const LEDGER: &[u8] = b"ledger";

/// A change in the making, and what memory will know once it is committed.
#[derive(Debug)]
pub(super) struct Draft {
    pub change: Change,
    pub ledger: Ledger,
    pub kept: u64,
    pub slips: Vec<Slip>,
    pub ids: BTreeSet<CallId>,
    pub news: bool,
}

/// The ledger in `meta`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Saved {
    v: u32,
    #[serde(flatten)]
    pub ledger: Ledger,
    pub kept: u64,
    /// Calls from this one on are found by their numbers. A program that knows nothing of it leaves it out,
    /// and those that it stored are not.
    #[serde(default)]
    pub numbered_from: Option<Seq>,
}

/// A call that is about to be stored as new.
#[derive(Debug)]
pub(super) struct Entering<'a> {
    pub slip: Slip,
    pub call: Fitted<'a>,
}

impl Draft {
    pub fn has(&self, seq: Seq) -> bool {
        self.slips.iter().any(|slip| slip.seq == seq)
    }
}

impl Store {
    pub(super) fn draft(&self) -> Draft {
        Draft {
            change: Change::default(),
            ledger: self.ledger.clone(),
            kept: self.kept,
            slips: Vec::new(),
            ids: BTreeSet::new(),
            news: false,
        }
    }

    /// Writes a new call into the draft and the journal.
    pub(super) fn enter(&mut self, draft: &mut Draft, entering: Entering<'_>) -> Result<(), Error> {
        let Entering { slip, call } = entering;
        let id = call.call.record.call_id.clone();
        if !call.trimmed.is_empty() {
            warn!(call_id = %id, trimmed = ?call.trimmed, "a call is too long to be stored whole");
        }
        for (key, value) in id_entries(&call.call.record, slip.seq) {
            draft.change.put(Tree::Ids, key, value);
        }
        draft.ids.insert(id);
        let mut stored = Stored::new(slip.clone(), call);
        // One from another store has texts.
        stored.set_slip(slip);
        self.note_enter(&stored)?;
        self.note_intent(&stored)?;
        let phase = stored.slip().state.phase();
        // A dead call stays open there: it waits for a person.
        if !waits(phase) && phase != Phase::Dead {
            self.note_done(&stored.id)?;
        }
        draft.kept += u64::from(Tree::of(phase) == Tree::History);
        draft.news |= waits(phase);
        self.lay(draft, &stored)
    }

    pub(super) fn commit(&mut self, mut draft: Draft) -> Result<(), Error> {
        let numbered_from = Some(self.numbered_from);
        let saved =
            Saved { v: value::VERSION, ledger: draft.ledger.clone(), kept: draft.kept, numbered_from };
        draft.change.put(Tree::Meta, LEDGER, self.encoded(LEDGER, &saved)?);
        self.write(&draft.change)?;
        self.ledger = draft.ledger;
        self.kept = draft.kept;
        self.news |= draft.news;
        for slip in &draft.slips {
            self.schedule.put(slip);
        }
        Ok(())
    }

    /// Moves a value to `dead` as it is: a later version may read it, and nothing is dropped.
    pub(super) fn set_aside(
        &mut self,
        seq: Seq,
        bytes: &[u8],
        error: &value::Error,
        now: HostTime,
    ) -> Result<(), Error> {
        error!(seq = seq.0, %error, at = %now, "a waiting call cannot be read and was moved to the dead");
        let mut draft = self.draft();
        draft.change.remove(Tree::Outbox, &seq_key(seq));
        draft.change.put(Tree::Dead, &seq_key(seq), bytes);
        *draft.ledger.finals.entry(Phase::Dead).or_default() += 1;
        self.schedule.remove(seq);
        self.commit(draft)
    }

    /// Commits steps of calls, with their lines in the journal.
    pub(super) fn turn(
        &mut self,
        mut draft: Draft,
        turns: Vec<Turn>,
        mut loaded: BTreeMap<Seq, (Tree, Stored)>,
    ) -> Result<(), Error> {
        for turn in turns {
            let (was, mut stored) = loaded.remove(&turn.slip.seq).ok_or(Error::Absent(turn.slip.seq))?;
            draft.ledger.turn(&turn);
            let (from, to) = (turn.from, turn.slip.state.phase());
            let is = Tree::of(to);
            if was != is {
                draft.change.remove(was, &seq_key(turn.slip.seq));
                draft.kept += u64::from(is == Tree::History);
                draft.kept = draft.kept.saturating_sub(u64::from(was == Tree::History));
            }
            draft.news |= !waits(from) && waits(to);
            if stored.slip().owes() && !turn.slip.owes() {
                draft.change.remove(Tree::Ids, owing_key(turn.slip.seq).as_slice());
            }
            stored.set_slip(turn.slip);
            if is == Tree::History && self.spare {
                stored.strip();
            }
            self.ended.note(stored.slip().seq, from, to);
            self.note_turn(&stored, from)?;
            self.lay(&mut draft, &stored)?;
        }
        self.commit(draft)
    }

    /// A dead call stays open in the journal: it waits for a person, and shall not get lost.
    pub(super) fn note_turn(&mut self, stored: &Stored, from: Phase) -> Result<(), Error> {
        match &stored.slip().state {
            State::Sending { batch, since } => {
                let noted = self.journal.intend(&stored.id, *batch, *since);
                noted.map_err(|error| self.fail("a line has no JSON", error))
            }
            State::Sent { .. } if from == Phase::Sent => Ok(()),
            State::Skipped { .. } if from == Phase::Skipped => Ok(()),
            State::Sent { .. } | State::Unsorted { .. } | State::Skipped { .. } | State::Expired { .. } => {
                self.note_done(&stored.id)
            }
            State::Pending if from == Phase::Expired => self.note_enter(stored),
            // From here on the last intent says nothing: should the database forget this step, the
            // call need not be looked for.
            State::Pending | State::Parked { .. } => self.note_release(&stored.id),
            State::Unknown { .. } | State::Dead { .. } => Ok(()),
        }
    }

    pub(super) fn note_release(&mut self, id: &str) -> Result<(), Error> {
        self.journal.release(id).map_err(|error| self.fail("a line has no JSON", error))
    }

    /// A call that enters the journal with an outcome that is unknown stays one, whatever the database
    /// loses.
    pub(super) fn note_intent(&mut self, stored: &Stored) -> Result<(), Error> {
        let slip = stored.slip();
        let (batch, since) = match slip.state {
            State::Sending { batch, since } | State::Unknown { batch, since, .. } => (batch, since),
            // It is not known any more in which batch it was, and it is not sent blindly either.
            State::Dead { .. } if slip.attempts > 0 => (BatchId(0), slip.enqueued_at),
            State::Dead { .. }
            | State::Pending
            | State::Parked { .. }
            | State::Sent { .. }
            | State::Unsorted { .. }
            | State::Skipped { .. }
            | State::Expired { .. } => return Ok(()),
        };
        let noted = self.journal.intend(&stored.id, batch, since);
        noted.map_err(|error| self.fail("a line has no JSON", error))
    }

    /// Before days leave the journal: calls from them that are still open enter anew.
    pub(super) fn carry_over(&mut self) -> Result<(), Error> {
        let unread = |store: &Self, error| store.fail("the journal cannot be read", error);
        let Some(oldest) = self.journal.expires_before(self.now).map_err(|error| unread(self, error))? else {
            return Ok(());
        };
        let is_old = |at: HostTime| journal::day(at) <= oldest;
        let mut open: Vec<Seq> =
            self.schedule.enqueued().filter(|(_, at)| is_old(*at)).map(|(seq, _)| seq).collect();
        for entry in self.trees.iter(Tree::Dead) {
            let (key, bytes) = entry.map_err(|error| self.fail("the database cannot be read", error))?;
            let at = Head::decode(&bytes).map(|(_, head)| head.slip.enqueued_at);
            open.extend(seq_of(&key).filter(|_| at.is_ok_and(is_old)));
        }
        for seq in &open {
            // What cannot be read has no line in the journal either, or the start has found it there.
            let Ok(Some((_, stored))) = self.load(*seq) else { continue };
            self.note_enter(&stored)?;
            self.note_intent(&stored)?;
        }
        self.alive()
    }

    pub(super) fn note_enter(&mut self, stored: &Stored) -> Result<(), Error> {
        let Slip { seq, enqueued_at, .. } = *stored.slip();
        let noted = self.journal.enter(&stored.id, seq, enqueued_at, stored.raw_call());
        noted.map_err(|error| self.fail("a line has no JSON", error))
    }

    pub(super) fn note_done(&mut self, id: &str) -> Result<(), Error> {
        self.journal.done(id).map_err(|error| self.fail("a line has no JSON", error))
    }

    pub(super) fn lay(&self, draft: &mut Draft, stored: &Stored) -> Result<(), Error> {
        let bytes = stored.encode().map_err(|error| self.fail("a call has no JSON", error))?;
        let tree = Tree::of(stored.slip().state.phase());
        if stored.slip().owes() {
            draft.change.put(Tree::Ids, owing_key(stored.slip().seq), Vec::new());
        }
        draft.change.put(tree, &seq_key(stored.slip().seq), bytes);
        draft.slips.push(stored.slip().clone());
        Ok(())
    }
}

/// The entries of `ids` for one call.
pub(super) fn id_entries(record: &CallRecord, seq: Seq) -> Vec<(Vec<u8>, Vec<u8>)> {
    let channels =
        record.uniqueids.iter().map(|uniqueid| (uniqueid_key(&record.pbx, uniqueid, seq), Vec::new()));
    let numbers = [&record.phone, &record.phone_e164, &record.phone_raw].into_iter().flatten();
    let mut numbers: Vec<_> = numbers.map(|number| (number_key(number, seq), Vec::new())).collect();
    numbers.dedup();
    channels.chain(numbers).chain([(call_key(&record.call_id), seq_key(seq).to_vec())]).collect()
}
