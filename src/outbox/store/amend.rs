//! Calls that are held back for a while, because somebody may still know better what became of them; and
//! those that were not to be sent, and are by what he knows.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::call::id::PbxName;
use crate::call::record::{FinishedCall, Skip};
use crate::outbox::queue::{Error, Seq, State};
use crate::outbox::schedule::{Slip, Turn};
use crate::outbox::store::desk::CALLS_A_CHANGE;
use crate::outbox::store::draft::id_entries;
use crate::outbox::store::trees::{Tree, seq_key};
use crate::outbox::store::{Store, fit};
use crate::time::HostTime;

/// A courier may have a call in its hands that is due, or nearly so.
const NEARLY: Duration = Duration::from_secs(2);

impl Store {
    /// As [`Handle::tell_anew`](crate::outbox::store::handle::Handle::tell_anew).
    ///
    /// # Errors
    /// When the store failed.
    pub fn tell_anew(&mut self, seq: Seq, call: &FinishedCall, now: HostTime) -> Result<bool, Error> {
        let is_told = self.amend(seq, call, now)?;
        self.persist()?;
        Ok(is_told)
    }

    /// Puts `call` in the place of a call that is held back, or of one that was not to be sent though `call`
    /// is, and lets it go; whether it did.
    pub(super) fn amend(&mut self, seq: Seq, call: &FinishedCall, now: HostTime) -> Result<bool, Error> {
        self.begin(now)?;
        let Some((tree, mut stored)) = self.load(seq)? else { return Ok(false) };
        let mut slip = stored.slip().clone();
        let from = slip.state.phase();
        let is_meant = match (tree, &slip.state) {
            (Tree::Outbox, State::Pending) => slip.next_at > now.after(NEARLY),
            // It is not sent, whatever is known of it now, and compared by that.
            (Tree::History, State::Skipped { reason: Skip::Shadow, .. }) => true,
            (Tree::History, State::Skipped { .. }) => {
                matches!(call.record.skip, None | Some(Skip::Shadow))
            }
            _ => false,
        };
        if !is_meant
            || stored.is_forgotten()
            || slip.attempts > 0
            || stored.id != call.record.call_id.as_str()
        {
            return Ok(false);
        }
        let is_skipped = matches!(slip.state, State::Skipped { .. });
        let was_shadowed = matches!(slip.state, State::Skipped { reason: Skip::Shadow, .. });
        let is_shadowed = was_shadowed || (is_skipped && call.record.skip == Some(Skip::Shadow));
        slip.state =
            if is_shadowed { State::Skipped { reason: Skip::Shadow, at: now } } else { State::Pending };
        slip.next_at = now;
        // Its trunk may be another account's.
        slip.account.clone_from(&call.record.account);
        // What the hook decided was of another call.
        slip.hooked = false;
        let call = fit::fit(call).map_err(|error| self.fail("a call has no JSON", error))?;
        let mut draft = self.draft();
        if tree == Tree::History && !is_shadowed {
            draft.change.remove(Tree::History, &seq_key(seq));
            draft.kept = draft.kept.saturating_sub(1);
            draft.ledger.turn(&Turn { from, slip: slip.clone() });
        }
        for (key, value) in id_entries(&call.call.record, seq) {
            draft.change.put(Tree::Ids, key, value);
        }
        stored.set_call(call);
        stored.set_slip(slip);
        if !is_shadowed {
            draft.news = true;
            self.note_enter(&stored)?;
        }
        self.lay(&mut draft, &stored)?;
        self.commit(draft)?;
        Ok(true)
    }

    /// Holds calls of `pbx` back until `until` at least that were held back before and went out to nobody; returns
    /// how many.
    pub(super) fn hold_again(
        &mut self,
        pbx: &PbxName,
        until: HostTime,
        now: HostTime,
    ) -> Result<usize, Error> {
        self.put_off(pbx, now, |slip| (slip.next_at < until).then_some(until))
    }

    /// Lets calls of `pbx` go that [`Self::hold_again`] held back, but for those that came less than `hold` ago;
    /// returns how many.
    pub(super) fn let_go(&mut self, pbx: &PbxName, hold: Duration, now: HostTime) -> Result<usize, Error> {
        self.put_off(pbx, now, |slip| {
            (slip.next_at > now && now.since(slip.enqueued_at) >= hold).then_some(now)
        })
    }

    fn put_off(
        &mut self,
        pbx: &PbxName,
        now: HostTime,
        to: impl Fn(&Slip) -> Option<HostTime>,
    ) -> Result<usize, Error> {
        self.begin(now)?;
        let mut count = 0;
        for seqs in self.schedule.put_off(pbx).chunks(CALLS_A_CHANGE) {
            let (mut turns, mut loaded) = (Vec::new(), BTreeMap::new());
            for &seq in seqs {
                // One that cannot be read holds nobody up: who sends it moves it aside.
                let Ok(Some((tree, stored))) = self.load(seq) else { continue };
                let slip = stored.slip();
                let is_cut = || stored.call().is_ok_and(|call| call.record.is_cut());
                let is_held = slip.state == State::Pending && slip.attempts == 0 && slip.last_error.is_none();
                let Some(next_at) = to(slip).filter(|_| is_held && is_cut()) else { continue };
                turns.push(Turn { from: slip.state.phase(), slip: Slip { next_at, ..slip.clone() } });
                loaded.insert(seq, (tree, stored));
            }
            if turns.is_empty() {
                continue;
            }
            count += turns.len();
            let mut draft = self.draft();
            draft.news = true;
            self.turn(draft, turns, loaded)?;
        }
        Ok(count)
    }
}
