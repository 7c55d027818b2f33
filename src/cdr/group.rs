//! Pure: the rows that belong together.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cdr::row::{Disposition, Row};
use crate::time::PbxTime;

/// Rows that share an id, or a channel at the same time, and those that share one with them; by beginning.
#[derive(Debug)]
pub struct Group<'r> {
    pub rows: Vec<&'r Row>,
}

/// Rows that follow each other on one channel touch within the second that they are rounded to.
const TOUCH: Duration = Duration::from_secs(1);

/// The groups of `rows`, by beginning.
pub fn groups(rows: &[Row]) -> Vec<Group<'_>> {
    let mut unions = Unions::new(rows.len());
    let mut by_id: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        for id in [&row.uniqueid, &row.linkedid].into_iter().filter(|id| !id.is_empty()) {
            unions.unite(at, *by_id.entry(id).or_insert(at));
        }
        row.ends().for_each(|name| by_name.entry(name).or_default().push(at));
    }
    for same in by_name.values_mut() {
        same.sort_by_key(|at| rows[*at].start);
        let mut last: Option<(usize, PbxTime)> = None;
        for at in same.iter().copied() {
            // Names begin anew when Asterisk does.
            let reached = match last {
                Some((other, end)) if rows[at].start <= end.after(TOUCH) => {
                    unions.unite(at, other);
                    end.max(rows[at].end)
                }
                Some(_) | None => rows[at].end,
            };
            last = Some((at, reached));
        }
    }
    let mut found: BTreeMap<usize, Vec<&Row>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        found.entry(unions.root(at)).or_default().push(row);
    }
    let mut groups: Vec<_> = found.into_values().map(|rows| Group { rows }).collect();
    for group in &mut groups {
        group.rows.sort_by_key(|row| (row.start, row.sequence));
    }
    groups.sort_by_key(Group::start);
    groups
}

/// Disjoint sets of places.
pub(super) struct Unions(Vec<usize>);

impl Unions {
    pub(super) fn new(len: usize) -> Self {
        Self((0..len).collect())
    }

    pub(super) fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    pub(super) fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

impl<'r> Group<'r> {
    pub fn start(&self) -> Option<PbxTime> {
        self.rows.iter().map(|row| row.start).min()
    }

    pub fn end(&self) -> Option<PbxTime> {
        self.rows.iter().map(|row| row.end).max()
    }

    /// Ids that Asterisk gave, in the order of appearance.
    pub fn ids(&self) -> Vec<&'r str> {
        let mut ids: Vec<&str> = Vec::new();
        for id in self.rows.iter().flat_map(|row| [row.uniqueid.as_str(), row.linkedid.as_str()]) {
            if !id.is_empty() && !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    /// Whether another row takes this one's channel on at its end: a pickup, a transfer, a Local channel
    /// that was optimised away.
    pub fn goes_on(&self, row: &Row) -> bool {
        self.rows.iter().any(|next| follows(row, next))
    }

    /// Whether this row takes another one's channel on.
    pub fn is_continued(&self, row: &Row) -> bool {
        self.rows.iter().any(|earlier| follows(earlier, row))
    }

    /// Whether somebody dialled this channel: it is in a row's second place, and no row began with it.
    pub fn is_dialled(&self, channel: &str) -> bool {
        let dialled = self.rows.iter().filter(|row| row.dstchannel == channel).map(|row| row.start).min();
        let own = |row: &&&Row| row.channel == channel;
        let Some(dialled) = dialled else { return false };
        let opened = |row: &Row| match row.linkedid.as_str() {
            "" => row.start < dialled,
            linkedid => row.uniqueid == linkedid,
        };
        !self.rows.iter().filter(own).any(|row| opened(row))
    }

    /// When the two channels of a row had each other.
    pub fn talk(&self, row: &Row) -> Option<(PbxTime, PbxTime)> {
        if row.disposition != Disposition::Answered || row.dstchannel.is_empty() {
            return None;
        }
        let answer = row.answer?;
        let later = self.ceased_to_ring(row).chain(self.answered_itself(row));
        let from = later.filter(|time| (answer..=row.end).contains(time)).max().unwrap_or(answer);
        let is_empty = answer == row.end && self.goes_on(row);
        (!is_empty).then_some((from, row.end))
    }

    /// A queue or menu has answered before anybody of ours; but where others rang too, they ceased when
    /// he answered. Tables without applications have a row for each phone, with its own answer.
    fn ceased_to_ring(&self, row: &Row) -> impl Iterator<Item = PbxTime> {
        let rang_too = |other: &&&Row| {
            !row.lastapp.is_empty() && same_step(other, row) && other.disposition != Disposition::Answered
        };
        self.rows.iter().filter(rang_too).map(|other| other.end)
    }

    /// Where the other channel has rung in a row of its own, that one has the time of its answer.
    fn answered_itself(&self, row: &Row) -> impl Iterator<Item = PbxTime> {
        let own = |other: &&&Row| other.channel == row.dstchannel;
        let answers = self.rows.iter().filter(own).map(|other| (other.start, other.answer));
        answers.filter_map(|(start, answer)| answer.filter(|answer| *answer > start))
    }
}

fn same_step(a: &Row, b: &Row) -> bool {
    (&a.channel, &a.lastapp, &a.lastdata) == (&b.channel, &b.lastapp, &b.lastdata)
}

fn follows(earlier: &Row, next: &Row) -> bool {
    let both = [earlier, next].iter().all(|row| row.disposition == Disposition::Answered);
    let others = [&earlier.dstchannel, &next.dstchannel];
    let other_end = others.iter().all(|name| !name.is_empty()) && others[0] != others[1];
    let unheard = earlier.answer.is_some_and(|answer| answer == earlier.end);
    let at_once = next.start == earlier.end || unheard && next.start > earlier.end;
    both && same_step(earlier, next) && other_end && at_once
}
