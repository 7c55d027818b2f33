//! Pure: what came of a configuration that was read again, as the admin socket answers and people are told.

use serde::{Deserialize, Serialize};

use crate::ops::status::utc;
use crate::ops::words::Language;
use crate::time::HostTime;

/// The version of this form; keys are only ever added.
pub const VERSION: u32 = 1;

/// Who wants the configuration read again.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub by: String,
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Reloaded {
    pub v: u32,
    #[serde(with = "utc")]
    pub at: HostTime,
    /// The file that was read.
    pub config: String,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Whether the configuration counts.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    Taken {
        /// The tables that differ and count for calls that end from here on: `[calls]`.
        changed: Vec<String>,
        /// What differs and is read once: `[store] dir`.
        restart: Vec<String>,
        /// What works, but perhaps not as meant.
        warnings: Vec<String>,
    },
    /// The one that runs stays.
    Refused {
        /// What is wrong, with line and caret where that is known.
        problems: String,
    },
}

impl Reloaded {
    pub fn is_refused(&self) -> bool {
        match self.outcome {
            Outcome::Taken { .. } => false,
            Outcome::Refused { .. } => true,
        }
    }

    /// What is told whoever asked for it, in lines.
    pub fn text(&self, language: Language) -> String {
        let file = &self.config;
        match &self.outcome {
            Outcome::Taken { changed, restart, warnings } => {
                let mut lines = vec![taken(file, changed, language)];
                if !restart.is_empty() {
                    lines.push(language.pick(
                        format!("Read at a start only, and changed: {}.", restart.join("; ")),
                        format!("Читается только при запуске и изменено: {}.", restart.join("; ")),
                    ));
                    lines.push(language.pick(
                        "What to do: systemctl restart ami2amo".to_owned(),
                        "Что делать: systemctl restart ami2amo".to_owned(),
                    ));
                }
                let warning = language.pick("warning", "предупреждение");
                lines.extend(warnings.iter().map(|text| format!("{warning}: {text}")));
                lines.join("\n")
            }
            Outcome::Refused { problems } => language.pick(
                format!(
                    "the configuration is refused, and the running one stays; the next start would fail\n{problems}"
                ),
                format!(
                    "настройки не приняты, действуют прежние; следующий запуск не удался бы\n{problems}"
                ),
            ),
        }
    }

    /// One line, for `systemctl status`.
    pub fn line(&self) -> String {
        let at = self.at;
        match &self.outcome {
            Outcome::Taken { restart, .. } if restart.is_empty() => format!("configuration read again {at}"),
            Outcome::Taken { restart, .. } => {
                format!("configuration read again {at}, a restart is needed for {}", restart.join("; "))
            }
            Outcome::Refused { problems } => {
                let first = problems.lines().next().unwrap_or_default();
                format!("configuration refused {at}, the one before stays: {first} (ami2amo reload)")
            }
        }
    }
}

fn taken(file: &str, changed: &[String], language: Language) -> String {
    if changed.is_empty() {
        return language.pick(
            format!("{file} was read again: nothing has changed for calls."),
            format!("{file}: прочитано заново, для звонков ничего не изменилось."),
        );
    }
    let changed = changed.join("; ");
    language.pick(
        format!("{file} was read again. For calls that end from here on counts: {changed}."),
        format!(
            "{file}: прочитано заново. Для звонков, которые завершатся с этого момента, действует: {changed}."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reloaded(outcome: Outcome) -> Reloaded {
        Reloaded {
            v: VERSION,
            at: HostTime::from_micros(1_795_337_600_000_000),
            config: "/etc/a.toml".to_owned(),
            outcome,
        }
    }

    fn taken(changed: &[&str], restart: &[&str]) -> Reloaded {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        reloaded(Outcome::Taken { changed: list(changed), restart: list(restart), warnings: list(&["w"]) })
    }

    #[test]
    fn what_changed_and_what_did_not_is_told_in_two_languages() {
        let told = taken(&["[calls]", "[delivery]"], &["[log] level"]);
        assert_eq!(
            told.text(Language::En),
            "/etc/a.toml was read again. For calls that end from here on counts: [calls]; [delivery].\n\
             Read at a start only, and changed: [log] level.\nWhat to do: systemctl restart ami2amo\nwarning: w"
        );
        assert!(told.text(Language::Ru).contains("[calls]; [delivery].\nЧитается только при запуске"));
        assert_eq!(
            taken(&[], &[]).text(Language::En).lines().next(),
            Some("/etc/a.toml was read again: nothing has changed for calls.")
        );
        assert!(!told.is_refused());
    }

    #[test]
    fn a_refusal_is_told_whole_and_its_first_line_to_systemd() {
        let told = reloaded(Outcome::Refused { problems: "a.toml:3:1: unknown\n  ^".to_owned() });
        assert!(told.is_refused() && told.text(Language::En).ends_with("\na.toml:3:1: unknown\n  ^"));
        assert_eq!(
            told.line(),
            "configuration refused 2026-11-22T08:53:20.000Z, the one before stays: a.toml:3:1: unknown (ami2amo reload)"
        );
        let line = taken(&[], &["[log] level"]).line();
        assert!(line.ends_with("a restart is needed for [log] level"), "{line}");
    }
}
