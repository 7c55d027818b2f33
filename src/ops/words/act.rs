//! Pure: what people and phones did, in words.

use std::time::Duration;

use crate::ops::explain::steps::Act;
use crate::ops::words::{self, Language, cause};

/// Who did something, and with whom.
#[derive(Clone, Copy, Debug)]
pub struct Actors<'a> {
    pub who: &'a [&'a str],
    /// Who called, parked or transferred; with whom somebody talks; who takes over.
    pub with: Option<&'a str>,
}

/// The act as a sentence without a full stop. `until` are seconds since the call's beginning.
pub fn act(act: &Act, actors: Actors<'_>, language: Language) -> String {
    let who = words::list(actors.who, language);
    let is_one = actors.who.len() == 1;
    match language {
        Language::En => english(act, &who, is_one, actors.with),
        Language::Ru => russian(act, &who, is_one, actors.with),
    }
}

fn english(act: &Act, who: &str, is_one: bool, with: Option<&str>) -> String {
    let s = if is_one { "s" } else { "" };
    let (is, does) = if is_one { ("is", "does") } else { ("are", "do") };
    let by = with.unwrap_or("the PBX");
    match act {
        Act::CallsIn { did: Some(did) } => format!("{who} calls {did}"),
        Act::CallsIn { did: None } => format!("{who} calls in"),
        Act::Dials => format!("{who} dial{s}"),
        Act::Retrieves => format!("{who} take{s} the parked call"),
        Act::Rings => format!("{who} ring{s}"),
        Act::Calls => format!("{by} calls {who}"),
        Act::Answers => format!("{who} answer{s}"),
        Act::AnswersAndTalks { length, until } => {
            format!("{who} answer{s}; talk of {}, until {}", long(*length, "s"), short(*until))
        }
        Act::Talks { length, until } => {
            let with = with.map(|with| format!(" with {with}")).unwrap_or_default();
            format!("{who} talk{s}{with}: {}, until {}", long(*length, "s"), short(*until))
        }
        Act::IsBusy => format!("{who} {is} busy"),
        Act::Declines => format!("{who} decline{s} the call"),
        Act::DoesNotAnswer => format!("{who} {does} not answer"),
        Act::StopsRinging => format!("{who} stop{s} ringing"),
        Act::AnsweredElsewhere => format!("{who} stop{s} ringing: answered elsewhere"),
        Act::IsUnreachable => format!("{who} cannot be reached"),
        Act::Fails { cause } => with_cause(format!("the call to {who} fails"), *cause, Language::En),
        Act::IsScreened => format!("{who} {does} not take the call"),
        Act::Forwards { to } => format!("{who} send{s} the call on to {to}"),
        Act::Holds => format!("{who} put{s} the call on hold"),
        Act::Resumes => format!("{who} take{s} it off hold"),
        Act::IsParked { at: Some(place) } => format!("{by} parks {who} at {place}"),
        Act::IsParked { at: None } => format!("{by} parks {who}"),
        Act::Queues { queue } => format!("{who} wait{s} in the queue {queue}"),
        Act::IsTransferred { to: Some(to) } => format!("{by} transfers {who} to {to} (blind)"),
        Act::IsTransferred { to: None } => format!("{by} transfers {who} (blind)"),
        Act::HandsOver => match with {
            Some(to) => format!("{who} hand{s} over to {to} (attended)"),
            None => format!("{who} hand{s} over (attended)"),
        },
        Act::PicksUp => format!("{who} pick{s} up the ringing call"),
        Act::Records => "recording begins".to_owned(),
        Act::LeavesMessage => format!("{who} leave{s} a voice message"),
        Act::HangsUp { cause } => with_cause(format!("{who} hang{s} up"), *cause, Language::En),
        Act::Ends { cause } => with_cause(format!("the PBX ends the call of {who}"), *cause, Language::En),
        Act::Joins => format!("{who} {is} connected"),
        Act::Leaves => format!("{who} {is} no longer connected"),
    }
}

fn russian(act: &Act, who: &str, is_one: bool, with: Option<&str>) -> String {
    let verb = |one: &'static str, many: &'static str| if is_one { one } else { many };
    let by = with.unwrap_or("АТС");
    match act {
        Act::CallsIn { did: Some(did) } => format!("{who} звонит на {did}"),
        Act::CallsIn { did: None } => format!("{who} звонит"),
        Act::Dials => format!("{who} {}", verb("набирает номер", "набирают номер")),
        Act::Retrieves => format!("{who} {} звонок с парковки", verb("забирает", "забирают")),
        Act::Rings => format!("{} {who}", verb("звонит телефон", "звонят телефоны")),
        Act::Calls => format!("{by} вызывает {who}"),
        Act::Answers => format!("{who} {}", verb("отвечает", "отвечают")),
        Act::AnswersAndTalks { length, until } => {
            let answers = verb("отвечает", "отвечают");
            format!("{who} {answers}; разговор {}, до {}", long(*length, "с"), short(*until))
        }
        Act::Talks { length, until } => {
            let with = with.map(|with| format!(" с {with}")).unwrap_or_default();
            let talks = verb("говорит", "говорят");
            format!("{who} {talks}{with}: {}, до {}", long(*length, "с"), short(*until))
        }
        Act::IsBusy => format!("у {who} занято"),
        Act::Declines => format!("{who} {} вызов", verb("отклоняет", "отклоняют")),
        Act::DoesNotAnswer => format!("{who} не {}", verb("отвечает", "отвечают")),
        Act::StopsRinging => format!("{who} больше не {}", verb("звонит", "звонят")),
        Act::AnsweredElsewhere => format!("{who} {}: ответил другой", verb("умолкает", "умолкают")),
        Act::IsUnreachable => format!("{who} {}", verb("недоступен", "недоступны")),
        Act::Fails { cause } => with_cause(format!("вызов {who} не удался"), *cause, Language::Ru),
        Act::IsScreened => format!("{who} не {} вызов", verb("принимает", "принимают")),
        Act::Forwards { to } => format!("{who} {} на {to}", verb("переадресует", "переадресуют")),
        Act::Holds => format!("{who} {} на удержание", verb("ставит", "ставят")),
        Act::Resumes => format!("{who} {} с удержания", verb("снимает", "снимают")),
        Act::IsParked { at: Some(place) } => format!("{by} паркует {who} на {place}"),
        Act::IsParked { at: None } => format!("{by} паркует {who}"),
        Act::Queues { queue } => format!("{who} {} в очереди {queue}", verb("ждёт", "ждут")),
        Act::IsTransferred { to: Some(to) } => format!("{by} переводит {who} на {to} (вслепую)"),
        Act::IsTransferred { to: None } => format!("{by} переводит {who} (вслепую)"),
        Act::HandsOver => {
            let to = with.map(|to| format!(" {to}")).unwrap_or_default();
            format!("{who} {} звонок{to} (с консультацией)", verb("передаёт", "передают"))
        }
        Act::PicksUp => format!("{who} {} вызов", verb("перехватывает", "перехватывают")),
        Act::Records => "начинается запись".to_owned(),
        Act::LeavesMessage => format!("{who} {} голосовое сообщение", verb("оставляет", "оставляют")),
        Act::HangsUp { cause } => {
            with_cause(format!("{who} {} трубку", verb("кладёт", "кладут")), *cause, Language::Ru)
        }
        Act::Ends { cause } => with_cause(format!("АТС завершает вызов {who}"), *cause, Language::Ru),
        Act::Joins => format!("{who} {}", verb("соединён", "соединены")),
        Act::Leaves => format!("{who} больше не {}", verb("соединён", "соединены")),
    }
}

fn with_cause(text: String, number: u16, language: Language) -> String {
    match cause::numbered(number, language) {
        words if words.is_empty() => text,
        words => format!("{text}: {words}"),
    }
}

/// `5.5`: seconds with one place.
pub fn short(span: Duration) -> String {
    let tenths = (span.as_millis() + 50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// `5.5 s`, `1:02:05`.
pub fn long(span: Duration, unit: &str) -> String {
    let seconds = (span.as_millis() + 500) / 1000;
    match seconds {
        0..60 => format!("{} {unit}", short(span)),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_read_at_a_glance() {
        let long = |millis| long(Duration::from_millis(millis), "s");
        assert_eq!(
            (long(5_460), long(62_499), long(3_725_000)),
            ("5.5 s".into(), "1:02".into(), "1:02:05".into())
        );
    }

    #[test]
    fn one_rings_and_two_ring() {
        let act =
            |act: &Act, who: &[&str], language| super::act(act, Actors { who, with: Some("101") }, language);
        assert_eq!(act(&Act::Rings, &["101"], Language::En), "101 rings");
        assert_eq!(act(&Act::Rings, &["101", "102"], Language::En), "101 and 102 ring");
        assert_eq!(act(&Act::Rings, &["101", "102"], Language::Ru), "звонят телефоны 101 и 102");
        assert_eq!(
            act(&Act::HangsUp { cause: 16 }, &["101"], Language::En),
            "101 hangs up: normal clearing (16)"
        );
        assert_eq!(act(&Act::Ends { cause: 0 }, &["101"], Language::Ru), "АТС завершает вызов 101");
    }

    /// A chain through all acts, so that a new one does not compile before it is among them.
    fn next(act: &Act) -> Option<Act> {
        let (length, until) = (Duration::from_secs(3), Duration::from_secs(5));
        Some(match act {
            Act::CallsIn { did: Some(_) } => Act::CallsIn { did: None },
            Act::CallsIn { did: None } => Act::Dials,
            Act::Dials => Act::Retrieves,
            Act::Retrieves => Act::Rings,
            Act::Rings => Act::Calls,
            Act::Calls => Act::Answers,
            Act::Answers => Act::AnswersAndTalks { length, until },
            Act::AnswersAndTalks { .. } => Act::Talks { length, until },
            Act::Talks { .. } => Act::IsBusy,
            Act::IsBusy => Act::Declines,
            Act::Declines => Act::DoesNotAnswer,
            Act::DoesNotAnswer => Act::StopsRinging,
            Act::StopsRinging => Act::AnsweredElsewhere,
            Act::AnsweredElsewhere => Act::IsUnreachable,
            Act::IsUnreachable => Act::Fails { cause: 34 },
            Act::Fails { .. } => Act::IsScreened,
            Act::IsScreened => Act::Forwards { to: "7".into() },
            Act::Forwards { .. } => Act::Holds,
            Act::Holds => Act::Resumes,
            Act::Resumes => Act::IsParked { at: Some("700".into()) },
            Act::IsParked { at: Some(_) } => Act::IsParked { at: None },
            Act::IsParked { at: None } => Act::Queues { queue: "sales".into() },
            Act::Queues { .. } => Act::IsTransferred { to: Some("103".into()) },
            Act::IsTransferred { to: Some(_) } => Act::IsTransferred { to: None },
            Act::IsTransferred { to: None } => Act::HandsOver,
            Act::HandsOver => Act::PicksUp,
            Act::PicksUp => Act::Records,
            Act::Records => Act::LeavesMessage,
            Act::LeavesMessage => Act::HangsUp { cause: 16 },
            Act::HangsUp { .. } => Act::Ends { cause: 16 },
            Act::Ends { .. } => Act::Joins,
            Act::Joins => Act::Leaves,
            Act::Leaves => return None,
        })
    }

    #[test]
    fn every_act_has_words_of_its_own_in_both_languages() {
        let mut seen: Vec<String> = Vec::new();
        let first = Act::CallsIn { did: Some("74957000101".into()) };
        for act in std::iter::successors(Some(first), next) {
            for who in [&["101"][..], &["101", "102"]] {
                for with in [Some("103"), None] {
                    let actors = Actors { who, with };
                    let [en, ru] =
                        [Language::En, Language::Ru].map(|language| super::act(&act, actors, language));
                    assert!(en.is_ascii() && !ru.is_ascii(), "{act:?}: {en} / {ru}");
                }
            }
            let words = super::act(&act, Actors { who: &["101"], with: Some("103") }, Language::En);
            assert!(!seen.contains(&words), "{act:?} says what another one says: {words}");
            seen.push(words);
        }
        assert!(seen.len() > 30, "{}", seen.len());
    }
}
