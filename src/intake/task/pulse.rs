//! What others see of an intake's work, without asking it: counters that it sets and never waits for.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::ami::event::kind::KINDS;
use crate::clock;
use crate::intake::reader::Stats;
use crate::intake::task::tally::Tally;
use crate::time::{HostTime, MonoTime, PbxTime};

/// The counters of one intake. Each is right by itself; together they may be of two moments.
#[derive(Debug, Default)]
pub struct Pulse {
    events: AtomicU64,
    open: AtomicU64,
    finished: AtomicU64,
    backlog: AtomicU64,
    /// In microseconds of this host's clock; 0 before the first.
    last_event: AtomicI64,
    /// When the intake last turned, in microseconds of the monotonic clock.
    turned: AtomicU64,
    /// In microseconds.
    lag: AtomicI64,
    kinds: [AtomicU64; KINDS.len()],
    /// 0: not known, 1: without, 2: with.
    timestamps: AtomicU8,
    /// Held for moments only: who looks at it copies it.
    tally: Mutex<Tally>,
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
    /// Events by their places in [`KINDS`].
    pub kinds: [u64; KINDS.len()],
    /// Whether events carry a `Timestamp`.
    pub timestamps: Option<bool>,
}

impl Pulse {
    /// Notes what the reader has done by now; `arrived` is the PBX's time at which its last bytes came.
    pub(super) fn beat(&self, stats: &Stats, arrived: Option<PbxTime>, backlog: usize) {
        let is_news = self.events.swap(stats.events, Relaxed) != stats.events;
        self.open.store(stats.open as u64, Relaxed);
        self.finished.store(stats.finished, Relaxed);
        self.backlog.store(backlog as u64, Relaxed);
        let timestamps = stats.timestamps.map_or(0, |carried| if carried { 2 } else { 1 });
        self.timestamps.store(timestamps, Relaxed);
        if is_news {
            for (shown, count) in self.kinds.iter().zip(stats.kinds) {
                shown.store(count, Relaxed);
            }
            self.last_event.store(clock::host().micros(), Relaxed);
            let lag = arrived.zip(stats.last).map(|(arrived, last)| arrived.micros() - last.micros());
            self.lag.store(lag.unwrap_or(0), Relaxed);
        }
    }

    /// When the intake last had a turn, `None` before the first: it has one every [`TURN_EVERY`](super::TURN_EVERY) at least.
    pub fn turned(&self) -> Option<MonoTime> {
        let turned = self.turned.load(Relaxed);
        (turned != 0).then(|| MonoTime::from_micros(turned))
    }

    /// Notes that the intake has a turn.
    pub(crate) fn turn(&self) {
        self.turned.store(clock::mono().micros(), Relaxed);
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
            kinds: std::array::from_fn(|place| self.kinds[place].load(Relaxed)),
            timestamps: match self.timestamps.load(Relaxed) {
                0 => None,
                known => Some(known == 2),
            },
        }
    }

    /// Adds calls that ended.
    pub(super) fn count(&self, calls: Tally) {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).merge(calls);
    }

    /// The calls that ended since the start.
    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
