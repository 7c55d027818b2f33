//! Pure: what a person does about a store or an account that takes nothing, in his language.

use crate::ops::words::Language;
use crate::outbox::courier::standing::Hold;
use crate::outbox::store::error::advice;

/// About a store that failed for `reason`.
pub fn store(reason: &str, language: Language) -> &'static str {
    let english = advice(reason);
    let russian = if english.starts_with("make room") {
        "освободите место на его диске"
    } else if english.contains("read-only") {
        "узнайте, почему диск только для чтения (dmesg), и подключите его для записи"
    } else if english.contains("ulimit") {
        "узнайте, какое ограничение системы не даёт файлам расти (ulimit -f)"
    } else {
        "посмотрите, что система говорит о его диске (dmesg)"
    };
    language.pick(english, russian)
}

/// About an account to which nothing is delivered.
pub fn hold(why: Hold, language: Language) -> &'static str {
    let russian = match why {
        Hold::Unauthorized => {
            "amoCRM не принимает токен, или его нет: создайте новый долгосрочный токен в настройках интеграции и \
             положите его в token-file; с [amocrm.oauth] снова разрешите интеграции доступ и выполните \
             ami2amo auth --code CODE"
        }
        Hold::Unpaid => "аккаунт amoCRM не оплачен или не имеет права: оплатите или проверьте тариф",
        Hold::Forbidden => {
            "пользователю токена это запрещено: проверьте его права и список разрешённых адресов аккаунта"
        }
        Hold::Banned => "amoCRM заблокировала этот адрес или аккаунт: напишите в поддержку amoCRM",
        Hold::NotAmo => "это не API amoCRM: проверьте base-url и то, что стоит между",
    };
    language.pick(why.advice(), russian)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_one_in_both_languages() {
        let full = "the journal cannot be written: No space left on device (os error 28)";
        assert_eq!(store(full, Language::En), "make room on its disk");
        assert_eq!(store(full, Language::Ru), "освободите место на его диске");
        let others =
            ["(os error 30)", "(os error 27)", "(os error 5)"].map(|reason| store(reason, Language::Ru));
        assert!(others.iter().all(|words| *words != store(full, Language::Ru)), "{others:?}");
    }
}
