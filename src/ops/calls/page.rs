//! Pure: lists of calls as tables that fit a terminal, and what became of an order, in words.

use crate::call::id::{AccountId, CallId};
use crate::ops::calls::{Listing, Row};
use crate::ops::live::page::way;
use crate::ops::screen::table::{Cell, table};
use crate::ops::screen::{Line, Style, WIDTH, chop, clean, columns, wrap};
use crate::ops::words::{Language, why};
use crate::outbox::queue::Phase;
use crate::outbox::schedule::person::{Deed, Verdict};

/// What stands before a second line.
const MARGIN: &str = "    ";

/// Blanks before an id.
const GAP: usize = 2;

/// The table. Times are UTC.
pub fn lines(listing: &Listing, language: Language) -> Vec<Line> {
    let mut lines = Vec::new();
    if listing.calls.is_empty() {
        lines.push(Line::new(Style::Plain, language.pick("No calls.", "Звонков нет.")));
    } else {
        let head = language.pick(
            ["began (UTC)", "", "number", "ext.", "state"],
            ["начало (UTC)", "", "номер", "внутр.", "состояние"],
        );
        let head = head.map(|name| (Style::Strong, name.to_owned())).to_vec();
        let rows = listing.calls.iter().map(|row| cells(row, language));
        let mut table = table(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), WIDTH).into_iter();
        lines.extend(table.next());
        for (row, line) in listing.calls.iter().zip(table) {
            lines.extend(of_call(row, line, language));
        }
    }
    if listing.more {
        let text = language.pick(
            "Older ones are not shown: --limit, or a filter, shows more.",
            "Более старые не показаны: поможет --limit или фильтр.",
        );
        lines.push(Line::new(Style::Faint, text));
    }
    if listing.unreadable > 0 {
        let count = listing.unreadable;
        let text = language.pick(
            format!("! dead calls that cannot be read: {count}; a later ami2amo may know them"),
            format!("! нечитаемых недоставленных звонков: {count}; их может знать более новая версия"),
        );
        lines.push(Line::new(Style::Bad, text));
    }
    lines
}

fn cells(row: &Row, language: Language) -> Vec<Cell> {
    let began = row.started_at.to_string();
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    vec![
        (Style::Plain, began.get(5..19).unwrap_or(&began).replace('T', " ")),
        (Style::Plain, way(row.direction, language).to_owned()),
        (Style::Plain, or_none(&row.phone)),
        (Style::Plain, or_none(&row.extension)),
        (style(row.state), row.state.name().to_owned()),
    ]
}

/// The row with the call's id, and why it stands where it stands. The next command needs the id: it is
/// never cut.
fn of_call(row: &Row, mut line: Line, language: Language) -> Vec<Line> {
    let id = clean(row.call_id.as_str());
    let mut lines = Vec::new();
    if line.columns() + GAP + columns(&id) <= WIDTH {
        line.push(Style::Plain, format!("{}{id}", " ".repeat(GAP)));
        lines.push(line);
    } else {
        lines.push(line);
        lines.extend(
            chop(&id, WIDTH - MARGIN.len()).iter().map(|id| Line::new(Style::Plain, format!("{MARGIN}{id}"))),
        );
    }
    let reason = reason(row, language).map(|reason| wrap(&reason, WIDTH - MARGIN.len())).unwrap_or_default();
    lines.extend(reason.into_iter().map(|text| Line::new(Style::Faint, format!("{MARGIN}{text}"))));
    lines
}

/// Why it stands where it stands.
fn reason(row: &Row, language: Language) -> Option<String> {
    let next = row.next_at.filter(|_| row.attempts > 0 || row.reason.is_some());
    let next = next.map(|at| language.pick(format!("next at {at}"), format!("следующая попытка {at}")));
    let skip = row.skip.map(|skip| why::skip(skip, language).to_owned());
    let parts: Vec<String> = [row.reason.clone(), skip, next].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn style(phase: Phase) -> Style {
    match phase {
        Phase::Sent | Phase::Unsorted => Style::Good,
        Phase::Pending | Phase::Sending | Phase::Unknown | Phase::Parked => Style::Waiting,
        Phase::Dead => Style::Bad,
        Phase::Skipped | Phase::Expired => Style::Faint,
    }
}

/// What became of an order for one call.
pub fn verdict(call: &CallId, deed: Deed, verdict: Verdict, language: Language) -> Line {
    let style = if verdict == Verdict::Done { Style::Good } else { Style::Bad };
    Line::new(style, format!("{}: {}", clean(call.as_str()), verdict_words(deed, verdict, language)))
}

fn verdict_words(deed: Deed, verdict: Verdict, language: Language) -> &'static str {
    match (verdict, deed) {
        (Verdict::Done, Deed::Retry) => language.pick("it is tried again now", "новая попытка — сейчас"),
        (Verdict::Done, Deed::Drop) => language.pick(
            "it is given up (expired); `queue retry` takes it up again",
            "снят (expired); вернуть: `queue retry`",
        ),
        (Verdict::Absent, _) => language.pick(
            "there is no such call; `ami2amo history` lists those that are known",
            "такого звонка нет; известные покажет `ami2amo history`",
        ),
        (Verdict::Unreadable, _) => language.pick(
            "it cannot be read: it is damaged, or a later ami2amo wrote it",
            "не читается: повреждён или записан более новой версией",
        ),
        (Verdict::BeingSent, _) => language.pick(
            "it is being sent at this moment; ask again in a minute",
            "отправляется прямо сейчас; повторите через минуту",
        ),
        (Verdict::LookedUp, _) => language.pick(
            "amoCRM may have it: it is looked up first, by itself",
            "возможно, он уже в amoCRM: сначала это проверяется, само",
        ),
        (Verdict::InDoubt, _) => language.pick(
            "amoCRM may have it (on-unknown = \"hold\"): look there, and where it is missing name it: `queue retry CALL`",
            "возможно, он уже в amoCRM (on-unknown = \"hold\"): проверьте и, если его нет, назовите: `queue retry CALL`",
        ),
        (Verdict::Delivered, _) => language.pick("it is in amoCRM already", "он уже в amoCRM"),
        (Verdict::Skipped, _) => language.pick(
            "policy says that it is not sent; `ami2amo explain` says which",
            "его не отправляет политика; какая — скажет `ami2amo explain`",
        ),
        (Verdict::Forgotten, _) => language.pick(
            "its number was forgotten: there is nobody to tell of it",
            "его номер забыт: сообщать не о ком",
        ),
        (Verdict::GivenUp, _) => language.pick("it was given up before", "он уже снят"),
    }
}

/// What a person is asked before many calls are stepped into.
pub fn question(count: usize, deed: Deed, language: Language) -> String {
    match deed {
        Deed::Retry => language
            .pick(format!("Try {count} calls again now?"), format!("Повторить отправку, звонков: {count}?")),
        Deed::Drop => {
            language.pick(format!("Give {count} calls up?"), format!("Снять с отправки, звонков: {count}?"))
        }
    }
}

/// What became of a pause or its end.
pub fn paused(account: &AccountId, is_paused: bool, changed: bool, language: Language) -> String {
    match (is_paused, changed) {
        (true, true) => language.pick(
            format!(
                "Delivery to account {account} stands still; calls wait. It goes on with: ami2amo resume"
            ),
            format!("Доставка в аккаунт {account} остановлена, звонки ждут. Продолжить: ami2amo resume"),
        ),
        (true, false) => language.pick(
            format!("Delivery to account {account} stood still already."),
            format!("Доставка в аккаунт {account} уже была остановлена."),
        ),
        (false, true) => language.pick(
            format!("Delivery to account {account} goes on."),
            format!("Доставка в аккаунт {account} продолжается."),
        ),
        (false, false) => language.pick(
            format!("Delivery to account {account} was not paused."),
            format!("Доставка в аккаунт {account} не была остановлена."),
        ),
    }
}

/// That the store was opened by this command, because no daemon runs.
pub fn without_daemon(language: Language) -> &'static str {
    language.pick(
        "the daemon does not run: this is from the store itself",
        "демон не запущен: ответ — из самого хранилища",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::{Direction, Skip, sample};
    use crate::ops::calls::VERSION;
    use crate::outbox::queue::Seq;
    use crate::outbox::schedule::Slip;
    use crate::time::HostTime;

    fn row(id: &str) -> Row {
        let mut call = sample::call("1795337591.4");
        call.record.call_id = CallId::from_text(id);
        Slip::new(Seq(1), &call.record, HostTime::default()).into_item(call).into()
    }

    fn text(listing: &Listing, language: Language) -> String {
        lines(listing, language).iter().map(|line| line.plain() + "\n").collect()
    }

    fn listing() -> Listing {
        let dead = Row {
            state: Phase::Dead,
            next_at: None,
            reason: Some(
                "amoCRM refused the call: responsible_user_id: no such user in the account".to_owned(),
            ),
            ..row("default-1795337591.4")
        };
        let parked = Row {
            state: Phase::Parked,
            attempts: 2,
            next_at: Some(HostTime::from_micros(1_795_337_600_000_000)),
            direction: Direction::Outbound,
            ..row("a-name-as-long-as-names-may-be-32-1795337591.12345~2")
        };
        let skipped =
            Row { state: Phase::Skipped, skip: Some(Skip::Anonymous), phone: None, ..row("default-1.1") };
        Listing { v: VERSION, calls: vec![dead, parked, skipped], more: true, unreadable: 1 }
    }

    #[test]
    fn a_list_fits_the_terminal_and_no_id_is_cut() {
        insta::assert_snapshot!(text(&listing(), Language::En), @r"
        began (UTC)          number       ext.  state
        11-22 09:13:11  in   79161234568  101   dead     default-1795337591.4
            amoCRM refused the call: responsible_user_id: no such user in the account
        11-22 09:13:11  out  79161234568  101   parked
            a-name-as-long-as-names-may-be-32-1795337591.12345~2
            next at 2026-11-22T08:53:20.000Z
        11-22 09:13:11  in   -            101   skipped  default-1.1
            the outside number is not known
        Older ones are not shown: --limit, or a filter, shows more.
        ! dead calls that cannot be read: 1; a later ami2amo may know them
        ");
        for language in [Language::En, Language::Ru] {
            assert!(lines(&listing(), language).iter().all(|line| line.columns() <= WIDTH));
            assert!(
                listing().calls.iter().all(|row| text(&listing(), language).contains(row.call_id.as_str()))
            );
        }
    }

    #[test]
    fn no_calls_are_said_to_be_none() {
        let none = Listing { v: VERSION, calls: Vec::new(), more: false, unreadable: 0 };
        assert_eq!(text(&none, Language::En), "No calls.\n");
    }

    #[test]
    fn what_a_name_holds_cannot_play_with_the_terminal() {
        let hostile = |text: &str| Some(format!("{text}\u{1b}[2J\u{202e}"));
        let row = Row {
            phone: hostile("+7"),
            extension: hostile("1"),
            reason: hostile("no"),
            ..row("default-\u{1b}[2J")
        };
        let listing = Listing { v: VERSION, calls: vec![row], more: false, unreadable: 0 };
        assert!(!text(&listing, Language::En).contains(['\u{1b}', '\u{202e}']));
    }
}
