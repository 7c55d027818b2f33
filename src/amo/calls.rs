//! Pure: request bodies of `POST /api/v4/calls`.
//!
//! amoCRM refuses a whole batch for one `null`, blank or unknown field, so an [`Entry`] leaves out
//! what is not known, and [`entry`] refuses the call that could not be accepted.

use serde::{Deserialize, Serialize};

use crate::amo::limits::Limits;
use crate::amo::recording;
use crate::amo::result::Telling;
use crate::amo::settings::{Length, Settings, TEXT_MAX};
use crate::amo::who::{self, Who};
use crate::call::record::{CallRecord, Direction};
use crate::time::{HostTime, PbxTime};

/// One call as amoCRM wants it. Never `updated_at`: it stays the server's, by which stored notes
/// are found again.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Entry {
    pub direction: &'static str,
    pub uniq: String,
    pub duration: u64,
    pub source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    pub phone: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_responsible: Option<Responsible>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_status: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responsible_user_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    pub request_id: String,
}

/// Whom the feed shows. amoCRM takes a number for a user's id and a text for a user's name or
/// phone: the two must not be mixed up.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Responsible {
    User(u64),
    Name(String),
}

/// Why a call cannot be sent at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unfit {
    #[error("the call has no phone number")]
    NoPhone,
    #[error("the phone number is longer than {TEXT_MAX} characters")]
    LongPhone,
}

/// Offsets of amoCRM's clock below this are no offsets, in microseconds.
const NOISE: i64 = 2_000_000;
/// The statuses that amoCRM documents.
const STATUSES: std::ops::RangeInclusive<u8> = 1..=7;

/// How a call is told, beside what the settings say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Manner<'m> {
    pub clocks: Clocks,
    /// What amoCRM was found to take.
    pub limits: Limits,
    /// The sound of the call below its folder, where that was looked for and found.
    pub sound: Option<&'m str>,
}

/// The clocks by which the times of a call are told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Clocks {
    /// How far the host's clock is ahead of the PBX's, in microseconds.
    pub host_ahead: i64,
    /// How far amoCRM's clock is ahead of the host's, in microseconds.
    pub amo_ahead: i64,
    /// By the host's clock. No call began later; without it nothing is later.
    pub now: Option<HostTime>,
    /// How far local time is ahead of UTC, in seconds.
    pub utc_offset: i32,
}

/// Writes one call, booked as the configuration alone says.
///
/// # Errors
/// When amoCRM would refuse the call, and the batch with it.
pub fn entry(
    record: &CallRecord,
    request_id: &str,
    settings: &Settings,
    manner: &Manner<'_>,
) -> Result<Entry, Unfit> {
    entry_of(record, request_id, settings, manner, who::configured(record, settings))
}

/// As [`entry`], booked on `who`.
///
/// # Errors
/// As [`entry`].
pub fn entry_of(
    record: &CallRecord,
    request_id: &str,
    settings: &Settings,
    manner: &Manner<'_>,
    who: Who,
) -> Result<Entry, Unfit> {
    let limits = manner.limits;
    Ok(Entry {
        direction: direction(record.direction),
        uniq: uniq(record),
        duration: duration(record, settings.duration),
        source: source(record, settings, limits),
        link: recording::link(record, settings, manner).filter(|_| limits.link),
        phone: phone(record)?,
        call_result: result(record, settings, limits, who.told.as_deref()),
        call_responsible: who.shown,
        call_status: record.status.filter(|status| STATUSES.contains(status)),
        responsible_user_id: who.user,
        created_by: who.user,
        created_at: Some(manner.clocks.told(record.started_at)).filter(|at| *at > 0),
        request_id: request_id.to_owned(),
    })
}

/// The JSON array that is posted.
pub fn batch_json(entries: &[Entry]) -> Vec<u8> {
    serde_json::to_vec(entries).expect("strings and numbers always have a JSON form")
}

/// What the note's `params.uniq` will say; by it a stored call is found again.
pub fn uniq(record: &CallRecord) -> String {
    cut(record.call_id.as_str(), TEXT_MAX)
}

/// What the line of the call says, or else the account; our name, where amoCRM takes neither.
fn source(record: &CallRecord, settings: &Settings, limits: Limits) -> String {
    if !limits.source {
        return Limits::SOURCE.to_owned();
    }
    let own = record.line.source.as_deref().map(|source| cut(source.trim(), TEXT_MAX));
    own.filter(|source| !source.is_empty()).unwrap_or_else(|| settings.source.as_str().to_owned())
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
        // Sent only where the configuration gives extensions numbers: one of us called another.
        Direction::Internal => "outbound",
    }
}

/// Whole seconds: an answered call has at least one, a missed one none.
fn duration(record: &CallRecord, length: Length) -> u64 {
    let seconds = match length {
        Length::Talk => record.talk_seconds,
        Length::Bridged => record.bridged_seconds,
    };
    if record.answered { seconds.rounded().max(1) } else { 0 }
}

fn phone(record: &CallRecord) -> Result<String, Unfit> {
    let phone = record.phone_e164.as_deref().or(record.phone.as_deref()).unwrap_or_default().trim();
    match phone.chars().count() {
        0 => Err(Unfit::NoPhone),
        1..=TEXT_MAX => Ok(phone.to_owned()),
        _ => Err(Unfit::LongPhone),
    }
}

/// `told` is how an extension without a user is told.
fn result(record: &CallRecord, settings: &Settings, limits: Limits, told: Option<&str>) -> Option<String> {
    let Settings { results, language, .. } = settings;
    let said = Telling { results, language: *language, max: limits.result_max, who: told }.of(record);
    who::telling(said, told, limits.result_max.min(TEXT_MAX))
}

impl Clocks {
    /// The PBX's moment in amoCRM's seconds since 1970.
    pub fn told(&self, at: PbxTime) -> i64 {
        // The header by which it is measured has whole seconds, and is a while under way.
        let amo_ahead = if self.amo_ahead.abs() < NOISE { 0 } else { self.amo_ahead };
        let by_amo = |at: HostTime| HostTime::from_micros(at.micros().saturating_add(amo_ahead));
        let told = by_amo(at.to_host(self.host_ahead));
        self.now.map_or(told, |now| told.min(by_amo(now))).seconds()
    }
}

/// The first `max` characters.
pub fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

#[cfg(test)]
mod tests;
