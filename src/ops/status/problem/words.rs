//! Pure: how problems are said in words, and what is to be done about each.

use crate::call::id::{AccountId, PbxName};
use crate::ops::status::page::span;
use crate::ops::status::problem::{Problem, duplicates};
use crate::ops::words::{Language, remedy};
use crate::outbox::courier::standing::Hold;
use crate::time::PbxTime;

impl Problem {
    /// What is wrong.
    pub fn text(&self, language: Language) -> String {
        match self {
            Self::Unaccounted { calls } => language.pick(
                format!("{calls} calls came and are nowhere: database and journal have lost them"),
                format!("потеряно звонков: {calls}: их нет ни в базе, ни в журнале"),
            ),
            Self::StoreFailed { reason } => store_failed(reason, language),
            Self::DiskLow { free_bytes } => language.pick(
                format!("{} MiB are left on the store's disk", free_bytes >> 20),
                format!("на диске хранилища осталось {} МиБ", free_bytes >> 20),
            ),
            Self::PbxNotRead { pbx } => not_read(pbx, language),
            Self::PbxDown { pbx, reason } => language.pick(
                format!("PBX {pbx} is not connected: {reason}"),
                format!("нет связи с АТС {pbx}: {reason}"),
            ),
            Self::PbxRefused { pbx, reason } => shut_out(pbx, reason, language),
            Self::PbxConnecting { pbx } => {
                language.pick(format!("PBX {pbx} does not answer yet"), format!("АТС {pbx} пока не отвечает"))
            }
            Self::ClockOff { pbx, seconds } => clock_off(pbx, *seconds, language),
            Self::Lag { pbx, seconds } => language.pick(
                format!("events of PBX {pbx} come {seconds} s late"),
                format!("события АТС {pbx} приходят с опозданием {seconds} с"),
            ),
            Self::NoTimestamps { pbx } => no_timestamps(pbx, language),
            Self::Unseen { pbx, from, to } => unseen(pbx, *from, *to, language),
            Self::AccountHeld { account, why, words } => held(account, *why, words, language),
            Self::AccountTroubled { account, words } => troubled(account, words, language),
            Self::Old { account, minutes } => language.pick(
                format!("a call for account {account} waits for {minutes} min"),
                format!("звонок для аккаунта {account} ждёт уже {minutes} мин"),
            ),
            Self::ConfigRefused { reason } => refused_config(reason, language),
            Self::HookFailing { program, reason, bypassed } => hook(program, reason, *bypassed, language),
            Self::RecordsFailing { file, reason, lost } => records(file, reason, *lost, language),
            Self::Dead { calls } => language.pick(
                format!("{calls} calls cannot be delivered and wait for a person"),
                format!("не могут быть доставлены и ждут человека, звонков: {calls}"),
            ),
            Self::TokenEnds { account, hours } => language.pick(
                format!("the token of account {account} ends in {}", span(hours * 3600, language)),
                format!("токен аккаунта {account} истекает через {}", span(hours * 3600, language)),
            ),
            Self::Paused { account, minutes, by, why } => {
                paused(account, *minutes, by, why.as_deref(), language)
            }
            Self::UnknownNumbers { account, calls, hours } => {
                unknown_numbers(account, *calls, *hours, language)
            }
            Self::Unmapped { account, extensions, more, calls } => {
                unmapped(account, extensions, *more, *calls, language)
            }
            Self::Duplicated { account, source, notes, calls } => {
                duplicates::text(account, source, *notes, calls, language)
            }
            Self::Shadow { account, waiting } => duplicates::shadow(account, *waiting, language),
        }
    }

    /// What to do.
    pub fn remedy(&self, language: Language) -> String {
        match self {
            Self::Unaccounted { .. } => language.pick(
                "compare the PBX's records with what is stored: ami2amo repair --from TIME --to TIME".to_owned(),
                "сравните записи АТС с сохранённым: ami2amo repair --from TIME --to TIME".to_owned(),
            ),
            Self::StoreFailed { reason } => remedy::store(reason, language).to_owned(),
            Self::DiskLow { .. } => language.pick(
                "make room on it: du -xh / | sort -h | tail".to_owned(),
                "освободите место: du -xh / | sort -h | tail".to_owned(),
            ),
            Self::PbxNotRead { .. } => language.pick(
                "mend the store first: the other problems say how".to_owned(),
                "сначала почините хранилище: как — в других строках".to_owned(),
            ),
            Self::PbxDown { pbx, .. } | Self::PbxConnecting { pbx } => not_connected(pbx, language),
            Self::PbxRefused { pbx, .. } => refused(pbx, language),
            Self::NoTimestamps { .. } => timestamps(language),
            Self::ClockOff { .. } => language.pick(
                "set both clocks by NTP: timedatectl set-ntp true; call times in amoCRM are corrected meanwhile".to_owned(),
                "выставьте часы по NTP: timedatectl set-ntp true; время звонков в amoCRM пока исправляется".to_owned(),
            ),
            Self::Lag { .. } => language.pick(
                "see the load of this host and of the PBX (top); calls are not lost, they come late".to_owned(),
                "посмотрите нагрузку этого сервера и АТС (top); звонки не теряются, но опаздывают".to_owned(),
            ),
            Self::Unseen { pbx, from, to } => look_up(pbx, *from, *to, language),
            Self::AccountHeld { why, .. } => remedy::hold(*why, language).to_owned(),
            Self::AccountTroubled { .. } => language.pick(
                "nothing, if it passes: calls wait on the disk and are sent later; else see the network, proxy and base-url".to_owned(),
                "ничего, если пройдёт: звонки ждут на диске и уйдут позже; иначе проверьте сеть, proxy и base-url".to_owned(),
            ),
            Self::TokenEnds { .. } => language.pick(
                "make a new long-lived token in the integration's keys and scopes, put it into token-file, restart".to_owned(),
                "создайте новый долгосрочный токен в ключах и доступах интеграции, положите в token-file, перезапустите"
                    .to_owned(),
            ),
            Self::Paused { account, .. } => language.pick(
                format!("when the reason is gone: ami2amo resume --account {account}"),
                format!("когда причина исчезнет: ami2amo resume --account {account}"),
            ),
            Self::Old { account, .. } => language.pick(
                format!("see why: ami2amo queue list --account {account}"),
                format!("узнайте почему: ami2amo queue list --account {account}"),
            ),
            Self::ConfigRefused { .. } => mend_config(language).to_owned(),
            Self::HookFailing { .. } => mend_hook(language).to_owned(),
            Self::RecordsFailing { .. } => mend_records(language).to_owned(),
            Self::Dead { .. } => language.pick(
                "ami2amo queue list --state dead says why of each; then ami2amo queue retry or drop".to_owned(),
                "ami2amo queue list --state dead скажет почему; затем ami2amo queue retry или drop".to_owned(),
            ),
            Self::UnknownNumbers { account, .. } => contacts(account, language),
            Self::Unmapped { account, extensions, .. } => mapping(account, extensions, language),
            Self::Duplicated { .. } => duplicates::remedy(language).to_owned(),
            Self::Shadow { account, .. } => duplicates::after_shadow(account, language),
        }
    }
}

fn look_up(pbx: &PbxName, from: PbxTime, to: PbxTime, language: Language) -> String {
    let command = format!("ami2amo repair --pbx {pbx} --from {from} --to {to} --enqueue");
    language.pick(
        format!("with a table [pbx.cdr] (docs/cdr.md): {command}"),
        format!("при таблице [pbx.cdr] (docs/cdr.ru.md): {command}"),
    )
}

fn refused_config(reason: &str, language: Language) -> String {
    language.pick(
        format!("the configuration was read again and refused, the one before counts: {reason}"),
        format!("настройки прочитаны заново и не приняты, действуют прежние: {reason}"),
    )
}

fn mend_config(language: Language) -> &'static str {
    language.pick(
        "mend the file, before a restart fails on it: ami2amo reload shows the place, and takes it when it is right",
        "исправьте файл, пока на нём не споткнулся перезапуск: ami2amo reload покажет место и примет исправленное",
    )
}

fn hook(program: &str, reason: &str, bypassed: u64, language: Language) -> String {
    language.pick(
        format!("the hook {program} fails, {bypassed} calls were not asked about: {reason}"),
        format!("хук {program} не справляется, звонков без него: {bypassed}: {reason}"),
    )
}

fn mend_hook(language: Language) -> &'static str {
    language.pick(
        "calls go as they are; run it by hand as docs/hook.md shows, or take [hook] before-send out and restart; it is \
         tried again each minute",
        "звонки уходят как есть; запустите его вручную (docs/hook.ru.md) или уберите [hook] before-send и \
         перезапустите; попытки каждую минуту",
    )
}

fn records(file: &str, reason: &str, lost: u64, language: Language) -> String {
    language.pick(
        format!("the file of records {file} cannot be written, {lost} calls have no line in it: {reason}"),
        format!("файл записей {file} не пишется, звонков без строки в нём: {lost}: {reason}"),
    )
}

fn mend_records(language: Language) -> &'static str {
    language.pick(
        "make room, or give its folder to the daemon's user; it is tried every 5 s. Delivery goes on; lines that are \
         missing: ami2amo history --json",
        "освободите место или отдайте папку пользователю службы; попытки каждые 5 с. Доставка идёт; недостающее: \
         ami2amo history --json",
    )
}

fn unseen(pbx: &PbxName, from: PbxTime, to: PbxTime, language: Language) -> String {
    language.pick(
        format!(
            "PBX {pbx} was not watched from {from} to {to}, and no records of it were read: calls may be missing"
        ),
        format!(
            "за АТС {pbx} не следили с {from} до {to}, и её записи не прочитаны: звонков может не хватать"
        ),
    )
}

fn paused(account: &AccountId, minutes: u64, by: &str, why: Option<&str>, language: Language) -> String {
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    let ago = span(minutes * 60, language);
    language.pick(
        format!("delivery to account {account} was paused by {by} {ago} ago{why}"),
        format!("доставку в аккаунт {account} {ago} назад остановил {by}{why}"),
    )
}

fn not_connected(pbx: &PbxName, language: Language) -> String {
    language.pick(
        format!(
            "on the PBX: asterisk -rx 'manager show settings' must say enabled, and the host and port of [[pbx]] \
             \"{pbx}\"; permit= of the user in manager.conf must name this host; docs/ami.md"
        ),
        format!(
            "на АТС: asterisk -rx 'manager show settings' должен показать, что AMI включён, адрес и порт из [[pbx]] \
             \"{pbx}\"; permit= пользователя в manager.conf должен разрешать этот сервер; docs/ami.ru.md"
        ),
    )
}

fn refused(pbx: &PbxName, language: Language) -> String {
    language.pick(
        format!(
            "the username and secret of [[pbx]] \"{pbx}\" must be those of the user in manager.conf, and its permit= \
             must name this host: mend one of them, then asterisk -rx 'manager reload' or systemctl restart \
             ami2amo; docs/ami.md"
        ),
        format!(
            "username и секрет в [[pbx]] \"{pbx}\" должны быть теми же, что у пользователя в manager.conf, и его permit= \
             должен разрешать этот сервер: исправьте одно из двух, затем asterisk -rx 'manager reload' или systemctl \
             restart ami2amo; docs/ami.ru.md"
        ),
    )
}

fn unmapped(account: &AccountId, extensions: &[String], more: u64, calls: u64, language: Language) -> String {
    let names = extensions.join(", ");
    let more = match more {
        0 => String::new(),
        more => language.pick(format!(" and {more} more"), format!(" и ещё {more}")),
    };
    language.pick(
        format!(
            "extensions without a user in account {account}: {names}{more}; calls that are booked on default-user, or \
             on nobody, for it: {calls}"
        ),
        format!(
            "звонков для аккаунта {account} с внутренних номеров без пользователя в amoCRM: {calls} ({names}{more}); \
             они записаны на default-user или ни на кого"
        ),
    )
}

fn mapping(account: &AccountId, extensions: &[String], language: Language) -> String {
    let table = if *account == AccountId::default() {
        "[amocrm.users]".to_owned()
    } else {
        format!("users of [[account]] \"{account}\"")
    };
    let line = extensions.first().map_or("101", String::as_str);
    language.pick(
        format!(
            "add a line for each under {table}, such as \"{line}\" = USER (its id in amoCRM), then systemctl reload \
             ami2amo; if it is meant so, unmapped = \"omit\"; docs/users.md"
        ),
        format!(
            "добавьте для каждого строку в {table}, например \"{line}\" = USER (его id в amoCRM), затем systemctl \
             reload ami2amo; если так и задумано, unmapped = \"omit\"; docs/users.ru.md"
        ),
    )
}

fn store_failed(reason: &str, language: Language) -> String {
    language.pick(
        format!("the store takes no calls, they wait in memory: {reason}"),
        format!("хранилище не принимает звонки, они ждут в памяти: {reason}"),
    )
}

fn not_read(pbx: &PbxName, language: Language) -> String {
    language.pick(
        format!("PBX {pbx} is connected and not read: the store takes no calls, and memory is full"),
        format!("АТС {pbx} подключена, но не читается: хранилище не принимает звонки, память заполнена"),
    )
}

fn shut_out(pbx: &PbxName, reason: &str, language: Language) -> String {
    language.pick(
        format!("PBX {pbx} answers and does not let ami2amo in: {reason}"),
        format!("АТС {pbx} отвечает, но не пускает ami2amo: {reason}"),
    )
}

fn no_timestamps(pbx: &PbxName, language: Language) -> String {
    language.pick(
        format!(
            "events of PBX {pbx} carry no Timestamp: times of calls are those of arrival here, and late \
                     events lengthen talks"
        ),
        format!(
            "события АТС {pbx} не несут Timestamp: время звонков считается по их приходу сюда, опоздавшие \
                     события удлиняют разговоры"
        ),
    )
}

fn held(account: &AccountId, why: Hold, words: &str, language: Language) -> String {
    language.pick(
        format!("amoCRM account {account} takes nothing ({why}): {words}"),
        format!("аккаунт amoCRM {account} ничего не принимает ({why}): {words}"),
    )
}

fn troubled(account: &AccountId, words: &str, language: Language) -> String {
    language.pick(
        format!("amoCRM account {account} does not answer well; it is tried again: {words}"),
        format!("аккаунт amoCRM {account} не отвечает как надо; попытки продолжаются: {words}"),
    )
}

fn unknown_numbers(account: &AccountId, calls: u64, hours: u64, language: Language) -> String {
    language.pick(
        format!(
            "calls for account {account} that wait, because amoCRM does not know the number: {calls}; the oldest for \
             {hours} h"
        ),
        format!(
            "звонков для аккаунта {account} с номерами, которых amoCRM не знает, ждёт: {calls}; старейший \
                     {hours} ч"
        ),
    )
}

fn clock_off(pbx: &PbxName, seconds: i64, language: Language) -> String {
    language.pick(
        format!("the clocks differ: this host is {seconds} s ahead of PBX {pbx}"),
        format!("часы расходятся: этот сервер впереди АТС {pbx} на {seconds} с"),
    )
}

fn contacts(account: &AccountId, language: Language) -> String {
    language.pick(
        format!(
            "make contacts with the numbers of ami2amo queue list --state parked --account {account}, or let \
                     [amocrm.unknown] make them: docs/unknown-numbers.md"
        ),
        format!(
            "создайте контакты с номерами из ami2amo queue list --state parked --account {account} или \
                     поручите это [amocrm.unknown]: docs/unknown-numbers.ru.md"
        ),
    )
}

fn timestamps(language: Language) -> String {
    language.pick(
                "on the PBX, at the end of manager.conf (FreePBX, Issabel: /etc/asterisk/manager_custom.conf) add the \
                 lines [general](+) and timestampevents = yes; then asterisk -rx 'manager reload'; docs/ami.md"
                    .to_owned(),
                "на АТС в конец manager.conf (FreePBX, Issabel: /etc/asterisk/manager_custom.conf) добавьте строки \
                 [general](+) и timestampevents = yes, затем asterisk -rx 'manager reload'; docs/ami.ru.md"
                    .to_owned(),
            )
}
