//! Pure: what happened in a call and why, as a page for a terminal or an object for tools.
//!
//! A page has the call's heading, the ladder, the reasons of every decision, and what amoCRM was or
//! would be told. Nothing on it is wider than [`WIDTH`], and nothing that a name holds can play with
//! the terminal.

use serde::Serialize;

use crate::amo::calls::{self, Entry};
use crate::amo::settings::{Settings, Unmapped};
use crate::amo::who;
use crate::call::record::{CallRecord, FinishedCall, Seconds, Skip, Timeline};
use crate::call::why::Why;
use crate::ops::screen::{Line, Style, WIDTH, cell, chop, columns, escape, fit, wrap};
use crate::ops::sides;
use crate::ops::words::act::long;
use crate::ops::words::sending::{Standing, batches, sending};
use crate::ops::words::{self, Language, why};
use crate::outbox::courier::manner::{Known, Manner};
use crate::outbox::queue::State;
use crate::outbox::search::{Found, Whereabouts};

pub mod cast;
pub mod ladder;
pub mod lives;
pub mod steps;

/// The margin of what stands under a heading.
const MARGIN: &str = "  ";
/// Columns for the label of a reason.
const LABEL: usize = 15;
/// Shorter times are shown as none, in milliseconds.
const SHOWN_MIN: u64 = 50;

/// What is known beside a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around<'a> {
    /// Those of the configuration, if there is one.
    pub settings: Option<&'a Settings>,
    /// How far local time is ahead of UTC, in seconds.
    pub utc_offset: i32,
    /// How the account was found to answer a batch in which it refuses some calls.
    pub manner: Option<Known>,
}

/// The page of a call.
pub fn page(found: &Found, around: Around<'_>, language: Language) -> Vec<Line> {
    let FinishedCall { record, timeline } = &found.call;
    let mut lines = heading(record, language);
    lines.push(Line::default());
    lines.extend(story(record, timeline, language));
    lines.push(Line::default());
    lines.push(Line::new(Style::Strong, language.pick("Why", "Почему")));
    lines.extend(reasons(record, language));
    lines.push(Line::default());
    lines.push(Line::new(Style::Strong, "amoCRM"));
    lines.extend(delivery(found, around, language));
    lines
}

/// Where a call stands, and what is posted of it: the page without story and reasons.
pub fn standing(found: &Found, around: Around<'_>, language: Language) -> Vec<Line> {
    let mut lines = heading(&found.call.record, language);
    lines.extend(delivery(found, around, language));
    lines
}

/// The same as [`page`] for tools, on one line.
///
/// # Errors
/// When the call has no JSON, which no call of ours lacks.
pub fn json(found: &Found, around: Around<'_>, language: Language) -> serde_json::Result<String> {
    let Found { call: FinishedCall { record, timeline }, whereabouts } = found;
    let sending = sending(record, whereabouts, around.settings, language);
    let reasons = record.why.iter().map(|why| Reason {
        label: why::label(why, language),
        text: why::why(why, record.direction, language),
    });
    let (source, state) = match whereabouts {
        Whereabouts::Capture => ("capture", None),
        Whereabouts::Store(slip) => ("store", Some(&slip.state)),
        Whereabouts::Journal(_) => ("journal", None),
    };
    let object = Object {
        v: 1,
        record,
        timeline,
        reasons: reasons.collect(),
        amocrm: Delivery {
            source,
            state,
            text: sending.text.trim_end_matches(':').to_owned(),
            advice: sending.advice,
            entry: if is_told(record) { entry(found, around).ok() } else { None },
            mixed_batches: around.manner.map(|known| known.manner),
        },
    };
    serde_json::to_string(&object).map(|json| escape(&json))
}

/// Keys are only ever added.
#[derive(Serialize)]
struct Object<'a> {
    v: u32,
    record: &'a CallRecord,
    timeline: &'a Timeline,
    reasons: Vec<Reason>,
    amocrm: Delivery<'a>,
}

#[derive(Serialize)]
struct Reason {
    label: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Delivery<'a> {
    /// `capture`, `store` or `journal`: where the state is known from.
    source: &'static str,
    #[serde(flatten)]
    state: Option<&'a State>,
    text: String,
    advice: Vec<String>,
    /// What was or would be posted.
    entry: Option<Entry>,
    /// `partial`, `refused` or `opaque`.
    #[serde(skip_serializing_if = "Option::is_none")]
    mixed_batches: Option<Manner>,
}

fn heading(record: &CallRecord, language: Language) -> Vec<Line> {
    let mut lines = vec![Line::new(Style::Strong, fit(record.call_id.as_str(), WIDTH))];
    let way = words::direction(record.direction, language);
    let outcome = words::outcome(record.outcome, record.direction, language);
    let partial =
        if record.partial { language.pick(" (partly seen)", " (виден не весь)") } else { "" };
    let phone = record.phone_e164.as_ref().or(record.phone.as_ref());
    let phone = phone.map(|phone| format!(" {phone}")).unwrap_or_default();
    lines.extend(under(&format!("{way}{phone}: {outcome}{partial}"), Style::Plain));
    let started = record.started_at.to_string();
    let (day, time) = started.split_once('T').unwrap_or((&started, ""));
    let time = time.get(..8).unwrap_or_default();
    let length = |name: &str, seconds: Seconds| {
        let unit = language.pick("s", "с");
        let span = std::time::Duration::from_millis(seconds.millis());
        (seconds.millis() >= SHOWN_MIN).then(|| format!(", {name} {}", long(span, unit)))
    };
    let lengths = [
        length(language.pick("waited", "ожидание"), record.wait_seconds),
        length(language.pick("talked", "разговор"), record.talk_seconds),
        length(language.pick("on hold", "удержание"), record.hold_seconds),
    ];
    let lengths: String = lengths.into_iter().flatten().collect();
    lines.extend(under(&format!("{day} {time} UTC{lengths}"), Style::Plain));
    if let Some(recording) = &record.recording {
        lines.extend(under(&format!("{} {recording}", language.pick("recording", "запись")), Style::Plain));
    }
    lines
}

fn story(record: &CallRecord, timeline: &Timeline, language: Language) -> Vec<Line> {
    if timeline.is_empty() {
        let has_number = [&record.phone, &record.phone_e164, &record.phone_raw].iter().any(|n| n.is_some());
        let text = if has_number || !record.why.is_empty() {
            language
                .pick("Its story was too long to be kept.", "Ход звонка был слишком длинным и не сохранён.")
        } else {
            language.pick(
                "Its number was forgotten, and its story with it.",
                "Его номер забыт, и ход звонка тоже.",
            )
        };
        return under(text, Style::Faint);
    }
    let mut lines = ladder::ladder(record, timeline, language);
    if timeline.dropped > 0 {
        let dropped = timeline.dropped;
        let text = language
            .pick(format!("{dropped} moments were left out"), format!("пропущено моментов: {dropped}"));
        lines.extend(under(&text, Style::Faint));
    }
    lines
}

fn reasons(record: &CallRecord, language: Language) -> Vec<Line> {
    let mut lines = Vec::new();
    for reason in &record.why {
        lines.extend(labelled(why::label(reason, language), &why::why(reason, record.direction, language)));
        if let Why::Phone { .. } = reason {
            lines.extend(number(record).map(|text| labelled("", &text)).unwrap_or_default());
        }
    }
    for doubt in words::sides::doubts(record) {
        lines.extend(sides::advice(&doubt, language));
    }
    lines
}

/// `89161234567 → +79161234567`, when the rules changed the number.
fn number(record: &CallRecord) -> Option<String> {
    let raw = record.phone_raw.as_deref()?;
    let phone = record.phone_e164.as_deref().or(record.phone.as_deref())?;
    (raw != phone).then(|| format!("{raw} → {phone}"))
}

fn delivery(found: &Found, around: Around<'_>, language: Language) -> Vec<Line> {
    let Found { call: FinishedCall { record, .. }, whereabouts } = found;
    let sending = sending(record, whereabouts, around.settings, language);
    let style = match sending.standing {
        Standing::Delivered => Style::Good,
        Standing::Waits => Style::Plain,
        Standing::NotSent => Style::Waiting,
        Standing::Stuck => Style::Bad,
    };
    let mut lines = under(&sending.text, style);
    for advice in &sending.advice {
        lines.extend(arrowed(advice));
    }
    if let Some(known) = around.manner {
        lines.extend(under(&batches(known, language), Style::Faint));
    }
    if is_told(record) {
        match entry(found, around) {
            Ok(entry) => lines.extend(object(&entry)),
            Err(unfit) => lines.extend(arrowed(&unfit.to_string())),
        }
        if around.settings.is_none() {
            let text = language.pick(
                "With --config, users and links of the configuration stand in it.",
                "С --config здесь будут пользователи и ссылки из конфигурации.",
            );
            lines.extend(under(text, Style::Faint));
        }
    }
    lines
}

/// Whether there is something that is told of the call, or would be.
fn is_told(record: &CallRecord) -> bool {
    matches!(record.skip, None | Some(Skip::Shadow))
}

/// The call as it stands in a request; there the request's own id counts from 0.
fn entry(found: &Found, around: Around<'_>) -> Result<Entry, calls::Unfit> {
    let record = &found.call.record;
    // Without a configuration nobody knows who has no user.
    let defaults = Settings { unmapped: Unmapped::Omit, ..Settings::default() };
    let settings = around.settings.unwrap_or(&defaults);
    // Where it was booked on somebody else than the configuration says, the store has him.
    let errand = match &found.whereabouts {
        Whereabouts::Store(slip) => Some(&slip.errand),
        Whereabouts::Capture | Whereabouts::Journal(_) => None,
    };
    let who = errand.and_then(|errand| errand.named().cloned());
    let who = who.unwrap_or_else(|| who::configured(record, settings));
    let clocks = calls::Clocks { utc_offset: around.utc_offset, ..calls::Clocks::default() };
    let sound = errand.and_then(|errand| errand.file());
    let limits = errand.and_then(|errand| errand.limits).unwrap_or_default();
    let entry = calls::entry_of(record, "0", settings, &calls::Manner { clocks, limits, sound }, who)?;
    let said = errand.and_then(|errand| errand.said.as_ref());
    Ok(if let Some(said) = said { said.over(entry) } else { entry })
}

/// The object in lines; a value that is too long goes on in the next one.
fn object(entry: &Entry) -> Vec<Line> {
    let json = serde_json::to_string_pretty(entry).unwrap_or_default();
    let lines = escape(&json).lines().map(str::to_owned).collect::<Vec<_>>();
    let room = WIDTH - MARGIN.len();
    let pieces = lines.iter().flat_map(|line| chop(line, room));
    pieces.map(|piece| Line::new(Style::Plain, format!("{MARGIN}{piece}"))).collect()
}

fn under(text: &str, style: Style) -> Vec<Line> {
    let lines = wrap(text, WIDTH - MARGIN.len()).into_iter();
    lines.map(|text| Line::new(style, format!("{MARGIN}{text}"))).collect()
}

fn arrowed(text: &str) -> Vec<Line> {
    beside("  → ", text)
}

fn labelled(label: &str, text: &str) -> Vec<Line> {
    beside(&format!("{MARGIN}{}", cell(label, LABEL)), text)
}

/// A text to the right of `first`.
fn beside(first: &str, text: &str) -> Vec<Line> {
    let margin = columns(first);
    let lines = wrap(text, WIDTH - margin).into_iter().enumerate().map(|(number, text)| {
        let mut line =
            Line::new(Style::Faint, if number == 0 { first.to_owned() } else { " ".repeat(margin) });
        line.push(Style::Plain, text);
        line
    });
    lines.collect()
}

#[cfg(test)]
mod tests;
