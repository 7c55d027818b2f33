//! Pure: what the answer to a POST means that makes something for an unknown number: an item of
//! Incoming leads, a contact, a lead.
//!
//! The same rules stand above all as for calls ([`answer`]): a thing is made if and only if the
//! answer has it, whatever the status; what was clearly not processed may be sent again; everything
//! else is unclear and looked up. A refusal of one thing says nothing of the account: calls are
//! posted where leads may not be made.

use serde_json::Value;

use crate::amo::answer::{self, Account, Reply, id_of};

/// The meaning of a [`Reply`] to such a POST.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Made {
    pub account: Account,
    /// One for each thing, in the order in which they were posted.
    pub fates: Vec<Fate>,
    /// What amoCRM said.
    pub words: String,
}

/// What became of one thing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It was made, and is called so by amoCRM.
    Made(String),
    /// amoCRM refuses it.
    Refused,
    /// Certainly not processed, and not its fault.
    Untouched,
    /// It may have been made or not.
    Unclear,
}

/// Reads the answer to things that were posted with these `request_id`s; amoCRM lists what it made
/// under `_embedded.LIST`, and calls it by `id` or `uid`.
pub fn read(reply: &Reply, list: &str, sent: &[String]) -> Made {
    let json = answer::json_object(&reply.body);
    let account = account(reply, json.as_ref());
    let made = json.as_ref().and_then(|body| body.get("_embedded")?.get(list)?.as_array());
    let made: &[Value] = made.map_or(&[], Vec::as_slice);
    let rest = rest(reply.status, account, json.as_ref());
    let named = json.as_ref().map(refused_ids).unwrap_or_default();
    let fate = |id: &String| match made_as(made, id, sent.len()) {
        Some(name) => Fate::Made(name),
        // Of a request that is refused for some, the others were not processed.
        None if rest == Fate::Refused && !named.is_empty() && !named.contains(id) => Fate::Untouched,
        None => rest.clone(),
    };
    Made { account, fates: sent.iter().map(fate).collect(), words: words(reply, json.as_ref()) }
}

/// The account's health as far as this answer shows it. That a page is not there or forbidden is
/// about what was to be made.
fn account(reply: &Reply, json: Option<&Value>) -> Account {
    match (reply.status, answer::account(reply, json)) {
        (403..=405, Account::Forbidden | Account::NotAmo) if json.is_some() => Account::Fine,
        (_, account) => account,
    }
}

/// What became of things that the answer does not have.
fn rest(status: u16, account: Account, json: Option<&Value>) -> Fate {
    match (account, status) {
        (Account::Unauthorized | Account::Unpaid | Account::Banned | Account::TooMany { .. }, _) => {
            Fate::Untouched
        }
        // Some of a refused request may be made all the same: then the answer lists what is.
        (Account::Fine, 400..=499) if json.is_some_and(|body| body.get("_embedded").is_none()) => {
            Fate::Refused
        }
        (Account::Fine | Account::Forbidden | Account::ServerTrouble | Account::NotAmo, _) => Fate::Unclear,
    }
}

fn made_as(made: &[Value], request_id: &str, sent: usize) -> Option<String> {
    let is_ours = |thing: &&Value| match thing.get("request_id") {
        Some(Value::String(id)) => id == request_id,
        Some(Value::Number(id)) => id.to_string() == request_id,
        // Alone in its request, it can be no other.
        Some(_) | None => sent == 1 && made.len() == 1,
    };
    let thing = made.iter().find(is_ours)?;
    match thing.get("uid") {
        Some(Value::String(uid)) if !uid.is_empty() => Some(uid.clone()),
        Some(_) | None => id_of(thing.get("id")).map(|id| id.to_string()),
    }
}

/// The request ids that `validation-errors` name.
fn refused_ids(body: &Value) -> Vec<String> {
    let errors = body.get("validation-errors").and_then(Value::as_array);
    let id = |error: &Value| match error.get("request_id")? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    errors.into_iter().flatten().filter_map(id).collect()
}

/// What amoCRM said, with the field that it did not like.
fn words(reply: &Reply, json: Option<&Value>) -> String {
    let words = answer::words(reply, json);
    let fault = json.and_then(|body| body.pointer("/validation-errors/0/errors/0"));
    let text = |key| fault.and_then(|fault| fault.get(key)?.as_str());
    match (text("path"), text("code")) {
        (Some(path), Some(code)) => {
            let clean = |text: &str| text.chars().filter(|c| !c.is_control()).take(60).collect::<String>();
            format!("{words} ({}: {})", clean(path), clean(code))
        }
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|id| id.to_string()).collect()
    }

    #[track_caller]
    fn check(status: u16, body: &str, account: Account, fates: &[Fate]) {
        let reply = Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() };
        let made = read(&reply, "unsorted", &ids(fates.len()));
        assert_eq!((made.account, made.fates.as_slice()), (account, fates), "{status} {body}");
    }

    fn made(name: &str) -> Fate {
        Fate::Made(name.to_owned())
    }

    #[test]
    fn what_the_answer_has_is_made_whatever_the_status() {
        let body = r#"{"_total_items":1,"_embedded":{"unsorted":[{"uid":"ab","request_id":"1"}]}}"#;
        check(200, body, Account::Fine, &[Fate::Unclear, made("ab")]);
        check(400, body, Account::Fine, &[Fate::Unclear, made("ab")]);
        check(200, r#"{"_embedded":{"unsorted":[{"id":7,"request_id":0}]}}"#, Account::Fine, &[made("7")]);
        check(200, r#"{"_embedded":{"unsorted":[{"uid":"x"}]}}"#, Account::Fine, &[made("x")]);
        check(
            200,
            r#"{"_embedded":{"unsorted":[{"uid":"x"}]}}"#,
            Account::Fine,
            &[Fate::Unclear, Fate::Unclear],
        );
    }

    #[test]
    fn a_refusal_is_of_the_thing_and_not_of_the_account() {
        let named = r#"{"validation-errors":[{"request_id":"1","errors":[{"code":"NotBlank","path":"metadata.link"}]}],"title":"Bad Request"}"#;
        check(400, named, Account::Fine, &[Fate::Untouched, Fate::Refused]);
        check(400, r#"{"title":"Bad Request","detail":"exists"}"#, Account::Fine, &[Fate::Refused]);
        check(403, r#"{"title":"Forbidden"}"#, Account::Fine, &[Fate::Refused]);
        check(404, r#"{"title":"Not Found"}"#, Account::Fine, &[Fate::Refused]);
        check(405, r#"{"title":"Method Not Allowed"}"#, Account::Fine, &[Fate::Refused]);
        let reply = Reply { status: 400, body: named.as_bytes().to_vec(), ..Reply::default() };
        assert!(read(&reply, "unsorted", &ids(2)).words.ends_with("(metadata.link: NotBlank)"));
    }

    #[test]
    fn what_concerns_the_account_touches_nothing() {
        check(401, "{}", Account::Unauthorized, &[Fate::Untouched]);
        check(402, "{}", Account::Unpaid, &[Fate::Untouched]);
        check(400, r#"{"detail":"Payment Required"}"#, Account::Unpaid, &[Fate::Untouched]);
        check(403, "<html>", Account::Banned, &[Fate::Untouched]);
        check(429, "<html>", Account::TooMany { retry_after: None }, &[Fate::Untouched]);
    }

    #[test]
    fn everything_else_is_unclear() {
        check(200, "", Account::ServerTrouble, &[Fate::Unclear]);
        check(200, "{\"_embedded\":{\"uns", Account::ServerTrouble, &[Fate::Unclear]);
        check(200, "{}", Account::Fine, &[Fate::Unclear]);
        check(404, "<html>", Account::NotAmo, &[Fate::Unclear]);
        check(500, "<html>", Account::ServerTrouble, &[Fate::Unclear]);
        check(504, "<html>", Account::ServerTrouble, &[Fate::Unclear]);
        check(301, "", Account::NotAmo, &[Fate::Unclear]);
    }
}
