//! Pure: channel events (CEL) to calls: what Asterisk wrote of each channel, to the moment.
//!
//! ```text
//! a source ─► entry::Raw ─► Entry ─┐
//!                                  ├─► Call ─► whole? ─► tell ─► call/tracker
//! a source ─► row::Row ─► Group ───┘      └── not ─► the rows alone, as without CEL
//! ```
//!
//! An event names its channel by uniqueid and the bridge that it enters or leaves, which rows do not. Rows
//! say who dialled whom, which events do not. Together they are told to a tracker as the live stream is.

use std::collections::{BTreeMap, BTreeSet};

use crate::cdr::cel::entry::{Entry, Kind};
use crate::cdr::group::{self, Group, Unions};
use crate::cdr::row::Row;
use crate::time::PbxTime;

pub mod csv;
pub mod entry;
pub mod tell;
pub mod whole;

/// Rows and events that hang together.
#[derive(Debug)]
pub struct Call<'r> {
    pub group: Group<'r>,
    /// In the order of time.
    pub entries: Vec<&'r Entry>,
    /// The same by their channels' uniqueids.
    own: BTreeMap<&'r str, Vec<&'r Entry>>,
}

/// A row without ids is that of a channel of the same name whose events are at most so long before or after it.
const TOUCH: std::time::Duration = std::time::Duration::from_secs(1);

/// The calls of `rows` and `entries`, by beginning.
pub fn calls<'r>(rows: &'r [Row], entries: &'r [Entry]) -> Vec<Call<'r>> {
    let groups = group::groups(rows);
    let mut unions = Unions::new(groups.len() + entries.len());
    let mut by_id: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, group) in groups.iter().enumerate() {
        group.ids().into_iter().for_each(|id| unions.unite(at, *by_id.entry(id).or_insert(at)));
    }
    for (number, entry) in entries.iter().enumerate() {
        let at = groups.len() + number;
        entry.ids().for_each(|id| unions.unite(at, *by_id.entry(id).or_insert(at)));
        if entry.kind == Kind::Start {
            by_name.entry(&entry.channel).or_default().push(number);
        }
    }
    for (at, group) in groups.iter().enumerate().filter(|(_, group)| group.ids().is_empty()) {
        let starts = |row: &Row| {
            let mut same = by_name.get(row.channel.as_str()).into_iter().flatten().copied();
            let during = move |number: &usize| {
                let born = entries[*number].at;
                born <= row.end && row.start <= born.after(TOUCH)
            };
            same.rfind(during)
        };
        for number in group.rows.iter().filter_map(|row| starts(row)) {
            unions.unite(at, groups.len() + number);
        }
    }
    gather(groups, entries, unions)
}

fn gather<'r>(groups: Vec<Group<'r>>, entries: &'r [Entry], mut unions: Unions) -> Vec<Call<'r>> {
    let mut calls: BTreeMap<usize, Call<'r>> = BTreeMap::new();
    let empty = || Call { group: Group { rows: Vec::new() }, entries: Vec::new(), own: BTreeMap::new() };
    let count = groups.len();
    for (at, group) in groups.into_iter().enumerate() {
        calls.entry(unions.root(at)).or_insert_with(empty).group.rows.extend(group.rows);
    }
    for (number, entry) in entries.iter().enumerate() {
        calls.entry(unions.root(count + number)).or_insert_with(empty).entries.push(entry);
    }
    let mut calls: Vec<_> = calls.into_values().collect();
    for call in &mut calls {
        call.group.rows.sort_by_key(|row| (row.start, row.sequence));
        call.entries.sort_by_key(|entry| entry.at);
        for entry in &call.entries {
            call.own.entry(&entry.uniqueid).or_default().push(entry);
        }
    }
    calls.sort_by_key(Call::start);
    calls
}

impl<'r> Call<'r> {
    pub fn start(&self) -> Option<PbxTime> {
        let events = self.entries.first().map(|entry| entry.at);
        [self.group.start(), events].into_iter().flatten().min()
    }

    pub fn end(&self) -> Option<PbxTime> {
        let events = self.entries.last().map(|entry| entry.at);
        [self.group.end(), events].into_iter().flatten().max()
    }

    /// Ids that Asterisk gave to channels of it, in the order of appearance.
    pub fn ids(&self) -> Vec<&'r str> {
        let mut ids = self.group.ids();
        let mut known: BTreeSet<&str> = ids.iter().copied().collect();
        let of_entries = self.entries.iter().flat_map(|entry| [&*entry.uniqueid, &*entry.linkedid]);
        ids.extend(of_entries.filter(|id| !id.is_empty() && known.insert(*id)));
        ids
    }

    /// What was written of one channel.
    fn of<'c>(&'c self, uniqueid: &str) -> impl DoubleEndedIterator<Item = &'r Entry> + 'c + use<'c, 'r> {
        self.own.get(uniqueid).into_iter().flatten().copied()
    }

    /// What was written of each channel, in the order of time.
    fn channels(&self) -> impl Iterator<Item = &[&'r Entry]> {
        self.own.values().map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests;
