//! Pure: a length of time as people write it in the configuration: `"30s"`, `"10m"`, `"96h"`.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// A length of time; `"1h 30m"` in the configuration. Days are refused by name, because a day is
/// not always 24 hours.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no length of time: write it as \"30s\", \"10m\", \"4h\" or \"1h 30m\"")]
pub struct Error(String);

impl Span {
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    pub const fn from_hours(hours: u64) -> Self {
        Self::from_secs(hours * 3600)
    }

    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SignedDuration::try_from(self.0) {
            Ok(span) => write!(f, "{span:#}"),
            Err(_) => write!(f, "{}s", self.0.as_secs()), // longer than the age of the universe
        }
    }
}

impl TryFrom<String> for Span {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let span: Option<SignedDuration> = text.parse().ok();
        match span.and_then(|span| Duration::try_from(span).ok()) {
            Some(span) => Ok(Self(span)),
            None => Err(Error(text)),
        }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        let span = Span::try_from(text.to_owned()).ok();
        assert_eq!(span.map(|span| span.duration().as_millis()), expected.map(u128::from), "{text}");
    }

    #[test]
    fn a_span_is_written_with_its_units() {
        check("30s", Some(30_000));
        check("250ms", Some(250));
        check("10m", Some(600_000));
        check("96h", Some(96 * 3_600_000));
        check("1h 30m", Some(5_400_000));
        check("0s", Some(0));
        check("30", None);
        check("", None);
        check("-5s", None);
        check("soon", None);
    }

    #[test]
    fn a_span_is_printed_so_that_it_can_be_read_again() {
        for span in [Span::from_secs(90), Span::from_hours(96), Span::from_millis(1500), Span::default()] {
            assert_eq!(Span::try_from(span.to_string()), Ok(span));
        }
    }
}
