//! Pure: the call notes in an account's feed, whoever wrote them.
//!
//! Calls cannot be listed; each is a note `call_in` or `call_out` on a contact, company, lead or customer.
//! What an integration says of itself there is `params.source`.

use serde_json::Value;

use crate::amo::answer::{self, Account, Reply, id_of};
use crate::amo::calls::cut;
use crate::amo::notes::{Kind, troubled};

/// One call note.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeedNote {
    pub id: u64,
    pub kind: Kind,
    pub entity: Option<u64>,
    pub inbound: bool,
    /// When the call was, as its integration says, in seconds since 1970.
    pub at: i64,
    /// When amoCRM stored or changed it, in seconds since 1970.
    pub stored_at: i64,
    pub phone: String,
    /// In seconds.
    pub duration: Option<u64>,
    pub status: Option<u8>,
    /// The user that it names.
    pub user: Option<u64>,
    /// The integration; empty where it has no name.
    pub source: String,
    pub uniq: Option<String>,
    pub has_link: bool,
}

/// What one page of notes said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Page {
    Read {
        notes: Vec<FeedNote>,
        more: bool,
    },
    /// Nothing is proved.
    Unread {
        account: Account,
        words: String,
    },
}

/// Most characters of a source that are kept: it becomes a label of a metric.
pub const SOURCE_MAX: usize = 64;

/// Reads one page of notes of `kind`; what is no call note is stepped over.
pub fn read(reply: &Reply, kind: Kind) -> Page {
    if reply.status == 204 {
        return Page::Read { notes: Vec::new(), more: false };
    }
    let json = answer::json_object(&reply.body);
    let notes = json.as_ref().and_then(|body| body.pointer("/_embedded/notes")?.as_array());
    match (reply.status, &json, notes) {
        (200, Some(body), Some(notes)) => Page::Read {
            notes: notes.iter().filter_map(|note| call_note(note, kind)).collect(),
            more: body.pointer("/_links/next/href").is_some_and(Value::is_string),
        },
        _ => Page::Unread {
            account: troubled(answer::account(reply, json.as_ref())),
            words: answer::words(reply, json.as_ref()),
        },
    }
}

fn call_note(note: &Value, kind: Kind) -> Option<FeedNote> {
    let inbound = match note.get("note_type")?.as_str()? {
        "call_in" => true,
        "call_out" => false,
        _ => return None,
    };
    let params = note.get("params").unwrap_or(&Value::Null);
    let stored_at = note.get("updated_at").and_then(Value::as_i64);
    let at = note.get("created_at").and_then(Value::as_i64).or(stored_at)?;
    let named = [params.get("call_responsible"), note.get("created_by"), note.get("responsible_user_id")];
    Some(FeedNote {
        id: id_of(note.get("id"))?,
        kind,
        entity: id_of(note.get("entity_id")),
        inbound,
        at,
        stored_at: stored_at.unwrap_or(at),
        phone: text(params.get("phone")),
        duration: id_of(params.get("duration")),
        status: id_of(params.get("call_status")).and_then(|status| u8::try_from(status).ok()),
        // 0 is amoCRM's robot.
        user: named.into_iter().find_map(|user| id_of(user).filter(|user| *user != 0)),
        source: cut(text(params.get("source")).trim(), SOURCE_MAX),
        uniq: params.get("uniq").and_then(Value::as_str).map(str::to_owned),
        has_link: !text(params.get("link")).trim().is_empty(),
    })
}

/// A text, or a number as one.
fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() }
    }

    #[test]
    fn a_note_is_read_in_the_forms_that_integrations_write() {
        let body = r#"{"_links":{"next":{"href":"https://x"}},"_embedded":{"notes":[
            {"id":7,"entity_id":70,"note_type":"call_in","created_at":100,"updated_at":130,"created_by":0,
             "responsible_user_id":9,"params":{"uniq":"u","phone":"+7 916","source":" widget ","duration":"12",
             "call_status":4,"link":"https://r"}},
            {"id":8,"note_type":"call_out","updated_at":131,"params":{"phone":79161234567,"duration":3,
             "call_responsible":"Иванов","link":""}},
            {"id":9,"note_type":"common","created_at":1},{"id":10,"note_type":"call_in"},null]}}"#;
        let first = FeedNote {
            id: 7,
            kind: Kind::Lead,
            entity: Some(70),
            inbound: true,
            at: 100,
            stored_at: 130,
            phone: "+7 916".to_owned(),
            duration: Some(12),
            status: Some(4),
            user: Some(9),
            source: "widget".to_owned(),
            uniq: Some("u".to_owned()),
            has_link: true,
        };
        let second = FeedNote {
            id: 8,
            entity: None,
            inbound: false,
            at: 131,
            stored_at: 131,
            phone: "79161234567".to_owned(),
            duration: Some(3),
            status: None,
            user: None,
            source: String::new(),
            uniq: None,
            has_link: false,
            ..first.clone()
        };
        assert_eq!(
            read(&reply(200, body), Kind::Lead),
            Page::Read { notes: vec![first, second], more: true }
        );
    }

    #[test]
    fn no_content_is_an_empty_page_and_what_cannot_be_read_proves_nothing() {
        assert_eq!(read(&reply(204, ""), Kind::Lead), Page::Read { notes: Vec::new(), more: false });
        let account = |status, body| match read(&reply(status, body), Kind::Lead) {
            Page::Unread { account, .. } => account,
            Page::Read { .. } => panic!("{status} {body} was read"),
        };
        assert_eq!(account(200, "{}"), Account::ServerTrouble);
        assert_eq!(account(403, "<html>"), Account::Banned);
        assert_eq!(account(401, ""), Account::Unauthorized);
    }
}
