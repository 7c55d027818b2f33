//! What is asked beside the calls, and what calls do meanwhile.

use super::*;
use crate::amo::answer::Entity;
use crate::amo::users::Roster;
use crate::call::record::{Direction, Outcome as Ending};
use crate::call::why::{ResponsibleRule, Why};
use crate::outbox::courier::aside::{Question, Told};
use crate::outbox::courier::complaint::Complaint;
use crate::outbox::courier::effect::TaskRow;
use crate::outbox::queue::State;

/// A script whose configuration says this, before its first look.
fn script(amo: &str) -> Script {
    let mut script = Script::new();
    // Who else writes calls is asked in `watch`.
    let amo = format!("notice-duplicates = false\n{amo}");
    let rules = Rules { amo: toml::from_str(&amo).unwrap(), delivery: script.courier.rules.delivery.clone() };
    script.courier.set_rules(Arc::new(rules));
    script.begin()
}

fn missed(seq: u64) -> Item {
    let mut item = item(seq);
    let record = &mut item.call.record;
    (record.direction, record.answered, record.outcome) = (Direction::Inbound, false, Ending::NoAnswer);
    record.responsible = None;
    let rule = ResponsibleRule::EntityOwner;
    record.why = vec![Why::Responsible { extension: None, rule }];
    record.source = crate::call::record::Source::Ami;
    item
}

fn owner(found: ReadBack<Option<u64>>) -> Outcome {
    Outcome::Told(Told::Owner { number: "9160000001".to_owned(), found })
}

#[track_caller]
fn asks(script: &mut Script) -> Question {
    let Effect::Ask(question) = script.poll() else { panic!("nothing is asked") };
    question
}

#[test]
fn a_question_keeps_no_call_waiting() {
    let mut script = script("default-user = 7");
    assert_eq!(asks(&mut script), Question::Users);
    script.sends(50, &[1]).give(Outcome::Told(Told::Users(ReadBack::Complete(Roster::default()))));
    script.give(answered(200, Account::Fine, vec![stored()])).settles(&[(1, Phase::Sent)]);
    script.leases(50, Vec::new()).rests(None, REST_MAX);
}

#[test]
fn a_call_that_waits_for_its_owner_lets_the_others_pass() {
    let mut script = script("");
    script.leases(50, vec![missed(1), item(2)]).settles(&[(1, Phase::Pending)]);
    assert!(matches!(asks(&mut script), Question::Owner { .. }));
    script.sends(50, &[2]).give(answered(200, Account::Fine, vec![stored()])).settles(&[(2, Phase::Sent)]);
    script.give(owner(ReadBack::Complete(Some(9)))).leases(50, vec![missed(1)]);
    script.intends(&[1]);
    let Effect::Post { body, .. } = script.poll() else { panic!("it is not posted") };
    let entries: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(entries[0]["responsible_user_id"], 9);
}

#[test]
fn a_question_that_is_never_answered_keeps_its_call_ten_seconds() {
    let mut script = script("");
    script.leases(50, vec![missed(1)]).settles(&[(1, Phase::Pending)]);
    assert!(matches!(asks(&mut script), Question::Owner { .. }));
    for _ in 0..9 {
        script.pass(SECOND).leases(50, vec![missed(1)]).settles(&[(1, Phase::Pending)]);
    }
    script.pass(SECOND).leases(50, vec![missed(1)]).intends(&[1]).posts(1);
}

#[test]
fn an_answer_that_comes_with_what_landed_loses_nothing() {
    let mut script = script("");
    script.sends(50, &[2]).give(answered(200, Account::Fine, vec![stored()]));
    script.settles(&[(2, Phase::Sent)]).leases(50, vec![missed(1)]).settles(&[(1, Phase::Pending)]);
    assert!(matches!(asks(&mut script), Question::Owner { .. }));
    script.sends(50, &[3]).give(answered(200, Account::Fine, vec![stored()]));
    script.give(owner(ReadBack::Complete(None))).settles(&[(3, Phase::Sent)]);
    script.leases(50, vec![missed(1)]).intends(&[1]).posts(1);
}

#[test]
fn a_question_without_an_answer_is_no_trouble_of_the_account() {
    let mut script = script("default-user = 7");
    assert_eq!(asks(&mut script), Question::Users);
    script.give(Outcome::Told(Told::Users(ReadBack::Silent("timed out".to_owned()))));
    script.sends(50, &[1]).give(answered(200, Account::Fine, vec![stored()])).settles(&[(1, Phase::Sent)]);
}

fn banned<T>() -> ReadBack<T> {
    ReadBack::Refused { account: Account::Banned, words: "HTTP 403".to_owned() }
}

#[test]
fn a_page_in_place_of_an_answer_holds_no_call_where_the_account_answers() {
    let mut script = script("default-user = 7");
    assert_eq!(asks(&mut script), Question::Users);
    script.give(Outcome::Told(Told::Users(banned())));
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    let told = script.courier.complaints();
    assert!(matches!(&told[..], [Complaint::UsersUnread(words)] if words == "HTTP 403"), "{told:?}");
    // Fifty go at once, as before, and users are asked for again after a day.
    script.sends(50, &[1]).give(answered(200, Account::Fine, vec![stored()])).settles(&[(1, Phase::Sent)]);
    script.pass(brake::SHUT.saturating_sub(SECOND)).leases(50, Vec::new()).rests(None, REST_MAX);
    assert_eq!(asks(&mut script), Question::Users);
    // Still refused, it is no news; mended and refused once more, it is.
    let refused = || Outcome::Told(Told::Users(ReadBack::Unreadable("HTTP 403".to_owned())));
    script.give(refused()).leases(50, Vec::new()).expect(&Effect::Probe).give(probe(Account::Fine));
    assert_eq!(script.courier.complaints(), []);
    script.pass(brake::SHUT);
    assert_eq!(asks(&mut script), Question::Users);
    script.give(Outcome::Told(Told::Users(ReadBack::Complete(Roster::default())))).pass(brake::SHUT);
    assert_eq!(asks(&mut script), Question::Users);
    script.give(refused()).leases(50, Vec::new()).expect(&Effect::Probe).give(probe(Account::Fine));
    assert!(matches!(&script.courier.complaints()[..], [Complaint::UsersUnread(_)]));
}

#[test]
fn a_call_that_lands_after_a_refusal_leaves_no_doubt_behind() {
    let refused = || Outcome::Told(Told::Users(ReadBack::Unreadable("HTTP 403".to_owned())));
    let mut script = script("default-user = 7");
    assert_eq!(asks(&mut script), Question::Users);
    script.sends(50, &[1]).give(refused());
    script.give(answered(200, Account::Fine, vec![stored()])).settles(&[(1, Phase::Sent)]);
    assert_eq!(script.courier.complaints(), [], "it left before");
    script.leases(50, Vec::new()).expect(&Effect::Probe).give(probe(Account::Fine));
    assert!(matches!(&script.courier.complaints()[..], [Complaint::UsersUnread(_)]));
    script.leases(50, Vec::new()).rests(None, REST_MAX);
    // Nor does the news that no call waits.
    let mut script = self::script("default-user = 7");
    assert_eq!(asks(&mut script), Question::Users);
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(Vec::new())).give(refused());
    script.expect(&Effect::Lease { limit: 50 }).give(Outcome::Leased(Vec::new()));
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    assert!(matches!(&script.courier.complaints()[..], [Complaint::UsersUnread(_)]));
}

#[test]
fn a_call_that_leaves_after_a_refusal_tells_what_it_means() {
    let refused = || Outcome::Told(Told::Users(ReadBack::Unreadable("HTTP 403".to_owned())));
    let mut script = script("default-user = 7");
    assert_eq!(asks(&mut script), Question::Users);
    script.give(refused()).pass(SECOND);
    script.sends(50, &[1]).give(answered(200, Account::Fine, vec![stored()])).settles(&[(1, Phase::Sent)]);
    assert!(matches!(&script.courier.complaints()[..], [Complaint::UsersUnread(_)]));
    script.leases(50, Vec::new()).rests(None, REST_MAX);
    // The account refuses everything: it is not for the users' sake.
    let mut script = self::script("default-user = 7");
    assert_eq!(asks(&mut script), Question::Users);
    script.give(refused()).pass(SECOND).sends(50, &[1]);
    script.give(answered(402, Account::Unpaid, vec![Fate::Untouched])).announces_hold(Hold::Unpaid);
    assert_eq!(script.courier.complaints(), []);
}

#[test]
fn a_ban_of_everything_is_the_accounts_and_shuts_nothing_off() {
    let mut script = script("default-user = 7");
    assert_eq!(asks(&mut script), Question::Users);
    script.give(Outcome::Told(Told::Users(banned())));
    script.expect(&Effect::Probe).give(probe(Account::Banned)).announces_hold(Hold::Banned);
    assert_eq!(script.courier.complaints(), []);
    script.waits(SECOND * 30, SECOND * 60).expect(&Effect::Probe).give(probe(Account::Fine));
    script.pass(SECOND * 600);
    assert_eq!(asks(&mut script), Question::Users);
}

#[test]
fn an_owner_that_is_refused_keeps_no_later_call_waiting() {
    let mut script = script("");
    script.leases(50, vec![missed(1)]).settles(&[(1, Phase::Pending)]);
    assert!(matches!(asks(&mut script), Question::Owner { .. }));
    script.give(owner(banned())).expect(&Effect::Probe).give(probe(Account::Fine));
    assert!(matches!(&script.courier.complaints()[..], [Complaint::OwnersUnread(_)]));
    script.leases(50, vec![missed(1), missed(2)]).intends(&[1, 2]).posts(2);
    script.give(answered(200, Account::Fine, vec![stored(), stored()]));
    script.settles(&[(1, Phase::Sent), (2, Phase::Sent)]).pass(SECOND * 3600);
    let mut other = missed(3);
    other.call.record.phone = Some("79160000003".to_owned());
    script.leases(50, vec![other]).intends(&[3]).posts(1);
}

/// A missed call is stored, and the task that follows from it is looked for.
fn looks_for_task(script: &mut Script) {
    let mut call = missed(1);
    call.call.record.why.clear();
    script.leases(50, vec![call]).intends(&[1]).posts(1);
    let entity = Some(Entity { kind: "lead".to_owned(), id: 70 });
    script.give(answered(200, Account::Fine, vec![Fate::Stored { note_id: Some(1), entity }]));
    assert!(matches!(script.poll(), Effect::Keep { .. }));
    script.give(Outcome::Kept).settles(&[(1, Phase::Sent)]);
    script.leases(50, Vec::new()).rests(None, REST_MIN);
    assert!(matches!(looks(script), Question::Open { .. }));
}

/// What is asked of amoCRM for a task, after the outbox was asked: there was no later talk.
fn looks(script: &mut Script) -> Question {
    let Question::Talked { number, since } = asks(script) else { panic!("a stale task may be made") };
    script.give(Outcome::Told(Told::Talked { number, since, found: Some(false) }));
    asks(script)
}

#[test]
fn tasks_that_are_refused_are_off_for_a_day_and_calls_flow() {
    let refused = ReadBack::Unreadable("HTTP 403".to_owned());
    for answers in [vec![banned()], vec![refused.clone(), refused]] {
        let mut script = script("callback-task = { make = true }");
        looks_for_task(&mut script);
        let again = answers.len() - 1;
        for (at, found) in answers.into_iter().enumerate() {
            script.give(Outcome::Told(Told::Open { number: "9160000001".to_owned(), found }));
            if at < again {
                script.pass(SECOND * 60);
                assert!(matches!(looks(&mut script), Question::Open { .. }));
            }
        }
        if again > 0 {
            script.leases(50, Vec::new());
        }
        script.expect(&Effect::Probe).give(probe(Account::Fine));
        assert!(matches!(&script.courier.complaints()[..], [Complaint::TasksOff(_)]));
        assert_eq!(*script.courier.standing(), Standing::Delivering);
        for _ in 0..3 {
            script.pass(SECOND * 3600);
            script.sends(50, &[2]).give(answered(200, Account::Fine, vec![stored()]));
            script.settles(&[(2, Phase::Sent)]).leases(50, Vec::new()).rests(None, REST_MAX);
        }
    }
}

#[test]
fn trouble_with_one_kind_pauses_no_other() {
    let mut script = script("default-user = 7");
    assert_eq!(asks(&mut script), Question::Users);
    script.give(Outcome::Told(Told::Users(ReadBack::Silent("timed out".to_owned()))));
    script.leases(50, vec![missed(1)]).settles(&[(1, Phase::Pending)]);
    assert!(matches!(asks(&mut script), Question::Owner { .. }));
}

#[test]
fn a_refused_user_sends_the_call_again_without_him() {
    let mut script = script("default-user = 7");
    assert_eq!(asks(&mut script), Question::Users);
    let refused = Fate::Invalid {
        code: "NotSupportedChoice".to_owned(),
        path: "responsible_user_id".to_owned(),
        detail: String::new(),
    };
    script.sends(50, &[1, 2]).give(answered(400, Account::Fine, vec![refused, Fate::Untouched]));
    script.settles(&[(1, Phase::Pending), (2, Phase::Pending)]);
    script.leases(50, vec![item(1), item(2)]).intends(&[1, 2]);
    let Effect::Post { body, .. } = script.poll() else { panic!("they are not posted") };
    assert!(!String::from_utf8(body).unwrap().contains("created_by"));
}

#[test]
fn a_task_is_kept_before_its_call_is_settled_and_a_store_that_fails_is_told_again() {
    let mut script = script("callback-task = { make = true, responsible = \"call\" }");
    let mut call = missed(1);
    call.call.record.why.clear();
    script.leases(50, vec![call]).intends(&[1]).posts(1);
    let entity = Some(Entity { kind: "lead".to_owned(), id: 70 });
    script.give(answered(200, Account::Fine, vec![Fate::Stored { note_id: Some(1), entity }]));
    let kept = |script: &mut Script| {
        let Effect::Keep { rows } = script.poll() else { panic!("nothing is kept") };
        rows
    };
    let first = kept(&mut script);
    assert!(matches!(&first[..], [TaskRow { key, value: Some(_) }] if key == "default/9160000001"));
    script.give(Outcome::StoreFailed(Error::Store("full".to_owned())));
    script.waits(SECOND / 4, STORE_FIRST);
    assert_eq!(kept(&mut script), first);
    assert!(!script.courier.may_stop());
    script.give(Outcome::Kept).settles(&[(1, Phase::Sent)]);
    let look = Effect::Look { limit: LOOK_LIMIT };
    script.expect(&look).give(Outcome::Unknown(Vec::new()));
    script.expect(&Effect::Lease { limit: 50 }).give(Outcome::Leased(Vec::new()));
    script.rests(None, REST_MIN);
    // Now that no call is due, it is looked whether the task is there.
    assert!(matches!(looks(&mut script), Question::Open { kind: "leads", id: 70, .. }));
}

#[test]
fn nothing_is_asked_while_the_process_ends() {
    let mut script = script("default-user = 7");
    script.courier.wind_down();
    assert!(matches!(script.poll(), Effect::Wait { .. }));
    let mut script = self::script("default-user = 7");
    assert_eq!(asks(&mut script), Question::Users);
    script.courier.wind_down();
    assert!(!script.courier.may_stop(), "a question is out");
    script.give(Outcome::Told(Told::Users(ReadBack::Complete(Roster::default()))));
    assert!(script.courier.may_stop());
}

#[test]
fn who_was_named_is_kept_where_the_configuration_does_not_say_it() {
    let mut script = script("");
    let told = owner(ReadBack::Complete(Some(9)));
    script.leases(50, vec![missed(1)]).settles(&[(1, Phase::Pending)]);
    assert!(matches!(asks(&mut script), Question::Owner { .. }));
    script.give(told).leases(50, vec![missed(1), item(2)]).intends(&[1, 2]).posts(2);
    script.give(answered(200, Account::Fine, vec![stored(), stored()]));
    let Effect::Settle { rulings } = script.poll() else { panic!("nothing is settled") };
    let booked: Vec<_> = rulings
        .iter()
        .map(|ruling| {
            assert!(matches!(ruling.settlement.state, State::Sent { .. }));
            ruling.settlement.errand.booked.as_ref().and_then(|who| who.user)
        })
        .collect();
    assert_eq!(booked, [Some(9), None]);
}

#[test]
fn who_was_named_is_kept_where_the_answer_is_lost_and_he_is_not_known_any_more() {
    let mut script = script("default-user = 7");
    assert_eq!(asks(&mut script), Question::Users);
    script.give(Outcome::Told(Told::Users(ReadBack::Complete(Roster::default()))));
    script.leases(50, vec![missed(1)]).settles(&[(1, Phase::Pending)]);
    assert!(matches!(asks(&mut script), Question::Owner { .. }));
    script.give(owner(ReadBack::Complete(Some(9)))).leases(50, vec![missed(1)]).intends(&[1]).posts(1);
    script.give(posted(Posted::Lost("reset".to_owned()))).announces_trouble();
    let Effect::Settle { rulings } = script.poll() else { panic!("nothing is settled") };
    let settled = rulings[0].settlement.clone();
    script.give(Outcome::Settled).pass(SECOND * 3600).expect(&Effect::Probe).give(probe(Account::Fine));
    let lost = Item { state: settled.state, errand: settled.errand, ..missed(1) };
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![lost]));
    let found = BTreeMap::from([("default-1.1".to_owned(), Note { id: Some(5), entity: None })]);
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(ReadBack::Complete(found)));
    script.announces(|standing| *standing == Standing::Delivering);
    let Effect::Settle { rulings } = script.poll() else { panic!("nothing is settled") };
    assert_eq!(rulings[0].settlement.errand.booked.as_ref().and_then(|who| who.user), Some(9));
}
