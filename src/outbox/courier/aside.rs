//! Pure: what is asked and done beside the calls, one thing at a time: who works there, whose a number
//! is, and the tasks to call back. No call waits for it longer than [`OWNER_WAIT_MAX`].
//!
//! [`OWNER_WAIT_MAX`]: crate::outbox::courier::bookings::OWNER_WAIT_MAX

use crate::amo::feed::FeedNote;
use crate::amo::notes::{self, Window};
use crate::amo::tasks::{Closed, Open};
use crate::amo::users::Roster;
use crate::amo::who::Who;
use crate::outbox::callback::Ended;
use crate::outbox::courier::brake::{Brakes, Kind};
use crate::outbox::courier::callbacks::Surroundings;
use crate::outbox::courier::complaint::Complaint;
use crate::outbox::courier::effect::{Created, Effect, Now, ReadBack, Ruling};
use crate::outbox::courier::standing::{Hold, Signal};
use crate::outbox::courier::step::Step;
use crate::outbox::courier::watch::Delivered;
use crate::outbox::courier::{Courier, REST_MIN};
use crate::outbox::queue::Item;
use crate::time::{HostTime, MonoTime};

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
    /// Was there a talk with this number that ended later? The outbox knows.
    Talked { number: String, since: Ended },
    /// Make the task of this number. Its intent is durable.
    Make { number: String, body: Vec<u8> },
    /// The call notes of this time on entities of these kinds, the first of them.
    Foreign { kinds: Vec<notes::Kind>, window: Window },
    /// Close the task of this number.
    Close { number: String, task: u64, body: Vec<u8> },
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Told {
    Users(ReadBack<Roster>),
    Owner {
        number: String,
        found: ReadBack<Option<u64>>,
    },
    OwnerOf {
        number: String,
        found: ReadBack<Option<u64>>,
    },
    Open {
        number: String,
        found: ReadBack<Vec<Open>>,
    },
    /// Nothing, where the store failed.
    Talked {
        number: String,
        since: Ended,
        found: Option<bool>,
    },
    Made {
        number: String,
        created: Created,
    },
    Closed {
        number: String,
        closed: Closed,
    },
    Foreign(ReadBack<Vec<FeedNote>>),
}

/// How the questions beside the calls fare.
#[derive(Debug, Default)]
pub(super) struct Asides {
    /// One is out.
    pub is_out: bool,
    /// When something was refused in a way that keeps no call waiting: the next POST that leaves tells why, or, where no
    /// call is due, a harmless question.
    pub doubted_at: Option<HostTime>,
    pub brakes: Brakes,
}

impl Question {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Users => Kind::Users,
            Self::Owner { .. } => Kind::Owners,
            Self::OwnerOf { .. } => Kind::TaskOwners,
            Self::Open { .. } | Self::Talked { .. } | Self::Make { .. } | Self::Close { .. } => Kind::Tasks,
            Self::Foreign { .. } => Kind::Foreign,
        }
    }
}

impl Told {
    const fn kind(&self) -> Kind {
        match self {
            Self::Users(_) => Kind::Users,
            Self::Owner { .. } => Kind::Owners,
            Self::OwnerOf { .. } => Kind::TaskOwners,
            Self::Open { .. } | Self::Talked { .. } | Self::Made { .. } | Self::Closed { .. } => Kind::Tasks,
            Self::Foreign(_) => Kind::Foreign,
        }
    }

    /// What amoCRM said, where it answers other questions and not this one.
    fn unreadable(&self) -> Option<String> {
        fn of<T>(read: &ReadBack<T>) -> Option<String> {
            if let ReadBack::Unreadable(words) = read { Some(words.clone()) } else { None }
        }
        match self {
            Self::Users(read) => of(read),
            Self::Owner { found, .. } | Self::OwnerOf { found, .. } => of(found),
            Self::Open { found, .. } => of(found),
            Self::Foreign(read) => of(read),
            Self::Talked { .. } | Self::Made { .. } | Self::Closed { .. } => None,
        }
    }
}

impl Courier {
    /// Takes in the rows of tasks that were kept, before the first poll; returns the keys of those that
    /// cannot be read.
    pub fn recall_tasks(&mut self, kept: Vec<(String, Vec<u8>)>) -> Vec<String> {
        self.callbacks.recall(kept)
    }

    /// A person had a number forgotten: nothing that is noted of it here comes back.
    pub fn forget_number(&mut self, number: &str) {
        self.callbacks.forget_number(number);
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
            if let Some(delivered) = Delivered::of(item, &ruling.settlement, &self.teller(now)) {
                self.watch.heed(delivered);
            }
            if let Some(complaint) = self.callbacks.heed(item, &ruling.settlement, who, &self.rules, now) {
                self.bookings.complain(complaint);
            }
        }
    }

    /// What is to be asked now, if anything is.
    pub(super) fn aside(&mut self, now: Now) -> Option<Effect> {
        if self.asides.is_out || self.winding_down {
            return None;
        }
        let (settings, brakes) = (&self.rules.amo, &self.asides.brakes);
        let question = self.bookings.question(settings, brakes, now.mono).or_else(|| {
            let (rules, bookings, drained) = (&self.rules, &self.bookings, self.drained);
            let around = Surroundings { rules, bookings, brakes, drained };
            brakes.lets(Kind::Tasks, now.mono).then(|| self.callbacks.question(&around, now)).flatten()
        });
        let lets = brakes.lets(Kind::Foreign, now.mono);
        let question = question.or_else(|| lets.then(|| self.watch.question(settings, now)).flatten())?;
        self.asides.is_out = true;
        Some(Effect::Ask(question))
    }

    /// When there may be something to ask, for the rest.
    pub(super) fn aside_due(&self, until: MonoTime, now: Now) -> MonoTime {
        if self.watch.owes() {
            return now.mono; // what was found while the desk was busy is kept at once
        }
        let due = self.callbacks.due().filter(|_| !self.asides.is_out);
        let least = self.asides.brakes.opens_at(Kind::Tasks).max(now.mono.after(REST_MIN));
        let until = due.map_or(until, |due| due.max(least).min(until));
        let look = self.watch.due(&self.rules.amo, now).filter(|_| !self.asides.is_out);
        let least = self.asides.brakes.opens_at(Kind::Foreign).max(now.mono.after(REST_MIN));
        look.map_or(until, |due| due.max(least).min(until))
    }

    /// Takes in what came of the question.
    pub(super) fn told(&mut self, told: Told, now: Now) {
        self.asides.is_out = false;
        if matches!(self.step, Step::Rest(_)) {
            self.step = Step::Begin;
        }
        if let Told::Talked { number, since, found } = told {
            let jitter = self.jitter.draw();
            return self.callbacks.talked(&number, since, found, &self.rules, jitter, now);
        }
        let (kind, unreadable) = (told.kind(), told.unreadable());
        let signal = match told {
            Told::Users(read) => self.bookings.users(read, &self.rules.amo, now.mono),
            Told::Foreign(read) => self.watch.told(read, &self.rules.amo, now),
            Told::Owner { number, found } => self.bookings.owner_told(number, &found, now.mono),
            other @ (Told::OwnerOf { .. }
            | Told::Open { .. }
            | Told::Talked { .. }
            | Told::Made { .. }
            | Told::Closed { .. }) => {
                let jitter = self.jitter.draw();
                self.callbacks.told(other, &self.rules, &mut self.bookings, jitter, now)
            }
        };
        match (signal, unreadable) {
            (Some(Signal::Trouble(_)), _) => {
                let jitter = self.jitter.draw();
                self.asides.brakes.fails(kind, &self.rules.delivery, jitter, now.mono);
            }
            (Some(Signal::Hold(why, words)), _) => self.refused_aside(kind, why, words, now),
            (Some(Signal::Works | Signal::Slow), _) => {}
            (None, Some(words)) => self.unreadable_aside(kind, words, now),
            (None, None) => self.aside_works(kind),
        }
    }
}

impl Courier {
    /// Something beside the calls was refused. Whether the account refuses everything is asked before
    /// the next call: a hold is not made of this alone. A token that is refused is read again first.
    pub(super) fn refused_aside(&mut self, kind: Kind, why: Hold, words: String, now: Now) {
        match why {
            Hold::Unauthorized => {
                if self.asides.brakes.refused(kind) {
                    self.doubt_aside(kind, words.clone());
                }
                self.learn(Signal::Hold(why, words), now);
            }
            Hold::Unpaid | Hold::Forbidden | Hold::Banned | Hold::NotAmo => self.doubt_aside(kind, words),
        }
    }

    /// amoCRM answers other questions and not this one. Once may be a chance; but its users are for
    /// administrators, as a rule.
    fn unreadable_aside(&mut self, kind: Kind, words: String, now: Now) {
        if kind == Kind::Users || self.asides.brakes.refused(kind) {
            self.asides.brakes.doubt(kind, words);
            self.asides.doubted_at = Some(now.host);
            return;
        }
        let jitter = self.jitter.draw();
        self.asides.brakes.fails(kind, &self.rules.delivery, jitter, now.mono);
    }

    pub(super) fn aside_works(&mut self, kind: Kind) {
        self.asides.brakes.works(kind);
        self.bookings.mended(kind);
    }

    fn doubt_aside(&mut self, kind: Kind, words: String) {
        self.asides.brakes.doubt(kind, words);
        self.health.ask_first();
    }

    /// A POST that left at `since` was answered: it says as much as a harmless question.
    pub(super) fn judge_asides_by_post(&mut self, signal: &Signal, since: HostTime, now: MonoTime) {
        if self.asides.doubted_at.is_some_and(|doubted| doubted < since) {
            self.judge_asides(signal, now);
        }
    }

    /// No call is due that would tell what a refusal means: it is asked.
    pub(super) fn ask_of_doubts(&mut self) -> bool {
        let is_doubted = self.asides.doubted_at.take().is_some();
        if is_doubted {
            self.health.ask_first();
        }
        is_doubted
    }

    /// A harmless question was asked: what of the others was refused is off, or the account as a whole.
    pub(super) fn judge_asides(&mut self, signal: &Signal, now: MonoTime) {
        match signal {
            Signal::Works => {
                self.asides.doubted_at = None;
                for (kind, words) in self.asides.brakes.answered(now) {
                    self.bookings.complain(Complaint::off(kind, words));
                }
            }
            Signal::Hold(..) => {
                self.asides.doubted_at = None;
                self.asides.brakes.forgive();
            }
            Signal::Slow | Signal::Trouble(_) => {}
        }
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
