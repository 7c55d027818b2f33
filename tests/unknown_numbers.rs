//! What is made in amoCRM for numbers that it does not know, over real HTTP against a strict fake:
//! each thing once, whatever happens on the way, and nothing for any other reason.
#![cfg(feature = "daemon")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "amo_delivery/daemon.rs"]
mod daemon;
#[path = "support/fake_amo.rs"]
mod fake_amo;
#[path = "amo_delivery/queue.rs"]
mod queue;
#[path = "support/samples.rs"]
mod samples;

use std::time::Duration;

use ami2amo::call::line::{Terms, Unknown};
use ami2amo::call::record::{FinishedCall, Skip, Source};
use ami2amo::outbox::courier::standing::Standing;
use ami2amo::outbox::queue::{Item, Phase, State};
use serde_json::{Value, json};

use daemon::Setup;
use fake_amo::{FakeAmo, Known, On, Options, What, start};

const NUMBER: &str = "79160000001";

/// An account that knows nobody.
async fn nobody(options: Options) -> FakeAmo {
    start(Options { known: Known::Only(Vec::new()), ..options }).await
}

/// A courier for which whoever talked has no time to make the contact.
fn setup(fake: &FakeAmo, unknown: &Value) -> Setup {
    let mut table = json!({"talk-grace": "0s"});
    for (key, value) in unknown.as_object().unwrap() {
        table[key] = value.clone();
    }
    Setup::new(&fake.base_url()).amo("unknown", table).amo("users", json!({"101": 504_142}))
}

/// A live call of this number; missed ones rang ten seconds.
fn call(number: u64, phone: &str) -> FinishedCall {
    let mut call = daemon::call(number, phone);
    call.record.source = Source::Ami;
    call
}

fn missed(number: u64, phone: &str) -> FinishedCall {
    let mut call = call(number, phone);
    call.record.answered = false;
    call.record.wait_seconds = serde_json::from_value(json!(10.0)).unwrap();
    call
}

fn on(mut call: FinishedCall, unknown: Unknown) -> FinishedCall {
    call.record.line = Terms { unknown: Some(unknown), ..Terms::default() };
    call
}

fn uniqs(fake: &FakeAmo) -> Vec<String> {
    fake.calls().iter().map(|note| note.uniq().to_owned()).collect()
}

/// Whether every number got one of each, and every call is there once.
fn assert_clean(fake: &FakeAmo) {
    assert_eq!(fake.violations(), [""; 0]);
    let mut stored = uniqs(fake);
    let count = stored.len();
    stored.sort_unstable();
    stored.dedup();
    assert_eq!(stored.len(), count, "{stored:?}");
}

fn posts_to(fake: &FakeAmo, path: &str) -> usize {
    fake.posts().iter().filter(|post| post.path == path).count()
}

#[tokio::test]
async fn three_calls_of_one_stranger_are_one_lead_and_three_calls_in_its_card() {
    let fake = nobody(Options::default()).await;
    let daemon = setup(&fake, &json!({"talk-grace": "100ms"})).start();
    daemon.enqueue([missed(1, NUMBER)]);
    daemon.wait_for_phases(&[Phase::Unsorted]).await;
    daemon.enqueue([call(2, NUMBER), missed(3, NUMBER)]);
    daemon.wait_for_phases(&[Phase::Unsorted, Phase::Parked, Phase::Parked]).await;
    daemon.wait_for_item(1, |item| item.errand.against.is_some()).await;
    daemon.wait_for_item(2, |item| item.errand.against.is_some()).await;
    assert_eq!((fake.unsorted().len(), fake.calls().len()), (1, 0));
    fake.accept(NUMBER);
    daemon.wait_for_phases(&[Phase::Unsorted, Phase::Sent, Phase::Sent]).await;
    assert_eq!((fake.contacts().len(), fake.leads().len(), fake.unsorted().len()), (1, 1, 1));
    let lead = fake.leads()[0].id;
    assert!(fake.calls().iter().all(|note| (note.entity_kind, note.entity_id) == ("lead", lead)));
    assert_eq!(uniqs(&fake).len(), 3);
    assert_clean(&fake);
    daemon.stop().await;
}

#[tokio::test]
async fn a_declined_item_ends_the_calls_that_wait_for_it() {
    let fake = nobody(Options::default()).await;
    let daemon = setup(&fake, &json!({})).start();
    daemon.enqueue([missed(1, NUMBER)]);
    daemon.wait_for_phases(&[Phase::Unsorted]).await;
    daemon.enqueue([missed(2, NUMBER)]);
    daemon.wait_for_item(1, |item| item.errand.against.is_some()).await;
    fake.decline(NUMBER);
    daemon.wait_for_phases(&[Phase::Unsorted, Phase::Expired]).await;
    let State::Expired { reason, .. } = &daemon.queue.items()[1].state else { panic!() };
    assert!(reason.contains("declined"), "{reason}");
    // Who calls again after that is a stranger again.
    daemon.enqueue([missed(3, NUMBER)]);
    daemon.wait_for_phases(&[Phase::Unsorted, Phase::Expired, Phase::Unsorted]).await;
    assert_clean(&fake);
    daemon.stop().await;
}

#[tokio::test]
async fn an_item_that_nobody_decides_on_is_not_waited_for_for_ever() {
    let fake = nobody(Options::default()).await;
    let daemon = setup(&fake, &json!({})).delivery("parked-max", json!("300ms")).start();
    daemon.enqueue([missed(1, NUMBER)]);
    daemon.wait_for_phases(&[Phase::Unsorted]).await;
    daemon.enqueue([missed(2, NUMBER)]);
    daemon.wait_for_phases(&[Phase::Unsorted, Phase::Expired]).await;
    let State::Expired { reason, .. } = &daemon.queue.items()[1].state else { panic!() };
    assert!(reason.contains("not accepted"), "{reason}");
    daemon.stop().await;
}

#[tokio::test]
async fn an_item_that_is_not_listed_yet_gets_no_twin() {
    let fake = nobody(Options { unsorted_lag: Duration::from_secs(2), ..Options::default() }).await;
    let daemon = setup(&fake, &json!({})).delivery("note-lag", json!("3s")).start();
    daemon.enqueue([missed(1, NUMBER), missed(2, NUMBER)]);
    daemon.wait_for_item(1, |item| item.errand.against.is_some()).await;
    daemon.wait_for_phases(&[Phase::Unsorted, Phase::Parked]).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(daemon.queue.phases(), [Phase::Unsorted, Phase::Parked]);
    assert_eq!(fake.unsorted().len(), 1);
    assert_clean(&fake);
    daemon.stop().await;
}

#[tokio::test]
async fn a_contact_is_made_and_the_call_is_its() {
    let fake = nobody(Options::default()).await;
    let daemon = setup(&fake, &json!({"tag": "ats"})).start();
    daemon.enqueue([on(call(1, NUMBER), Unknown::Contact), on(missed(2, NUMBER), Unknown::Contact)]);
    daemon.wait_for_phases(&[Phase::Sent; 2]).await;
    let contacts = fake.contacts();
    assert_eq!((contacts.len(), fake.leads().len(), fake.unsorted().len()), (1, 0, 0));
    assert_eq!(contacts[0].body["responsible_user_id"], 504_142);
    assert!(fake.calls().iter().all(|note| note.entity_id == contacts[0].id));
    assert_clean(&fake);
    daemon.stop().await;
}

#[tokio::test]
async fn a_lead_is_the_talkers_in_the_lines_pipeline_and_stage() {
    let fake = nobody(Options::default()).await;
    let daemon = setup(&fake, &json!({"tag": "ats", "lead-name": "{line}: {phone}"})).start();
    let mut call = on(call(1, NUMBER), Unknown::Lead);
    let label = Some("Site".to_owned());
    call.record.line = Terms { label, pipeline: Some(5), stage: Some(6), ..call.record.line };
    daemon.enqueue([call, on(missed(2, NUMBER), Unknown::Lead)]);
    daemon.wait_for_phases(&[Phase::Sent; 2]).await;
    let (contacts, leads) = (fake.contacts(), fake.leads());
    assert_eq!((contacts.len(), leads.len()), (1, 1));
    assert_eq!(
        leads[0].body,
        json!({"name": format!("Site: {NUMBER}"), "pipeline_id": 5, "status_id": 6, "request_id": "0",
            "responsible_user_id": 504_142,
            "_embedded": {"contacts": [{"id": contacts[0].id}], "tags": [{"name": "ats"}]}})
    );
    assert!(fake.calls().iter().all(|note| (note.entity_kind, note.entity_id) == ("lead", leads[0].id)));
    assert_clean(&fake);
    daemon.stop().await;
}

#[tokio::test]
async fn who_talked_may_make_the_contact_himself() {
    for way in [Unknown::Unsorted, Unknown::Contact, Unknown::Lead] {
        let fake = nobody(Options::default()).await;
        let daemon = setup(&fake, &json!({"talk-grace": "400ms"})).start();
        daemon.enqueue([on(call(1, NUMBER), way)]);
        daemon.wait_for_phases(&[Phase::Parked]).await;
        fake.add_contact(NUMBER);
        daemon.wait_for_phases(&[Phase::Sent]).await;
        assert_eq!((fake.unsorted().len(), fake.contacts().len(), fake.leads().len()), (0, 0, 0));
        daemon.stop().await;
    }
}

#[tokio::test]
async fn unwanted_calls_are_dropped_and_junk_is_parked() {
    let fake = nobody(Options::default()).await;
    let daemon = setup(&fake, &json!({"blacklist": ["+7 916 000-00-02"]})).start();
    let mut short = missed(3, "79160000003");
    short.record.wait_seconds = serde_json::from_value(json!(1.0)).unwrap();
    let calls = [on(missed(1, NUMBER), Unknown::Drop), missed(2, "79160000002"), short];
    daemon.enqueue(calls);
    daemon.wait_for_phases(&[Phase::Skipped, Phase::Skipped, Phase::Parked]).await;
    let State::Skipped { reason, .. } = daemon.queue.items()[0].state else { panic!() };
    assert_eq!(reason, Skip::UnknownNumber);
    assert_eq!(posts_to(&fake, "/api/v4/leads/unsorted/sip"), 0);
    daemon.stop().await;
}

#[tokio::test]
async fn where_incoming_leads_are_off_something_else_is_made() {
    for (way, contacts, leads) in [("contact", 1, 0), ("lead", 1, 1)] {
        let fake = nobody(Options { unsorted: false, ..Options::default() }).await;
        let daemon = setup(&fake, &json!({"without-unsorted": way})).start();
        daemon.enqueue([missed(1, NUMBER)]);
        daemon.wait_for_phases(&[Phase::Sent]).await;
        assert_eq!((fake.contacts().len(), fake.leads().len()), (contacts, leads));
        assert_eq!(posts_to(&fake, "/api/v4/leads/unsorted/sip"), 0, "the account says that they are off");
        daemon.stop().await;
    }
    let fake = nobody(Options { unsorted: false, ..Options::default() }).await;
    let daemon = setup(&fake, &json!({})).start();
    daemon.enqueue([missed(1, NUMBER)]);
    daemon.wait_for_item(0, |item| item.errand.done).await;
    fake.add_contact(NUMBER);
    daemon.wait_for_phases(&[Phase::Sent]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn an_item_that_is_refused_is_looked_for_and_then_left() {
    let fake = nobody(Options::default()).await;
    fake.fault(On::Unsorted, 1, What::Status(400));
    let daemon = setup(&fake, &json!({"without-unsorted": "contact"})).start();
    daemon.enqueue([missed(1, NUMBER)]);
    daemon.wait_for_phases(&[Phase::Sent]).await;
    assert_eq!((fake.unsorted().len(), fake.contacts().len()), (0, 1));
    assert_clean(&fake);
    daemon.stop().await;
}

#[tokio::test]
async fn a_link_is_sent_where_amocrm_wants_one() {
    let fake = nobody(Options { unsorted_wants_link: true, ..Options::default() }).await;
    let daemon = setup(&fake, &json!({})).start();
    daemon.enqueue([missed(1, NUMBER)]);
    daemon.wait_for_phases(&[Phase::Unsorted]).await;
    assert_eq!(fake.unsorted()[0].body["metadata"]["link"], "http://no.value");
    assert_clean(&fake);
    daemon.stop().await;
}

/// Every way in which a POST may lose its answer, and whether it was done.
const LOST: [What; 8] = [
    What::ResetBefore,
    What::ResetAfter,
    What::HangBefore,
    What::HangAfter,
    What::Truncated,
    What::Garbage,
    What::PageAfter(504),
    What::Page(502),
];

async fn lost(on_what: On, way: Unknown, expected: [usize; 3]) {
    for what in LOST {
        let fake = nobody(Options::default()).await;
        fake.fault(on_what, 1, what);
        let daemon = setup(&fake, &json!({})).start();
        daemon.enqueue([on(missed(1, NUMBER), way)]);
        let end = if way == Unknown::Unsorted { Phase::Unsorted } else { Phase::Sent };
        daemon.wait_for_phases(&[end]).await;
        let made = [fake.unsorted().len(), fake.contacts().len(), fake.leads().len()];
        assert_eq!(made, expected, "{what:?}");
        assert_clean(&fake);
        daemon.stop().await;
    }
}

#[tokio::test]
async fn an_item_whose_answer_is_lost_is_made_once() {
    lost(On::Unsorted, Unknown::Unsorted, [1, 0, 0]).await;
}

#[tokio::test]
async fn a_contact_whose_answer_is_lost_is_made_once() {
    lost(On::Contacts, Unknown::Lead, [0, 1, 1]).await;
}

#[tokio::test]
async fn a_lead_whose_answer_is_lost_is_made_once() {
    lost(On::Leads, Unknown::Lead, [0, 1, 1]).await;
}

#[tokio::test]
async fn nothing_is_made_for_any_other_word_than_not_found() {
    let errors = [
        What::Status(400),
        What::Status(401),
        What::Status(402),
        What::Status(403),
        What::Page(403),
        What::Status(404),
        What::Status(422),
        What::Status(500),
        What::Errors(400),
        What::Errors(200),
        What::TooMany { retry_after: None },
        What::Validation(0),
    ];
    for error in errors {
        let fake = nobody(Options::default()).await;
        fake.fault(On::Post, 1000, error);
        let daemon = setup(&fake, &json!({})).start();
        daemon.enqueue([missed(1, NUMBER), on(missed(2, "79160000002"), Unknown::Lead)]);
        fake.wait_for(|state| state.requests.iter().any(|request| request.path == "/api/v4/calls")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let made = [fake.unsorted().len(), fake.contacts().len(), fake.leads().len()];
        assert_eq!(made, [0, 0, 0], "{error:?}");
        assert!(fake.posts().iter().all(|post| post.path == "/api/v4/calls"), "{error:?}");
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_process_that_dies_in_the_middle_makes_nothing_twice() {
    for (on_what, way, end) in [
        (On::Unsorted, Unknown::Unsorted, Phase::Unsorted),
        (On::Contacts, Unknown::Lead, Phase::Sent),
        (On::Leads, Unknown::Lead, Phase::Sent),
    ] {
        let fake = nobody(Options::default()).await;
        fake.fault(on_what, 1, What::Gate);
        let daemon = setup(&fake, &json!({})).amo("request-timeout", json!("20s")).start();
        daemon.enqueue([on(missed(1, NUMBER), way)]);
        let path = match on_what {
            On::Unsorted => "/api/v4/leads/unsorted/sip",
            On::Contacts => "/api/v4/contacts",
            _ => "/api/v4/leads",
        };
        fake.wait_for(|state| {
            state.requests.iter().any(|request| request.method == "POST" && request.path == path)
        })
        .await;
        let queue = daemon.kill().await;
        let daemon = Setup { queue, ..setup(&fake, &json!({})) }.start();
        daemon.wait_for_phases(&[end]).await;
        assert!(fake.unsorted().len() <= 1 && fake.contacts().len() <= 1 && fake.leads().len() <= 1);
        assert_clean(&fake);
        daemon.stop().await;
    }
}

#[tokio::test]
async fn known_numbers_flow_while_the_list_cannot_be_read() {
    let fake = start(Options {
        known: Known::Only(vec![("9160000009".to_owned(), "contact")]),
        ..Options::default()
    })
    .await;
    fake.fault(On::UnsortedList, 1000, What::Status(403));
    let daemon = setup(&fake, &json!({})).start();
    daemon.enqueue([missed(1, NUMBER)]);
    daemon.wait_for_item(0, |item| item.errand.make.is_some()).await;
    daemon.enqueue([call(2, "79160000009")]);
    daemon.wait_for_phases(&[Phase::Parked, Phase::Sent]).await;
    assert_eq!(fake.unsorted().len(), 0, "what cannot be ruled out is not made");
    fake.clear_faults();
    daemon.wait_for_phases(&[Phase::Unsorted, Phase::Sent]).await;
    assert_clean(&fake);
    daemon.stop().await;
}

#[tokio::test]
async fn strangers_of_a_busy_minute_share_a_request() {
    let fake = nobody(Options::default()).await;
    let daemon = setup(&fake, &json!({})).start();
    daemon.enqueue((1..=20).map(|number| missed(number, &format!("7916{number:07}"))));
    daemon.wait_for_phases(&[Phase::Unsorted; 20]).await;
    assert!(posts_to(&fake, "/api/v4/leads/unsorted/sip") <= 3);
    assert_clean(&fake);
    daemon.stop().await;
}

#[tokio::test]
async fn items_that_alone_are_refused_keep_no_other_call_waiting() {
    let known = Known::Only(vec![("9160000002".to_owned(), "contact")]);
    let fake = start(Options { known, ..Options::default() }).await;
    fake.fault(On::Unsorted, u32::MAX, What::Status(402));
    let mut daemon = setup(&fake, &json!({})).start();
    daemon.enqueue([missed(1, NUMBER)]);
    daemon.wait_for_standing(|standing| matches!(standing, Standing::Held { .. })).await;
    let waits = |item: &Item| item.next_at.since(ami2amo::clock::host()) > Duration::from_mins(50);
    daemon.wait_for_item(0, waits).await;
    daemon.enqueue([call(2, "79160000002"), missed(3, "79160000003"), call(4, "79160000002")]);
    daemon.wait_for_standing(|standing| *standing == Standing::Delivering).await;
    daemon.wait_for_item(2, waits).await;
    daemon.wait_for_phases(&[Phase::Parked, Phase::Sent, Phase::Parked, Phase::Sent]).await;
    assert_eq!(*daemon.standing.borrow(), Standing::Delivering);
    assert!(daemon.queue.items()[2].last_error.as_ref().unwrap().contains("402"));
    daemon.stop().await;
    assert_eq!((posts_to(&fake, "/api/v4/leads/unsorted/sip"), fake.unsorted().len()), (2, 0));
    assert_clean(&fake);
}
