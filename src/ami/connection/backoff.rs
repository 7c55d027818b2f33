//! Pure: how long to wait before the next try to reach the PBX.

use std::time::Duration;

use crate::ami::session::Retry;

/// Counts failures in a row; each kind has its own growth.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Backoff {
    soon: u32,
    late: u32,
}

const SOON_MIN: Duration = Duration::from_secs(1);
const SOON_MAX: Duration = Duration::from_mins(1);

/// FreePBX and MikoPBX ban hosts that fail to log in a few times within minutes.
const LATE_MIN: Duration = Duration::from_mins(1);
const LATE_MAX: Duration = Duration::from_hours(1);

impl Backoff {
    /// The pause after one more failure. `random` in 0..1 spreads the daemons of one office, which
    /// all lose their PBX at the same moment, over a quarter of the pause.
    pub fn pause(&mut self, retry: Retry, random: f64) -> Duration {
        let pause = match retry {
            Retry::Soon => grown(SOON_MIN, SOON_MAX, &mut self.soon),
            Retry::Late => grown(LATE_MIN, LATE_MAX, &mut self.late),
        };
        pause + pause.mul_f64(random.clamp(0.0, 1.0) / 4.0)
    }

    /// A connection lasted: the next failure is the first of its row.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// `least`, doubled for every failure before, at most `most`.
fn grown(least: Duration, most: Duration, failures: &mut u32) -> Duration {
    let pause = least.saturating_mul(1u32.checked_shl(*failures).unwrap_or(u32::MAX)).min(most);
    *failures = failures.saturating_add(1);
    pause
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(retry: Retry, count: usize, random: f64) -> Vec<u64> {
        let mut backoff = Backoff::default();
        (0..count).map(|_| backoff.pause(retry, random).as_secs()).collect()
    }

    #[test]
    fn pauses_double_from_a_second_to_a_minute() {
        assert_eq!(pauses(Retry::Soon, 9, 0.0), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_failed_login_waits_a_minute_and_then_longer() {
        assert_eq!(pauses(Retry::Late, 8, 0.0), [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(pauses(Retry::Late, 40, 0.0).last(), Some(&3600));
    }

    #[test]
    fn chance_only_lengthens_a_pause() {
        assert_eq!(pauses(Retry::Late, 3, 1.0), [75, 150, 300]);
    }

    #[test]
    fn a_connection_that_lasted_starts_the_row_again() {
        let mut backoff = Backoff::default();
        backoff.pause(Retry::Soon, 0.0);
        backoff.pause(Retry::Soon, 0.0);
        backoff.reset();
        assert_eq!(backoff.pause(Retry::Soon, 0.0), SOON_MIN);
    }
}
