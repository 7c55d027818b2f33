use serde_json::json;

use super::*;
use crate::amo::answer::{Account, Reply};
use crate::amo::calls::Responsible;
use crate::call::why::{ResponsibleRule, Why};
use crate::outbox::policy::tests::{START, item};

const NOW: MonoTime = MonoTime::from_micros(1_000_000_000);
const SECOND: Duration = Duration::from_secs(1);

static OPEN: Brakes = Brakes::new();

fn settings(toml: &str) -> Settings {
    toml::from_str(toml).unwrap()
}

fn named() -> Settings {
    settings("default-user = 7\nusers.101 = 8")
}

/// A missed call that wants its entity's owner.
fn missed(seq: u64, phone: &str) -> Item {
    let mut item = item(seq);
    item.call.record.phone = Some(phone.to_owned());
    item.call.record.responsible = None;
    let rule = ResponsibleRule::EntityOwner;
    item.call.record.why = vec![Why::Responsible { extension: None, rule }];
    item
}

fn roster(users: &[(u64, bool)], sees: &str) -> Roster {
    let users = users.iter().map(|(id, active)| {
        json!({"id": id, "rights": {"is_active": active, "is_admin": false, "contacts": {"view": sees}}})
    });
    let body = json!({"_embedded": {"users": users.collect::<Vec<_>>()}}).to_string().into_bytes();
    let mut roster = Roster::of(Some(7));
    roster.take(&Reply { status: 200, body, ..Reply::default() });
    roster
}

fn refused(account: Account) -> ReadBack<Roster> {
    ReadBack::Refused { account, words: "HTTP".to_owned() }
}

fn words(bookings: &mut Bookings) -> Vec<String> {
    bookings.complaints().iter().map(ToString::to_string).collect()
}

#[test]
fn users_are_asked_for_where_some_are_named_and_then_daily() {
    let mut bookings = Bookings::default();
    assert_eq!(bookings.question(&Settings::default(), &OPEN, NOW), None, "there is nobody to look at");
    assert_eq!(bookings.question(&named(), &OPEN, NOW), Some(Question::Users));
    let read = ReadBack::Complete(roster(&[(7, true), (8, true)], "A"));
    assert_eq!(bookings.users(read, &named(), NOW), None);
    assert_eq!(bookings.question(&named(), &OPEN, NOW.after(ROSTER_EVERY.saturating_sub(SECOND))), None);
    assert_eq!(bookings.question(&named(), &OPEN, NOW.after(ROSTER_EVERY)), Some(Question::Users));
    assert_eq!(bookings.complaints(), []);
}

#[test]
fn a_list_that_had_no_answer_is_asked_for_soon() {
    for (read, signals) in [
        (ReadBack::Silent(String::new()), true),
        (refused(Account::Unauthorized), true),
        (refused(Account::Banned), true),
        (ReadBack::Unreadable("HTTP 403".to_owned()), false),
    ] {
        let mut bookings = Bookings::default();
        assert_eq!(bookings.users(read, &named(), NOW).is_some(), signals);
        assert_eq!(bookings.complaints(), []);
        let again = NOW.after(ROSTER_AGAIN);
        assert_eq!(bookings.question(&named(), &OPEN, again), Some(Question::Users));
        let mut shut = Brakes::new();
        shut.doubt(Kind::Users, String::new());
        shut.answered(again);
        assert_eq!(bookings.question(&named(), &shut, again), None);
        assert_eq!(bookings.question(&named(), &shut, again.after(ROSTER_EVERY)), Some(Question::Users));
    }
}

#[test]
fn whoever_does_not_work_there_is_told_and_left_out_until_the_configuration_changes() {
    let mut bookings = Bookings::default();
    bookings.users(ReadBack::Complete(roster(&[(7, true), (8, false)], "M")), &named(), NOW);
    assert_eq!(
        words(&mut bookings),
        ["101 = 8: this user of amoCRM is switched off", "the token's user may not see all contacts"]
    );
    let who = |bookings: &Bookings, settings: &Settings| bookings.who(&item(1), settings, NOW).user;
    assert_eq!(who(&bookings, &named()), Some(7));
    // Whom the configuration names now may be newer than the list.
    let after = settings("default-user = 7\nusers.101 = 9");
    bookings.reconfigured(&named(), &after);
    assert_eq!(who(&bookings, &after), Some(9));
    assert_eq!(bookings.question(&after, &OPEN, NOW), Some(Question::Users));
    bookings.users(ReadBack::Complete(roster(&[(7, true)], "A")), &after, NOW);
    assert_eq!(words(&mut bookings), ["101 = 9: amoCRM has no such user"]);
}

#[test]
fn what_amocrm_refuses_is_left_out_for_a_day_and_for_the_call_itself_for_ever() {
    let mut bookings = Bookings::default();
    bookings.refuse(Blame::User(8), NOW);
    let who = |bookings: &Bookings, item: &Item| bookings.who(item, &named(), NOW).user;
    assert_eq!(who(&bookings, &item(1)), Some(7));
    bookings.roster_due = NOW.after(ROSTER_EVERY * 9);
    bookings.question(&named(), &OPEN, NOW.after(ROSTER_EVERY));
    assert_eq!(who(&bookings, &item(1)), Some(8));
    let settled = without(&item(1), Blame::User(8), "HTTP".to_owned(), START);
    assert_eq!((settled.state.clone(), settled.next_at), (State::Pending, START));
    assert_eq!(who(&bookings, &Item { errand: settled.errand, ..item(1) }), Some(7));
    bookings.refuse(Blame::Text, NOW);
    let nobody = Settings::default();
    assert_eq!(bookings.who(&item(1), &nobody, NOW).shown, None, "no call of the account names a text");
    let text = Responsible::Name("доб. 101".to_owned());
    assert_eq!(Bookings::default().who(&item(1), &nobody, NOW).shown, Some(text));
    assert_eq!(words(&mut bookings).len(), 2);
}

#[test]
fn a_call_waits_for_its_owner_ten_seconds_at_most() {
    let mut bookings = Bookings::default();
    let call = missed(1, "79161234567");
    assert!(bookings.awaits_owner(&call, &OPEN, NOW));
    assert!(bookings.awaits_owner(&missed(2, "89161234567"), &OPEN, NOW), "it is the same number");
    assert!(!bookings.awaits_owner(&item(3), &OPEN, NOW), "it wants nobody");
    let owner = Question::Owner { number: "9161234567".to_owned() };
    assert_eq!(bookings.question(&Settings::default(), &OPEN, NOW), Some(owner));
    assert_eq!(bookings.question(&Settings::default(), &OPEN, NOW), None, "a number is asked for once");
    assert!(bookings.awaits_owner(&call, &OPEN, NOW.after(OWNER_WAIT_MAX.saturating_sub(SECOND))));
    assert!(!bookings.awaits_owner(&call, &OPEN, NOW.after(OWNER_WAIT_MAX)));
    assert_eq!(bookings.who(&call, &named(), NOW).user, Some(7));
    // It waited for its recording meanwhile, and is leased again.
    bookings.question(&Settings::default(), &OPEN, NOW.after(OWNER_WAIT_MAX * 9));
    assert!(!bookings.awaits_owner(&call, &OPEN, NOW.after(OWNER_WAIT_MAX * 9)));
}

#[test]
fn a_crowd_of_calls_that_wait_for_owners_does_not_wait_for_ever() {
    let mut bookings = Bookings::default();
    let first = missed(0, "79160000000");
    for seq in 0..u64::try_from(WAITS_MAX).unwrap() {
        assert!(bookings.awaits_owner(&missed(seq, "79160000000"), &OPEN, NOW));
    }
    assert!(!bookings.awaits_owner(&missed(99_999, "79160000001"), &OPEN, NOW), "there is no room");
    bookings.question(&Settings::default(), &OPEN, NOW);
    assert!(!bookings.awaits_owner(&first, &OPEN, NOW.after(OWNER_WAIT_MAX)));
    // What waited a while ago makes room.
    assert!(bookings.awaits_owner(&missed(99_999, "79160000001"), &OPEN, NOW.after(WANTED_MAX)));
}

#[test]
fn another_text_or_owner_of_tasks_is_tried_anew() {
    let mut bookings = Bookings::default();
    bookings.refuse(Blame::Text, NOW);
    bookings.roster_due = NOW.after(ROSTER_EVERY);
    bookings.reconfigured(&named(), &settings("default-user = 7\nusers.101 = 8\nnames.102 = \"Иванов\""));
    assert!(!bookings.refused.text && bookings.roster_due > NOW);
    let other = settings("default-user = 7\nusers.101 = 8\ncallback-task = { responsible = { user = 9 } }");
    bookings.reconfigured(&named(), &other);
    assert!(bookings.roster_due <= NOW);
}

#[test]
fn no_call_waits_for_an_owner_that_is_not_asked_for() {
    let mut bookings = Bookings::default();
    let mut shut = Brakes::new();
    shut.doubt(Kind::Owners, String::new());
    shut.answered(NOW);
    assert!(!bookings.awaits_owner(&missed(1, "79161234567"), &shut, NOW));
    assert_eq!(bookings.question(&Settings::default(), &shut, NOW), None);
}

#[test]
fn what_is_said_in_other_words_every_time_fills_no_memory() {
    let mut bookings = Bookings::default();
    for number in 0..TOLD_MAX + 10 {
        bookings.complain(Complaint::TaskRefused(number.to_string()));
    }
    assert_eq!((bookings.complaints().len(), bookings.told.len()), (TOLD_MAX + 10, 10));
}

#[test]
fn an_owner_counts_for_ten_minutes() {
    let mut bookings = Bookings::default();
    let call = missed(1, "79161234567");
    let found = ReadBack::Complete(Some(9));
    assert_eq!(bookings.owner_told("9161234567".to_owned(), &found, NOW), None);
    assert!(!bookings.awaits_owner(&call, &OPEN, NOW));
    assert_eq!(bookings.who(&call, &named(), NOW).user, Some(9));
    assert!(bookings.awaits_owner(&missed(2, "79161234567"), &OPEN, NOW.after(OWNER_KEPT)));
}

#[test]
fn a_question_that_had_no_answer_keeps_no_call_waiting() {
    let check = |found: ReadBack<Option<u64>>, signals: bool| {
        let mut bookings = Bookings::default();
        let call = missed(1, "79161234567");
        assert!(bookings.awaits_owner(&call, &OPEN, NOW));
        let signal = bookings.owner_told("9161234567".to_owned(), &found, NOW);
        assert_eq!(signal.is_some(), signals);
        assert!(!bookings.awaits_owner(&call, &OPEN, NOW.after(SECOND)));
        assert_eq!(bookings.who(&call, &named(), NOW).user, Some(7));
    };
    check(ReadBack::Complete(None), false);
    check(ReadBack::Unreadable("HTTP 403".to_owned()), false);
    check(ReadBack::Silent(String::new()), true);
    check(ReadBack::Refused { account: Account::Banned, words: String::new() }, true);
}

#[test]
fn one_refusal_keeps_no_owner_away_for_long() {
    let mut bookings = Bookings::default();
    let refused = ReadBack::Unreadable("HTTP 400".to_owned());
    assert_eq!(bookings.owner_told("9161234567".to_owned(), &refused, NOW), None);
    let call = missed(1, "79161234567");
    assert!(!bookings.awaits_owner(&call, &OPEN, NOW.after(OWNER_UNSAID.saturating_sub(SECOND))));
    assert!(bookings.awaits_owner(&missed(2, "79161234567"), &OPEN, NOW.after(OWNER_UNSAID)));
}

#[test]
fn numbers_that_no_call_waits_for_are_forgotten() {
    let mut bookings = Bookings::default();
    assert!(bookings.awaits_owner(&missed(1, "79161234567"), &OPEN, NOW));
    assert_eq!(bookings.question(&Settings::default(), &OPEN, NOW.after(WANTED_MAX)), None);
    assert_eq!((bookings.wanted.len(), bookings.waits.len()), (0, 1));
    bookings.forget(NOW.after(WAITED_MAX));
    assert_eq!(bookings.waits.len(), 0);
    for number in 0..OWNERS_MAX + 10 {
        bookings.owner_told(number.to_string(), &ReadBack::Complete(None), NOW);
    }
    assert_eq!(bookings.owners.len(), OWNERS_MAX);
}

#[test]
fn a_call_is_put_off_and_nothing_else() {
    let call = missed(1, "79161234567");
    let settled = put_off(&call, START);
    assert_eq!(
        (settled.state, settled.next_at, settled.attempted),
        (call.state, START.after(OWNER_PAUSE), false)
    );
}
