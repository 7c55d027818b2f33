//! Pure: the PBX's time as calls see it: it never runs backwards, and stands when nobody knows it.

use std::time::Duration;

use crate::ami::event::{Cdr, Event, What, made_at};
use crate::call::record::TimeSource;
use crate::time::{PbxTime, local};

/// A step back up to this is disorder among the PBX's threads; the event counts as of the latest.
const DISORDER: Duration = Duration::from_secs(2);
/// How far apart events count whose order alone is known.
const TICK: Duration = Duration::from_micros(1);
/// Events in a row that must agree before a longer step back is taken for a clock that was set.
const STEP_AFTER: u32 = 3;
/// Events in a row without a time before those that had one are no measure any more.
const UNTIMED_AFTER: u32 = 3;
/// A step ahead of more than this may be one event's mistake, until the next event confirms it.
const JUMP: Duration = Duration::from_mins(10);

/// Gives every event its time.
#[derive(Debug, Default)]
pub struct PbxClock {
    latest: Option<PbxTime>,
    /// What is added to the PBX's times since its clock was set back, in microseconds.
    shift: i64,
    behind: u32,
    /// The latest time before a jump that nothing has confirmed yet.
    jumped: Option<PbxTime>,
    /// Time goes on from here: what was ahead of it was a mistake.
    rewound: Option<PbxTime>,
    source: Option<TimeSource>,
    /// Events in a row that should have a time and have none.
    untimed: u32,
}

impl PbxClock {
    pub fn new() -> Self {
        Self::default()
    }

    /// The event's time: its `Timestamp`, else its arrival, else the youngest uniqueid's epoch.
    /// `None` before anything is known.
    pub fn time_of(&mut self, event: &Event<'_>, arrived: Option<PbxTime>) -> Option<PbxTime> {
        let (told, source) = match (event.at, arrived) {
            (Some(at), _) => (Some(at), TimeSource::Event),
            // FullyBooted and list items carry none even where all other events do, so they tell
            // nothing of the others.
            (None, _) if self.source == Some(TimeSource::Event) && !self.is_switched_off(event, arrived) => {
                return self.latest;
            }
            (None, _) if matches!(event.what, What::FullyBooted { .. }) => return self.latest,
            (None, Some(arrived)) => (Some(arrived), TimeSource::Arrival),
            (None, None) => (epoch(event), TimeSource::Estimated),
        };
        if let Some(told) = told {
            return Some(self.take(told, source));
        }
        // Of what comes between two anchors the order is known.
        self.latest = self.latest.map(|latest| latest.after(TICK));
        self.latest
    }

    /// Whether `timestampevents` was switched off: channels come and go without a time, again and again.
    fn is_switched_off(&mut self, event: &Event<'_>, arrived: Option<PbxTime>) -> bool {
        let should_have_one = matches!(event.what, What::NewChannel(_) | What::Hangup { .. });
        self.untimed += u32::from(should_have_one && arrived.is_some());
        self.untimed >= UNTIMED_AFTER
    }

    /// What does not come as an event is told at `told` by the PBX's clock, and not before what came
    /// already; `None` before anything is known. It is no measure for events, some of which may be held up.
    pub fn told(&self, told: Option<PbxTime>) -> Option<PbxTime> {
        let told = told.map(|told| self.on_scale(told));
        told.into_iter().chain(self.latest).max()
    }

    /// The time of the first event of a connection, whose `Timestamp` is `at`.
    pub fn begin(&mut self, at: PbxTime) -> PbxTime {
        self.take(at, TimeSource::Event)
    }

    /// Goes on where the process before this one was.
    pub fn restore(&mut self, latest: PbxTime, shift: i64, source: TimeSource) {
        (self.latest, self.shift, self.source) = (Some(latest), shift, Some(source));
    }

    pub fn source(&self) -> TimeSource {
        self.source.unwrap_or(TimeSource::Estimated)
    }

    /// How far the times given here are ahead of the PBX's clock, in microseconds: not 0 since that
    /// was set back.
    pub fn shift(&self) -> i64 {
        self.shift
    }

    /// Whether `at` lies before what came already.
    pub fn is_past(&self, at: PbxTime) -> bool {
        let at = self.on_scale(at);
        self.latest.is_some_and(|latest| latest.since(at) > DISORDER)
    }

    /// Begins anew: what comes is another stretch of time.
    pub fn restart(&mut self) {
        *self = Self::new();
    }

    /// Where time went back to, because what came before was a mistake; told once.
    pub fn take_rewound(&mut self) -> Option<PbxTime> {
        self.rewound.take()
    }

    fn take(&mut self, told: PbxTime, source: TimeSource) -> PbxTime {
        let before = self.source.replace(source);
        if source == TimeSource::Event {
            self.untimed = 0;
        }
        if before.is_some_and(|before| before != source && source == TimeSource::Event) {
            // The other scale was a guess.
            self.shift = 0;
            self.rewind(told);
            return told;
        }
        let at = self.placed(self.on_scale(told));
        let at = self.latest.map_or(at, |latest| latest.max(at));
        self.latest = Some(at);
        at
    }

    fn on_scale(&self, at: PbxTime) -> PbxTime {
        PbxTime::from_micros(at.micros().saturating_add(self.shift))
    }

    /// The time on a scale that never steps back by more than disorder.
    fn placed(&mut self, at: PbxTime) -> PbxTime {
        let Some(latest) = self.latest else { return at };
        if latest.since(at) <= DISORDER {
            self.behind = 0;
            self.jumped = (at.since(latest) > JUMP).then_some(latest);
            return at;
        }
        if self.jumped.is_some_and(|before| before.since(at) <= DISORDER) {
            self.rewind(at);
            return at;
        }
        self.behind += 1;
        if self.behind >= STEP_AFTER {
            self.behind = 0;
            self.shift = self.shift.saturating_add(latest.micros() - at.micros());
        }
        // What comes later stays later: a talk that ends here has been one.
        latest.after(TICK)
    }

    fn rewind(&mut self, at: PbxTime) {
        self.latest = Some(at);
        self.rewound = Some(at);
        (self.jumped, self.behind) = (None, 0);
    }
}

/// The second in which the event's youngest known channel was made.
fn epoch(event: &Event<'_>) -> Option<PbxTime> {
    if let What::Cdr(cdr) = event.what {
        return ended(&cdr);
    }
    let What::NewChannel(channel) = event.what else { return None };
    made_at(channel.uniqueid)
}

/// The end of a call by Asterisk's own record, whose times are local.
fn ended(cdr: &Cdr<'_>) -> Option<PbxTime> {
    let at = |text: &[u8]| local::parse(std::str::from_utf8(text).ok()?);
    let made = made_at(cdr.uniqueid)?.micros();
    let (started, ended) = (at(cdr.started)?, at(cdr.ended)?);
    Some(PbxTime::from_micros(ended - local::offset(started, made)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ami::event::Channel;

    fn event(at: Option<i64>, uniqueid: &[u8]) -> Event<'_> {
        let channel = Channel { uniqueid, ..Channel::default() };
        Event { at: at.map(|s| PbxTime::from_micros(s * 1_000_000)), what: What::NewChannel(channel) }
    }

    fn seconds(clock: &mut PbxClock, at: i64) -> i64 {
        clock.time_of(&event(Some(at), b"1.1"), None).unwrap().micros() / 1_000_000
    }

    #[test]
    fn a_late_event_counts_as_of_the_latest() {
        let mut clock = PbxClock::new();
        assert_eq!(seconds(&mut clock, 100), 100);
        assert_eq!(seconds(&mut clock, 99), 100);
        assert_eq!(seconds(&mut clock, 40), 100);
        assert_eq!(seconds(&mut clock, 101), 101);
    }

    #[test]
    fn a_clock_that_was_set_back_goes_on_from_the_latest() {
        let mut clock = PbxClock::new();
        assert_eq!(seconds(&mut clock, 4000), 4000);
        let mut last = PbxTime::from_micros(4_000_000_000);
        for at in [400, 400, 400] {
            let next = clock.time_of(&event(Some(at), b"1.1"), None).unwrap();
            assert!(next > last && next.since(last) < DISORDER, "{next} after {last}");
            last = next;
        }
        assert_eq!(seconds(&mut clock, 405), 4005);
    }

    #[test]
    fn without_timestamps_the_uniqueids_tell() {
        let mut clock = PbxClock::new();
        let at = clock.time_of(&event(None, b"pbx-a-1529936141.21"), None);
        assert_eq!(at, Some(PbxTime::from_micros(1_529_936_141_000_000)));
        assert_eq!(clock.source(), TimeSource::Estimated);
    }

    #[test]
    fn the_end_of_a_call_is_known_by_its_cdr_in_any_time_zone() {
        let mut clock = PbxClock::new();
        let (started, ended) = (&b"2018-06-25 17:15:43"[..], &b"2018-06-25 17:16:11"[..]);
        let cdr = Cdr { uniqueid: b"pbx-a-1529936141.21", started, ended, ..Cdr::default() };
        let at = clock.time_of(&Event { at: None, what: What::Cdr(cdr) }, None);
        assert_eq!(at, Some(PbxTime::from_micros(1_529_936_171_000_000)), "30 s later, two of them waiting");
    }

    #[test]
    fn one_event_from_the_future_spoils_nothing_else() {
        let mut clock = PbxClock::new();
        assert_eq!(seconds(&mut clock, 100), 100);
        assert_eq!(seconds(&mut clock, 4_102_444_800), 4_102_444_800);
        assert_eq!(seconds(&mut clock, 101), 101);
        assert_eq!(clock.take_rewound(), Some(PbxTime::from_micros(101_000_000)));
        assert_eq!((seconds(&mut clock, 102), clock.shift()), (102, 0));
    }

    #[test]
    fn a_quiet_night_is_no_mistake() {
        let mut clock = PbxClock::new();
        assert_eq!(seconds(&mut clock, 100), 100);
        assert_eq!(seconds(&mut clock, 30_000), 30_000);
        assert_eq!(seconds(&mut clock, 30_001), 30_001);
        assert_eq!((seconds(&mut clock, 200), clock.take_rewound()), (30_001, None));
    }

    #[test]
    fn the_shift_of_a_clock_that_was_set_back_is_known() {
        let mut clock = PbxClock::new();
        for at in [4000, 400, 400, 400] {
            seconds(&mut clock, at);
        }
        assert_eq!(clock.shift() / 1_000_000, 3600);
    }

    #[test]
    fn fully_booted_says_nothing_of_the_time() {
        let mut clock = PbxClock::new();
        let booted = Event { at: None, what: What::FullyBooted { uptime: Some(7) } };
        let arrived = PbxTime::from_micros(999_000_000);
        assert_eq!(clock.time_of(&booted, Some(arrived)), None);
        assert_eq!(seconds(&mut clock, 100), 100);
        assert_eq!(clock.take_rewound(), None);
    }

    #[test]
    fn an_arrival_never_mixes_with_timestamps() {
        let mut clock = PbxClock::new();
        seconds(&mut clock, 100);
        let arrived = PbxTime::from_micros(999_000_000);
        assert_eq!(
            clock.time_of(&event(None, b"1.1"), Some(arrived)),
            Some(PbxTime::from_micros(100_000_000))
        );
    }
    #[test]
    fn times_go_on_by_arrival_when_timestamps_are_switched_off() {
        let mut clock = PbxClock::new();
        seconds(&mut clock, 100);
        let mut at = |micros| clock.time_of(&event(None, b"1.1"), Some(PbxTime::from_micros(micros)));
        let times =
            [200_000_000, 201_000_000, 202_000_000, 203_000_000].map(|micros| at(micros).unwrap().micros());
        assert_eq!(times, [100_000_000, 100_000_000, 202_000_000, 203_000_000]);
        assert_eq!(clock.source(), TimeSource::Arrival);
        assert_eq!(seconds(&mut clock, 204), 204, "and they may come back");
        assert_eq!(clock.source(), TimeSource::Event);
    }
}
