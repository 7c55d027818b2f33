//! Pure: the task to call back: made for a missed call, closed after a later talk.
//!
//! amoCRM does not tell tasks apart, so one that was perhaps made is looked for among the open tasks of
//! its entity, by its text.

use serde::Serialize;
use serde_json::{Value, json};

use crate::amo::answer::{self, Account, Reply, id_of};
use crate::amo::calls::cut;
use crate::amo::notes;
use crate::amo::settings::TEXT_MAX;
use crate::call::record::CallRecord;

pub const PATH: &str = "/api/v4/tasks";
/// Where the answer has what was made.
pub const LIST: &str = "tasks";
/// Most tasks on a page that amoCRM gives. Whoever has more open ones is not searched to the end.
const PAGE_MAX: usize = 250;

/// A task, as amoCRM wants it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Task {
    pub entity_id: u64,
    /// In the plural: `contacts`.
    pub entity_type: String,
    pub task_type_id: u64,
    pub text: String,
    /// Unix seconds.
    pub complete_till: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responsible_user_id: Option<u64>,
    pub request_id: String,
}

/// An open task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Open {
    pub id: u64,
    pub text: String,
}

/// What a question was answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Read<T> {
    Read(T),
    /// It could not be read: nothing is proved.
    Unread {
        account: Account,
        words: String,
    },
}

/// What became of a task that was to be closed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Closed {
    Yes,
    /// amoCRM does not want that.
    Refused(String),
    /// It may be closed or not; to ask again does no harm.
    Unclear {
        account: Account,
        words: String,
    },
}

/// The body that makes one task.
pub fn body(task: &Task) -> Vec<u8> {
    serde_json::to_vec(&[task]).expect("strings and numbers always have a JSON form")
}

/// The body that closes a task.
pub fn closing(result: &str) -> Vec<u8> {
    json!({"is_completed": true, "result": {"text": result}}).to_string().into_bytes()
}

/// A text of the configuration with its places filled in.
pub fn text(template: &str, record: &CallRecord) -> String {
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let phone = record.phone_e164.as_ref().or(record.phone.as_ref()).cloned();
    let text = template
        .replace("{phone}", &word(&phone))
        .replace("{line}", &word(&record.line.label))
        .replace("{did}", &word(&record.did));
    cut(text.trim(), TEXT_MAX)
}

/// How paths and tasks name a kind of entity, which answers name in the singular.
pub fn plural(kind: &str) -> Option<&'static str> {
    let kinds = [notes::Kind::Contact, notes::Kind::Company, notes::Kind::Lead, notes::Kind::Customer];
    kinds
        .into_iter()
        .find(|known| known.singular() == kind || known.plural() == kind)
        .map(notes::Kind::plural)
}

/// The path of one task.
pub fn path_of(task: u64) -> String {
    format!("{PATH}/{task}")
}

/// The path and query of the open tasks of an entity, whose kind is in the plural.
pub fn open_path(kind: &str, id: u64) -> String {
    format!(
        "{PATH}?filter%5Bentity_type%5D={kind}&filter%5Bentity_id%5D%5B%5D={id}\
         &filter%5Bis_completed%5D=0&limit={PAGE_MAX}&page=1"
    )
}

/// The path of an entity, whose kind is in the plural.
pub fn entity_path(kind: &str, id: u64) -> String {
    format!("/api/v4/{kind}/{id}")
}

/// Reads the open tasks of an entity.
pub fn read_open(reply: &Reply) -> Read<Vec<Open>> {
    if reply.status == 204 {
        return Read::Read(Vec::new());
    }
    let json = answer::json_object(&reply.body);
    match json.as_ref().and_then(|body| body.pointer("/_embedded/tasks")?.as_array()) {
        Some(tasks) if reply.status == 200 => Read::Read(tasks.iter().filter_map(open).collect()),
        Some(_) | None => unread(reply, json.as_ref()),
    }
}

/// Reads an entity: who owns it. One that is gone is nobody's.
pub fn read_owner(reply: &Reply) -> Read<Option<u64>> {
    let json = answer::json_object(&reply.body);
    let is_entity = json.as_ref().is_some_and(|body| id_of(body.get("id")).is_some());
    match (reply.status, &json) {
        (204, _) | (404, Some(_)) => Read::Read(None),
        (200, Some(body)) if is_entity => Read::Read(owner(body)),
        _ => unread(reply, json.as_ref()),
    }
}

/// The owner of something, as its object says.
pub fn owner(entity: &Value) -> Option<u64> {
    id_of(entity.get("responsible_user_id")).filter(|user| *user > 0)
}

/// Reads the answer to the closing of a task.
pub fn read_closed(reply: &Reply) -> Closed {
    let json = answer::json_object(&reply.body);
    let words = answer::words(reply, json.as_ref());
    match (reply.status, answer::account(reply, json.as_ref())) {
        (200..=299, Account::Fine) => Closed::Yes,
        (400..=499, Account::Fine) => Closed::Refused(words),
        // About the task, where amoCRM itself says so.
        (403..=405, _) if json.is_some() => Closed::Refused(words),
        (_, account) => Closed::Unclear { account: notes::troubled(account), words },
    }
}

fn open(task: &Value) -> Option<Open> {
    let is_over = task.get("is_completed").and_then(Value::as_bool).unwrap_or(false);
    let text = task.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
    (!is_over).then_some(())?;
    Some(Open { id: id_of(task.get("id"))?, text })
}

fn unread<T>(reply: &Reply, json: Option<&Value>) -> Read<T> {
    let account = notes::troubled(answer::account(reply, json));
    Read::Unread { account, words: answer::words(reply, json) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::sample;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() }
    }

    #[test]
    fn a_task_is_written_without_what_is_not_known() {
        let task = Task {
            entity_id: 7,
            entity_type: "contacts".to_owned(),
            task_type_id: 1,
            text: "Перезвонить".to_owned(),
            complete_till: 1_795_338_791,
            responsible_user_id: None,
            request_id: "0".to_owned(),
        };
        let body: Value = serde_json::from_slice(&body(&task)).unwrap();
        assert_eq!(
            body,
            json!([{"entity_id": 7, "entity_type": "contacts", "task_type_id": 1, "text": "Перезвонить",
                "complete_till": 1_795_338_791, "request_id": "0"}])
        );
        let record = sample::call("1.1").record;
        assert_eq!(text("Перезвонить {phone} {line}", &record), "Перезвонить 79161234568");
        assert_eq!(text(&"x".repeat(300), &record).len(), TEXT_MAX);
        assert_eq!(
            (plural("contact"), plural("companies"), plural("note")),
            (Some("contacts"), Some("companies"), None)
        );
    }

    #[test]
    fn open_tasks_are_read_and_closed_ones_are_not() {
        let body = r#"{"_embedded":{"tasks":[{"id":1,"text":"a"},{"id":"2","text":"b","is_completed":false},
            {"id":3,"text":"c","is_completed":true},{"text":"d"},null]}}"#;
        let open = |id, text: &str| Open { id, text: text.to_owned() };
        assert_eq!(read_open(&reply(200, body)), Read::Read(vec![open(1, "a"), open(2, "b")]));
        assert_eq!(read_open(&reply(204, "")), Read::Read(Vec::new()));
        for status in [200, 400, 401, 403, 500] {
            assert!(matches!(read_open(&reply(status, "{}")), Read::Unread { .. }), "{status}");
        }
    }

    #[test]
    fn an_entity_says_whose_it_is() {
        let read = |status, body| read_owner(&reply(status, body));
        assert_eq!(read(200, r#"{"id":1,"responsible_user_id":7}"#), Read::Read(Some(7)));
        assert_eq!(read(200, r#"{"id":1,"responsible_user_id":0}"#), Read::Read(None));
        assert_eq!(read(204, ""), Read::Read(None));
        assert_eq!(read(404, r#"{"title":"Not Found"}"#), Read::Read(None));
        let banned = Read::Unread {
            account: Account::Banned,
            words: "HTTP 403: a page instead of an answer".to_owned(),
        };
        assert_eq!(read(403, "<html>"), banned);
        assert!(matches!(read(200, "{}"), Read::Unread { .. }));
    }

    #[test]
    fn what_closes_a_task_may_be_refused_or_unclear() {
        let read = |status, body| read_closed(&reply(status, body));
        assert_eq!(read(200, r#"{"id":1}"#), Closed::Yes);
        for status in [400, 403, 404] {
            assert!(matches!(read(status, r#"{"title":"x"}"#), Closed::Refused(_)), "{status}");
        }
        for (status, body) in [(403, "<html>"), (401, "{}"), (429, ""), (500, "<html>"), (200, "<html>")] {
            assert!(matches!(read(status, body), Closed::Unclear { .. }), "{status}");
        }
    }
}
