//! Pure: the brakes of what is asked and done beside the calls. Each kind has one of its own: that amoCRM
//! refuses one says nothing of the others, and nothing of calls.
//!
//! ```text
//!  refused ──► doubted ──► the next POST, or a ─┬─► answered: this kind is off for a day
//!                          harmless question    └─► refused: it is the account's, and no kind's
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use crate::outbox::policy::Policy;
use crate::time::MonoTime;

/// What is asked and done beside the calls, by the rights that it needs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Who works there.
    Users,
    /// Whose a number is.
    Owners,
    /// Whose is what a task is about.
    TaskOwners,
    Tasks,
    /// Links that are added to notes.
    Links,
    /// What others write of calls.
    Foreign,
}

/// How long a kind is off: each try costs calls a pause, as it may be a ban.
pub(super) const SHUT: Duration = Duration::from_hours(24);

/// Refusals in a row that are more than a chance, where they cost calls nothing. Whose one thing is may be
/// hidden from the token's user, or that was deleted, which says nothing of others.
const fn refusals_min(kind: Kind) -> u32 {
    match kind {
        Kind::TaskOwners => 5,
        Kind::Users | Kind::Owners | Kind::Tasks | Kind::Links | Kind::Foreign => 2,
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Brakes(BTreeMap<Kind, Brake>);

#[derive(Debug, Default)]
struct Brake {
    /// Nothing of the kind is asked before.
    until: MonoTime,
    shut_until: MonoTime,
    /// Failures in a row.
    failures: u32,
    /// Refusals in a row.
    refusals: u32,
    /// It was refused with these words; the next harmless question tells what that means.
    doubt: Option<String>,
}

impl Brakes {
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether this may be asked now.
    pub fn lets(&self, kind: Kind, now: MonoTime) -> bool {
        self.opens_at(kind) <= now && self.0.get(&kind).is_none_or(|brake| brake.doubt.is_none())
    }

    /// When this may be asked again.
    pub fn opens_at(&self, kind: Kind) -> MonoTime {
        self.0.get(&kind).map_or(MonoTime::default(), |brake| brake.until.max(brake.shut_until))
    }

    /// Whether this is off, so that nobody should wait for it.
    pub fn is_shut(&self, kind: Kind, now: MonoTime) -> bool {
        self.0.get(&kind).is_some_and(|brake| now < brake.shut_until)
    }

    /// It had an answer.
    pub fn works(&mut self, kind: Kind) {
        self.0.remove(&kind);
    }

    /// It had no answer; `jitter` is from 0 to 1.
    pub fn fails(&mut self, kind: Kind, policy: &Policy, jitter: f64, now: MonoTime) {
        let brake = self.0.entry(kind).or_default();
        brake.until = now.after(policy.retry_delay(brake.failures, jitter));
        brake.failures = brake.failures.saturating_add(1);
    }

    /// It was refused in a way that costs calls nothing. Returns whether that is more than a chance.
    pub fn refused(&mut self, kind: Kind) -> bool {
        let brake = self.0.entry(kind).or_default();
        brake.refusals = brake.refusals.saturating_add(1);
        brake.refusals >= refusals_min(kind)
    }

    /// It was refused, and the next harmless question tells why.
    pub fn doubt(&mut self, kind: Kind, words: String) {
        self.0.entry(kind).or_default().doubt = Some(words);
    }

    /// A harmless question was answered: what was refused is off. Returns it, and why.
    pub fn answered(&mut self, now: MonoTime) -> Vec<(Kind, String)> {
        let mut shut = Vec::new();
        for (kind, brake) in &mut self.0 {
            if let Some(words) = brake.doubt.take() {
                brake.shut_until = now.after(SHUT);
                shut.push((*kind, words));
            }
        }
        shut
    }

    /// What was refused was not for its kind's sake: the account refuses everything.
    pub fn forgive(&mut self) {
        for brake in self.0.values_mut() {
            brake.doubt = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: MonoTime = MonoTime::from_micros(1_000_000);

    #[test]
    fn what_fails_keeps_no_other_kind_waiting() {
        let (mut brakes, policy) = (Brakes::default(), Policy::default());
        brakes.fails(Kind::Tasks, &policy, 1.0, NOW);
        let first = brakes.opens_at(Kind::Tasks);
        assert!(!brakes.lets(Kind::Tasks, NOW) && brakes.lets(Kind::Tasks, first));
        assert!(brakes.lets(Kind::Users, NOW) && !brakes.is_shut(Kind::Tasks, NOW));
        brakes.fails(Kind::Tasks, &policy, 1.0, NOW);
        assert!(brakes.opens_at(Kind::Tasks) > first);
        brakes.works(Kind::Tasks);
        assert!(brakes.lets(Kind::Tasks, NOW));
    }

    #[test]
    fn one_refusal_may_be_a_chance_and_an_answer_ends_the_row() {
        let mut brakes = Brakes::default();
        assert!(!brakes.refused(Kind::Owners) && !brakes.refused(Kind::Tasks));
        brakes.works(Kind::Owners);
        assert!(!brakes.refused(Kind::Owners) && brakes.refused(Kind::Owners) && brakes.refused(Kind::Tasks));
    }

    #[test]
    fn a_few_things_whose_owner_is_hidden_switch_no_owners_off() {
        let mut brakes = Brakes::default();
        let refused: Vec<bool> = (0..5).map(|_| brakes.refused(Kind::TaskOwners)).collect();
        assert_eq!(refused, [false, false, false, false, true]);
    }

    #[test]
    fn what_alone_is_refused_is_off_for_a_day() {
        let mut brakes = Brakes::default();
        brakes.doubt(Kind::Owners, "403".to_owned());
        assert!(!brakes.lets(Kind::Owners, NOW) && brakes.lets(Kind::Links, NOW));
        assert_eq!(brakes.answered(NOW), [(Kind::Owners, "403".to_owned())]);
        assert_eq!(brakes.answered(NOW), []);
        assert!(brakes.is_shut(Kind::Owners, NOW.after(SHUT / 2)));
        assert!(brakes.lets(Kind::Owners, NOW.after(SHUT)) && !brakes.is_shut(Kind::Owners, NOW.after(SHUT)));
    }

    #[test]
    fn what_is_refused_with_everything_else_is_asked_again() {
        let mut brakes = Brakes::default();
        brakes.doubt(Kind::Tasks, "403".to_owned());
        brakes.forgive();
        assert!(brakes.answered(NOW).is_empty() && brakes.lets(Kind::Tasks, NOW));
    }
}
