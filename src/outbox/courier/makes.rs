//! Pure: what is made for unknown numbers, where amoCRM refuses it and answers a harmless question.
//!
//! A refusal leaves such a call due at once, and holds all calls as a ban does. Where one kind of thing
//! alone is refused, that would go on as long as strangers wait.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::outbox::courier::effect::{Created, Ruling};
use crate::outbox::courier::standing::{Hold, Signal};
use crate::outbox::errand::Make;
use crate::outbox::policy;
use crate::outbox::queue::{Item, Phase, Settlement};
use crate::time::{HostTime, MonoTime};

/// Refusals in a row, by what was to be made.
#[derive(Debug, Default)]
pub(super) struct Makes(BTreeMap<Make, Row>);

#[derive(Debug, Default)]
struct Row {
    refusals: u32,
    /// Nothing of the kind is made before.
    shut_until: MonoTime,
    words: String,
}

/// What a POST that makes something says of its kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// amoCRM decided on it.
    Works,
    /// It says nothing.
    Open,
    /// It was refused as if by the account, which may be so.
    Doubted,
    /// It alone is refused.
    Shut { is_news: bool },
}

/// Refusals in a row that are of this kind of thing: between the first and the second one the account has
/// answered.
const REFUSALS_MIN: u32 = 2;
/// How long a kind is off.
pub(super) const SHUT: Duration = policy::HELD_LOOK;

impl Makes {
    /// Takes in what came of a POST. A token has its own way.
    pub fn judge(&mut self, make: Make, is_decided: bool, signal: &Signal, now: MonoTime) -> Verdict {
        if is_decided {
            self.0.remove(&make);
            return Verdict::Works;
        }
        let words = match signal {
            Signal::Hold(why, words) if *why != Hold::Unauthorized => words,
            Signal::Hold(..) | Signal::Works | Signal::Slow | Signal::Trouble(_) => return Verdict::Open,
        };
        let row = self.0.entry(make).or_default();
        row.refusals = row.refusals.saturating_add(1);
        if row.refusals < REFUSALS_MIN {
            return Verdict::Doubted;
        }
        row.shut_until = now.after(SHUT);
        words.clone_into(&mut row.words);
        Verdict::Shut { is_news: row.refusals == REFUSALS_MIN }
    }

    /// How long nothing of the kind is made yet, and what amoCRM said.
    pub fn shut(&self, make: Make, now: MonoTime) -> Option<(Duration, &str)> {
        let row = self.0.get(&make).filter(|row| now < row.shut_until)?;
        Some((row.shut_until.since(now), &row.words))
    }
}

/// Whether amoCRM decided on one of the things at least.
pub(super) fn is_decided(created: &Created) -> bool {
    use crate::amo::made::Fate;
    let Created::Answered(made) = created else { return false };
    made.fates.iter().any(|fate| matches!(fate, Fate::Made(_) | Fate::Refused))
}

/// Puts calls off that wait for something that is refused; what is in doubt is looked up as ever.
pub(super) fn put_all_off(rulings: &mut [Ruling], now: HostTime) {
    for ruling in rulings.iter_mut().filter(|ruling| ruling.settlement.state.phase() == Phase::Parked) {
        ruling.settlement.next_at = now.after(SHUT);
    }
}

/// Puts a call off; nothing else changes.
pub(super) fn put_off(item: &Item, pause: Duration, words: &str, now: HostTime) -> Settlement {
    Settlement {
        seq: item.seq,
        state: item.state.clone(),
        next_at: now.after(pause),
        last_error: Some(words.to_owned()),
        attempted: false,
        errand: item.errand.clone(),
    }
}
