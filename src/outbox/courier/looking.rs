//! Pure: what a search for calls whose outcome is unknown says of them.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use crate::amo::calls;
use crate::amo::notes::Note;
use crate::amo::who::Who;
use crate::outbox::courier::effect::{Now, ReadBack, Ruling, Unread};
use crate::outbox::courier::standing::Signal;
use crate::outbox::courier::step::Step;
use crate::outbox::courier::{Courier, bookings};
use crate::outbox::errand::Kind;
use crate::outbox::policy;
use crate::outbox::queue::Item;
use crate::outbox::{schedule, sound};
use crate::time::HostTime;

impl Courier {
    pub(super) fn looked(&mut self, found: ReadBack, now: Now) {
        let Step::ReadBack { items, begun } = mem::take(&mut self.step) else { return };
        let unread = match found.read(&self.rules.delivery) {
            Ok(notes) => {
                self.reads.answered(Kind::Post);
                if !notes.is_empty() {
                    self.health.found();
                }
                let who: Vec<Who> = items.iter().map(|item| self.booked(item, now)).collect();
                let rulings = self.search(&items, &who, &notes, begun);
                let heard = items.iter().zip(&who).zip(&rulings);
                self.heed_all(heard.map(|((item, who), ruling)| (item, who, ruling)), now);
                self.step = Step::Settle { rulings, together: true };
                return;
            }
            Err(unread) => unread,
        };
        let Unread { words, pause, signal } = self.not_read(Kind::Post, unread);
        let settled = |item| Ruling::new(item, policy::after_failed_look(item, &words, pause, now.host));
        self.step = Step::Settle { rulings: items.iter().map(settled).collect(), together: true };
        if let Some(signal) = signal {
            self.learn(signal, now);
        }
    }

    /// What follows for calls from what could not be read for them.
    pub(super) fn not_read(&mut self, kind: Kind, unread: Unread) -> Unread {
        // A call that lands meanwhile speaks for calls, and not for what was asked.
        if matches!(unread.signal, Some(Signal::Hold(..))) {
            self.health.ask_first();
        }
        self.reads.unread(kind, unread)
    }

    /// On whom a call was booked whose outcome is unknown, as far as that was kept.
    fn booked(&self, item: &Item, now: Now) -> Who {
        item.errand.named().cloned().unwrap_or_else(|| self.teller(now).who(item))
    }

    fn search(
        &mut self,
        items: &[Item],
        who: &[Who],
        notes: &BTreeMap<String, Note>,
        begun: HostTime,
    ) -> Vec<Ruling> {
        let rules = Arc::clone(&self.rules);
        let timeout = rules.amo.request_timeout.duration();
        let mut rulings = Vec::with_capacity(items.len());
        for (item, who) in items.iter().zip(who) {
            let note = notes.get(&calls::uniq(&item.call.record));
            let refusals = self.refusals.in_a_row(item.seq);
            let jitter = self.jitter.draw();
            let settled = policy::after_look(&rules.delivery, item, note, refusals, timeout, begun, jitter);
            if !schedule::waits(settled.state.phase()) {
                self.refusals.forget(item.seq);
            }
            self.manners.settled(item.seq, settled.state.phase(), begun);
            let settled = sound::delivered(item, settled, &rules.amo, begun);
            rulings.push(Ruling::new(item, bookings::booked(item, who, settled, &rules.amo)));
        }
        rulings
    }
}
