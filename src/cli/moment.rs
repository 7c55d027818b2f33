//! Times as people write them on a command line.

use std::time::Duration;

use crate::cli::Usage;
use crate::time::{HostTime, PbxTime};

/// Reads a time: with an offset, without one (UTC), or how long ago.
///
/// # Errors
/// When it is none.
pub(super) fn moment(text: &str, now: HostTime) -> Result<PbxTime, Usage> {
    let ago: Option<jiff::SignedDuration> = text.parse().ok();
    if let Some(ago) = ago.and_then(|ago| Duration::try_from(ago).ok()) {
        return Ok(PbxTime::from_micros(now.before(ago).micros()));
    }
    let at = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let time: jiff::civil::DateTime = text.parse().ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(time).ok()
    });
    let at = at.ok_or_else(|| {
        Usage(format!(
            "{text:?} is no time: write it as 2026-11-28T07:00:00Z, '2026-11-28 07:00' (UTC) or 3h"
        ))
    })?;
    Ok(PbxTime::from_micros(at.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let now = HostTime::from_micros(1_795_339_565_000_000);
        assert_eq!(moment(text, now).ok().map(|at| at.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        check("0s", Some("2026-11-22T09:26:05.000Z"));
        check("1h 30m", Some("2026-11-22T07:56:05.000Z"));
        check("2026-11-22T12:00:00+03:00", Some("2026-11-22T09:00:00.000Z"));
        check("2026-11-22 09:00", Some("2026-11-22T09:00:00.000Z"));
        check("2026-11-22", Some("2026-11-22T00:00:00.000Z"));
        check("yesterday", None);
    }
}
