//! Pure: what each person is doing at a moment: the lines of the ladder.

use crate::call::record::{CallRecord, Timeline, What};
use crate::ops::explain::cast::Cast;
use crate::time::PbxTime;

/// What a person is doing; of two legs the later in this list counts.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Life {
    #[default]
    Absent,
    Rings,
    /// On the line, and talks with nobody.
    Waits,
    OnHold,
    Talks,
}

/// Everybody's life in a call.
#[derive(Debug)]
pub struct Lives<'a> {
    timeline: &'a Timeline,
    cast: &'a Cast,
    spans: Vec<Span>,
}

/// When a leg began, was answered and ended.
#[derive(Clone, Copy, Debug)]
struct Span {
    begin: PbxTime,
    answer: Option<PbxTime>,
    end: PbxTime,
}

impl<'a> Lives<'a> {
    pub fn of(record: &CallRecord, timeline: &'a Timeline, cast: &'a Cast) -> Self {
        let legs = 0..u16::try_from(timeline.legs.len()).unwrap_or(u16::MAX);
        let spans = legs.map(|leg| span(record, timeline, leg)).collect();
        Self { timeline, cast, spans }
    }

    /// What the people of a place do from `at` on.
    pub fn at_place(&self, place: usize, at: PbxTime) -> Life {
        let legs = (0u16..).zip(&self.spans).filter(|(leg, _)| {
            self.cast.person(*leg).is_some_and(|person| self.cast.people[person].place == place)
        });
        legs.map(|(leg, span)| self.of_leg(leg, *span, at)).max().unwrap_or_default()
    }

    fn of_leg(&self, leg: u16, span: Span, at: PbxTime) -> Life {
        if at < span.begin || at >= span.end {
            return Life::Absent;
        }
        let running = self.timeline.talks.iter().filter(|talk| talk.from <= at && at < talk.to);
        let in_talk = running.filter(|talk| talk.leg == leg || talk.with == leg).map(|talk| {
            let other = if talk.leg == leg { talk.with } else { talk.leg };
            if self.holds(other, talk.from, at) {
                Life::OnHold
            } else if self.holds(leg, talk.from, at) {
                Life::Waits
            } else {
                Life::Talks
            }
        });
        let is_up = span.answer.is_some_and(|answer| answer <= at);
        in_talk.max().unwrap_or(if is_up { Life::Waits } else { Life::Rings })
    }

    /// Whether the leg has put on hold a talk that began at `from`.
    fn holds(&self, leg: u16, from: PbxTime, at: PbxTime) -> bool {
        let mut moments = self.timeline.moments.iter().filter(|moment| moment.leg == leg && moment.at <= at);
        let last = moments.rfind(|moment| matches!(moment.what, What::Held | What::Resumed));
        last.is_some_and(|last| last.what == What::Held && last.at >= from)
    }
}

fn span(record: &CallRecord, timeline: &Timeline, leg: u16) -> Span {
    let own = || timeline.moments.iter().filter(move |moment| moment.leg == leg);
    let talks = || timeline.talks.iter().filter(move |talk| talk.leg == leg || talk.with == leg);
    let first = |is: fn(&What) -> bool| own().find(|moment| is(&moment.what)).map(|moment| moment.at);
    let refused = first(|what| matches!(what, What::DialEnded { status, .. } if status != "ANSWER"));
    let is_gone = |what: &What| matches!(what, What::PutDown | What::HungUp { .. });
    let talked = talks().map(|talk| talk.from).min();
    let answered = first(|what| match what {
        What::Started | What::Joined | What::PickedUp => true,
        What::DialEnded { status, .. } => status == "ANSWER",
        What::Rang
        | What::Left
        | What::Held
        | What::Resumed
        | What::Parked
        | What::Queued { .. }
        | What::Transferred { .. }
        | What::HandedOver
        | What::Recorded
        | What::LeftMessage
        | What::PutDown
        | What::HungUp { .. } => false,
    });
    let answer = [answered, talked].into_iter().flatten().min();
    let begin = [own().map(|moment| moment.at).min(), talked].into_iter().flatten().min();
    let gone = own().find(|moment| is_gone(&moment.what)).map(|moment| moment.at);
    let last_talk = || talks().map(|talk| talk.to).max();
    let end = match answer {
        None => [refused, gone].into_iter().flatten().min(),
        Some(_) => gone.or_else(|| if own().next().is_none() { last_talk() } else { None }),
    };
    let end = end.unwrap_or(record.ended_at);
    Span { begin: begin.unwrap_or(end), answer, end }
}
