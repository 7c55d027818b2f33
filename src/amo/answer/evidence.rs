//! Pure: an answer as it may be shown: what it says of the request, and nothing of people.

use serde_json::{Map, Value};

use crate::amo::answer::{Reply, json_object, tidy};

/// Longest text of it, in characters: an answer about 50 calls is cut.
const SHOWN_MAX: usize = 4000;
/// Keys whose numbers and short texts mean the same for everybody.
const OPEN_KEYS: [&str; 9] =
    ["request_id", "status", "code", "path", "title", "detail", "hint", "type", "_total_items"];

/// The answer in one line.
pub fn scrubbed(reply: &Reply) -> String {
    let body = match json_object(&reply.body) {
        Some(body) => scrub("", &body).to_string(),
        None => format!("{} bytes that are no JSON object", reply.body.len()),
    };
    let trace = reply.trace.as_deref().unwrap_or("none");
    let line = format!("HTTP {} x-request-id {trace} {body}", reply.status);
    line.chars().take(SHOWN_MAX).collect()
}

fn scrub(key: &str, value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let entries = entries.iter().filter(|(key, _)| *key != "_links");
            Value::Object(entries.map(|(key, value)| (key.clone(), scrub(key, value))).collect::<Map<_, _>>())
        }
        Value::Array(entries) => entries.iter().map(|value| scrub(key, value)).collect(),
        Value::String(text) if OPEN_KEYS.contains(&key) => Value::String(without_digits(&tidy(text))),
        Value::String(text) => Value::String(format!("text of {}", text.chars().count())),
        Value::Number(_) if OPEN_KEYS.contains(&key) => value.clone(),
        Value::Number(_) => Value::String("number".to_owned()),
        Value::Null | Value::Bool(_) => value.clone(),
    }
}

/// A row of more than four digits may be a telephone number.
fn without_digits(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut row = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_digit() {
            row.push(c);
            continue;
        }
        shown.push_str(if row.len() > 4 { "#" } else { &row });
        row.clear();
        shown.push(c);
    }
    shown.pop();
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_tells_the_shape_and_nothing_of_people() {
        let body = r#"{"_total_items":1,"errors":[{"title":"Entity not found","status":263,"request_id":"1",
            "detail":"79161234568 is unknown","phone":"79161234568"}],"_embedded":{"calls":[{"id":37512063,
            "entity_id":11070881,"entity_type":"contact","request_id":"0","name":"Иванов",
            "_links":{"self":{"href":"https://secret.amocrm.ru/api/v4/contacts/11070881"}}}]}}"#;
        let reply = Reply { status: 400, body: body.as_bytes().to_vec(), ..Reply::default() };
        assert_eq!(
            scrubbed(&reply),
            r##"HTTP 400 x-request-id none {"_embedded":{"calls":[{"entity_id":"number","entity_type":"text of 7","id":"number","name":"text of 6","request_id":"0"}]},"_total_items":1,"errors":[{"detail":"# is unknown","phone":"text of 11","request_id":"1","status":263,"title":"Entity not found"}]}"##
        );
    }

    #[test]
    fn what_is_no_json_is_counted() {
        let reply = Reply { status: 502, body: b"<html>".to_vec(), ..Reply::default() };
        assert_eq!(scrubbed(&reply), "HTTP 502 x-request-id none 6 bytes that are no JSON object");
    }
}
