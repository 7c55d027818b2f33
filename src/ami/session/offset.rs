//! Pure: how far the PBX's clock is from this host's, measured by pings.

use std::time::Duration;

use crate::time::{HostTime, PbxTime};

/// The smoothed difference of the two clocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Offset {
    /// PBX clock minus host clock, in microseconds: positive when the PBX is ahead.
    pub pbx_ahead: i64,
    /// Round trip of the last ping; the measurement is off by at most half of it.
    pub round_trip: Duration,
}

/// A sample that differs by more than this (and half its round trip) is a clock that was set, not
/// noise of the network: it is taken over at once.
const STEP: i64 = 250_000;

/// Weight of a new sample, as the divisor of the difference: with a ping every ten seconds, a slow
/// drift is followed within two minutes.
const SMOOTHING: i64 = 8;

impl Offset {
    /// The offset by one ping: `pbx` is the reply's `Timestamp`, `arrived` the host time of the
    /// reply. The PBX is taken to have read its clock in the middle of the round trip.
    pub fn measured(pbx: PbxTime, arrived: HostTime, round_trip: Duration) -> Self {
        let half = half_micros(round_trip);
        let pbx_ahead = pbx.micros().saturating_sub(arrived.micros().saturating_sub(half));
        Self { pbx_ahead, round_trip }
    }

    /// The estimate after one more sample.
    #[must_use]
    pub fn smoothed(self, sample: Self) -> Self {
        let change = sample.pbx_ahead.saturating_sub(self.pbx_ahead);
        if change.saturating_abs() > STEP.saturating_add(half_micros(sample.round_trip)) {
            return sample;
        }
        Self { pbx_ahead: self.pbx_ahead + change / SMOOTHING, ..sample }
    }

    /// The PBX's time when this host's clock shows `host`.
    pub fn to_pbx(self, host: HostTime) -> PbxTime {
        PbxTime::from_micros(host.micros().saturating_add(self.pbx_ahead))
    }

    /// Host clock minus PBX clock, in microseconds, as [`PbxTime::to_host`] takes it.
    pub fn host_ahead(self) -> i64 {
        self.pbx_ahead.saturating_neg()
    }
}

fn half_micros(round_trip: Duration) -> i64 {
    i64::try_from(round_trip.as_micros() / 2).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn sample(pbx_ahead: i64, round_trip: u64) -> Offset {
        Offset { pbx_ahead, round_trip: Duration::from_micros(round_trip) }
    }

    #[test]
    fn the_pbx_reads_its_clock_in_the_middle_of_the_round_trip() {
        let pbx = PbxTime::from_micros(100 * SECOND);
        let arrived = HostTime::from_micros(97 * SECOND + 2_000);
        let offset = Offset::measured(pbx, arrived, Duration::from_millis(4));
        assert_eq!(offset.pbx_ahead, 3 * SECOND);
        assert_eq!(offset.to_pbx(HostTime::from_micros(97 * SECOND)), pbx);
        assert_eq!(pbx.to_host(offset.host_ahead()).micros(), 97 * SECOND);
    }

    #[test]
    fn noise_moves_the_estimate_by_an_eighth() {
        assert_eq!(sample(1_000, 300).smoothed(sample(9_000, 300)).pbx_ahead, 2_000);
    }

    #[test]
    fn a_clock_that_was_set_is_believed_at_once() {
        assert_eq!(sample(1_000, 300).smoothed(sample(-60 * SECOND, 300)).pbx_ahead, -60 * SECOND);
    }

    #[test]
    fn a_slow_reply_is_no_step() {
        let slow = sample(SECOND, 2_000_000);
        assert_eq!(sample(0, 300).smoothed(slow).pbx_ahead, SECOND / 8);
    }

    #[test]
    fn absurd_times_do_not_overflow() {
        let far = Offset::measured(PbxTime::from_micros(i64::MAX), HostTime::from_micros(-1), Duration::MAX);
        let near = Offset::measured(PbxTime::from_micros(i64::MIN), HostTime::from_micros(1), Duration::ZERO);
        assert_eq!(far.smoothed(near), near);
        assert!(near.host_ahead() > 0);
    }
}
