//! The calls of a stretch of time, hour by hour, so that a long one needs no more memory than a short.

use std::collections::btree_map;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::call::checkpoint::Value;
use crate::call::id::{CallId, PbxName};
use crate::call::policy::Policy;
use crate::cdr::calls::{self, CdrCall, Known};
use crate::cdr::cel::entry::Entry;
use crate::cdr::range::Range;
use crate::cdr::row::Row;
use crate::cdr::source::events::{self, Events};
use crate::cdr::source::{Error, Source, Unread, aside};
use crate::time::PbxTime;

/// What is read at once.
const WINDOW: Duration = Duration::from_hours(1);

/// Rows that begin so long after a window may belong to a call that ends in it: transfers in a late part
/// of it do.
const TRAIL: Duration = Duration::from_mins(30);

/// An hour with too many records is too much for the hours beside it, too, in which they are read as well.
/// After so many in a row that cannot be read none can.
const FAILED_MAX: usize = 8;

/// What was found of a stretch of time.
#[derive(Debug, Default)]
pub struct Fetched {
    /// By end.
    pub calls: Vec<CdrCall>,
    /// Stretches whose records could not be read, in their order: calls that ended there are missing.
    pub failed: Vec<Failed>,
    /// Calls that stand only in these are missing.
    pub unread: BTreeSet<Unread>,
    /// Channel events that cannot be read: such calls are told from their records alone.
    pub unread_events: BTreeSet<Unread>,
    /// Records that are none that can be read: so many at least, for those at a window's edge are met twice.
    pub unusable: u64,
}

/// A stretch of time whose records could not be read.
#[derive(Debug, thiserror::Error)]
#[error("of {} to {}", range.from, range.to)]
pub struct Failed {
    pub range: Range,
    #[source]
    pub error: Error,
}

impl Fetched {
    /// All of the time, or nothing.
    ///
    /// # Errors
    /// With the first stretch that could not be read.
    pub fn whole(mut self) -> Result<Self, Failed> {
        if self.failed.is_empty() { Ok(self) } else { Err(self.failed.swap_remove(0)) }
    }
}

/// The calls that ended within `range`, by the records and, where there are, by the channel events. Hours
/// that cannot be read are told and cost the others nothing.
pub async fn calls(source: &Source, events: Option<&Events>, known: Known<'_>, range: Range) -> Fetched {
    let mut reading = Reading::new(source, events, known, range);
    reading.next(usize::MAX).await.map(|(_, fetched)| fetched).unwrap_or_default()
}

/// What is found of a stretch of time, some of its calls at a time, so that a long one needs no more memory than a
/// short.
#[derive(Debug)]
pub struct Reading<'a> {
    source: &'a Source,
    events: Option<&'a Events>,
    known: Arc<Kept>,
    range: Range,
    /// Of what is not read yet, and of what is not given yet.
    unread: PbxTime,
    ungiven: PbxTime,
    gathered: Gathered,
}

impl<'a> Reading<'a> {
    /// As [`calls()`].
    pub fn new(source: &'a Source, events: Option<&'a Events>, known: Known<'_>, range: Range) -> Self {
        let (known, gathered) = (Arc::new(Kept::of(known)), Gathered::default());
        Self { source, events, known, range, unread: range.from, ungiven: range.from, gathered }
    }

    /// The next stretch of the time with `enough` calls or more, or all that is left, as [`calls()`] would tell it; `None`
    /// at the end.
    pub async fn next(&mut self, enough: usize) -> Option<(Range, Fetched)> {
        while self.unread <= self.range.to {
            let hour = Range { from: self.unread, to: self.unread.after(WINDOW).min(self.range.to) };
            let found = read(self.source, self.events, &self.known, hour).await;
            self.unread = hour.to.after(NEXT);
            if self.gathered.take(hour, found, self.range.to).is_break() {
                self.unread = self.range.to.after(NEXT);
            }
            let settled = hour.from.before(SETTLED);
            if self.unread <= self.range.to && self.gathered.count(settled) >= enough {
                return Some(self.give(settled));
            }
        }
        (self.ungiven <= self.range.to).then(|| self.give(self.range.to))
    }

    fn give(&mut self, to: PbxTime) -> (Range, Fetched) {
        let range = Range { from: self.ungiven, to };
        self.ungiven = to.after(NEXT);
        (range, self.gathered.give(to))
    }
}

/// What ended so long before a window is told by none of it any more: its first record is of [`Range::LEAD`] before.
const SETTLED: Duration = Duration::from_hours(3);

/// From the end of a window to the beginning of the next.
const NEXT: Duration = Duration::from_micros(1);

/// What was read for one window.
#[derive(Debug, Default)]
struct Hour {
    calls: Vec<CdrCall>,
    unread: Vec<Unread>,
    unread_events: Vec<Unread>,
    unusable: u64,
}

async fn read(
    source: &Source,
    events: Option<&Events>,
    known: &Arc<Kept>,
    hour: Range,
) -> Result<Hour, Error> {
    let window = Range { from: hour.from, to: hour.to.after(TRAIL) };
    let found = source.read(window).await?;
    let events = match events {
        Some(events) => source.read_events(events, window, &found.rows).await,
        None => events::Found::default(),
    };
    let (unread, unusable) = (found.unread, found.unusable);
    let calls = make(found.rows, events.entries, Arc::clone(known)).await?;
    Ok(Hour { calls, unread, unread_events: events.unread, unusable })
}

async fn make(rows: Vec<Row>, entries: Vec<Entry>, known: Arc<Kept>) -> Result<Vec<CdrCall>, Error> {
    aside(move || calls::calls_with(&rows, &entries, known.known())).await
}

/// What is known of the PBX, for a thread of its own.
#[derive(Debug)]
struct Kept {
    pbx: PbxName,
    policy: Arc<Policy>,
    endpoints: Vec<Value>,
}

impl Kept {
    fn of(known: Known<'_>) -> Self {
        let Known { pbx, policy, endpoints } = known;
        Self { pbx: pbx.clone(), policy: Arc::clone(policy), endpoints: endpoints.to_vec() }
    }

    fn known(&self) -> Known<'_> {
        Known { pbx: &self.pbx, policy: &self.policy, endpoints: &self.endpoints }
    }
}

/// What is put together of the windows.
#[derive(Debug, Default)]
struct Gathered {
    fetched: Fetched,
    /// A call whose parts hang together over a window's edge is seen from both sides: more of it from the later.
    places: BTreeMap<CallId, usize>,
    failed_in_a_row: usize,
}

impl Gathered {
    /// Adds what was found of `hour`; breaks when nothing until `end` can be read.
    fn take(&mut self, hour: Range, found: Result<Hour, Error>, end: PbxTime) -> ControlFlow<()> {
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.fail(hour, error, end),
        };
        self.failed_in_a_row = 0;
        self.fetched.unread.extend(found.unread);
        self.fetched.unread_events.extend(found.unread_events);
        self.fetched.unusable = self.fetched.unusable.max(found.unusable);
        for call in found.calls {
            if !(hour.from..=hour.to).contains(&call.to) {
                continue;
            }
            match self.places.entry(call.call.record.call_id.clone()) {
                btree_map::Entry::Occupied(known) => self.fetched.calls[*known.get()] = call,
                btree_map::Entry::Vacant(place) => {
                    place.insert(self.fetched.calls.len());
                    self.fetched.calls.push(call);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn fail(&mut self, hour: Range, error: Error, end: PbxTime) -> ControlFlow<()> {
        self.failed_in_a_row += 1;
        let is_over = error.is_lasting() || self.failed_in_a_row >= FAILED_MAX;
        let to = if is_over { end } else { hour.to };
        match self.fetched.failed.last_mut().filter(|last| last.range.to.after(NEXT) == hour.from) {
            Some(last) => last.range.to = to,
            None => self.fetched.failed.push(Failed { range: Range { to, ..hour }, error }),
        }
        if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Calls that ended until then.
    fn count(&self, to: PbxTime) -> usize {
        self.fetched.calls.iter().filter(|call| call.to <= to).count()
    }

    /// Gives away what ended until then.
    fn give(&mut self, to: PbxTime) -> Fetched {
        let mut fetched = std::mem::take(&mut self.fetched);
        let (mut given, later): (Vec<_>, Vec<_>) = fetched.calls.into_iter().partition(|call| call.to <= to);
        given.sort_by_key(|call| call.to);
        let places = later.iter().enumerate().map(|(place, call)| (call.call.record.call_id.clone(), place));
        self.places = places.collect();
        self.fetched.calls = later;
        fetched.calls = given;
        fetched
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write as _};
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::call::record::sample;
    use crate::cdr::csv;
    use crate::cdr::row::Rows;
    use crate::time::local;

    /// 2026-11-22 09:00:00 UTC.
    const MADE: i64 = 1_795_338_000;

    /// A part of one call: from and to minutes after [`MADE`], with an employee.
    fn part(phone: u32, from: i64, to: i64) -> String {
        let time = |minute: i64| local::text((MADE + minute * 60) * 1_000_000);
        let (begin, end, seconds) = (time(from), time(to), (to - from) * 60);
        format!(
            "\"\",\"79161234568\",\"300\",\"from-trunk\",\"\",\"PJSIP/t-00000001\",\"PJSIP/{phone}-00000{phone}\",\"Dial\",\
             \"PJSIP/{phone}\",\"{begin}\",\"{begin}\",\"{end}\",{seconds},{seconds},\"ANSWERED\",\"D\",\"{MADE}.1\",\"\",\"\",\
             \"{MADE}.1\",{from}\n"
        )
    }

    #[tokio::test]
    async fn a_call_with_a_long_silence_is_whole_wherever_the_time_begins() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(format!("{}{}", part(101, 0, 10), part(102, 65, 70)).as_bytes()).unwrap();
        let source = Source::Csv { path: file.path().to_owned() };
        let (pbx, policy) = (PbxName::default(), Arc::default());
        let known = Known { pbx: &pbx, policy: &policy, endpoints: &[] };
        let at = |minute: i64| PbxTime::from_micros((MADE + minute * 60) * 1_000_000);
        for from in [-120, -50, -45, -1, 0, 5] {
            let range = Range { from: at(from), to: at(300) };
            let found = calls(&source, None, known, range).await.whole().unwrap().calls;
            let answered: Vec<_> = found.iter().map(|call| call.call.record.answered_by.concat()).collect();
            assert_eq!(answered, ["101102"], "{from}");
        }
    }

    #[tokio::test]
    async fn calls_that_are_given_some_at_a_time_are_those_of_the_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let call = |number: i64| {
            let begin = number * 13 % 2000;
            part(101, begin, begin + 7)
                .replace(&format!("{MADE}.1"), &format!("{}.{number}", MADE + begin * 60))
        };
        // One whose parts hang together over many windows' edges.
        let long: String = (0..5).map(|hour| part(102, 30 + hour * 65, 80 + hour * 65)).collect();
        let mut lines: Vec<_> = (2..150).map(call).collect();
        lines.sort_by_key(|line| line.split(',').nth(9).unwrap().to_owned());
        file.write_all((long + &lines.concat()).as_bytes()).unwrap();
        let source = Source::Csv { path: file.path().to_owned() };
        let (pbx, policy) = (PbxName::default(), Arc::default());
        let known = Known { pbx: &pbx, policy: &policy, endpoints: &[] };
        let range = Range { from: at(-60), to: at(2400) };
        let whole = calls(&source, None, known, range).await.calls;
        let known = Known { pbx: &pbx, policy: &policy, endpoints: &[] };
        let mut reading = Reading::new(&source, None, known, range);
        let (mut all, mut begin, mut parts) = (Vec::new(), range.from, 0);
        while let Some((part, fetched)) = reading.next(20).await {
            assert_eq!(part.from, begin, "no moment is left out");
            assert!(fetched.calls.iter().all(|call| (part.from..=part.to).contains(&call.to)));
            begin = part.to.after(NEXT);
            parts += 1;
            all.extend(fetched.calls);
        }
        assert!(whole.len() > 100 && parts > 3, "{} {parts}", whole.len());
        assert_eq!((all, begin), (whole, range.to.after(NEXT)));
    }

    fn at(minute: i64) -> PbxTime {
        PbxTime::from_micros((MADE + minute * 60) * 1_000_000)
    }

    fn hour(number: i64) -> Range {
        Range { from: at(number * 60), to: PbxTime::from_micros(at(number * 60 + 60).micros() - 1) }
    }

    /// One call, in the middle of the hour.
    fn found(number: i64) -> Hour {
        let to = at(number * 60 + 30);
        let call = sample::call(&format!("{number}.1"));
        Hour { calls: vec![CdrCall { call, ids: vec![], from: to, to }], ..Hour::default() }
    }

    /// What is made of six hours that are read as `read` tells: calls, and hours that failed, from and to.
    fn six_hours(read: impl Fn(i64) -> Result<Hour, Error>) -> (usize, Vec<(i64, i64)>) {
        let mut gathered = Gathered::default();
        let _ = (0..6).try_for_each(|number| gathered.take(hour(number), read(number), hour(5).to));
        let fetched = gathered.give(hour(5).to);
        let number = |at: PbxTime| (at.micros() / 1_000_000 - MADE) / 3600;
        let failed = fetched.failed.iter().map(|failed| (number(failed.range.from), number(failed.range.to)));
        (fetched.calls.len(), failed.collect())
    }

    #[test]
    fn an_hour_that_cannot_be_read_costs_the_others_nothing() {
        let too_many = |number: i64| Error::TooMany { at: hour(number).from };
        let all_but = |bad: &'static [i64]| {
            move |number: i64| if bad.contains(&number) { Err(too_many(number)) } else { Ok(found(number)) }
        };
        assert_eq!(six_hours(all_but(&[])), (6, vec![]));
        assert_eq!(six_hours(all_but(&[2])), (5, vec![(2, 2)]));
        assert_eq!(six_hours(all_but(&[1, 2, 5])), (3, vec![(1, 2), (5, 5)]));
        // One that lies in a file which takes long to unpack.
        let slow = || Error::File { path: "Master.csv.1.gz".into(), source: ErrorKind::TimedOut.into() };
        assert_eq!(
            six_hours(|number| if number == 2 { Err(slow()) } else { Ok(found(number)) }),
            (5, vec![(2, 2)])
        );
    }

    #[test]
    fn a_source_that_is_gone_is_not_asked_hour_by_hour() {
        let gone = || Error::NotBuilt("MySQL", "cdr-mysql");
        assert_eq!(
            six_hours(|number| if number == 1 { Err(gone()) } else { Ok(found(number)) }),
            (1, vec![(1, 5)])
        );
        let mut gathered = Gathered::default();
        let silent = || Error::Patience { place: "a database".to_owned() };
        let asked =
            (0..24).take_while(|number| gathered.take(hour(*number), Err(silent()), at(1440)).is_continue());
        assert_eq!(asked.count() + 1, FAILED_MAX);
        assert_eq!(gathered.give(at(1440)).failed[0].range, Range { from: at(0), to: at(1440) });
    }

    #[test]
    fn calls_are_made_beside_what_the_runtime_does() {
        let pbx = PbxName::default();
        let known = Known { pbx: &pbx, policy: &Arc::default(), endpoints: &[] };
        let raws = [csv::record(part(101, 0, 10).trim_end().as_bytes()).unwrap()];
        let rows = Rows::read(&raws, Some(0)).rows;
        // Its only thread for such work is taken, so nothing is made until that one is free.
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (free, taken) = mpsc::sync_channel::<()>(1);
        let busy = runtime.spawn_blocking(move || taken.recv());
        let _inside = runtime.enter();
        let mut making = pin!(make(rows, vec![], Arc::new(Kept::of(known))));
        assert!(matches!(making.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
        free.send(()).unwrap();
        let made = runtime.block_on(async { (busy.await, making.await) });
        assert_eq!((made.0.unwrap(), made.1.unwrap().len()), (Ok(()), 1));
    }
}
