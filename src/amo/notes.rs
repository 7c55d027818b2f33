//! Pure: finding out what was stored, when no answer told.
//!
//! Calls cannot be listed, but each is a note `call_in` or `call_out` on a contact, company, lead
//! or customer, and its `params.uniq` is ours. The notes are asked for by the server's time of
//! their creation, which is why a call is never posted with `updated_at`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::amo::answer::{self, Account, Entity, Reply, id_of};
use crate::time::HostTime;

/// The kinds of entity that a call may have been attached to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    Contact,
    Company,
    Lead,
    Customer,
}

/// A stored call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    pub id: Option<u64>,
    pub entity: Option<Entity>,
}

/// When the calls that are looked for may have been stored, by amoCRM's clock, in whole seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    pub from: i64,
    pub to: i64,
}

/// What one page of notes said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Page {
    /// The wanted calls on this page, by `uniq`, and whether another page follows.
    Notes { found: BTreeMap<String, Note>, more: bool },
    /// The page could not be read: nothing is proved.
    Unread { account: Account, words: String },
}

/// What `GET /api/v4/account` said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Probe {
    pub account: Account,
    /// The account has customers, so that calls may be attached to them.
    pub customers: bool,
    /// Incoming leads are on.
    pub unsorted: bool,
    pub words: String,
}

/// The kinds in the order in which they are asked: most calls are on contacts and leads.
pub const KINDS: [Kind; 4] = [Kind::Contact, Kind::Lead, Kind::Company, Kind::Customer];
/// Most notes on a page that amoCRM gives.
pub const PAGE_MAX: usize = 250;
/// Most pages of one kind that are read: 50,000 notes. A window that holds more is not searched
/// to its end, and what was not found in it stays unknown.
pub const PAGES_MAX: u32 = 200;
/// Added at both ends of the window: clocks are set, and differ between amoCRM's own machines.
const MARGIN: Duration = Duration::from_mins(15);

pub const ACCOUNT_PATH: &str = "/api/v4/account";
pub const CALLS_PATH: &str = "/api/v4/calls";

impl Kind {
    /// As the path of the API names it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Contact => "contacts",
            Self::Company => "companies",
            Self::Lead => "leads",
            Self::Customer => "customers",
        }
    }

    /// Whether the answer to a posted call means this kind.
    pub fn is_named(self, word: &str) -> bool {
        [self.singular(), self.plural()].contains(&word)
    }

    /// As the answer to a posted call names it.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Company => "company",
            Self::Lead => "lead",
            Self::Customer => "customer",
        }
    }
}

impl Window {
    /// The window of calls that were posted at `since` or later. `ahead` is how far amoCRM's clock
    /// is ahead of ours, in microseconds.
    pub fn new(since: HostTime, now: HostTime, ahead: i64) -> Self {
        let shifted = |at: HostTime| HostTime::from_micros(at.micros().saturating_add(ahead));
        Self {
            from: shifted(since).before(MARGIN).seconds().max(0),
            to: shifted(now).after(MARGIN).seconds(),
        }
    }
}

/// The path and query of one page, counted from 1. The oldest come first: new notes then follow
/// at the end and do not push others over the edge of a page.
pub fn path(kind: Kind, window: Window, page: u32) -> String {
    format!(
        "/api/v4/{}/notes?filter%5Bnote_type%5D%5B%5D=call_in&filter%5Bnote_type%5D%5B%5D=call_out\
         &filter%5Bupdated_at%5D%5Bfrom%5D={}&filter%5Bupdated_at%5D%5Bto%5D={}\
         &order%5Bid%5D=asc&limit={PAGE_MAX}&page={page}",
        kind.plural(),
        window.from,
        window.to,
    )
}

/// Reads one page of notes of `kind`.
pub fn read(reply: &Reply, kind: Kind, wanted: &BTreeSet<String>) -> Page {
    if reply.status == 204 {
        return Page::Notes { found: BTreeMap::new(), more: false };
    }
    let json = answer::json_object(&reply.body);
    let notes = json.as_ref().and_then(|body| body.pointer("/_embedded/notes")?.as_array());
    match (reply.status, &json, notes) {
        (200, Some(body), Some(notes)) => {
            let found = notes.iter().filter_map(|note| wanted_note(note, kind, wanted)).collect();
            let more = body.pointer("/_links/next/href").is_some_and(Value::is_string);
            Page::Notes { found, more }
        }
        _ => Page::Unread {
            account: troubled(answer::account(reply, json.as_ref())),
            words: answer::words(reply, json.as_ref()),
        },
    }
}

/// Reads the answer to `GET /api/v4/account`.
pub fn read_account(reply: &Reply) -> Probe {
    let json = answer::json_object(&reply.body);
    let known = json.as_ref().is_some_and(|body| id_of(body.get("id")).is_some());
    let account = answer::account(reply, json.as_ref());
    let account = if account == Account::Fine && !known { Account::NotAmo } else { account };
    let mode = json.as_ref().and_then(|body| body.get("customers_mode")?.as_str());
    Probe {
        account,
        customers: !matches!(mode, Some("disabled" | "unavailable")),
        unsorted: json.as_ref().and_then(|body| body.get("is_unsorted_on")?.as_bool()).unwrap_or(true),
        words: answer::words(reply, json.as_ref()),
    }
}

fn wanted_note(note: &Value, kind: Kind, wanted: &BTreeSet<String>) -> Option<(String, Note)> {
    let uniq = note.pointer("/params/uniq")?.as_str()?;
    let entity = id_of(note.get("entity_id")).map(|id| Entity { kind: kind.singular().to_owned(), id });
    wanted.contains(uniq).then(|| (uniq.to_owned(), Note { id: id_of(note.get("id")), entity }))
}

/// A page that could not be read is never fine: the account's own word for it, or trouble.
pub fn troubled(account: Account) -> Account {
    if account == Account::Fine { Account::ServerTrouble } else { account }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() }
    }

    fn read_page(status: u16, body: &str) -> Page {
        let wanted = BTreeSet::from(["default-1.4".to_owned(), "default-1.5".to_owned()]);
        read(&reply(status, body), Kind::Lead, &wanted)
    }

    #[track_caller]
    fn check_unread(status: u16, body: &str, expected: Account) {
        match read_page(status, body) {
            Page::Unread { account, .. } => assert_eq!(account, expected, "{status} {body}"),
            Page::Notes { .. } => panic!("{status} {body} was read"),
        }
    }

    #[test]
    fn a_wanted_call_is_found_by_its_uniq() {
        let body = r#"{"_page":1,"_links":{"next":{"href":"https://x/api/v4/leads/notes?page=2"}},
            "_embedded":{"notes":[
              {"id":7,"entity_id":70,"note_type":"call_in","params":{"uniq":"default-1.4","phone":"7"}},
              {"id":8,"entity_id":70,"params":{"uniq":"other"}},{"id":9,"params":null},{"id":10},null]}}"#;
        let note = Note { id: Some(7), entity: Some(Entity { kind: "lead".to_owned(), id: 70 }) };
        let found = BTreeMap::from([("default-1.4".to_owned(), note)]);
        assert_eq!(read_page(200, body), Page::Notes { found, more: true });
    }

    #[test]
    fn no_content_means_no_notes() {
        assert_eq!(read_page(204, ""), Page::Notes { found: BTreeMap::new(), more: false });
        let empty = r#"{"_links":{"next":null},"_embedded":{"notes":[]}}"#;
        assert_eq!(read_page(200, empty), Page::Notes { found: BTreeMap::new(), more: false });
    }

    #[test]
    fn what_cannot_be_read_proves_nothing() {
        check_unread(200, "", Account::ServerTrouble);
        check_unread(200, "{}", Account::ServerTrouble);
        check_unread(200, r#"{"_embedded":{"notes":{}}}"#, Account::ServerTrouble);
        check_unread(200, "<html>", Account::NotAmo);
        check_unread(400, r#"{"title":"Bad Request"}"#, Account::ServerTrouble);
        check_unread(401, "", Account::Unauthorized);
        check_unread(402, "", Account::Unpaid);
        check_unread(403, "<html>", Account::Banned);
        check_unread(429, "", Account::TooMany { retry_after: None });
        check_unread(500, "", Account::ServerTrouble);
    }

    #[test]
    fn the_window_is_by_amocrms_clock_with_a_margin() {
        let at = |seconds: i64| HostTime::from_micros(seconds * 1_000_000);
        let window = Window::new(at(10_000), at(10_060), 5_000_000);
        assert_eq!(window, Window { from: 10_005 - 900, to: 10_065 + 900 });
    }

    #[test]
    fn a_page_is_asked_for_with_encoded_brackets() {
        assert_eq!(
            path(Kind::Company, Window { from: 1, to: 2 }, 3),
            "/api/v4/companies/notes?filter%5Bnote_type%5D%5B%5D=call_in\
             &filter%5Bnote_type%5D%5B%5D=call_out&filter%5Bupdated_at%5D%5Bfrom%5D=1\
             &filter%5Bupdated_at%5D%5Bto%5D=2&order%5Bid%5D=asc&limit=250&page=3"
        );
    }

    #[test]
    fn an_account_is_one_that_has_an_id() {
        let check = |status, body: &str, account, customers| {
            let probe = read_account(&reply(status, body));
            assert_eq!((probe.account, probe.customers), (account, customers), "{status} {body}");
        };
        check(200, r#"{"id":1,"customers_mode":"segments"}"#, Account::Fine, true);
        check(200, r#"{"id":1,"customers_mode":"disabled"}"#, Account::Fine, false);
        check(200, r#"{"id":1,"customers_mode":"unavailable"}"#, Account::Fine, false);
        check(200, r#"{"id":1}"#, Account::Fine, true);
        check(200, r#"{"hello":"world"}"#, Account::NotAmo, true);
        check(204, "", Account::NotAmo, true);
        check(401, "{}", Account::Unauthorized, true);
        check(403, "<html>", Account::Banned, true);
        check(404, "<html>", Account::NotAmo, true);
        check(503, "", Account::ServerTrouble, true);
    }
}
