//! Pure: the calls of one account.

use std::collections::BTreeSet;

use crate::call::id::{AccountId, PbxName};
use crate::outbox::queue::{Phase, Seq};
use crate::outbox::schedule::lanes::Lanes;
use crate::time::HostTime;

/// Its waiting calls, and those to which something is owed.
#[derive(Debug)]
pub(super) struct Account {
    pub id: AccountId,
    /// In the order in which they were met; there are few, and they stay.
    pub pbxs: Vec<PbxName>,
    pub fresh: Lanes,
    pub parked: Lanes,
    pub unknown: Lanes,
    /// Delivered calls by when what is owed to them is due.
    pub owing: BTreeSet<(HostTime, Seq)>,
    /// Calls that are not sent but compared, by when they came.
    pub uncompared: BTreeSet<(HostTime, Seq)>,
}

impl Account {
    pub fn of(id: AccountId) -> Self {
        Self {
            id,
            pbxs: Vec::new(),
            fresh: Lanes::default(),
            parked: Lanes::default(),
            unknown: Lanes::default(),
            owing: BTreeSet::new(),
            uncompared: BTreeSet::new(),
        }
    }

    pub fn pbx(&mut self, name: &PbxName) -> usize {
        if let Some(index) = self.pbxs.iter().position(|known| known == name) {
            return index;
        }
        self.pbxs.push(name.clone());
        self.pbxs.len() - 1
    }

    pub fn lanes(&mut self, phase: Phase) -> Option<&mut Lanes> {
        match phase {
            Phase::Pending => Some(&mut self.fresh),
            Phase::Parked => Some(&mut self.parked),
            Phase::Unknown => Some(&mut self.unknown),
            Phase::Sending
            | Phase::Sent
            | Phase::Unsorted
            | Phase::Skipped
            | Phase::Expired
            | Phase::Dead => None,
        }
    }
}
