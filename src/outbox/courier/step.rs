//! Pure: what lies on the courier's desk.

use std::mem;

use crate::outbox::courier::effect::{Now, Ruling};
use crate::outbox::courier::errand::Stage;
use crate::outbox::courier::flight::{Flight, Load};
use crate::outbox::courier::{Courier, STORE_FIRST, STORE_MAX, shadow, sound};
use crate::outbox::policy;
use crate::outbox::queue::{self, Item};
use crate::time::{HostTime, MonoTime};

/// What the courier does next, and what it needs for it.
#[derive(Debug, Default)]
pub(super) enum Step {
    Adopt,
    /// What an earlier process left in doubt is remembered before anything is made.
    Doubts,
    #[default]
    Begin,
    Look,
    ReadBack {
        items: Vec<Item>,
        /// What is stored after this may be missed by the search.
        begun: HostTime,
    },
    Lease,
    /// What is said of some calls is kept, and then they are posted.
    Note {
        rulings: Vec<Ruling>,
        loads: Vec<Load>,
    },
    Intend(Vec<Load>),
    Post(Flight),
    /// Something is made for calls with unknown numbers.
    Errand(Stage),
    Settle {
        rulings: Vec<Ruling>,
        together: bool,
    },
    /// Files are looked for, or a link is added.
    Sound(sound::Stage),
    /// Calls that are not sent are compared with what others wrote of them.
    Compare(shadow::Stage),
    /// Delivered calls are taken up to which something is owed.
    Owing,
    NextDue,
    Rest(MonoTime),
}

impl Step {
    /// Whether no decision lies on the desk that is lost when it is left.
    pub(super) fn is_free(&self) -> bool {
        match self {
            Self::Intend(_) | Self::Post(_) | Self::Settle { .. } => false,
            Self::Errand(stage) => stage.may_stop(),
            Self::Adopt
            | Self::Doubts
            | Self::Begin
            | Self::Look
            | Self::ReadBack { .. }
            | Self::Lease
            | Self::Note { .. }
            | Self::Sound(_)
            | Self::Compare(_)
            | Self::Owing
            | Self::NextDue
            | Self::Rest(_) => true,
        }
    }
}

/// The step after one that the store refused for good.
pub(super) fn given_up(step: Step) -> Step {
    match step {
        Step::Settle { rulings, together: true } if rulings.len() > 1 => {
            Step::Settle { rulings, together: false }
        }
        Step::Settle { rulings, .. } => rest_of(rulings),
        Step::Note { .. } | Step::Intend(_) | Step::Errand(Stage::Intend { .. }) => Step::Begin,
        Step::Errand(_)
        | Step::Adopt
        | Step::Doubts
        | Step::Begin
        | Step::Look
        | Step::ReadBack { .. }
        | Step::Lease
        | Step::Post(_)
        | Step::Sound(_)
        | Step::Compare(_)
        | Step::Owing
        | Step::NextDue
        | Step::Rest(_) => step,
    }
}

/// What is left to settle, one by one, after the first.
pub(super) fn rest_of(rulings: Vec<Ruling>) -> Step {
    let rulings: Vec<Ruling> = rulings.into_iter().skip(1).collect();
    if rulings.is_empty() { Step::Begin } else { Step::Settle { rulings, together: false } }
}

impl Courier {
    pub(super) fn settled(&mut self) {
        let step = mem::take(&mut self.step);
        if let Step::Note { loads, .. } = step {
            self.step = Step::Intend(loads);
            return;
        }
        let Step::Settle { rulings, together } = step else { return };
        self.step = if together { Step::Begin } else { rest_of(rulings) };
    }

    /// The store failed: the same is asked again after a pause. An intent may be durable nevertheless,
    /// and no POST follows it: it is taken over, as after a restart. What the store refuses for good is
    /// asked call by call, and given up: a person changed the call meanwhile.
    pub(super) fn store_failed(&mut self, error: &queue::Error, now: Now) {
        let pause = policy::delay(self.store_failures, STORE_FIRST, STORE_MAX, self.jitter.draw());
        self.store_failures = self.store_failures.saturating_add(1);
        self.store_paused_until = now.mono.after(pause);
        if self.callbacks.keeping_failed() {
            return;
        }
        match error {
            queue::Error::Absent(_) | queue::Error::Transition { .. } => {
                self.step = given_up(mem::take(&mut self.step));
            }
            queue::Error::Store(_)
                if matches!(self.step, Step::Intend(_) | Step::Errand(Stage::Intend { .. })) =>
            {
                self.owes_adoption = true;
                self.step = Step::Begin;
            }
            queue::Error::Store(_) => {}
        }
    }
}
