//! Pure: what would be posted to amoCRM, as `replay --format amocrm` prints it.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::amo::calls::{self, Entry};
use crate::amo::contacts::{CONTACTS_PATH, Contact, LEADS_PATH, Lead};
use crate::amo::settings::Settings;
use crate::amo::unsorted;
use crate::call::id::AccountId;
use crate::call::line::Unknown;
use crate::call::record::CallRecord;
use crate::outbox::unknown;

/// The requests of a replay.
pub(super) struct Requests {
    accounts: Vec<Settings>,
    /// amoCRM is taken to know none of the numbers.
    unknown: bool,
    /// Numbers for which something was made.
    made: BTreeSet<(AccountId, String)>,
}

/// One request beside those with calls.
#[derive(Serialize)]
struct Line<'l> {
    post: &'l str,
    account: &'l AccountId,
    body: Box<RawValue>,
}

impl Requests {
    pub(super) fn new(accounts: Vec<Settings>, unknown: bool) -> Self {
        Self { accounts, unknown, made: BTreeSet::new() }
    }

    /// The body with these calls, which are of one account, and a line for each request that would
    /// follow if their numbers were unknown.
    pub(super) fn lines<'r>(&mut self, records: &'r [CallRecord]) -> Vec<u8> {
        let account = records.first().map(|record| record.account.clone()).unwrap_or_default();
        let settings = self.accounts.iter().find(|settings| settings.name == account).cloned();
        let settings = settings.unwrap_or_default();
        // Request ids count from 0 as they would in one batch.
        let entry = |(at, record): (usize, &'r CallRecord)| {
            Some((record, calls::entry(record, &at.to_string(), &settings, 0).ok()?))
        };
        let entries: Vec<(&CallRecord, Entry)> = records.iter().enumerate().filter_map(entry).collect();
        let bodies: Vec<Entry> = entries.iter().map(|(_, entry)| entry.clone()).collect();
        let mut lines = calls::batch_json(&bodies);
        if self.unknown {
            for line in self.unknown(&account, &settings, &entries) {
                lines.push(b'\n');
                lines.extend(line);
            }
        }
        lines
    }

    fn unknown(
        &mut self,
        account: &AccountId,
        settings: &Settings,
        entries: &[(&CallRecord, Entry)],
    ) -> Vec<Vec<u8>> {
        let (mut items, mut lines) = (Vec::new(), Vec::new());
        for (record, entry) in entries {
            let makes = unknown::makes(&settings.unknown, record);
            let number = (account.clone(), unknown::number(record));
            if makes.is_none() || !self.made.insert(number) {
                continue;
            }
            match makes {
                Some(Unknown::Unsorted) => {
                    let entry = Entry { request_id: items.len().to_string(), ..entry.clone() };
                    items.push(unsorted::item(&entry, record, settings, false));
                }
                Some(way @ (Unknown::Contact | Unknown::Lead)) => {
                    let entry = Entry { request_id: "0".to_owned(), ..entry.clone() };
                    let contact = Contact::new(&entry, record, &settings.unknown);
                    lines.push(line(account, CONTACTS_PATH, &[contact]));
                    if way == Unknown::Lead {
                        // The contact's id is amoCRM's answer to the request before.
                        let lead = Lead::new(&entry, record, &settings.unknown, 0);
                        lines.push(line(account, LEADS_PATH, &[lead]));
                    }
                }
                Some(Unknown::Park | Unknown::Drop) | None => {}
            }
        }
        if !items.is_empty() {
            lines.insert(0, line(account, unsorted::PATH, &items));
        }
        lines
    }
}

fn line(account: &AccountId, post: &str, body: &[impl Serialize]) -> Vec<u8> {
    let body = serde_json::value::to_raw_value(body).expect("strings and numbers always have a JSON form");
    serde_json::to_vec(&Line { post, account, body }).expect("strings and numbers always have a JSON form")
}
