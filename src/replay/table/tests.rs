use super::*;
use crate::call::record::{Outcome, Skip, sample};
use crate::time::PbxTime;

fn a_call(phone: &str, responsible: &str) -> CallRecord {
    CallRecord {
        phone: Some(phone.to_owned()),
        responsible: Some(responsible.to_owned()),
        answered_by: vec![responsible.to_owned()],
        rang: vec![responsible.to_owned()],
        talk_seconds: seconds(65),
        wait_seconds: seconds(3),
        ..sample::call("1795337591.4").record
    }
}

fn seconds(whole: u64) -> Seconds {
    Seconds::from_duration(std::time::Duration::from_secs(whole))
}

#[test]
fn a_day_has_one_heading_and_a_call_one_line() {
    let mut table = Table::new(Some(80));
    let first = table.row(&a_call("79161234567", "101"));
    assert_eq!(
        first,
        "2026-11-22 (UTC)\n\
         time     call phone         responsible outcome         talk   wait note\n\
         09:13:11 in   79161234567   101         answered        1:05   0:03\n"
    );
    assert_eq!(
        table.row(&a_call("79161234567", "101")),
        "09:13:11 in   79161234567   101         answered        1:05   0:03\n"
    );
    let mut later = a_call("79161234567", "101");
    later.started_at = PbxTime::from_micros(1_795_425_191_389_456);
    assert!(table.row(&later).starts_with("\n2026-11-23 (UTC)\n"));
}

#[test]
fn every_line_fits_an_eighty_column_terminal() {
    let mut table = Table::new(Some(80));
    let mut call = a_call("+4412345678901234567890", "менеджер-отдела-продаж");
    call.outcome = Outcome::WrongNumber;
    call.talk_seconds = seconds(86_400);
    (call.skip, call.partial) = (Some(Skip::NoConversation), true);
    for line in table.row(&call).lines() {
        assert!(columns(line) <= 80, "{line}");
    }
    assert!(table.row(&call).contains("менеджер-о… "));
}

#[test]
fn wide_characters_keep_the_columns_straight() {
    let mut table = Table::new(None);
    table.row(&a_call("79161234567", "101"));
    let wide = table.row(&a_call("79161234567", "営業"));
    assert_eq!(wide, "09:13:11 in   79161234567   営業        answered        1:05   0:03\n");
}

#[test]
fn names_cannot_play_with_the_terminal() {
    let row = Table::new(None).row(&a_call("\u{1b}[2J\u{7}", "1\n0"));
    assert!(!row.contains('\u{1b}') && !row.contains('\u{7}'));
    assert_eq!(row.lines().count(), 3);
}

#[test]
fn totals_add_up() {
    let mut table = Table::new(None);
    table.row(&a_call("79161234567", "101"));
    let mut hidden = a_call("79161234567", "101");
    (hidden.phone, hidden.skip) = (None, Some(Skip::Anonymous));
    table.row(&hidden);
    let mut outbound = a_call("79161234567", "101");
    (outbound.direction, outbound.answered, outbound.partial) = (Direction::Outbound, false, true);
    outbound.talk_seconds = Seconds::ZERO;
    table.row(&outbound);
    assert_eq!(
        table.totals(),
        "\n3 calls: 2 inbound, 1 outbound; 2 answered, talk 2:10; 1 partial; not for amoCRM: 1 anonymous\n"
    );
    assert_eq!(Table::new(None).totals(), "no calls\n");
}
