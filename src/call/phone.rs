//! Pure: what a number looks like in a record.
//!
//! The number that the network presented, or that was sent to it, goes through a small table: pauses
//! and separators go, the configured rules are applied in their order, and a national form becomes an
//! international one. The table as it stands without configuration is Russia's.

use serde::{Deserialize, Serialize};

use crate::call::pattern::Pattern;
use crate::call::record::{Direction, Skip};

/// Digits of a number that are shown where not all of it may be.
const DIGITS_SHOWN: usize = 4;
/// Fewest digits of a number that a subscriber can have; service numbers are shorter.
pub const DIGITS_MIN: usize = 5;
/// Digits of an international number, country code included (ITU-T E.164, and the shortest in use).
const E164_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;
/// Fewest digits that only a number with its country code has.
const FOREIGN_DIGITS_MIN: usize = 11;

/// The `[calls.numbers]` table.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rules {
    /// Calling code of the country whose national numbers are dialled here; empty: numbers stay as
    /// they are.
    pub country: String,
    /// Area code of numbers that are dialled without one; empty: such numbers stay as they are.
    pub area: String,
    /// What is dialled before a number of another area.
    pub national_prefix: String,
    /// What is dialled before a number of another country; `00` and `+` are always known.
    pub international_prefix: String,
    /// Digits of a national number with its area code and without a prefix.
    pub national_digits: usize,
    pub rule: Vec<Rule>,
}

/// `[[calls.numbers.rule]]`: the part of a number that fits is replaced.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// Compared with the digits of the number, with a `+` before them if there was one.
    pub pattern: Pattern,
    /// What comes in its place, with `$1` … from the pattern.
    pub replace: String,
    /// Only for calls of this direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
}

impl Rules {
    /// Digits of a number that is dialled without an area code, where the area is known.
    pub fn local_digits(&self) -> Option<usize> {
        if self.area.is_empty() { None } else { self.national_digits.checked_sub(self.area.len()) }
    }
}

impl Default for Rules {
    /// Russia: 8 before another area, 8~10 before another country, ten digits.
    fn default() -> Self {
        Self {
            country: "7".to_owned(),
            area: String::new(),
            national_prefix: "8".to_owned(),
            international_prefix: "810".to_owned(),
            national_digits: 10,
            rule: Vec::new(),
        }
    }
}

/// An outside number as a record carries it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Number {
    /// Digits only.
    pub digits: String,
    /// `+` and the digits, when they are an international number.
    pub e164: Option<String>,
}

/// A number on its way to the log, which shows it there with its last digits only.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Private(String);

impl Private {
    /// Digits as a record has them; nothing, where it has none.
    pub fn new(number: Option<&str>) -> Self {
        Self(number.unwrap_or_default().to_owned())
    }

    /// As [`masked`].
    pub fn masked(&self) -> String {
        masked(&self.0)
    }

    /// All of it: for a name under which it is found, not for print.
    pub fn whole(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Private {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.masked())
    }
}

/// One line of the table that changed the number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    pub what: What,
    /// The number after it.
    pub result: String,
}

/// What a line of the table does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum What {
    /// What follows a pause is dialled after the answer and belongs to no number.
    CutAtPause,
    /// Everything but digits and a leading `+` goes.
    DigitsOnly,
    /// The configured rule of this place, from 0.
    Rule(usize),
    /// The prefix for other countries goes.
    InternationalPrefix,
    /// The prefix for other areas becomes the country.
    NationalPrefix,
    /// A national number gets its country.
    Country,
    /// A local number gets its country and area.
    Area,
}

/// The number as records carry it. `Err` says why there is none to send.
///
/// # Errors
/// [`Skip::Anonymous`] without a number, [`Skip::ShortNumber`] under five digits.
pub fn subscriber(raw: Option<&str>, direction: Direction, rules: &Rules) -> Result<Number, Skip> {
    let Some(raw) = raw else { return Err(Skip::Anonymous) };
    let (number, _) = apply(raw, direction, rules);
    match number.digits.len() {
        0 => Err(Skip::Anonymous),
        length if length < DIGITS_MIN => Err(Skip::ShortNumber),
        _ => Ok(number),
    }
}

/// Sends a number through the table; the steps say which lines changed it.
pub fn apply(raw: &str, direction: Direction, rules: &Rules) -> (Number, Vec<Step>) {
    let mut steps = Vec::new();
    let mut number = raw.trim().to_owned();
    let mut note = |what: What, number: &mut String, result: String| {
        if *number != result {
            steps.push(Step { what, result: result.clone() });
            *number = result;
        }
    };
    let pause = number.find([',', 'w', 'W', 'p', 'P', ';']).filter(|at| *at > 0);
    let head = pause.and_then(|at| number.get(..at)).map(str::to_owned);
    if let Some(head) = head {
        note(What::CutAtPause, &mut number, head);
    }
    let plain = digits_only(&number);
    note(What::DigitsOnly, &mut number, plain);
    for (place, rule) in rules.rule.iter().enumerate() {
        let applies = rule.direction.is_none_or(|only| only == direction);
        if let Some(result) = applies.then(|| rule.pattern.replace(&number, &rule.replace)).flatten() {
            note(What::Rule(place), &mut number, digits_only(&result));
        }
    }
    if let Some((what, result)) = international(&number, rules) {
        note(what, &mut number, result);
    }
    let digits = number.trim_start_matches('+').to_owned();
    let is_e164 = number.starts_with('+') && E164_DIGITS.contains(&digits.len());
    (Number { e164: is_e164.then(|| format!("+{digits}")), digits }, steps)
}

/// The international form of a number that has none, with `+`, and how it came about.
fn international(number: &str, rules: &Rules) -> Option<(What, String)> {
    let Rules { country, area, national_prefix, international_prefix, national_digits, .. } = rules;
    if number.starts_with('+') || country.is_empty() {
        return None;
    }
    let (length, national) = (number.len(), *national_digits);
    if number.starts_with(country.as_str()) && length == country.len() + national {
        return Some((What::Country, format!("+{number}")));
    }
    let is_national = |rest: &&str| rest.len() == national;
    if let Some(rest) = number.strip_prefix(national_prefix.as_str()).filter(is_national)
        && !national_prefix.is_empty()
    {
        return Some((What::NationalPrefix, format!("+{country}{rest}")));
    }
    let abroad = [international_prefix.as_str(), "00"].into_iter().filter(|prefix| !prefix.is_empty());
    let abroad = abroad.filter_map(|prefix| number.strip_prefix(prefix));
    if let Some(rest) = abroad.into_iter().find(|rest| E164_DIGITS.contains(&rest.len())) {
        return Some((What::InternationalPrefix, format!("+{rest}")));
    }
    if length == national {
        return Some((What::Country, format!("+{country}{number}")));
    }
    if !area.is_empty() && length + area.len() == national {
        return Some((What::Area, format!("+{country}{area}{number}")));
    }
    let is_foreign = (FOREIGN_DIGITS_MIN..=*E164_DIGITS.end()).contains(&length);
    is_foreign.then(|| (What::Country, format!("+{number}")))
}

/// Digits, and a `+` before them when the text begins with one.
fn digits_only(text: &str) -> String {
    let plus = text.trim_start().starts_with('+');
    let digits = text.chars().filter(char::is_ascii_digit);
    plus.then_some('+').into_iter().chain(digits).collect()
}

/// `…4567`, as logs above `debug` show a number: enough to find the call, too little to ring the
/// person. Of a short number at most half is shown.
pub fn masked(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let shown = DIGITS_SHOWN.min(digits.len() / 2);
    let tail: String = digits.into_iter().rev().take(shown).rev().collect();
    format!("…{tail}")
}

#[cfg(test)]
mod tests;
