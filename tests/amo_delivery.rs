//! The courier task against a strict fake of amoCRM, over real HTTP: what it stores, whatever
//! happens on the way, is every call once.
#![cfg(feature = "daemon")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/captured_log.rs"]
mod captured_log;
#[path = "amo_delivery/daemon.rs"]
mod daemon;
#[path = "support/fake_amo.rs"]
mod fake_amo;
#[path = "amo_delivery/queue.rs"]
mod queue;
#[path = "support/samples.rs"]
mod samples;

use std::collections::BTreeSet;
use std::time::Duration;

use ami2amo::clock;
use ami2amo::outbox::courier::standing::{Hold, Standing};
use ami2amo::outbox::queue::{Phase, State};
use serde_json::json;

use captured_log::Log;
use daemon::{Setup, call, calls};
use fake_amo::{FakeAmo, Known, On, Options, What, start};

async fn fake() -> FakeAmo {
    start(Options::default()).await
}

fn held(standing: &Standing, expected: Hold) -> bool {
    matches!(standing, Standing::Held { why, .. } if *why == expected)
}

fn assert_each_once(fake: &FakeAmo, count: usize) {
    let stored: Vec<String> = fake.calls().iter().map(|note| note.uniq().to_owned()).collect();
    let distinct: BTreeSet<&String> = stored.iter().collect();
    assert_eq!((stored.len(), distinct.len()), (count, count), "{stored:?}");
    assert_eq!(fake.violations(), [""; 0]);
}

#[tokio::test]
async fn a_call_that_ends_is_delivered_at_once_with_all_its_fields() {
    let fake = fake().await;
    let mut daemon = Setup::new(&fake.base_url()).amo("users", json!({"101": 504_142})).start();
    daemon.wait_for_standing(|standing| *standing == Standing::Delivering).await;
    daemon.enqueue([call(4, "79161234568")]);
    daemon.wait_for_phases(&[Phase::Sent]).await;
    let stored = fake.calls().remove(0);
    assert_eq!(
        stored.call,
        json!({"direction": "inbound", "uniq": "default-1795337591.4", "duration": 4, "source": "ami2amo",
            "phone": "79161234568", "call_responsible": 504_142, "call_result": "Ответил 101 через 3 с",
            "call_status": 4, "responsible_user_id": 504_142, "created_by": 504_142,
            "created_at": 1_795_338_791, "request_id": "0"})
    );
    let State::Sent { note_id, entity, .. } = &daemon.queue.items()[0].state else {
        panic!("it is not sent")
    };
    assert_eq!(*note_id, Some(stored.id));
    assert_eq!(entity.as_ref().map(|entity| entity.id), Some(stored.entity_id));
    daemon.stop().await;
}

#[tokio::test]
async fn a_backlog_goes_in_batches_of_fifty() {
    let fake = fake().await;
    let daemon = Setup::new(&fake.base_url()).start();
    daemon.enqueue(calls(120));
    daemon.wait_for_phases(&[Phase::Sent; 120]).await;
    let mut sizes: Vec<usize> = fake.posts().iter().map(|post| post.body.as_array().unwrap().len()).collect();
    // Those in the air may overtake one another.
    sizes.sort_unstable();
    assert_eq!(sizes, [20, 50, 50]);
    assert_each_once(&fake, 120);
    daemon.stop().await;
}

/// Three calls, the first POST of which meets this fault: each is stored once in the end.
async fn survives(what: What) -> FakeAmo {
    let fake = fake().await;
    fake.fault(On::Post, 1, what);
    let daemon = Setup::new(&fake.base_url()).start();
    daemon.enqueue(calls(3));
    daemon.wait_for_phases(&[Phase::Sent; 3]).await;
    assert_each_once(&fake, 3);
    daemon.stop().await;
    fake
}

#[tokio::test]
async fn a_server_error_is_survived() {
    survives(What::Status(500)).await;
    survives(What::Page(502)).await;
    survives(What::Page(504)).await;
}

#[tokio::test]
async fn errors_that_name_no_call_bury_none() {
    for status in [500, 503, 429, 401, 402] {
        let fake = fake().await;
        fake.fault(On::Post, 1, What::Errors(status));
        let daemon = Setup::new(&fake.base_url()).start();
        daemon.enqueue(calls(1));
        daemon.wait_for_phases(&[Phase::Sent]).await;
        assert_each_once(&fake, 1);
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_gateway_that_gives_up_after_storing_makes_no_duplicate() {
    let fake = survives(What::PageAfter(504)).await;
    assert_eq!(fake.posts().len(), 1);
}

#[tokio::test]
async fn a_reset_before_storing_is_survived() {
    survives(What::ResetBefore).await;
}

#[tokio::test]
async fn a_reset_after_storing_makes_no_duplicate() {
    let fake = survives(What::ResetAfter).await;
    assert_eq!(fake.posts().len(), 1);
}

#[tokio::test]
async fn a_request_that_hangs_is_survived() {
    survives(What::HangBefore).await;
}

#[tokio::test]
async fn an_answer_that_never_comes_makes_no_duplicate() {
    let fake = survives(What::HangAfter).await;
    assert_eq!(fake.posts().len(), 1);
}

#[tokio::test]
async fn half_an_answer_makes_no_duplicate() {
    let fake = survives(What::Truncated).await;
    assert_eq!(fake.posts().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_no_json_makes_no_duplicate() {
    let fake = survives(What::Garbage).await;
    assert_eq!(fake.posts().len(), 1);
}

#[tokio::test]
async fn an_unexplained_refusal_is_survived() {
    survives(What::Status(400)).await;
}

#[tokio::test]
async fn a_refusal_of_the_application_is_survived() {
    survives(What::Status(403)).await;
}

#[tokio::test]
async fn an_address_that_was_wrong_for_a_while_is_survived() {
    survives(What::Status(404)).await;
}

#[tokio::test]
async fn an_empty_list_does_not_prove_that_a_call_is_missing() {
    let fake = fake().await;
    fake.fault(On::Post, 1, What::ResetAfter);
    fake.fault(On::Notes, 4, What::Empty);
    let daemon = Setup::new(&fake.base_url()).start();
    daemon.enqueue(calls(1));
    daemon.wait_for_phases(&[Phase::Sent]).await;
    assert_each_once(&fake, 1);
    daemon.stop().await;
}

#[tokio::test]
async fn a_refused_call_is_dead_and_its_batch_is_delivered() {
    let fake = fake().await;
    fake.fault(On::Post, 1, What::Validation(1));
    let daemon = Setup::new(&fake.base_url()).start();
    daemon.enqueue(calls(3));
    daemon.wait_for_phases(&[Phase::Sent, Phase::Dead, Phase::Sent]).await;
    assert_each_once(&fake, 2);
    let State::Dead { reason, .. } = &daemon.queue.items()[1].state else { panic!() };
    assert!(reason.contains("call_status: NotSupportedChoice"), "{reason}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_wrong_user_is_no_unknown_number_and_keeps_no_call_out() {
    let fake = start(Options { users: Some(vec![1]), ..Options::default() }).await;
    fake.fault(On::Users, 1, What::Status(403));
    let daemon = Setup::new(&fake.base_url()).start();
    daemon.enqueue(calls(1));
    daemon.wait_for_phases(&[Phase::Sent]).await;
    assert_each_once(&fake, 1);
    assert_eq!(fake.calls()[0].call.get("responsible_user_id"), None);
    daemon.stop().await;
}

#[tokio::test]
async fn an_unknown_number_waits_for_its_contact() {
    for mixed_status in [200, 400] {
        let known = Known::Only(vec![("9160000001".to_owned(), "lead")]);
        let fake = start(Options { known, mixed_status, ..Options::default() }).await;
        let daemon = Setup::new(&fake.base_url()).amo("unknown", json!({"inbound": "park"})).start();
        daemon.enqueue(calls(2));
        daemon.wait_for_phases(&[Phase::Sent, Phase::Parked]).await;
        fake.add_contact("+7 (916) 000-00-02");
        daemon.wait_for_phases(&[Phase::Sent; 2]).await;
        assert_each_once(&fake, 2);
        daemon.stop().await;
    }
}

#[tokio::test]
async fn an_unknown_number_is_given_up_in_the_end() {
    let fake = start(Options { known: Known::Only(Vec::new()), ..Options::default() }).await;
    let setup = Setup::new(&fake.base_url()).amo("unknown", json!({"inbound": "park"}));
    let daemon = setup.delivery("parked-max", json!("120ms")).start();
    daemon.enqueue(calls(1));
    daemon.wait_for_phases(&[Phase::Expired]).await;
    assert!(fake.posts().len() >= 2);
    daemon.stop().await;
}

#[tokio::test]
async fn a_replaced_token_file_ends_the_hold() {
    let fake = fake().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "old.token\n").unwrap();
    let mut daemon = Setup::new(&fake.base_url()).token_file(&file).start();
    daemon.enqueue(calls(2));
    daemon.wait_for_standing(|standing| held(standing, Hold::Unauthorized)).await;
    assert_eq!(daemon.queue.phases(), [Phase::Pending; 2]);
    assert_eq!(fake.posts().len(), 0, "a bad token is noticed before a call is risked");
    std::fs::write(&file, "test.token\n").unwrap();
    daemon.wait_for_phases(&[Phase::Sent; 2]).await;
    daemon.wait_for_standing(|standing| *standing == Standing::Delivering).await;
    assert_each_once(&fake, 2);
    daemon.stop().await;
}

#[tokio::test]
async fn a_token_that_is_revoked_while_we_run_holds_the_queue() {
    let fake = fake().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "test.token\n").unwrap();
    let mut daemon = Setup::new(&fake.base_url()).token_file(&file).start();
    daemon.wait_for_standing(|standing| *standing == Standing::Delivering).await;
    fake.set_token("new.token");
    daemon.enqueue(calls(1));
    daemon.wait_for_standing(|standing| held(standing, Hold::Unauthorized)).await;
    std::fs::write(&file, "new.token").unwrap();
    daemon.wait_for_phases(&[Phase::Sent]).await;
    assert_each_once(&fake, 1);
    daemon.stop().await;
}

#[tokio::test]
async fn a_missing_token_file_is_said_and_waited_for() {
    let fake = fake().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let mut daemon = Setup::new(&fake.base_url()).token_file(&file).start();
    daemon.enqueue(calls(1));
    daemon.wait_for_standing(|standing| held(standing, Hold::Unauthorized)).await;
    let Standing::Held { words, .. } = daemon.standing.borrow().clone() else { panic!() };
    assert!(words.contains("cannot read the token in"), "{words}");
    assert_eq!(fake.requests().len(), 0);
    std::fs::write(&file, "test.token").unwrap();
    daemon.wait_for_phases(&[Phase::Sent]).await;
    daemon.stop().await;
}

#[tokio::test]
async fn an_unpaid_account_holds_the_queue_until_it_is_paid() {
    let fake = fake().await;
    fake.fault(On::Post, 3, What::Status(402));
    let mut daemon = Setup::new(&fake.base_url()).start();
    daemon.enqueue(calls(5));
    daemon.wait_for_standing(|standing| held(standing, Hold::Unpaid)).await;
    daemon.wait_for_phases(&[Phase::Sent; 5]).await;
    assert_each_once(&fake, 5);
    let sizes: Vec<usize> = fake.posts().iter().map(|post| post.body.as_array().unwrap().len()).collect();
    assert_eq!(sizes, [5, 1, 1, 1, 4], "one call at a time is risked while the account is held");
    daemon.stop().await;
}

#[tokio::test]
async fn a_ban_is_not_hammered() {
    let fake = fake().await;
    fake.fault(On::Any, 1, What::Page(403));
    let mut daemon = Setup::new(&fake.base_url()).start();
    daemon.wait_for_standing(|standing| held(standing, Hold::Banned)).await;
    daemon.enqueue(calls(1));
    let queue = daemon.stop().await;
    assert_eq!(queue.phases(), [Phase::Pending]);
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn too_many_requests_pause_everything() {
    let fake = fake().await;
    fake.fault(On::Post, 1, What::TooMany { retry_after: None });
    let daemon = Setup::new(&fake.base_url()).start();
    daemon.enqueue(calls(2));
    daemon.wait_for_phases(&[Phase::Sent; 2]).await;
    assert_each_once(&fake, 2);
    let posts = fake.posts();
    assert!(posts[1].at.duration_since(posts[0].at) >= Duration::from_secs(1));
    daemon.stop().await;
}

#[tokio::test]
async fn the_pace_keeps_to_seven_in_any_second() {
    let fake = start(Options { relaxed_pace: false, ..Options::default() }).await;
    let daemon = Setup::new(&fake.base_url())
        .amo("requests-per-second", json!(7))
        .delivery("batch-size", json!(1))
        .start();
    daemon.enqueue(calls(10));
    daemon.wait_for_phases(&[Phase::Sent; 10]).await;
    assert_each_once(&fake, 10);
    let is_fine =
        |request: &fake_amo::Request| request.status == 200 || request.path.starts_with("/api/v4/users");
    assert!(fake.requests().iter().all(is_fine));
    daemon.stop().await;
}

#[tokio::test]
async fn calls_wait_while_amocrm_is_away() {
    let fake = fake().await;
    let options = Options { addr: fake.addr(), ..Options::default() };
    let mut daemon = Setup::new(&fake.base_url()).start();
    daemon.wait_for_standing(|standing| *standing == Standing::Delivering).await;
    fake.shutdown().await;
    daemon.enqueue(calls(2));
    daemon.wait_for_standing(|standing| matches!(standing, Standing::Troubled { .. })).await;
    let fake = start(options).await;
    daemon.wait_for_phases(&[Phase::Sent; 2]).await;
    daemon.wait_for_standing(|standing| *standing == Standing::Delivering).await;
    assert_each_once(&fake, 2);
    daemon.stop().await;
}

#[tokio::test]
async fn what_was_under_way_in_a_crash_is_found_and_not_sent_again() {
    let fake = fake().await;
    let setup = Setup::new(&fake.base_url());
    let two = calls(2);
    let earlier = clock::host().before(Duration::from_secs(3));
    for call in &two {
        let seq = setup.queue.enqueue(call.clone(), earlier);
        setup.queue.leave_sending(seq, earlier);
    }
    let record = &two[0].record;
    fake.store(json!({"uniq": record.call_id.as_str(), "phone": record.phone, "direction": "inbound"}));
    let daemon = setup.start();
    daemon.wait_for_phases(&[Phase::Sent; 2]).await;
    assert_each_once(&fake, 2);
    assert_eq!(fake.posts().len(), 1, "only the call that is not there is sent");
    daemon.stop().await;
}

#[tokio::test]
async fn a_process_that_dies_while_amocrm_answers_makes_no_duplicate() {
    let fake = fake().await;
    fake.fault(On::Post, 1, What::Gate);
    let daemon = Setup::new(&fake.base_url()).start();
    daemon.enqueue(calls(3));
    fake.wait_for(|state| !state.statuses("POST").is_empty()).await;
    let queue = daemon.kill().await;
    assert_eq!(queue.phases(), [Phase::Sending; 3]);
    let daemon = Setup { queue, ..Setup::new(&fake.base_url()) }.start();
    daemon.wait_for_phases(&[Phase::Sent; 3]).await;
    assert_each_once(&fake, 3);
    daemon.stop().await;
}

#[tokio::test]
async fn an_orderly_end_waits_for_the_answer() {
    let fake = fake().await;
    fake.fault(On::Post, 1, What::Gate);
    let daemon = Setup::new(&fake.base_url()).amo("request-timeout", json!("10s")).start();
    daemon.enqueue(calls(1));
    fake.wait_for(|state| !state.statuses("POST").is_empty()).await;
    daemon.ask_to_stop();
    fake.release();
    assert_eq!(daemon.stop().await.phases(), [Phase::Sent]);
}

#[tokio::test]
async fn an_end_does_not_wait_for_a_store_that_failed() {
    let fake = fake().await;
    fake.fault(On::Post, 1, What::Gate);
    let daemon = Setup::new(&fake.base_url()).amo("request-timeout", json!("10s")).start();
    daemon.enqueue(calls(1));
    fake.wait_for(|state| !state.statuses("POST").is_empty()).await;
    daemon.queue.fill_up();
    let begun = clock::mono();
    daemon.ask_to_stop();
    fake.release();
    assert_eq!(daemon.stop().await.phases(), [Phase::Sending]);
    assert!(clock::mono().since(begun) < Duration::from_secs(5), "stop-timeout is 10 s");
}

#[tokio::test]
async fn an_orderly_end_does_not_wait_for_ever() {
    let fake = fake().await;
    fake.fault(On::Post, 1, What::Gate);
    let daemon = Setup::new(&fake.base_url())
        .amo("request-timeout", json!("10m"))
        .delivery("stop-timeout", json!("50ms"))
        .start();
    daemon.enqueue(calls(1));
    fake.wait_for(|state| !state.statuses("POST").is_empty()).await;
    assert_eq!(daemon.stop().await.phases(), [Phase::Sending]);
}

#[tokio::test]
async fn a_call_is_found_on_any_entity_and_any_page() {
    let kinds = ["contact", "company", "lead", "customer"];
    let known = (1..=12).map(|number| (format!("916{number:07}"), kinds[number % 4]));
    let options = Options { known: Known::Only(known.collect()), page_max: 1, ..Options::default() };
    let fake = start(options).await;
    fake.fault(On::Post, 1, What::ResetAfter);
    let daemon = Setup::new(&fake.base_url()).start();
    daemon.enqueue(calls(12));
    daemon.wait_for_phases(&[Phase::Sent; 12]).await;
    assert_each_once(&fake, 12);
    assert_eq!(fake.posts().len(), 1);
    daemon.stop().await;
}

#[tokio::test]
async fn customers_are_not_asked_for_where_there_are_none() {
    let fake = start(Options { customers: false, ..Options::default() }).await;
    fake.fault(On::Post, 1, What::ResetBefore);
    let daemon = Setup::new(&fake.base_url()).start();
    daemon.enqueue(calls(1));
    daemon.wait_for_phases(&[Phase::Sent]).await;
    assert!(!fake.requests().iter().any(|request| request.path.contains("customers")));
    daemon.stop().await;
}

#[tokio::test]
async fn calls_flow_while_an_unknown_one_cannot_be_looked_up() {
    let fake = fake().await;
    fake.fault(On::Post, 1, What::ResetAfter);
    fake.fault(On::Notes, 1000, What::Status(500));
    let mut daemon = Setup::new(&fake.base_url()).start();
    daemon.enqueue(calls(1));
    daemon.wait_for_standing(|standing| matches!(standing, Standing::Troubled { .. })).await;
    daemon.enqueue([call(2, "79160000002")]);
    daemon.wait_for_phases(&[Phase::Unknown, Phase::Sent]).await;
    fake.clear_faults();
    daemon.wait_for_phases(&[Phase::Sent; 2]).await;
    assert_each_once(&fake, 2);
    daemon.stop().await;
}

#[tokio::test]
async fn something_that_is_not_amocrm_gets_no_calls() {
    let fake = fake().await;
    fake.fault(On::Account, 1000, What::Page(200));
    let mut daemon = Setup::new(&fake.base_url()).start();
    daemon.enqueue(calls(1));
    daemon.wait_for_standing(|standing| held(standing, Hold::NotAmo)).await;
    assert_eq!(fake.posts().len(), 0);
    assert_eq!(daemon.stop().await.phases(), [Phase::Pending]);
}

#[tokio::test]
async fn each_call_has_one_line_with_a_masked_number() {
    let (log, guard) = Log::capture(tracing::Level::INFO);
    let fake =
        start(Options { known: Known::Only(vec![("9160000001".into(), "lead")]), ..Options::default() })
            .await;
    let daemon = Setup::new(&fake.base_url()).delivery("parked-retries", json!(["1h"])).start();
    daemon.enqueue(calls(2));
    daemon.wait_for_phases(&[Phase::Sent, Phase::Parked]).await;
    daemon.stop().await;
    drop(guard);
    let text = log.text();
    for (needle, count) in [
        ("call delivered", 1),
        ("call not sent", 1),
        ("call_id=", 2),
        ("…0001", 1),
        ("79160000001", 0),
        ("test.token", 0),
    ] {
        assert_eq!(text.matches(needle).count(), count, "{needle}: {text}");
    }
}

#[tokio::test]
async fn a_post_that_is_always_refused_is_one_line_until_a_call_is_delivered() {
    for what in [What::Status(403), What::Status(404), What::Page(301), What::Page(200), What::Status(500)] {
        let (log, guard) = Log::capture(tracing::Level::DEBUG);
        let fake = fake().await;
        let mut daemon = Setup::new(&fake.base_url()).start();
        daemon.wait_for_standing(|standing| *standing == Standing::Delivering).await;
        fake.fault(On::Post, 1000, what);
        daemon.enqueue(calls(1));
        fake.wait_for(|state| state.statuses("POST").len() == 4).await;
        let alarms =
            |text: &str| text.matches("delivery is held").count() + text.matches("cannot be reached").count();
        let text = log.text();
        assert_eq!((alarms(&text), text.matches("amoCRM answers").count()), (1, 1), "{what:?}: {text}");
        fake.clear_faults();
        daemon.wait_for_phases(&[Phase::Sent]).await;
        daemon.wait_for_standing(|standing| *standing == Standing::Delivering).await;
        daemon.stop().await;
        drop(guard);
        let text = log.text();
        assert_eq!((alarms(&text), text.matches("amoCRM answers").count()), (1, 2), "{what:?}: {text}");
    }
}

#[tokio::test]
async fn a_hold_is_one_line_that_says_what_to_do() {
    let (log, guard) = Log::capture(tracing::Level::DEBUG);
    let fake = fake().await;
    fake.fault(On::Account, 8, What::Status(401));
    let mut daemon = Setup::new(&fake.base_url()).start();
    daemon.wait_for_standing(|standing| *standing == Standing::Delivering).await;
    daemon.stop().await;
    drop(guard);
    let text = log.text();
    assert_eq!(text.matches("delivery is held").count(), 1, "{text}");
    assert!(text.contains("put it into token-file"), "{text}");
}

fn posted(requests: &[fake_amo::Request]) -> usize {
    requests.iter().filter(|request| request.method == "POST").count()
}

#[tokio::test]
async fn four_requests_are_under_way_at_once_and_the_end_waits_for_all_of_them() {
    let fake = fake().await;
    fake.fault(On::Post, 4, What::Gate);
    let daemon = Setup::new(&fake.base_url())
        .amo("request-timeout", json!("10s"))
        .delivery("batch-size", json!(1))
        .start();
    daemon.enqueue(calls(6));
    fake.wait_for(|state| posted(&state.requests) == 4).await;
    assert_eq!(daemon.queue.phases()[..4], [Phase::Sending; 4], "each has an intent of its own");
    let mut answers = tokio::time::interval(Duration::from_millis(5));
    let stopped = daemon.stop();
    tokio::pin!(stopped);
    let queue = loop {
        tokio::select! {
            queue = &mut stopped => break queue,
            _ = answers.tick() => fake.release(),
        }
    };
    let expected = [vec![Phase::Sent; 4], vec![Phase::Pending; 2]].concat();
    assert_eq!(queue.phases(), expected, "nothing is launched at the end");
    assert_eq!(posted(&fake.requests()), 4);
}

#[tokio::test]
async fn requests_that_meet_a_429_together_are_all_made_once_in_the_end() {
    let fake = fake().await;
    fake.fault(On::Post, 3, What::TooMany { retry_after: None });
    let mut daemon = Setup::new(&fake.base_url()).delivery("batch-size", json!(1)).start();
    daemon.enqueue(calls(8));
    daemon.wait_for_phases(&[Phase::Sent; 8]).await;
    daemon.wait_for_standing(|standing| *standing == Standing::Delivering).await;
    assert_each_once(&fake, 8);
    daemon.stop().await;
}
