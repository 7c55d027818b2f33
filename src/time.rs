//! Pure: three kinds of time that must never be mixed.
//!
//! A call's times are the PBX's ([`PbxTime`]); what the outbox and amoCRM see is the host's
//! ([`HostTime`]); waiting is measured on a clock that never steps ([`MonoTime`]). No function
//! here reads a clock: time is an argument.

pub mod local;
pub mod micros;
pub mod span;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment by the PBX's clock, in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PbxTime(i64);

/// A moment by this host's wall clock, in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(transparent)]
pub struct HostTime(i64);

/// A moment by a monotonic clock, in microseconds since an origin that the shell chose.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MonoTime(u64);

impl PbxTime {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads AMI's `seconds.microseconds` (`Timestamp:` of events and of `Ping`'s reply); a
    /// fraction of any length, or none, is accepted.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (whole, fraction) = match memchr::memchr(b'.', text) {
            Some(dot) => (&text[..dot], &text[dot + 1..]),
            None => (text, &[][..]),
        };
        // Eleven digits of seconds reach the year 5138; more is no time.
        if whole.is_empty() || whole.len() > 11 {
            return None;
        }
        let mut micros = digits(whole)?;
        for place in 0..6 {
            micros = micros * 10 + fraction.get(place).map_or(Some(0), |d| digit(*d))?;
        }
        fraction.iter().all(u8::is_ascii_digit).then_some(Self(micros))
    }

    /// The time from `earlier` to `self`; zero when the clock stepped back in between.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(micros(wait)))
    }

    pub fn before(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(micros(wait)))
    }

    /// Maps to the host's clock, which is `offset` microseconds ahead of the PBX's.
    pub fn to_host(self, offset: i64) -> HostTime {
        HostTime(self.0.saturating_add(offset))
    }
}

impl HostTime {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, as amoCRM's `created_at` wants them.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(micros(wait)))
    }

    pub fn before(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(micros(wait)))
    }
}

impl MonoTime {
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    pub const fn micros(self) -> u64 {
        self.0
    }

    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// `2026-11-22T09:13:11.389Z`: UTC, milliseconds, as the JSON lines carry it.
impl fmt::Display for PbxTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_utc(f, self.0)
    }
}

impl fmt::Display for HostTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_utc(f, self.0)
    }
}

impl Serialize for PbxTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PbxTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        // As `write_utc` writes what no calendar has.
        if let Some(micros) = text.strip_suffix("us").and_then(|micros| micros.parse().ok()) {
            return Ok(Self(micros));
        }
        let at: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(at.as_microsecond()))
    }
}

fn write_utc(f: &mut fmt::Formatter<'_>, micros: i64) -> fmt::Result {
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(at) => write!(f, "{at:.3}"),
        Err(_) => write!(f, "{micros}us"), // beyond year 9999: only hostile input gets here
    }
}

fn micros(wait: Duration) -> i64 {
    i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |sum, d| Some(sum * 10 + digit(*d)?))
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(PbxTime::parse(text.as_bytes()).map(PbxTime::micros), expected, "{text}");
    }

    #[test]
    fn timestamps_are_seconds_and_microseconds() {
        check("1795339565.437709", Some(1_795_339_565_437_709));
        check("1795339565.4", Some(1_795_339_565_400_000));
        check("1795339565", Some(1_795_339_565_000_000));
        check("1795339565.4377091", Some(1_795_339_565_437_709));
        check("", None);
        check(".5", None);
        check("1795339565.x", None);
        check("1795339565.437709x", None);
        check("-1.0", None);
        check("99999999999999999999.0", None);
    }

    #[test]
    fn a_time_is_printed_in_utc_with_milliseconds() {
        let at = PbxTime::from_micros(1_795_338_791_389_456);
        assert_eq!(at.to_string(), "2026-11-22T09:13:11.389Z");
        let back: PbxTime = serde_json::from_str("\"2026-11-22T09:13:11.389Z\"").unwrap();
        assert_eq!(back, PbxTime::from_micros(1_795_338_791_389_000));
    }

    #[test]
    fn a_time_that_no_calendar_has_is_read_as_it_was_written() {
        for micros in [i64::MIN, -400_000_000_000_000_000, 300_000_000_000_000_000, i64::MAX] {
            let at = PbxTime::from_micros(micros);
            let json = serde_json::to_string(&at).unwrap();
            assert_eq!(serde_json::from_str::<PbxTime>(&json).unwrap(), at, "{json}");
        }
    }

    #[test]
    fn a_clock_that_steps_back_gives_no_negative_duration() {
        let (early, late) = (PbxTime::from_micros(5), PbxTime::from_micros(9));
        assert_eq!(late.since(early), Duration::from_micros(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
