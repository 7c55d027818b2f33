//! Pure: the table that people read.
//!
//! A heading line per day keeps the rows narrow enough for a note within 80 columns. All times are
//! UTC, so that a capture gives the same table everywhere. Names come from the network: control
//! characters, which could play with the terminal, are not passed on.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::call::record::{CallRecord, Direction, Seconds};
use crate::ops::screen::{columns, fit};

/// Renders calls row by row and adds them up.
#[derive(Debug)]
pub struct Table {
    /// Columns of the terminal; notes are cut there.
    columns: Option<usize>,
    /// The day that was printed last, as `2026-11-22`.
    day: String,
    totals: Totals,
}

#[derive(Debug, Default)]
struct Totals {
    calls: u64,
    directions: BTreeMap<String, u64>,
    answered: u64,
    talk_ms: u64,
    partial: u64,
    skipped: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug)]
enum Align {
    Left,
    Right,
}

/// Title, width and alignment of every column but the last, the note. Thirteen places hold an
/// international number of nearly every country; longer values are cut.
const COLUMNS: [(&str, usize, Align); 7] = [
    ("time", 8, Align::Left),
    ("call", 4, Align::Left),
    ("phone", 13, Align::Left),
    ("responsible", 11, Align::Left),
    ("outcome", 12, Align::Left),
    ("talk", 7, Align::Right),
    ("wait", 6, Align::Right),
];

/// A note is no longer than this where the terminal's width is not known.
const NOTE_MAX: usize = 60;

impl Table {
    pub fn new(columns: Option<usize>) -> Self {
        Self { columns, day: String::new(), totals: Totals::default() }
    }

    /// The call's line, with the day's heading before it when another day begins.
    pub fn row(&mut self, call: &CallRecord) -> String {
        self.totals.add(call);
        let started = call.started_at.to_string();
        let (day, time) = started.split_once('T').unwrap_or((&started, ""));
        let mut text = String::new();
        if day != self.day {
            text = self.heading(day);
            day.clone_into(&mut self.day);
        }
        let cells = [
            time.get(..8).unwrap_or("?"),
            way(call.direction),
            call.phone.as_deref().unwrap_or("-"),
            call.responsible.as_deref().unwrap_or("-"),
            &word(call.outcome),
            &clock(call.talk_seconds),
            &clock(call.wait_seconds),
        ];
        text + &self.line(cells, &note(call))
    }

    /// What all rows come to.
    pub fn totals(&self) -> String {
        let totals = &self.totals;
        if totals.calls == 0 {
            return "no calls\n".to_owned();
        }
        let talk = clock_of(totals.talk_ms / 1000);
        let noun = if totals.calls == 1 { "call" } else { "calls" };
        let mut text = format!("\n{} {noun}", totals.calls);
        write_parts(&mut text, ": ", &totals.directions);
        text += &format!("; {} answered, talk {talk}", totals.answered);
        if totals.partial > 0 {
            text += &format!("; {} partial", totals.partial);
        }
        write_parts(&mut text, "; not for amoCRM: ", &totals.skipped);
        text + "\n"
    }

    fn heading(&self, day: &str) -> String {
        let gap = if self.day.is_empty() { "" } else { "\n" };
        let titles = COLUMNS.map(|(title, _, _)| title);
        format!("{gap}{day} (UTC)\n{}", self.line(titles, "note"))
    }

    fn line(&self, cells: [&str; COLUMNS.len()], note: &str) -> String {
        let mut text = String::new();
        for (cell, (_, width, align)) in cells.into_iter().zip(COLUMNS) {
            let cell = fit(cell, width);
            let blanks = " ".repeat(width - columns(&cell));
            match align {
                Align::Left => text += &format!("{cell}{blanks} "),
                Align::Right => text += &format!("{blanks}{cell} "),
            }
        }
        let left = self.columns.map_or(NOTE_MAX, |all| all.saturating_sub(columns(&text)));
        text += &fit(note, left.max(1));
        format!("{}\n", text.trim_end())
    }
}

impl Totals {
    fn add(&mut self, call: &CallRecord) {
        self.calls += 1;
        *self.directions.entry(word(call.direction)).or_default() += 1;
        self.answered += u64::from(call.answered);
        self.talk_ms += call.talk_seconds.millis();
        self.partial += u64::from(call.partial);
        if let Some(skip) = call.skip {
            *self.skipped.entry(word(skip)).or_default() += 1;
        }
    }
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "in",
        Direction::Internal => "int",
        Direction::Outbound => "out",
    }
}

fn note(call: &CallRecord) -> String {
    let skip = call.skip.map(word);
    let partial = call.partial.then(|| "partial".to_owned());
    [skip, partial].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The name that an enum's value has in the JSON lines.
fn word(value: impl Serialize) -> String {
    let json = serde_json::to_string(&value).expect("unit variants are strings");
    json.trim_matches('"').to_owned()
}

fn clock(length: Seconds) -> String {
    clock_of(length.rounded())
}

/// `0:07`, `12:05`, `1:02:05`.
fn clock_of(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

fn write_parts(text: &mut String, before: &str, parts: &BTreeMap<String, u64>) {
    let mut gap = before;
    for (name, count) in parts {
        write!(text, "{gap}{count} {name}").expect("a string takes everything");
        gap = ", ";
    }
}

#[cfg(test)]
mod tests;
