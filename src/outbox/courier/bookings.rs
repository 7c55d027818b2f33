//! Pure: on whom calls are booked: what is known of users and owners, and what amoCRM refused.
//!
//! All of it is learned anew after a restart. A call that wants its entity's owner waits for him beside
//! the others: it is leased, put off for [`OWNER_PAUSE`] and leased again, [`OWNER_WAIT_MAX`] long.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::amo::settings::Settings;
use crate::amo::users::{Roster, Sight};
use crate::amo::who::{self, Blame, Grounds, Refused, Who};
use crate::outbox::courier::aside::{Question, signal};
use crate::outbox::courier::brake::{Brakes, Kind};
use crate::outbox::courier::complaint::Complaint;
use crate::outbox::courier::effect::ReadBack;
use crate::outbox::courier::standing::Signal;
use crate::outbox::errand::Make;
use crate::outbox::queue::{Item, Seq, Settlement, State};
use crate::outbox::unknown;
use crate::time::{HostTime, MonoTime};

/// What is known of users and owners.
#[derive(Debug, Default)]
pub(super) struct Bookings {
    roster: Option<Roster>,
    roster_due: MonoTime,
    refused: Refused,
    refused_since: MonoTime,
    /// Owners by number, and until when that counts.
    owners: BTreeMap<String, (Owner, MonoTime)>,
    /// Numbers whose owner is to be asked for, and since when.
    wanted: VecDeque<(String, MonoTime)>,
    /// Calls that wait for an owner, and since when.
    waits: BTreeMap<Seq, MonoTime>,
    complaints: Vec<Complaint>,
    told: BTreeSet<Complaint>,
}

/// Whose something is, once that is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Owner(pub Option<u64>);

/// How often users are read, and how long a refusal of theirs counts.
const ROSTER_EVERY: Duration = Duration::from_hours(24);
/// How soon users are asked for again that there was no answer for.
const ROSTER_AGAIN: Duration = Duration::from_mins(10);
/// How long an owner counts: a contact changes hands seldom, and a caller calls again soon.
const OWNER_KEPT: Duration = Duration::from_mins(10);
/// How long a question that had no answer is not repeated.
const OWNER_UNSAID: Duration = Duration::from_secs(30);
/// Owners that are remembered: more numbers than call in vain in ten minutes.
const OWNERS_MAX: usize = 1000;
/// How long a call that waits for an owner is put off.
const OWNER_PAUSE: Duration = Duration::from_secs(1);
/// Longest that one call waits for an owner: it is then booked as without him.
pub const OWNER_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long it is remembered that a call has waited: longer than any recording is waited for.
const WAITED_MAX: Duration = Duration::from_hours(1);
/// Calls of which that is remembered; others do not wait.
const WAITS_MAX: usize = 10_000;
/// Complaints that are remembered, so that each is told once: amoCRM may have other words every time.
const TOLD_MAX: usize = 1000;
/// How long a number stays on the list that no call waits for any more.
const WANTED_MAX: Duration = Duration::from_mins(1);

impl Bookings {
    pub fn who(&self, item: &Item, settings: &Settings, now: MonoTime) -> Who {
        let (record, errand) = (&item.call.record, &item.errand);
        let owner = || self.owner(&unknown::number(record), now)?.0;
        let grounds = Grounds {
            refused_here: &errand.refused_users,
            text_refused_here: errand.refused_text,
            owner: if who::wants_owner(record) { owner() } else { None },
            ..self.grounds()
        };
        who::choose(record, settings, &grounds)
    }

    /// What is known of everybody.
    pub fn grounds(&self) -> Grounds<'_> {
        Grounds { roster: self.roster.as_ref(), refused: Some(&self.refused), ..Grounds::default() }
    }

    /// Other users were configured: they may be newer than the list. Another text may be taken.
    pub fn reconfigured(&mut self, before: &Settings, after: &Settings) {
        let named = |settings: &Settings| {
            let Settings { users, default_user, callback_task, .. } = settings.clone();
            (users, default_user, callback_task.responsible)
        };
        let told = |settings: &Settings| {
            let Settings { unmapped, extension_text, names, language, .. } = settings.clone();
            (unmapped, extension_text, names, language)
        };
        if told(before) != told(after) {
            self.refused.text = false;
            self.told.remove(&Complaint::RefusedText);
        }
        if named(before) != named(after) {
            self.roster = None;
            self.roster_due = MonoTime::default();
            self.refused = Refused::default();
            self.told.clear();
        }
    }

    /// amoCRM refused somebody, or a text.
    pub fn refuse(&mut self, blame: Blame, now: MonoTime) {
        if self.refused == Refused::default() {
            self.refused_since = now;
        }
        let complaint = match blame {
            Blame::User(user) => {
                self.refused.users.insert(user);
                Complaint::RefusedUser(user)
            }
            Blame::Text => {
                self.refused.text = true;
                Complaint::RefusedText
            }
        };
        self.complain(complaint);
    }

    pub fn refuse_all(&mut self, blames: &[Blame], now: MonoTime) {
        for blame in blames {
            self.refuse(*blame, now);
        }
    }

    /// Whether a call has to wait for its owner; it is asked for then.
    pub fn awaits_owner(&mut self, item: &Item, brakes: &Brakes, now: MonoTime) -> bool {
        let is_late = brakes.opens_at(Kind::Owners) >= now.after(OWNER_WAIT_MAX);
        if !who::wants_owner(&item.call.record) || is_late {
            return false;
        }
        let number = unknown::number(&item.call.record);
        if !self.has_room(item.seq, now) {
            return false;
        }
        let since = *self.waits.entry(item.seq).or_insert(now);
        let is_over = now.since(since) >= OWNER_WAIT_MAX;
        // That it has waited is remembered: it may wait for a recording next, and comes back.
        if number.is_empty() || self.owner(&number, now).is_some() || is_over {
            return false;
        }
        if self.wanted.iter().all(|(wanted, _)| *wanted != number) {
            self.wanted.push_back((number, now));
        }
        true
    }

    /// Whether the call's wait can be remembered; without that it would never end. Waits that are over make
    /// room.
    fn has_room(&mut self, seq: Seq, now: MonoTime) -> bool {
        if self.waits.len() >= WAITS_MAX && !self.waits.contains_key(&seq) {
            self.waits.retain(|_, since| now.since(*since) < WANTED_MAX);
        }
        self.waits.len() < WAITS_MAX || self.waits.contains_key(&seq)
    }

    /// What is to be asked now.
    pub fn question(&mut self, settings: &Settings, brakes: &Brakes, now: MonoTime) -> Option<Question> {
        self.forget(now);
        let names_anybody = settings.named_users().next().is_some();
        if names_anybody && now >= self.roster_due && brakes.lets(Kind::Users, now) {
            return Some(Question::Users);
        }
        if !brakes.lets(Kind::Owners, now) {
            return None;
        }
        while let Some((number, _)) = self.wanted.pop_front() {
            if self.owner(&number, now).is_none() {
                return Some(Question::Owner { number });
            }
        }
        None
    }

    /// Takes in the users.
    pub fn users(&mut self, read: ReadBack<Roster>, settings: &Settings, now: MonoTime) -> Option<Signal> {
        let signal = signal(&read);
        let is_read = matches!(read, ReadBack::Complete(_));
        self.roster_due = now.after(if is_read { ROSTER_EVERY } else { ROSTER_AGAIN });
        let ReadBack::Complete(roster) = read else { return signal };
        let bad = settings
            .named_users()
            .filter_map(|(place, user)| Complaint::of(place, user, roster.standing(user)));
        bad.for_each(|complaint| self.complain(complaint));
        match roster.sight() {
            Sight::Part => self.complain(Complaint::SeesPart),
            Sight::All | Sight::Unsaid => {}
        }
        self.roster = Some(roster);
        None
    }

    /// Takes in whose a number is.
    pub fn owner_told(
        &mut self,
        number: String,
        found: &ReadBack<Option<u64>>,
        now: MonoTime,
    ) -> Option<Signal> {
        let signal = signal(found);
        let (owner, kept) = match found {
            ReadBack::Complete(owner) => (*owner, OWNER_KEPT),
            // Once may be a chance.
            ReadBack::Unreadable(_)
            | ReadBack::Refused { .. }
            | ReadBack::Silent(_)
            | ReadBack::NoToken(_) => (None, OWNER_UNSAID),
        };
        if self.owners.len() >= OWNERS_MAX {
            let oldest = self.owners.iter().min_by_key(|(_, (_, until))| *until);
            let oldest = oldest.map(|(number, _)| number.clone());
            oldest.and_then(|number| self.owners.remove(&number));
        }
        self.owners.insert(number, (Owner(owner), now.after(kept)));
        signal
    }

    /// What nobody was told yet.
    pub fn complaints(&mut self) -> Vec<Complaint> {
        std::mem::take(&mut self.complaints)
    }

    pub fn complain(&mut self, complaint: Complaint) {
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        if self.told.insert(complaint.clone()) {
            self.complaints.push(complaint);
        }
    }

    /// What was off is not any more: should it be once again, that is news.
    pub fn mended(&mut self, kind: Kind) {
        self.told.retain(|complaint| complaint.kind() != Some(kind));
    }

    /// As [`mended`](Self::mended), of what is made for unknown numbers.
    pub fn makes_again(&mut self, make: Make) {
        self.told.retain(|told| !matches!(told, Complaint::MakesOff(made, _) if *made == make));
    }

    /// The owner of a number, or nobody; `None` while that is not known.
    fn owner(&self, number: &str, now: MonoTime) -> Option<Owner> {
        self.owners.get(number).filter(|(_, until)| now < *until).map(|(owner, _)| *owner)
    }

    fn forget(&mut self, now: MonoTime) {
        self.owners.retain(|_, (_, until)| now < *until);
        self.wanted.retain(|(_, since)| now.since(*since) < WANTED_MAX);
        self.waits.retain(|_, since| now.since(*since) < WAITED_MAX);
        if self.refused != Refused::default() && now.since(self.refused_since) >= ROSTER_EVERY {
            self.refused = Refused::default();
        }
    }
}

/// Remembers on whom a call is booked that was stored, or may have been, where the configuration does not
/// say it.
pub(super) fn booked(item: &Item, who: &Who, mut settled: Settlement, settings: &Settings) -> Settlement {
    let may_be_sent = matches!(settled.state, State::Sent { .. } | State::Unknown { .. });
    if may_be_sent {
        let is_other = who::configured(&item.call.record, settings) != *who;
        settled.errand.booked = is_other.then(|| who.clone());
    }
    settled
}

/// Puts a call off that waits for its owner; nothing else changes.
pub(super) fn put_off(item: &Item, now: HostTime) -> Settlement {
    Settlement {
        seq: item.seq,
        state: item.state.clone(),
        next_at: now.after(OWNER_PAUSE),
        last_error: item.last_error.clone(),
        attempted: false,
        errand: item.errand.clone(),
    }
}

/// Sends a call again at once, without what amoCRM refused of it.
pub(super) fn without(item: &Item, blame: Blame, words: String, now: HostTime) -> Settlement {
    Settlement {
        seq: item.seq,
        state: State::Pending,
        next_at: now,
        last_error: Some(words),
        attempted: true,
        errand: item.errand.without(blame),
    }
}

#[cfg(test)]
mod tests;
