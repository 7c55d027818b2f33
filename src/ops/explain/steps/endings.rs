//! Pure: how calls to a phone and legs end.

use crate::call::record::{Moment, What};
use crate::ops::explain::steps::{Act, SOON, Story};

impl Story<'_> {
    pub(super) fn dial_ended(&self, moment: &Moment, status: &str, forward: Option<&str>) -> Option<Act> {
        let cause = self.cause(moment.leg).unwrap_or(0);
        Some(match (status, cause) {
            ("ANSWER", _) => return self.answered_alone(moment),
            (_, 21) => Act::Declines,
            (_, 3 | 20) | ("CHANUNAVAIL", _) => Act::IsUnreachable,
            ("BUSY", _) => Act::IsBusy,
            ("NOANSWER", _) => Act::DoesNotAnswer,
            ("CANCEL", 26) => Act::AnsweredElsewhere,
            ("CANCEL", _) => match forward {
                Some(to) => Act::Forwards { to: to.to_owned() },
                None => Act::StopsRinging,
            },
            ("SCREENED", _) => Act::IsScreened,
            _ => Act::Fails { cause },
        })
    }

    /// An answer that no talk begins with: to a menu, to a confirmation, to the first call of two.
    fn answered_alone(&self, moment: &Moment) -> Option<Act> {
        let picked_up = self.nearby(moment).any(|other| other.what == What::PickedUp);
        (!picked_up && !self.begins_talk(moment)).then_some(Act::Answers)
    }

    /// The far end hung up; of a phone that refused, its refusal has been told.
    pub(super) fn put_down(&self, moment: &Moment) -> Option<Act> {
        let cause = self.cause(moment.leg).unwrap_or(0);
        (!self.was_refused(moment)).then_some(Act::HangsUp { cause })
    }

    pub(super) fn hung_up(&self, moment: &Moment, cause: u16) -> Option<Act> {
        let person = self.cast.person(moment.leg);
        let told = self.before_or_at(moment).any(|earlier| {
            self.cast.person(earlier.leg) == person
                && moment.at.since(earlier.at) <= SOON
                && earlier.what == What::PutDown
        });
        if told || self.was_refused(moment) || self.has_other_leg(moment) {
            return None;
        }
        Some(match (self.only_rang(moment), cause) {
            (true, 26) => Act::AnsweredElsewhere,
            (true, _) => Act::StopsRinging,
            (false, cause) => Act::Ends { cause },
        })
    }

    /// It was called and never answered: a colleague picked the call up.
    fn only_rang(&self, moment: &Moment) -> bool {
        let mut own = self.timeline.moments.iter().filter(|other| other.leg == moment.leg);
        own.all(|other| matches!(other.what, What::Rang | What::HungUp { .. }))
    }

    /// The person goes on with another leg: of this one nothing need be told.
    fn has_other_leg(&self, moment: &Moment) -> bool {
        let person = self.cast.person(moment.leg);
        let others = self
            .timeline
            .moments
            .iter()
            .filter(|other| other.leg != moment.leg && self.cast.person(other.leg) == person);
        let ends_later = |other: &Moment| other.at > moment.at && matches!(other.what, What::HungUp { .. });
        let has_begun = |leg: u16| self.before(moment).any(|earlier| earlier.leg == leg);
        others.into_iter().any(|other| ends_later(other) && has_begun(other.leg))
    }

    /// A call to the leg ended about now without an answer: that was told.
    fn was_refused(&self, moment: &Moment) -> bool {
        self.nearby(moment)
            .any(|other| matches!(&other.what, What::DialEnded { status, .. } if status != "ANSWER"))
    }

    /// Whether the leg is given up anyway: it ends, or its person hands over.
    pub(super) fn is_over_soon(&self, moment: &Moment) -> bool {
        self.nearby(moment).any(|other| matches!(other.what, What::HungUp { .. } | What::HandedOver))
    }

    fn cause(&self, leg: u16) -> Option<u16> {
        let own = self.timeline.moments.iter().rev().filter(|moment| moment.leg == leg);
        own.into_iter()
            .find_map(|moment| if let What::HungUp { cause } = moment.what { Some(cause) } else { None })
    }

    fn before_or_at(&self, moment: &Moment) -> impl Iterator<Item = &Moment> {
        let at = moment.at;
        self.timeline.moments.iter().filter(move |other| other.at <= at)
    }
}
