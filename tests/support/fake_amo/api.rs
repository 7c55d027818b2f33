//! The end points: calls, notes, account; and the faults on the way to them.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State as Shares};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::net::Connection;
use super::strict::{self, Faults};
use super::{Note, On, Request, Shared, State, What};
use super::{change, staff, tasks, unknown};

pub const HAL: &str = "application/hal+json";
pub const PROBLEM: &str = "application/problem+json";
const UNSORTED: &str = "/api/v4/leads/unsorted/sip";
const UNSORTED_LIST: &str = "/api/v4/leads/unsorted";
const CONTACTS: &str = "/api/v4/contacts";
const LEADS: &str = "/api/v4/leads";
const COMPANIES: &str = "/api/v4/companies";
const USERS: &str = "/api/v4/users";
const TASKS: &str = "/api/v4/tasks";
const KINDS: [(&str, &str); 4] =
    [("contacts", "contact"), ("companies", "company"), ("leads", "lead"), ("customers", "customer")];

pub fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

/// One request, before it is answered.
pub struct Asked {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What goes back: an answer, or none.
pub enum Reply {
    Answer(u16, &'static str, Vec<u8>),
    RetryAfter(u64),
    Reset,
    Cut(u16, Vec<u8>),
    Gated(u16, Vec<u8>),
    Never,
}

async fn handle(
    Shares(shared): Shares<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = Asked { method, uri, headers, body };
    let reply = answer(&mut shared.state(), &asked);
    shared.record(Request {
        method: asked.method.to_string(),
        path: asked.uri.to_string(),
        status: reply.status(),
        body: serde_json::from_slice(&asked.body).unwrap_or_default(),
        at: Instant::now(),
    });
    let latency = shared.state().options.latency;
    tokio::time::sleep(latency).await;
    match reply {
        Reply::Never => std::future::pending().await,
        Reply::Gated(..) => shared.gate.notified().await,
        Reply::Reset => connection.reset(),
        Reply::Cut(..) => connection.cut_answer(),
        Reply::Answer(..) | Reply::RetryAfter(_) => {}
    }
    let mut response = reply.into_response();
    let ahead = shared.state().options.ahead;
    if ahead != 0 {
        let now = jiff::Timestamp::from_second(super::unix_seconds() + ahead).expect("it is a time");
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
        let date = date.expect("it is after 1970").parse().expect("it is a header");
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

fn answer(state: &mut State, asked: &Asked) -> Reply {
    let path = asked.uri.path();
    let on = match path {
        "/api/v4/calls" => On::Post,
        "/api/v4/account" => On::Account,
        UNSORTED => On::Unsorted,
        UNSORTED_LIST => On::UnsortedList,
        CONTACTS if asked.method == Method::GET => On::Search,
        CONTACTS => On::Contacts,
        LEADS => On::Leads,
        COMPANIES => On::Search,
        USERS => On::Users,
        TASKS if asked.method == Method::GET => On::TaskList,
        TASKS => On::Tasks,
        path if task_of(path).is_some() => On::TaskChange,
        path if entity_of(path).is_some() => On::Entity,
        _ if asked.method == Method::PATCH => On::Change,
        _ => On::Notes,
    };
    if state.is_too_fast(Instant::now()) {
        state.violations.push("more than 7 requests in a second".to_owned());
        return page(429);
    }
    let fault = state.next_fault(on);
    if let Some(reply) = fault.and_then(before_work) {
        return reply;
    }
    let bearer = format!("Bearer {}", state.options.token);
    if asked.headers.get(header::AUTHORIZATION).is_none_or(|sent| sent.as_bytes() != bearer.as_bytes()) {
        return problem(401, "Unauthorized", "Неверный логин или пароль");
    }
    let reply = match (asked.method.as_str(), path) {
        ("POST", "/api/v4/calls") => post_calls(state, asked, fault),
        ("GET", "/api/v4/account") => account(state),
        ("POST", UNSORTED) => unknown::post_unsorted(state, asked),
        ("GET", UNSORTED_LIST) => unknown::list_unsorted(state, asked),
        ("GET", CONTACTS) => unknown::search_contacts(state, asked),
        ("POST", CONTACTS) => unknown::post_contacts(state, asked),
        ("POST", LEADS) => unknown::post_leads(state, asked),
        ("GET", COMPANIES) => staff::search_companies(state, asked),
        ("GET", USERS) => staff::users(state, asked),
        ("POST", TASKS) => tasks::post(state, asked),
        ("GET", TASKS) => tasks::list(state, asked),
        ("PATCH", path) if let Some(id) = task_of(path) => tasks::change(state, asked, id),
        ("GET", path) if let Some((kind, id)) = entity_of(path) => staff::entity(state, kind, id),
        ("GET", path) if kind_of(path).is_some() => notes(state, asked),
        ("PATCH", _) => change::patch(state, asked),
        (_, "/api/v4/calls" | UNSORTED | UNSORTED_LIST) => problem(405, "Method Not Allowed", "GET"),
        _ => problem(404, "Not Found", "Not Found"),
    };
    match fault {
        Some(what) => after_work(what, reply),
        None => reply,
    }
}

/// Faults that hit before anything is done.
fn before_work(what: What) -> Option<Reply> {
    match what {
        What::Status(status) => Some(problem(status, "Fault", "ordered by the test")),
        What::Page(status) => Some(page(status)),
        What::Errors(status) => Some(json_answer(status, &json!({"errors": [{"title": "Out of order"}]}))),
        What::TooMany { retry_after: Some(seconds) } => Some(Reply::RetryAfter(seconds)),
        What::TooMany { retry_after: None } => Some(page(429)),
        What::ResetBefore => Some(Reply::Reset),
        What::HangBefore => Some(Reply::Never),
        What::Empty => Some(Reply::Answer(204, HAL, Vec::new())),
        What::Validation(_)
        | What::ResetAfter
        | What::HangAfter
        | What::Truncated
        | What::Garbage
        | What::Gate
        | What::PageAfter(_) => None,
    }
}

/// Faults that spoil the answer to what was done.
fn after_work(what: What, reply: Reply) -> Reply {
    match (what, reply) {
        (What::ResetAfter, _) => Reply::Reset,
        (What::HangAfter, _) => Reply::Never,
        (What::Truncated, Reply::Answer(status, _, body)) => Reply::Cut(status, body),
        (What::Gate, Reply::Answer(status, _, body)) => Reply::Gated(status, body),
        (What::Garbage, _) => Reply::Answer(200, HAL, b"\x1f\x8b\x00not json".to_vec()),
        (What::PageAfter(status), _) => page(status),
        (_, reply) => reply,
    }
}

fn post_calls(state: &mut State, asked: &Asked, fault: Option<What>) -> Reply {
    let is_json = asked.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let calls = match strict::batch(&body) {
        Ok(calls) if is_json => calls,
        Ok(_) => return refuse(state, "the content type is not JSON"),
        Err(reason) => return refuse(state, &reason),
    };
    if let Some(call) =
        fault.and_then(|what| if let What::Validation(at) = what { calls.get(at) } else { None })
    {
        return validation(&[strict::ordered(call)]);
    }
    let faults = strict::faults(calls, &state.options);
    if !faults.is_empty() {
        // Whom the account has nobody can know before.
        let ours = faults.iter().filter(|faults| !faults.are_of_users());
        state.violations.extend(ours.map(|faults| format!("{:?}", faults.errors)));
        return validation(&faults);
    }
    add(state, calls)
}

fn add(state: &mut State, calls: &[Value]) -> Reply {
    let mut stored = Vec::new();
    let mut errors = Vec::new();
    for call in calls {
        let request_id = &call["request_id"];
        match state.find(call["phone"].as_str().unwrap_or_default()) {
            Some((kind, entity)) => {
                let id = state.store(call.clone(), kind, entity);
                if let Some(twin) = state.options.twin {
                    let mut theirs = call.clone();
                    theirs["source"] = twin.into();
                    theirs["uniq"] = Value::Null;
                    state.store(theirs, kind, entity);
                }
                stored.push(
                    json!({"id": id, "entity_id": entity, "entity_type": kind, "account_id": 28_805_383,
                    "request_id": request_id, "_embedded": {"entity": {"id": entity}}}),
                );
            }
            None => {
                errors.push(json!({"title": "Entity not found", "status": 263, "request_id": request_id}));
            }
        }
    }
    let status = match (stored.is_empty(), errors.is_empty()) {
        (true, _) => 400,
        (false, true) => 200,
        (false, false) => state.options.mixed_status,
    };
    json_answer(
        status,
        &json!({"_total_items": stored.len(), "errors": errors, "_embedded": {"calls": stored}}),
    )
}

fn account(state: &State) -> Reply {
    let mode = if state.options.customers { "segments" } else { "disabled" };
    json_answer(
        200,
        &json!({"id": 28_805_383, "name": "Fake", "subdomain": "fake", "current_user_id": 504_141,
        "customers_mode": mode, "is_unsorted_on": state.options.unsorted}),
    )
}

fn notes(state: &State, asked: &Asked) -> Reply {
    let Some(kind) = kind_of(asked.uri.path()) else { return problem(404, "Not Found", "Not Found") };
    if kind == "customer" && !state.options.customers {
        return problem(403, "Forbidden", "Customers are off");
    }
    let asked = Query::of(asked.uri.query().unwrap_or_default());
    let mut matching: Vec<&Note> =
        state.notes.iter().filter(|note| note.entity_kind == kind && asked.wants(note)).collect();
    if asked.first("order[id]") == Some("desc") {
        matching.reverse();
    }
    let limit = asked.number("limit").unwrap_or(50).clamp(1, state.options.page_max);
    let page = asked.number("page").unwrap_or(1).max(1);
    let shown: Vec<Value> =
        matching.iter().skip((page - 1) * limit).take(limit).map(|note| note_json(note)).collect();
    if shown.is_empty() {
        return Reply::Answer(204, HAL, Vec::new());
    }
    let mut links = json!({"self": {"href": "self"}});
    if matching.len() > page * limit {
        links["next"] = json!({"href": format!("http://fake/?page={}", page + 1)});
    }
    json_answer(200, &json!({"_page": page, "_links": links, "_embedded": {"notes": shown}}))
}

fn note_json(note: &Note) -> Value {
    let params = &note.call;
    json!({"id": note.id, "entity_id": note.entity_id, "note_type": note_type(note),
        "created_at": params["created_at"], "updated_at": note.updated_at,
        "params": {"uniq": params["uniq"], "phone": params["phone"], "source": params["source"],
            "duration": params["duration"], "link": params["link"], "call_status": params["call_status"],
            "call_responsible": params["call_responsible"]}})
}

fn note_type(note: &Note) -> &'static str {
    if note.call["direction"] == "inbound" { "call_in" } else { "call_out" }
}

fn kind_of(path: &str) -> Option<&'static str> {
    let plural = path.strip_prefix("/api/v4/")?.strip_suffix("/notes")?;
    KINDS.iter().find(|(name, _)| *name == plural).map(|(_, kind)| *kind)
}

/// The kind of entity that paths and tasks name in the plural.
pub fn kind_of_plural(plural: &str) -> Option<&'static str> {
    KINDS.iter().find(|(name, _)| *name == plural).map(|(_, kind)| *kind)
}

fn entity_of(path: &str) -> Option<(&'static str, u64)> {
    let (plural, id) = path.strip_prefix("/api/v4/")?.split_once('/')?;
    Some((kind_of_plural(plural)?, id.parse().ok()?))
}

fn task_of(path: &str) -> Option<u64> {
    path.strip_prefix(TASKS)?.strip_prefix('/')?.parse().ok()
}

/// The pairs of a query, decoded.
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn of(text: &str) -> Self {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(key, value)| (decoded(key), decoded(value))).collect())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn number(&self, name: &str) -> Option<usize> {
        self.first(name)?.parse().ok()
    }

    fn wants(&self, note: &Note) -> bool {
        let types = self.all("filter[note_type][]");
        let bound = |name: &str| self.first(name).and_then(|text| text.parse::<i64>().ok());
        (types.is_empty() || types.contains(&note_type(note)))
            && bound("filter[updated_at][from]").is_none_or(|from| note.updated_at >= from)
            && bound("filter[updated_at][to]").is_none_or(|to| note.updated_at <= to)
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub fn refuse(state: &mut State, reason: &str) -> Reply {
    state.violations.push(reason.to_owned());
    problem(400, "Bad Request", reason)
}

fn validation(faults: &[Faults]) -> Reply {
    let named = faults.iter().map(|faults| json!({"request_id": faults.request_id, "errors": faults.errors}));
    let body = json!({"validation-errors": named.collect::<Vec<Value>>(), "title": "Bad Request",
        "type": "https://httpstatus.es/400", "status": 400, "detail": "Request validation failed"});
    Reply::Answer(400, PROBLEM, body.to_string().into_bytes())
}

pub fn problem(status: u16, title: &str, detail: &str) -> Reply {
    let kind = format!("https://httpstatus.es/{status}");
    let body = json!({"title": title, "type": kind, "status": status, "detail": detail});
    Reply::Answer(status, PROBLEM, body.to_string().into_bytes())
}

pub fn page(status: u16) -> Reply {
    let body = format!("<html>\n<head><title>{status}</title></head>\n<body>nginx</body>\n</html>\n");
    Reply::Answer(status, "text/html", body.into_bytes())
}

pub fn json_answer(status: u16, body: &Value) -> Reply {
    Reply::Answer(status, HAL, body.to_string().into_bytes())
}

impl Reply {
    fn status(&self) -> u16 {
        match self {
            Self::Answer(status, ..) | Self::Cut(status, _) | Self::Gated(status, _) => *status,
            Self::RetryAfter(_) => 429,
            Self::Reset | Self::Never => 0,
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, body) = match self {
            Self::Answer(_, kind, body) => (kind, body),
            Self::Cut(_, body) | Self::Gated(_, body) => (HAL, body),
            Self::RetryAfter(seconds) => {
                return (code, [(header::RETRY_AFTER, seconds.to_string())], "slow down").into_response();
            }
            Self::Reset | Self::Never => (HAL, Vec::new()),
        };
        let headers =
            [(header::CONTENT_TYPE, kind), (header::HeaderName::from_static("x-request-id"), "fake")];
        (code, headers, body).into_response()
    }
}
