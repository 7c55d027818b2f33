//! Pure: times as people write them on the command line.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, civil, tz};

use crate::cli::Usage;
use crate::time::{HostTime, PbxTime};

/// Reads a time: with an offset, without one (UTC), or how long ago, with a minus or without.
pub(super) fn moment(text: &str, now: HostTime) -> anyhow::Result<PbxTime> {
    if let Ok(span) = text.parse::<Span>() {
        return Ok(PbxTime::from_micros(now.before(length(text, span)?).micros()));
    }
    let at = text.parse::<Timestamp>().ok().or_else(|| {
        let time: civil::DateTime = text.parse().ok()?;
        tz::TimeZone::UTC.to_timestamp(time).ok()
    });
    let at = at.ok_or_else(|| {
        Usage(format!(
            "{text:?} is no time: write it as 2026-11-28T07:00:00Z, '2026-11-28 07:00' (UTC), or as so long ago: 3h, \
             -3h, '1h 30m', 30d"
        ))
    })?;
    Ok(PbxTime::from_micros(at.as_microsecond()))
}

/// Of 24 hours a day, and seven days a week.
fn length(text: &str, span: Span) -> Result<Duration, Usage> {
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map(SignedDuration::unsigned_abs);
    length.map_err(|_| {
        Usage(format!(
            "{text:?} has no length of its own, for months and years differ: write it in days, as 30d, or as a date"
        ))
    })
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

    #[test]
    fn how_long_ago_has_days_and_weeks_and_may_have_a_minus() {
        check("-3h", Some("2026-11-22T06:26:05.000Z"));
        check("30d", Some("2026-10-23T09:26:05.000Z"));
        check("-2w", Some("2026-11-08T09:26:05.000Z"));
        check("1d 2h", Some("2026-11-21T07:26:05.000Z"));
        check("3h ago", Some("2026-11-22T06:26:05.000Z"));
        for wrong in ["1mo", "1y", "3", "-3", "3 parsecs", "h", "--to", "99999999999999d", ""] {
            check(wrong, None);
        }
    }
}
