use super::*;
use crate::call::record::sample;
use crate::ops::screen::{Line, WIDTH};
use crate::ops::words::Language;
use crate::outbox::compare::tests::note;
use crate::time::HostTime;

fn account() -> AccountId {
    AccountId::default()
}

fn seen(id: &str, compared: Option<Compared>) -> Seen {
    let record = sample::call(id).record;
    Seen {
        is_shadowed: true,
        call_id: record.call_id,
        account: account(),
        at: record.started_at,
        direction: record.direction,
        phone: Some("+79161234567".to_owned()),
        compared,
    }
}

fn twin(id: u64, source: &str) -> Twin {
    Twin { id, kind: "lead".to_owned(), entity: Some(70), source: source.to_owned() }
}

fn compared(notes: Vec<Twin>, differences: Vec<Difference>) -> Compared {
    Compared { at: HostTime::default(), notes, more: 0, differences }
}

fn stranger(id: u64) -> (AccountId, Stranger) {
    (account(), Stranger::from(&note(id, "+79160000001", 1_795_337_591)))
}

/// One of each, and what is none.
fn one_of_each(question: &Question) -> Report {
    let different = vec![Difference::Duration { ours: 4, theirs: 31 }, Difference::Doubled { notes: 2 }];
    let calls = vec![
        seen("1.1", Some(compared(vec![twin(1, "widget")], Vec::new()))),
        seen("1.2", Some(compared(vec![twin(2, "widget"), twin(3, "provider")], different))),
        seen("1.3", Some(compared(Vec::new(), Vec::new()))),
        seen("1.4", None),
        Seen { phone: None, ..seen("1.5", Some(compared(Vec::new(), Vec::new()))) },
        Seen { is_shadowed: false, ..seen("1.6", None) },
    ];
    report(question, calls, vec![stranger(3), stranger(9)], false)
}

#[test]
fn calls_and_notes_are_counted_by_how_they_compare() {
    let report = one_of_each(&Question::default());
    let counts = [report.same, report.different, report.missing, report.not_compared, report.extra];
    assert_eq!((report.calls, counts), (4, [1, 1, 1, 1, 1]), "a note of a call is no stranger");
    assert_eq!(report.differences, [("doubled".to_owned(), 1), ("duration".to_owned(), 1)].into());
    let widget = OfSource { same: 1, different: 1, extra: 1 };
    assert_eq!(report.sources, [("widget".to_owned(), widget)].into());
    let listed: Vec<What> = report.listed.iter().map(|one| one.what).collect();
    assert_eq!((listed.len(), listed.contains(&What::Extra), report.more), (3, true, false));
}

#[test]
fn the_newest_are_listed_and_all_are_counted() {
    let report = one_of_each(&Question { limit: Some(1), ..Question::default() });
    assert_eq!((report.listed.len(), report.more, report.missing), (1, true, 1));
    let later = Question { from: Some(PbxTime::from_micros(i64::MAX)), ..Question::default() };
    assert_eq!(one_of_each(&later).extra, 0);
    let other = Question { account: Some(AccountId::new("other").unwrap()), ..Question::default() };
    assert_eq!(one_of_each(&other).extra, 0);
}

#[test]
fn the_page_fits_the_terminal_in_both_languages() {
    let report = one_of_each(&Question::default());
    for language in [Language::En, Language::Ru] {
        let lines = page::lines(&report, language);
        assert!(lines.iter().all(|line| line.columns() <= WIDTH), "{lines:#?}");
    }
    let page: Vec<String> = page::lines(&report, Language::En).iter().map(Line::plain).collect();
    let page = page.join("\n");
    for part in [
        "Shadow mode: 4 calls",
        "the same           1",
        "what differs: doubled 1, duration 1",
        "duration 31 s, here 4 s; 2 notes of one call",
        "\"provider\" (note 3, lead 70)",
        "…0001",
        "default-1.3",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn without_shadow_mode_the_page_says_how_it_begins() {
    let page = page::lines(&report(&Question::default(), Vec::new(), Vec::new(), false), Language::En);
    assert!(page[0].plain().starts_with("No calls of shadow mode"), "{page:?}");
}
