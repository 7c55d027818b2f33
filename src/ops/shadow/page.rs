//! Pure: the report of shadow mode as a page that fits a terminal.

use std::collections::BTreeMap;

use crate::ops::live::page::way;
use crate::ops::screen::table::{Cell, table};
use crate::ops::screen::{Line, Style, WIDTH, clean, wrap};
use crate::ops::shadow::{Listed, OfSource, Report, What};
use crate::ops::words::{Language, comparison};
use crate::outbox::compare::{Compared, Difference};
use crate::time::HostTime;

/// What stands before a second line.
const MARGIN: &str = "    ";

/// The page: counts, what differs, who wrote, and each call and note that is not the same.
pub fn lines(report: &Report, language: Language) -> Vec<Line> {
    if report.calls == 0 && report.extra == 0 {
        let text = language.pick(
            "No calls of shadow mode: delivery = \"shadow\" in [amocrm] begins it (docs/shadow.md).",
            "Звонков теневого режима нет: его включает delivery = \"shadow\" в [amocrm] (docs/shadow.ru.md).",
        );
        return fold(vec![Line::new(Style::Plain, text)]);
    }
    let mut lines = counts(report, language);
    lines.extend(differing(&report.differences, language));
    lines.push(Line::default());
    lines.extend(sources(&report.sources, language));
    if !report.listed.is_empty() {
        lines.push(Line::default());
        lines.extend(listed(&report.listed, language));
    }
    if report.more {
        let text = language.pick(
            "Older ones are not shown: --limit, --from or --to shows more.",
            "Более старые не показаны: помогут --limit, --from или --to.",
        );
        lines.push(Line::new(Style::Faint, text));
    }
    fold(lines)
}

fn counts(report: &Report, language: Language) -> Vec<Line> {
    let calls = report.calls;
    let head = language.pick(
        format!("Shadow mode: {calls} calls, beside the notes of amoCRM"),
        format!("Теневой режим: звонков {calls}, рядом с примечаниями amoCRM"),
    );
    let names = language.pick(
        ["the same", "different", "missing in amoCRM", "only in amoCRM", "not compared yet"],
        ["совпало", "отличается", "нет в amoCRM", "есть только в amoCRM", "ещё не сверено"],
    );
    let counts = [report.same, report.different, report.missing, report.extra, report.not_compared];
    let styles = [Style::Good, Style::Waiting, Style::Bad, Style::Waiting, Style::Faint];
    let rows = names.into_iter().zip(counts).zip(styles).map(|((name, count), style)| {
        let style = if count == 0 { Style::Faint } else { style };
        vec![(Style::Plain, format!("  {name}")), (style, count.to_string())]
    });
    let mut lines = vec![Line::new(Style::Strong, head)];
    lines.extend(table(&rows.collect::<Vec<Vec<Cell>>>(), WIDTH));
    lines
}

/// What differs, the most often first.
fn differing(differences: &BTreeMap<String, u64>, language: Language) -> Option<Line> {
    let mut counted: Vec<(&String, &u64)> = differences.iter().collect();
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let words: Vec<String> =
        counted.iter().map(|(field, count)| format!("{} {count}", said(field, language))).collect();
    let head = language.pick("what differs:", "что отличается:");
    (!words.is_empty()).then(|| Line::new(Style::Plain, format!("  {head} {}", words.join(", "))))
}

/// A field of the JSON in words.
fn said(field: &str, language: Language) -> &'static str {
    let difference = match field {
        "direction" => Difference::Direction { ours_inbound: true },
        "duration" => Difference::Duration { ours: 0, theirs: 0 },
        "status" => Difference::Status { ours: 0, theirs: 0 },
        "responsible" => Difference::Responsible { ours: 0, theirs: 0 },
        "phone-form" => Difference::PhoneForm { ours: String::new(), theirs: String::new() },
        "link" => Difference::Link { ours: true },
        "doubled" => Difference::Doubled { notes: 2 },
        _ => Difference::Other,
    };
    comparison::name(&difference, language)
}

fn sources(sources: &BTreeMap<String, OfSource>, language: Language) -> Vec<Line> {
    let head = language.pick(
        ["written by (source)", "same", "different", "only there"],
        ["кто написал (source)", "совпало", "отличается", "только там"],
    );
    let head = head.map(|name| (Style::Strong, name.to_owned())).to_vec();
    let rows = sources.iter().map(|(source, known)| {
        let count = |count: u64| (Style::Plain, count.to_string());
        let source = (Style::Plain, clean(source));
        vec![source, count(known.same), count(known.different), count(known.extra)]
    });
    if sources.is_empty() {
        let text = language.pick("amoCRM has no call notes.", "Примечаний о звонках в amoCRM нет.");
        return vec![Line::new(Style::Plain, text)];
    }
    table(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), WIDTH)
}

fn listed(listed: &[Listed], language: Language) -> Vec<Line> {
    let head =
        language.pick(["began (UTC)", "", "number", "amoCRM"], ["начало (UTC)", "", "номер", "amoCRM"]);
    let head = head.map(|name| (Style::Strong, name.to_owned())).to_vec();
    let rows = listed.iter().map(|one| cells(one, language));
    let mut table = table(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), WIDTH).into_iter();
    let mut lines: Vec<Line> = table.next().into_iter().collect();
    for (one, line) in listed.iter().zip(table) {
        lines.push(line);
        let detail = wrap(&detail(one, language), WIDTH - MARGIN.len()).into_iter();
        lines.extend(detail.map(|text| Line::new(Style::Faint, format!("{MARGIN}{text}"))));
    }
    lines
}

fn cells(one: &Listed, language: Language) -> Vec<Cell> {
    let began = one.at.to_string();
    let (style, what) = match one.what {
        What::Different => (Style::Waiting, language.pick("different", "отличается")),
        What::Missing => (Style::Bad, language.pick("missing", "нет")),
        What::Extra => (Style::Waiting, language.pick("only there", "только там")),
    };
    vec![
        (Style::Plain, began.get(5..19).unwrap_or(&began).replace('T', " ")),
        (Style::Plain, way(one.direction, language).to_owned()),
        (Style::Plain, one.phone.as_deref().map(clean).unwrap_or_default()),
        (style, what.to_owned()),
    ]
}

/// The call's id for `explain`, what differs, and the notes.
fn detail(one: &Listed, language: Language) -> String {
    let id = one.call_id.as_ref().map(|id| clean(id.as_str()));
    let differences = comparison::differences(&one.differences, language);
    let compared = Compared { notes: one.notes.clone(), at: HostTime::default(), ..Compared::default() };
    let notes = clean(&comparison::notes(&compared, language));
    let parts = [id, Some(clean(&differences)), Some(notes)].into_iter().flatten();
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

fn fold(lines: Vec<Line>) -> Vec<Line> {
    lines.into_iter().flat_map(|line| line.fold(WIDTH, MARGIN.len())).collect()
}
