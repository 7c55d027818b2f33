//! Pure: the timeline as people would tell it: what belongs together is one step, what follows by
//! itself is left out.

use std::time::Duration;

use crate::call::record::{CallRecord, Moment, Timeline, What};
use crate::ops::explain::cast::Cast;
use crate::time::PbxTime;

mod endings;
mod talking;

/// One row of the story.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    pub at: PbxTime,
    /// When the last of what is told as one thing happened.
    pub last: PbxTime,
    /// Persons; never empty.
    pub who: Vec<usize>,
    /// The person who called, parked or transferred, with whom is talked, or who takes over.
    pub with: Option<usize>,
    /// Persons whose lines end with it.
    pub also: Vec<usize>,
    pub act: Act,
}

/// What somebody does, or what becomes of him.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Act {
    CallsIn {
        did: Option<String>,
    },
    /// From inside, and no phone rings for it.
    Dials,
    /// Takes the parked outside party.
    Retrieves,
    /// By the PBX or for an outside party.
    Rings,
    /// By a colleague.
    Calls,
    Answers,
    AnswersAndTalks {
        length: Duration,
        until: Duration,
    },
    Talks {
        length: Duration,
        until: Duration,
    },
    IsBusy,
    Declines,
    DoesNotAnswer,
    StopsRinging,
    AnsweredElsewhere,
    IsUnreachable,
    Fails {
        cause: u16,
    },
    /// The called side's own subroutine refused.
    IsScreened,
    Forwards {
        to: String,
    },
    Holds,
    Resumes,
    IsParked {
        at: Option<String>,
    },
    Queues {
        queue: String,
    },
    IsTransferred {
        to: Option<String>,
    },
    HandsOver,
    PicksUp,
    Records,
    LeavesMessage,
    HangsUp {
        cause: u16,
    },
    /// Without having hung up: the PBX or the other side ended it.
    Ends {
        cause: u16,
    },
    /// In and out of a bridge, of calls whose talks were not kept.
    Joins,
    Leaves,
}

/// What happens within this time is told as one thing: phones of a group ring and stop one after the
/// other.
const TOGETHER: Duration = Duration::from_millis(300);
/// What follows by itself follows within this time.
const SOON: Duration = Duration::from_secs(1);
/// How many steps back the cause of an end is looked for.
const NEIGHBOURS: usize = 4;

/// The steps of a call, in order.
pub fn steps(record: &CallRecord, timeline: &Timeline, cast: &Cast) -> Vec<Step> {
    let story = Story { record, timeline, cast };
    let mut steps: Vec<Step> = timeline.moments.iter().filter_map(|moment| story.step(moment)).collect();
    steps.extend(timeline.talks.iter().filter_map(|talk| story.talk(talk)));
    // What is given away is given before the giver is gone.
    steps.sort_by_key(|step| (step.at, step.act != Act::HandsOver));
    late_recordings(&mut steps);
    joined(steps)
}

/// The dial plan begins a recording a moment before it makes the call that it is about.
fn late_recordings(steps: &mut [Step]) {
    for place in 1..steps.len() {
        let [before, after] = [&steps[place - 1], &steps[place]];
        let is_call = matches!(after.act, Act::Rings | Act::Calls);
        if before.act == Act::Records && is_call && after.at.since(before.at) <= TOGETHER {
            steps.swap(place - 1, place);
        }
    }
}

/// Joins neighbours that are one thing.
fn joined(steps: Vec<Step>) -> Vec<Step> {
    let mut joined: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        if let Some(cause) = joined.iter_mut().rev().take(NEIGHBOURS).find(|before| before.ends_with(&step)) {
            cause.also.extend(step.who);
            continue;
        }
        match joined.last_mut() {
            Some(last) if last.is_one_with(&step) => last.add(step),
            // A mailbox tells of its message when the caller is gone.
            Some(last) if last.follows(&step) => {
                let hung_up = std::mem::replace(last, Step { at: last.at, ..step });
                joined.push(hung_up);
            }
            Some(_) | None => joined.push(step),
        }
    }
    joined
}

impl Step {
    fn is_one_with(&self, next: &Self) -> bool {
        self.act == next.act && self.with == next.with && next.at.since(self.last) <= TOGETHER
    }

    fn add(&mut self, next: Self) {
        self.last = next.at;
        let news: Vec<usize> = next.who.into_iter().filter(|person| !self.who.contains(person)).collect();
        self.who.extend(news);
    }

    /// Whether the end of a line follows from this: of the other side when one hangs up, of whoever
    /// has given the call away.
    fn ends_with(&self, next: &Self) -> bool {
        let has_ended = matches!(self.act, Act::HangsUp { .. } | Act::Ends { .. });
        let is_given_away = matches!(self.act, Act::IsTransferred { .. } | Act::IsParked { .. });
        let follows = has_ended
            || (self.act == Act::HandsOver && next.who == self.who)
            || (is_given_away && self.with.is_some_and(|by| next.who == [by]));
        follows && matches!(next.act, Act::Ends { .. }) && next.at.since(self.at) <= SOON
    }

    fn follows(&self, next: &Self) -> bool {
        let is_message = next.act == Act::LeavesMessage && self.who == next.who;
        is_message && matches!(self.act, Act::HangsUp { .. }) && next.at.since(self.at) <= SOON
    }
}

/// A call and who takes part in it.
#[derive(Clone, Copy)]
struct Story<'a> {
    record: &'a CallRecord,
    timeline: &'a Timeline,
    cast: &'a Cast,
}

impl Story<'_> {
    fn step(&self, moment: &Moment) -> Option<Step> {
        let who = self.cast.person(moment.leg)?;
        let with = moment.with.and_then(|with| self.cast.person(with)).filter(|with| *with != who);
        let act = self.act(moment, who, with)?;
        Some(Step { at: moment.at, last: moment.at, who: vec![who], with, also: Vec::new(), act })
    }

    /// What a moment is told as; `None` when another step tells it.
    fn act(&self, moment: &Moment, who: usize, with: Option<usize>) -> Option<Act> {
        match &moment.what {
            What::Started => self.started(moment, who),
            What::Rang => self.rang(moment, with),
            What::DialEnded { status, forward } => self.dial_ended(moment, status, forward.as_deref()),
            What::Joined => (!self.knows_talks()).then_some(Act::Joins),
            What::Left => (!self.knows_talks()).then_some(Act::Leaves),
            What::Held => Some(Act::Holds),
            What::Resumed => (!self.is_over_soon(moment)).then_some(Act::Resumes),
            What::Parked => None, // told by the transfer that parks
            What::Queued { queue } => Some(Act::Queues { queue: queue.clone() }),
            What::Transferred { to } => Some(self.transferred(moment, to.as_ref())),
            What::HandedOver => Some(Act::HandsOver),
            What::PickedUp => Some(Act::PicksUp),
            What::Recorded => Some(Act::Records),
            What::LeftMessage => Some(Act::LeavesMessage),
            What::PutDown => self.put_down(moment),
            What::HungUp { cause } => self.hung_up(moment, *cause),
        }
    }

    /// A record from before talks were kept has none, though people talked.
    fn knows_talks(&self) -> bool {
        !self.timeline.talks.is_empty() || !self.record.answered
    }

    fn started(&self, moment: &Moment, who: usize) -> Option<Act> {
        if self.cast.people[who].is_outside {
            let did = self.record.did.clone().filter(|_| self.is_first(moment));
            return Some(Act::CallsIn { did });
        }
        let calls = self.after(moment, SOON * 2).any(|later| {
            later.what == What::Rang && later.with == Some(moment.leg)
                || later.leg == moment.leg && later.what == What::PickedUp
        });
        let was_parked = self.before(moment).any(|earlier| matches!(earlier.what, What::Parked));
        match (calls, was_parked && self.talks_soon(moment)) {
            (true, _) => None,
            (false, true) => Some(Act::Retrieves),
            (false, false) => Some(Act::Dials),
        }
    }

    fn rang(&self, moment: &Moment, with: Option<usize>) -> Option<Act> {
        let picked_up = self.nearby(moment).any(|other| matches!(other.what, What::PickedUp));
        if picked_up {
            return None;
        }
        let by_colleague = with.is_some_and(|with| !self.cast.people[with].is_outside);
        Some(if by_colleague { Act::Calls } else { Act::Rings })
    }

    fn transferred(&self, moment: &Moment, to: Option<&String>) -> Act {
        if self.nearby(moment).any(|other| matches!(other.what, What::Parked)) {
            return Act::IsParked { at: to.cloned() };
        }
        Act::IsTransferred { to: to.cloned() }
    }

    fn is_first(&self, moment: &Moment) -> bool {
        self.before(moment).all(|earlier| !matches!(earlier.what, What::Started))
    }

    /// The leg's own moments shortly before and after.
    fn nearby(&self, moment: &Moment) -> impl Iterator<Item = &Moment> {
        let (leg, at) = (moment.leg, moment.at);
        let is_near = move |other: &&Moment| {
            other.leg == leg && other.at.since(at) <= SOON && at.since(other.at) <= SOON
        };
        self.timeline.moments.iter().filter(is_near)
    }

    fn before(&self, moment: &Moment) -> impl Iterator<Item = &Moment> {
        let at = moment.at;
        self.timeline.moments.iter().filter(move |other| other.at < at)
    }

    /// Moments of all legs from this one on.
    fn after(&self, moment: &Moment, span: Duration) -> impl Iterator<Item = &Moment> {
        let at = moment.at;
        self.timeline.moments.iter().filter(move |other| other.at >= at && other.at.since(at) <= span)
    }
}

#[cfg(test)]
mod tests;
