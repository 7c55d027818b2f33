//! Pure: times in which nobody watched a PBX.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::id::PbxName;
use crate::time::{MonoTime, PbxTime, micros};

/// The PBX was not watched: what began and ended in between was not seen.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Gap {
    pub pbx: PbxName,
    #[serde(with = "micros")]
    pub from: PbxTime,
    #[serde(with = "micros")]
    pub to: PbxTime,
}

/// Notes until when everything of a PBX was seen.
#[derive(Clone, Debug)]
pub struct Watch {
    pbx: PbxName,
    seen: Option<PbxTime>,
    /// When that was by a clock that nobody sets; not known of an earlier process.
    heard: Option<MonoTime>,
    is_open: bool,
}

/// What the PBX did so short before its last word may not have reached us.
const SLACK: Duration = Duration::from_secs(1);

/// As much as a zone that was taken for another one; by default the search for a gap's calls looks back further.
const SET_BACK_MOST: Duration = Duration::from_hours(14);

impl Gap {
    pub fn length(&self) -> Duration {
        self.to.since(self.from)
    }
}

impl Watch {
    /// `last` is the time of the last event that an earlier process saw; nothing is missed before a
    /// first start.
    pub fn new(pbx: PbxName, last: Option<PbxTime>) -> Self {
        Self { pbx, seen: last, heard: None, is_open: false }
    }

    /// The connection is lost, or is to be made.
    pub fn lost(&mut self) {
        self.is_open = false;
    }

    /// Logged in, the PBX says that it is `now` there, and it is `mono` here. The gap that ends here, if
    /// there was one.
    pub fn alive(&mut self, now: PbxTime, mono: MonoTime) -> Option<Gap> {
        let heard = self.heard.replace(mono);
        let before = self.seen.replace(PbxTime::from_micros(now.micros() - MICROS));
        if std::mem::replace(&mut self.is_open, true) {
            // Between two words of one connection nothing is missed, and its clock may be set.
            return None;
        }
        let before = before?;
        let passed = heard.map(|heard| i64::try_from(mono.since(heard).as_micros()).unwrap_or(i64::MAX));
        let from = match passed.map(|passed| now.micros().saturating_sub(passed).saturating_sub(MICROS)) {
            Some(by_now) => before.min(PbxTime::from_micros(by_now)),
            None if before < now => before,
            None => return None,
        };
        // A clock that was set back in between wrote some records by its time of before. Of one that was wrong by
        // more, that time is so far from now that the search would not come to now.
        Some(Gap { pbx: self.pbx.clone(), from, to: now.max(before.min(now.after(SET_BACK_MOST))) })
    }
}

const MICROS: i64 = SLACK.as_secs().cast_signed() * 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> PbxTime {
        PbxTime::from_micros(seconds * 1_000_000)
    }

    fn mono(seconds: u64) -> MonoTime {
        MonoTime::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_gap_is_from_the_last_word_to_the_next() {
        let mut watch = Watch::new(PbxName::default(), None);
        assert_eq!(watch.alive(at(100), mono(1)), None, "nothing is missed before a first start");
        assert_eq!(watch.alive(at(160), mono(61)), None);
        watch.lost();
        let gap = watch.alive(at(190), mono(91)).unwrap();
        assert_eq!((gap.from, gap.to, gap.length().as_secs()), (at(159), at(190), 31));
    }

    #[test]
    fn a_restart_is_a_gap() {
        let gap = Watch::new(PbxName::default(), Some(at(100))).alive(at(160), mono(1)).unwrap();
        assert_eq!((gap.from, gap.to), (at(100), at(160)));
    }

    #[test]
    fn a_clock_that_was_set_back_hides_no_gap() {
        let mut watch = Watch::new(PbxName::default(), Some(at(100)));
        assert_eq!(
            watch.alive(at(50), mono(1)),
            None,
            "of an earlier process nobody knows how long ago it was"
        );
        watch.lost();
        assert_eq!(watch.alive(at(60), mono(11)).map(|gap| gap.from), Some(at(49)));
        watch.lost();
        // Half a minute later, and its clock was set back by twenty seconds, then by an hour.
        let gap = watch.alive(at(70), mono(41)).unwrap();
        assert_eq!((gap.from, gap.to), (at(39), at(70)));
        watch.lost();
        let gap = watch.alive(at(-3500), mono(71)).unwrap();
        assert_eq!((gap.from, gap.to), (at(-3531), at(69)), "some records are by the clock of before");
        watch.lost();
        let day = 24 * 3600;
        let gap = watch.alive(at(-5 * day), mono(101)).unwrap();
        assert_eq!((gap.from, gap.to), (at(-5 * day - 31), at(-5 * day + 14 * 3600)), "it was wrong by days");
    }
}
