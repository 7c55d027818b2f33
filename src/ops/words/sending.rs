//! Pure: whether a call is in amoCRM, and if not, why and what to do: what users of a connector ask
//! most.

use crate::amo::settings::Settings;
use crate::call::record::{CallRecord, Skip};
use crate::call::why::{Filter, Why};
use crate::ops::words::sides::doubts;
use crate::ops::words::{Language, why};
use crate::outbox::queue::{EntityRef, State};
use crate::outbox::schedule::Slip;
use crate::outbox::search::{Noted, Whereabouts};

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
        Whereabouts::Store(slip) => of_slip(record, slip, language),
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

fn of_record(record: &CallRecord, language: Language) -> Sending {
    match record.skip {
        Some(skip) => not_sent(record, skip, language),
        None => Sending::new(
            Standing::Waits,
            language.pick("It would be posted:", "Был бы отправлен такой звонок:"),
        ),
    }
}

fn of_slip(record: &CallRecord, slip: &Slip, language: Language) -> Sending {
    let Slip { state, attempts, next_at, last_error, .. } = slip;
    let said = last_error
        .as_deref()
        .map(|said| language.pick(format!("; last answer: {said}"), format!("; последний ответ: {said}")));
    let said = said.unwrap_or_default();
    match state {
        State::Pending if *attempts == 0 && last_error.is_none() => Sending::new(
            Standing::Waits,
            language.pick("It waits for its turn (pending):", "Ждёт своей очереди (pending):"),
        ),
        State::Pending => Sending::new(
            Standing::Waits,
            language.pick(
                format!("It waits (pending): {attempts} tries so far, the next at {next_at}{said}"),
                format!("Ждёт (pending): попыток {attempts}, следующая в {next_at}{said}"),
            ),
        ),
        State::Sending { since, .. } => Sending::new(
            Standing::Waits,
            language.pick(
                format!("It is being posted since {since} (sending):"),
                format!("Отправляется с {since} (sending):"),
            ),
        ),
        State::Sent { note_id, entity, at } => {
            let place = place(*note_id, entity.as_ref(), language);
            Sending::new(
                Standing::Delivered,
                language.pick(
                    format!("It is in amoCRM since {at} (sent){place}:"),
                    format!("Он в amoCRM с {at} (sent){place}:"),
                ),
            )
        }
        State::Unknown { since, looked, .. } => unknown(since, *looked, language),
        State::Parked { .. } => parked(next_at, &said, language),
        State::Unsorted { at, .. } => Sending::new(
            Standing::Delivered,
            language.pick(
                format!(
                    "amoCRM has no contact with the number: since {at} it is in Incoming leads (unsorted):"
                ),
                format!("В amoCRM нет контакта с этим номером: с {at} звонок в «Неразобранном» (unsorted):"),
            ),
        ),
        State::Skipped { reason, .. } => not_sent(record, *reason, language),
        State::Expired { reason, at } => expired(reason, at, language),
        State::Dead { reason, at } => dead(reason, at, language),
    }
}

fn of_note(record: &CallRecord, noted: Noted, language: Language) -> Sending {
    if let Some(skip) = record.skip {
        return not_sent(record, skip, language);
    }
    match noted {
        Noted::Waiting => Sending::new(
            Standing::Waits,
            language.pick(
                "It waits to be posted, or for a person (as of the journal):",
                "Ждёт отправки или вмешательства (по журналу):",
            ),
        ),
        Noted::Sending { since } => Sending::new(
            Standing::Waits,
            language.pick(
                format!(
                    "A post with it was begun at {since}; it is under way, waits for another try, or is dead:"
                ),
                format!("Отправка начата в {since}: идёт, ждёт новой попытки или не удалась (dead):"),
            ),
        ),
        Noted::Done => Sending::new(
            Standing::Delivered,
            language.pick(
                "It came to its end: in amoCRM, or given up after days (the journal does not say which):",
                "Обработан до конца: он в amoCRM или снят спустя дни (журнал этого не различает):",
            ),
        ),
    }
}

fn place(note_id: Option<u64>, entity: Option<&EntityRef>, language: Language) -> String {
    let note = note_id.map(|id| language.pick(format!(", note {id}"), format!(", примечание {id}")));
    let entity = entity
        .map(|EntityRef { kind, id }| language.pick(format!(" of {kind} {id}"), format!(" у {kind} {id}")));
    [note, entity].into_iter().flatten().collect()
}

fn unknown(since: &impl std::fmt::Display, looked: u32, language: Language) -> Sending {
    let sending = Sending::new(
        Standing::Waits,
        language.pick(
            format!(
                "Its post at {since} had no answer (unknown); it was looked for in amoCRM {looked} times:"
            ),
            format!("На отправку в {since} не было ответа (unknown); поисков в amoCRM: {looked}:"),
        ),
    );
    sending.with(language.pick(
        "Nothing to do: it is looked for and never sent again blindly.",
        "Ничего не нужно: звонок ищут и не отправляют повторно вслепую.",
    ))
}

fn parked(next_at: &impl std::fmt::Display, said: &str, language: Language) -> Sending {
    let sending = Sending::new(
        Standing::Waits,
        language.pick(
            format!("amoCRM has no contact with the number (parked); the next try is at {next_at}{said}:"),
            format!("В amoCRM нет контакта с этим номером (parked); следующая попытка в {next_at}{said}:"),
        ),
    );
    sending.with(language.pick(
        "Add a contact with this number to amoCRM: the call appears with the next try.",
        "Добавьте в amoCRM контакт с этим номером: звонок появится со следующей попыткой.",
    ))
}

fn expired(reason: &str, at: &impl std::fmt::Display, language: Language) -> Sending {
    let sending = Sending::new(
        Standing::NotSent,
        language.pick(
            format!("It was given up at {at} (expired): {reason}"),
            format!("Снят в {at} (expired): {reason}"),
        ),
    );
    sending.with(language.pick(
        "The limits are parked-max and max-age in [delivery].",
        "Пределы задают parked-max и max-age в [delivery].",
    ))
}

fn dead(reason: &str, at: &impl std::fmt::Display, language: Language) -> Sending {
    let sending = Sending::new(
        Standing::Stuck,
        language.pick(
            format!("It cannot be delivered since {at} (dead): {reason}"),
            format!("Не может быть доставлен с {at} (dead): {reason}"),
        ),
    );
    sending.with(language.pick(
        "It is kept until a person acts: the reason says what amoCRM refused.",
        "Он хранится, пока не вмешается человек: причина говорит, что отвергла amoCRM.",
    ))
}

fn not_sent(record: &CallRecord, skip: Skip, language: Language) -> Sending {
    let said = language.pick("It is not sent: ", "Не отправляется: ").to_owned();
    let sending = Sending::new(Standing::NotSent, said + why::skip(skip, language) + ".");
    match skip {
        Skip::Internal => sending.with(language.pick(
            "Calls among yourselves are sent when internal-phone in [calls] gives extensions a number.",
            "Внутренние звонки отправляются, если internal-phone в [calls] даёт внутренним номера.",
        )),
        Skip::Anonymous => sending.with(language.pick(
            "If the caller hid his number, anonymous-phone in [calls] can stand for it; if every caller is \
             anonymous, the trunk does not pass numbers on.",
            "Если абонент скрыл номер, его заменит anonymous-phone в [calls]; если анонимны все, \
             транк не передаёт номера.",
        )),
        Skip::ShortNumber => sending.with(language.pick(
            "Service numbers belong to nobody in amoCRM. If it is a colleague's, his phone was taken for a trunk: \
             see [calls.sides] and 'ami2amo check --sides'.",
            "Служебные номера никому в amoCRM не принадлежат. Если это коллега, его телефон приняли за транк: \
             см. [calls.sides] и 'ami2amo check --sides'.",
        )),
        Skip::NoConversation => sending.with(language.pick("Nothing to do.", "Ничего не нужно.")),
        Skip::UnknownSides => {
            doubts(record).iter().fold(sending, |sending, doubt| sending.with(doubt.text(language)))
        }
        Skip::Policy => sending.with(policy_advice(record, language)),
    }
}

fn policy_advice(record: &CallRecord, language: Language) -> String {
    let filter =
        record.why.iter().find_map(|why| if let Why::Filtered { by } = why { Some(*by) } else { None });
    let Some(filter) = filter else {
        return language
            .pick(
                "The dial plan said so: AMI2AMO_SEND or the UserEvent (see [calls.dial-plan]).",
                "Так сказал диалплан: AMI2AMO_SEND или UserEvent (см. [calls.dial-plan]).",
            )
            .to_owned();
    };
    let key = key(filter);
    language.pick(
        format!("Change '{key}' in [calls.send] to send such calls."),
        format!("Чтобы такие звонки отправлялись, измените {key} в [calls.send]."),
    )
}

fn key(filter: Filter) -> &'static str {
    match filter {
        Filter::Directions => "directions",
        Filter::Dids => "dids",
        Filter::Trunks => "trunks",
        Filter::Extensions => "extensions",
        Filter::Numbers => "numbers",
        Filter::ShortestTalk => "shortest-talk",
        Filter::ShortestWait => "shortest-wait",
    }
}

/// Whose the call is in amoCRM, when it is not the employee's.
fn user_advice(record: &CallRecord, settings: &Settings, language: Language) -> Option<String> {
    let extension = record.responsible.as_deref()?;
    if settings.users.contains_key(extension) {
        return None;
    }
    Some(match settings.default_user {
        Some(user) => language.pick(
            format!(
                "Extension {extension} is not in [amocrm.users]: the call is the default user's ({user})."
            ),
            format!("Номера {extension} нет в [amocrm.users]: звонок у пользователя по умолчанию ({user})."),
        ),
        None => language.pick(
            format!("Extension {extension} is not in [amocrm.users]: the call is nobody's in amoCRM."),
            format!("Номера {extension} нет в [amocrm.users]: в amoCRM звонок ничей."),
        ),
    })
}

fn link_advice(record: &CallRecord, settings: &Settings, language: Language) -> Option<String> {
    let lacks = record.recording.is_some() && settings.recording_url.is_none();
    let advice = language.pick(
        "There is a recording, but no recording-url in [amocrm]: the call has no link to it.",
        "Запись есть, но в [amocrm] нет recording-url: ссылки на неё в звонке нет.",
    );
    lacks.then(|| advice.to_owned())
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
