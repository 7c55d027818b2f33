//! Pure: the page that `ami2amo calls` prints.

use std::time::Duration;

use crate::call::classify::live::{LiveCall, LiveState};
use crate::call::record::Direction;
use crate::ops::live::{Live, LivePbx};
use crate::ops::screen::table::{Cell, table};
use crate::ops::screen::{Line, Style, WIDTH, clean};
use crate::ops::status::LinkStatus;
use crate::ops::words::{self, Language};
use crate::time::PbxTime;

/// Blanks before what goes on in the next line.
const MARGIN: usize = 4;

/// The page, line by line.
pub fn lines(live: &Live, language: Language) -> Vec<Line> {
    let mut lines = Vec::new();
    for pbx in &live.pbxs {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.extend(of_pbx(pbx, language).into_iter().flat_map(|line| line.fold(WIDTH, MARGIN)));
        lines.extend(calls(pbx, language));
        lines.extend(more(pbx, language));
    }
    lines
}

/// How many there are, and what keeps them from being the truth.
fn of_pbx(pbx: &LivePbx, language: Language) -> Vec<Line> {
    let (name, open) = (&pbx.name, pbx.open);
    let text = language
        .pick(format!("PBX {name}: calls in progress: {open}"), format!("АТС {name}: идёт звонков: {open}"));
    let mut lines = vec![Line::new(Style::Strong, text)];
    let trouble = match &pbx.link {
        LinkStatus::Up { .. } => None,
        LinkStatus::Connecting => Some(language.pick(
            "not connected yet: what happens there is not seen".to_owned(),
            "связи ещё нет: что там происходит, не видно".to_owned(),
        )),
        LinkStatus::Down { reason } | LinkStatus::Refused { reason } => Some(language.pick(
            format!("not connected, this is as of the last event: {reason}"),
            format!("связи нет, здесь то, что известно на последнее событие: {reason}"),
        )),
        LinkStatus::NotRead => Some(language.pick(
            "not read, because the store takes no calls: `ami2amo status` says why".to_owned(),
            "не читается, потому что хранилище не принимает звонки: причина — в `ami2amo status`".to_owned(),
        )),
    };
    let words = trouble.into_iter().chain(pbx.failure.clone());
    lines.extend(words.map(|words| Line::new(Style::Bad, format!("! {}", clean(&words)))));
    lines
}

fn calls(pbx: &LivePbx, language: Language) -> Vec<Line> {
    let Some(now) = pbx.now.filter(|_| !pbx.calls.is_empty()) else { return Vec::new() };
    let head = language.pick(
        ["lasts", "", "number", "ext.", "state", "for", "line"],
        ["длится", "", "номер", "внутр.", "состояние", "уже", "линия"],
    );
    let head = head.map(|name| (Style::Strong, name.to_owned())).to_vec();
    let rows = pbx.calls.iter().map(|call| cells(call, now, language));
    table(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), WIDTH)
}

fn cells(call: &LiveCall, now: PbxTime, language: Language) -> Vec<Cell> {
    let or_none = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let style = style(call.state);
    vec![
        (Style::Plain, span(now.since(call.started_at))),
        (Style::Plain, way(call.direction, language).to_owned()),
        (Style::Plain, or_none(call.phone.as_deref())),
        (Style::Plain, people(call, language)),
        (style, state(call.state, language).to_owned()),
        (style, span(now.since(call.since))),
        (Style::Faint, or_none(call.queue.as_deref().or(call.line.as_deref()))),
    ]
}

/// Who talks; else who rings; else whose call it is.
fn people(call: &LiveCall, language: Language) -> String {
    let names = |names: &[String]| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        words::list(&names, language)
    };
    match (call.talking.as_slice(), call.ringing.as_slice()) {
        ([], []) => call.extension.clone().unwrap_or_else(|| "-".to_owned()),
        ([], ringing) => names(ringing),
        (talking, []) => names(talking),
        (talking, ringing) => format!("{} → {}", names(talking), names(ringing)),
    }
}

fn more(pbx: &LivePbx, language: Language) -> Option<Line> {
    let shown = pbx.calls.len();
    let text = language.pick(
        format!("These are the newest {shown}; there are older ones."),
        format!("Показаны последние {shown}; есть и более старые."),
    );
    pbx.more.then(|| Line::new(Style::Faint, text))
}

/// Which way a call goes, in a column of a table.
pub fn way(direction: Direction, language: Language) -> &'static str {
    match direction {
        Direction::Inbound => language.pick("in", "вх"),
        Direction::Outbound => language.pick("out", "исх"),
        Direction::Internal => language.pick("int", "вн"),
    }
}

fn state(state: LiveState, language: Language) -> &'static str {
    match state {
        LiveState::DialPlan => language.pick("dial plan", "меню"),
        LiveState::Queued => language.pick("queue", "очередь"),
        LiveState::Ringing => language.pick("ringing", "вызов"),
        LiveState::Talking => language.pick("talking", "разговор"),
        LiveState::Held => language.pick("on hold", "удержание"),
        LiveState::Parked => language.pick("parked", "парковка"),
        LiveState::Ending => language.pick("ending", "завершение"),
    }
}

fn style(state: LiveState) -> Style {
    match state {
        LiveState::Talking => Style::Good,
        LiveState::Queued | LiveState::Ringing | LiveState::Held | LiveState::Parked => Style::Waiting,
        LiveState::DialPlan => Style::Plain,
        LiveState::Ending => Style::Faint,
    }
}

/// `0:07`, `12:30`, `1:02:03`.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds % 3600 / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::call::id::{CallId, PbxName};
    use crate::ops::live::VERSION;
    use crate::time::HostTime;

    const NOW: i64 = 1_795_337_600_000_000;

    fn call(state: LiveState, talking: &[&str], ringing: &[&str]) -> LiveCall {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        LiveCall {
            call_id: CallId::from_text("default-1795337591.4"),
            direction: Direction::Inbound,
            phone: Some("+79161234568".to_owned()),
            line: Some("74957000101".to_owned()),
            queue: None,
            state,
            since: PbxTime::from_micros(NOW - 7_000_000),
            talking: own(talking),
            ringing: own(ringing),
            extension: None,
            started_at: PbxTime::from_micros(NOW - 3_723_000_000),
            answered_at: None,
        }
    }

    fn some() -> Live {
        let out = LiveCall {
            direction: Direction::Outbound,
            extension: Some("102".to_owned()),
            queue: Some("sales".to_owned()),
            ..call(LiveState::Ringing, &[], &[])
        };
        let pbx = LivePbx {
            name: PbxName::default(),
            link: LinkStatus::Up { asterisk: None },
            now: Some(PbxTime::from_micros(NOW)),
            open: 3,
            calls: vec![
                call(LiveState::Talking, &["101"], &["105"]),
                out,
                call(LiveState::Ringing, &[], &["103", "104", "105", "106", "107", "108", "109"]),
            ],
            more: true,
            failure: None,
        };
        let silent = LivePbx {
            name: PbxName::new("spb").unwrap(),
            link: LinkStatus::Down { reason: "connection\u{1b}[2J refused".to_owned() },
            calls: Vec::new(),
            more: false,
            now: None,
            open: 1,
            failure: Some("the calls in progress cannot be told now".to_owned()),
        };
        Live { v: VERSION, now: HostTime::from_micros(NOW), pbxs: vec![pbx, silent] }
    }

    fn text(live: &Live, language: Language) -> String {
        lines(live, language).iter().map(|line| line.plain() + "\n").collect()
    }

    #[test]
    fn who_talks_and_who_rings_stands_in_a_table_that_fits() {
        insta::assert_snapshot!(text(&some(), Language::En), @r"
        PBX default: calls in progress: 3
        lasts         number        ext.                      state    for   line
        1:02:03  in   +79161234568  101 → 105                 talking  0:07  74957000101
        1:02:03  out  +79161234568  102                       ringing  0:07  sales
        1:02:03  in   +79161234568  103, 104, 105, 106 and …  ringing  0:07  74957000101
        These are the newest 3; there are older ones.

        PBX spb: calls in progress: 1
        ! not connected, this is as of the last event: connection�[2J refused
        ! the calls in progress cannot be told now
        ");
        for language in [Language::En, Language::Ru] {
            assert!(lines(&some(), language).iter().all(|line| line.columns() <= WIDTH));
            assert!(!text(&some(), language).contains('\u{1b}'));
        }
    }

    #[test]
    fn every_state_has_its_own_word() {
        for language in [Language::En, Language::Ru] {
            let words: BTreeSet<_> = LiveState::ALL.iter().map(|it| state(*it, language)).collect();
            assert_eq!(words.len(), LiveState::ALL.len());
        }
    }
}
