//! What is made for unknown numbers: items of Incoming leads, contacts, leads; strict as the real
//! one is, and a little more: a second item or contact of one number is told as a fault of ours.

use axum::http::header;
use serde_json::{Value, json};

use super::api::{self, Asked, HAL, PROBLEM, Query, Reply, problem, refuse};
use super::strict::{error, is_user, text_fault};
use super::{Options, State, last_ten};

/// An item of Incoming leads.
#[derive(Clone, Debug)]
pub struct Unsorted {
    pub uid: String,
    /// As it was posted.
    pub body: Value,
    pub decided: Option<Decided>,
    since: std::time::Instant,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decided {
    Accepted,
    Declined,
}

/// A contact that was made.
#[derive(Clone, Debug)]
pub struct Contact {
    pub id: u64,
    pub number: String,
    pub body: Value,
}

/// A lead that was made.
#[derive(Clone, Debug)]
pub struct Lead {
    pub id: u64,
    pub contact: u64,
    pub body: Value,
}

impl Unsorted {
    pub fn number(&self) -> String {
        last_ten(self.body["metadata"]["from"].as_str().unwrap_or_default())
    }

    fn is_open(&self) -> bool {
        self.decided.is_none()
    }
}

impl State {
    /// Where a call to this made contact is attached.
    pub(super) fn made(&self, digits: &str) -> Option<(&'static str, u64)> {
        let contact = self.contacts.iter().find(|contact| contact.number == digits)?;
        let lead = self.leads.iter().find(|lead| lead.contact == contact.id);
        Some(lead.map_or(("contact", contact.id), |lead| ("lead", lead.id)))
    }

    /// A person decides on the open item of a number.
    pub(super) fn decide(&mut self, number: &str, decided: Decided) {
        let digits = last_ten(number);
        let at = self.unsorted.iter().position(|item| item.is_open() && item.number() == digits);
        let item = &mut self.unsorted[at.expect("there is an open item of this number")];
        item.decided = Some(decided);
        let body = item.body.clone();
        if decided == Decided::Accepted {
            let contact = self.add_contact(digits, body["_embedded"]["contacts"][0].clone());
            let lead = self.add_lead(contact, body["_embedded"]["leads"][0].clone());
            let metadata = &body["metadata"];
            if metadata["is_call_event_needed"] == true {
                let call = json!({"direction": "inbound", "uniq": metadata["uniq"], "phone": metadata["phone"],
                    "duration": metadata["duration"], "source": body["source_name"],
                    "created_at": metadata["called_at"]});
                self.store(call, "lead", lead);
            }
        }
    }

    fn add_contact(&mut self, number: String, body: Value) -> u64 {
        let id = self.take_id();
        self.contacts.push(Contact { id, number, body });
        id
    }

    fn add_lead(&mut self, contact: u64, body: Value) -> u64 {
        let id = self.take_id();
        self.leads.push(Lead { id, contact, body });
        id
    }

    pub(super) fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }
}

/// `POST /api/v4/leads/unsorted/sip`
pub fn post_unsorted(state: &mut State, asked: &Asked) -> Reply {
    let items = match things(state, asked) {
        Ok(items) => items,
        Err(reply) => return reply,
    };
    if !state.options.unsorted {
        return problem(400, "Bad Request", "Incoming leads are off");
    }
    let link = state.options.unsorted_wants_link;
    if let Some(reply) = refused(state, &items, |item| unsorted_faults(item, link)) {
        return reply;
    }
    let known = |item: &Value| state.unsorted.iter().any(|old| old.body["source_uid"] == item["source_uid"]);
    if items.iter().any(known) {
        return refuse(state, "an item with this source_uid is there already");
    }
    let mut made = Vec::new();
    for item in items {
        let number = last_ten(item["metadata"]["from"].as_str().unwrap_or_default());
        if state.unsorted.iter().any(|old| old.is_open() && old.number() == number) {
            state.violations.push(format!("a second open item of {number}"));
        }
        let uid = format!("{:060x}", state.take_id());
        made.push(json!({"uid": uid, "account_id": 28_805_383, "request_id": item["request_id"],
            "_embedded": {"contacts": [{"id": 1}], "leads": [{"id": 2}], "companies": []}}));
        let since = std::time::Instant::now();
        state.unsorted.push(Unsorted { uid, body: item, decided: None, since });
    }
    embedded("unsorted", &made)
}

/// `GET /api/v4/leads/unsorted`: the open ones, as far as the list knows them yet.
pub fn list_unsorted(state: &State, asked: &Asked) -> Reply {
    let query = Query::of(asked.uri.query().unwrap_or_default());
    let categories = query.all("filter[category][]");
    let is_listed = |item: &&Unsorted| {
        item.is_open()
            && item.since.elapsed() >= state.options.unsorted_lag
            && (categories.is_empty() || categories.contains(&"sip"))
    };
    let mut open: Vec<&Unsorted> = state.unsorted.iter().filter(is_listed).collect();
    if query.first("order[created_at]") == Some("desc") {
        open.reverse();
    }
    let json = |item: &&Unsorted| {
        let body = &item.body;
        json!({"uid": item.uid, "source_uid": body["source_uid"], "source_name": body["source_name"],
            "category": "sip", "pipeline_id": body["pipeline_id"], "created_at": body["created_at"],
            "metadata": {"from": body["metadata"]["phone"], "phone": body["metadata"]["from"],
                "uniq": body["metadata"]["uniq"], "service_code": body["metadata"]["service_code"]},
            "_embedded": {"contacts": [{"id": 1}], "leads": [{"id": 2}]}})
    };
    let page = query.number("page").unwrap_or(1).max(1);
    let limit = query.number("limit").unwrap_or(50).clamp(1, state.options.page_max);
    let shown: Vec<Value> = open.iter().skip((page - 1) * limit).take(limit).map(json).collect();
    if shown.is_empty() {
        return Reply::Answer(204, HAL, Vec::new());
    }
    let mut links = json!({"self": {"href": "self"}});
    if open.len() > page * limit {
        links["next"] = json!({"href": format!("http://fake/?page={}", page + 1)});
    }
    api::json_answer(200, &json!({"_page": page, "_links": links, "_embedded": {"unsorted": shown}}))
}

/// `GET /api/v4/contacts?query=…`
pub fn search_contacts(state: &State, asked: &Asked) -> Reply {
    let query = Query::of(asked.uri.query().unwrap_or_default());
    let wanted = query.first("query").unwrap_or_default();
    let with_leads = query.first("with").is_some_and(|with| with.split(',').any(|one| one == "leads"));
    let mut found: Vec<Value> = Vec::new();
    for contact in state.contacts.iter().filter(|contact| contact.number.contains(wanted)) {
        let leads: Vec<Value> = state
            .leads
            .iter()
            .filter(|lead| lead.contact == contact.id)
            .map(|lead| json!({"id": lead.id}))
            .collect();
        let mut json = phone_contact(contact.id, &contact.number);
        if with_leads {
            json["_embedded"] = json!({"leads": leads});
        }
        found.push(json);
    }
    found.extend(state.search("contact", wanted));
    if found.is_empty() {
        return Reply::Answer(204, HAL, Vec::new());
    }
    api::json_answer(200, &json!({"_page": 1, "_links": {}, "_embedded": {"contacts": found}}))
}

fn phone_contact(id: u64, number: &str) -> Value {
    json!({"id": id, "name": number, "custom_fields_values": [{"field_id": 3, "field_code": "PHONE",
        "values": [{"value": format!("8{number}"), "enum_code": "WORK"}]}]})
}

/// `POST /api/v4/contacts`
pub fn post_contacts(state: &mut State, asked: &Asked) -> Reply {
    let contacts = match things(state, asked) {
        Ok(contacts) => contacts,
        Err(reply) => return reply,
    };
    let options = state.options.clone();
    if let Some(reply) = refused(state, &contacts, |contact| contact_faults(contact, &options)) {
        return reply;
    }
    let mut made = Vec::new();
    for contact in contacts {
        let number = last_ten(phone_of(&contact).unwrap_or_default());
        if state.find(&number).is_some() {
            state.violations.push(format!("a second contact of {number}"));
        }
        let request_id = contact["request_id"].clone();
        let id = state.add_contact(number, contact);
        made.push(json!({"id": id, "is_deleted": false, "request_id": request_id}));
    }
    embedded("contacts", &made)
}

/// `POST /api/v4/leads`
pub fn post_leads(state: &mut State, asked: &Asked) -> Reply {
    let leads = match things(state, asked) {
        Ok(leads) => leads,
        Err(reply) => return reply,
    };
    let ids: Vec<u64> = state.contacts.iter().map(|contact| contact.id).collect();
    let options = state.options.clone();
    if let Some(reply) = refused(state, &leads, |lead| lead_faults(lead, &ids, &options)) {
        return reply;
    }
    let mut made = Vec::new();
    for lead in leads {
        let contact = lead["_embedded"]["contacts"][0]["id"].as_u64().unwrap_or_default();
        if state.leads.iter().any(|old| old.contact == contact) {
            state.violations.push(format!("a second lead of contact {contact}"));
        }
        let request_id = lead["request_id"].clone();
        made.push(json!({"id": state.add_lead(contact, lead), "request_id": request_id}));
    }
    embedded("leads", &made)
}

fn embedded(list: &str, made: &[Value]) -> Reply {
    api::json_answer(200, &json!({"_total_items": made.len(), "_embedded": {list: made}}))
}

/// The things of a body, each with a request id of its own.
pub(super) fn things(state: &mut State, asked: &Asked) -> Result<Vec<Value>, Reply> {
    let is_json = asked.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let things = body.as_array().cloned().unwrap_or_default();
    let mut ids: Vec<&str> = things.iter().filter_map(|thing| thing["request_id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    if !is_json || things.is_empty() || things.len() > 50 || ids.len() != things.len() {
        return Err(refuse(state, "no JSON array of 1 to 50 things with request ids"));
    }
    Ok(things)
}

/// The refusal of things that break a rule.
pub(super) fn refused(
    state: &mut State,
    things: &[Value],
    faults: impl Fn(&Value) -> Vec<Value>,
) -> Option<Reply> {
    let named: Vec<Value> = things
        .iter()
        .map(|thing| (thing, faults(thing)))
        .filter(|(_, errors)| !errors.is_empty())
        .map(|(thing, errors)| json!({"request_id": thing["request_id"], "errors": errors}))
        .collect();
    if named.is_empty() {
        return None;
    }
    let by_order =
        state.options.unsorted_wants_link && named.iter().all(|fault| fault.to_string().contains("link"));
    // Whom the account has nobody can know before.
    let of_users = named.iter().all(|fault| fault["errors"][0]["path"] == "responsible_user_id");
    if !by_order && !of_users {
        state.violations.push(format!("{named:?}"));
    }
    let body = json!({"validation-errors": named, "title": "Bad Request", "type": "https://httpstatus.es/400",
        "status": 400, "detail": "Request validation failed"});
    Some(Reply::Answer(400, PROBLEM, body.to_string().into_bytes()))
}

fn unsorted_faults(item: &Value, link: bool) -> Vec<Value> {
    let mut faults = unexpected(
        item,
        "",
        &["request_id", "source_name", "source_uid", "pipeline_id", "created_at", "metadata", "_embedded"],
    );
    faults.extend(["source_name", "source_uid"].iter().filter_map(|key| text(item, "", key)));
    let metadata = &item["metadata"];
    let known = [
        "is_call_event_needed",
        "uniq",
        "duration",
        "service_code",
        "link",
        "phone",
        "called_at",
        "from",
        "call_responsible",
    ];
    faults.extend(unexpected(metadata, "metadata.", &known));
    faults.extend(
        ["uniq", "service_code", "phone", "from"].iter().filter_map(|key| text(metadata, "metadata.", key)),
    );
    if link || metadata.get("link").is_some() {
        faults.extend(text(metadata, "metadata.", "link"));
    }
    for (value, key) in
        [(&metadata["duration"], "metadata.duration"), (&metadata["called_at"], "metadata.called_at")]
    {
        faults.extend((!value.is_u64()).then(|| error("InvalidType", key, "no number")));
    }
    if metadata["is_call_event_needed"] != true {
        faults.push(error("NotSupportedChoice", "metadata.is_call_event_needed", "the card needs the call"));
    }
    if metadata["from"] != metadata["phone"] {
        faults.push(error("NotSupportedChoice", "metadata.from", "the caller must stand in both"));
    }
    if item.get("pipeline_id").is_some_and(|id| id.as_u64().is_none_or(|id| id == 0)) {
        faults.push(error("NotSupportedChoice", "pipeline_id", "no id"));
    }
    let embedded = &item["_embedded"];
    if text(&embedded["leads"][0], "leads.", "name").is_some() || phone_of(&embedded["contacts"][0]).is_none()
    {
        faults.push(error("FieldMissing", "_embedded", "a lead with a name and a contact with a PHONE"));
    }
    faults
}

fn contact_faults(contact: &Value, options: &Options) -> Vec<Value> {
    let known = ["name", "responsible_user_id", "custom_fields_values", "_embedded", "request_id"];
    let mut faults = unexpected(contact, "", &known);
    faults.extend(text(contact, "", "name"));
    faults.extend(stranger(contact, options));
    faults.extend(
        phone_of(contact).is_none().then(|| error("FieldMissing", "custom_fields_values", "no PHONE")),
    );
    faults
}

fn lead_faults(lead: &Value, contacts: &[u64], options: &Options) -> Vec<Value> {
    let known = ["name", "pipeline_id", "status_id", "responsible_user_id", "_embedded", "request_id"];
    let mut faults = unexpected(lead, "", &known);
    faults.extend(text(lead, "", "name"));
    faults.extend(stranger(lead, options));
    let contact = lead["_embedded"]["contacts"][0]["id"].as_u64();
    if contact.is_none_or(|id| !contacts.contains(&id)) {
        faults.push(error("NotSupportedChoice", "_embedded.contacts.0.id", "there is no such contact"));
    }
    faults
}

/// Whom it names, if he does not work there.
fn stranger(thing: &Value, options: &Options) -> Option<Value> {
    let user = thing.get("responsible_user_id")?;
    let detail = "The value you selected is not a valid choice.";
    (!is_user(user, options)).then(|| error("NotSupportedChoice", "responsible_user_id", detail))
}

pub(super) fn unexpected(thing: &Value, place: &str, known: &[&str]) -> Vec<Value> {
    let Some(fields) = thing.as_object() else { return vec![error("InvalidType", place, "no object")] };
    let fault = |(key, value): (&String, &Value)| match value {
        Value::Null => Some(error("NotNullable", &format!("{place}{key}"), "This value should not be null.")),
        _ if known.contains(&key.as_str()) => None,
        _ => Some(error("FieldNotExpected", &format!("{place}{key}"), "This field was not expected.")),
    };
    fields.iter().filter_map(fault).collect()
}

fn text(thing: &Value, place: &str, key: &str) -> Option<Value> {
    let Some(value) = thing.get(key) else {
        return Some(error("FieldMissing", &format!("{place}{key}"), "This field is missing."));
    };
    let (code, detail) = text_fault(value, 2048)?;
    Some(error(code, &format!("{place}{key}"), detail))
}

fn phone_of(contact: &Value) -> Option<&str> {
    let fields = contact["custom_fields_values"].as_array()?;
    let phone = fields.iter().find(|field| field["field_code"] == "PHONE")?;
    phone["values"][0]["value"].as_str().filter(|number| !number.is_empty())
}
