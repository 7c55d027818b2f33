//! Pure: how the PBX's records and the stored calls differ, as a page and as JSON lines.

use serde_json::json;

use crate::call::id::PbxName;
use crate::call::record::CallRecord;
use crate::cdr::compare::{Comparison, Difference, Field};
use crate::cdr::range::Range;
use crate::ops::screen::{Line, Style, cell, clean, escape};
use crate::ops::words::looking::Obstacle;
use crate::ops::words::{self, Language};
use crate::time::PbxTime;

/// What is missing, extra and different, and totals; `stored` of the missing ones were put into the outbox.
pub fn page(
    pbx: &PbxName,
    range: Range,
    found: &Comparison,
    stored: Option<usize>,
    language: Language,
) -> Vec<Line> {
    let title = language.pick(
        format!("{pbx}: the PBX's records and the stored calls, {} to {}", range.from, range.to),
        format!("{pbx}: CDR станции и сохранённые звонки, с {} по {}", range.from, range.to),
    );
    let mut lines = vec![Line::new(Style::Strong, title)];
    if found.has_differences() {
        lines.push(Line::new(Style::Faint, row(&headings(language))));
    }
    for call in &found.missing {
        lines.push(of_record(language.pick("missing", "нет"), Style::Bad, &call.call.record, "", language));
    }
    for record in &found.extra {
        lines.push(of_record(language.pick("extra", "лишний"), Style::Waiting, record, "", language));
    }
    for Difference { stored, cdr, fields } in &found.different {
        let note: Vec<_> = fields.iter().map(|field| difference(*field, stored, cdr, language)).collect();
        let what = language.pick("differs", "иначе");
        lines.push(of_record(what, Style::Waiting, stored, &note.join("; "), language));
    }
    lines.push(Line::new(Style::Plain, totals(found, language)));
    if found.unrecorded > 0 {
        let count = found.unrecorded;
        lines.push(Line::new(Style::Faint, language.pick(
            format!("{count} stored calls that reached no phone have no record: so it is unless cdr.conf says unanswered = yes"),
            format!("{count} сохранённых звонков, не дошедших ни до одного телефона, нет в CDR: так и бывает без unanswered = yes в cdr.conf"),
        )));
    }
    if found.open > 0 {
        let count = found.open;
        lines.push(Line::new(
            Style::Faint,
            language.pick(
                format!("{count} calls of the records are in progress for the store: the daemon closes them when it is connected"),
                format!("{count} звонков из CDR для хранилища ещё идут: демон закроет их, когда подключится"),
            ),
        ));
    }
    if found.unread > 0 {
        let count = found.unread;
        lines.push(Line::new(
            Style::Bad,
            language.pick(
                format!("at least {count} records or lines of this time cannot be read: calls of theirs are not compared"),
                format!("не менее {count} записей или строк за это время не читаются: их звонки не сравнены"),
            ),
        ));
    }
    lines.extend(unidentified(found, language));
    lines.extend(advice(found, stored, language));
    lines
}

fn headings(language: Language) -> [&'static str; 7] {
    language.pick(
        ["what", "ended (UTC)", "call", "phone", "ext", "outcome", "talk"],
        ["что", "конец (UTC)", "звонок", "телефон", "внутр", "итог", "речь"],
    )
}

const WIDTHS: [usize; 7] = [8, 19, 22, 13, 6, 14, 5];

fn row(cells: &[&str; 7]) -> String {
    let cells: Vec<_> = cells.iter().zip(WIDTHS).map(|(text, width)| cell(text, width)).collect();
    cells.join(" ")
}

fn of_record(what: &str, style: Style, record: &CallRecord, note: &str, language: Language) -> Line {
    let ended = record.ended_at.to_string();
    let ended = ended.split('.').next().unwrap_or_default().replace('T', " ");
    let talk = record.talk_seconds.rounded().to_string();
    let cells = [
        what,
        &ended,
        record.call_id.as_str(),
        record.phone.as_deref().unwrap_or("-"),
        record.responsible.as_deref().unwrap_or("-"),
        words::outcome(record.outcome, record.direction, language),
        &talk,
    ];
    let mut line = Line::new(style, row(&cells));
    if !note.is_empty() {
        line.push(Style::Plain, format!(" {}", clean(note)));
    }
    line
}

/// `talk 4 (CDR 6)`
fn difference(field: Field, stored: &CallRecord, cdr: &CallRecord, language: Language) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let status =
        |record: &CallRecord| record.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    let yes =
        |answered: bool| if answered { language.pick("yes", "да") } else { language.pick("no", "нет") };
    let (name, mine, theirs) = match field {
        Field::Direction => (
            language.pick("direction", "направление"),
            words::direction(stored.direction, language).to_owned(),
            words::direction(cdr.direction, language).to_owned(),
        ),
        Field::Phone => (language.pick("phone", "телефон"), text(&stored.phone), text(&cdr.phone)),
        Field::Answered => (
            language.pick("answered", "отвечен"),
            yes(stored.answered).to_owned(),
            yes(cdr.answered).to_owned(),
        ),
        Field::Responsible => {
            (language.pick("booked on", "ответственный"), text(&stored.responsible), text(&cdr.responsible))
        }
        Field::Status => (language.pick("status", "статус"), status(stored), status(cdr)),
        Field::TalkSeconds => (
            language.pick("talk", "речь"),
            stored.talk_seconds.rounded().to_string(),
            cdr.talk_seconds.rounded().to_string(),
        ),
    };
    format!("{name} {mine} (CDR {theirs})")
}

fn totals(found: &Comparison, language: Language) -> String {
    let Comparison { missing, extra, different, same, .. } = found;
    let (missing, extra, different) = (missing.len(), extra.len(), different.len());
    language.pick(
        format!("missing {missing}, extra {extra}, different {different}, the same {same}"),
        format!("нет в хранилище {missing}, нет в CDR {extra}, различаются {different}, одинаковы {same}"),
    )
}

/// Calls that may be stored under ids which the records do not have.
fn unidentified(found: &Comparison, language: Language) -> Option<Line> {
    let count = found.missing.len() - found.storable().count();
    (count > 0).then(|| Line::new(Style::Bad, language.pick(
        format!("{count} missing calls have no uniqueid in the records: they may be stored, and --enqueue leaves them out; loguniqueid = yes in cdr.conf"),
        format!("у {count} недостающих звонков в CDR нет uniqueid: они могут уже быть в хранилище, и --enqueue их не берёт; включите loguniqueid = yes в cdr.conf"),
    )))
}

/// Where the PBX's records begin, as seen from the time that is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Begin {
    Before,
    At(PbxTime),
    /// None has a time that can be read.
    Nowhere,
}

/// That there are no records of some of the time.
pub fn begin(pbx: &PbxName, begin: Begin, language: Language) -> Option<String> {
    match begin {
        Begin::Before => None,
        Begin::At(at) => Some(language.pick(
            format!("the records of \"{pbx}\" begin at {at}: nothing before that is compared"),
            format!("записи \"{pbx}\" начинаются с {at}: то, что раньше, не сравнивается"),
        )),
        Begin::Nowhere => Some(language.pick(
            format!(
                "no record of \"{pbx}\" has a time that can be read: only those of the last day are looked at"
            ),
            format!("ни у одной записи \"{pbx}\" не читается время: просмотрены только последние сутки"),
        )),
    }
}

/// That the store may have forgotten calls of the time.
pub fn forgotten(from: &str, since: PbxTime, language: Language) -> String {
    language.pick(
        format!("--from {from} is before {since}, and calls that ended before that the store may have forgotten: they are told as missing, and would be sent again; begin there with --enqueue"),
        format!("--from {from} раньше {since}, а более старые звонки хранилище могло забыть: они показаны как недостающие и были бы отправлены снова; с --enqueue начинайте с этого времени"),
    )
}

fn advice(found: &Comparison, stored: Option<usize>, language: Language) -> Option<Line> {
    let (style, text) = match stored {
        Some(0) if found.missing.is_empty() => return None,
        Some(stored) => (Style::Good, language.pick(
            format!("put into the outbox: {stored}; the daemon sends them when it is started"),
            format!("поставлено в очередь: {stored}; демон отправит их, когда будет запущен"),
        )),
        None if found.missing.is_empty() => return None,
        None => (Style::Plain, language.pick(
            "nothing was changed; with --enqueue, and the daemon stopped, the missing calls are stored and sent".to_owned(),
            "ничего не изменено; с --enqueue и при остановленном демоне недостающие звонки будут сохранены и отправлены".to_owned(),
        )),
    };
    Some(Line::new(style, text))
}

/// One object per difference, and one with the totals.
///
/// # Errors
/// When a call has no JSON form.
pub fn json(pbx: &PbxName, found: &Comparison, stored: usize) -> serde_json::Result<String> {
    let missing = found.missing.iter().map(|call| json!({"what": "missing", "cdr": call.call.record}));
    let extra = found.extra.iter().map(|record| json!({"what": "extra", "stored": record}));
    let different = found.different.iter().map(|difference| {
        let Difference { stored, cdr, fields } = difference;
        json!({"what": "different", "fields": fields, "stored": stored, "cdr": cdr})
    });
    let totals = json!({
        "what": "totals", "pbx": pbx, "missing": found.missing.len(), "extra": found.extra.len(),
        "different": found.different.len(), "same": found.same, "unrecorded": found.unrecorded, "open": found.open,
        "unread": found.unread, "unidentified": found.missing.len() - found.storable().count(), "enqueued": stored,
    });
    let mut text = String::new();
    for line in missing.chain(extra).chain(different).chain([totals]) {
        text += &escape(&serde_json::to_string(&line)?);
        text.push('\n');
    }
    Ok(text)
}

/// Why the store takes no calls from here, and what to do.
pub fn cannot_enqueue(obstacle: &Obstacle, language: Language) -> String {
    match obstacle {
        Obstacle::Held(pid) => language.pick(
            format!(
                "the daemon (process {pid}) holds the store: stop it (systemctl stop ami2amo), run this again and start it; \
                 gaps of its own running it repairs by itself"
            ),
            format!(
                "хранилище занято демоном (процесс {pid}): остановите его (systemctl stop ami2amo), повторите команду и \
                 запустите его снова; перерывы в собственной работе он восполняет сам"
            ),
        ),
        Obstacle::Foreign(user) => language.pick(
            format!("the store belongs to user {user}: run this as root, or as that user"),
            format!("хранилище принадлежит пользователю {user}: запустите команду от root или от его имени"),
        ),
        Obstacle::Fault(reason) => language.pick(
            format!("the store cannot be opened: {reason}"),
            format!("хранилище не открывается: {reason}"),
        ),
    }
}
