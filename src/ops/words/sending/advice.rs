//! Pure: what can be done about a call that is not in amoCRM, or not as one would like.

use crate::amo::settings::Settings;
use crate::call::record::{CallRecord, Skip};
use crate::call::why::{Filter, Why};
use crate::ops::words::sending::{Sending, Standing};
use crate::ops::words::{Language, why};
use crate::outbox::errand::Sound;
use crate::outbox::schedule::Slip;

/// Why a call is not sent, and what to do to have such calls sent.
pub(super) fn not_sent(record: &CallRecord, skip: Skip, language: Language) -> Sending {
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
        Skip::UnknownSides => sending.with(language.pick(
            "[calls.sides] settles which is which: see 'ami2amo check --sides'.",
            "Кто есть кто, решает [calls.sides]: см. 'ami2amo check --sides'.",
        )),
        Skip::Policy => sending.with(policy_advice(record, language)),
        Skip::UnknownNumber => sending.with(language.pick(
            "It is so because 'unknown' of the line or the account says \"drop\" (or the number is in its blacklist).",
            "Так решает unknown линии или аккаунта: \"drop\" (или номер в его blacklist).",
        )),
        Skip::Shadow => sending.with(language.pick(
            "It was followed beside another connector, and is never posted. To post later calls: delivery = \"post\" \
             in the account's table.",
            "Звонок записан рядом с другим коннектором и отправлен не будет. Чтобы отправлять следующие: delivery = \
             \"post\" в таблице аккаунта.",
        )),
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
    let (key, table) = key(filter);
    language.pick(
        format!("Change '{key}' in {table} to send such calls."),
        format!("Чтобы такие звонки отправлялись, измените {key} в {table}."),
    )
}

/// The key that leaves a call out, and its table.
fn key(filter: Filter) -> (&'static str, &'static str) {
    const SEND: &str = "[calls.send]";
    match filter {
        Filter::Directions => ("directions", SEND),
        Filter::Dids => ("dids", SEND),
        Filter::Trunks => ("trunks", SEND),
        Filter::Extensions => ("extensions", SEND),
        Filter::Numbers => ("numbers", SEND),
        Filter::ShortestTalk => ("shortest-talk", SEND),
        Filter::ShortestWait => ("shortest-wait", SEND),
        Filter::Line => ("send", "[[line]]"),
    }
}

/// Whose the call is in amoCRM, when it is not the employee's.
pub(super) fn user_advice(record: &CallRecord, settings: &Settings, language: Language) -> Option<String> {
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

/// What is known of the file with the call's sound.
pub(super) fn sound_advice(slip: &Slip, language: Language) -> Option<String> {
    let next_at = slip.next_at;
    Some(match slip.errand.sound.as_ref()? {
        Sound::Found { .. } | Sound::Other => return None,
        Sound::Missing { .. } if slip.owes() => language.pick(
            format!(
                "Its recording was not there in time: the call was posted without the link, which follows. Next look at {next_at}."
            ),
            format!(
                "Записи не было вовремя: звонок отправлен без ссылки, она будет добавлена. Следующая проверка в {next_at}."
            ),
        ),
        Sound::Missing { .. } => language.pick(
            "Its recording is not there yet.".to_owned(),
            "Записи звонка пока нет.".to_owned(),
        ),
        Sound::Added { file } => language.pick(
            format!("The link to its recording was added later: {file}."),
            format!("Ссылка на запись добавлена позже: {file}."),
        ),
        Sound::GivenUp { reason } => language.pick(
            format!("It stays without a link to its recording: {reason}."),
            format!("Звонок остаётся без ссылки на запись: {reason}."),
        ),
    })
}

pub(super) fn link_advice(record: &CallRecord, settings: &Settings, language: Language) -> Option<String> {
    let lacks = record.recording.is_some() && settings.recording_url.is_none();
    let advice = language.pick(
        "There is a recording, but no recording-url in [amocrm]: the call has no link to it.",
        "Запись есть, но в [amocrm] нет recording-url: ссылки на неё в звонке нет.",
    );
    lacks.then(|| advice.to_owned())
}
