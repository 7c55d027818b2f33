//! On whom calls are booked, over real HTTP against a strict fake: users who are gone or refused cost no
//! call, and owners are asked for beside the calls.
#![cfg(feature = "daemon")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "amo_delivery/daemon.rs"]
mod daemon;
#[path = "support/fake_amo.rs"]
mod fake_amo;
#[path = "amo_delivery/queue.rs"]
mod queue;
#[path = "support/samples.rs"]
mod samples;

use std::time::Duration;

use ami2amo::call::record::FinishedCall;
use ami2amo::call::why::{ResponsibleRule, Why};
use ami2amo::outbox::courier::standing::Standing;
use ami2amo::outbox::queue::Phase;
use serde_json::{Value, json};

use daemon::{Setup, call};
use fake_amo::{FakeAmo, Known, On, Options, Staff, What, start};

const NUMBER: &str = "79160000001";
const ME: u64 = 504_141;

/// An account with these users besides the token's.
async fn account(users: &[u64], staff: Staff) -> FakeAmo {
    let users = Some(users.iter().copied().chain([ME]).collect());
    start(Options { users, staff, ..Options::default() }).await
}

fn setup(fake: &FakeAmo, users: Value) -> Setup {
    Setup::new(&fake.base_url()).amo("users", users)
}

/// A missed call that is its entity's owner's.
fn missed(number: u64, phone: &str) -> FinishedCall {
    let mut call = call(number, phone);
    let record = &mut call.record;
    (record.answered, record.responsible) = (false, None);
    record.why = vec![Why::Responsible { extension: None, rule: ResponsibleRule::EntityOwner }];
    call
}

/// The calls as they are stored: who is shown, and who may work with them.
fn booked(fake: &FakeAmo) -> Vec<(Value, Value)> {
    let calls = fake.calls();
    calls
        .iter()
        .map(|note| (note.call["call_responsible"].clone(), note.call["created_by"].clone()))
        .collect()
}

fn asked(fake: &FakeAmo, path: &str) -> usize {
    fake.requests().iter().filter(|request| request.path.starts_with(path)).count()
}

fn both(user: u64) -> (Value, Value) {
    (json!(user), json!(user))
}

/// Waits until the courier knows the users.
async fn users_are_read(fake: &FakeAmo) {
    fake.wait_for(|state| state.requests.iter().any(|request| request.path.starts_with("/api/v4/users")))
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
}

#[tokio::test]
async fn whoever_is_switched_off_or_gone_is_known_before_a_call_names_him() {
    for (users, inactive) in [(vec![8], vec![9]), (vec![8], vec![])] {
        let fake = account(&users, Staff { inactive, ..Staff::default() }).await;
        let daemon = setup(&fake, json!({"101": 9})).start();
        users_are_read(&fake).await;
        daemon.enqueue([call(1, NUMBER)]);
        daemon.wait_for_phases(&[Phase::Sent]).await;
        assert_eq!(booked(&fake), [both(ME)]);
        assert_eq!(fake.calls()[0].call["call_result"], "Ответил доб. 101 через 3 с");
        assert!(fake.posts().iter().all(|post| post.status == 200), "nothing had to be refused");
        let who = daemon.queue.items()[0].errand.booked.clone().unwrap();
        assert_eq!((who.user, who.told.as_deref()), (Some(ME), Some("доб. 101")), "it is remembered");
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_refused_user_costs_no_call_and_is_not_named_again() {
    let fake = start(Options { users: None, ..Options::default() }).await;
    fake.switch_off(9);
    let daemon = setup(&fake, json!({"101": 9})).start();
    daemon.enqueue([call(1, NUMBER), call(2, "79160000002")]);
    daemon.wait_for_phases(&[Phase::Sent; 2]).await;
    daemon.enqueue([call(3, "79160000003")]);
    daemon.wait_for_phases(&[Phase::Sent; 3]).await;
    assert_eq!(booked(&fake), [both(ME), both(ME), both(ME)]);
    let refused = fake.posts().iter().filter(|post| post.status == 400).count();
    assert_eq!(refused, 1, "it is learned for all calls");
    assert_eq!(fake.violations(), [""; 0]);
    assert_eq!(asked(&fake, "/api/v4/users"), 1, "a 403 is not asked for again");
    assert!(daemon.queue.items()[0].errand.refused_users.contains(&9));
    daemon.stop().await;
}

#[tokio::test]
async fn a_call_goes_without_anybody_where_nobody_is_left() {
    let fake = start(Options::default()).await;
    fake.switch_off(9);
    fake.switch_off(ME);
    let daemon = setup(&fake, json!({"101": 9})).start();
    daemon.enqueue([call(1, NUMBER)]);
    daemon.wait_for_phases(&[Phase::Sent]).await;
    assert_eq!(booked(&fake), [(json!("доб. 101"), Value::Null)]);
    daemon.stop().await;
}

#[tokio::test]
async fn a_refused_text_is_learned_for_all_calls() {
    let staff = Staff { refuses_text: true, ..Staff::default() };
    let fake = start(Options { staff, ..Options::default() }).await;
    let daemon = setup(&fake, json!({})).amo("default-user", Value::Null).start();
    daemon.enqueue([call(1, NUMBER)]);
    daemon.wait_for_phases(&[Phase::Sent]).await;
    daemon.enqueue([call(2, NUMBER)]);
    daemon.wait_for_phases(&[Phase::Sent; 2]).await;
    assert_eq!(booked(&fake), [(Value::Null, Value::Null), (Value::Null, Value::Null)]);
    assert_eq!(fake.calls()[1].call["call_result"], "Ответил доб. 101 через 3 с");
    assert_eq!(fake.posts().iter().filter(|post| post.status == 400).count(), 1);
    daemon.stop().await;
}

#[tokio::test]
async fn a_refused_user_is_left_out_of_what_is_made_for_a_stranger() {
    let fake = start(Options { known: Known::Only(Vec::new()), ..Options::default() }).await;
    fake.switch_off(9);
    let unknown = json!({"inbound": "contact", "talk-grace": "0s"});
    let daemon = setup(&fake, json!({"101": 9})).amo("unknown", unknown).start();
    let mut stranger = call(1, NUMBER);
    stranger.record.source = ami2amo::call::record::Source::Ami;
    // The call itself is refused for its number and not for him.
    daemon.enqueue([stranger]);
    daemon.wait_for_phases(&[Phase::Sent]).await;
    assert_eq!(fake.contacts().len(), 1);
    assert_eq!(fake.contacts()[0].body["responsible_user_id"], ME);
    assert_eq!(booked(&fake), [both(ME)]);
    daemon.stop().await;
}

#[tokio::test]
async fn a_page_in_place_of_the_users_may_be_a_ban_and_is_no_hold() {
    let fake = account(&[9], Staff::default()).await;
    fake.fault(On::Users, 1, What::Page(403));
    let mut daemon = setup(&fake, json!({"101": 9})).start();
    users_are_read(&fake).await;
    daemon.wait_for_standing(|standing| *standing == Standing::Delivering).await;
    daemon.enqueue([call(1, NUMBER)]);
    // Nothing goes out for a minute, and then a harmless question first.
    let queue = daemon.stop().await;
    assert_eq!((queue.phases(), asked(&fake, "/api/v4/users")), (vec![Phase::Pending], 1));
}

#[tokio::test]
async fn a_missed_call_is_its_contacts_owners() {
    let owners = vec![("9160000001".to_owned(), 8), ("9160000002".to_owned(), 9)];
    let fake = account(&[8], Staff { owners, ..Staff::default() }).await;
    let daemon = setup(&fake, json!({"101": 8})).start();
    users_are_read(&fake).await;
    daemon.enqueue([
        missed(1, NUMBER),
        missed(2, "79160000002"),
        missed(3, "79160000003"),
        call(4, "79160000004"),
    ]);
    daemon.wait_for_phases(&[Phase::Sent; 4]).await;
    let who = |number: u64| {
        let calls = fake.calls();
        let note = calls.iter().find(|note| note.phone().ends_with(&number.to_string())).unwrap();
        note.call["call_responsible"].clone()
    };
    assert_eq!([who(1), who(2), who(3), who(4)], [json!(8), json!(ME), json!(ME), json!(8)]);
    assert_eq!(fake.calls()[0].phone(), "79160000004", "who needs no owner is not kept waiting");
    daemon.enqueue([missed(5, NUMBER)]);
    daemon.wait_for_phases(&[Phase::Sent; 5]).await;
    assert_eq!(asked(&fake, "/api/v4/contacts?query=9160000001"), 1, "an owner counts for ten minutes");
    assert_eq!(fake.violations(), [""; 0]);
    daemon.stop().await;
}

#[tokio::test]
async fn a_company_has_an_owner_too() {
    let owners = vec![("9160000001".to_owned(), 8)];
    let known = Known::Only(vec![("9160000001".to_owned(), "company")]);
    let staff = Staff { owners, ..Staff::default() };
    let fake = start(Options { known, staff, ..Options::default() }).await;
    let daemon = setup(&fake, json!({})).start();
    daemon.enqueue([missed(1, NUMBER)]);
    daemon.wait_for_phases(&[Phase::Sent]).await;
    assert_eq!(booked(&fake), [both(8)]);
    daemon.stop().await;
}

#[tokio::test]
async fn an_owner_who_cannot_be_asked_for_keeps_no_call() {
    for what in [What::Status(403), What::HangBefore, What::Page(502), What::ResetBefore] {
        let fake = account(&[8], Staff::default()).await;
        fake.fault(On::Search, 1, what);
        let daemon = setup(&fake, json!({})).start();
        daemon.enqueue([missed(1, NUMBER), call(2, "79160000002")]);
        daemon.wait_for_phases(&[Phase::Sent; 2]).await;
        assert!(booked(&fake).contains(&both(ME)), "{what:?}");
        daemon.stop().await;
    }
}
