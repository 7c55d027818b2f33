//! Pure: what is wrong, said so that whoever is woken by it can mend it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::id::{AccountId, PbxName};
use crate::ops::status::page::span;
use crate::ops::status::{AccountStatus, LinkStatus, PbxStatus, Span, Status};
use crate::ops::words::{Language, remedy};
use crate::outbox::courier::standing::{Hold, Standing};
use crate::outbox::queue::Phase;
use crate::outbox::schedule::person::Pause;
use crate::outbox::store::space;
use crate::time::{HostTime, PbxTime};

/// Something that a person must act on, or should know.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "code")]
pub enum Problem {
    /// Calls came and are nowhere.
    Unaccounted {
        calls: u64,
    },
    StoreFailed {
        reason: String,
    },
    DiskLow {
        free_bytes: u64,
    },
    /// Calls are not read, because the store takes none.
    PbxNotRead {
        pbx: PbxName,
    },
    PbxDown {
        pbx: PbxName,
        reason: String,
    },
    /// A connection that was never made.
    PbxConnecting {
        pbx: PbxName,
    },
    ClockOff {
        pbx: PbxName,
        seconds: i64,
    },
    Lag {
        pbx: PbxName,
        seconds: i64,
    },
    /// The PBX was not watched, and nothing says which calls it had.
    Unseen {
        pbx: PbxName,
        from: PbxTime,
        to: PbxTime,
    },
    AccountHeld {
        account: AccountId,
        why: Hold,
        words: String,
    },
    AccountTroubled {
        account: AccountId,
        words: String,
    },
    /// A call waits for longer than amoCRM being away for a moment explains.
    Old {
        account: AccountId,
        minutes: u64,
    },
    Dead {
        calls: u64,
    },
    /// Nothing is delivered after that, and only a person can renew the token.
    TokenEnds {
        account: AccountId,
        hours: u64,
    },
    /// A person has stopped delivery.
    Paused {
        account: AccountId,
        minutes: u64,
        by: String,
        why: Option<String>,
    },
}

/// What monitoring makes of a problem.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// A person should see to it in working hours.
    Warning,
    /// Calls are not taken, not stored or not delivered: now.
    Critical,
}

/// Clocks further apart than this make a mess of whoever compares the CRM with the PBX.
const CLOCK_MAX_MS: u64 = 60_000;

/// Events that come later than this come from a stream that is not read fast enough.
const LAG_MAX_MS: i64 = 10_000;

/// A call that waits longer calls a person, whatever it waits for.
const OLD: Duration = Duration::from_mins(15);

/// A person has so long to make another token.
const TOKEN_LEFT: Duration = Duration::from_hours(14 * 24);

/// Nobody compares the records with the CRM for less.
const UNSEEN_MIN: Duration = Duration::from_mins(1);

/// A gap is told for a day.
const UNSEEN_TOLD: Duration = Duration::from_hours(24);

/// How long a connection may take after a start.
const CONNECTING_MAX: Duration = Duration::from_secs(30);

/// What is wrong with this status, the worst first.
pub fn problems(status: &Status) -> Vec<Problem> {
    let mut found = Vec::new();
    if status.outbox.unaccounted > 0 {
        found.push(Problem::Unaccounted { calls: status.outbox.unaccounted });
    }
    found.extend(status.store.failure.clone().map(|reason| Problem::StoreFailed { reason }));
    let low = status.store.free_bytes.filter(|free| *free < space::LOW);
    found.extend(low.map(|free_bytes| Problem::DiskLow { free_bytes }));
    for pbx in &status.pbxs {
        found.extend(of_link(pbx, status.uptime()));
        found.extend(of_clock(pbx));
        found.extend(of_gaps(pbx, status.now));
    }
    for account in &status.accounts {
        found.extend(of_account(account, status.now));
        found.extend(of_token(account, status.now));
    }
    let dead = status.outbox.by_state.get(&Phase::Dead).copied().filter(|calls| *calls > 0);
    found.extend(dead.map(|calls| Problem::Dead { calls }));
    found
}

fn of_link(pbx: &PbxStatus, uptime: Duration) -> Option<Problem> {
    let name = pbx.name.clone();
    match &pbx.link {
        LinkStatus::Up { .. } => None,
        LinkStatus::Connecting if uptime < CONNECTING_MAX => None,
        LinkStatus::Connecting => Some(Problem::PbxConnecting { pbx: name }),
        LinkStatus::Down { reason } => Some(Problem::PbxDown { pbx: name, reason: reason.clone() }),
        LinkStatus::NotRead => Some(Problem::PbxNotRead { pbx: name }),
    }
}

fn of_clock(pbx: &PbxStatus) -> Option<Problem> {
    let (name, is_up) = (pbx.name.clone(), matches!(pbx.link, LinkStatus::Up { .. }));
    if let Some(ahead) = pbx.host_ahead_ms.filter(|ahead| ahead.unsigned_abs() > CLOCK_MAX_MS) {
        return Some(Problem::ClockOff { pbx: name, seconds: ahead / 1000 });
    }
    let lag = pbx.lag_ms.filter(|lag| is_up && *lag > LAG_MAX_MS)?;
    Some(Problem::Lag { pbx: name, seconds: lag / 1000 })
}

fn of_gaps(pbx: &PbxStatus, now: HostTime) -> Option<Problem> {
    let Span { from, to } = pbx.gaps.last_unseen?;
    let age = PbxTime::from_micros(now.micros()).since(to);
    let is_told = to.since(from) >= UNSEEN_MIN && age < UNSEEN_TOLD;
    is_told.then(|| Problem::Unseen { pbx: pbx.name.clone(), from, to })
}

fn of_account(account: &AccountStatus, now: HostTime) -> Option<Problem> {
    let name = account.name.clone();
    if let Some(Pause { at, by, why }) = account.paused.clone() {
        // What else is wrong with the account shows when it goes on.
        return Some(Problem::Paused { account: name, minutes: now.since(at).as_secs() / 60, by, why });
    }
    match &account.standing {
        Standing::Held { why, words, .. } => {
            return Some(Problem::AccountHeld { account: name, why: *why, words: words.clone() });
        }
        Standing::Troubled { words, .. } => {
            return Some(Problem::AccountTroubled { account: name, words: words.clone() });
        }
        Standing::Starting | Standing::Delivering => {}
    }
    let age = account.oldest_at.map(|at| now.since(at)).filter(|age| *age > OLD)?;
    Some(Problem::Old { account: name, minutes: age.as_secs() / 60 })
}

/// One that has ended is refused, and told as such.
fn of_token(account: &AccountStatus, now: HostTime) -> Option<Problem> {
    let left = account.token_ends_at.filter(|at| *at > now)?.since(now);
    let hours = left.as_secs() / 3600;
    (left < TOKEN_LEFT).then(|| Problem::TokenEnds { account: account.name.clone(), hours })
}

impl Problem {
    pub fn severity(&self) -> Severity {
        match self {
            Self::Unaccounted { .. }
            | Self::StoreFailed { .. }
            | Self::PbxNotRead { .. }
            | Self::PbxDown { .. }
            | Self::PbxConnecting { .. }
            | Self::AccountHeld { .. }
            | Self::Old { .. } => Severity::Critical,
            Self::DiskLow { .. }
            | Self::ClockOff { .. }
            | Self::Lag { .. }
            | Self::Unseen { .. }
            | Self::AccountTroubled { .. }
            | Self::Dead { .. }
            | Self::TokenEnds { .. }
            | Self::Paused { .. } => Severity::Warning,
        }
    }

    /// What is wrong.
    pub fn text(&self, language: Language) -> String {
        match self {
            Self::Unaccounted { calls } => language.pick(
                format!("{calls} calls came and are nowhere: database and journal have lost them"),
                format!("потеряно звонков: {calls}: их нет ни в базе, ни в журнале"),
            ),
            Self::StoreFailed { reason } => language.pick(
                format!("the store takes no calls, they wait in memory: {reason}"),
                format!("хранилище не принимает звонки, они ждут в памяти: {reason}"),
            ),
            Self::DiskLow { free_bytes } => language.pick(
                format!("{} MiB are left on the store's disk", free_bytes >> 20),
                format!("на диске хранилища осталось {} МиБ", free_bytes >> 20),
            ),
            Self::PbxNotRead { pbx } => language.pick(
                format!("PBX {pbx} is connected and not read: the store takes no calls, and memory is full"),
                format!(
                    "АТС {pbx} подключена, но не читается: хранилище не принимает звонки, память заполнена"
                ),
            ),
            Self::PbxDown { pbx, reason } => language.pick(
                format!("PBX {pbx} is not connected: {reason}"),
                format!("нет связи с АТС {pbx}: {reason}"),
            ),
            Self::PbxConnecting { pbx } => {
                language.pick(format!("PBX {pbx} does not answer yet"), format!("АТС {pbx} пока не отвечает"))
            }
            Self::ClockOff { pbx, seconds } => language.pick(
                format!("the clocks differ: this host is {seconds} s ahead of PBX {pbx}"),
                format!("часы расходятся: этот сервер впереди АТС {pbx} на {seconds} с"),
            ),
            Self::Lag { pbx, seconds } => language.pick(
                format!("events of PBX {pbx} come {seconds} s late"),
                format!("события АТС {pbx} приходят с опозданием {seconds} с"),
            ),
            Self::Unseen { pbx, from, to } => unseen(pbx, *from, *to, language),
            Self::AccountHeld { account, why, words } => language.pick(
                format!("amoCRM account {account} takes nothing ({why}): {words}"),
                format!("аккаунт amoCRM {account} ничего не принимает ({why}): {words}"),
            ),
            Self::AccountTroubled { account, words } => language.pick(
                format!("amoCRM account {account} does not answer well; it is tried again: {words}"),
                format!("аккаунт amoCRM {account} не отвечает как надо; попытки продолжаются: {words}"),
            ),
            Self::Old { account, minutes } => language.pick(
                format!("a call for account {account} waits for {minutes} min"),
                format!("звонок для аккаунта {account} ждёт уже {minutes} мин"),
            ),
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
            Self::PbxDown { pbx, .. } | Self::PbxConnecting { pbx } => language.pick(
                format!(
                    "on the PBX: asterisk -rx 'manager show settings'; the secret and permit= of the user in \
                     manager.conf must be those of [[pbx]] \"{pbx}\"; docs/ami.md"
                ),
                format!(
                    "на АТС: asterisk -rx 'manager show settings'; секрет и permit= пользователя в manager.conf \
                     должны совпадать с [[pbx]] \"{pbx}\"; docs/ami.ru.md"
                ),
            ),
            Self::ClockOff { .. } => language.pick(
                "set both clocks by NTP: timedatectl set-ntp true; call times in amoCRM are corrected meanwhile".to_owned(),
                "выставьте часы по NTP: timedatectl set-ntp true; время звонков в amoCRM пока исправляется".to_owned(),
            ),
            Self::Lag { .. } => language.pick(
                "see the load of this host and of the PBX (top); calls are not lost, they come late".to_owned(),
                "посмотрите нагрузку этого сервера и АТС (top); звонки не теряются, но опаздывают".to_owned(),
            ),
            Self::Unseen { pbx, from, to } => language.pick(
                format!("with a table [pbx.cdr] (docs/cdr.md): ami2amo repair --pbx {pbx} --from {from} --to {to} --enqueue"),
                format!("при таблице [pbx.cdr] (docs/cdr.md): ami2amo repair --pbx {pbx} --from {from} --to {to} --enqueue"),
            ),
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
            Self::Dead { .. } => language.pick(
                "ami2amo queue list --state dead says why of each; then ami2amo queue retry or drop".to_owned(),
                "ami2amo queue list --state dead скажет почему; затем ami2amo queue retry или drop".to_owned(),
            ),
        }
    }
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

#[cfg(test)]
mod tests;
