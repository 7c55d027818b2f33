//! Pure: channels that are over and forgotten. What Asterisk still says of them, late or twice, must
//! not make them anew.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::time::PbxTime;

/// How long after its end a channel is remembered. Asterisk's own late events come within seconds; a
/// ChanSpy can hold some back for minutes.
const KEPT: Duration = Duration::from_mins(10);
/// Channels remembered at most: ten minutes of a PBX with fifty calls a second.
const KEPT_MAX: usize = 1 << 16;

/// Channels that a checkpoint names, and for how long: late events come within seconds.
const LATEST_MAX: usize = 64;
const LATEST: Duration = Duration::from_secs(20);

/// Remembers uniqueids by their hash: a false match costs one call in four thousand million million.
#[derive(Debug, Default)]
pub(super) struct Tombs {
    hashes: HashTable<u64>,
    order: VecDeque<(PbxTime, u64)>,
    /// The latest by name, for a checkpoint.
    latest: VecDeque<(PbxTime, Box<str>)>,
    hasher: RandomState,
}

impl Tombs {
    pub(super) fn add(&mut self, uniqueid: &[u8], at: PbxTime) {
        let hash = self.hasher.hash_one(uniqueid);
        if self.has(hash) {
            return;
        }
        self.hashes.insert_unique(hash, hash, |hash| *hash);
        self.latest.push_back((at, String::from_utf8_lossy(uniqueid).into()));
        while self.latest.len() > LATEST_MAX
            || self.latest.front().is_some_and(|(added, _)| at.since(*added) > LATEST)
        {
            self.latest.pop_front();
        }
        self.order.push_back((at, hash));
        while let Some(&(added, oldest)) = self.order.front()
            && (self.order.len() > KEPT_MAX || at.since(added) > KEPT)
        {
            self.order.pop_front();
            if let Ok(found) = self.hashes.find_entry(oldest, |hash| *hash == oldest) {
                found.remove();
            }
        }
    }

    /// The channels that ended last, by name.
    pub(super) fn recent(&self) -> Vec<String> {
        self.latest.iter().map(|(_, uniqueid)| uniqueid.to_string()).collect()
    }

    pub(super) fn holds(&self, uniqueid: &[u8]) -> bool {
        self.has(self.hasher.hash_one(uniqueid))
    }

    fn has(&self, hash: u64) -> bool {
        self.hashes.find(hash, |known| *known == hash).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_remembered_for_ten_minutes() {
        let at = |seconds: i64| PbxTime::from_micros(seconds * 1_000_000);
        let mut tombs = Tombs::default();
        tombs.add(b"1.1", at(0));
        tombs.add(b"1.1", at(300));
        tombs.add(b"1.2", at(599));
        assert!(tombs.holds(b"1.1") && tombs.holds(b"1.2") && !tombs.holds(b"1.3"));
        tombs.add(b"1.3", at(601));
        assert!(!tombs.holds(b"1.1") && tombs.holds(b"1.2"));
    }

    #[test]
    fn a_flood_forgets_the_oldest() {
        let mut tombs = Tombs::default();
        for channel in 0..=KEPT_MAX {
            tombs.add(channel.to_string().as_bytes(), PbxTime::from_micros(0));
        }
        assert!(!tombs.holds(b"0") && tombs.holds(b"1"));
        assert_eq!(tombs.order.len(), tombs.hashes.len());
    }
}
