//! Pure: what becomes of a telephone number, step by step: `check --number`.

use crate::call::phone::{self, DIGITS_MIN, Step};
use crate::call::policy::Policy;
use crate::call::record::{Direction, Skip};
use crate::call::side::same_number;
use crate::ops::screen::{Line, Style, WIDTH, cell, columns, wrap};
use crate::ops::words::{self, Language};

/// Columns for the number before the words beside it.
const NUMBER: usize = 18;

/// The way of a number through the table, for calls of `directions`; where it is the same for all of
/// them, it is shown once.
pub fn page(raw: &str, directions: &[Direction], policy: &Policy, language: Language) -> Vec<Line> {
    let ways: Vec<Vec<Line>> =
        directions.iter().map(|direction| way(raw, *direction, policy, language)).collect();
    let names: Vec<&str> =
        directions.iter().map(|direction| words::direction(*direction, language)).collect();
    let is_one_way = ways.windows(2).all(|pair| pair[0] == pair[1]);
    if is_one_way {
        let heading = names.join(", ");
        return with_heading(&heading, ways.into_iter().next().unwrap_or_default());
    }
    names.iter().zip(ways).flat_map(|(name, way)| with_heading(name, way)).collect()
}

fn with_heading(heading: &str, mut way: Vec<Line>) -> Vec<Line> {
    way.insert(0, Line::new(Style::Strong, heading));
    way
}

fn way(raw: &str, direction: Direction, policy: &Policy, language: Language) -> Vec<Line> {
    let rules = &policy.numbers;
    let (_, steps) = phone::apply(raw, direction, rules);
    let mut lines = row(raw, "");
    let mut before = raw.trim();
    for Step { what, result } in &steps {
        lines.extend(row(result, &words::number::step(*what, before, result, rules, language)));
        before = result;
    }
    let (style, text) = verdict(raw, direction, policy, language);
    lines.extend(wrap(&text, WIDTH - 4).into_iter().enumerate().map(|(number, text)| {
        let margin = if number == 0 { "  → " } else { "    " };
        let mut line = Line::new(Style::Faint, margin);
        line.push(style, text);
        line
    }));
    lines
}

/// What amoCRM is told, or why it is told nothing.
fn verdict(raw: &str, direction: Direction, policy: &Policy, language: Language) -> (Style, String) {
    let number = match phone::subscriber(Some(raw), direction, &policy.numbers) {
        Ok(number) => number,
        Err(skip) => return (Style::Bad, without_number(skip, policy, language)),
    };
    let told = number.e164.as_ref().unwrap_or(&number.digits);
    let listed = |listed: &str| same_number(listed, raw) || same_number(listed, &number.digits);
    if !policy.send.numbers.wants_any(listed) {
        let text = language.pick(
            format!("it is not sent: 'numbers' of [calls.send] leaves {told} out"),
            format!("не отправляется: numbers в [calls.send] исключает {told}"),
        );
        return (Style::Bad, text);
    }
    if number.e164.is_some() {
        return (
            Style::Good,
            language.pick(format!("amoCRM is told {told}"), format!("amoCRM получит {told}")),
        );
    }
    let text = language.pick(
        format!("amoCRM is told {told}: no line of the table makes an international number of it"),
        format!("amoCRM получит {told}: международным его не делает ни одна строка таблицы"),
    );
    (Style::Waiting, text)
}

fn without_number(skip: Skip, policy: &Policy, language: Language) -> String {
    match skip {
        Skip::Anonymous => match &policy.anonymous_phone {
            Some(substitute) => language.pick(
                format!("there is no digit in it: the caller is anonymous, and {substitute} is sent for him"),
                format!("цифр в нём нет: абонент анонимный, вместо него отправляется {substitute}"),
            ),
            None => language.pick(
                "it is not sent: there is no digit in it, the caller is anonymous (anonymous-phone in [calls] \
                 could stand for him)",
                "не отправляется: цифр в нём нет, абонент анонимный (его может заменить anonymous-phone в [calls])",
            ).to_owned(),
        },
        Skip::ShortNumber
        | Skip::Internal
        | Skip::NoConversation
        | Skip::UnknownSides
        | Skip::Policy
        | Skip::UnknownNumber
        | Skip::Shadow => language.pick(
            format!("it is not sent: it has fewer than {DIGITS_MIN} digits, as service numbers do"),
            format!("не отправляется: в нём меньше {DIGITS_MIN} цифр, как у служебных номеров"),
        ),
    }
}

/// A number and what is said of it.
fn row(number: &str, text: &str) -> Vec<Line> {
    const MARGIN: usize = 2;
    let first = cell(number, NUMBER);
    let room = WIDTH - MARGIN - columns(&first) - 1;
    let texts = wrap(text, room);
    let mut line = Line::new(Style::Plain, format!("{:MARGIN$}{first} ", ""));
    line.push(Style::Faint, texts.first().cloned().unwrap_or_default());
    let rest = texts.into_iter().skip(1);
    let indent = " ".repeat(MARGIN + NUMBER + 1);
    std::iter::once(line).chain(rest.map(|text| Line::new(Style::Faint, format!("{indent}{text}")))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::screen::{Paint, page as printed};

    #[track_caller]
    fn check(toml: &str, raw: &str, language: Language, expected: &[&str]) {
        let policy: Policy = toml::from_str(toml).unwrap();
        let lines = page(raw, &[Direction::Inbound, Direction::Outbound], &policy, language);
        assert!(lines.iter().all(|line| line.columns() <= WIDTH), "{lines:?}");
        assert_eq!(printed(&lines, Paint::None).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_step_has_its_reason() {
        check(
            "[numbers]\n[[numbers.rule]]\npattern = \"^9(\\\\d{11})$\"\nreplace = \"$1\"\n",
            "9 8 (495) 123-45-67,,1",
            Language::En,
            &[
                "inbound, outbound",
                "  9 8 (495) 123-45-…",
                "  9 8 (495) 123-45-… what follows a pause is dialled after the answer",
                "  984951234567       only digits and a leading + count",
                "  84951234567        rule 1: ^9(\\d{11})$ → \"$1\"",
                "  +74951234567       the prefix for other areas (8) becomes the country (+7)",
                "  → amoCRM is told +74951234567",
            ],
        );
    }

    #[test]
    fn what_is_not_sent_says_why() {
        let inbound = "inbound, outbound";
        check(
            "",
            "112",
            Language::En,
            &[inbound, "  112", "  → it is not sent: it has fewer than 5 digits, as service numbers do"],
        );
        check(
            "anonymous-phone = \"+70000000000\"",
            "anonymous",
            Language::En,
            &[
                inbound,
                "  anonymous",
                "                     only digits and a leading + count",
                "  → there is no digit in it: the caller is anonymous, and +70000000000 is sent",
                "    for him",
            ],
        );
        check(
            "send.numbers.never = [\"+7 916 123-45-67\"]",
            "89161234567",
            Language::Ru,
            &[
                "входящий, исходящий",
                "  89161234567",
                "  +79161234567       междугородный префикс (8) становится кодом страны (+7)",
                "  → не отправляется: numbers в [calls.send] исключает +79161234567",
            ],
        );
    }

    #[test]
    fn a_rule_for_one_direction_shows_two_ways() {
        check(
            "[[numbers.rule]]\npattern = \"^2(\\\\d{3})$\"\nreplace = \"+7495123$1\"\ndirection = \"outbound\"\n",
            "2001",
            Language::En,
            &[
                "inbound",
                "  2001",
                "  → it is not sent: it has fewer than 5 digits, as service numbers do",
                "outbound",
                "  2001",
                "  +7495123001        rule 1: ^2(\\d{3})$ → \"+7495123$1\"",
                "  → amoCRM is told +7495123001",
            ],
        );
    }
}
