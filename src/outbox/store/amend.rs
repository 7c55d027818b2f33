//! Calls that are held back for a while, because somebody may still know better what became of them.

use std::time::Duration;

use crate::call::record::FinishedCall;
use crate::outbox::queue::{Error, Seq, State};
use crate::outbox::store::draft::id_entries;
use crate::outbox::store::trees::Tree;
use crate::outbox::store::{Store, fit};
use crate::time::HostTime;

/// A courier may have a call in its hands that is due, or nearly so.
const NEARLY: Duration = Duration::from_secs(2);

impl Store {
    /// Puts `call` in the place of a call that is held back, and lets it go; whether it was.
    pub(super) fn amend(&mut self, seq: Seq, call: &FinishedCall, now: HostTime) -> Result<bool, Error> {
        self.begin(now)?;
        let Some((Tree::Outbox, mut stored)) = self.load(seq)? else { return Ok(false) };
        let mut slip = stored.slip().clone();
        let is_held = slip.state == State::Pending && slip.attempts == 0 && slip.next_at > now.after(NEARLY);
        if !is_held || stored.id != call.record.call_id.as_str() {
            return Ok(false);
        }
        slip.next_at = now;
        let call = fit::fit(call).map_err(|error| self.fail("a call has no JSON", error))?;
        let mut draft = self.draft();
        for (key, value) in id_entries(&call.call.record, seq) {
            draft.change.put(Tree::Ids, key, value);
        }
        stored.set_call(call);
        stored.set_slip(slip);
        draft.news = true;
        self.note_enter(&stored)?;
        self.lay(&mut draft, &stored)?;
        self.commit(draft)?;
        Ok(true)
    }
}
