//! Outcomes that no answer told: searched for, and never settled by sending again.

use super::*;

#[test]
fn an_answer_that_leaves_calls_open_is_looked_up() {
    let mut script = Script::started();
    script.sends(50, &[1, 2]).give(answered(400, Account::Fine, vec![Fate::NotFound, Fate::Unclear]));
    script.settles(&[(1, Phase::Parked), (2, Phase::Unknown)]);
    script.expect(&Effect::Look { limit: LOOK_LIMIT });
}

#[test]
fn a_lost_answer_is_never_answered_by_sending_again() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(posted(Posted::Lost("reset".to_owned())));
    script.announces_trouble().settles(&[(1, Phase::Unknown)]);
    script.waits(SECOND, SECOND * 2).expect(&Effect::Probe).give(probe(Account::Fine));
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 0)]));
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(ReadBack::Complete(BTreeMap::new())));
    script.settles(&[(1, Phase::Unknown)]);
    script.pass(SECOND * 61);
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 1)]));
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(ReadBack::Complete(BTreeMap::new())));
    script.settles(&[(1, Phase::Pending)]);
}

#[test]
fn a_call_that_was_stored_without_an_answer_is_found() {
    let mut script = Script::started();
    script.expect(&Effect::Look { limit: LOOK_LIMIT });
    script.give(Outcome::Unknown(vec![unknown(1, START, 0), unknown(2, START, 0)]));
    let note = Note { id: Some(9), entity: None };
    let found = BTreeMap::from([("default-1.2".to_owned(), note)]);
    script.reads_back(&["default-1.1", "default-1.2"]).give(Outcome::ReadBack(ReadBack::Complete(found)));
    script.settles(&[(1, Phase::Unknown), (2, Phase::Sent)]);
}

#[test]
fn a_search_counts_from_when_it_began() {
    let mut script = Script::started();
    script.pass(SECOND * 59);
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 5)]));
    script.reads_back(&["default-1.1"]).pass(SECOND * 10);
    script.give(Outcome::ReadBack(ReadBack::Complete(BTreeMap::new())));
    script.settles(&[(1, Phase::Unknown)]);
}

#[test]
fn the_oldest_unknown_call_opens_the_window() {
    let mut script = Script::started();
    script.expect(&Effect::Look { limit: LOOK_LIMIT });
    let early = START.before(SECOND * 500);
    script.give(Outcome::Unknown(vec![unknown(1, START, 0), unknown(2, early, 0)]));
    let Effect::ReadBack { since, .. } = script.poll() else { panic!() };
    assert_eq!(since, early);
}

#[test]
fn other_calls_flow_while_notes_cannot_be_read() {
    let mut script = Script::started();
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 0)]));
    let unreadable = ReadBack::Unreadable("HTTP 403".to_owned());
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(unreadable));
    script.settles(&[(1, Phase::Unknown)]).sends(50, &[2]);
}

#[test]
fn a_page_in_place_of_notes_lets_other_calls_go_where_the_account_answers() {
    let looks = |script: &mut Script| {
        let look = Effect::Look { limit: LOOK_LIMIT };
        script.expect(&look).give(Outcome::Unknown(vec![unknown(1, START, 0)]));
        let banned = ReadBack::Refused { account: Account::Banned, words: "HTTP 403".to_owned() };
        script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(banned));
    };
    let again_after = |script: &mut Script| {
        let Effect::Settle { rulings } = script.poll() else { panic!("nothing is settled") };
        script.give(Outcome::Settled);
        rulings[0].settlement.next_at.since(script.now.host)
    };
    let mut script = Script::started();
    looks(&mut script);
    script.announces_hold(Hold::Banned);
    assert_eq!(again_after(&mut script), SECOND * 30);
    script.waits(SECOND * 30, SECOND * 60).expect(&Effect::Probe).give(probe(Account::Fine));
    looks(&mut script);
    assert_eq!(again_after(&mut script), crate::outbox::policy::HELD_LOOK);
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    script.sends(1, &[2]).give(answered(200, Account::Fine, vec![stored()]));
    script.announces(|standing| *standing == Standing::Delivering).settles(&[(2, Phase::Sent)]);
    // It counts anew once notes were read; and it is the account's where that answers no more.
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 0)]));
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(ReadBack::Complete(BTreeMap::new())));
    script.settles(&[(1, Phase::Unknown)]);
    looks(&mut script);
    script.announces_hold(Hold::Banned);
    assert_eq!(again_after(&mut script), SECOND * 30);
}

#[test]
fn what_left_earlier_is_taken_over_first() {
    let mut script = Script::new();
    script.announces(|standing| *standing == Standing::Starting);
    script.adopts(1);
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    script.announces(|standing| *standing == Standing::Delivering);
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 0)]));
    script.reads_back(&["default-1.1"]);
}

/// Posts call 1 alone, has it refused without a reason, looks for it in vain and settles it.
fn is_refused(script: &mut Script, attempts: u32, limit: usize, end: Phase) {
    script.leases(limit, vec![Item { attempts, ..item(1) }, item(2)]).intends(&[1]).posts(1);
    script.give(answered(400, Account::Fine, vec![Fate::Unclear]));
    let (_, pause) = script.passes_trouble();
    script.pass(SECOND * 61).give(probe(Account::Fine));
    let judged =
        Item { attempts: attempts + 1, ..unknown(1, script.now.host.before(pause + SECOND * 61), 1) };
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![judged]));
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(ReadBack::Complete(BTreeMap::new())));
    script.settles(&[(1, end)]);
}

#[test]
fn a_call_that_is_refused_alone_again_and_again_dies_alone() {
    let mut script = Script::started();
    for attempts in 20..31 {
        is_refused(&mut script, attempts, if attempts == 20 { 50 } else { 1 }, Phase::Pending);
    }
    is_refused(&mut script, 31, 1, Phase::Dead);
    script.sends(1, &[2]);
}

#[test]
fn a_lost_answer_ends_the_row_of_refusals() {
    let mut script = Script::started();
    for attempts in 20..31 {
        is_refused(&mut script, attempts, if attempts == 20 { 50 } else { 1 }, Phase::Pending);
    }
    script.sends(1, &[1]).give(posted(Posted::Lost("reset".to_owned())));
    script.passes_trouble();
    script.give(probe(Account::Fine));
    is_refused(&mut script, 32, 1, Phase::Pending);
}

#[test]
fn a_held_call_is_not_sent_again() {
    let mut script = Script::with(Policy { on_unknown: OnUnknown::Hold, ..Policy::default() }).begin();
    script.pass(SECOND * 3600);
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 9)]));
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(ReadBack::Complete(BTreeMap::new())));
    script.settles(&[(1, Phase::Unknown)]);
}

#[test]
fn an_answer_about_fewer_calls_leaves_the_others_open() {
    let mut script = Script::started();
    script.sends(50, &[1, 2]).give(answered(200, Account::Fine, vec![stored()]));
    script.settles(&[(1, Phase::Sent), (2, Phase::Unknown)]);
}
