//! Pure: the table of number rules, in words.

use crate::call::phone::{Rules, What};
use crate::ops::words::Language;

/// What a line of the table did. `before` and `after` are the number before and after it.
pub fn step(what: What, before: &str, after: &str, rules: &Rules, language: Language) -> String {
    let Rules { country, area, national_prefix, international_prefix, .. } = rules;
    match what {
        What::CutAtPause => language
            .pick(
                "what follows a pause is dialled after the answer",
                "что после паузы, набирается после ответа",
            )
            .to_owned(),
        What::DigitsOnly => {
            language.pick("only digits and a leading + count", "значимы только цифры и + в начале").to_owned()
        }
        What::Rule(place) => rule(place, rules, language),
        What::InternationalPrefix => language.pick(
            format!("the prefix for other countries ({international_prefix} or 00) becomes +"),
            format!("префикс других стран ({international_prefix} или 00) становится +"),
        ),
        What::NationalPrefix => language.pick(
            format!("the prefix for other areas ({national_prefix}) becomes the country (+{country})"),
            format!("междугородный префикс ({national_prefix}) становится кодом страны (+{country})"),
        ),
        What::Country if after.strip_prefix('+') == Some(before) => language
            .pick("it has its country already, only + is missing", "код страны уже есть, не хватает только +")
            .to_owned(),
        What::Country => language.pick(
            format!("a national number gets the country (+{country})"),
            format!("номер внутри страны получает код страны (+{country})"),
        ),
        What::Area => language.pick(
            format!("a local number gets country and area (+{country} {area})"),
            format!("городской номер получает коды страны и города (+{country} {area})"),
        ),
    }
}

fn rule(place: usize, rules: &Rules, language: Language) -> String {
    let number = place + 1;
    let name = language.pick(format!("rule {number}"), format!("правило {number}"));
    match rules.rule.get(place) {
        Some(rule) => format!("{name}: {} → {:?}", rule.pattern.as_str(), rule.replace),
        None => name,
    }
}
