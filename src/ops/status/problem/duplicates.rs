//! Pure: what is said of other connectors: those that write beside us, and the one that we only watch.

use crate::call::id::{AccountId, CallId};
use crate::ops::words::Language;

pub(super) fn text(
    account: &AccountId,
    source: &str,
    notes: u64,
    calls: &[CallId],
    language: Language,
) -> String {
    let calls: Vec<&str> = calls.iter().map(CallId::as_str).collect();
    let calls = calls.join(", ");
    language.pick(
        format!(
            "somebody else writes call notes of the same calls into account {account}: \"{source}\", {notes} since the \
             start (such as {calls}): calls are doubled"
        ),
        format!(
            "те же звонки пишет в аккаунт {account} кто-то ещё: \"{source}\", примечаний с запуска: {notes} (например, \
             {calls}): звонки задвоены"
        ),
    )
}

pub(super) fn remedy(language: Language) -> &'static str {
    language.pick(
        "switch off the call history of the stock Asterisk widget or of the provider's own integration: \
         docs/migrate.md; if both are meant, notice-duplicates = false in the account's table",
        "отключите историю звонков штатного виджета Asterisk или собственной интеграции провайдера: \
         docs/migrate.ru.md; если так и задумано, notice-duplicates = false в таблице аккаунта",
    )
}

pub(super) fn shadow(account: &AccountId, waiting: u64, language: Language) -> String {
    let before = match waiting {
        0 => String::new(),
        calls => language.pick(
            format!("; calls from before that wait: {calls}"),
            format!("; ждут звонки, пришедшие раньше: {calls}"),
        ),
    };
    language.pick(
        format!(
            "shadow mode: nothing is posted to account {account}, calls are compared with its notes{before}"
        ),
        format!("теневой режим: в аккаунт {account} ничего не отправляется, звонки сверяются с ним{before}"),
    )
}

pub(super) fn after_shadow(account: &AccountId, language: Language) -> String {
    language.pick(
        format!("see ami2amo shadow --account {account}; to post calls, delivery = \"post\", then systemctl reload ami2amo"),
        format!("смотрите ami2amo shadow --account {account}; чтобы отправлять звонки, delivery = \"post\", затем systemctl reload ami2amo"),
    )
}
