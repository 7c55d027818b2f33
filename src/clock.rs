//! The only place that reads the clocks. Runs on any task; nothing here blocks.
//!
//! Monotonic time is tokio's, so that tests with paused time move it by hand.

#![expect(clippy::disallowed_methods, reason = "this is the place")]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::time::{HostTime, MonoTime};

/// The origin of [`MonoTime`]. It lies a day before its first use: a paused clock of a test may have
/// been read a little earlier than this one.
static ORIGIN: LazyLock<Instant> = LazyLock::new(|| {
    let now = Instant::now();
    now.checked_sub(Duration::from_hours(24)).unwrap_or(now)
});

/// Returns this host's wall clock.
pub fn host() -> HostTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    HostTime::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

/// Returns the monotonic clock.
pub fn mono() -> MonoTime {
    let since_origin = Instant::now().saturating_duration_since(*ORIGIN);
    MonoTime::from_micros(u64::try_from(since_origin.as_micros()).unwrap_or(u64::MAX))
}

/// Returns how far this host's local time is ahead of UTC now, in seconds.
#[expect(unsafe_code, reason = "localtime_r(3) has no safe form in std")]
pub fn utc_offset() -> i32 {
    let seconds = host().seconds();
    let mut local = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to values of ours; all bits zero are a `tm`, so it is one whatever is written.
    let gmtoff = unsafe {
        libc::localtime_r(&raw const seconds, local.as_mut_ptr());
        local.assume_init().tm_gmtoff
    };
    i32::try_from(gmtoff).unwrap_or(0)
}

/// Waits until `at`; for ever when there is no such moment. Cancel safe.
pub async fn sleep_until(at: Option<MonoTime>) {
    match at {
        Some(at) => tokio::time::sleep_until(*ORIGIN + Duration::from_micros(at.micros())).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_moves_monotonic_time_to_the_moment() {
        let start = mono();
        sleep_until(Some(start.after(Duration::from_secs(90)))).await;
        assert_eq!(mono().since(start).as_secs(), 90);
    }

    #[test]
    fn local_time_is_within_a_day_of_utc() {
        let offset = utc_offset();
        assert!(offset.abs() < 24 * 3600 && offset % (15 * 60) == 0, "{offset}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_moment_means_no_end() {
        let waiting = tokio::time::timeout(Duration::from_secs(1_000_000), sleep_until(None)).await;
        assert!(waiting.is_err());
    }
}
