//! Pure: one call detail record, with times of the PBX's clock in UTC.

use std::collections::BTreeMap;

use crate::ami::event::made_at;
use crate::cdr::column::{Column, Raw};
use crate::time::{PbxTime, local};

/// What every kind of record has in common. Texts that are not there are empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    pub account: String,
    /// The caller's number.
    pub src: String,
    /// The extension of the dial plan that was called.
    pub dst: String,
    pub context: String,
    pub channel: String,
    pub dstchannel: String,
    pub lastapp: String,
    pub lastdata: String,
    pub start: PbxTime,
    pub answer: Option<PbxTime>,
    pub end: PbxTime,
    pub disposition: Disposition,
    /// Of `channel`; empty where the source does not keep it.
    pub uniqueid: String,
    pub linkedid: String,
    pub sequence: u64,
    /// Our own number that was called, where the dial plan noted it.
    pub did: String,
    pub recording: String,
}

/// What became of the part of a call that a record is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disposition {
    Answered,
    Busy,
    Congestion,
    Failed,
    /// And whatever later programs may call it.
    NoAnswer,
}

/// The rows of a source, in its order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rows {
    pub rows: Vec<Row>,
    /// Records without a channel or a time, and what is no record: nothing can be made of them.
    pub unusable: u64,
}

/// Clocks are changed by so much at least, in microseconds: half an hour on Lord Howe.
const CLOCK_CHANGE: u64 = 1_800_000_000;

/// How many channels around a record say what its clock's offset is.
const WITNESSES: usize = 10;

impl Rows {
    /// Reads records. Each one's offset from UTC is that of the channels around it, by the epochs in their
    /// uniqueids; `fallback`, in microseconds, where no record has any.
    pub fn read(raws: &[Raw], fallback: Option<i64>) -> Self {
        let offsets = offsets(raws);
        let mut rows = Self::default();
        for (raw, offset) in raws.iter().zip(offsets) {
            match Row::read(raw, offset.or(fallback).unwrap_or(0)) {
                Some(row) => rows.rows.push(row),
                None if is_of_no_call(raw) => {}
                None => rows.unusable += 1,
            }
        }
        rows
    }
}

/// A record of what is no channel but is called one: `OutgoingSpoolFailed`.
fn is_of_no_call(raw: &Raw) -> bool {
    raw.get(Column::Start).and_then(local::parse).is_some() && raw.get(Column::Channel).is_some()
}

impl Row {
    fn read(raw: &Raw, offset: i64) -> Option<Self> {
        let text = |column| raw.get(column).unwrap_or_default().to_owned();
        let time =
            |column| raw.get(column).and_then(local::parse).map(|at| PbxTime::from_micros(at - offset));
        let seconds = |column| {
            let number: f64 = raw.get(column)?.parse().ok().filter(|s: &f64| (0.0..1e8).contains(s))?;
            Some(std::time::Duration::from_secs_f64(number))
        };
        let start = time(Column::Start)?;
        let lasted = seconds(Column::Duration).map(|duration| start.after(duration));
        // A clock that was changed in the middle of a call has two offsets, and its length is right.
        let is_right =
            |end: &PbxTime| lasted.is_none_or(|lasted| end.micros().abs_diff(lasted.micros()) < CLOCK_CHANGE);
        let end = time(Column::End).filter(is_right).or(lasted).unwrap_or(start).max(start);
        let disposition = Disposition::parse(raw.get(Column::Disposition).unwrap_or_default());
        let billed = seconds(Column::Billsec).filter(|_| disposition == Disposition::Answered);
        let answer = time(Column::Answer).or_else(|| {
            let before = i64::try_from(billed?.as_micros()).ok()?;
            Some(PbxTime::from_micros(end.micros() - before).max(start))
        });
        let channel = raw.get(Column::Channel).filter(|name| name.contains('/'))?.to_owned();
        Some(Self {
            account: text(Column::Account),
            src: raw.get(Column::CallerNumber).map_or_else(|| text(Column::Src), str::to_owned),
            dst: text(Column::Dst),
            context: text(Column::Context),
            channel,
            dstchannel: raw
                .get(Column::DstChannel)
                .filter(|n| n.contains('/'))
                .unwrap_or_default()
                .to_owned(),
            lastapp: text(Column::LastApp),
            lastdata: text(Column::LastData),
            start,
            answer: answer.filter(|answer| (start..=end).contains(answer)),
            end,
            disposition,
            uniqueid: uniqueid(raw).unwrap_or_default().to_owned(),
            linkedid: raw.get(Column::Linkedid).unwrap_or_default().to_owned(),
            sequence: raw.get(Column::Sequence).and_then(|text| text.parse().ok()).unwrap_or(0),
            did: text(Column::Did),
            recording: text(Column::Recording),
        })
    }

    /// The names of its channels.
    pub fn ends(&self) -> impl Iterator<Item = &str> {
        [self.channel.as_str(), self.dstchannel.as_str()].into_iter().filter(|name| !name.is_empty())
    }
}

impl Disposition {
    fn parse(text: &str) -> Self {
        match text.trim().to_ascii_uppercase().as_str() {
            "ANSWERED" | "ANSWER" => Self::Answered,
            "BUSY" => Self::Busy,
            "CONGESTION" => Self::Congestion,
            "FAILED" | "CHANUNAVAIL" => Self::Failed,
            _ => Self::NoAnswer,
        }
    }
}

/// The uniqueid of the record's channel. `MikoPBX` makes its own of the call's: `…-1612345678.12_hXr`.
fn uniqueid(raw: &Raw) -> Option<&str> {
    let id = raw.get(Column::Uniqueid)?;
    let Some((bare, _)) = id.split_once('_').filter(|(bare, _)| made_at(bare.as_bytes()).is_some()) else {
        return Some(id);
    };
    Some(bare)
}

/// What a channel's first record says of the clock's offset.
struct Witness {
    /// Place of the record.
    at: usize,
    offset: i64,
    /// The record began with its channel: so it looks, if the two are a whole offset apart.
    is_exact: bool,
}

/// A record that begins with its channel does so within this, in microseconds.
const AT_ONCE: i64 = 3_000_000;

/// Each record's offset, in microseconds. A record may begin long after its channel was made, and then
/// its own two times say nothing, so channels nearby have a word: of several offsets that of the most,
/// and of as many the least, because a record never begins before its channel. But the first records after
/// a change of the clocks are few, and theirs is the better word.
fn offsets(raws: &[Raw]) -> Vec<Option<i64>> {
    let mut first: BTreeMap<&str, (usize, i64, i64)> = BTreeMap::new();
    for (at, raw) in raws.iter().enumerate() {
        let Some((id, epoch)) = uniqueid(raw).and_then(|id| Some((id, made_at(id.as_bytes())?.micros())))
        else {
            continue;
        };
        let Some(start) = raw.get(Column::Start).and_then(local::parse) else { continue };
        let known = first.entry(id).or_insert((at, start, epoch));
        if start < known.1 {
            *known = (at, start, epoch);
        }
    }
    let witness = |(at, start, epoch): (usize, i64, i64)| {
        let offset = local::offset(start, epoch);
        Witness { at, offset, is_exact: (0..=AT_ONCE).contains(&(start - epoch - offset)) }
    };
    let mut witnesses: Vec<Witness> = first.values().copied().map(witness).collect();
    witnesses.sort_by_key(|witness| witness.at);
    let own = |at: usize| {
        let (at, ..) = first.get(uniqueid(&raws[at])?)?;
        witnesses.binary_search_by_key(at, |witness| witness.at).ok()
    };
    (0..raws.len()).map(|at| vote(&witnesses, at, own(at))).collect()
}

/// The offset at place `at`; `own` is the witness of that record's channel.
fn vote(witnesses: &[Witness], at: usize, own: Option<usize>) -> Option<i64> {
    let next = witnesses.partition_point(|witness| witness.at < at);
    let from = next.saturating_sub(WITNESSES / 2).min(witnesses.len().saturating_sub(WITNESSES));
    let near = &witnesses[from..witnesses.len().min(from + WITNESSES)];
    let mut votes: BTreeMap<i64, usize> = BTreeMap::new();
    for witness in near {
        *votes.entry(witness.offset).or_default() += 1;
    }
    let most = votes.values().max().copied()?;
    let voted = votes.iter().find(|(_, count)| **count == most).map(|(offset, _)| *offset)?;
    Some(own.and_then(|own| own_word(&witnesses[own], near, voted)).unwrap_or(voted))
}

/// The offset by a record's own channel, where it is to be believed against that of its neighbours. One of
/// some hundred records that begin long after their channel looks as if it began with it, so others must
/// say the same, or clocks must be changed by such a difference.
fn own_word(own: &Witness, near: &[Witness], voted: i64) -> Option<i64> {
    /// By so much summer begins, nearly everywhere.
    const SUMMER: i64 = 4 * local::QUARTER;
    if !own.is_exact {
        return None;
    }
    let by = own.offset - voted;
    let others = near.iter().filter(|witness| witness.is_exact && witness.offset == own.offset);
    (by < 0 || by == SUMMER || others.count() > 1).then_some(own.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(start: &str, uniqueid: &str) -> Raw {
        let values = [
            (Column::Channel, "PJSIP/101-00000001"),
            (Column::Start, start),
            (Column::Uniqueid, uniqueid),
            (Column::Duration, "7"),
            (Column::Billsec, "4"),
            (Column::Disposition, "ANSWERED"),
        ];
        values.into_iter().map(|(column, value)| (column, value.to_owned())).collect()
    }

    #[test]
    fn times_are_utc_whatever_the_zone_and_without_columns_for_them() {
        let rows = Rows::read(&[raw("2018-06-25 17:15:43", "pbx-a-1529936141.21")], None).rows;
        assert_eq!(rows[0].start.to_string(), "2018-06-25T14:15:43.000Z");
        assert_eq!(rows[0].answer.unwrap().to_string(), "2018-06-25T14:15:46.000Z");
        assert_eq!(rows[0].end.to_string(), "2018-06-25T14:15:50.000Z");
    }

    #[test]
    fn a_record_that_begins_long_after_its_channel_is_set_right_by_others() {
        let mut raws =
            vec![raw("2018-06-25 17:45:41", "1529936141.21"), raw("2018-06-25 17:20:00", "1529936400.1")];
        assert_eq!(Rows::read(&raws, None).rows[0].start.to_string(), "2018-06-25T14:45:41.000Z");
        raws.push(raw("2018-06-25 17:15:43", "1529936141.21"));
        raws.swap_remove(1);
        let rows = Rows::read(&raws, None).rows;
        assert_eq!(rows[0].start.to_string(), "2018-06-25T14:45:41.000Z", "the channel's first record tells");
    }

    #[test]
    fn a_change_of_the_clocks_is_followed() {
        let before = (0..12).map(|n| {
            raw(
                &format!("2018-03-25 01:5{}:00", n % 10),
                &format!("{}.1", 1_521_935_400 + (n % 10) * 60 - 3600 + n / 10),
            )
        });
        let after = (0..12).map(|n| {
            raw(
                &format!("2018-03-25 03:0{}:00", n % 10),
                &format!("{}.2", 1_521_936_000 + (n % 10) * 60 + n / 10),
            )
        });
        let rows = Rows::read(&before.chain(after).collect::<Vec<_>>(), None).rows;
        let (first, last) = (&rows[0], &rows[23]);
        assert_eq!(first.start.since(PbxTime::from_micros(0)).as_secs() % 3600, 50 * 60);
        assert_eq!(last.start.to_string(), "2018-03-25T00:01:00.000Z");
    }

    /// `count` calls, one in ten minutes until `until` there and then; then what `after` has.
    fn day(count: i64, until: (i64, i64), after: &[Raw]) -> Rows {
        let (local, epoch) = until;
        let before = (1..=count)
            .rev()
            .map(|n| raw(&local::text((local - n * 600) * 1_000_000), &format!("{}.{n}", epoch - n * 600)));
        Rows::read(&before.chain(after.iter().cloned()).collect::<Vec<_>>(), None)
    }

    #[test]
    fn the_first_calls_after_a_change_of_the_clocks_are_at_their_own_time() {
        const SPRING: i64 = 1_521_939_600; // 02:00 in Berlin becomes 03:00
        const AUTUMN: i64 = 1_540_688_400; // 03:00 becomes 02:00
        let after = raw("2018-03-25 03:00:40", "1521939640.900");
        let rows = day(20, (SPRING + 3600, SPRING), std::slice::from_ref(&after)).rows;
        assert_eq!(rows[20].start.to_string(), "2018-03-25T01:00:40.000Z");
        assert_eq!(rows[19].start.to_string(), "2018-03-25T00:50:00.000Z");
        let after = raw("2018-10-28 02:00:40", "1540688440.900");
        let rows = day(20, (AUTUMN + 7200, AUTUMN), &[after]).rows;
        assert_eq!(rows[20].start.to_string(), "2018-10-28T01:00:40.000Z");
    }

    #[test]
    fn a_late_record_that_looks_as_if_it_began_with_its_channel_is_outvoted() {
        let rows =
            day(20, (1_521_943_200, 1_521_939_600), &[raw("2018-03-25 02:15:01", "1521937800.900")]).rows;
        assert_eq!(rows[20].start.to_string(), "2018-03-25T01:15:01.000Z");
    }

    #[test]
    fn a_call_in_which_the_clocks_change_has_its_length() {
        let mut over = raw("2018-03-25 01:59:58", "1521939598.1");
        over.set(Column::End, "2018-03-25 03:00:05");
        let rows = Rows::read(&[over], None).rows;
        assert_eq!(rows[0].end.since(rows[0].start).as_secs(), 7);
    }

    #[test]
    fn ids_of_mikopbx_are_those_of_its_channels() {
        let rows = Rows::read(&[raw("2018-06-25 17:15:43.120", "mikopbx-1529936141.21_hXrAbc")], None).rows;
        assert_eq!(rows[0].uniqueid, "mikopbx-1529936141.21");
        assert_eq!(rows[0].start.to_string(), "2018-06-25T14:15:43.120Z");
    }

    #[test]
    fn what_has_no_channel_or_time_is_counted() {
        let read = Rows::read(&[Raw::default(), raw("never", "1.1")], None);
        assert_eq!((read.rows.len(), read.unusable), (0, 2));
        let mut failed = raw("2018-06-25 17:15:43", "1529936141.21");
        failed.set(Column::Channel, "OutgoingSpoolFailed");
        assert_eq!(Rows::read(&[failed], None), Rows::default());
    }
}
