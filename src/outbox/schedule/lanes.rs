//! Pure: waiting calls of one kind, a lane for each PBX, so that one which floods the queue keeps
//! nobody else's calls waiting.

use std::collections::BTreeSet;

use crate::outbox::queue::Seq;
use crate::time::HostTime;

/// A lane for each PBX, by its index.
#[derive(Debug, Default)]
pub(super) struct Lanes(Vec<Lane>);

/// Calls of one PBX. `ready` are those of `all` that are due at `horizon`, so that a lease costs what
/// it returns, however long the queue is.
#[derive(Debug, Default)]
struct Lane {
    all: BTreeSet<(HostTime, Seq)>,
    ready: BTreeSet<Seq>,
    horizon: HostTime,
}

impl Lanes {
    pub fn insert(&mut self, pbx: usize, at: HostTime, seq: Seq) {
        if self.0.len() <= pbx {
            self.0.resize_with(pbx + 1, Lane::default);
        }
        self.0[pbx].insert(at, seq);
    }

    pub fn remove(&mut self, pbx: usize, at: HostTime, seq: Seq) {
        if let Some(lane) = self.0.get_mut(pbx) {
            lane.remove(at, seq);
        }
    }

    /// When the first call is due.
    pub fn first(&self) -> Option<HostTime> {
        self.0.iter().filter_map(|lane| lane.all.first()).map(|(at, _)| *at).min()
    }

    /// At most `limit` due calls: the first of each PBX, then the second of each, and so on. They are
    /// returned in the order in which they came.
    pub fn due(&mut self, limit: usize, now: HostTime) -> Vec<Seq> {
        let mut due: Vec<(usize, Seq)> = Vec::new();
        for lane in &mut self.0 {
            due.extend(lane.due(limit, now).into_iter().enumerate());
        }
        due.sort_unstable();
        let mut due: Vec<Seq> = due.into_iter().take(limit).map(|(_, seq)| seq).collect();
        due.sort_unstable();
        due
    }
}

impl Lane {
    fn insert(&mut self, at: HostTime, seq: Seq) {
        self.all.insert((at, seq));
        if at <= self.horizon {
            self.ready.insert(seq);
        }
    }

    fn remove(&mut self, at: HostTime, seq: Seq) {
        self.all.remove(&(at, seq));
        self.ready.remove(&seq);
    }

    fn due(&mut self, limit: usize, now: HostTime) -> Vec<Seq> {
        self.look_from(now);
        self.ready.iter().take(limit).copied().collect()
    }

    /// Moves the horizon, back too when the clock was set back.
    fn look_from(&mut self, now: HostTime) {
        let (low, high) = (now.min(self.horizon), now.max(self.horizon));
        let between = self.all.range((low, Seq(0))..=(high, Seq(u64::MAX)));
        for &(at, seq) in between {
            if at <= now {
                self.ready.insert(seq);
            } else {
                self.ready.remove(&seq);
            }
        }
        self.horizon = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> HostTime {
        HostTime::from_micros(second * 1_000_000)
    }

    fn due(lanes: &mut Lanes, limit: usize, second: i64) -> Vec<u64> {
        lanes.due(limit, at(second)).into_iter().map(|seq| seq.0).collect()
    }

    #[test]
    fn a_pbx_that_floods_the_queue_takes_turns_with_the_others() {
        let mut lanes = Lanes::default();
        (0..100).for_each(|seq| lanes.insert(0, at(1), Seq(seq)));
        lanes.insert(1, at(2), Seq(100));
        lanes.insert(2, at(2), Seq(101));
        lanes.insert(2, at(2), Seq(102));
        assert_eq!(due(&mut lanes, 6, 1), [0, 1, 2, 3, 4, 5]);
        assert_eq!(due(&mut lanes, 6, 2), [0, 1, 2, 100, 101, 102]);
        assert_eq!(due(&mut lanes, 2, 2), [0, 100]);
        assert_eq!(due(&mut lanes, 1000, 2).len(), 103);
        lanes.remove(1, at(2), Seq(100));
        assert_eq!(due(&mut lanes, 4, 2), [0, 1, 101, 102]);
    }

    #[test]
    fn the_first_is_the_first_of_all() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.first(), None);
        lanes.insert(3, at(7), Seq(1));
        lanes.insert(0, at(9), Seq(0));
        assert_eq!(lanes.first(), Some(at(7)));
        lanes.remove(3, at(7), Seq(1));
        assert_eq!(lanes.first(), Some(at(9)));
        assert_eq!(due(&mut lanes, 9, 8), [0; 0]);
    }
}
