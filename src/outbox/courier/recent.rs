//! Pure: what was made in amoCRM a moment ago, or perhaps, and is not listed yet.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::outbox::courier::Rules;
use crate::outbox::courier::errand::grounds;
use crate::outbox::errand::Make;
use crate::outbox::policy;
use crate::outbox::queue::{Item, Settlement, State};
use crate::outbox::unknown::{self, Fresh};
use crate::time::HostTime;

/// What is known of numbers beyond what amoCRM lists.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Items were made for them a moment ago.
    fresh: BTreeMap<String, Fresh>,
    /// Something was posted for them without a clear answer: it may be there at any moment, so nothing
    /// is made for another call until that is settled. After this, the call may be gone.
    doubts: BTreeMap<String, HostTime>,
    /// A contact or a lead was made for them: when amoCRM lists it for sure.
    listed: BTreeMap<String, HostTime>,
}

/// A doubt is renewed by every look for what was posted; they are an hour apart at most.
const DOUBT: Duration = Duration::from_hours(2);

/// Items that are remembered: more than are made while the list lags.
const RECENT_MAX: usize = 1000;

impl Recent {
    /// The item that was made for this number a moment ago.
    pub(super) fn fresh(&self, number: &str) -> Option<&Fresh> {
        self.fresh.get(number)
    }

    pub(super) fn made(&mut self, make: Make, number: String, name: &str, rules: &Rules, at: HostTime) {
        match make {
            Make::Unsorted => {
                if self.fresh.len() >= RECENT_MAX {
                    let oldest = self.fresh.iter().min_by_key(|(_, fresh)| fresh.at);
                    let oldest = oldest.map(|(number, _)| number.clone());
                    oldest.and_then(|number| self.fresh.remove(&number));
                }
                self.fresh.insert(number, Fresh { uid: name.to_owned(), at });
            }
            Make::Contact | Make::Lead => {
                self.listed.retain(|_, until| at < *until);
                self.listed.insert(number, at.after(rules.delivery.note_lag.duration()));
            }
        }
    }

    /// Keeps what a ruling leaves in doubt, and forgets what it settles.
    pub(super) fn heed(&mut self, item: &Item, settled: &Settlement, now: HostTime) {
        if matches!(settled.state, State::Unknown { .. }) && settled.errand.make.is_some() {
            self.doubt(item, now);
        } else {
            self.doubts.remove(&unknown::number(&item.call.record));
        }
    }

    pub(super) fn doubt(&mut self, item: &Item, now: HostTime) {
        self.doubts.retain(|_, until| now < *until);
        self.doubts.insert(unknown::number(&item.call.record), now.after(DOUBT));
    }

    /// Holds a call back for whose number something may be there that amoCRM does not list yet, because
    /// of another one.
    pub(super) fn hold(&self, item: &Item, rules: &Rules, now: HostTime) -> Option<Settlement> {
        const DOUBTFUL: &str = "what was posted for another call of this number had no clear answer";
        const FRESH: &str =
            "its contact was made for another call a moment ago, and amoCRM may not list it yet";
        let number = unknown::number(&item.call.record);
        let held = |words, pause| Some(unknown::after_failed_look(grounds(rules), item, words, pause, now));
        if self.doubts.get(&number).is_some_and(|until| now < *until) {
            return held(DOUBTFUL, policy::first_look(&rules.delivery));
        }
        // The call that has a contact gets its lead at once.
        let listed =
            self.listed.get(&number).filter(|until| now < **until && item.errand.contact.is_none())?;
        held(FRESH, listed.since(now))
    }
}
