//! Pure: the ladder: people side by side, time going down.
//!
//! ```text
//! seconds  79161045480    101   103
//!          trunk-msk
//!     0.0  •                              79161045480 calls 74957000101
//!     0.0  ├─────────────>                101 rings
//!          │              ┊
//!     1.0  ╠══════════════╣               101 answers; talk of 5.5 s, until 6.5
//! ```

use std::time::Duration;

use crate::call::record::{CallRecord, Timeline};
use crate::ops::explain::cast::{Cast, Place};
use crate::ops::explain::ladder::drawing::{Glyph, Shape, arrow, line, mark, put, shape, style, talk};
use crate::ops::explain::lives::{Life, Lives};
use crate::ops::explain::steps::{Step, steps};
use crate::ops::screen::{Line, Style, WIDTH, cell, wrap};
use crate::ops::words::Language;
use crate::ops::words::act::{Actors, act, short};
use crate::time::PbxTime;

mod drawing;

/// Columns for the time and the gap behind it.
const TIME: usize = 9;
/// A longer pause gets a row of its own, so that it is seen.
const PAUSE: Duration = Duration::from_secs(1);
/// Asterisk takes some milliseconds to make of an event what it means.
const SETTLING: Duration = Duration::from_millis(100);

/// The ladder of a call with its headings and the meaning of its lines.
pub fn ladder(record: &CallRecord, timeline: &Timeline, language: Language) -> Vec<Line> {
    let cast = Cast::of(timeline, language);
    let lives = Lives::of(record, timeline, &cast);
    let ladder = Ladder { started: record.started_at, cast: &cast, lives: &lives, language };
    let mut lines = ladder.headings();
    let steps = steps(record, timeline, &cast);
    for (number, step) in steps.iter().enumerate() {
        let next = steps.get(number + 1);
        let after = settled(step, next);
        lines.extend(ladder.step(step, after));
        if next.is_some_and(|next| next.at.since(step.last) >= PAUSE) {
            lines.push(row("", &ladder.lines_at(after), None));
        }
    }
    lines.push(ladder.legend());
    lines
}

/// When all that a step brings about has come about, and nothing of the next step has.
fn settled(step: &Step, next: Option<&Step>) -> PbxTime {
    let soon = step.last.after(SETTLING);
    let before_next = next.map(|next| PbxTime::from_micros(next.at.micros().saturating_sub(1)));
    before_next.map_or(soon, |before| soon.min(before)).max(step.last)
}

struct Ladder<'a> {
    started: PbxTime,
    cast: &'a Cast,
    lives: &'a Lives<'a>,
    language: Language,
}

impl Ladder<'_> {
    fn headings(&self) -> Vec<Line> {
        let row = |first: &str, cells: Vec<String>| {
            let mut line = Line::new(Style::Faint, cell(first, TIME));
            line.push(Style::Strong, cells.concat());
            line
        };
        let cells = |text: fn(&Place) -> &str| {
            let places = self.cast.places.iter();
            places.map(|place| cell(&cell(text(place), place.width - 2), place.width)).collect::<Vec<_>>()
        };
        let titles = row(self.language.pick("seconds", "секунды"), cells(|place| &place.title));
        let notes = cells(|place| &place.note);
        let has_notes = notes.iter().any(|note| !note.trim().is_empty());
        [Some(titles), has_notes.then(|| row("", notes))].into_iter().flatten().collect()
    }

    /// The rows of a step: a long sentence goes on beside the lines.
    fn step(&self, step: &Step, after: PbxTime) -> Vec<Line> {
        let time = format!("{:>7}", short(step.at.since(self.started)));
        let lines = self.lines_at(after);
        let glyphs = self.draw(step, lines.clone());
        let room = WIDTH - TIME - self.cast.width();
        let mut rows = Vec::new();
        for (number, text) in wrap(&self.sentence(step), room).iter().enumerate() {
            let (time, glyphs) = if number == 0 { (time.as_str(), &glyphs) } else { ("", &lines) };
            rows.push(row(time, glyphs, Some((style(&step.act), text))));
        }
        rows
    }

    fn sentence(&self, step: &Step) -> String {
        let name = |person: usize| self.cast.people[person].name.as_str();
        let who: Vec<&str> = step.who.iter().map(|person| name(*person)).collect();
        act(&step.act, Actors { who: &who, with: step.with.map(name) }, self.language)
    }

    /// Everybody's line from `at` on.
    fn lines_at(&self, at: PbxTime) -> Vec<Glyph> {
        let mut glyphs = vec![Glyph(' ', Style::Plain); self.cast.width()];
        for place in 0..self.cast.places.len() {
            if let Some(glyph) = glyphs.get_mut(self.cast.line_at(place)) {
                *glyph = line(self.lives.at_place(place, at));
            }
        }
        glyphs
    }

    /// The lines with what happens drawn over them.
    fn draw(&self, step: &Step, mut glyphs: Vec<Glyph>) -> Vec<Glyph> {
        let line_of = |person: &usize| self.cast.line_at(self.cast.people[*person].place);
        let who: Vec<usize> = step.who.iter().map(line_of).collect();
        let style = style(&step.act);
        step.also.iter().map(line_of).for_each(|at| put(&mut glyphs, at, '×', Style::Plain));
        let from = step.with.as_ref().map(line_of).filter(|from| !who.contains(from));
        match (shape(&step.act), from) {
            (Shape::Arrow, Some(from)) => arrow(&mut glyphs, from, &who, style),
            (Shape::Talk, Some(from)) => talk(&mut glyphs, from, &who, style),
            (Shape::HandOver, Some(to)) => {
                for from in &who {
                    arrow(&mut glyphs, *from, &[to], style);
                }
            }
            (Shape::End, _) => mark(&mut glyphs, &who, '×', style),
            (Shape::Mark | Shape::Arrow | Shape::Talk | Shape::HandOver, _) => {
                mark(&mut glyphs, &who, '•', style);
            }
        }
        glyphs
    }

    fn legend(&self) -> Line {
        let mut legend = Line::new(Style::Faint, " ".repeat(TIME));
        for (life, words) in [
            (Life::Rings, self.language.pick("rings", "звонит")),
            (Life::Waits, self.language.pick("on the line", "на линии")),
            (Life::Talks, self.language.pick("talks", "говорит")),
            (Life::OnHold, self.language.pick("on hold", "на удержании")),
        ] {
            let Glyph(glyph, style) = line(life);
            legend.push(style, glyph.to_string());
            legend.push(Style::Faint, format!(" {words}   "));
        }
        legend
    }
}

fn row(time: &str, glyphs: &[Glyph], text: Option<(Style, &str)>) -> Line {
    let mut line = Line::new(Style::Faint, cell(time, TIME));
    for Glyph(glyph, style) in glyphs {
        line.push(*style, glyph.to_string());
    }
    if let Some((style, text)) = text {
        line.push(style, text);
    }
    line
}
