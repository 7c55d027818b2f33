//! Pure: which endpoint is on which side, with the evidence: `check --sides`, and whose side should be
//! in the configuration.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::call::name;
use crate::call::record::{CallRecord, FinishedCall, Side};
use crate::call::side::Portrait;
use crate::call::side::evidence::Evidence;
use crate::ops::screen::{Line, Style, WIDTH, cell, chop, columns, escape, fit, wrap};
use crate::ops::words::evidence::evidence;
use crate::ops::words::sides::{Doubt, doubts};
use crate::ops::words::{self, Language};

/// Endpoints that are remembered as told of; a stream with more of doubtful side is hostile or not
/// a PBX's.
const TOLD_MAX: usize = 1000;
/// Columns before a line that is to be copied.
const REMEDY: usize = 6;

/// Endpoints of doubtful side that were told of, so that each is told once.
#[derive(Debug, Default)]
pub struct Doubts {
    told: BTreeSet<String>,
}

impl Doubts {
    /// The endpoints of a record whose side rests on little and that were not told of before.
    pub fn news(&mut self, record: &CallRecord) -> Vec<Doubt> {
        let mut news = doubts(record);
        news.retain(|doubt| self.told.len() < TOLD_MAX && self.told.insert(doubt.endpoint.clone()));
        news
    }
}

/// What the configuration ruled of channels, by endpoint.
#[derive(Debug, Default)]
pub struct Rulings {
    by_endpoint: BTreeMap<String, BTreeMap<Ruling, u64>>,
}

/// One ruling of the configuration.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
struct Ruling {
    side: Side,
    extension: Option<String>,
}

impl Rulings {
    /// Takes the rulings on the legs of a call.
    pub fn add(&mut self, call: &FinishedCall) {
        for leg in call.timeline.legs.iter().filter(|leg| leg.configured) {
            let extension = leg.party.clone().filter(|_| leg.side == Side::Inside);
            let endpoint = name::endpoint(&leg.channel).to_owned();
            let ruling = Ruling { side: leg.side, extension };
            *self.by_endpoint.entry(endpoint).or_default().entry(ruling).or_default() += 1;
        }
    }

    fn of(&self, endpoint: &str) -> Vec<(&Ruling, u64)> {
        let rulings = self.by_endpoint.get(endpoint);
        rulings.into_iter().flatten().map(|(ruling, channels)| (ruling, *channels)).collect()
    }
}

/// The endpoints, each with what speaks for its side.
pub fn page(portraits: &[Portrait], rulings: &Rulings, language: Language) -> Vec<Line> {
    if portraits.is_empty() {
        return vec![Line::new(
            Style::Plain,
            language.pick("no endpoint was seen", "ни одной точки не видно"),
        )];
    }
    portraits
        .iter()
        .flat_map(|portrait| endpoint(portrait, &rulings.of(&portrait.endpoint), language))
        .collect()
}

/// The same for tools, one object per line.
///
/// # Errors
/// When an object has no JSON, which none of ours lacks.
pub fn json(portraits: &[Portrait], rulings: &Rulings, language: Language) -> serde_json::Result<String> {
    portraits.iter().try_fold(String::new(), |mut text, portrait| {
        let rulings = rulings.of(&portrait.endpoint);
        let object = Object::new(portrait, &rulings, language);
        text.push_str(&escape(&serde_json::to_string(&object)?));
        text.push('\n');
        Ok(text)
    })
}

/// Keys are only ever added.
#[derive(Serialize)]
struct Object<'a> {
    endpoint: &'a str,
    /// By evidence alone.
    side: Side,
    extension: Option<&'a str>,
    weak: bool,
    seen: Vec<Piece>,
    configured: Vec<Configured<'a>>,
    /// Lines of `[calls.sides]` of which the right one settles a side that rests on little.
    advice: Option<[String; 2]>,
}

#[derive(Serialize)]
struct Piece {
    evidence: Evidence,
    side: Side,
    weight: u32,
    text: &'static str,
}

#[derive(Serialize)]
struct Configured<'a> {
    #[serde(flatten)]
    ruling: &'a Ruling,
    channels: u64,
}

impl<'a> Object<'a> {
    fn new(portrait: &'a Portrait, rulings: &[(&'a Ruling, u64)], language: Language) -> Self {
        let piece = |seen: &Evidence| {
            let (side, weight) = seen.weight();
            Piece { evidence: *seen, side, weight, text: evidence(*seen, language) }
        };
        let configured = |(ruling, channels): &(&'a Ruling, u64)| Configured { ruling, channels: *channels };
        Self {
            endpoint: &portrait.endpoint,
            side: portrait.verdict.side,
            extension: portrait.extension.as_deref(),
            weak: portrait.verdict.weak,
            seen: portrait.seen.iter().map(piece).collect(),
            configured: rulings.iter().map(configured).collect(),
            advice: doubt(portrait, rulings).map(|doubt| doubt.remedies()),
        }
    }
}

fn endpoint(portrait: &Portrait, rulings: &[(&Ruling, u64)], language: Language) -> Vec<Line> {
    let Portrait { endpoint, verdict, extension, seen } = portrait;
    let mut lines = Vec::new();
    let mut line = Line::new(Style::Strong, fit(endpoint, WIDTH / 2));
    line.push(
        Style::Plain,
        format!("  {}", fit(&title(verdict.side, extension.as_deref(), language), WIDTH / 2 - 2)),
    );
    lines.push(line);
    for (Ruling { side, extension }, channels) in rulings {
        let title = title(*side, extension.as_deref(), language);
        let text = language.pick(
            format!("by the configuration: {title} ({channels} channels)"),
            format!("по конфигурации: {title} (каналов: {channels})"),
        );
        lines.extend(indented("  ", &text, Style::Good));
    }
    for piece in seen {
        let (side, weight) = piece.weight();
        let side = match side {
            Side::Outside => language.pick("trunk", "транк"),
            Side::Inside => language.pick("phone", "телефон"),
            Side::Helper | Side::Unknown => "",
        };
        let first = format!("  {weight:>3} {} ", cell(side, 8));
        lines.extend(indented(&first, evidence(*piece, language), Style::Faint));
    }
    if let Some(doubt) = doubt(portrait, rulings) {
        lines.extend(advice(&doubt, language));
    }
    lines
}

/// What an endpoint was taken for, and what settles it, to be copied.
pub fn advice(doubt: &Doubt, language: Language) -> Vec<Line> {
    let which = language.pick(
        "the right one of these lines under [calls.sides] settles it:",
        "решит верная из этих строк в [calls.sides]:",
    );
    let mut lines = indented("  → ", &format!("{}; {which}", doubt.claim(language)), Style::Waiting);
    for remedy in doubt.remedies() {
        let pieces = chop(&escape(&remedy), WIDTH - REMEDY);
        lines.extend(
            pieces.into_iter().map(|piece| Line::new(Style::Plain, format!("{:REMEDY$}{piece}", ""))),
        );
    }
    lines
}

fn title(side: Side, extension: Option<&str>, language: Language) -> String {
    match (side, extension) {
        (Side::Inside, Some(extension)) => {
            language.pick(format!("phone of {extension}"), format!("телефон {extension}"))
        }
        (Side::Inside | Side::Outside | Side::Helper | Side::Unknown, _) => {
            words::side(side, language).to_owned()
        }
    }
}

/// A side that rests on little, unless the configuration says it.
fn doubt(portrait: &Portrait, rulings: &[(&Ruling, u64)]) -> Option<Doubt> {
    let verdict = portrait.verdict;
    let is_doubtful = verdict.weak || verdict.side == Side::Unknown;
    (is_doubtful && rulings.is_empty())
        .then(|| Doubt { endpoint: portrait.endpoint.clone(), side: verdict.side })
}

fn indented(first: &str, text: &str, style: Style) -> Vec<Line> {
    let margin = columns(first);
    let texts = wrap(text, WIDTH - margin).into_iter().enumerate();
    let line = |(number, text)| {
        let mut line =
            Line::new(Style::Plain, if number == 0 { first.to_owned() } else { " ".repeat(margin) });
        line.push(style, text);
        line
    };
    texts.map(line).collect()
}

#[cfg(test)]
mod tests;
