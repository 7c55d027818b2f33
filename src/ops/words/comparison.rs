//! Pure: how a call compares with what others wrote of it in amoCRM.

use crate::call::record::Skip;
use crate::ops::words::Language;
use crate::outbox::compare::{Compared, Difference, Twin, Verdict};
use crate::outbox::queue::State;
use crate::outbox::schedule::Slip;

/// What is known of a stored call, in sentences.
pub fn beside(slip: &Slip, language: Language) -> Vec<String> {
    let is_shadowed = matches!(slip.state, State::Skipped { reason: Skip::Shadow, .. });
    let Some(compared) = &slip.errand.compared else {
        let waits = language.pick(
            "What amoCRM has of it is looked for a while after its end.",
            "Что о нём есть в amoCRM, будет проверено через некоторое время после его конца.",
        );
        return is_shadowed.then(|| waits.to_owned()).into_iter().collect();
    };
    if !is_shadowed {
        return duplicates(compared, language);
    }
    let notes = notes(compared, language);
    match compared.verdict() {
        Verdict::Missing => vec![
            language
                .pick("amoCRM has no call note of it.", "В amoCRM примечания об этом звонке нет.")
                .to_owned(),
        ],
        Verdict::Same => vec![
            language
                .pick(format!("amoCRM has the same: {notes}."), format!("В amoCRM то же самое: {notes}.")),
        ],
        Verdict::Different => {
            let differences = differences(&compared.differences, language);
            vec![language.pick(
                format!("amoCRM has it otherwise: {notes}: {differences}."),
                format!("В amoCRM иначе: {notes}: {differences}."),
            )]
        }
    }
}

fn duplicates(compared: &Compared, language: Language) -> Vec<String> {
    if compared.notes.is_empty() {
        return Vec::new();
    }
    let notes = notes(compared, language);
    vec![language.pick(
        format!("Somebody else wrote notes of it, too: {notes}. See docs/migrate.md."),
        format!("О нём написал и кто-то другой: {notes}. См. docs/migrate.ru.md."),
    )]
}

/// The notes and who wrote them.
pub fn notes(compared: &Compared, language: Language) -> String {
    let note = |Twin { id, kind, entity, source }: &Twin| {
        let entity = entity.map(|entity| format!(", {kind} {entity}")).unwrap_or_default();
        language.pick(
            format!("\"{source}\" (note {id}{entity})"),
            format!("\"{source}\" (примечание {id}{entity})"),
        )
    };
    let mut notes: Vec<String> = compared.notes.iter().map(note).collect();
    if compared.more > 0 {
        let more = compared.more;
        notes.push(language.pick(format!("{more} more"), format!("и ещё {more}")));
    }
    notes.join(", ")
}

/// In what a note differs, with both values.
pub fn differences(differences: &[Difference], language: Language) -> String {
    let words: Vec<String> = differences.iter().map(|difference| words(difference, language)).collect();
    words.join("; ")
}

fn words(difference: &Difference, language: Language) -> String {
    let name = name(difference, language);
    match difference {
        Difference::Direction { ours_inbound } => {
            let [inbound, outbound] = language.pick(["inbound", "outbound"], ["входящий", "исходящий"]);
            let (ours, theirs) = if *ours_inbound { (inbound, outbound) } else { (outbound, inbound) };
            versus(name, ours, theirs, language)
        }
        Difference::Duration { ours, theirs } => {
            let unit = language.pick("s", "с");
            versus(name, &format!("{ours} {unit}"), &format!("{theirs} {unit}"), language)
        }
        Difference::Status { ours, theirs } => versus(name, &ours.to_string(), &theirs.to_string(), language),
        Difference::Responsible { ours, theirs } => {
            versus(name, &ours.to_string(), &theirs.to_string(), language)
        }
        Difference::PhoneForm { ours, theirs } => {
            versus(name, &format!("{ours}…"), &format!("{theirs}…"), language)
        }
        Difference::Link { ours: true } => {
            language.pick("no link to the recording there", "там нет ссылки на запись").to_owned()
        }
        Difference::Link { ours: false } => {
            language.pick("a link to a recording there only", "ссылка на запись только там").to_owned()
        }
        Difference::Doubled { notes } => language
            .pick(format!("{notes} notes of one call"), format!("примечаний об одном звонке: {notes}")),
        Difference::Other => name.to_owned(),
    }
}

fn versus(name: &str, ours: &str, theirs: &str, language: Language) -> String {
    language.pick(format!("{name} {theirs}, here {ours}"), format!("{name}: {theirs}, здесь {ours}"))
}

/// What differs, without the values.
pub fn name(difference: &Difference, language: Language) -> &'static str {
    match difference {
        Difference::Direction { .. } => language.pick("direction", "направление"),
        Difference::Duration { .. } => language.pick("duration", "длительность"),
        Difference::Status { .. } => language.pick("call_status", "call_status"),
        Difference::Responsible { .. } => language.pick("user", "пользователь"),
        Difference::PhoneForm { .. } => language.pick("form of the number", "форма номера"),
        Difference::Link { .. } => language.pick("link", "ссылка"),
        Difference::Doubled { .. } => language.pick("doubled", "задвоено"),
        Difference::Other => language.pick("something that a later version knows", "известное новой версии"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::HostTime;

    #[test]
    fn each_difference_is_said_with_both_values() {
        let check = |difference: Difference, expected: &str| {
            assert_eq!(words(&difference, Language::En), expected);
            assert!(!words(&difference, Language::Ru).is_empty());
        };
        check(Difference::Direction { ours_inbound: true }, "direction outbound, here inbound");
        check(Difference::Duration { ours: 4, theirs: 31 }, "duration 31 s, here 4 s");
        check(Difference::Status { ours: 4, theirs: 6 }, "call_status 6, here 4");
        check(Difference::Responsible { ours: 504_141, theirs: 7 }, "user 7, here 504141");
        check(
            Difference::PhoneForm { ours: "+7".to_owned(), theirs: "8".to_owned() },
            "form of the number 8…, here +7…",
        );
        check(Difference::Link { ours: true }, "no link to the recording there");
        check(Difference::Doubled { notes: 3 }, "3 notes of one call");
    }

    #[test]
    fn notes_are_named_by_who_wrote_them() {
        let twin = Twin { id: 7, kind: "lead".to_owned(), entity: Some(70), source: "widget".to_owned() };
        let compared =
            Compared { at: HostTime::default(), notes: vec![twin], more: 2, differences: Vec::new() };
        assert_eq!(notes(&compared, Language::En), "\"widget\" (note 7, lead 70), 2 more");
    }
}
