//! Pure: how the calls of shadow mode compare with what another connector wrote, as the admin socket gives it
//! and `ami2amo shadow` prints it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::call::id::{AccountId, CallId};
use crate::call::record::{Direction, Skip};
use crate::outbox::compare::{Compared, Difference, Stranger, Twin, Verdict};
use crate::outbox::filter::Filter;
use crate::outbox::queue::{Item, Phase, State};
use crate::time::PbxTime;

pub mod page;

/// The version of these forms; keys are only ever added.
pub const VERSION: u32 = 1;

/// Calls and notes that are listed, when nobody says how many, and at most.
pub const LIMIT: usize = 50;
pub const LIMIT_MAX: usize = 1000;

/// Calls that are counted, the newest: a week of a large PBX.
pub const COUNTED_MAX: usize = 50_000;

/// Of which time and account, as it stands in an address.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Question {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PbxTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<PbxTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// How calls compare.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub struct Report {
    pub v: u32,
    /// Calls of shadow mode.
    pub calls: u64,
    pub same: u64,
    pub different: u64,
    /// amoCRM has no note of them.
    pub missing: u64,
    /// Their time has not come, or notes could not be read.
    pub not_compared: u64,
    /// Notes that are of no call of ours.
    pub extra: u64,
    /// What differs, in how many calls.
    pub differences: BTreeMap<String, u64>,
    /// By who wrote the notes.
    pub sources: BTreeMap<String, OfSource>,
    /// What is not the same, the newest last.
    pub listed: Vec<Listed>,
    /// There are older ones.
    pub more: bool,
}

/// The notes of one integration.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub struct OfSource {
    /// Calls of which it has the same, and otherwise.
    pub same: u64,
    pub different: u64,
    /// Notes of no call of ours.
    pub extra: u64,
}

/// A call or a note that is not the same on both sides.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Listed {
    pub what: What,
    /// When the call began.
    pub at: PbxTime,
    pub account: AccountId,
    /// None of a note that is of no call.
    pub call_id: Option<CallId>,
    pub direction: Direction,
    /// Of a note that is of no call the last digits only.
    pub phone: Option<String>,
    pub notes: Vec<Twin>,
    pub differences: Vec<Difference>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    Different,
    /// amoCRM has no note of it.
    Missing,
    /// amoCRM has it, and we do not.
    Extra,
}

/// What is kept of a call until all are found.
#[derive(Clone, Debug)]
pub struct Seen {
    is_shadowed: bool,
    call_id: CallId,
    account: AccountId,
    at: PbxTime,
    direction: Direction,
    phone: Option<String>,
    compared: Option<Compared>,
}

impl Question {
    /// Which calls may be meant.
    pub fn filter(&self) -> Filter {
        Filter {
            states: [Phase::Skipped].into(),
            account: self.account.clone(),
            from: self.from,
            to: self.to,
            ..Filter::default()
        }
    }

    fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT).min(LIMIT_MAX)
    }

    fn has(&self, at: PbxTime) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }
}

impl From<Item> for Seen {
    fn from(item: Item) -> Self {
        let record = item.call.record;
        Self {
            is_shadowed: matches!(item.state, State::Skipped { reason: Skip::Shadow, .. }),
            call_id: record.call_id,
            account: item.account,
            at: record.started_at,
            direction: record.direction,
            phone: record.phone_e164.or(record.phone),
            compared: item.errand.compared,
        }
    }
}

/// How `calls` compare; `strangers` are the notes that are of none, by account. `more` says that there are
/// older calls.
pub fn report(
    question: &Question,
    calls: Vec<Seen>,
    strangers: Vec<(AccountId, Stranger)>,
    more: bool,
) -> Report {
    let mut report = Report { v: VERSION, more, ..Report::default() };
    let mut matched = BTreeSet::new();
    // One whose number was forgotten says nothing any more.
    for call in calls.into_iter().filter(|call| call.is_shadowed && call.phone.is_some()) {
        let notes = call.compared.iter().flat_map(|compared| &compared.notes);
        matched.extend(notes.map(|note| (call.account.clone(), note.id)));
        report.count(call);
    }
    let is_meant = |(account, stranger): &(AccountId, Stranger)| {
        question.account.as_ref().is_none_or(|wanted| wanted == account)
            && question.has(at(stranger))
            && !matched.contains(&(account.clone(), stranger.note.id))
    };
    for (account, stranger) in strangers.into_iter().filter(is_meant) {
        report.count_stranger(account, stranger);
    }
    report.listed.sort_by(|a, b| (a.at, &a.call_id).cmp(&(b.at, &b.call_id)));
    let surplus = report.listed.len().saturating_sub(question.limit());
    report.listed.drain(..surplus);
    report.more |= surplus > 0;
    report
}

impl Report {
    fn count(&mut self, call: Seen) {
        self.calls += 1;
        let Some(compared) = call.compared else {
            self.not_compared += 1;
            return;
        };
        let verdict = compared.verdict();
        if let Some(source) = compared.notes.first().map(|note| note.source.clone()) {
            let known = self.sources.entry(source).or_default();
            match verdict {
                Verdict::Same => known.same += 1,
                Verdict::Different | Verdict::Missing => known.different += 1,
            }
        }
        for difference in &compared.differences {
            *self.differences.entry(field(difference)).or_default() += 1;
        }
        let what = match verdict {
            Verdict::Same => {
                self.same += 1;
                return;
            }
            Verdict::Different => What::Different,
            Verdict::Missing => What::Missing,
        };
        self.different += u64::from(what == What::Different);
        self.missing += u64::from(what == What::Missing);
        self.listed.push(Listed {
            what,
            at: call.at,
            account: call.account,
            call_id: Some(call.call_id),
            direction: call.direction,
            phone: call.phone,
            notes: compared.notes,
            differences: compared.differences,
        });
    }

    fn count_stranger(&mut self, account: AccountId, stranger: Stranger) {
        self.extra += 1;
        self.sources.entry(stranger.note.source.clone()).or_default().extra += 1;
        self.listed.push(Listed {
            what: What::Extra,
            at: at(&stranger),
            account,
            call_id: None,
            direction: if stranger.inbound { Direction::Inbound } else { Direction::Outbound },
            phone: Some(format!("…{}", stranger.phone_end)),
            notes: vec![stranger.note],
            differences: Vec::new(),
        });
    }
}

fn at(stranger: &Stranger) -> PbxTime {
    PbxTime::from_micros(stranger.at.saturating_mul(1_000_000))
}

/// As JSON has it.
fn field(difference: &Difference) -> String {
    let json = serde_json::to_value(difference).ok();
    json.and_then(|json| json.get("field")?.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
