//! Pure: items of Incoming leads (Неразобранное): made for callers whom amoCRM does not know, and
//! listed while nobody has accepted or declined them.
//!
//! The contact of an item is in no list before the item is accepted, so further calls of its number
//! are refused as unknown until then. The list of open items is what tells: a number that is in it
//! gets no second item, and an item that is in it no more was decided on.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::amo::answer::{self, Account, Reply};
use crate::amo::calls::{Entry, Responsible};
use crate::amo::contacts::{self, Contact, Tagged, tail};
use crate::amo::notes;
use crate::amo::settings::Settings;
use crate::call::record::CallRecord;

pub const PATH: &str = "/api/v4/leads/unsorted/sip";
/// Where the answer has what was made.
pub const LIST: &str = "unsorted";
/// Most items on a page that amoCRM gives.
pub const PAGE_MAX: usize = 250;
/// Most pages that are read: 5,000 open items, the newest first.
pub const PAGES_MAX: u32 = 20;
/// By it amoCRM tells whose items these are.
const SERVICE: &str = "ami2amo";
/// Stands for the recording that there is none of, where amoCRM wants a link.
const NO_LINK: &str = "http://no.value";

/// One item, as amoCRM wants it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Item {
    request_id: String,
    source_name: String,
    /// Unique for each call; by it the item is found again.
    pub source_uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    metadata: Metadata,
    _embedded: Embedded,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Metadata {
    /// The card shall have the call.
    is_call_event_needed: bool,
    uniq: String,
    duration: u64,
    service_code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    /// The caller; which of both amoCRM takes for him is told in two ways, so both are.
    phone: String,
    from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    called_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_responsible: Option<Responsible>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Embedded {
    leads: Vec<Tagged>,
    contacts: Vec<Contact>,
}

/// The items that nobody has decided on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Open {
    /// Incoming leads are switched off for the account.
    pub is_off: bool,
    pub uids: BTreeSet<String>,
    /// uid by `source_uid`.
    pub by_source: BTreeMap<String, String>,
    /// uid by the last ten digits of the caller's number.
    pub by_number: BTreeMap<String, String>,
    /// More items are open than are here.
    pub is_cut: bool,
}

/// What one page of the list said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Page {
    /// The page is taken into an [`Open`]; whether another one follows.
    Read { more: bool },
    /// It could not be read: nothing is proved.
    Unread { account: Account, words: String },
}

/// Writes an item for a call, from what would be posted as one. `needs_link` when amoCRM wants a
/// link even where there is no recording.
pub fn item(entry: &Entry, record: &CallRecord, settings: &Settings, needs_link: bool) -> Item {
    let unknown = &settings.unknown;
    let caller: String = entry.phone.chars().filter(char::is_ascii_digit).collect();
    let name = |template| contacts::name(template, entry, record);
    let link = entry.link.clone().or_else(|| needs_link.then(|| NO_LINK.to_owned()));
    Item {
        request_id: entry.request_id.clone(),
        source_name: entry.source.clone(),
        source_uid: entry.uniq.clone(),
        pipeline_id: unknown.pipeline(record),
        created_at: entry.created_at,
        metadata: Metadata {
            is_call_event_needed: true,
            uniq: entry.uniq.clone(),
            duration: entry.duration,
            service_code: SERVICE,
            link,
            phone: caller.clone(),
            from: caller,
            called_at: entry.created_at,
            call_responsible: entry.call_responsible.clone(),
        },
        _embedded: Embedded {
            leads: vec![Tagged::new(name(&unknown.lead_name), unknown.tag.as_ref())],
            contacts: vec![Contact::embedded(name(&unknown.contact_name), &entry.phone)],
        },
    }
}

/// The path and query of one page of the list, counted from 1.
pub fn path(page: u32) -> String {
    format!(
        "/api/v4/leads/unsorted?filter%5Bcategory%5D%5B%5D=sip&order%5Bcreated_at%5D=desc\
         &limit={PAGE_MAX}&page={page}"
    )
}

impl Open {
    /// Takes in one page.
    pub fn take(&mut self, reply: &Reply) -> Page {
        if reply.status == 204 {
            return Page::Read { more: false };
        }
        let json = answer::json_object(&reply.body);
        let items = json.as_ref().and_then(|body| body.pointer("/_embedded/unsorted")?.as_array());
        let (200, Some(body), Some(items)) = (reply.status, &json, items) else {
            let account = notes::troubled(answer::account(reply, json.as_ref()));
            return Page::Unread { account, words: answer::words(reply, json.as_ref()) };
        };
        for item in items {
            self.add(item);
        }
        Page::Read { more: body.pointer("/_links/next/href").is_some_and(Value::is_string) }
    }

    fn add(&mut self, item: &Value) {
        let Some(uid) = item.get("uid").and_then(Value::as_str) else { return };
        self.uids.insert(uid.to_owned());
        if let Some(source) = item.get("source_uid").and_then(Value::as_str) {
            self.by_source.insert(source.to_owned(), uid.to_owned());
        }
        let uniq = item.pointer("/metadata/uniq").and_then(Value::as_str);
        if let Some(uniq) = uniq {
            self.by_source.insert(uniq.to_owned(), uid.to_owned());
        }
        // Which of both is the caller is told in two ways; the other one is ours, and calls nobody.
        for key in ["/metadata/from", "/metadata/phone"] {
            let number = match item.pointer(key) {
                Some(Value::String(text)) => tail(text),
                Some(Value::Number(number)) => tail(&number.to_string()),
                Some(_) | None => continue,
            };
            if !number.is_empty() {
                self.by_number.insert(number, uid.to_owned());
            }
        }
    }

    /// Whether the item is still open.
    pub fn has(&self, uid: &str) -> bool {
        self.uids.contains(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amo::calls;
    use crate::call::line::Terms;
    use crate::call::record::sample;
    use serde_json::json;

    #[test]
    fn an_item_has_the_caller_in_both_places_and_the_lines_pipeline() {
        let keys =
            "default-user = 7\n[unknown]\ntag = \"ats\"\nlead-name = \"{line}: {phone} {did} {extension}\"";
        let settings: Settings = toml::from_str(keys).unwrap();
        let mut record = sample::call("1795337591.4").record;
        record.line = Terms { label: Some("Site".into()), pipeline: Some(5), ..Terms::default() };
        let entry = calls::entry(&record, "0", &settings, &calls::Manner::default()).unwrap();
        let item = serde_json::to_value(item(&entry, &record, &settings, false)).unwrap();
        assert_eq!(
            item,
            json!({"request_id": "0", "source_name": "ami2amo", "source_uid": "default-1795337591.4",
                "pipeline_id": 5, "created_at": 1_795_338_791,
                "metadata": {"is_call_event_needed": true, "uniq": "default-1795337591.4", "duration": 4,
                    "service_code": "ami2amo", "phone": "79161234568", "from": "79161234568",
                    "called_at": 1_795_338_791, "call_responsible": 7},
                "_embedded": {
                    "leads": [{"name": "Site: 79161234568 74957000101 101", "_embedded": {"tags": [{"name": "ats"}]}}],
                    "contacts": [{"name": "79161234568", "custom_fields_values":
                        [{"field_code": "PHONE", "values": [{"value": "79161234568"}]}]}]}})
        );
    }

    #[test]
    fn a_link_is_made_up_only_where_amocrm_wants_one() {
        let record = sample::call("1.1").record;
        let entry = calls::entry(&record, "0", &Settings::default(), &calls::Manner::default()).unwrap();
        let link = |needs| item(&entry, &record, &Settings::default(), needs).metadata.link;
        assert_eq!((link(false), link(true).as_deref()), (None, Some(NO_LINK)));
    }

    #[test]
    fn the_list_tells_which_numbers_and_calls_have_an_open_item() {
        let body = json!({"_links": {"next": {"href": "x"}}, "_embedded": {"unsorted": [
            {"uid": "u1", "source_uid": "default-1.1", "metadata": {"from": "79161234567", "phone": 74_957_000_101_u64}},
            {"uid": "u2", "metadata": {"uniq": "default-1.2", "phone": "+7 916 123-45-68"}},
            {"uid": 3}, null]}});
        let reply = Reply { status: 200, body: body.to_string().into_bytes(), ..Reply::default() };
        let mut open = Open::default();
        assert_eq!(open.take(&reply), Page::Read { more: true });
        assert_eq!(open.by_source["default-1.1"], "u1");
        assert_eq!(open.by_source["default-1.2"], "u2");
        assert_eq!(open.by_number["9161234567"], "u1");
        assert_eq!(open.by_number["9161234568"], "u2");
        assert!(open.has("u1") && open.has("u2") && !open.has("u3"));
    }

    #[test]
    fn a_page_that_cannot_be_read_proves_nothing() {
        let read = |status, body: &str| {
            let reply = Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() };
            Open::default().take(&reply)
        };
        assert_eq!(read(204, ""), Page::Read { more: false });
        for (status, body) in [(200, ""), (200, "{}"), (400, "{}"), (500, ""), (403, "<html>"), (401, "")] {
            assert!(matches!(read(status, body), Page::Unread { account, .. } if account != Account::Fine));
        }
    }
}
