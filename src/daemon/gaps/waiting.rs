//! Pure: a gap that waits for its next try, and what is kept of it over restarts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::id::PbxName;
use crate::cdr::range::Range;
use crate::daemon::gaps::ROUNDING;
use crate::intake::gap::Gap;
use crate::time::{HostTime, MonoTime, PbxTime, micros};

/// Pauses before the tries to find a gap's calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pauses([Duration; 4]);

impl Pauses {
    /// Tries 5 s, 1, 5½ and 15 minutes after a gap's end where records are written within five minutes: when a
    /// call ends, in `batch`es of `cdr.conf`, and into databases that are away when they come back.
    pub fn of(batch: Duration) -> Self {
        let first = Duration::from_secs(5);
        let second = Duration::from_mins(1);
        let third = batch.max(second) + Duration::from_secs(30);
        Self([first, second.saturating_sub(first), third.saturating_sub(second), Duration::from_secs(570)])
    }

    /// How long a call that a gap cut short is held back: the first three tries are over then, however slow the
    /// source is.
    pub fn hold(&self) -> Duration {
        let third: Duration = self.0[..3].iter().sum();
        third + Duration::from_secs(90)
    }
}

/// A daemon that ends again and again before it can look at a gap shall not hold its calls back for ever.
pub(super) const RESTARTS_MAX: u32 = 10;

/// A gap whose calls are to be looked for, once more.
#[derive(Debug, PartialEq)]
pub(super) struct Waiting {
    pub gap: Gap,
    pub tries: usize,
    pub due: MonoTime,
    /// Calls that were found so far.
    pub added: usize,
    /// Starts of the daemon in which it waited.
    pub restarts: u32,
    /// Calls that it cut short are held back once more, because the daemon was away when they could be told.
    pub holds: bool,
    /// Stretches of it of which no try could read the records.
    pub unread: Vec<Range>,
    pauses: Pauses,
}

/// What is kept of the gaps that wait.
#[derive(Deserialize, Serialize)]
pub(super) struct GapsV1 {
    pub v: u32,
    pub gaps: Vec<KeptGap>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct KeptGap {
    pub pbx: PbxName,
    #[serde(with = "micros")]
    pub from: PbxTime,
    #[serde(with = "micros")]
    pub to: PbxTime,
    #[serde(default)]
    tries: usize,
    #[serde(default)]
    added: usize,
    #[serde(default)]
    restarts: u32,
    /// When it is looked at next; a clock that only runs begins anew with each process.
    #[serde(default)]
    due: Option<HostTime>,
    #[serde(default)]
    unread: Option<Vec<Range>>,
}

/// One moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub host: HostTime,
    pub mono: MonoTime,
}

impl KeptGap {
    /// Whether there is a stretch of it whose records no try could read.
    pub fn is_unread(&self) -> bool {
        self.unread.as_ref().is_none_or(|unread| !unread.is_empty())
    }
}

impl Waiting {
    pub fn new(gap: Gap, pauses: Pauses, now: Now) -> Self {
        let (due, unread) = (now.mono.after(pauses.0[0]), vec![whole(&gap)]);
        Self { gap, tries: 0, due, added: 0, restarts: 0, holds: false, unread, pauses }
    }

    /// Whether `older`, at which nobody looked yet, lies in this one: then there is no need to look at both. A daemon that
    /// ends again and again, soon after its start, has the same gap each time, and a longer one.
    pub fn replaces(&mut self, older: &Self) -> bool {
        let (gap, inner) = (&self.gap, &older.gap);
        let is_within = gap.pbx == inner.pbx && gap.from <= inner.from && gap.to >= inner.to;
        let replaces = is_within && older.tries == 0;
        if replaces {
            self.holds |= older.holds;
            self.restarts = self.restarts.max(older.restarts);
        }
        replaces
    }

    /// After a try: when the next one is due, unless that was the last. A try that took long, or had to wait for
    /// another gap's, puts the next one off no more than it must: calls are not held back for ever.
    pub fn tried(&mut self, now: Now) -> bool {
        self.tries += 1;
        let pause = self.pauses.0.get(self.tries);
        if let Some(pause) = pause {
            self.due = self.due.after(*pause).max(now.mono);
        }
        pause.is_some()
    }

    /// Whether none follows the next one.
    pub fn is_last_try(&self) -> bool {
        self.tries + 1 >= self.pauses.0.len()
    }

    /// After a try that could not read `failed`: what no try could is less.
    pub fn read_all_but(&mut self, failed: &[Range]) {
        let meet =
            |unread: &Range| failed.iter().filter_map(|failed| failed.meet(*unread)).collect::<Vec<_>>();
        self.unread = self.unread.iter().flat_map(meet).collect();
    }

    /// All of it that is looked at.
    pub fn whole(&self) -> Range {
        whole(&self.gap)
    }

    pub fn kept(&self, now: Now) -> KeptGap {
        let Gap { pbx, from, to } = self.gap.clone();
        let due = Some(now.host.after(self.due.since(now.mono)));
        let unread = Some(self.unread.clone());
        KeptGap { pbx, from, to, tries: self.tries, added: self.added, restarts: self.restarts, due, unread }
    }

    /// A restart is no try: what was not due yet waits on, and what was waits a moment, since databases may
    /// be starting, too.
    pub fn recalled(kept: KeptGap, pauses: Pauses, now: Now) -> Self {
        let after = pauses.0;
        let KeptGap { pbx, from, to, tries, added, restarts, due, unread } = kept;
        let gap = Gap { pbx, from, to };
        let unread = unread.unwrap_or_else(|| vec![whole(&gap)]);
        let restarts = restarts.saturating_add(1);
        let tries = tries.min(after.len() - 1);
        // Earlier versions kept none; and a clock that was set back shall hold nothing up.
        let wait =
            due.map_or(after[tries], |due| due.since(now.host).clamp(after[0], after[tries].max(after[0])));
        let (due, holds) = (now.mono.after(wait), restarts <= RESTARTS_MAX);
        Self { gap, tries, due, added, restarts, holds, unread, pauses }
    }
}

fn whole(gap: &Gap) -> Range {
    Range { from: gap.from, to: gap.to.after(ROUNDING) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(seconds: u32) -> Now {
        let mono = MonoTime::default().after(Duration::from_secs(u64::from(seconds)));
        Now { host: HostTime::from_micros(1_795_000_000_000_000 + i64::from(seconds) * 1_000_000), mono }
    }

    /// The same moment after a restart: the clock that only runs begins anew.
    fn restarted(seconds: u32) -> Now {
        Now { mono: MonoTime::default(), ..now(seconds) }
    }

    fn pauses() -> Pauses {
        Pauses::of(Duration::from_mins(5))
    }

    fn gap() -> Gap {
        Gap { pbx: PbxName::default(), from: PbxTime::from_micros(1), to: PbxTime::from_micros(2) }
    }

    fn seconds_to_wait(waiting: &Waiting, now: Now) -> u64 {
        waiting.due.since(now.mono).as_secs()
    }

    /// As the store gives it back.
    fn kept(waiting: &Waiting, at: Now) -> KeptGap {
        serde_json::from_slice(&serde_json::to_vec(&waiting.kept(at)).unwrap()).unwrap()
    }

    #[test]
    fn restarts_bring_no_try_nearer() {
        let mut waiting = Waiting::new(gap(), pauses(), now(0));
        assert!(waiting.tried(now(5)));
        waiting.added = 3;
        for at in [10, 20, 30] {
            waiting = Waiting::recalled(kept(&waiting, now(5)), pauses(), restarted(at));
            assert_eq!((waiting.tries, waiting.added), (1, 3));
            assert_eq!(seconds_to_wait(&waiting, restarted(at)), u64::from(60 - at), "at {at} s");
            waiting.due = now(60).mono;
        }
    }

    #[test]
    fn what_was_due_meanwhile_is_looked_at_soon() {
        let waiting = Waiting::new(gap(), pauses(), now(0));
        let recalled = Waiting::recalled(kept(&waiting, now(1)), pauses(), restarted(3600));
        assert_eq!(seconds_to_wait(&recalled, restarted(3600)), 5);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_no_gap_up() {
        let mut waiting = Waiting::new(gap(), pauses(), now(100_000));
        assert!(waiting.tried(now(100_005)));
        let recalled = Waiting::recalled(kept(&waiting, now(100_005)), pauses(), restarted(0));
        assert_eq!(seconds_to_wait(&recalled, restarted(0)), 55);
    }

    #[test]
    fn what_earlier_versions_kept_is_read() {
        let old = r#"{"v":1,"gaps":[{"pbx":"msk","from":1000000,"to":2000000,"tries":2},{"pbx":"msk","from":1,"to":2}]}"#;
        let GapsV1 { gaps, .. } = serde_json::from_str(old).unwrap();
        let waiting: Vec<_> =
            gaps.into_iter().map(|kept| Waiting::recalled(kept, pauses(), restarted(0))).collect();
        let told = waiting.iter().map(|waiting| (waiting.tries, seconds_to_wait(waiting, restarted(0))));
        assert_eq!(told.collect::<Vec<_>>(), [(2, 270), (0, 5)]);
        assert_eq!(waiting[0].gap.to.micros(), 2_000_000);
    }

    #[test]
    fn after_four_tries_there_is_none() {
        let mut waiting = Waiting::new(gap(), pauses(), now(0));
        let more: Vec<_> = (0..4).map(|_| (waiting.is_last_try(), waiting.tried(now(0)))).collect();
        assert_eq!(more, [(false, true), (false, true), (false, true), (true, false)]);
    }

    #[test]
    fn a_slow_source_is_looked_at_as_often_within_the_time_that_calls_are_held_back() {
        const SLOW: u32 = 40; // a reading of records and one of channel events, as long as they may take
        const BATCH: u32 = 300; // until Asterisk writes a record, by the default of cdr.conf
        let mut waiting = Waiting::new(gap(), pauses(), now(0));
        let mut begun = Vec::new();
        loop {
            begun.push(u32::try_from(waiting.due.since(now(0).mono).as_secs()).unwrap());
            if !waiting.tried(now(begun[begun.len() - 1] + SLOW)) {
                break;
            }
        }
        assert_eq!(begun, [5, 60, 330, 900]);
        let hold = u32::try_from(pauses().hold().as_secs()).unwrap();
        assert_eq!(hold, 420);
        assert!(begun.iter().any(|at| *at > BATCH && at + SLOW < hold));
    }

    #[test]
    fn where_records_are_written_at_once_no_call_waits_for_minutes() {
        for (batch, third, hold) in [(0, 90, 180), (60, 90, 180), (61, 91, 181), (3600, 3630, 3720)] {
            let pauses = Pauses::of(Duration::from_secs(batch));
            let mut waiting = Waiting::new(gap(), pauses, now(0));
            assert!(waiting.tried(now(5)) && waiting.tried(now(60)));
            assert_eq!((seconds_to_wait(&waiting, now(0)), pauses.hold().as_secs()), (third, hold));
        }
    }

    #[test]
    fn a_try_that_outlasts_the_next_pause_is_followed_at_once() {
        let mut waiting = Waiting::new(gap(), pauses(), now(0));
        assert!(waiting.tried(now(100)));
        assert_eq!(waiting.due, now(100).mono);
    }

    #[test]
    fn what_one_try_read_is_missing_no_more() {
        let range = |from, to| Range { from: PbxTime::from_micros(from), to: PbxTime::from_micros(to) };
        let gap = Gap { from: PbxTime::from_micros(0), to: PbxTime::from_micros(100), ..gap() };
        let mut waiting = Waiting::new(gap, pauses(), now(0));
        let whole = waiting.whole();
        assert_eq!(waiting.unread, [whole]);
        waiting.read_all_but(&[range(10, 30), range(50, 60)]);
        // Nothing can be read any more; and a restart, which forgets nothing.
        waiting.read_all_but(&[whole]);
        waiting = Waiting::recalled(kept(&waiting, now(5)), pauses(), restarted(10));
        assert_eq!(waiting.unread, [range(10, 30), range(50, 60)]);
        waiting.read_all_but(&[range(20, 55)]);
        assert_eq!(waiting.unread, [range(20, 30), range(50, 55)]);
        waiting.read_all_but(&[]);
        assert_eq!(waiting.unread, []);
    }

    #[test]
    fn a_longer_gap_replaces_one_that_nobody_looked_at() {
        let gap = |from, to| Gap {
            from: PbxTime::from_micros(from),
            to: PbxTime::from_micros(to),
            pbx: PbxName::default(),
        };
        let new = |gap| Waiting::new(gap, pauses(), now(0));
        let recalled = |gap| Waiting::recalled(kept(&new(gap), now(0)), pauses(), restarted(0));
        let mut longer = new(gap(10, 40));
        assert!(longer.replaces(&recalled(gap(10, 30))));
        assert!(longer.holds && longer.restarts == 1, "calls are let go once it is looked at");
        let mut tried = recalled(gap(10, 30));
        assert!(tried.tried(now(5)));
        let other = Gap { pbx: PbxName::new("other").unwrap(), ..gap(10, 30) };
        for older in [tried, recalled(gap(9, 30)), recalled(gap(20, 41)), recalled(other)] {
            assert!(!longer.replaces(&older), "{older:?}");
        }
    }

    #[test]
    fn a_daemon_that_ends_again_and_again_holds_no_calls_for_ever() {
        let mut waiting = Waiting::new(gap(), pauses(), now(0));
        assert!(!waiting.holds, "its calls are held as they come");
        let restarts = (0..100).take_while(|_| {
            waiting = Waiting::recalled(kept(&waiting, now(0)), pauses(), restarted(0));
            waiting.holds
        });
        assert_eq!(restarts.count(), 10);
    }
}
