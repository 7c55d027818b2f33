//! Pure: the link that a stored call gets later. A call is a note in amoCRM, and notes can be changed.
//!
//! How a note of a call wants to be changed is told nowhere, so there are three forms, from the one that
//! the documentation of notes suggests to the least; which one an account takes is learned. Each names
//! all that was posted, so that nothing is lost where amoCRM replaces what it has; the last one names the
//! link alone, for accounts that refuse what they cannot change. Doing it twice does no harm.

use serde::Serialize;

use crate::amo::answer::{self, Account, Reply};
use crate::amo::calls::{Entry, Responsible};
use crate::amo::notes::KINDS;

/// A form of the request.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Form {
    /// A list of notes, each with all of its parameters.
    Whole,
    /// The note at its own address, with all of its parameters.
    Nested,
    /// A list of notes, each with its link.
    Lean,
}

/// In the order in which they are tried.
pub const FORMS: [Form; 3] = [Form::Whole, Form::Nested, Form::Lean];

/// Which note is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Target<'t> {
    pub note: u64,
    /// As the answer to the posted call named it.
    pub kind: &'t str,
    pub entity: u64,
}

/// A PATCH.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    pub path: String,
    pub body: Vec<u8>,
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Changed {
    /// Of concern to more than this note, or [`Account::Fine`].
    pub account: Account,
    pub fate: Fate,
    pub words: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    Done,
    /// amoCRM does not take this form, or not for this note.
    Refused,
    /// Perhaps done; to be tried again.
    Open,
}

#[derive(Serialize)]
struct Note<'n> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(rename = "note_type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    params: Params<'n>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Params<'n> {
    Whole {
        uniq: &'n str,
        duration: u64,
        source: &'n str,
        link: &'n str,
        phone: &'n str,
        #[serde(skip_serializing_if = "Option::is_none")]
        call_responsible: Option<&'n Responsible>,
        #[serde(skip_serializing_if = "Option::is_none")]
        call_result: Option<&'n str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        call_status: Option<u8>,
    },
    Link {
        link: &'n str,
    },
}

/// The request that gives the note of `entry` its link; `None` when it has none, or amoCRM named a kind
/// of entity that has no notes.
pub fn request(form: Form, target: Target<'_>, entry: &Entry) -> Option<Request> {
    let link = entry.link.as_deref()?;
    let kind = KINDS.into_iter().find(|kind| [kind.singular(), kind.plural()].contains(&target.kind))?;
    let type_of_note = Some(if entry.direction == "inbound" { "call_in" } else { "call_out" });
    let whole = Params::Whole {
        uniq: &entry.uniq,
        duration: entry.duration,
        source: &entry.source,
        link,
        phone: &entry.phone,
        call_responsible: entry.call_responsible.as_ref(),
        call_result: entry.call_result.as_deref(),
        call_status: entry.call_status,
    };
    let (plural, id) = (kind.plural(), Some(target.note));
    let list = format!("/api/v4/{plural}/notes");
    let (path, body) = match form {
        Form::Whole => (list, json(&[Note { id, kind: type_of_note, params: whole }])),
        Form::Nested => {
            let path = format!("/api/v4/{plural}/{}/notes/{}", target.entity, target.note);
            (path, json(&Note { id: None, kind: type_of_note, params: whole }))
        }
        Form::Lean => (list, json(&[Note { id, kind: None, params: Params::Link { link } }])),
    };
    Some(Request { path, body })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers always have a JSON form")
}

/// Reads the answer. That a note cannot be changed says nothing of the account, and holds no calls up.
pub fn read(reply: &Reply) -> Changed {
    let json = answer::json_object(&reply.body);
    let words = answer::words(reply, json.as_ref());
    let account = answer::account(reply, json.as_ref());
    let fate = match (reply.status, account) {
        (200..=299, Account::Fine) => Fate::Done,
        (400..=499, Account::Fine | Account::NotAmo | Account::Forbidden) => Fate::Refused,
        (_, _) => Fate::Open,
    };
    let account = match (fate, account) {
        (Fate::Refused, _) | (Fate::Open, Account::ServerTrouble) => Account::Fine,
        (Fate::Done | Fate::Open, account) => account,
    };
    Changed { account, fate, words }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amo::calls::{self, Manner};
    use crate::amo::settings::Settings;
    use crate::call::record::{CallRecord, sample};

    fn entry(recording: Option<&str>) -> Entry {
        let settings: Settings =
            serde_json::from_str(r#"{"users":{"101":7},"recording-url":"https://p/{file}"}"#).unwrap();
        let record = CallRecord { recording: recording.map(str::to_owned), ..sample::call("1.1").record };
        calls::entry(&record, "0", &settings, &Manner::default()).unwrap()
    }

    #[track_caller]
    fn check(form: Form, path: &str, body: &str) {
        let target = Target { note: 5, kind: "company", entity: 50 };
        let request = request(form, target, &entry(Some("a.mp3"))).unwrap();
        assert_eq!((request.path.as_str(), String::from_utf8(request.body).unwrap().as_str()), (path, body));
    }

    #[test]
    fn a_note_is_named_with_all_that_was_posted_and_its_link() {
        let params = concat!(
            r#"{"uniq":"default-1.1","duration":4,"source":"ami2amo","link":"https://p/a.mp3","#,
            r#""phone":"79161234568","call_responsible":7,"call_result":"Ответил 101 через 3 с","call_status":4}"#
        );
        let list = "/api/v4/companies/notes";
        check(Form::Whole, list, &format!(r#"[{{"id":5,"note_type":"call_in","params":{params}}}]"#));
        let note = format!(r#"{{"note_type":"call_in","params":{params}}}"#);
        check(Form::Nested, "/api/v4/companies/50/notes/5", &note);
        check(Form::Lean, list, r#"[{"id":5,"params":{"link":"https://p/a.mp3"}}]"#);
    }

    #[test]
    fn there_is_no_request_without_a_link_or_for_what_has_no_notes() {
        let target = Target { note: 5, kind: "contact", entity: 50 };
        assert_eq!(request(Form::Whole, target, &entry(None)), None);
        let odd = Target { kind: "../calls", ..target };
        assert_eq!(request(Form::Whole, odd, &entry(Some("a.mp3"))), None);
        assert!(request(Form::Whole, Target { kind: "leads", ..target }, &entry(Some("a.mp3"))).is_some());
    }

    #[test]
    fn only_what_concerns_the_account_is_its_trouble() {
        #[track_caller]
        fn check(status: u16, body: &str, fate: Fate, account: Account) {
            let changed = read(&Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() });
            assert_eq!((changed.fate, changed.account), (fate, account), "{status} {body}");
        }
        check(200, r#"{"_embedded":{"notes":[{"id":5}]}}"#, Fate::Done, Account::Fine);
        check(204, "", Fate::Done, Account::Fine);
        check(200, "<html>", Fate::Open, Account::NotAmo);
        check(200, "", Fate::Open, Account::Fine);
        check(400, r#"{"validation-errors":[]}"#, Fate::Refused, Account::Fine);
        check(403, r#"{"title":"Forbidden"}"#, Fate::Refused, Account::Fine);
        check(403, "<html>", Fate::Open, Account::Banned);
        check(404, "{}", Fate::Refused, Account::Fine);
        check(405, "<html>", Fate::Refused, Account::Fine);
        check(401, "{}", Fate::Open, Account::Unauthorized);
        check(402, "{}", Fate::Open, Account::Unpaid);
        check(429, "", Fate::Open, Account::TooMany { retry_after: None });
        check(503, "", Fate::Open, Account::Fine);
        check(301, "", Fate::Open, Account::NotAmo);
    }
}
