//! Tasks of contacts, companies, leads and customers; strict as the real one is, and a little more: a
//! second open task with the same text is told as a fault of ours.

use std::time::Instant;

use serde_json::{Value, json};

use super::api::{self, Asked, Query, Reply, problem, refuse};
use super::strict::{error, is_user, text_fault};
use super::unknown::{refused, things, unexpected};
use super::{State, kind_of_plural, staff};

/// A task that was made.
#[derive(Clone, Debug)]
pub struct Task {
    pub id: u64,
    /// As it was posted.
    pub body: Value,
    /// What was written when it was done.
    pub result: Option<String>,
    since: Instant,
}

impl Task {
    pub fn is_open(&self) -> bool {
        self.result.is_none()
    }

    pub fn text(&self) -> &str {
        self.body["text"].as_str().unwrap_or_default()
    }
}

/// `POST /api/v4/tasks`
pub fn post(state: &mut State, asked: &Asked) -> Reply {
    let tasks = match things(state, asked) {
        Ok(tasks) => tasks,
        Err(reply) => return reply,
    };
    let faults: Vec<Vec<Value>> = tasks.iter().map(|task| faults(state, task)).collect();
    let of = |task: &Value| {
        tasks.iter().position(|one| one == task).map(|at| faults[at].clone()).unwrap_or_default()
    };
    if let Some(reply) = refused(state, &tasks, of) {
        return reply;
    }
    let mut made = Vec::new();
    for task in tasks {
        let is_twin = |old: &Task| {
            old.is_open() && old.body["entity_id"] == task["entity_id"] && old.body["text"] == task["text"]
        };
        if state.tasks.iter().any(is_twin) {
            state.violations.push(format!("a second open task: {task}"));
        }
        let id = state.take_id();
        made.push(json!({"id": id, "request_id": task["request_id"]}));
        state.tasks.push(Task { id, body: task, result: None, since: Instant::now() });
    }
    api::json_answer(200, &json!({"_embedded": {"tasks": made}}))
}

/// `GET /api/v4/tasks`, by the entity and whether they are done.
pub fn list(state: &State, asked: &Asked) -> Reply {
    let query = Query::of(asked.uri.query().unwrap_or_default());
    let ids: Vec<u64> = query.all("filter[entity_id][]").iter().filter_map(|id| id.parse().ok()).collect();
    let kind = query.first("filter[entity_type]");
    let is_wanted = |task: &&Task| {
        task.since.elapsed() >= state.options.task_lag
            && kind.is_none_or(|kind| task.body["entity_type"] == kind)
            && (ids.is_empty() || ids.iter().any(|id| task.body["entity_id"] == *id))
            && match query.first("filter[is_completed]") {
                Some("0") => task.is_open(),
                Some("1") => !task.is_open(),
                _ => true,
            }
    };
    let shown: Vec<Value> = state.tasks.iter().filter(is_wanted).map(json_of).collect();
    staff::paged(state, asked, "tasks", &shown)
}

/// `PATCH /api/v4/tasks/7`: what is done is done with a result.
pub fn change(state: &mut State, asked: &Asked, id: u64) -> Reply {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let result = body["result"]["text"].as_str().filter(|text| !text.trim().is_empty());
    let (Some(result), Some(true)) = (result, body["is_completed"].as_bool()) else {
        return refuse(state, "a task is done with a result");
    };
    let Some(task) = state.tasks.iter_mut().find(|task| task.id == id) else {
        return problem(404, "Not Found", "Task not found");
    };
    if task.is_open() {
        task.result = Some(result.to_owned());
    } else {
        state.violations.push(format!("task {id} was done before, and a person's words are gone"));
    }
    api::json_answer(200, &json!({"id": id, "updated_at": super::unix_seconds()}))
}

fn json_of(task: &Task) -> Value {
    let mut json = task.body.clone();
    json["id"] = task.id.into();
    json["is_completed"] = (!task.is_open()).into();
    json["result"] = task.result.as_ref().map_or(json!([]), |text| json!({"text": text}));
    json
}

fn faults(state: &State, task: &Value) -> Vec<Value> {
    let known = [
        "entity_id",
        "entity_type",
        "task_type_id",
        "text",
        "complete_till",
        "responsible_user_id",
        "request_id",
    ];
    let mut faults = unexpected(task, "", &known);
    let text = task
        .get("text")
        .map_or(Some(("FieldMissing", "This field is missing.")), |text| text_fault(text, 255));
    faults.extend(text.map(|(code, detail)| error(code, "text", detail)));
    let is_in_time = |till: &Value| till.as_i64().is_some_and(|till| till >= super::unix_seconds() - 60);
    if !task.get("complete_till").is_some_and(is_in_time) {
        faults.push(error("NotSupportedChoice", "complete_till", "no time to come"));
    }
    let kind = task["entity_type"].as_str().and_then(kind_of_plural);
    let id = task["entity_id"].as_u64().unwrap_or_default();
    let is_there = |kind| state.notes.iter().any(|note| note.entity_kind == kind && note.entity_id == id);
    if !kind.is_some_and(is_there) {
        faults.push(error("NotSupportedChoice", "entity_id", "there is no such entity"));
    }
    let user = task.get("responsible_user_id");
    if user.is_some_and(|user| !is_user(user, &state.options)) {
        faults.push(error(
            "NotSupportedChoice",
            "responsible_user_id",
            "The value you selected is not a valid choice.",
        ));
    }
    faults
}
