//! Pure: what is asked and done beside the calls, one thing at a time: who works there, whose a number
//! is, and the tasks to call back. No call waits for it longer than [`OWNER_WAIT_MAX`].
//!
//! [`OWNER_WAIT_MAX`]: crate::outbox::courier::bookings::OWNER_WAIT_MAX

use crate::amo::answer::Account;
use crate::amo::tasks::{Closed, Open};
use crate::amo::users::Roster;
use crate::amo::who::Who;
use crate::outbox::courier::callbacks::Surroundings;
use crate::outbox::courier::complaint::Complaint;
use crate::outbox::courier::effect::{Created, Effect, Now, ReadBack, Ruling};
use crate::outbox::courier::standing::{Hold, Signal};
use crate::outbox::courier::step::Step;
use crate::outbox::courier::{Courier, REST_MIN};
use crate::outbox::queue::Item;
use crate::time::MonoTime;

/// One thing that is asked or done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Question {
    /// The account's users.
    Users,
    /// Whose contact or company has this number?
    Owner { number: String },
    /// Whose is the entity of this number's task? Its kind is in the plural.
    OwnerOf { number: String, kind: &'static str, id: u64 },
    /// The open tasks of this entity.
    Open { number: String, kind: &'static str, id: u64 },
    /// Make the task of this number. Its intent is durable.
    Make { number: String, body: Vec<u8> },
    /// Close the task of this number.
    Close { number: String, task: u64, body: Vec<u8> },
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Told {
    Users(ReadBack<Roster>),
    Owner { number: String, found: ReadBack<Option<u64>> },
    OwnerOf { number: String, found: ReadBack<Option<u64>> },
    Open { number: String, found: ReadBack<Vec<Open>> },
    Made { number: String, created: Created },
    Closed { number: String, closed: Closed },
}

/// How the questions beside the calls fare.
#[derive(Debug, Default)]
pub(super) struct Asides {
    /// One is out.
    pub is_out: bool,
    /// None is given out before.
    paused_until: MonoTime,
    /// Those in a row that had no answer.
    failures: u32,
}

impl Courier {
    /// Takes in the rows of tasks that were kept, before the first poll; returns the keys of those that
    /// cannot be read.
    pub fn recall_tasks(&mut self, kept: Vec<(String, Vec<u8>)>) -> Vec<String> {
        self.callbacks.recall(kept)
    }

    /// What people are to be told of users, owners and tasks; each is told once.
    pub fn complaints(&mut self) -> Vec<Complaint> {
        self.bookings.complaints()
    }

    /// Remembers what follows from calls that came to their end, and on whom they are booked.
    pub(super) fn heed_all<'c>(
        &mut self,
        calls: impl Iterator<Item = (&'c Item, &'c Who, &'c Ruling)>,
        now: Now,
    ) {
        for (item, who, ruling) in calls {
            if let Some(complaint) = self.callbacks.heed(item, &ruling.settlement, who, &self.rules, now) {
                self.bookings.complain(complaint);
            }
        }
    }

    /// What is to be asked now, if anything is.
    pub(super) fn aside(&mut self, now: Now) -> Option<Effect> {
        if self.asides.is_out || self.winding_down || now.mono < self.asides.paused_until {
            return None;
        }
        let settings = &self.rules.amo;
        let question = self.bookings.question(settings, now.mono).or_else(|| {
            let around = Surroundings { rules: &self.rules, bookings: &self.bookings, drained: self.drained };
            self.callbacks.question(&around, now)
        })?;
        self.asides.is_out = true;
        Some(Effect::Ask(question))
    }

    /// When there may be something to ask, for the rest.
    pub(super) fn aside_due(&self, until: MonoTime, now: Now) -> MonoTime {
        let due = self.callbacks.due().filter(|_| !self.asides.is_out);
        let least = self.asides.paused_until.max(now.mono.after(REST_MIN));
        due.map_or(until, |due| due.max(least).min(until))
    }

    /// Takes in what came of the question.
    pub(super) fn told(&mut self, told: Told, now: Now) {
        self.asides.is_out = false;
        let signal = match told {
            Told::Users(read) => self.bookings.users(read, &self.rules.amo, now.mono),
            Told::Owner { number, found } => self.bookings.owner_told(number, &found, now.mono),
            other @ (Told::OwnerOf { .. } | Told::Open { .. } | Told::Made { .. } | Told::Closed { .. }) => {
                let jitter = self.jitter.draw();
                self.callbacks.told(other, &self.rules, &mut self.bookings, jitter, now)
            }
        };
        match signal {
            Some(Signal::Trouble(_)) => self.pause_asides(now),
            Some(signal @ (Signal::Works | Signal::Slow | Signal::Hold(..))) => self.learn(signal, now),
            None => self.asides.failures = 0,
        }
        if matches!(self.step, Step::Rest(_)) {
            self.step = Step::Begin;
        }
    }
}

impl Courier {
    /// That a question had no answer pauses questions only: calls find out by themselves whether they can
    /// be posted.
    fn pause_asides(&mut self, now: Now) {
        let pause = self.rules.delivery.retry_delay(self.asides.failures, self.jitter.draw());
        self.asides.failures = self.asides.failures.saturating_add(1);
        self.asides.paused_until = now.mono.after(pause);
    }
}

/// What an unanswered question says of the account; nothing, where it is about what was asked for.
pub(super) fn signal<T>(read: &ReadBack<T>) -> Option<Signal> {
    match read {
        ReadBack::Complete(_) | ReadBack::Unreadable(_) => None,
        ReadBack::Refused { account, words } => Some(Signal::of(*account, words.clone())),
        ReadBack::Silent(words) => Some(Signal::Trouble(words.clone())),
        ReadBack::NoToken(words) => Some(Signal::Hold(Hold::Unauthorized, words.clone())),
    }
}

/// What was said, where nothing was read.
pub(super) fn words<T>(read: &ReadBack<T>) -> &str {
    match read {
        ReadBack::Complete(_) => "",
        ReadBack::Refused { words, .. }
        | ReadBack::Unreadable(words)
        | ReadBack::Silent(words)
        | ReadBack::NoToken(words) => words,
    }
}

/// Whether the gateway answered in amoCRM's place: perhaps a ban, perhaps its way of refusing this.
pub(super) fn is_banned<T>(read: &ReadBack<T>) -> bool {
    matches!(read, ReadBack::Refused { account: Account::Banned, .. })
}
