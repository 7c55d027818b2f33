//! Pure: what an answer of amoCRM means, for every call that was posted and for the account.
//!
//! Total: any status with any bytes gives a value. Four rules stand above all others.
//!
//! - A call is stored if and only if its `request_id` is in `_embedded.calls`, whatever the status:
//!   a 400 that names refused calls may have stored the others.
//! - What amoCRM clearly did not process may be sent again: 401, 402, 429, the gateway's 403 page,
//!   and a list of validation errors, which refuses the request as a whole.
//! - A list of errors judges calls only under a status that says the request was read and judged:
//!   what stands in the body of a 401 or a 503 is about the account or the server, not about a call.
//! - Everything else is [`Fate::Unclear`] and must be looked up before anything is sent again.

pub mod evidence;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::time::HostTime;

/// What came back over HTTP, as far as it came.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reply {
    pub status: u16,
    /// The `Retry-After` header.
    pub retry_after: Option<Duration>,
    /// amoCRM's clock, from the `Date` header.
    pub date: Option<HostTime>,
    /// The `X-Request-Id` header, which amoCRM's support asks for.
    pub trace: Option<String>,
    /// The body, cut where the connection or our limit cut it.
    pub body: Vec<u8>,
}

/// The meaning of a [`Reply`] to `POST /api/v4/calls`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    pub account: Account,
    /// One for each call, in the order in which they were posted.
    pub fates: Vec<Fate>,
    /// What amoCRM said, for logs and for the record of a call that was refused.
    pub words: String,
    /// The answer as it may be shown, when it refuses some of several calls: nobody has told yet what
    /// such answers look like.
    pub evidence: Option<String>,
}

/// What the answer says about the account, apart from any call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Account {
    /// Requests are processed.
    Fine,
    /// The token is refused.
    Unauthorized,
    /// The account is not paid for.
    Unpaid,
    /// The token's user lacks the right, or the address is not on the account's list.
    Forbidden,
    /// The gateway lets nothing through.
    Banned,
    /// Too many requests.
    TooMany { retry_after: Option<Duration> },
    /// amoCRM is out of order.
    ServerTrouble,
    /// Whatever answers at the address, it is not the API.
    NotAmo,
}

/// What became of one call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// Stored as a note.
    Stored { note_id: Option<u64>, entity: Option<Entity> },
    /// No contact or company has the number; nothing is stored.
    NotFound,
    /// amoCRM refuses this call; nothing is stored.
    Invalid { code: String, path: String, detail: String },
    /// The request was refused for a call that amoCRM did not name; nothing is stored.
    Suspect,
    /// Certainly not processed, and not the call's fault.
    Untouched,
    /// It may be stored or not.
    Unclear,
}

/// What the call was attached to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entity {
    pub kind: String,
    pub id: u64,
}

/// The code of "Entity not found" in `errors[].status`.
const ENTITY_NOT_FOUND: u64 = 263;
/// amoCRM's own code for an account without rights or payment, hidden in a 400's text.
const NO_RIGHTS_OR_UNPAID: &str = "244";
/// Longest text of amoCRM's that is kept, in characters: a sentence, not a page.
const WORDS_MAX: usize = 200;

/// Reads the answer to a batch with these `request_id`s.
pub fn read(reply: &Reply, sent: &[String]) -> Answer {
    let json = json_object(&reply.body);
    let fates = match &json {
        Some(body) => fates_of(reply.status, body, sent),
        None => vec![Fate::Unclear; sent.len()],
    };
    let account = account(reply, json.as_ref());
    let any_stored = fates.iter().any(|fate| matches!(fate, Fate::Stored { .. }));
    let untouched = refuses_unread(reply.status, json.is_some()) && !any_stored;
    let fates =
        fates.into_iter().map(|fate| if untouched && fate == Fate::Unclear { Fate::Untouched } else { fate });
    let evidence = json.as_ref().filter(|body| is_mixed(reply.status, body, sent.len()));
    let evidence = evidence.map(|_| evidence::scrubbed(reply));
    Answer { account, fates: fates.collect(), words: words(reply, json.as_ref()), evidence }
}

/// What any reply says about the account; `json` is its body when that is a JSON object.
pub fn account(reply: &Reply, json: Option<&Value>) -> Account {
    match reply.status {
        401 => Account::Unauthorized,
        402 => Account::Unpaid,
        403 if json.is_none() => Account::Banned,
        403 => Account::Forbidden,
        429 => Account::TooMany { retry_after: reply.retry_after.or_else(|| retry_after(json?)) },
        200..=299 => match json {
            Some(_) => Account::Fine,
            None if reply.status == 204 => Account::Fine,
            None if is_markup(&reply.body) => Account::NotAmo,
            None => Account::ServerTrouble,
        },
        404 | 405 | 100..=199 | 300..=399 => Account::NotAmo,
        400 if json.is_some_and(is_unpaid) => Account::Unpaid,
        400..=499 if json.is_none() && is_markup(&reply.body) => Account::NotAmo,
        400..=499 => Account::Fine,
        _ => Account::ServerTrouble,
    }
}

/// The body, when it is a whole JSON object.
pub fn json_object(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().filter(Value::is_object)
}

/// A sentence on the reply: status, and what amoCRM said in any of its ways of saying it.
pub fn words(reply: &Reply, json: Option<&Value>) -> String {
    let said = match json {
        Some(body) => problem(body),
        None if reply.body.is_empty() => Some("empty body".to_owned()),
        None if is_markup(&reply.body) => Some("a page instead of an answer".to_owned()),
        None => Some("unreadable body".to_owned()),
    };
    match said {
        Some(said) => format!("HTTP {}: {}", reply.status, tidy(&said)),
        None => format!("HTTP {}", reply.status),
    }
}

/// An identifier that may come as a number or as text.
pub fn id_of(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Statuses by which amoCRM says that it did not read the request.
fn refuses_unread(status: u16, is_json: bool) -> bool {
    match status {
        401 | 402 | 429 => true,
        // The gateway's ban page; a 403 of the application itself may come after work was done.
        403 => !is_json,
        _ => false,
    }
}

/// Statuses under which the body's errors are amoCRM's judgement of calls.
fn judges(status: u16) -> bool {
    matches!(status, 200..=299 | 400 | 422)
}

/// Whether the body may refuse some of several calls and say so.
fn is_mixed(status: u16, body: &Value, sent: usize) -> bool {
    let errors = list(body.get("errors")).len();
    sent > 1 && (1..sent).contains(&errors) && judges(status) && body.get("validation-errors").is_none()
}

fn fates_of(status: u16, body: &Value, sent: &[String]) -> Vec<Fate> {
    let stored = stored(body);
    let validation = list(body.get("validation-errors"));
    let whole = status >= 400 && body.get("_embedded").is_none();
    let mut fates = match (judges(status), whole && !validation.is_empty()) {
        (true, true) => refused_by_validation(&validation, sent),
        (true, false) => refused_by_errors(body, sent, &stored),
        (false, _) => vec![Fate::Unclear; sent.len()],
    };
    for (fate, id) in fates.iter_mut().zip(sent) {
        if let Some(as_note) = stored.get(id) {
            *fate = as_note.clone();
        }
    }
    fates
}

fn stored(body: &Value) -> BTreeMap<String, Fate> {
    let calls = list(body.pointer("/_embedded/calls"));
    calls.into_iter().filter_map(|call| Some((request_id(call)?, stored_as(call)))).collect()
}

fn stored_as(call: &Value) -> Fate {
    let id = id_of(call.get("entity_id")).or_else(|| id_of(call.pointer("/_embedded/entity/id")));
    let kind = call.get("entity_type").and_then(Value::as_str);
    let entity = id.zip(kind).map(|(id, kind)| Entity { kind: tidy(kind), id });
    Fate::Stored { note_id: id_of(call.get("id")), entity }
}

/// The request as a whole is refused: the named calls for their faults, the others because they
/// came along. When none of ours is named, any may be the one.
fn refused_by_validation(validation: &[&Value], sent: &[String]) -> Vec<Fate> {
    let mut named = BTreeMap::new();
    for entry in validation {
        let faults = list(entry.get("errors"));
        let fault = faults.first().copied().unwrap_or(entry);
        if let Some(id) = request_id(entry) {
            named.entry(id).or_insert_with(|| invalid(fault));
        }
    }
    let blamed = sent.iter().any(|id| named.contains_key(id));
    let others = if blamed { Fate::Untouched } else { Fate::Suspect };
    let mut fates: Vec<Fate> =
        sent.iter().map(|id| named.remove(id).unwrap_or_else(|| others.clone())).collect();
    if let ([fate @ Fate::Suspect], Some(entry)) = (fates.as_mut_slice(), validation.first()) {
        *fate = invalid(list(entry.get("errors")).first().copied().unwrap_or(entry));
    }
    fates
}

/// Errors that name a call settle it. Unnamed ones settle calls only when there is exactly one
/// for each call that nothing else is known of.
fn refused_by_errors(body: &Value, sent: &[String], stored: &BTreeMap<String, Fate>) -> Vec<Fate> {
    let mut named = BTreeMap::new();
    let mut unnamed = Vec::new();
    for error in list(body.get("errors")) {
        match request_id(error).filter(|id| sent.contains(id)) {
            Some(id) => drop(named.entry(id).or_insert_with(|| refused(error))),
            None => unnamed.push(refused(error)),
        }
    }
    let open = sent.iter().filter(|id| !stored.contains_key(*id) && !named.contains_key(*id)).count();
    let alike = unnamed.windows(2).all(|pair| pair[0] == pair[1]);
    let rest = match unnamed.first() {
        Some(fate) if alike && unnamed.len() == open => fate.clone(),
        Some(_) | None => Fate::Unclear,
    };
    sent.iter().map(|id| named.remove(id).unwrap_or_else(|| rest.clone())).collect()
}

fn refused(error: &Value) -> Fate {
    let by_code = ["status", "code"].iter().any(|key| id_of(error.get(*key)) == Some(ENTITY_NOT_FOUND));
    let by_name = ["title", "detail"]
        .iter()
        .filter_map(|key| error.get(*key)?.as_str())
        .any(|text| text.trim().eq_ignore_ascii_case("entity not found"));
    if by_code || by_name { Fate::NotFound } else { invalid(error) }
}

fn invalid(fault: &Value) -> Fate {
    let text = |keys: &[&str]| keys.iter().find_map(|key| scalar(fault.get(*key)?)).unwrap_or_default();
    Fate::Invalid {
        code: text(&["code", "status"]),
        path: text(&["path"]),
        detail: text(&["detail", "title", "hint"]),
    }
}

/// amoCRM echoes what was sent as text; an index that it made up itself may be a number.
fn request_id(entry: &Value) -> Option<String> {
    match entry.get("request_id")? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The elements of a list, or of an object that PHP made of one.
fn list(value: Option<&Value>) -> Vec<&Value> {
    match value {
        Some(Value::Array(entries)) => entries.iter().collect(),
        Some(Value::Object(entries)) => entries.values().filter(|entry| entry.is_object()).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => Vec::new(),
    }
}

/// A 400 about money or rights: its text is the only sign of it.
fn is_unpaid(body: &Value) -> bool {
    let about_calls = ["errors", "validation-errors", "_embedded"].iter().any(|key| body.get(*key).is_some());
    let detail = body.get("detail").and_then(Value::as_str).unwrap_or_default();
    let coded = detail.split(|c: char| !c.is_ascii_digit()).any(|number| number == NO_RIGHTS_OR_UNPAID);
    !about_calls && (coded || detail.to_ascii_lowercase().contains("payment required"))
}

fn retry_after(body: &Value) -> Option<Duration> {
    id_of(body.get("retry_after")).map(Duration::from_secs)
}

fn problem(body: &Value) -> Option<String> {
    let first = |key| list(body.get(key)).first().copied();
    let of = |value: &Value| {
        let title = value.get("title").and_then(scalar);
        let detail = ["detail", "hint", "message"].iter().find_map(|key| scalar(value.get(*key)?));
        match (title, detail) {
            (Some(title), Some(detail)) => Some(format!("{title}: {detail}")),
            (title, detail) => title.or(detail),
        }
    };
    of(body).or_else(|| of(first("errors")?)).or_else(|| of(first("validation-errors")?))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(tidy(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// One line of bounded length: what comes from outside must not break a log or fill the store.
pub fn tidy(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(WORDS_MAX).collect::<String>().trim().to_owned()
}

fn is_markup(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

#[cfg(test)]
mod tests;
