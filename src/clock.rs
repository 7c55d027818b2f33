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

    #[tokio::test(start_paused = true)]
    async fn no_moment_means_no_end() {
        let waiting = tokio::time::timeout(Duration::from_secs(1_000_000), sleep_until(None)).await;
        assert!(waiting.is_err());
    }
}
