//! Pure: how talks begin.

use crate::call::record::{Exchange, Moment, What};
use crate::ops::explain::steps::{Act, SOON, Step, Story, TOGETHER};

impl Story<'_> {
    /// The step with which a talk begins; the answer that it began with is part of it.
    pub(super) fn talk(&self, talk: &Exchange) -> Option<Step> {
        let (leg, with) = (self.cast.person(talk.leg)?, self.cast.person(talk.with)?);
        let length = talk.to.since(talk.from);
        let until = talk.to.since(self.record.started_at);
        let (at, last, also) = (talk.from, talk.from, Vec::new());
        let step = |who, with, act| Some(Step { at, last, who: vec![who], with: Some(with), also, act });
        if self.answered(talk, talk.leg) {
            step(leg, with, Act::AnswersAndTalks { length, until })
        } else if self.answered(talk, talk.with) {
            step(with, leg, Act::AnswersAndTalks { length, until })
        } else if leg == with {
            None // two phones of one person
        } else {
            step(leg, with, Act::Talks { length, until })
        }
    }

    /// Whether this is the answer with which a talk begins.
    pub(super) fn begins_talk(&self, moment: &Moment) -> bool {
        let own = |talk: &&Exchange| talk.leg == moment.leg || talk.with == moment.leg;
        let mut talks = self.timeline.talks.iter().filter(own);
        talks.any(|talk| talk.from.since(moment.at) <= TOGETHER * 2 && talk.from >= moment.at)
    }

    /// Whether a talk of the leg begins soon.
    pub(super) fn talks_soon(&self, moment: &Moment) -> bool {
        let own = |talk: &&Exchange| talk.leg == moment.leg || talk.with == moment.leg;
        let mut talks = self.timeline.talks.iter().filter(own);
        talks.any(|talk| talk.from >= moment.at && talk.from.since(moment.at) <= SOON)
    }

    /// Whether the leg's answer began this talk, and none before it.
    fn answered(&self, talk: &Exchange, leg: u16) -> bool {
        let before = || self.timeline.talks.iter().take_while(|before| *before != talk);
        self.timeline.moments.iter().any(|moment| {
            moment.leg == leg
                && moment.at <= talk.from
                && talk.from.since(moment.at) <= TOGETHER * 2
                && matches!(&moment.what, What::DialEnded { status, .. } if status == "ANSWER")
                && !self.nearby(moment).any(|other| other.what == What::PickedUp)
                && !before().any(|other| (other.leg == leg || other.with == leg) && other.from >= moment.at)
        })
    }
}
