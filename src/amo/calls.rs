//! Pure: request bodies of `POST /api/v4/calls`.
//!
//! amoCRM refuses a whole batch for one `null`, blank or unknown field, so an [`Entry`] leaves out
//! what is not known, and [`entry`] refuses the call that could not be accepted.

use serde::Serialize;

use crate::amo::settings::{Language, Length, Settings, TEXT_MAX, Unmapped};
use crate::call::record::{CallRecord, Direction, Outcome};

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
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
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

/// Longest recording link, in bytes: what browsers and proxies accept without question.
pub const LINK_MAX: usize = 2048;
/// The statuses that amoCRM documents.
const STATUSES: std::ops::RangeInclusive<u8> = 1..=7;

/// Writes one call. `offset` is how far the host's clock is ahead of the PBX's, in microseconds.
///
/// # Errors
/// When amoCRM would refuse the call, and the batch with it.
pub fn entry(
    record: &CallRecord,
    request_id: &str,
    settings: &Settings,
    offset: i64,
) -> Result<Entry, Unfit> {
    let user = settings.user(record.responsible.as_deref());
    Ok(Entry {
        direction: direction(record.direction),
        uniq: uniq(record),
        duration: duration(record, settings.duration),
        source: source(record, settings),
        link: link(record, settings),
        phone: phone(record)?,
        call_responsible: responsible(record, user, settings.unmapped),
        call_result: result(record, settings),
        call_status: record.status.filter(|status| STATUSES.contains(status)),
        responsible_user_id: user,
        created_by: user,
        created_at: Some(record.started_at.to_host(offset).seconds()).filter(|at| *at > 0),
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

/// What the line of the call says, or else the account.
fn source(record: &CallRecord, settings: &Settings) -> String {
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

fn responsible(record: &CallRecord, user: Option<u64>, unmapped: Unmapped) -> Option<Responsible> {
    match (user, unmapped) {
        (Some(user), _) => Some(Responsible::User(user)),
        (None, Unmapped::Omit) => None,
        (None, Unmapped::Extension) => {
            let extension = record.responsible.as_deref().filter(|text| !text.trim().is_empty())?;
            Some(Responsible::Name(cut(extension, TEXT_MAX)))
        }
    }
}

fn result(record: &CallRecord, settings: &Settings) -> Option<String> {
    let words = match record.call_result.as_ref().or(settings.results.get(&record.outcome)) {
        Some(own) => cut(own.trim(), TEXT_MAX),
        None => words(record.outcome, record.direction, settings.language).to_owned(),
    };
    Some(words).filter(|words| !words.is_empty())
}

/// What a person reads under the call. The same outcome has two sides: who did not answer is the
/// customer in one direction and the employee in the other.
pub fn words(outcome: Outcome, direction: Direction, language: Language) -> &'static str {
    let outbound = direction == Direction::Outbound;
    match language {
        Language::Ru => russian(outcome, outbound),
        Language::En => english(outcome, outbound),
    }
}

fn russian(outcome: Outcome, outbound: bool) -> &'static str {
    match (outcome, outbound) {
        (Outcome::Answered, _) => "Разговор состоялся",
        (Outcome::Voicemail, false) => "Клиент оставил голосовое сообщение",
        (Outcome::Voicemail, true) => "Ответил автоответчик",
        (Outcome::Unavailable, false) => "Сотрудник недоступен",
        (Outcome::Unavailable, true) => "Абонент недоступен",
        (Outcome::WrongNumber, _) => "Неверный номер",
        (Outcome::NoAnswer, false) => "Никто не ответил",
        (Outcome::NoAnswer, true) => "Абонент не ответил",
        (Outcome::Cancelled, false) => "Клиент не дождался ответа",
        (Outcome::Cancelled, true) => "Сотрудник отменил вызов",
        (Outcome::Abandoned, _) => "Клиент не дождался ответа сотрудника",
        (Outcome::Declined, false) => "Сотрудник отклонил вызов",
        (Outcome::Declined, true) => "Абонент отклонил вызов",
        (Outcome::Congestion, _) => "Не удалось соединить: сбой связи",
        (Outcome::Busy, false) => "Сотрудник был занят",
        (Outcome::Busy, true) => "Абонент занят",
        (Outcome::Fax, _) => "Факс",
    }
}

fn english(outcome: Outcome, outbound: bool) -> &'static str {
    match (outcome, outbound) {
        (Outcome::Answered, _) => "Talked",
        (Outcome::Voicemail, false) => "The customer left a voice message",
        (Outcome::Voicemail, true) => "An answering machine picked up",
        (Outcome::Unavailable, false) => "The employee was unavailable",
        (Outcome::Unavailable, true) => "The customer was unavailable",
        (Outcome::WrongNumber, _) => "Wrong number",
        (Outcome::NoAnswer, false) => "Nobody answered",
        (Outcome::NoAnswer, true) => "The customer did not answer",
        (Outcome::Cancelled, false) => "The customer hung up before an answer",
        (Outcome::Cancelled, true) => "The employee cancelled the call",
        (Outcome::Abandoned, _) => "The customer hung up before reaching an employee",
        (Outcome::Declined, false) => "The employee declined the call",
        (Outcome::Declined, true) => "The customer declined the call",
        (Outcome::Congestion, _) => "The call could not be connected",
        (Outcome::Busy, false) => "The employee was busy",
        (Outcome::Busy, true) => "The customer was busy",
        (Outcome::Fax, _) => "Fax",
    }
}

fn link(record: &CallRecord, settings: &Settings) -> Option<String> {
    let link = settings.recording_url.as_ref()?.fill(&encoded(record.recording.as_deref()?)?);
    (link.len() <= LINK_MAX).then_some(link)
}

/// The path of a recording below the monitor folder, percent-encoded; `None` for one that would
/// leave the folder, because a browser resolves the dots before it asks.
fn encoded(path: &str) -> Option<String> {
    let path = path.trim_start_matches('/');
    if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return None;
    }
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    Some(text)
}

/// The first `max` characters.
fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

#[cfg(test)]
mod tests;
