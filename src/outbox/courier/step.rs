//! Pure: where a courier is in its round.

use crate::outbox::courier::effect::Ruling;
use crate::outbox::courier::errand::Stage;
use crate::outbox::courier::flight::{Flight, Load};
use crate::outbox::queue::Item;
use crate::time::{HostTime, MonoTime};

/// What the courier does, or waits for.
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
    /// Out of our hands until its outcome.
    Posting(Flight),
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
    /// Whether the courier may be left here.
    pub(super) fn may_stop(&self) -> bool {
        match self {
            Self::Intend(_) | Self::Post(_) | Self::Posting(_) | Self::Settle { .. } => false,
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

    /// The step after one that the store refused for good.
    pub(super) fn given_up(self) -> Self {
        match self {
            Self::Settle { rulings, together: true } if rulings.len() > 1 => {
                Self::Settle { rulings, together: false }
            }
            Self::Settle { rulings, .. } => Self::rest_of(rulings),
            Self::Intend(_) | Self::Errand(Stage::Intend { .. }) => Self::Begin,
            Self::Errand(_)
            | Self::Adopt
            | Self::Doubts
            | Self::Begin
            | Self::Look
            | Self::ReadBack { .. }
            | Self::Lease
            | Self::Post(_)
            | Self::Posting(_)
            | Self::NextDue
            | Self::Rest(_) => self,
        }
    }

    /// What is left to settle, one by one, after the first.
    pub(super) fn rest_of(rulings: Vec<Ruling>) -> Self {
        let rulings: Vec<Ruling> = rulings.into_iter().skip(1).collect();
        if rulings.is_empty() { Self::Begin } else { Self::Settle { rulings, together: false } }
    }
}
