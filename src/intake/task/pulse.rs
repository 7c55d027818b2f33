//! What others see of an intake's work, without asking it: counters that it sets and never waits for.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::clock;
use crate::intake::reader::Stats;
use crate::time::{HostTime, PbxTime};

/// The counters of one intake. Each is right by itself; together they may be of two moments.
#[derive(Debug, Default)]
pub struct Pulse {
    events: AtomicU64,
    open: AtomicU64,
    finished: AtomicU64,
    backlog: AtomicU64,
    /// In microseconds of this host's clock; 0 before the first.
    last_event: AtomicI64,
    /// In microseconds.
    lag: AtomicI64,
}

/// A look at them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Beat {
    /// Events that were read since the start.
    pub events: u64,
    /// Calls in progress.
    pub open: u64,
    /// Calls that ended since the start.
    pub finished: u64,
    /// Ended calls that wait in memory.
    pub backlog: u64,
    /// When the last event was read.
    pub last_event: Option<HostTime>,
    /// How much later it was read than written, in microseconds.
    pub lag: i64,
}

impl Pulse {
    /// Notes what the reader has done by now; `arrived` is the PBX's time at which its last bytes came.
    pub(super) fn beat(&self, stats: &Stats, arrived: Option<PbxTime>, backlog: usize) {
        let is_news = self.events.swap(stats.events, Relaxed) != stats.events;
        self.open.store(stats.open as u64, Relaxed);
        self.finished.store(stats.finished, Relaxed);
        self.backlog.store(backlog as u64, Relaxed);
        if is_news {
            self.last_event.store(clock::host().micros(), Relaxed);
            let lag = arrived.zip(stats.last).map(|(arrived, last)| arrived.micros() - last.micros());
            self.lag.store(lag.unwrap_or(0), Relaxed);
        }
    }

    pub fn look(&self) -> Beat {
        let last = self.last_event.load(Relaxed);
        Beat {
            events: self.events.load(Relaxed),
            open: self.open.load(Relaxed),
            finished: self.finished.load(Relaxed),
            backlog: self.backlog.load(Relaxed),
            last_event: (last != 0).then(|| HostTime::from_micros(last)),
            lag: self.lag.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_that_of_the_last_event() {
        let pulse = Pulse::default();
        assert_eq!(pulse.look(), Beat::default());
        let at = PbxTime::from_micros;
        let mut stats = Stats { events: 3, open: 1, last: Some(at(5_000_000)), ..Stats::default() };
        pulse.beat(&stats, Some(at(5_200_000)), 2);
        let beat = pulse.look();
        assert_eq!((beat.events, beat.open, beat.backlog, beat.lag), (3, 1, 2, 200_000));
        assert!(beat.last_event.is_some());
        // Bytes without an event of ours say nothing of the way that events take.
        stats.open = 0;
        pulse.beat(&stats, Some(at(9_000_000)), 0);
        assert_eq!((pulse.look().lag, pulse.look().open), (200_000, 0));
    }
}
