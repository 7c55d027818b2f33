//! Notes that are changed. Which form a real account takes is told nowhere: a test says which this one
//! does, and what is not in `params` is gone, which is the worst that can be meant.

use serde_json::{Value, json};

use super::api::{Asked, Reply, json_answer, problem, refuse};
use super::strict::text_fault;
use super::{Note, State};

/// Forms that the account takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Changes {
    /// A list of notes with all of their parameters.
    Listed,
    /// One note at its own address.
    Nested,
    /// A list of notes with their links alone; parameters that are not named stay.
    Links,
    Nothing,
    /// The gateway has a page for whoever tries.
    Page,
}

const KINDS: [(&str, &str); 4] =
    [("contacts", "contact"), ("companies", "company"), ("leads", "lead"), ("customers", "customer")];

/// `PATCH /api/v4/{kind}/notes` and `PATCH /api/v4/{kind}/{entity}/notes/{note}`.
pub fn patch(state: &mut State, asked: &Asked) -> Reply {
    let parts: Vec<&str> = asked.uri.path().trim_start_matches("/api/v4/").split('/').collect();
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let (plural, changes) = match (parts.as_slice(), state.options.changes) {
        (_, Changes::Page) => return super::api::page(403),
        ([plural, "notes"], Changes::Listed | Changes::Links) => (*plural, listed(&body)),
        ([plural, entity, "notes", note], Changes::Nested) => (*plural, nested(state, entity, note, &body)),
        ([_, "notes"] | [_, _, "notes", _], _) => {
            return problem(400, "Bad Request", "Request validation failed");
        }
        _ => return problem(404, "Not Found", "Not Found"),
    };
    let Some(kind) = KINDS.iter().find(|(name, _)| *name == plural).map(|(_, kind)| *kind) else {
        return problem(404, "Not Found", "Not Found");
    };
    let changes = match changes {
        Ok(changes) if !changes.is_empty() => changes,
        Ok(_) => return refuse(state, "a PATCH of nothing"),
        Err(reason) => return refuse(state, &reason),
    };
    let mut answered = Vec::new();
    for (id, change) in changes {
        let lean = state.options.changes == Changes::Links;
        let Some(note) = state.notes.iter_mut().find(|note| note.id == id && note.entity_kind == kind) else {
            return problem(404, "Not Found", "no such note");
        };
        match apply(note, &change, lean) {
            Ok(()) => answered.push(json!({"id": id, "updated_at": note.updated_at})),
            // An account that takes links alone is no trap: others are simply refused.
            Err(_) if lean => return problem(400, "Bad Request", "Request validation failed"),
            Err(reason) => return refuse(state, &reason),
        }
    }
    json_answer(200, &json!({"_embedded": {"notes": answered}}))
}

fn listed(body: &Value) -> Result<Vec<(u64, Value)>, String> {
    let notes = body.as_array().ok_or("the body of a PATCH is no list")?;
    let note = |note: &Value| Ok((note["id"].as_u64().ok_or("a note without an id")?, note.clone()));
    notes.iter().map(note).collect::<Result<_, &str>>().map_err(str::to_owned)
}

fn nested(state: &State, entity: &str, note: &str, body: &Value) -> Result<Vec<(u64, Value)>, String> {
    let id = note.parse().map_err(|_| format!("the note {note}"))?;
    let is_its = state.notes.iter().any(|known| known.id == id && known.entity_id.to_string() == entity);
    if !is_its || body.get("id").is_some() {
        return Err(format!("the note {note} of {entity}"));
    }
    Ok(vec![(id, body.clone())])
}

fn apply(note: &mut Note, change: &Value, lean: bool) -> Result<(), String> {
    let object = change.as_object().ok_or("a note that is no object")?;
    if let Some(odd) = object.keys().find(|key| !["id", "note_type", "params"].contains(&key.as_str())) {
        return Err(format!("a note with {odd}"));
    }
    let expected = if note.call["direction"] == "inbound" { "call_in" } else { "call_out" };
    let params = change["params"].as_object().ok_or("a note without params")?;
    if lean {
        let is_link = params.len() == 1 && object.len() == 2;
        let link = params.get("link").filter(|_| is_link).ok_or("more than a link")?;
        note.call["link"] = link.clone();
        return Ok(());
    }
    if change["note_type"] != expected {
        return Err(format!("a note of {expected} changed as {}", change["note_type"]));
    }
    let fields =
        ["uniq", "duration", "source", "link", "phone", "call_responsible", "call_result", "call_status"];
    for (key, value) in params {
        let is_text = ["uniq", "source", "link", "phone", "call_result"].contains(&key.as_str());
        let max = if key == "link" { 2048 } else { 255 };
        if !fields.contains(&key.as_str()) || value.is_null() || (is_text && text_fault(value, max).is_some())
        {
            return Err(format!("{key} of a note is {value}"));
        }
    }
    for field in fields {
        let fields = note.call.as_object_mut().ok_or("a call that is no object")?;
        match params.get(field) {
            Some(value) => drop(fields.insert(field.to_owned(), value.clone())),
            None => drop(fields.remove(field)),
        }
    }
    Ok(())
}
