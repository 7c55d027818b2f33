//! Pure: what the program calls things when it talks to people, in English and Russian. Every
//! reason, moment, outcome and state has its words here and nowhere else; what amoCRM is told of an
//! outcome is the business of [`crate::amo::result`], and the same words are used here.

use crate::amo::result;
use crate::call::line;
use crate::call::record::{Direction, Outcome, Side};

pub mod act;
pub mod cause;
pub mod comparison;
pub mod evidence;
pub mod looking;
pub mod number;
pub mod remedy;
pub mod sending;
pub mod sides;
pub mod why;

/// The language of what is printed for people.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Language {
    #[default]
    En,
    Ru,
}

impl Language {
    /// By the name of a locale: `ru_RU.UTF-8` is Russian, all that is not Russian is English.
    pub fn of_locale(name: &str) -> Self {
        let language = name.split(['_', '.', '@']).next().unwrap_or_default();
        if language.eq_ignore_ascii_case("ru") { Self::Ru } else { Self::En }
    }

    pub fn pick<T>(self, english: T, russian: T) -> T {
        match self {
            Self::En => english,
            Self::Ru => russian,
        }
    }
}

pub fn direction(direction: Direction, language: Language) -> &'static str {
    match direction {
        Direction::Inbound => language.pick("inbound", "входящий"),
        Direction::Internal => language.pick("internal", "внутренний"),
        Direction::Outbound => language.pick("outbound", "исходящий"),
    }
}

/// How the call ended, as amoCRM is told by default.
pub fn outcome(outcome: Outcome, direction: Direction, language: Language) -> &'static str {
    result::words(outcome, direction, language.pick(line::Language::En, line::Language::Ru))
}

/// What stands behind an endpoint.
pub fn side(side: Side, language: Language) -> &'static str {
    match side {
        Side::Inside => language.pick("an extension's phone", "телефон внутреннего номера"),
        Side::Outside => language.pick("a trunk", "транк"),
        Side::Helper => {
            language.pick("a helper, nobody is at its end", "вспомогательный канал, за ним никого")
        }
        Side::Unknown => language.pick("unknown", "неизвестно что"),
    }
}

/// `101, 102 and 103`; of many the first, and how many more there are.
pub fn list(names: &[&str], language: Language) -> String {
    const SHOWN: usize = 4;
    let and = language.pick("and", "и");
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        names if names.len() > SHOWN + 1 => {
            let more = names.len() - SHOWN;
            let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
            language.pick(format!("{shown} and {more} more"), format!("{shown} и ещё {more}"))
        }
        [first @ .., last] => format!("{} {and} {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_names_its_language() {
        for russian in ["ru_RU.UTF-8", "ru", "ru_UA", "RU@euro"] {
            assert_eq!(Language::of_locale(russian), Language::Ru, "{russian}");
        }
        for other in ["C", "C.UTF-8", "en_US.UTF-8", "de_DE", "", "rum_RO"] {
            assert_eq!(Language::of_locale(other), Language::En, "{other}");
        }
    }

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(list(&["101"], Language::En), "101");
        assert_eq!(list(&["101", "102", "103"], Language::En), "101, 102 and 103");
        assert_eq!(list(&["1", "2", "3", "4", "5", "6"], Language::Ru), "1, 2, 3, 4 и ещё 2");
    }
}
