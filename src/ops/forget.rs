//! Pure: forgetting a number, as the admin socket is told to and the command line says it.

use serde::{Deserialize, Serialize};

use crate::ops::screen::{Line, Style, WIDTH, clean};
use crate::ops::words::Language;
use crate::outbox::forget::Forget;
use crate::outbox::store::oblivion::Forgotten;

/// The version of these forms; keys are only ever added.
pub const VERSION: u32 = 1;

/// Blanks before what goes on in the next line.
const MARGIN: usize = 4;

/// Which number, and whether it is to be done or only looked at.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Order {
    pub number: String,
    /// Who says so; the daemon adds the user that it sees.
    pub by: String,
    #[serde(default)]
    pub drop_waiting: bool,
    /// Otherwise it is said what there is.
    #[serde(default)]
    pub really: bool,
}

/// What there was, and what was done about it.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Oblivion {
    pub v: u32,
    #[serde(flatten)]
    pub done: Forgotten,
}

impl From<Order> for Forget {
    fn from(Order { number, by, drop_waiting, really: _ }: Order) -> Self {
        Self { number, by, drop_waiting }
    }
}

impl From<Forgotten> for Oblivion {
    fn from(done: Forgotten) -> Self {
        Self { v: VERSION, done }
    }
}

/// What there is of the number.
pub fn found(found: &Oblivion, language: Language) -> Vec<Line> {
    let states: Vec<_> =
        found.done.found.iter().map(|(phase, count)| format!("{count} {}", phase.name())).collect();
    let text = if states.is_empty() {
        language.pick("No stored calls of this number.", "Сохранённых вызовов с этим номером нет.").to_owned()
    } else {
        let states = states.join(", ");
        language.pick(format!("Calls of this number: {states}."), format!("Вызовы с этим номером: {states}."))
    };
    fold(vec![Line::new(Style::Plain, text)])
}

/// Why nothing is done while calls wait.
pub fn waiting(count: u64, language: Language) -> String {
    language.pick(
        format!(
            "{count} calls of this number wait to be sent, and nothing was changed: \
             --drop-waiting gives them up; or wait until they are sent"
        ),
        format!(
            "вызовов с этим номером, которые ждут отправки: {count}; ничего не изменено: \
             --drop-waiting снимет их, или подождите, пока они отправятся"
        ),
    )
}

pub fn question(language: Language) -> String {
    language
        .pick(
            "Forget it? Number, recordings' names, reasons and timelines go for ever; times, extensions and outcomes stay.",
            "Забыть? Номер, имена записей, причины и ход вызовов исчезнут навсегда; время, внутренние номера и исходы останутся.",
        )
        .to_owned()
}

/// What was done, and what is left for a person.
pub fn done(done: &Oblivion, language: Language) -> Vec<Line> {
    let Forgotten { calls, left, lines, tasks, elsewhere, .. } = &done.done;
    let text = language.pick(
        format!("Forgotten: in {calls} calls, {lines} lines of the journal, {tasks} notes about tasks."),
        format!("Забыто: вызовов {calls}, строк журнала {lines}, заметок о задачах {tasks}."),
    );
    let mut page = vec![Line::new(Style::Good, text)];
    for call in left {
        let call = clean(call.as_str());
        let text = language.pick(
            format!(
                "! {call} is left: amoCRM is being given it, or may have it; ask again when that is settled"
            ),
            format!(
                "! {call} остался: он отправляется или, возможно, уже в amoCRM; повторите, когда это решится"
            ),
        );
        page.push(Line::new(Style::Bad, text));
    }
    for path in elsewhere {
        let path = clean(path);
        let text = language.pick(
            format!("! {path} may have it as well: look, and delete it"),
            format!("! {path} тоже может его содержать: посмотрите и удалите"),
        );
        page.push(Line::new(Style::Waiting, text));
    }
    let rest = language.pick(
        "Not touched: amoCRM itself, the file of [records], the PBX (its records, recordings, logs), this host's logs (last four digits, a hash), backups.",
        "Не тронуты: сама amoCRM, файл [records], АТС (её записи о вызовах, аудио, журналы), журналы этой машины (последние четыре цифры, хеш), копии.",
    );
    page.push(Line::new(Style::Faint, rest));
    fold(page)
}

fn fold(lines: Vec<Line>) -> Vec<Line> {
    lines.into_iter().flat_map(|line| line.fold(WIDTH, MARGIN)).collect()
}
