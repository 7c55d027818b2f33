//! Pure: the log, as the admin socket tells of it and takes orders, and as the command line says it.

use serde::{Deserialize, Serialize};

use crate::ops::status::utc;
use crate::ops::words::Language;
use crate::time::HostTime;

/// The version of these forms; keys are only ever added.
pub const VERSION: u32 = 1;

/// Longest time for which a level is set, in seconds: a day.
pub const FOR_MAX: u64 = 24 * 3600;

/// The level of the log.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Now {
    pub level: String,
    /// That of the start, by the configuration or the environment.
    pub configured: String,
    /// When that one comes back by itself.
    #[serde(with = "utc::maybe")]
    pub until: Option<HostTime>,
}

/// The level of the log, as the socket says it.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Shown {
    pub v: u32,
    #[serde(flatten)]
    pub now: Now,
}

/// Which level is to be set.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// `None`: that of the start.
    #[serde(default)]
    pub level: Option<String>,
    /// For how long, in seconds; `None`: until the process ends.
    #[serde(default)]
    pub for_seconds: Option<u64>,
    /// Who says so; the daemon adds the user that it sees.
    pub by: String,
}

/// Under which name a number stands in the log.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Name {
    pub v: u32,
    /// `None`: the key of names cannot be used, or it is no number.
    pub phone_hash: Option<String>,
}

/// What is set, in a line.
pub fn line(now: &Now, language: Language) -> String {
    let Now { level, configured, until } = now;
    match until {
        Some(until) => language.pick(
            format!("level: {level}, until {until}, then {configured} again"),
            format!("уровень: {level}, до {until}, затем снова {configured}"),
        ),
        None if level == configured => language
            .pick(format!("level: {level}, as at the start"), format!("уровень: {level}, как при запуске")),
        None => language.pick(
            format!("level: {level}, until the next start; it was {configured} at the start"),
            format!("уровень: {level}, до следующего запуска; при запуске был {configured}"),
        ),
    }
}

/// The command that shows all lines of a number.
pub fn recipe(names: &[String]) -> String {
    format!("journalctl -u ami2amo PHONE_HASH={}", names.join(" PHONE_HASH="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_set_and_until_when() {
        let now = |level: &str, until| Now { level: level.to_owned(), configured: "info".to_owned(), until };
        let english = |now: &Now| line(now, Language::En);
        assert_eq!(english(&now("info", None)), "level: info, as at the start");
        assert_eq!(
            english(&now("debug", None)),
            "level: debug, until the next start; it was info at the start"
        );
        let until = Some(HostTime::from_micros(1_795_337_591_000_000));
        assert_eq!(
            english(&now("debug", until)),
            "level: debug, until 2026-11-22T08:53:11.000Z, then info again"
        );
    }

    #[test]
    fn a_number_of_several_forms_is_found_in_each() {
        let names = ["1f".to_owned(), "2e".to_owned()];
        assert_eq!(recipe(&names), "journalctl -u ami2amo PHONE_HASH=1f PHONE_HASH=2e");
    }
}
