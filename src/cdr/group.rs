//! Pure: the rows that belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ami::event::made_at;
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
        // A name that goes from call to call tells nothing that a linkedid does not tell better.
        for name in row.ends().filter(|name| is_unique(name) || row.linkedid.is_empty()) {
            by_name.entry(name).or_default().push(at);
        }
    }
    for (name, mut same) in by_name {
        same.sort_by_key(|at| rows[*at].start);
        let mut last: Option<(usize, Stay<'_>)> = None;
        for at in same {
            let row = &rows[at];
            // Names begin anew when Asterisk does.
            let stay = match last {
                Some((other, stay)) if stay.goes_on(name, row) => {
                    unions.unite(at, other);
                    stay.with(name, row)
                }
                Some(_) | None => Stay { end: row.end, uniqueid: own_id(name, row) },
            };
            last = Some((at, stay));
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

/// Whether Asterisk gives the name to one channel only as long as it runs: `PJSIP/101-0000001f`, `…;2`.
/// Those of lines, `DAHDI/1-1`, go to every call on them.
fn is_unique(name: &str) -> bool {
    const DIGITS: usize = 8;
    let name = name.strip_suffix(";1").or_else(|| name.strip_suffix(";2")).unwrap_or(name);
    let is_hex = |text: &str| text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.rsplit_once('-').is_some_and(|(_, number)| is_hex(number))
}

/// A channel of some name, as far as rows told of it.
#[derive(Clone, Copy)]
struct Stay<'r> {
    end: PbxTime,
    /// Its id, once a row of its own told it.
    uniqueid: Option<&'r str>,
}

impl<'r> Stay<'r> {
    /// Whether `row`, which begins later, is of this channel and not of the next one with its name.
    fn goes_on(self, name: &str, row: &'r Row) -> bool {
        let id = own_id(name, row);
        let touch = if is_unique(name) { TOUCH } else { Duration::ZERO };
        let other_id = self.uniqueid.zip(id).is_some_and(|(known, id)| known != id);
        // The line was free again when it was taken.
        let made_later = id.and_then(|id| made_at(id.as_bytes())).is_some_and(|made| made >= self.end);
        row.start <= self.end.after(touch) && !other_id && (is_unique(name) || !made_later)
    }

    fn with(self, name: &str, row: &'r Row) -> Self {
        Self { end: self.end.max(row.end), uniqueid: self.uniqueid.or(own_id(name, row)) }
    }
}

/// The id of the channel `name`, when the row is its own.
fn own_id<'r>(name: &str, row: &'r Row) -> Option<&'r str> {
    (row.channel == name && !row.uniqueid.is_empty()).then_some(row.uniqueid.as_str())
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
        let mut known = BTreeSet::new();
        let ids = self.rows.iter().flat_map(|row| [row.uniqueid.as_str(), row.linkedid.as_str()]);
        ids.filter(|id| !id.is_empty() && known.insert(*id)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdr::column::{Column, Raw};
    use crate::cdr::row::Rows;

    const EPOCH: i64 = 1_795_339_000;

    /// A row of `channel` that reached `other`, from and to seconds after [`EPOCH`].
    fn row(ends: [&str; 2], (from, to): (i64, i64), uniqueid: &str, linkedid: &str) -> Raw {
        let text = |seconds: i64| crate::time::local::text((EPOCH + seconds) * 1_000_000);
        let values = [
            (Column::Channel, ends[0].to_owned()),
            (Column::DstChannel, ends[1].to_owned()),
            (Column::Start, text(from)),
            (Column::End, text(to)),
            (Column::Disposition, "ANSWERED".to_owned()),
            (Column::Uniqueid, uniqueid.to_owned()),
            (Column::Linkedid, linkedid.to_owned()),
        ];
        values.into_iter().collect()
    }

    fn id(second: i64, number: u32) -> String {
        format!("{}.{number}", EPOCH + second)
    }

    #[track_caller]
    fn check(raws: &[Raw], expected: &[usize]) {
        let rows = Rows::read(raws, Some(0)).rows;
        let sizes: Vec<_> = groups(&rows).iter().map(|group| group.rows.len()).collect();
        assert_eq!(sizes, expected);
    }

    #[test]
    fn customers_who_follow_each_other_on_a_line_are_apart() {
        let (first, next) = (id(0, 1), id(20, 3));
        let calls = |linked: [&str; 2]| {
            [
                row(["DAHDI/1-1", "SIP/101-00000001"], (0, 20), &first, linked[0]),
                row(["DAHDI/1-1", "SIP/102-00000002"], (20, 40), &next, linked[1]),
            ]
        };
        check(&calls([&first, &next]), &[1, 1]);
        check(&calls(["", ""]), &[1, 1]);
        // Out through the line, and then in through it.
        let out = row(["SIP/101-00000001", "DAHDI/1-1"], (0, 20), &first, "");
        check(&[out, row(["DAHDI/1-1", "SIP/102-00000002"], (20, 40), &next, "")], &[1, 1]);
    }

    #[test]
    fn a_line_that_is_passed_on_is_one_call() {
        let (first, line) = (id(0, 1), id(1, 2));
        let out = row(["SIP/101-00000001", "DAHDI/1-1"], (0, 20), &first, "");
        check(&[out, row(["DAHDI/1-1", "SIP/102-00000002"], (20, 40), &line, "")], &[2]);
        let rows = [(0, 20), (20, 40)].map(|span| row(["DAHDI/1-1", "SIP/101-00000001"], span, "", ""));
        check(&rows, &[2]);
    }

    #[test]
    fn a_name_that_is_given_once_unites_rows_of_several_linkedids() {
        let (first, next) = (id(0, 1), id(10, 2));
        check(
            &[
                row(["PJSIP/t-00000001", "PJSIP/101-00000002"], (0, 20), &first, &first),
                row(["PJSIP/101-00000003", "PJSIP/t-00000001"], (21, 40), &next, &next),
            ],
            &[2],
        );
        // Asterisk was started anew, and so were its names.
        check(
            &[
                row(["PJSIP/t-00000001", "PJSIP/101-00000002"], (0, 20), &first, &first),
                row(["PJSIP/t-00000001", "PJSIP/101-00000003"], (20, 40), &next, &next),
            ],
            &[1, 1],
        );
    }
}
