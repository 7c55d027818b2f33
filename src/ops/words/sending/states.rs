//! Pure: the states of a stored call, in words.

use crate::call::record::CallRecord;
use crate::ops::words::Language;
use crate::ops::words::sending::advice::not_sent;
use crate::ops::words::sending::{Sending, Standing};
use crate::outbox::errand::Make;
use crate::outbox::queue::{EntityRef, State};
use crate::outbox::schedule::Slip;
use crate::outbox::schedule::person::DROPPED;
use crate::outbox::search::Noted;
use crate::time::HostTime;

/// As the store has it.
pub(super) fn of_slip(record: &CallRecord, slip: &Slip, language: Language) -> Sending {
    match &slip.state {
        State::Pending => pending(slip, language),
        State::Sending { since, .. } => being_sent(*since, language),
        State::Sent { note_id, entity, at } => sent(*note_id, entity.as_ref(), *at, language),
        State::Unknown { since, looked, .. } => unknown(*since, *looked, language),
        State::Parked { .. } => parked(slip, language),
        State::Unsorted { at, .. } => unsorted(*at, language),
        State::Skipped { reason, .. } => not_sent(record, *reason, language),
        State::Expired { reason, at } => expired(reason, *at, language),
        State::Dead { reason, at } => dead(reason, *at, language),
    }
}

/// As the journal has it.
pub(super) fn of_note(record: &CallRecord, noted: Noted, language: Language) -> Sending {
    if let Some(skip) = record.skip {
        return not_sent(record, skip, language);
    }
    let (standing, text) = match noted {
        Noted::Waiting => (
            Standing::Waits,
            language.pick(
                "It waits to be posted, or for a person (as of the journal):".to_owned(),
                "Ждёт отправки или вмешательства (по журналу):".to_owned(),
            ),
        ),
        Noted::Sending { since } => (
            Standing::Waits,
            language.pick(
                format!(
                    "A post with it was begun at {since}; it is under way, waits for another try, or is dead:"
                ),
                format!("Отправка начата в {since}: идёт, ждёт новой попытки или не удалась (dead):"),
            ),
        ),
        Noted::Done => (
            Standing::Delivered,
            language.pick(
                "It came to its end: in amoCRM, or given up after days (the journal does not say which):"
                    .to_owned(),
                "Обработан до конца: он в amoCRM или снят спустя дни (журнал этого не различает):".to_owned(),
            ),
        ),
    };
    Sending::new(standing, text)
}

fn pending(slip: &Slip, language: Language) -> Sending {
    let Slip { attempts, next_at, last_error, .. } = slip;
    if *attempts == 0 && last_error.is_none() {
        let text = language.pick("It waits for its turn (pending):", "Ждёт своей очереди (pending):");
        return Sending::new(Standing::Waits, text);
    }
    let said = said(slip, language);
    let text = language.pick(
        format!("It waits (pending): {attempts} tries so far, the next at {next_at}{said}:"),
        format!("Ждёт (pending): попыток {attempts}, следующая в {next_at}{said}:"),
    );
    Sending::new(Standing::Waits, text)
}

/// What amoCRM or the network said last.
fn said(slip: &Slip, language: Language) -> String {
    let said = slip.last_error.as_deref();
    let said = said.map(|said| format!("; {}: {said}", language.pick("last answer", "последний ответ")));
    said.unwrap_or_default()
}

fn being_sent(since: HostTime, language: Language) -> Sending {
    let text = language.pick(
        format!("It is being posted since {since} (sending):"),
        format!("Отправляется с {since} (sending):"),
    );
    Sending::new(Standing::Waits, text)
}

fn sent(note_id: Option<u64>, entity: Option<&EntityRef>, at: HostTime, language: Language) -> Sending {
    let note = note_id.map(|id| format!(", {} {id}", language.pick("note", "примечание")));
    let of = |EntityRef { kind, id }: &EntityRef| format!(" {} {kind} {id}", language.pick("of", "у"));
    let place: String = [note, entity.map(of)].into_iter().flatten().collect();
    let text = language.pick(
        format!("It is in amoCRM since {at} (sent){place}:"),
        format!("В amoCRM с {at} (sent){place}:"),
    );
    Sending::new(Standing::Delivered, text)
}

fn unsorted(at: HostTime, language: Language) -> Sending {
    let text = language.pick(
        format!("amoCRM has no contact with the number: since {at} it is in Incoming leads (unsorted):"),
        format!("В amoCRM нет контакта с этим номером: с {at} звонок в «Неразобранном» (unsorted):"),
    );
    Sending::new(Standing::Delivered, text)
}

fn unknown(since: HostTime, looked: u32, language: Language) -> Sending {
    let text = language.pick(
        format!("Its post at {since} had no answer (unknown); it was looked for in amoCRM {looked} times:"),
        format!("На отправку в {since} не было ответа (unknown); поисков в amoCRM: {looked}:"),
    );
    Sending::new(Standing::Waits, text).with(language.pick(
        "Nothing to do: it is looked for and never sent again blindly.",
        "Ничего не нужно: звонок ищут и не отправляют повторно вслепую.",
    ))
}

fn parked(slip: &Slip, language: Language) -> Sending {
    if slip.errand.make.is_some() {
        return making(slip, language);
    }
    if slip.errand.against.is_some() {
        return against(slip, language);
    }
    let (next_at, said) = (slip.next_at, said(slip, language));
    let text = language.pick(
        format!("amoCRM has no contact with the number (parked); the next try is at {next_at}{said}:"),
        format!("В amoCRM нет контакта с этим номером (parked); следующая попытка в {next_at}{said}:"),
    );
    Sending::new(Standing::Waits, text).with(language.pick(
        "Add a contact with this number to amoCRM: the call appears with the next try.",
        "Добавьте в amoCRM контакт с этим номером: звонок появится со следующей попыткой.",
    ))
}

/// Something is made for it before it is posted.
fn making(slip: &Slip, language: Language) -> Sending {
    let what = match slip.errand.make {
        Some(Make::Unsorted) => language.pick("an item in Incoming leads", "неразобранное"),
        Some(Make::Contact) => language.pick("a contact", "контакт"),
        Some(Make::Lead) | None => language.pick("a lead", "сделка"),
    };
    let (next_at, said) = (slip.next_at, said(slip, language));
    Sending::new(
        Standing::Waits,
        language.pick(
            format!("amoCRM does not know the number (parked): {what} is made for it at {next_at}{said}:"),
            format!("amoCRM не знает этого номера (parked): для него создаётся {what}, в {next_at}{said}:"),
        ),
    )
}

/// It waits for an item that was made for an earlier call.
fn against(slip: &Slip, language: Language) -> Sending {
    let next_at = slip.next_at;
    let text = language.pick(
        format!("Its number is in Incoming leads already (parked); it is looked at again at {next_at}:"),
        format!("Номер уже есть в «Неразобранном» (parked); следующая проверка в {next_at}:"),
    );
    Sending::new(Standing::Waits, text).with(language.pick(
        "Accept the item in amoCRM: the call appears in its card. Declined, the call is given up.",
        "Примите неразобранное в amoCRM: звонок появится в карточке. Если отклонить, звонок будет снят.",
    ))
}

fn expired(reason: &str, at: HostTime, language: Language) -> Sending {
    let text = language.pick(
        format!("It was given up at {at} (expired): {reason}"),
        format!("Снят в {at} (expired): {reason}"),
    );
    let advice = if reason.starts_with(DROPPED) {
        language.pick(
            "A person gave it up; `ami2amo queue retry` with its id takes it up again.",
            "Его снял человек; вернуть: `ami2amo queue retry` с его id.",
        )
    } else {
        language.pick(
            "The limits are parked-max and max-age in [delivery]; `ami2amo queue retry` takes it up again.",
            "Пределы задают parked-max и max-age в [delivery]; вернуть: `ami2amo queue retry`.",
        )
    };
    Sending::new(Standing::NotSent, text).with(advice)
}

fn dead(reason: &str, at: HostTime, language: Language) -> Sending {
    let text = language.pick(
        format!("It cannot be delivered since {at} (dead): {reason}"),
        format!("Не может быть доставлен с {at} (dead): {reason}"),
    );
    Sending::new(Standing::Stuck, text).with(language.pick(
        "It is kept until a person acts: mend what the reason says, then `ami2amo queue retry`, or `queue drop`.",
        "Он хранится, пока не вмешается человек: устраните причину, затем `ami2amo queue retry` или `queue drop`.",
    ))
}
