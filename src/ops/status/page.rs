//! Pure: the page that `ami2amo status` prints.

use crate::ops::screen::{Line, Style, clean};
use crate::ops::status::{AccountStatus, LinkStatus, PbxStatus, Status};
use crate::ops::words::Language;
use crate::outbox::courier::standing::Standing;
use crate::outbox::queue::Phase;
use crate::time::HostTime;

/// The page, line by line; the last ones say what is wrong and what to do.
pub fn lines(status: &Status, language: Language) -> Vec<Line> {
    let mut lines = vec![head(status, language), Line::default()];
    for pbx in &status.pbxs {
        lines.push(of_pbx(pbx, status.now, language));
    }
    for account in &status.accounts {
        lines.push(of_account(account, status.now, language));
    }
    lines.push(of_outbox(status, language));
    lines.push(of_store(status, language));
    lines.push(Line::default());
    if status.problems.is_empty() {
        lines.push(Line::new(Style::Good, language.pick("All is well.", "Всё в порядке.")));
    }
    for problem in &status.problems {
        lines.push(Line::new(Style::Bad, format!("! {}", clean(&problem.text(language)))));
        let what = language.pick("what to do:", "что делать:");
        lines.push(Line::new(Style::Plain, format!("  {what} {}", clean(&problem.remedy(language)))));
    }
    lines
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

fn of_pbx(pbx: &PbxStatus, now: HostTime, language: Language) -> Line {
    let mut line = Line::new(Style::Plain, format!("{} {}: ", language.pick("PBX", "АТС"), pbx.name));
    let (style, text) = match &pbx.link {
        LinkStatus::Up { asterisk: Some(version) } => {
            (Style::Good, format!("{}, Asterisk {}", language.pick("up", "на связи"), clean(version)))
        }
        LinkStatus::Up { asterisk: None } => (Style::Good, language.pick("up", "на связи").to_owned()),
        LinkStatus::Connecting => (Style::Waiting, language.pick("connecting", "подключение").to_owned()),
        LinkStatus::Down { .. } => (Style::Bad, language.pick("down", "нет связи").to_owned()),
        LinkStatus::NotRead => (Style::Bad, language.pick("not read", "не читается").to_owned()),
    };
    line.push(style, text);
    let (open, finished) = (pbx.open, pbx.finished);
    let calls = language.pick(
        format!("; calls: {open} in progress, {finished} ended"),
        format!("; звонки: идёт {open}, завершено {finished}"),
    );
    line.push(Style::Plain, calls);
    if let Some(at) = pbx.last_event_at {
        let ago = span(now.since(at).as_secs(), language);
        line.push(
            Style::Faint,
            language.pick(format!("; last event {ago} ago"), format!("; событие {ago} назад")),
        );
    }
    if let Some(lag) = pbx.lag_ms.filter(|lag| *lag >= 1000) {
        line.push(
            Style::Waiting,
            language.pick(format!(", {lag} ms late"), format!(", опоздало на {lag} мс")),
        );
    }
    if pbx.backlog > 0 {
        let backlog = pbx.backlog;
        line.push(
            Style::Bad,
            language.pick(format!("; {backlog} calls in memory"), format!("; в памяти звонков: {backlog}")),
        );
    }
    line
}

fn of_account(account: &AccountStatus, now: HostTime, language: Language) -> Line {
    let mut line = Line::new(Style::Plain, format!("amoCRM {}: ", account.name));
    let (style, text) = match &account.standing {
        Standing::Starting => {
            (Style::Waiting, language.pick("no answer yet", "ответа ещё не было").to_owned())
        }
        Standing::Delivering => (Style::Good, language.pick("delivering", "доставляет").to_owned()),
        Standing::Troubled { since, .. } => {
            let since = span(now.since(*since).as_secs(), language);
            (Style::Waiting, language.pick(format!("in trouble for {since}"), format!("сбоит уже {since}")))
        }
        Standing::Held { why, since, .. } => {
            let since = span(now.since(*since).as_secs(), language);
            (
                Style::Bad,
                language.pick(format!("held for {since} ({why})"), format!("стоит уже {since} ({why})")),
            )
        }
    };
    line.push(style, text);
    if let Some(address) = &account.address {
        line.push(Style::Faint, format!("; {}", clean(address)));
    }
    let waiting: Vec<_> =
        account.waiting.iter().map(|(phase, count)| format!("{count} {}", name(*phase))).collect();
    if !waiting.is_empty() {
        line.push(Style::Plain, format!("; {} {}", language.pick("waiting:", "ждут:"), waiting.join(", ")));
    }
    if let Some(at) = account.oldest_at {
        let age = span(now.since(at).as_secs(), language);
        line.push(
            Style::Plain,
            language.pick(format!("; the oldest for {age}"), format!("; старейший {age}")),
        );
    }
    line
}

fn of_outbox(status: &Status, language: Language) -> Line {
    let outbox = &status.outbox;
    let states: Vec<_> =
        outbox.by_state.iter().map(|(phase, count)| format!("{count} {}", name(*phase))).collect();
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

/// The name of a state, as logs, metrics and command line have it.
pub fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "pending",
        Phase::Sending => "sending",
        Phase::Sent => "sent",
        Phase::Unknown => "unknown",
        Phase::Parked => "parked",
        Phase::Unsorted => "unsorted",
        Phase::Skipped => "skipped",
        Phase::Expired => "expired",
        Phase::Dead => "dead",
    }
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
