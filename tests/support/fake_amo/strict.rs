//! What amoCRM refuses in a posted batch, and more: what we promise never to send.

use serde_json::{Value, json};

use super::Options;

/// The faults of one call, as `validation-errors` names them.
pub struct Faults {
    pub request_id: Value,
    pub errors: Vec<Value>,
}

/// Fields that name a user.
const USER_FIELDS: [&str; 3] = ["call_responsible", "responsible_user_id", "created_by"];

impl Faults {
    /// Whether they are about whom the call names, and nothing else.
    pub fn are_of_users(&self) -> bool {
        self.errors.iter().all(|error| USER_FIELDS.iter().any(|field| error["path"] == *field))
    }
}

const BATCH_MAX: usize = 50;
const REQUIRED: [&str; 4] = ["direction", "duration", "source", "phone"];

/// The calls of a body, or why it is none.
pub fn batch(body: &Value) -> Result<&Vec<Value>, String> {
    let calls = body.as_array().ok_or("the body is no JSON array")?;
    if calls.is_empty() || calls.len() > BATCH_MAX {
        return Err(format!("a batch of {} calls", calls.len()));
    }
    let mut ids: Vec<&str> = calls.iter().filter_map(|call| call["request_id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != calls.len() {
        return Err("a request_id is missing, no text, or there twice".to_owned());
    }
    Ok(calls)
}

/// The calls that break a rule.
pub fn faults(calls: &[Value], options: &Options) -> Vec<Faults> {
    let judged = calls
        .iter()
        .map(|call| Faults { request_id: call["request_id"].clone(), errors: faults_of(call, options) });
    judged.filter(|faults| !faults.errors.is_empty()).collect()
}

/// A rule broken by order of the test.
pub fn ordered(call: &Value) -> Faults {
    let error = error("NotSupportedChoice", "call_status", "The value you selected is not a valid choice.");
    Faults { request_id: call["request_id"].clone(), errors: vec![error] }
}

fn faults_of(call: &Value, options: &Options) -> Vec<Value> {
    let Some(fields) = call.as_object() else { return vec![error("InvalidType", "", "no object")] };
    let missing = REQUIRED.iter().filter(|field| !fields.contains_key(**field));
    let missing = missing.map(|field| error("FieldMissing", field, "This field is missing."));
    let wrong = fields.iter().filter_map(|(field, value)| {
        let (code, detail) = fault(field, value, options)?;
        Some(error(code, field, detail))
    });
    missing.chain(wrong).collect()
}

fn fault(field: &str, value: &Value, options: &Options) -> Option<(&'static str, &'static str)> {
    if value.is_null() {
        return Some(("NotNullable", "This value should not be null."));
    }
    let fits = match field {
        "direction" => matches!(value.as_str(), Some("inbound" | "outbound")),
        "duration" => value.is_u64(),
        "source" | "phone" | "uniq" => return text_fault(value, 255),
        "call_result" => return text_fault(value, options.result_max),
        "link" => return text_fault(value, 2048),
        "call_responsible" if value.is_string() => {
            let refused = ("NotSupportedChoice", "There is no such user.");
            return text_fault(value, 255).or(options.staff.refuses_text.then_some(refused));
        }
        "call_responsible" => is_user(value, options),
        "call_status" => value.as_u64().is_some_and(|status| (1..=7).contains(&status)),
        "responsible_user_id" | "created_by" | "updated_by" => is_user(value, options),
        "created_at" => value.as_i64().is_some_and(|at| (1_000_000_000..4_000_000_000).contains(&at)),
        "request_id" => value.is_string(),
        // `updated_at` is documented; sending it would hide our notes from our own search.
        _ => return Some(("FieldNotExpected", "This field was not expected.")),
    };
    (!fits).then_some(("NotSupportedChoice", "The value you selected is not a valid choice."))
}

pub fn text_fault(value: &Value, max: usize) -> Option<(&'static str, &'static str)> {
    match value.as_str() {
        None => Some(("InvalidType", "This value should be of type string.")),
        Some(text) if text.trim().is_empty() => Some(("NotBlank", "This value should not be blank.")),
        Some(text) if text.chars().count() > max => Some(("TooLong", "This value is too long.")),
        Some(_) => None,
    }
}

pub fn is_user(value: &Value, options: &Options) -> bool {
    match (value.as_u64(), &options.users) {
        (Some(id), _) if options.staff.inactive.contains(&id) => false,
        (Some(id), Some(users)) => users.contains(&id),
        (Some(_), None) => true,
        (None, _) => false,
    }
}

pub fn error(code: &str, path: &str, detail: &str) -> Value {
    json!({"code": code, "path": path, "detail": detail})
}
