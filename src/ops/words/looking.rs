//! Pure: where a call was looked for, and why it may not be there.

use std::path::Path;

use crate::ops::screen::{WIDTH, clean, wrap};
use crate::ops::words::Language;

/// Why the store itself is not opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Obstacle {
    /// This process holds it, usually the daemon; 0 when it is not known which.
    Held(u32),
    /// It belongs to this user of the system, who could not use files that another one makes.
    Foreign(u32),
    /// It cannot be opened, for this reason.
    Fault(String),
}

/// How long calls are kept, in days.
#[derive(Clone, Copy, Debug)]
pub struct Days {
    pub history: u64,
    pub journal: usize,
}

/// One line that says that states are as of the journal, and why.
pub fn as_of_journal(obstacle: &Obstacle, language: Language) -> String {
    match obstacle {
        Obstacle::Held(pid) => {
            let pid = if *pid == 0 { String::new() } else { language.pick(format!(" (process {pid})"), format!(" (процесс {pid})")) };
            language.pick(
                format!("the daemon{pid} holds the store: states are as of its journal"),
                format!("хранилище занято демоном{pid}: состояния — по журналу"),
            )
        }
        Obstacle::Foreign(user) => language.pick(
            format!("the store belongs to user {user}, who alone may open it: states are as of its journal"),
            format!("хранилище принадлежит пользователю {user}, открыть его может только он: состояния — по журналу"),
        ),
        Obstacle::Fault(reason) => language.pick(
            format!("the store cannot be opened ({reason}): states are as of its journal"),
            format!("хранилище не открывается ({reason}): состояния — по журналу"),
        ),
    }
}

/// One line that says that calls may be missing, because `file` of the PBX's records cannot be read.
pub fn unread(file: &str, language: Language) -> String {
    language.pick(
        format!("cannot read {file}: calls that stand only in it are missing here"),
        format!("не читается {file}: звонков, которые есть только в нём, здесь нет"),
    )
}

/// One line that says that calls are told from records alone, because `events` cannot be read.
pub fn unread_events(events: &str, language: Language) -> String {
    language.pick(
        format!("cannot read the channel events {events}: calls are told from the records alone"),
        format!("не читаются события каналов {events}: звонки составлены только по CDR"),
    )
}

/// That there are older calls than those that are shown.
pub fn more(language: Language) -> &'static str {
    language.pick("older calls are not shown", "более старые звонки не показаны")
}

/// That a call is not in the store, and the usual causes.
pub fn not_in_store(wanted: &str, dir: &Path, days: Days, language: Language) -> String {
    let (dir, Days { history, journal }) = (dir.display(), days);
    let heading = language.pick(
        format!("there is no call {wanted} in the store {dir} and its journal. Usual causes:"),
        format!("звонка {wanted} нет ни в хранилище {dir}, ни в его журнале. Обычные причины:"),
    );
    let causes = [
        language.pick(
            format!(
                "It is not over yet, or it is too old: a call is kept for {history} days after its end, and in the \
                 journal for {journal}."
            ),
            format!(
                "Он ещё идёт, или он слишком старый: звонок хранится {history} дней после завершения, а в журнале \
                 {journal}."
            ),
        ),
        language.pick(
            "ami2amo never saw it: it did not run, was not connected, or its AMI user gets no events of calls. \
             A capture shows what comes: ami2amo explain --capture FILE",
            "ami2amo его не видел: не работал, не был подключён, или его пользователь AMI не получает событий. Что \
             приходит, покажет запись потока: ami2amo explain --capture FILE",
        )
        .to_owned(),
        language.pick(
            "It has no number: internal and anonymous calls are kept too. Ask by extension, or by the uniqueid that \
             the CDR has.",
            "У него нет номера: внутренние и анонимные звонки тоже хранятся. Спросите по внутреннему номеру или по \
             uniqueid из CDR.",
        )
        .to_owned(),
    ];
    causes.iter().fold(clean(&heading), |text, cause| text + &bullet(cause))
}

/// A cause on lines of its own.
fn bullet(text: &str) -> String {
    const MARGIN: usize = 4;
    let lines = wrap(text, WIDTH - MARGIN).into_iter().enumerate();
    lines.map(|(number, line)| [if number == 0 { "\n  - " } else { "\n    " }, &line].concat()).collect()
}

/// That a call is not in captures.
pub fn not_in_captures(wanted: &str, calls: u64, language: Language) -> String {
    language.pick(
        format!("there is no call {wanted} in the captures (calls in them: {calls}); without CALL all are explained"),
        format!("звонка {wanted} в записях нет (всего звонков в них: {calls}); без CALL объясняются все"),
    )
}
