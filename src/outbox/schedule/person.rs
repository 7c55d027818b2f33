//! Pure: what a person may do about a call, and when delivery to an account stands still because a person
//! said so.

use serde::{Deserialize, Serialize};

use crate::outbox::queue::{Error, Phase, State};
use crate::outbox::schedule::Slip;
use crate::time::HostTime;

/// What is to be done about calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Tried at once, whatever it waits for; one at its end waits anew.
    Retry,
    /// Given up.
    Drop,
}

/// A deed, whose it is, and why.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Intervention {
    pub deed: Deed,
    pub by: String,
    #[serde(default)]
    pub why: Option<String>,
}

/// What became of one call.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Done,
    /// There is no such call.
    Absent,
    /// Its value is damaged, or of a later version.
    Unreadable,
    /// A request with it is under way.
    BeingSent,
    /// amoCRM may have it: it is looked up first.
    LookedUp,
    /// amoCRM may have it, which nobody will look up any more: it is tried again only by its id.
    InDoubt,
    /// amoCRM has it.
    Delivered,
    /// Policy says that it is not sent.
    Skipped,
    /// It was given up before.
    GivenUp,
    /// Its number was forgotten: nobody knows any more whom to tell of it.
    Forgotten,
}

/// Delivery to an account stands still.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Pause {
    pub at: HostTime,
    pub by: String,
    #[serde(default)]
    pub why: Option<String>,
}

/// What the reason of a call begins with that a person gave up.
pub const DROPPED: &str = "dropped by ";

impl Intervention {
    /// `dropped by anna (uid 1000): a test call`
    fn words(&self) -> String {
        let did = match self.deed {
            Deed::Retry => "taken up again by ",
            Deed::Drop => DROPPED,
        };
        let why = self.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{did}{}{why}", self.by)
    }
}

impl Slip {
    /// Does what a person wants; another verdict than [`Verdict::Done`] has changed nothing.
    ///
    /// # Errors
    /// When the step is not in [`TRANSITIONS`](crate::outbox::queue::TRANSITIONS).
    pub fn intervene(&mut self, what: &Intervention, now: HostTime) -> Result<Verdict, Error> {
        match (self.state.phase(), what.deed) {
            (Phase::Sending, _) => return Ok(Verdict::BeingSent),
            (Phase::Unknown, _) => return Ok(Verdict::LookedUp),
            (Phase::Sent | Phase::Unsorted, _) => return Ok(Verdict::Delivered),
            (Phase::Skipped, _) => return Ok(Verdict::Skipped),
            (Phase::Expired, Deed::Drop) => return Ok(Verdict::GivenUp),
            (Phase::Pending | Phase::Parked, Deed::Retry) => self.step(self.state.clone())?,
            (Phase::Dead | Phase::Expired, Deed::Retry) => {
                let before = reason(&self.state).unwrap_or_default();
                self.last_error = Some(format!("{}; before: {before}", what.words()));
                self.step(State::Pending)?;
                // It has all its time again: max-age counts from here.
                self.enqueued_at = now;
            }
            (Phase::Pending | Phase::Parked | Phase::Dead, Deed::Drop) => {
                self.last_error = reason(&self.state).or(self.last_error.take());
                self.step(State::Expired { reason: what.words(), at: now })?;
            }
        }
        self.next_at = now;
        Ok(Verdict::Done)
    }
}

fn reason(state: &State) -> Option<String> {
    match state {
        State::Dead { reason, .. } | State::Expired { reason, .. } => Some(reason.clone()),
        State::Pending
        | State::Sending { .. }
        | State::Sent { .. }
        | State::Unknown { .. }
        | State::Parked { .. }
        | State::Unsorted { .. }
        | State::Skipped { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::{Skip, sample};
    use crate::outbox::queue::{BatchId, Seq};

    const NOW: HostTime = HostTime::from_micros(9_000_000);

    fn slip(state: State) -> Slip {
        let new = Slip::new(Seq(1), &sample::call("1.1").record, HostTime::default());
        Slip { state, next_at: HostTime::from_micros(i64::MAX), ..new }
    }

    fn state(phase: Phase) -> State {
        let (batch, since, at) = (BatchId(1), HostTime::default(), HostTime::default());
        match phase {
            Phase::Pending => State::Pending,
            Phase::Sending => State::Sending { batch, since },
            Phase::Sent => State::Sent { note_id: None, entity: None, at },
            Phase::Unknown => State::Unknown { batch, since, looked: 0 },
            Phase::Parked => State::Parked { since },
            Phase::Unsorted => State::Unsorted { uid: None, at },
            Phase::Skipped => State::Skipped { reason: Skip::Policy, at },
            Phase::Expired => State::Expired { reason: "too old".to_owned(), at },
            Phase::Dead => State::Dead { reason: "no such user".to_owned(), at },
        }
    }

    fn what(deed: Deed) -> Intervention {
        Intervention { deed, by: "anna (uid 7)".to_owned(), why: Some("mapped".to_owned()) }
    }

    #[test]
    fn every_state_has_its_verdict_for_every_deed() {
        for (phase, retry, drop) in [
            (Phase::Pending, Ok(Phase::Pending), Ok(Phase::Expired)),
            (Phase::Sending, Err(Verdict::BeingSent), Err(Verdict::BeingSent)),
            (Phase::Sent, Err(Verdict::Delivered), Err(Verdict::Delivered)),
            (Phase::Unknown, Err(Verdict::LookedUp), Err(Verdict::LookedUp)),
            (Phase::Parked, Ok(Phase::Parked), Ok(Phase::Expired)),
            (Phase::Unsorted, Err(Verdict::Delivered), Err(Verdict::Delivered)),
            (Phase::Skipped, Err(Verdict::Skipped), Err(Verdict::Skipped)),
            (Phase::Expired, Ok(Phase::Pending), Err(Verdict::GivenUp)),
            (Phase::Dead, Ok(Phase::Pending), Ok(Phase::Expired)),
        ] {
            for (deed, expected) in [(Deed::Retry, retry), (Deed::Drop, drop)] {
                let before = slip(state(phase));
                let mut after = before.clone();
                let verdict = after.intervene(&what(deed), NOW).unwrap();
                match expected {
                    Ok(to) => {
                        assert_eq!((verdict, after.state.phase()), (Verdict::Done, to), "{phase:?} {deed:?}");
                        assert_eq!(after.next_at, NOW);
                    }
                    Err(refusal) => assert_eq!((verdict, after), (refusal, before), "{phase:?} {deed:?}"),
                }
            }
        }
    }

    #[test]
    fn who_did_it_and_what_was_before_stay_with_the_call() {
        let mut slip = slip(state(Phase::Dead));
        slip.intervene(&what(Deed::Drop), NOW).unwrap();
        let reason = "dropped by anna (uid 7): mapped".to_owned();
        assert_eq!(slip.state, State::Expired { reason, at: NOW });
        assert_eq!(slip.last_error.as_deref(), Some("no such user"));
        slip.intervene(&what(Deed::Retry), NOW).unwrap();
        let said = slip.last_error.unwrap();
        assert_eq!(said, "taken up again by anna (uid 7): mapped; before: dropped by anna (uid 7): mapped");
        assert_eq!(slip.enqueued_at, NOW);
    }
}
