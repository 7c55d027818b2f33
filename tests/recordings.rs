//! The courier task with recordings on a disk and a strict fake of amoCRM: a link goes with the call
//! where the file is there in time, follows where it comes late, and keeps no call waiting.
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

use std::fs;
use std::ops::Range;

use ami2amo::call::record::{FinishedCall, Outcome};
use ami2amo::outbox::courier::sound::LateLinks;
use ami2amo::outbox::courier::standing::Standing;
use ami2amo::outbox::errand::Sound;
use ami2amo::outbox::queue::{Item, Phase};
use serde_json::{Value, json};
use tempfile::TempDir;

use daemon::{Daemon, Setup};
use fake_amo::{Changes, FakeAmo, On, Options, What, start};

const URL: &str = "https://pbx.example.org/rec/{file}";

/// A folder of recordings, and an account whose calls have links to it.
struct Stage {
    fake: FakeAmo,
    dir: TempDir,
}

impl Stage {
    async fn new(options: Options) -> Self {
        Self { fake: start(options).await, dir: tempfile::tempdir().unwrap() }
    }

    fn record(&self, file: &str) {
        let path = self.dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "sound").unwrap();
    }

    fn setup(&self) -> Setup {
        Setup::new(&self.fake.base_url())
            .amo("recording-url", json!(URL))
            .amo("recording-root", json!(self.dir.path()))
            .amo("recording-wait", json!("60ms"))
            .amo("users", json!({"101": 504_142}))
    }

    fn links(&self) -> Vec<Option<String>> {
        let link = |note: fake_amo::Note| note.call["link"].as_str().map(str::to_owned);
        self.fake.calls().into_iter().map(link).collect()
    }

    fn check(&self, expected: &[Option<&str>]) {
        let link = |file: &&str| format!("https://pbx.example.org/rec/{file}");
        let expected: Vec<Option<String>> = expected.iter().map(|file| file.as_ref().map(link)).collect();
        assert_eq!(self.links(), expected);
        assert_eq!(self.fake.violations(), [""; 0]);
    }
}

/// A call whose recording has this name.
fn recorded(n: u64, file: &str) -> FinishedCall {
    let mut call = daemon::call(n, "79161234568");
    call.record.recording = Some(file.to_owned());
    call
}

fn unrecorded(numbers: Range<u64>) -> impl Iterator<Item = FinishedCall> {
    numbers.map(|n| daemon::call(n, "79161234568"))
}

fn sound(item: &Item) -> Option<&Sound> {
    item.errand.sound.as_ref()
}

async fn given_up(daemon: &Daemon) -> String {
    daemon.wait_for_item(0, |item| matches!(sound(item), Some(Sound::GivenUp { .. }))).await;
    match daemon.queue.items()[0].errand.sound.clone() {
        Some(Sound::GivenUp { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

async fn added(daemon: &Daemon, at: usize) {
    daemon.wait_for_item(at, |item| matches!(sound(item), Some(Sound::Added { .. }))).await;
}

#[tokio::test]
async fn an_address_that_is_known_at_once_goes_with_the_call() {
    let stage = Stage::new(Options::default()).await;
    let mut setup = stage.setup();
    setup.amo.as_object_mut().unwrap().remove("recording-root");
    let daemon = setup.start();
    daemon.enqueue([recorded(1, "in 1.wav")]);
    daemon.wait_for_phases(&[Phase::Sent]).await;
    stage.check(&[Some("in%201.wav")]);
    assert_eq!(sound(&daemon.queue.items()[0]), None);
}

#[tokio::test]
async fn a_file_that_is_there_goes_with_the_call_as_it_lies_there() {
    let stage = Stage::new(Options::default()).await;
    stage.record("2026/11/22/in-1.mp3");
    stage.record("2026/11/22/in-1.wav");
    stage.record("elsewhere.wav");
    let daemon = stage.setup().start();
    // The PBX told the day's folder, or not, and of the second call that it talks and not where.
    daemon.enqueue([recorded(1, "2026/11/22/in-1.wav"), recorded(2, "in-1.wav")]);
    daemon.wait_for_phases(&[Phase::Sent; 2]).await;
    stage.check(&[Some("2026/11/22/in-1.mp3"); 2]);
    assert_eq!(stage.fake.changes().len(), 0);
}

#[tokio::test]
async fn a_file_without_a_known_name_is_searched_for_by_its_channel() {
    let stage = Stage::new(Options::default()).await;
    stage.record("2026/11/22/q-700-1795337591.1.wav");
    stage.record("2026/11/22/q-700-1795337591.12.wav.part");
    let daemon = stage.setup().amo("recording-search", json!("{year}/{month}/{day}/*-{uniqueid}.*")).start();
    daemon.enqueue([daemon::call(1, "79161234568")]);
    daemon.wait_for_phases(&[Phase::Sent]).await;
    stage.check(&[Some("2026/11/22/q-700-1795337591.1.wav")]);
}

#[tokio::test]
async fn a_name_that_the_dial_plan_had_ready_is_looked_for() {
    let stage = Stage::new(Options::default()).await;
    stage.record("2026/11/22/exten-101-1.wav");
    let daemon = stage.setup().start();
    let mut call = daemon::call(1, "79161234568");
    call.record.recording_hints = vec!["out-none".to_owned(), "exten-101-1".to_owned()];
    daemon.enqueue([call]);
    daemon.wait_for_phases(&[Phase::Sent]).await;
    stage.check(&[Some("2026/11/22/exten-101-1.wav")]);
}

#[tokio::test]
async fn a_message_is_heard_where_messages_are() {
    let stage = Stage::new(Options::default()).await;
    stage.record("default/101/INBOX/msg0000.wav");
    let daemon = stage
        .setup()
        .amo("voicemail-root", json!(stage.dir.path()))
        .amo("voicemail-url", json!("https://pbx.example.org/rec/{file}"))
        .start();
    let mut call = daemon::call(1, "79161234568");
    (call.record.answered, call.record.outcome) = (false, Outcome::Voicemail);
    call.record.message = Some("default/101/INBOX/msg0000".to_owned());
    daemon.enqueue([call]);
    daemon.wait_for_phases(&[Phase::Sent]).await;
    stage.check(&[Some("default/101/INBOX/msg0000.wav")]);
}

#[tokio::test]
async fn a_call_waits_for_its_file_and_keeps_no_other_waiting() {
    let stage = Stage::new(Options::default()).await;
    stage.record("b.wav");
    let daemon = stage.setup().amo("recording-wait", json!("10s")).start();
    daemon.enqueue([recorded(1, "a.wav"), recorded(2, "b.wav"), daemon::call(3, "79161234568")]);
    daemon.wait_for_phases(&[Phase::Pending, Phase::Sent, Phase::Sent]).await;
    assert!(matches!(sound(&daemon.queue.items()[0]), Some(Sound::Missing { .. })));
    stage.record("a.wav");
    daemon.wait_for_phases(&[Phase::Sent; 3]).await;
    let mut links = stage.links();
    links.sort();
    let link = |file: &str| Some(format!("https://pbx.example.org/rec/{file}"));
    assert_eq!(links, [None, link("a.wav"), link("b.wav")]);
    assert_eq!(stage.fake.changes().len(), 0);
}

/// Posts a call whose file comes late; the account takes links in one form.
async fn late(changes: Changes) -> (Stage, Daemon) {
    let stage = Stage::new(Options { changes, ..Options::default() }).await;
    let daemon = stage.setup().start();
    daemon.enqueue([recorded(1, "a.wav")]);
    daemon.wait_for_phases(&[Phase::Sent]).await;
    stage.check(&[None]);
    stage.record("a.wav");
    (stage, daemon)
}

#[tokio::test]
async fn a_link_that_comes_late_is_added_to_the_note_in_whatever_form_it_is_taken() {
    for (changes, tries) in [(Changes::Listed, 1), (Changes::Nested, 2), (Changes::Links, 3)] {
        let (stage, daemon) = late(changes).await;
        let before = stage.fake.calls().remove(0).call;
        added(&daemon, 0).await;
        stage.check(&[Some("a.wav")]);
        let mut after = stage.fake.calls().remove(0).call;
        after.as_object_mut().unwrap().remove("link");
        assert_eq!(after, before, "nothing else has changed, nor whom the call names");
        assert_eq!(stage.fake.changes().len(), tries, "{changes:?}");
        // What was taken once is tried first.
        daemon.enqueue([recorded(2, "b.wav")]);
        daemon.wait_for_phases(&[Phase::Sent; 2]).await;
        stage.record("b.wav");
        added(&daemon, 1).await;
        assert_eq!(stage.fake.changes().len(), tries + 1, "{changes:?}");
        assert_eq!(*daemon.links.borrow(), LateLinks { added: 2, given_up: 0 });
    }
}

#[tokio::test]
async fn a_link_that_no_form_is_taken_for_is_given_up_and_calls_go_on() {
    let (stage, mut daemon) = late(Changes::Nothing).await;
    let reason = given_up(&daemon).await;
    assert!(reason.contains("does not change the note: HTTP 400"), "{reason}");
    assert_eq!(stage.fake.changes().len(), 3);
    daemon.enqueue([daemon::call(2, "79161234568")]);
    daemon.wait_for_phases(&[Phase::Sent; 2]).await;
    daemon.wait_for_standing(|standing| *standing == Standing::Delivering).await;
    assert_eq!(daemon.links.borrow().given_up, 1);
}

#[tokio::test]
async fn a_link_is_added_after_whatever_came_between() {
    for what in [
        What::Status(503),
        What::Page(502),
        What::TooMany { retry_after: None },
        What::ResetBefore,
        What::ResetAfter,
        What::Truncated,
        What::PageAfter(504),
        What::Status(401),
    ] {
        let stage = Stage::new(Options::default()).await;
        let daemon = stage.setup().start();
        stage.fake.fault(On::Change, 1, what);
        daemon.enqueue([recorded(1, "a.wav")]);
        daemon.wait_for_phases(&[Phase::Sent]).await;
        stage.record("a.wav");
        added(&daemon, 0).await;
        stage.check(&[Some("a.wav")]);
    }
}

#[tokio::test]
async fn a_file_that_never_comes_is_given_up() {
    let stage = Stage::new(Options::default()).await;
    let daemon = stage.setup().amo("recording-late", json!("400ms")).start();
    daemon.enqueue([recorded(1, "a.wav")]);
    assert_eq!(given_up(&daemon).await, "there is no file, for 400ms");
    stage.check(&[None]);
    assert_eq!(*daemon.links.borrow(), LateLinks { added: 0, given_up: 1 });
}

#[tokio::test]
async fn an_owed_link_outlives_the_process_and_an_answer_that_was_lost() {
    let stage = Stage::new(Options::default()).await;
    let daemon = stage.setup().delivery("on-unknown", json!("hold")).start();
    stage.fake.fault(On::Post, 1, What::ResetAfter);
    daemon.enqueue([recorded(1, "a.wav")]);
    // It is found by a search, and no answer told whether the link was in it.
    daemon.wait_for_phases(&[Phase::Sent]).await;
    daemon.wait_for_item(0, |item| item.errand.owes_link()).await;
    let queue = daemon.stop().await;
    stage.record("a.wav");
    let daemon = Setup { queue, ..stage.setup() }.start();
    added(&daemon, 0).await;
    stage.check(&[Some("a.wav")]);
}

#[tokio::test]
async fn a_folder_that_is_gone_holds_no_call_up() {
    let stage = Stage::new(Options::default()).await;
    let daemon = stage.setup().amo("recording-root", json!("/no/such/folder")).start();
    daemon.enqueue((1..=120).map(|n| recorded(n, "a.wav")));
    daemon.wait_for_phases(&[Phase::Sent; 120]).await;
    stage.check(&[None; 120]);
}

#[tokio::test]
async fn a_text_that_is_refused_is_learned_for_all_calls() {
    let stage = Stage::new(Options { result_max: 12, ..Options::default() }).await;
    let daemon = Setup::new(&stage.fake.base_url()).start();
    daemon.enqueue(unrecorded(1..101));
    daemon.wait_for_phases(&[Phase::Sent; 100]).await;
    let refused = stage.fake.posts().iter().filter(|post| post.status == 400).count();
    assert!((1..=4).contains(&refused), "{refused} requests were refused");
    let told: Vec<Value> = stage.fake.calls().iter().map(|note| note.call["call_result"].clone()).collect();
    assert!(told.iter().all(Value::is_null), "{told:?}");
    daemon.enqueue(unrecorded(101..103));
    daemon.wait_for_phases(&[Phase::Sent; 102]).await;
    assert_eq!(stage.fake.posts().iter().filter(|post| post.status == 400).count(), refused);
}

#[tokio::test]
async fn the_start_is_told_by_amocrms_clock() {
    for (ahead, expected) in [(0, 0), (3600, 3600), (-7200, -7200)] {
        let stage = Stage::new(Options { ahead, ..Options::default() }).await;
        let daemon = Setup::new(&stage.fake.base_url()).start();
        daemon.enqueue([daemon::call(1, "79161234568")]);
        daemon.wait_for_phases(&[Phase::Sent]).await;
        let told = stage.fake.calls()[0].call["created_at"].as_i64().unwrap();
        // The header has whole seconds, and was a while under way.
        assert!((told - 1_795_338_791 - expected).abs() <= 5, "{told}");
    }
}
