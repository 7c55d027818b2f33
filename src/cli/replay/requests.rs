//! Pure: what would be posted to amoCRM, as `replay --format amocrm` prints it.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::amo::calls::{self, Clocks, Entry, Manner};
use crate::amo::contacts::{CONTACTS_PATH, Contact, LEADS_PATH, Lead};
use crate::amo::recording::{self, Search};
use crate::amo::settings::Settings;
use crate::amo::unsorted;
use crate::amo::who;
use crate::call::id::AccountId;
use crate::call::line::Unknown;
use crate::call::record::CallRecord;
use crate::cli::replay::callbacks::Callbacks;
use crate::outbox::unknown;

/// The requests of a replay.
pub(super) struct Requests {
    accounts: Vec<Settings>,
    /// amoCRM is taken to know none of the numbers.
    unknown: bool,
    /// Numbers for which something was made.
    made: BTreeSet<(AccountId, String)>,
    /// Those of them that have a contact by it, so that calls are posted.
    known: BTreeSet<(AccountId, String)>,
    callbacks: Callbacks,
    /// Calls that want their entity's owner.
    owners: u64,
    /// Looks for the sound of a call.
    look: fn(&Search) -> Option<String>,
    /// How far local time is ahead of UTC, in seconds.
    utc_offset: i32,
}

/// One request beside those with calls.
#[derive(Serialize)]
struct Line<'l> {
    #[serde(skip_serializing_if = "Option::is_none")]
    post: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<&'l str>,
    account: &'l AccountId,
    body: Box<RawValue>,
}

impl Requests {
    /// `look` finds the sound of a call.
    pub(super) fn new(
        accounts: Vec<Settings>,
        unknown: bool,
        look: fn(&Search) -> Option<String>,
        utc_offset: i32,
    ) -> Self {
        let (made, known, callbacks) = (BTreeSet::new(), BTreeSet::new(), Callbacks::default());
        Self { accounts, unknown, made, known, callbacks, owners: 0, look, utc_offset }
    }

    /// How many calls want their entity's owner.
    pub(super) fn owners(&self) -> u64 {
        self.owners
    }

    /// The body with these calls, which are of one account, and a line for each request that would
    /// follow if their numbers were unknown, and one for each task that follows from those that are posted.
    pub(super) fn lines<'r>(&mut self, records: &'r [CallRecord]) -> Vec<u8> {
        let account = records.first().map(|record| record.account.clone()).unwrap_or_default();
        let settings = self.accounts.iter().find(|settings| settings.name == account).cloned();
        let settings = settings.unwrap_or_default();
        // Request ids count from 0 as they would in one batch.
        let clocks = Clocks { utc_offset: self.utc_offset, ..Clocks::default() };
        let look = self.look;
        let entry = |(at, record): (usize, &'r CallRecord)| {
            let sound = recording::search(record, &settings, &clocks).and_then(|search| look(&search));
            let manner = Manner { clocks, sound: sound.as_deref(), ..Manner::default() };
            Some((record, calls::entry(record, &at.to_string(), &settings, &manner).ok()?))
        };
        let entries: Vec<(&CallRecord, Entry)> = records.iter().enumerate().filter_map(entry).collect();
        let bodies: Vec<Entry> = entries.iter().map(|(_, entry)| entry.clone()).collect();
        let mut lines = calls::batch_json(&bodies);
        self.owners += entries.iter().filter(|(record, _)| who::wants_owner(record)).count() as u64;
        let more = if self.unknown {
            self.unknown(&account, &settings, &entries)
        } else {
            entries.iter().filter_map(|(record, _)| self.task(&account, &settings, record)).collect()
        };
        for line in more {
            lines.push(b'\n');
            lines.extend(line);
        }
        lines
    }

    /// What follows from a call that is posted.
    fn task(&mut self, account: &AccountId, settings: &Settings, record: &CallRecord) -> Option<Vec<u8>> {
        let (method, path, body) = self.callbacks.after(record, settings)?;
        Some(line(account, method, &path, &body))
    }

    fn unknown(
        &mut self,
        account: &AccountId,
        settings: &Settings,
        entries: &[(&CallRecord, Entry)],
    ) -> Vec<Vec<u8>> {
        let (mut items, mut lines, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
        for (record, entry) in entries {
            let makes = unknown::makes(&settings.unknown, record);
            let number = (account.clone(), unknown::number(record));
            let is_first = makes.is_some() && self.made.insert(number.clone());
            match makes.filter(|_| is_first) {
                Some(Unknown::Unsorted) => {
                    let entry = Entry { request_id: items.len().to_string(), ..entry.clone() };
                    items.push(unsorted::item(&entry, record, settings, false));
                }
                Some(way @ (Unknown::Contact | Unknown::Lead)) => {
                    self.known.insert(number.clone());
                    let entry = Entry { request_id: "0".to_owned(), ..entry.clone() };
                    let contact = Contact::new(&entry, record, &settings.unknown);
                    lines.push(line(account, "post", CONTACTS_PATH, &[contact]));
                    if way == Unknown::Lead {
                        // The contact's id is amoCRM's answer to the request before.
                        let lead = Lead::new(&entry, record, &settings.unknown, 0);
                        lines.push(line(account, "post", LEADS_PATH, &[lead]));
                    }
                }
                Some(Unknown::Park | Unknown::Drop) | None => {}
            }
            if self.known.contains(&number) {
                tasks.extend(self.task(account, settings, record));
            }
        }
        if !items.is_empty() {
            lines.insert(0, line(account, "post", unsorted::PATH, &items));
        }
        lines.extend(tasks);
        lines
    }
}

fn line(account: &AccountId, method: &str, path: &str, body: &(impl Serialize + ?Sized)) -> Vec<u8> {
    let body = serde_json::value::to_raw_value(body).expect("strings and numbers always have a JSON form");
    let of = |name: &str| (name == method).then_some(path);
    let line = Line { post: of("post"), patch: of("patch"), account, body };
    serde_json::to_vec(&line).expect("strings and numbers always have a JSON form")
}
