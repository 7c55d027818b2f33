//! Pure: how acts look in the ladder.

use crate::ops::explain::lives::Life;
use crate::ops::explain::steps::Act;
use crate::ops::screen::Style;

/// A character of a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Glyph(pub(super) char, pub(super) Style);

/// How an act is drawn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// From whoever calls to who is called.
    Arrow,
    Talk,
    /// From whoever gives to who takes.
    HandOver,
    End,
    Mark,
}

pub(super) fn shape(act: &Act) -> Shape {
    match act {
        Act::Rings | Act::Calls => Shape::Arrow,
        Act::AnswersAndTalks { .. } | Act::Talks { .. } => Shape::Talk,
        Act::HandsOver => Shape::HandOver,
        Act::IsBusy
        | Act::Declines
        | Act::DoesNotAnswer
        | Act::StopsRinging
        | Act::AnsweredElsewhere
        | Act::IsUnreachable
        | Act::Fails { .. }
        | Act::IsScreened
        | Act::Forwards { .. }
        | Act::HangsUp { .. }
        | Act::Ends { .. } => Shape::End,
        Act::CallsIn { .. }
        | Act::Dials
        | Act::Retrieves
        | Act::Answers
        | Act::Holds
        | Act::Resumes
        | Act::IsParked { .. }
        | Act::Queues { .. }
        | Act::IsTransferred { .. }
        | Act::PicksUp
        | Act::Records
        | Act::LeavesMessage
        | Act::Joins
        | Act::Leaves => Shape::Mark,
    }
}

pub(super) fn style(act: &Act) -> Style {
    match act {
        Act::Answers | Act::AnswersAndTalks { .. } | Act::Talks { .. } | Act::PicksUp | Act::Retrieves => {
            Style::Good
        }
        Act::Rings | Act::Calls | Act::Holds | Act::Queues { .. } | Act::IsParked { .. } => Style::Waiting,
        Act::IsBusy
        | Act::Declines
        | Act::DoesNotAnswer
        | Act::IsUnreachable
        | Act::Fails { .. }
        | Act::IsScreened => Style::Bad,
        Act::CallsIn { .. }
        | Act::Dials
        | Act::StopsRinging
        | Act::AnsweredElsewhere
        | Act::Forwards { .. }
        | Act::Resumes
        | Act::IsTransferred { .. }
        | Act::HandsOver
        | Act::Records
        | Act::LeavesMessage
        | Act::HangsUp { .. }
        | Act::Ends { .. }
        | Act::Joins
        | Act::Leaves => Style::Plain,
    }
}

pub(super) fn line(life: Life) -> Glyph {
    match life {
        Life::Absent => Glyph(' ', Style::Plain),
        Life::Rings => Glyph('┊', Style::Waiting),
        Life::Waits => Glyph('│', Style::Plain),
        Life::OnHold => Glyph('╎', Style::Waiting),
        Life::Talks => Glyph('║', Style::Good),
    }
}

pub(super) fn arrow(glyphs: &mut [Glyph], from: usize, to: &[usize], style: Style) {
    let all = || to.iter().copied().chain([from]);
    let (Some(first), Some(last)) = (all().min(), all().max()) else { return };
    (first..=last).for_each(|at| put(glyphs, at, '─', style));
    for at in to {
        put(glyphs, *at, if *at > from { '>' } else { '<' }, style);
    }
    let corner = match (first < from, from < last) {
        (true, true) => '┼',
        (true, false) => '┤',
        (false, _) => '├',
    };
    put(glyphs, from, corner, style);
}

pub(super) fn talk(glyphs: &mut [Glyph], from: usize, to: &[usize], style: Style) {
    let all = || to.iter().copied().chain([from]);
    let (Some(first), Some(last)) = (all().min(), all().max()) else { return };
    (first..=last).for_each(|at| put(glyphs, at, '═', style));
    all().for_each(|at| put(glyphs, at, '╬', style));
    put(glyphs, first, '╠', style);
    put(glyphs, last, '╣', style);
}

pub(super) fn mark(glyphs: &mut [Glyph], places: &[usize], glyph: char, style: Style) {
    for at in places {
        put(glyphs, *at, glyph, style);
    }
}

pub(super) fn put(glyphs: &mut [Glyph], at: usize, glyph: char, style: Style) {
    if let Some(place) = glyphs.get_mut(at) {
        *place = Glyph(glyph, style);
    }
}
