//! Pure: what time it is on the PBX between two events.

use std::time::Duration;

use crate::time::{MonoTime, PbxTime};

/// Maps between the PBX's clock and the monotonic one, by the last event that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PbxNow {
    event: PbxTime,
    arrived: MonoTime,
}

impl PbxNow {
    /// The last event happened at `event` and came at `arrived`.
    pub fn new(event: PbxTime, arrived: MonoTime) -> Self {
        Self { event, arrived }
    }

    /// The time of the last event and what has passed since it came. An event that was held up
    /// makes this late, so deadlines fire late and never early.
    pub fn now(self, mono: MonoTime) -> PbxTime {
        self.event.after(mono.since(self.arrived))
    }

    /// When it will be `due` on the PBX. A little later rather than earlier: a deadline that was
    /// missed by a microsecond would be slept for again.
    pub fn when(self, due: PbxTime) -> MonoTime {
        self.arrived.after(due.since(self.event) + Duration::from_millis(1))
    }

    /// The last event's time.
    pub fn event(self) -> PbxTime {
        self.event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: fn() -> PbxNow = || PbxNow::new(PbxTime::from_micros(5_000_000), MonoTime::from_micros(70));

    #[test]
    fn time_goes_on_between_events() {
        assert_eq!(NOW().now(MonoTime::from_micros(1_000_070)), PbxTime::from_micros(6_000_000));
    }

    #[test]
    fn a_deadline_is_over_when_its_moment_comes() {
        let due = PbxTime::from_micros(8_000_000);
        let moment = NOW().when(due);
        assert!(NOW().now(moment) >= due);
        assert!(moment.since(MonoTime::from_micros(70)) <= Duration::from_millis(3_001));
    }

    #[test]
    fn a_deadline_of_the_past_is_due_at_once() {
        assert!(NOW().when(PbxTime::from_micros(1)) <= MonoTime::from_micros(1_070));
    }
}
