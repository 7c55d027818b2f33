//! Pure: the page that `ami2amo status` prints.

use crate::ops::screen::table::{Cell, table};
use crate::ops::screen::{Line, Style, WIDTH, clean};
use crate::ops::status::problem::Severity;
use crate::ops::status::{AccountStatus, GapsStatus, LinkStatus, PbxStatus, Span, Status};
use crate::ops::words::Language;
use crate::ops::words::sending::batches;
use crate::outbox::courier::manner::Manner;
use crate::outbox::courier::standing::Standing;
use crate::time::HostTime;

/// Blanks before what goes on in the next line.
const MARGIN: usize = 4;

/// Events that come earlier are not worth a word, in milliseconds.
const LATE_MS: i64 = 1000;

/// The page, line by line; the last ones say what is wrong and what to do.
pub fn lines(status: &Status, language: Language) -> Vec<Line> {
    let mut lines = vec![head(status, language), Line::default()];
    lines.extend(pbxs(status, language));
    lines.push(Line::default());
    lines.extend(accounts(status, language));
    lines.push(Line::default());
    lines.push(of_outbox(status, language));
    lines.push(of_store(status, language));
    lines.push(Line::default());
    if status.severity() <= Some(Severity::Notice) {
        lines.push(Line::new(Style::Good, language.pick("All is well.", "Всё в порядке.")));
    }
    for problem in &status.problems {
        let style = match problem.severity() {
            Severity::Critical => Style::Bad,
            Severity::Warning => Style::Waiting,
            Severity::Notice => Style::Plain,
        };
        let mark = if problem.severity() == Severity::Notice { '-' } else { '!' };
        lines.push(Line::new(style, format!("{mark} {}", clean(&problem.text(language)))));
        let what = language.pick("what to do:", "что делать:");
        lines.push(Line::new(Style::Plain, format!("  {what} {}", clean(&problem.remedy(language)))));
    }
    lines.into_iter().flat_map(|line| line.fold(WIDTH, MARGIN)).collect()
}

fn head(status: &Status, language: Language) -> Line {
    let version = clean(&status.version);
    let up = span(status.uptime().as_secs(), language);
    let text = language.pick(
        format!("ami2amo {version}, up {up}, at {}", status.now),
        format!("ami2amo {version}, работает {up}, на {}", status.now),
    );
    Line::new(Style::Strong, text)
}

fn heading<const N: usize>(names: [&str; N]) -> Vec<Cell> {
    names.map(|name| (Style::Strong, name.to_owned())).to_vec()
}

fn pbxs(status: &Status, language: Language) -> Vec<Line> {
    let names = language.pick(
        ["PBX", "connection", "calls now", "ended", "in memory", "last event"],
        ["АТС", "связь", "идёт", "завершено", "в памяти", "событие"],
    );
    let rows = status.pbxs.iter().map(|pbx| of_pbx(pbx, status.now, language));
    let mut lines = table(&std::iter::once(heading(names)).chain(rows).collect::<Vec<_>>(), WIDTH);
    lines.extend(status.pbxs.iter().filter_map(|pbx| gaps(pbx, language)));
    lines
}

/// Times in which nobody watched the PBX, and what became of their calls.
fn gaps(pbx: &PbxStatus, language: Language) -> Option<Line> {
    let GapsStatus { count, seconds, found, waiting, unseen, ref last, .. } = pbx.gaps;
    let Span { from, to } = (*last)?;
    let (name, time) = (&pbx.name, span(seconds, language));
    let mut text = language.pick(
        format!(
            "  {name}: not watched {count} times since the start, {time} in all, last from {from} to {to}"
        ),
        format!(
            "  {name}: без наблюдения с запуска {count} раз, всего {time}, последний раз с {from} до {to}"
        ),
    );
    text += &language.pick(
        format!("; {found} calls taken from its records"),
        format!("; из записей АТС взято звонков: {found}"),
    );
    if waiting > 0 {
        text +=
            &language.pick(format!("; still looked for: {waiting}"), format!("; ещё проверяется: {waiting}"));
    }
    if unseen > 0 {
        text += &language.pick(format!("; without records: {unseen}"), format!("; без записей: {unseen}"));
    }
    let style = if unseen > 0 { Style::Waiting } else { Style::Faint };
    Some(Line::new(style, text))
}

fn of_pbx(pbx: &PbxStatus, now: HostTime, language: Language) -> Vec<Cell> {
    let (style, text) = match &pbx.link {
        LinkStatus::Up { asterisk: Some(version) } => {
            (Style::Good, format!("{}, Asterisk {version}", language.pick("up", "есть")))
        }
        LinkStatus::Up { asterisk: None } => (Style::Good, language.pick("up", "есть").to_owned()),
        LinkStatus::Connecting => (Style::Waiting, language.pick("connecting", "подключение").to_owned()),
        LinkStatus::Down { .. } => (Style::Bad, language.pick("down", "нет").to_owned()),
        LinkStatus::Refused { .. } => (Style::Bad, language.pick("refused", "не пускает").to_owned()),
        LinkStatus::NotRead => (Style::Bad, language.pick("not read", "не читается").to_owned()),
    };
    let none = || language.pick("none yet", "не было").to_owned();
    let mut last = pbx.last_event_at.map_or_else(none, |at| ago(at, now, language));
    if let Some(lag) = pbx.lag_ms.filter(|lag| *lag >= LATE_MS) {
        last += &language.pick(format!(", {} s late", lag / 1000), format!(", опоздало на {} с", lag / 1000));
    }
    vec![
        (Style::Plain, pbx.name.to_string()),
        (style, text),
        (Style::Plain, pbx.open.to_string()),
        (Style::Plain, pbx.finished.to_string()),
        (if pbx.backlog > 0 { Style::Bad } else { Style::Plain }, pbx.backlog.to_string()),
        (Style::Faint, last),
    ]
}

fn accounts(status: &Status, language: Language) -> Vec<Line> {
    let names = language.pick(
        ["amoCRM", "delivery", "last sent", "waiting", "oldest", "address"],
        ["amoCRM", "доставка", "последняя", "ждут", "старейший", "адрес"],
    );
    let rows = status.accounts.iter().map(|account| of_account(account, status.now, language));
    let mut lines = table(&std::iter::once(heading(names)).chain(rows).collect::<Vec<_>>(), WIDTH);
    for account in &status.accounts {
        lines.extend(last_error(account, status.now, language));
        lines.extend(slow_way(account, language));
    }
    lines
}

/// How the account answers a batch in which it refuses some calls, where that keeps calls from going together.
fn slow_way(account: &AccountStatus, language: Language) -> Option<Line> {
    let known = account.mixed_batches.filter(|known| known.answer != Manner::Partial)?;
    let text = format!("  {}: {}", account.name, batches(known.into(), language));
    Some(Line::new(Style::Faint, text))
}

/// What went wrong last, if nothing went well after it.
fn last_error(account: &AccountStatus, now: HostTime, language: Language) -> Option<Line> {
    let error = account.last_error.as_ref().filter(|error| account.last_sent_at < Some(error.at))?;
    let (name, ago, words) = (&account.name, ago(error.at, now, language), clean(&error.words));
    Some(Line::new(Style::Waiting, format!("  {name}: {ago}: {words}")))
}

fn ago(at: HostTime, now: HostTime, language: Language) -> String {
    let span = span(now.since(at).as_secs(), language);
    language.pick(format!("{span} ago"), format!("{span} назад"))
}

fn of_account(account: &AccountStatus, now: HostTime, language: Language) -> Vec<Cell> {
    let since = |since: HostTime| span(now.since(since).as_secs(), language);
    let (style, text) = match &account.standing {
        _ if account.paused.is_some() => (Style::Waiting, language.pick("paused", "на паузе").to_owned()),
        Standing::Starting => {
            (Style::Waiting, language.pick("no answer yet", "ответа ещё не было").to_owned())
        }
        Standing::Delivering if account.shadow => {
            (Style::Waiting, language.pick("shadow: compares", "тень: сверка").to_owned())
        }
        Standing::Delivering => (Style::Good, language.pick("delivering", "идёт").to_owned()),
        Standing::Troubled { since: at, .. } => {
            let since = since(*at);
            (Style::Waiting, language.pick(format!("in trouble for {since}"), format!("сбоит уже {since}")))
        }
        Standing::Held { why, since: at, .. } => {
            let since = since(*at);
            let text = language.pick(format!("held, {why}, for {since}"), format!("стоит, {why}, {since}"));
            (Style::Bad, text)
        }
    };
    let waiting: Vec<_> =
        account.waiting.iter().map(|(phase, count)| format!("{count} {}", phase.name())).collect();
    vec![
        (Style::Plain, account.name.to_string()),
        (style, text),
        (Style::Plain, account.last_sent_at.map_or_else(|| "-".to_owned(), |at| ago(at, now, language))),
        (Style::Plain, if waiting.is_empty() { "-".to_owned() } else { waiting.join(", ") }),
        (Style::Plain, account.oldest_at.map_or_else(|| "-".to_owned(), since)),
        (Style::Faint, account.address.clone().unwrap_or_default()),
    ]
}

fn of_outbox(status: &Status, language: Language) -> Line {
    let outbox = &status.outbox;
    let states: Vec<_> =
        outbox.by_state.iter().map(|(phase, count)| format!("{count} {}", phase.name())).collect();
    let ended = outbox.ended;
    let text = language.pick(format!("calls: {ended} ended"), format!("звонки: завершено {ended}"));
    let states = if states.is_empty() { String::new() } else { format!(" = {}", states.join(" + ")) };
    Line::new(Style::Plain, text + &states)
}

fn of_store(status: &Status, language: Language) -> Line {
    let store = &status.store;
    let mut line =
        Line::new(Style::Plain, format!("{} {}: ", language.pick("store", "хранилище"), clean(&store.dir)));
    match &store.failure {
        None => line.push(Style::Good, language.pick("open", "открыто")),
        Some(_) => line.push(Style::Bad, language.pick("takes no calls", "не принимает звонки")),
    }
    line.push(Style::Faint, format!(", {} KiB", store.bytes >> 10));
    if let Some(free) = store.free_bytes {
        let free = free >> 20;
        line.push(
            Style::Faint,
            language.pick(format!("; {free} MiB free"), format!("; свободно {free} МиБ")),
        );
    }
    line
}

/// `45 s`, `12 min`, `3 h 5 min`, `4 d 2 h`.
pub fn span(seconds: u64, language: Language) -> String {
    let [s, min, h, d] = language.pick(["s", "min", "h", "d"], ["с", "мин", "ч", "д"]);
    match seconds {
        0..60 => format!("{seconds} {s}"),
        60..3600 => format!("{} {min}", seconds / 60),
        3600..86_400 => format!("{} {h} {} {min}", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} {d} {} {h}", seconds / 86_400, seconds % 86_400 / 3600),
    }
}
