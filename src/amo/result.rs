//! Pure: `call_result`, the sentence that a person reads under the call in amoCRM.
//!
//! The dial plan's own words go first, then the configuration's template for the outcome, then ours in
//! the language of the line or the account.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::amo::settings::{Settings, TEXT_MAX};
use crate::amo::template::{self, Places, Template};
use crate::call::line::Language;
use crate::call::record::{CallRecord, Direction, Outcome, Seconds};

mod english;
mod russian;

/// What a template of a result can say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// Who answered first, or on whom the call is booked.
    Who,
    /// Who talked after the first, in their order.
    Then,
    /// Who talked together with the first.
    With,
    /// Whom the PBX called.
    Rang,
    /// From the beginning of the call to the first word, or to its end.
    Wait,
    Talk,
    Hold,
    Queue,
    Line,
    Did,
    Phone,
    Trunk,
}

impl Places for Place {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("who", Self::Who),
        ("then", Self::Then),
        ("with", Self::With),
        ("rang", Self::Rang),
        ("wait", Self::Wait),
        ("talk", Self::Talk),
        ("hold", Self::Hold),
        ("queue", Self::Queue),
        ("line", Self::Line),
        ("did", Self::Did),
        ("phone", Self::Phone),
        ("trunk", Self::Trunk),
    ];
}

/// The configuration's words for one outcome: the same for both directions, or one for each.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Words {
    inbound: Option<Template<Place>>,
    outbound: Option<Template<Place>>,
}

/// The `[amocrm.results]` table.
pub type Results = BTreeMap<Outcome, Words>;

/// How the result of a call is told.
#[derive(Clone, Copy, Debug)]
pub struct Telling<'t> {
    pub results: &'t Results,
    pub language: Language,
    /// Longest text, in characters; none at all, when it is 0.
    pub max: usize,
    /// How whoever is on the call is told, where that is more than an extension.
    pub who: Option<&'t str>,
}

/// Whoever hands a call over may still hear the other one.
const OVERLAP: Duration = Duration::from_secs(2);
/// Extensions that are told of a call that rang many.
const RANG_TOLD: usize = 5;
/// Where a text was cut.
const CUT: char = '…';

impl Telling<'_> {
    /// What is said of this call; `None` when nothing is.
    pub fn of(&self, record: &CallRecord) -> Option<String> {
        let said = self.whole(record);
        let line: String = said.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
        Some(cut(line.trim(), self.max.min(TEXT_MAX))).filter(|text| !text.is_empty())
    }

    /// The same in full length, as it stays with the call here.
    fn whole(&self, record: &CallRecord) -> String {
        if let Some(own) = &record.call_result {
            return own.clone();
        }
        let value = |place| self.value(place, record);
        let words = self.results.get(&record.outcome);
        if let Some(own) = words.and_then(|words| words.of(record.direction)) {
            return own.fill(&value);
        }
        usual(record.outcome, record.direction, record.line.language.unwrap_or(self.language)).fill(&value)
    }

    fn value(&self, place: Place, record: &CallRecord) -> Option<String> {
        let language = record.line.language.unwrap_or(self.language);
        match place {
            Place::Who => {
                let extension = record.answered_by.first().or(record.responsible.as_ref());
                extension.map(|extension| self.told(extension, record).to_owned())
            }
            Place::Then => Some(self.listed(&others(record, false), record)),
            Place::With => Some(self.listed(&others(record, true), record)),
            Place::Rang => Some(self.listed(&record.rang, record)),
            Place::Wait => span(record.wait_seconds, language),
            Place::Talk => span(record.talk_seconds, language),
            Place::Hold => span(record.hold_seconds, language),
            Place::Queue => record.queue.clone(),
            Place::Line => record.line.label.clone(),
            Place::Did => record.did.clone(),
            Place::Phone => record.phone_e164.clone().or(record.phone.clone()),
            Place::Trunk => record.trunk.clone(),
        }
    }

    /// How an extension is told. What is told in place of one is the responsible's, who need not have
    /// answered first.
    fn told<'a>(&'a self, extension: &'a str, record: &CallRecord) -> &'a str {
        self.who.filter(|_| record.responsible.as_deref() == Some(extension)).unwrap_or(extension)
    }

    fn listed(&self, extensions: &[String], record: &CallRecord) -> String {
        let told = extensions.iter().take(RANG_TOLD).map(|extension| self.told(extension, record));
        let mut text = told.collect::<Vec<_>>().join(", ");
        if extensions.len() > RANG_TOLD {
            text.push_str(", ");
            text.push(CUT);
        }
        text
    }
}

impl Words {
    fn of(&self, direction: Direction) -> Option<&Template<Place>> {
        match direction {
            Direction::Inbound => self.inbound.as_ref(),
            Direction::Outbound | Direction::Internal => self.outbound.as_ref(),
        }
    }
}

/// Our own words. The same outcome has two sides: who did not answer is the customer in one direction
/// and the employee in the other.
fn usual(outcome: Outcome, direction: Direction, language: Language) -> Template<Place> {
    Template::parse(usual_text(outcome, direction, language)).expect("a test reads each of them")
}

fn usual_text(outcome: Outcome, direction: Direction, language: Language) -> &'static str {
    let outbound = direction == Direction::Outbound;
    match language {
        Language::Ru => russian::template(outcome, outbound),
        Language::En => english::template(outcome, outbound),
    }
}

/// The language in which people are told of a call: its line's, or else the account's.
pub fn language(record: &CallRecord, settings: &Settings) -> Language {
    record.line.language.unwrap_or(settings.language)
}

/// The outcome in a few words, without what is known of the call.
pub fn words(outcome: Outcome, direction: Direction, language: Language) -> &'static str {
    match (outcome, language) {
        (Outcome::Answered, Language::Ru) => "Разговор состоялся",
        (Outcome::Answered, Language::En) => "Talked",
        // The parts that may be left out come last.
        (outcome, language) => {
            let text = usual_text(outcome, direction, language);
            text.split_once('[').map_or(text, |(words, _)| words)
        }
    }
}

/// Who talked after the first had talked, or together with him. Where nobody knows who talked when, one
/// came after another.
fn others(record: &CallRecord, together: bool) -> Vec<String> {
    let Some((first, others)) = record.answered_by.split_first() else { return Vec::new() };
    let of = |extension: &str| record.segments.iter().find(|segment| segment.extension == extension);
    let was_together = |other: &String| match (of(first), of(other)) {
        (Some(first), Some(other)) => other.from.after(OVERLAP) < first.to,
        (_, _) => false,
    };
    others.iter().filter(|other| was_together(other) == together).cloned().collect()
}

/// `8 с`, `2 мин 5 с`, `1 ч 3 мин`; nothing for less than half a second.
fn span(length: Seconds, language: Language) -> Option<String> {
    let seconds = length.rounded();
    let [hour, minute, second] = match language {
        Language::Ru => ["ч", "мин", "с"],
        Language::En => ["h", "min", "s"],
    };
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0) => None,
        (0, 0, seconds) => Some(format!("{seconds} {second}")),
        (0, minutes, 0) => Some(format!("{minutes} {minute}")),
        (0, minutes, seconds) => Some(format!("{minutes} {minute} {seconds} {second}")),
        (hours, 0, _) => Some(format!("{hours} {hour}")),
        (hours, minutes, _) => Some(format!("{hours} {hour} {minutes} {minute}")),
    }
}

/// At most `max` characters; the last one shows that there were more.
pub fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(max.saturating_sub(1)).collect();
    if max > 0 {
        kept.truncate(kept.trim_end().len());
        kept.push(CUT);
    }
    kept
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Both;

        impl<'de> Visitor<'de> for Both {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or { inbound = \"…\", outbound = \"…\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Words, E> {
                let template = parse(text)?;
                Ok(Words { inbound: Some(template.clone()), outbound: Some(template) })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Words, A::Error> {
                let mut words = Words::default();
                while let Some(direction) = map.next_key::<Side>()? {
                    let Text(template) = map.next_value()?;
                    match direction {
                        Side::Inbound => words.inbound = Some(template),
                        Side::Outbound => words.outbound = Some(template),
                    }
                }
                Ok(words)
            }
        }
        deserializer.deserialize_any(Both)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Side {
    Inbound,
    Outbound,
}

struct Text(Template<Place>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse(&String::deserialize(deserializer)?).map(Self)
    }
}

fn parse<E: de::Error>(text: &str) -> Result<Template<Place>, E> {
    Template::parse(text).map_err(|error: template::Error| E::custom(error))
}

impl Serialize for Words {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let (Some(inbound), Some(outbound)) = (&self.inbound, &self.outbound)
            && inbound == outbound
        {
            return serializer.serialize_str(inbound.as_str());
        }
        let mut map = serializer.serialize_map(None)?;
        for (direction, words) in [("inbound", &self.inbound), ("outbound", &self.outbound)] {
            if let Some(words) = words {
                map.serialize_entry(direction, words.as_str())?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
