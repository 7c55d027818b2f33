//! Pure: contacts and leads that are made for numbers which amoCRM does not know, and the search by
//! which it is found out that they are there.

use serde::Serialize;
use serde_json::Value;

use crate::amo::answer::{self, Account, Reply, id_of};
use crate::amo::calls::Entry;
use crate::amo::notes;
use crate::amo::settings::unknown::Unknown;
use crate::amo::settings::{TEXT_MAX, Text};
use crate::amo::tasks;
use crate::call::record::CallRecord;

pub const CONTACTS_PATH: &str = "/api/v4/contacts";
pub const LEADS_PATH: &str = "/api/v4/leads";
/// Where the answers have what was made.
pub const CONTACTS: &str = "contacts";
pub const LEADS: &str = "leads";
const COMPANIES: &str = "companies";
/// Digits by which amoCRM tells numbers apart.
const TAIL: usize = 10;

/// A contact, as amoCRM wants it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contact {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    responsible_user_id: Option<u64>,
    custom_fields_values: Vec<Field>,
    #[serde(skip_serializing_if = "Option::is_none")]
    _embedded: Option<Tags>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// Something with a name and perhaps a tag.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tagged {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    _embedded: Option<Tags>,
}

/// A lead of a contact, as amoCRM wants it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lead {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    responsible_user_id: Option<u64>,
    _embedded: Relations,
    request_id: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Relations {
    contacts: Vec<Reference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Reference {
    id: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Tags {
    tags: Vec<Tag>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Tag {
    name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Field {
    field_code: &'static str,
    values: Vec<Number>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Number {
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    enum_code: Option<&'static str>,
}

/// A contact that has the number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Known {
    pub id: u64,
    /// Its leads.
    pub leads: Vec<u64>,
    /// The user whose it is.
    pub owner: Option<u64>,
}

/// What a search said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Search {
    Read(Vec<Known>),
    /// It could not be read: nothing is proved.
    Unread {
        account: Account,
        words: String,
    },
}

impl Contact {
    /// The contact of an item of Incoming leads.
    pub fn embedded(name: String, phone: &str) -> Self {
        let values = vec![Number { value: phone.to_owned(), enum_code: None }];
        let custom_fields_values = vec![Field { field_code: "PHONE", values }];
        Self { name, responsible_user_id: None, custom_fields_values, _embedded: None, request_id: None }
    }

    /// A contact for the number of a call, from what would be posted of the call.
    pub fn new(entry: &Entry, record: &CallRecord, settings: &Unknown) -> Self {
        let mut contact = Self::embedded(name(&settings.contact_name, entry, record), &entry.phone);
        contact.custom_fields_values[0].values[0].enum_code = Some("WORK");
        Self {
            responsible_user_id: entry.responsible_user_id,
            _embedded: tags(settings.tag.as_ref()),
            request_id: Some(entry.request_id.clone()),
            ..contact
        }
    }
}

impl Tagged {
    pub fn new(name: String, tag: Option<&Text>) -> Self {
        Self { name, _embedded: tags(tag) }
    }
}

impl Lead {
    /// A lead of `contact` for a call; it is whose the call is.
    pub fn new(entry: &Entry, record: &CallRecord, settings: &Unknown, contact: u64) -> Self {
        Self {
            name: name(&settings.lead_name, entry, record),
            pipeline_id: settings.pipeline(record),
            status_id: settings.stage(record),
            responsible_user_id: entry.responsible_user_id,
            _embedded: Relations {
                contacts: vec![Reference { id: contact }],
                tags: tags(settings.tag.as_ref()).map(|tags| tags.tags).unwrap_or_default(),
            },
            request_id: entry.request_id.clone(),
        }
    }
}

/// The name of what is made.
pub fn name(template: &Text, entry: &Entry, record: &CallRecord) -> String {
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let name = template
        .as_str()
        .replace("{phone}", &entry.phone)
        .replace("{line}", &word(&record.line.label))
        .replace("{did}", &word(&record.did))
        .replace("{extension}", &word(&record.responsible));
    let name: String = name.trim().chars().take(TEXT_MAX).collect();
    if name.is_empty() { entry.phone.clone() } else { name }
}

/// The digits by which amoCRM tells numbers apart: the last ten.
pub fn tail(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    digits[digits.len().saturating_sub(TAIL)..].iter().collect()
}

/// The path and query of the search for contacts with a number.
pub fn search_path(number: &str) -> String {
    format!("{CONTACTS_PATH}?query={}&with=leads&limit=250", tail(number))
}

/// As [`search_path`], for companies.
pub fn companies_path(number: &str) -> String {
    format!("/api/v4/{COMPANIES}?query={}&limit=250", tail(number))
}

/// As [`read_search`], for companies.
pub fn read_companies(reply: &Reply, number: &str) -> Search {
    read_list(reply, COMPANIES, number)
}

/// Reads the answer to the search. amoCRM searches every field, so the numbers are compared here.
pub fn read_search(reply: &Reply, number: &str) -> Search {
    read_list(reply, CONTACTS, number)
}

fn read_list(reply: &Reply, list: &str, number: &str) -> Search {
    if reply.status == 204 {
        return Search::Read(Vec::new());
    }
    let json = answer::json_object(&reply.body);
    let contacts = json.as_ref().and_then(|body| body.get("_embedded")?.get(list)?.as_array());
    let (200, Some(contacts)) = (reply.status, contacts) else {
        let account = notes::troubled(answer::account(reply, json.as_ref()));
        return Search::Unread { account, words: answer::words(reply, json.as_ref()) };
    };
    let wanted = tail(number);
    Search::Read(contacts.iter().filter_map(|contact| known(contact, &wanted)).collect())
}

fn known(contact: &Value, wanted: &str) -> Option<Known> {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let fields = list(contact.get("custom_fields_values"));
    let phones =
        fields.iter().filter(|field| field.get("field_code").and_then(Value::as_str) == Some("PHONE"));
    let values = phones.flat_map(|field| list(field.get("values")));
    let mut numbers = values.filter_map(|value| match value.get("value")? {
        Value::String(text) => Some(tail(text)),
        Value::Number(number) => Some(tail(&number.to_string())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    });
    numbers.any(|number| number == wanted).then_some(())?;
    let leads = list(contact.pointer("/_embedded/leads"));
    let leads = leads.iter().filter_map(|lead| id_of(lead.get("id"))).collect();
    Some(Known { id: id_of(contact.get("id"))?, leads, owner: tasks::owner(contact) })
}

fn tags(tag: Option<&Text>) -> Option<Tags> {
    tag.map(|tag| Tags { tags: vec![Tag { name: tag.as_str().to_owned() }] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amo::calls;
    use crate::amo::settings::Settings;
    use crate::call::record::sample;
    use serde_json::json;

    fn settings() -> Settings {
        toml::from_str("users.101 = 7\nunknown = { tag = \"ats\", pipeline = 5, stage = 6 }").unwrap()
    }

    #[test]
    fn a_contact_and_its_lead_are_the_talkers() {
        let record = sample::call("1.1").record;
        let settings = settings();
        let entry = calls::entry(&record, "0", &settings, &calls::Manner::default()).unwrap();
        let contact = serde_json::to_value(Contact::new(&entry, &record, &settings.unknown)).unwrap();
        assert_eq!(
            contact,
            json!({"name": "79161234568", "responsible_user_id": 7, "request_id": "0",
                "custom_fields_values": [{"field_code": "PHONE",
                    "values": [{"value": "79161234568", "enum_code": "WORK"}]}],
                "_embedded": {"tags": [{"name": "ats"}]}})
        );
        let lead = serde_json::to_value(Lead::new(&entry, &record, &settings.unknown, 70)).unwrap();
        assert_eq!(
            lead,
            json!({"name": "Звонок 79161234568", "responsible_user_id": 7, "request_id": "0",
                "pipeline_id": 5, "status_id": 6,
                "_embedded": {"contacts": [{"id": 70}], "tags": [{"name": "ats"}]}})
        );
    }

    #[test]
    fn a_name_is_never_blank() {
        let record = sample::call("1.1").record;
        let entry = calls::entry(&record, "0", &Settings::default(), &calls::Manner::default()).unwrap();
        let named = |text: &str| name(&Text::try_from(text.to_owned()).unwrap(), &entry, &record);
        assert_eq!(named("{line}"), "79161234568");
        assert_eq!(named("{extension} {phone}"), "101 79161234568");
    }

    #[test]
    fn only_a_phone_with_the_same_ten_digits_is_the_number() {
        let phone = |id: u64, code: &str, value: Value| {
            json!({"id": id, "custom_fields_values": [{"field_code": code, "values": [{"value": value}]}],
                "responsible_user_id": if id == 1 { 7 } else { 0 }, "_embedded": {"leads": [{"id": 9}]}})
        };
        let body = json!({"_embedded": {"contacts": [
            phone(1, "PHONE", json!("8 (916) 123-45-67")), phone(2, "PHONE", json!(79_161_234_567_u64)),
            phone(3, "PHONE", json!("79161234568")), phone(4, "EMAIL", json!("9161234567")),
            {"id": 5, "custom_fields_values": null}, null]}});
        let reply = Reply { status: 200, body: body.to_string().into_bytes(), ..Reply::default() };
        let known = |id| Known { id, leads: vec![9], owner: (id == 1).then_some(7) };
        assert_eq!(read_search(&reply, "+79161234567"), Search::Read(vec![known(1), known(2)]));
        let none = Reply { status: 204, ..Reply::default() };
        assert_eq!(read_search(&none, "1"), Search::Read(Vec::new()));
        for status in [200, 400, 401, 403, 500] {
            let reply = Reply { status, body: b"{}".to_vec(), ..Reply::default() };
            assert!(matches!(read_search(&reply, "1"), Search::Unread { .. }), "{status}");
        }
    }

    #[test]
    fn a_number_is_searched_for_by_its_last_ten_digits() {
        assert_eq!(
            search_path("+7 (916) 123-45-67"),
            "/api/v4/contacts?query=9161234567&with=leads&limit=250"
        );
        assert_eq!(tail("12345"), "12345");
    }
}
