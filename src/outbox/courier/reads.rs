//! Pure: what is read for calls that wait, where amoCRM refuses it and answers a harmless question.
//!
//! Calls in doubt are looked for before others are sent, so a place that is shut to us would keep all of
//! them waiting: each look would end in a pause, as that may be a ban, and be due again at its end.

use std::collections::BTreeMap;

use crate::outbox::courier::effect::Unread;
use crate::outbox::courier::standing::{Hold, Signal};
use crate::outbox::errand::Kind;
use crate::outbox::policy;

/// Refusals in a row, by what was read.
#[derive(Debug, Default)]
pub(super) struct Reads(BTreeMap<Kind, u32>);

impl Reads {
    /// It was read.
    pub fn answered(&mut self, kind: Kind) {
        self.0.remove(&kind);
    }

    /// It was not read. Between two refusals in a row the account has answered: the second one is of this
    /// place, holds nobody else up, and is tried again late. A token has its own way.
    pub fn unread(&mut self, kind: Kind, unread: Unread) -> Unread {
        match &unread.signal {
            Some(Signal::Hold(why, _)) if *why != Hold::Unauthorized => {}
            _ => return unread,
        }
        let refusals = self.0.entry(kind).or_default();
        *refusals = refusals.saturating_add(1);
        if *refusals == 1 { unread } else { Unread { pause: policy::HELD_LOOK, signal: None, ..unread } }
    }
}
