//! In which language, and whether in colours, this terminal's user wants to read.

use std::io::IsTerminal;

use crate::ops::screen::Paint;
use crate::ops::words::Language;

#[derive(Clone, Debug, clap::Args)]
pub struct LanguageArgs {
    /// Language of what is printed [default: that of the locale]
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    language: Option<Language>,
}

/// Where POSIX looks for the language of messages, in this order.
const VARIABLES: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

impl LanguageArgs {
    /// The language asked for, else that of the locale.
    pub fn language(&self) -> Language {
        self.language.unwrap_or_else(|| of_locale(|name| std::env::var(name).ok()))
    }
}

/// The first variable that is set and not empty decides.
fn of_locale(variable: impl Fn(&str) -> Option<String>) -> Language {
    let mut set = VARIABLES.iter().filter_map(|name| variable(name)).filter(|value| !value.is_empty());
    set.next().map_or(Language::En, |locale| Language::of_locale(&locale))
}

/// Colours, on a terminal whose user has not said no (<https://no-color.org>).
pub fn paint(output: &impl IsTerminal) -> Paint {
    if output.is_terminal() { of_terminal(|name| std::env::var(name).ok()) } else { Paint::None }
}

fn of_terminal(variable: impl Fn(&str) -> Option<String>) -> Paint {
    let refuses = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = variable("TERM").is_some_and(|terminal| terminal == "dumb");
    if refuses || is_dumb { Paint::None } else { Paint::Colours }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An environment in which these are set.
    fn environment<'e>(set: &'e [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'e {
        |name| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn a_terminal_has_colours_unless_its_user_says_no() {
        for (set, expected) in [
            (&[][..], Paint::Colours),
            (&[("TERM", "xterm"), ("NO_COLOR", "")], Paint::Colours),
            (&[("TERM", "xterm"), ("NO_COLOR", "1")], Paint::None),
            (&[("TERM", "dumb")], Paint::None),
        ] {
            assert_eq!(of_terminal(environment(set)), expected, "{set:?}");
        }
    }

    #[track_caller]
    fn check(set: &[(&str, &str)], expected: Language) {
        assert_eq!(of_locale(environment(set)), expected, "{set:?}");
    }

    #[test]
    fn the_first_variable_that_says_something_decides() {
        check(&[], Language::En);
        check(&[("LANG", "ru_RU.UTF-8")], Language::Ru);
        check(&[("LANG", "ru_RU.UTF-8"), ("LC_ALL", "C")], Language::En);
        check(&[("LANG", "C"), ("LC_MESSAGES", "ru_RU.UTF-8"), ("LC_ALL", "")], Language::Ru);
    }
}
