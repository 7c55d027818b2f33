//! Pure: whether a call is in amoCRM, and if not, why and what to do: what users of a connector ask
//! most.

use crate::amo::settings::Settings;
use crate::call::record::CallRecord;
use crate::ops::words::sending::advice::{link_advice, not_sent, sound_advice, user_advice};
use crate::ops::words::sending::states::{of_note, of_slip};
use crate::ops::words::{Language, comparison};
use crate::outbox::courier::manner::{Known, Manner};
use crate::outbox::search::Whereabouts;

mod advice;
mod states;

/// How things stand with a call, for the colour of the sentence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    Delivered,
    /// It will be, or would be.
    Waits,
    /// By decision of the policy.
    NotSent,
    /// A person must act.
    Stuck,
}

/// The state of a call in one sentence, and what can be done about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sending {
    pub standing: Standing,
    pub text: String,
    pub advice: Vec<String>,
}

/// What becomes or became of a call. `settings` are those of the configuration, if there is one.
pub fn sending(
    record: &CallRecord,
    whereabouts: &Whereabouts,
    settings: Option<&Settings>,
    language: Language,
) -> Sending {
    let mut sending = match whereabouts {
        Whereabouts::Capture => of_record(record, language),
        Whereabouts::Store(slip) => {
            let mut sending = of_slip(record, slip, language);
            sending.advice.extend(sound_advice(slip, language));
            sending.advice.extend(comparison::beside(slip, language));
            sending
        }
        Whereabouts::Journal(noted) => of_note(record, *noted, language),
    };
    match sending.standing {
        Standing::NotSent => {}
        Standing::Delivered | Standing::Waits | Standing::Stuck => {
            sending.advice.extend(settings.and_then(|settings| user_advice(record, settings, language)));
            sending.advice.extend(settings.and_then(|settings| link_advice(record, settings, language)));
        }
    }
    sending
}

/// How an account answers a batch in which it refuses some calls, in one sentence.
pub fn batches(known: Known, language: Language) -> String {
    let way = match known.manner {
        Manner::Partial => language.pick(
            "Where this account refuses some calls of a request, it stores the others and says which.",
            "Отвергая часть звонков запроса, этот аккаунт сохраняет остальные и говорит, какие.",
        ),
        Manner::Refused => language.pick(
            "One bad call keeps the others of a request out of this account: each goes alone for a week.",
            "Из-за одного плохого звонка этот аккаунт не берёт остальные: неделю каждый идёт один.",
        ),
        Manner::Opaque => language.pick(
            "This account does not say which calls of a request it stored: each goes alone for a week.",
            "Этот аккаунт не говорит, какие звонки запроса сохранил: неделю каждый идёт один.",
        ),
    };
    let since = known.since.to_string();
    let day = since.get(..10).unwrap_or(&since);
    format!("{way} {}", language.pick(format!("Learned on {day}."), format!("Узнано {day}.")))
}

fn of_record(record: &CallRecord, language: Language) -> Sending {
    match record.skip {
        Some(skip) => not_sent(record, skip, language),
        None => Sending::new(
            Standing::Waits,
            language.pick("It would be posted:", "Был бы отправлен такой звонок:"),
        ),
    }
}

impl Sending {
    fn new(standing: Standing, text: impl Into<String>) -> Self {
        Self { standing, text: text.into(), advice: Vec::new() }
    }

    fn with(mut self, advice: impl Into<String>) -> Self {
        self.advice.push(advice.into());
        self
    }
}

#[cfg(test)]
mod tests;
