//! Pure: what lies on the courier's desk.

use crate::outbox::courier::effect::Ruling;
use crate::outbox::courier::errand::Stage;
use crate::outbox::courier::flight::{Flight, Load};
use crate::outbox::queue::Item;
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
    Intend(Vec<Load>),
    Post(Flight),
    /// Something is made for calls with unknown numbers.
    Errand(Stage),
    Settle {
        rulings: Vec<Ruling>,
        together: bool,
    },
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
        Step::Intend(_) | Step::Errand(Stage::Intend { .. }) => Step::Begin,
        Step::Errand(_)
        | Step::Adopt
        | Step::Doubts
        | Step::Begin
        | Step::Look
        | Step::ReadBack { .. }
        | Step::Lease
        | Step::Post(_)
        | Step::NextDue
        | Step::Rest(_) => step,
    }
}

/// What is left to settle, one by one, after the first.
pub(super) fn rest_of(rulings: Vec<Ruling>) -> Step {
    let rulings: Vec<Ruling> = rulings.into_iter().skip(1).collect();
    if rulings.is_empty() { Step::Begin } else { Step::Settle { rulings, together: false } }
}
