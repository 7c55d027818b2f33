//! Pure: times of a clock whose zone nobody tells, as call detail records have them.
//!
//! A channel's uniqueid holds the epoch at which it was made. Zones differ from UTC by whole quarters of
//! an hour, so a local time and the epoch of the same moment, give or take some minutes, tell the zone.

/// Every zone of today is a whole number of these ahead of UTC, or behind it; in microseconds.
pub const QUARTER: i64 = 15 * 60 * 1_000_000;

/// Reads `2026-11-22 09:13:11`, with a fraction of a second or without; in microseconds since 1970 by the
/// same clock.
pub fn parse(text: &str) -> Option<i64> {
    let time: jiff::civil::DateTime = text.trim().parse().ok()?;
    let at = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    (at.as_microsecond() > 0).then_some(at.as_microsecond())
}

/// How far the clock that shows `local` is ahead of UTC, if it was `epoch` at that moment, or up to seven
/// minutes before or after; all in microseconds.
pub fn offset(local: i64, epoch: i64) -> i64 {
    local.saturating_sub(epoch).saturating_add(QUARTER / 2).div_euclid(QUARTER) * QUARTER
}

/// Writes microseconds by a local clock as [`parse`] reads them, in whole seconds.
pub fn text(local: i64) -> String {
    match jiff::Timestamp::from_microsecond(local) {
        Ok(at) => jiff::tz::TimeZone::UTC.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => "9999-12-31 23:59:59".to_owned(), // later than any record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: i64 = 1_529_936_141_000_000;

    #[test]
    fn an_offset_is_whole_quarters_of_an_hour() {
        for (local, hours) in [
            ("2018-06-25 17:15:43", 3.0),
            ("2018-06-25 14:15:41", 0.0),
            ("2018-06-25 10:45:41", -3.5),
            ("2018-06-25 20:00:45.5", 5.75),
        ] {
            #[expect(clippy::cast_precision_loss, reason = "a day has few microseconds")]
            let found = offset(parse(local).unwrap(), MADE) as f64 / 3.6e9;
            assert!((found - hours).abs() < 1e-9, "{local}: {found}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "0000-00-00 00:00:00", "soon", "2018-13-01 00:00:00", "1969-01-01 00:00:00"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("2018-06-25 17:15:43").map(text).as_deref(), Some("2018-06-25 17:15:43"));
    }
}
