//! The answers of amoCRM: every one that is known or must be feared, and how its bytes look.

use std::time::Duration;

use ami2amo::amo::answer::Reply;
use ami2amo::amo::client::Failure;
use serde_json::{Value, json};

use crate::dice::Dice;

/// How a request is answered.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Answer {
    /// 200, every call stored.
    Stored,
    /// 202 in its place.
    StoredAccepted,
    /// The request ids come back as numbers.
    StoredIntIds,
    /// Some numbers are not known: 200 with errors.
    Mixed200,
    /// The same as a 400.
    Mixed400,
    /// The errors do not say whom they mean.
    MixedUnnamed,
    /// The errors have a title and no code.
    MixedByTitle,
    /// No number is known: 400 with errors.
    NoneFound400,
    NoneFound200,
    /// No number is known, and nothing is said of it.
    EmptyList,
    /// 204: stored or not.
    NoContent,
    Validation,
    ValidationUnnamed,
    BadRequest,
    /// 400 with "Код ошибки 244".
    Code244,
    /// 400 with "Payment Required".
    PaymentText,
    Unauthorized,
    Unpaid,
    Forbidden,
    /// The gateway's 403 page.
    Banned,
    NotFound,
    TooMany,
    /// 429 with `Retry-After`.
    TooManyAfter,
    /// 429 with `retry_after` in its body.
    TooManyBody,
    Error500,
    /// 502 of the gateway, after some calls were stored.
    Error502,
    Error503,
    /// 504, after some calls were stored.
    Error504,
    TimedOutBefore,
    TimedOutAfter,
    /// Carried out near the end of the time-out.
    TimedOutLate,
    ResetBefore,
    ResetAfter,
    /// No connection.
    Refused,
    /// Stored, and the answer is cut.
    CutBody,
    /// Stored, and the answer is no JSON.
    Garbage,
    /// A page instead of an answer; stored or not.
    Html,
    /// Some calls are stored, and fewer are named.
    Partial,
    /// What a question is answered with.
    Account,
    Page,
}

/// What a POST may be answered at any time.
pub const ODD_POSTS: &[Answer] = &[
    Answer::NoContent,
    Answer::BadRequest,
    Answer::Code244,
    Answer::PaymentText,
    Answer::Unauthorized,
    Answer::Unpaid,
    Answer::Forbidden,
    Answer::Banned,
    Answer::NotFound,
    Answer::TooMany,
    Answer::TooManyAfter,
    Answer::TooManyBody,
    Answer::Error500,
    Answer::Error502,
    Answer::Error503,
    Answer::Error504,
    Answer::TimedOutBefore,
    Answer::TimedOutAfter,
    Answer::TimedOutLate,
    Answer::ResetBefore,
    Answer::ResetAfter,
    Answer::Refused,
    Answer::CutBody,
    Answer::Garbage,
    Answer::Html,
    Answer::Partial,
];

/// What a question may be answered at any time.
pub const ODD_READS: &[Answer] = &[
    Answer::NoContent,
    Answer::BadRequest,
    Answer::Unauthorized,
    Answer::Unpaid,
    Answer::Forbidden,
    Answer::Banned,
    Answer::NotFound,
    Answer::TooMany,
    Answer::TooManyAfter,
    Answer::Error500,
    Answer::Error503,
    Answer::TimedOutBefore,
    Answer::ResetBefore,
    Answer::Refused,
    Answer::CutBody,
    Answer::Garbage,
    Answer::Html,
];

/// Answers of a POST that depend on its calls.
pub const USUAL_POSTS: &[Answer] = &[
    Answer::Stored,
    Answer::StoredAccepted,
    Answer::StoredIntIds,
    Answer::Mixed200,
    Answer::Mixed400,
    Answer::MixedUnnamed,
    Answer::MixedByTitle,
    Answer::NoneFound400,
    Answer::NoneFound200,
    Answer::EmptyList,
    Answer::Validation,
    Answer::ValidationUnnamed,
];

/// What amoCRM makes of one posted call.
#[derive(Clone, Debug)]
pub struct Judged {
    pub request_id: String,
    pub note_id: Option<u64>,
    pub is_poison: bool,
    pub is_known: bool,
}

/// Milliseconds until the answer, at least and at most; `None` when none comes.
pub fn took_ms(answer: Answer) -> Option<(u64, u64)> {
    match answer {
        Answer::TimedOutBefore | Answer::TimedOutAfter | Answer::TimedOutLate => None,
        Answer::Error504 => Some((5_000, 25_000)),
        Answer::Refused => Some((1, 5_000)),
        Answer::ResetBefore | Answer::ResetAfter => Some((10, 20_000)),
        _ => Some((80, 1_500)),
    }
}

/// An unpaid account may still be read.
pub fn is_for_writes(answer: Answer) -> bool {
    matches!(answer, Answer::Unpaid | Answer::Code244 | Answer::PaymentText)
}

/// Whether the call at `place` is stored, if its number is known. Of some answers only a part is.
pub fn carries_out(answer: Answer, place: usize, part: usize) -> bool {
    match answer {
        Answer::Stored
        | Answer::StoredAccepted
        | Answer::StoredIntIds
        | Answer::Mixed200
        | Answer::Mixed400
        | Answer::MixedUnnamed
        | Answer::MixedByTitle
        | Answer::TimedOutAfter
        | Answer::TimedOutLate
        | Answer::ResetAfter
        | Answer::CutBody
        | Answer::Garbage => true,
        Answer::NoContent
        | Answer::Html
        | Answer::Error500
        | Answer::Error502
        | Answer::Error504
        | Answer::Partial => place < part,
        Answer::NoneFound400
        | Answer::NoneFound200
        | Answer::EmptyList
        | Answer::Validation
        | Answer::ValidationUnnamed
        | Answer::BadRequest
        | Answer::Code244
        | Answer::PaymentText
        | Answer::Unauthorized
        | Answer::Unpaid
        | Answer::Forbidden
        | Answer::Banned
        | Answer::NotFound
        | Answer::TooMany
        | Answer::TooManyAfter
        | Answer::TooManyBody
        | Answer::Error503
        | Answer::TimedOutBefore
        | Answer::ResetBefore
        | Answer::Refused
        | Answer::Account
        | Answer::Page => false,
    }
}

/// The answer to a POST.
pub fn posted(answer: Answer, judged: &[Judged], dice: &mut Dice) -> Result<Reply, Failure> {
    let all = |status| Ok(json_reply(status, &list(judged, &[], false)));
    match answer {
        Answer::Stored => all(200),
        Answer::StoredAccepted => all(202),
        Answer::StoredIntIds => Ok(json_reply(200, &list(judged, &[], true))),
        Answer::Mixed200 | Answer::NoneFound200 => Ok(json_reply(200, &list(judged, &errors(judged), false))),
        Answer::Mixed400 | Answer::NoneFound400 => Ok(json_reply(400, &list(judged, &errors(judged), false))),
        Answer::MixedUnnamed => {
            Ok(json_reply(200, &list(judged, &without(errors(judged), "request_id"), false)))
        }
        Answer::MixedByTitle => Ok(json_reply(400, &list(judged, &without(errors(judged), "status"), false))),
        Answer::EmptyList => Ok(json_reply(200, &list(&[], &[], false))),
        Answer::Partial => {
            let named = &judged[..dice.index(judged.len() + 1).min(judged.len().saturating_sub(1))];
            Ok(json_reply(200, &list(named, &[], false)))
        }
        Answer::Validation | Answer::ValidationUnnamed => {
            let unnamed = answer == Answer::ValidationUnnamed;
            Ok(json_reply(400, &validation(judged, unnamed)))
        }
        Answer::CutBody => Ok(cut(json_reply(200, &list(judged, &[], false)))),
        other => read(other, dice),
    }
}

/// An answer that does not depend on what was asked.
pub fn read(answer: Answer, dice: &mut Dice) -> Result<Reply, Failure> {
    let problem = |status: u16, title: &str, detail: &str| {
        Ok(json_reply(status, &json!({"title": title, "status": status, "detail": detail})))
    };
    let page = |status: u16| Ok(body_reply(status, b"<html><body>nginx</body></html>"));
    let seconds = dice.between(2, 90);
    match answer {
        Answer::NoContent => Ok(empty(204)),
        Answer::BadRequest => problem(400, "Bad Request", "Request validation failed"),
        Answer::Code244 => problem(400, "Bad Request", "Код ошибки 244. Нет прав"),
        Answer::PaymentText => problem(400, "Bad Request", "Payment Required"),
        Answer::Unauthorized => problem(401, "Unauthorized", "Неверный логин или пароль"),
        Answer::Unpaid => problem(402, "Payment Required", "Account is not paid"),
        Answer::Forbidden => problem(403, "Forbidden", "Нет прав"),
        Answer::NotFound => problem(404, "Not Found", "Not Found"),
        Answer::Banned => page(403),
        Answer::TooMany => page(429),
        Answer::TooManyAfter => Ok(Reply {
            retry_after: Some(Duration::from_secs(seconds)),
            ..body_reply(429, b"<html>429</html>")
        }),
        Answer::TooManyBody => Ok(json_reply(429, &json!({"title": "Too many", "retry_after": seconds}))),
        Answer::Error500 => page(500),
        Answer::Error502 => page(502),
        Answer::Error503 => page(503),
        Answer::Error504 => page(504),
        Answer::Html => page(200),
        Answer::Garbage => Ok(body_reply(200, b"\x00\xff{]")),
        Answer::Refused => Err(Failure::NotSent("cannot connect".to_owned())),
        Answer::TimedOutBefore | Answer::TimedOutAfter | Answer::TimedOutLate => {
            Err(Failure::Unknown("timed out".to_owned()))
        }
        Answer::ResetBefore | Answer::ResetAfter => Err(Failure::Unknown("reset".to_owned())),
        Answer::Stored
        | Answer::StoredAccepted
        | Answer::StoredIntIds
        | Answer::Mixed200
        | Answer::Mixed400
        | Answer::MixedUnnamed
        | Answer::MixedByTitle
        | Answer::NoneFound400
        | Answer::NoneFound200
        | Answer::EmptyList
        | Answer::Validation
        | Answer::ValidationUnnamed
        | Answer::CutBody
        | Answer::Partial
        | Answer::Account
        | Answer::Page => unreachable!("{answer:?} depends on what was asked"),
    }
}

/// What amoCRM says of calls that it carried out.
fn list(judged: &[Judged], errors: &[Value], with_int_ids: bool) -> Value {
    let request_id =
        |id: &str| if with_int_ids { json!(id.parse::<u64>().expect("a place")) } else { json!(id) };
    let stored: Vec<Value> = judged
        .iter()
        .filter_map(|call| Some((call, call.note_id?)))
        .map(|(call, id)| {
            json!({"id": id, "entity_id": 7, "entity_type": "contact", "request_id": request_id(&call.request_id)})
        })
        .collect();
    json!({"_total_items": stored.len(), "errors": errors, "_embedded": {"calls": stored}})
}

/// One for each number that has no contact.
fn errors(judged: &[Judged]) -> Vec<Value> {
    let missing = judged.iter().filter(|call| !call.is_known);
    missing
        .map(|call| json!({"title": "Entity not found", "status": 263, "request_id": call.request_id}))
        .collect()
}

fn without(errors: Vec<Value>, key: &str) -> Vec<Value> {
    let strip = |mut error: Value| {
        error.as_object_mut().expect("an object").remove(key);
        error
    };
    errors.into_iter().map(strip).collect()
}

fn validation(judged: &[Judged], unnamed: bool) -> Value {
    let fault = json!([{"code": "NotSupportedChoice", "path": "phone", "detail": "not valid"}]);
    let bad = judged.iter().filter(|call| call.is_poison);
    let named: Vec<Value> = bad
        .map(|call| {
            if unnamed {
                json!({"errors": fault})
            } else {
                json!({"request_id": call.request_id, "errors": fault})
            }
        })
        .collect();
    json!({"validation-errors": named, "title": "Bad Request", "status": 400, "detail": "Request validation failed"})
}

/// The answer as it is when the connection breaks in its middle.
pub fn cut(reply: Reply) -> Reply {
    let half = reply.body.len() / 2;
    Reply { body: reply.body[..half].to_vec(), ..reply }
}

pub fn json_reply(status: u16, body: &Value) -> Reply {
    body_reply(status, body.to_string().as_bytes())
}

pub fn empty(status: u16) -> Reply {
    body_reply(status, b"")
}

fn body_reply(status: u16, body: &[u8]) -> Reply {
    Reply { status, body: body.to_vec(), ..Reply::default() }
}
