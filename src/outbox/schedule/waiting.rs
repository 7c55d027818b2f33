//! Pure: what waits, account by account.

use std::collections::BTreeMap;

use crate::call::id::AccountId;
use crate::outbox::queue::Phase;
use crate::outbox::schedule::Schedule;
use crate::time::HostTime;

/// The waiting calls of one account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccountWaiting {
    pub account: AccountId,
    pub by_phase: BTreeMap<Phase, u64>,
    /// When the oldest came, parked ones apart: those wait for a person.
    pub oldest: Option<HostTime>,
    /// When the oldest parked one came.
    pub oldest_parked: Option<HostTime>,
}

impl Schedule {
    /// What waits, account by account: how many calls in which phase, and when the oldest of those came
    /// that wait for nothing but amoCRM. One look at every waiting call.
    pub fn waiting(&self) -> Vec<AccountWaiting> {
        let accounts = self.accounts.iter().map(|account| account.id.clone());
        let mut waiting: Vec<_> = accounts
            .map(|account| AccountWaiting {
                account,
                by_phase: BTreeMap::new(),
                oldest: None,
                oldest_parked: None,
            })
            .collect();
        for entry in self.entries.values() {
            let account = &mut waiting[entry.account];
            *account.by_phase.entry(entry.phase).or_default() += 1;
            let is_parked = entry.phase == Phase::Parked;
            let oldest = if is_parked { &mut account.oldest_parked } else { &mut account.oldest };
            *oldest = Some(oldest.map_or(entry.enqueued_at, |oldest| oldest.min(entry.enqueued_at)));
        }
        waiting
    }
}
