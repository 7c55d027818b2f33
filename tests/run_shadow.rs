//! Beside another connector, through the real binary: shadow mode, which posts nothing and compares, and the look
//! for whoever else writes notes of the calls that are posted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ami2amo::amo::answer::Reply;
use ami2amo::amo::client::{Client, Clock, Failure, TokenSource};
use ami2amo::amo::pace::Pace;
use ami2amo::amo::settings::Settings;
use ami2amo::clock;
use serde_json::{Value, json};

use daemon::{Daemon, Host, LIMIT};
use fake_ami::{FakeAmi, Script, Step};
use fake_amo::{FakeAmo, Options};
use prompt::{delivered, machine, missed_now, run, script};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;
#[path = "support/prompt.rs"]
mod prompt;

const SHADOW: &str = "default-user = 1\ndelivery = \"shadow\"\ncompare-after = \"1s\"\n";

/// A missed call of this moment, of a number that ends so.
fn missed(count: u32, end: &str) -> (String, Step) {
    let (uniqueid, text) = missed_now(count);
    let text = String::from_utf8(text).unwrap().replace("79161234568", &format!("7916123{end}"));
    (uniqueid, Step::Send(text.into_bytes()))
}

/// It follows the PBX, whose clock it knows.
async fn follows(host: &Host, ami: &FakeAmi) -> Daemon {
    let mut daemon = host.start();
    daemon.logs("amoCRM answers").await;
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    daemon
}

async fn json_of(host: &Host, line: &str) -> Value {
    let said = run(host, line, "").await;
    serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{line}: {} {}", said.out, said.err))
}

/// The report, once it has so many calls and all of them are compared.
async fn compared(host: &Host, daemon: &mut Daemon, calls: u64) -> Value {
    // Who reads no log holds its writer up.
    let drained = async { while daemon.next_line().await.is_some() {} };
    let whole = async {
        loop {
            let report = json_of(host, "shadow --json").await;
            if report["calls"] == calls && report["not_compared"] == 0 {
                return report;
            }
        }
    };
    let either = async {
        tokio::select! {
            report = whole => report,
            () = drained => panic!("the daemon has ended"),
        }
    };
    let Ok(report) = tokio::time::timeout(LIMIT, either).await else {
        panic!("not compared: {}", json_of(host, "shadow --json").await)
    };
    report
}

#[track_caller]
fn only_asked(amo: &FakeAmo) {
    let others: Vec<_> = amo.requests().into_iter().filter(|request| request.method != "GET").collect();
    assert!(others.is_empty(), "shadow mode: {others:#?}");
    assert_eq!(amo.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn in_shadow_mode_nothing_is_posted_and_each_call_is_compared() {
    let amo = fake_amo::start(Options::default()).await;
    let ((id, first), (other_id, second)) = (missed(1, "4568"), missed(2, "4569"));
    let (host, ami) = machine(&amo, vec![Step::Hold, first, second]).await;
    host.edit("default-user = 1\n", SHADOW);
    let checked = run(&host, "check --offline", "").await;
    assert!(checked.words().contains("nothing is posted to this account"), "{}", checked.out);
    let mut daemon = follows(&host, &ami).await;
    let now = clock::host().seconds();
    amo.write("widget", "8 (916) 123-45-68", now - 2, 31);
    amo.write("provider", "+79990001122", now - 2, 7);
    ami.go_on();
    let report = compared(&host, &mut daemon, 2).await;
    let counts = ["same", "different", "missing", "extra"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(counts, [0, 1, 1, 1], "{report}");
    assert_eq!(report["differences"], json!({"duration": 1, "phone-form": 1}));
    let of_provider = json!({"same": 0, "different": 0, "extra": 1});
    assert_eq!(report["sources"]["provider"], of_provider, "{report}");
    let page = run(&host, "shadow", "").await;
    assert_eq!((page.code, page.err.as_str()), (0, ""));
    assert!(page.out.lines().all(|line| line.chars().count() <= 80), "{}", page.out);
    for part in ["duration 31 s, here 0 s", "missing in amoCRM 1", "only in amoCRM 1", "…1122", &other_id] {
        assert!(page.words().contains(part), "{part}: {}", page.out);
    }
    let russian = run(&host, "shadow --language ru", "").await;
    assert!(russian.words().contains("нет в amoCRM 1"), "{}", russian.out);
    let explained = run(&host, &format!("explain default-{id}"), "").await.words();
    assert!(explained.contains("amoCRM has it otherwise: \"widget\" (note "), "{explained}");
    assert!(explained.contains("\"duration\": 0"), "what would be posted: {explained}");
    let status = run(&host, "status", "").await;
    assert!(status.words().contains("shadow mode: nothing is posted to account default"), "{}", status.out);
    assert_eq!(status.code, 0, "{}", status.out);
    assert_eq!(json_of(&host, "status --json").await["outbox"]["unaccounted"], 0);
    let log = daemon.stopped().await;
    assert!(log.contains("amoCRM answers: shadow mode, nothing is posted"), "{log}");
    only_asked(&amo);
}

#[tokio::test]
async fn calls_of_shadow_mode_are_never_posted_whatever_mode_follows() {
    let amo = fake_amo::start(Options::default()).await;
    let (host, ami) =
        machine(&amo, vec![Step::Hold, missed(1, "4568").1, Step::Hold, missed(2, "4569").1]).await;
    host.edit("default-user = 1\n", SHADOW);
    let mut daemon = follows(&host, &ami).await;
    ami.go_on();
    compared(&host, &mut daemon, 1).await;
    only_asked(&amo);
    // The daemon goes on with another mode.
    host.edit("delivery = \"shadow\"", "delivery = \"post\"");
    daemon.signal("-HUP");
    daemon.logs("configuration").await;
    ami.go_on();
    delivered(&amo, 1).await;
    daemon.stopped().await;
    let posted = amo.calls();
    assert_eq!((posted.len(), posted[0].phone()), (1, "+79161234569"));
    let report = json_of(&host, "shadow --json").await;
    assert_eq!((&report["calls"], &report["missing"]), (&1.into(), &1.into()), "without a daemon: {report}");
    // A call that waits is not posted in shadow mode, and is when it ends.
    amo.set_token("another");
    ami.set_script(script(vec![Step::Hold, missed(3, "4570").1]));
    let mut daemon = host.start();
    daemon.logs("delivery is held").await;
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.go_on();
    while run(&host, "queue list --state pending --json", "").await.out.is_empty() {}
    daemon.stopped().await;
    amo.set_token(&Options::default().token);
    host.edit("delivery = \"post\"", "delivery = \"shadow\"");
    ami.set_script(script(vec![Step::Hold, missed(4, "4571").1]));
    let mut daemon = follows(&host, &ami).await;
    ami.go_on();
    compared(&host, &mut daemon, 2).await;
    let status = run(&host, "status", "").await.words();
    assert!(status.contains("calls from before that wait: 1"), "{status}");
    daemon.stopped().await;
    assert_eq!(amo.calls().len(), 1);
    host.edit("delivery = \"shadow\"", "delivery = \"post\"");
    ami.set_script(Script::default());
    let daemon = host.start();
    delivered(&amo, 2).await;
    daemon.stopped().await;
    assert_eq!(amo.calls()[1].phone(), "+79161234570");
    let phases = host.stored().by_phase;
    assert_eq!(phases.values().sum::<u64>(), 4, "{phases:?}");
}

#[tokio::test]
async fn whoever_else_writes_our_calls_is_noticed_and_named() {
    let amo = fake_amo::start(Options { twin: Some("amo_asterisk"), ..Options::default() }).await;
    let ((id, first), (_, second)) = (missed(1, "4568"), missed(2, "4569"));
    let (host, ami) = machine(&amo, vec![Step::Hold, first, second]).await;
    host.edit("default-user = 1\n", "default-user = 1\ncompare-after = \"1s\"\n");
    let mut daemon = follows(&host, &ami).await;
    ami.go_on();
    let line = daemon.logs("another integration writes call notes").await;
    assert!(
        line.contains("WARN") && line.contains("amo_asterisk") && line.contains("docs/migrate.md"),
        "{line}"
    );
    let told = async {
        loop {
            let status = json_of(&host, "status --json").await;
            if status["problems"].to_string().contains("\"duplicated\"") {
                return status;
            }
        }
    };
    let status = tokio::time::timeout(LIMIT, told).await.expect("it is a problem");
    let foreign = &status["accounts"][0]["foreign"][0];
    assert_eq!((&foreign["source"], &foreign["notes"]), (&"amo_asterisk".into(), &2.into()), "{status}");
    let page = run(&host, "status", "").await;
    assert_eq!(page.code, 1, "{}", page.out);
    assert!(
        page.words().contains("switch off the call history of the stock Asterisk widget"),
        "{}",
        page.out
    );
    let explained = async {
        let said = "Somebody else wrote notes of it, too: \"amo_asterisk\"";
        while !run(&host, &format!("explain default-{id}"), "").await.words().contains(said) {}
    };
    assert!(tokio::time::timeout(LIMIT, explained).await.is_ok(), "explain does not name it");
    let metrics = tokio::net::UnixStream::connect(host.path("ctl.sock")).await.unwrap();
    let metrics = prompt::ask(metrics, "GET", "/metrics", "").await;
    assert!(
        metrics.contains("ami2amo_foreign_notes_total{account=\"default\",source=\"amo_asterisk\"} 2"),
        "{metrics}"
    );
    assert!(metrics.contains("ami2amo_account_shadow{account=\"default\"} 0"), "{metrics}");
    let asked = |amo: &FakeAmo| {
        let is_look = |path: &str| path.contains("/notes?");
        amo.requests().iter().filter(|request| is_look(&request.path)).count()
    };
    assert!(asked(&amo) <= 4, "{} looks at {} calls", asked(&amo), amo.calls().len());
    daemon.stopped().await;

    // Who wants none of it is asked nothing.
    let amo = fake_amo::start(Options { twin: Some("amo_asterisk"), ..Options::default() }).await;
    let (host, ami) = machine(&amo, vec![Step::Hold, missed(1, "4568").1]).await;
    let off = "default-user = 1\ncompare-after = \"1s\"\nnotice-duplicates = false\n";
    host.edit("default-user = 1\n", off);
    let daemon = follows(&host, &ami).await;
    ami.go_on();
    delivered(&amo, 2).await;
    daemon.stopped().await;
    assert_eq!(asked(&amo), 0);
}

#[tokio::test]
async fn nothing_but_questions_leaves_while_the_gate_is_shut() {
    let amo = fake_amo::start(Options::default()).await;
    let settings = json!({"base-url": amo.base_url(), "token": Options::default().token,
        "requests-per-second": 100, "delivery": "shadow"});
    let settings: Settings = serde_json::from_value(settings).unwrap();
    let source = TokenSource::choose(&settings, None).unwrap();
    let pace = Arc::new(Mutex::new(Pace::new(settings.requests_per_second)));
    let clock = Clock { host: clock::host, mono: clock::mono };
    let client = Client::new(&settings, source, pace, clock).unwrap();
    let shut = |outcome: Result<Reply, Failure>| assert_eq!(outcome.err(), Some(Failure::Quiet));
    shut(client.post_calls(b"[]".to_vec()).await);
    shut(client.create("/api/v4/tasks", b"[]".to_vec()).await);
    shut(client.change("/api/v4/tasks/1", b"{}".to_vec()).await);
    shut(client.amend("/api/v4/contacts/notes", b"[]".to_vec()).await);
    assert!(client.account().await.is_ok());
    only_asked(&amo);
    client.set_silent(false);
    assert!(client.post_calls(b"[]".to_vec()).await.is_ok());
    assert_eq!(amo.posts().len(), 1);
}

/// What another connector makes of a call.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Told {
    Same,
    Longer,
    Doubled,
    Nothing,
}

#[tokio::test]
async fn a_busy_day_is_compared_call_by_call() {
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures/ast22-vanilla/busy-day.ami.gz");
    let amo = fake_amo::start(Options { page_max: 50, ..Options::default() }).await;
    let ami = FakeAmi::start(Script::default()).await;
    let host = Host::with_amo(ami.port(), "", &amo.base_url(), &Options::default().token);
    let lines = run(&host, &format!("replay --format jsonl {capture}"), "").await.out;
    let calls: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let calls: Vec<&Value> = calls.iter().filter(|call| call["skip"].is_null()).collect();
    let mut of_number: BTreeMap<&str, u32> = BTreeMap::new();
    for call in &calls {
        *of_number.entry(call["phone"].as_str().unwrap()).or_default() += 1;
    }
    let mut expected: BTreeMap<Told, u64> = BTreeMap::new();
    for (place, call) in calls.iter().enumerate() {
        let is_alone = of_number[call["phone"].as_str().unwrap()] == 1;
        let told = match place % 10 {
            0 if is_alone => Told::Nothing,
            1 if is_alone => Told::Doubled,
            2 => Told::Longer,
            _ => Told::Same,
        };
        *expected.entry(told).or_default() += 1;
        write(&amo, call, told);
    }
    assert!(expected.len() == 4 && calls.len() > 150, "{expected:?}");
    host.edit("default-user = 1\n", SHADOW);
    let requests = run(&host, &format!("replay --format amocrm {capture}"), "").await.out;
    assert!(requests.lines().count() > 3, "what would be posted is shown in this mode, too");
    let events = gunzipped(capture);
    ami.set_script(script(vec![Step::Hold, Step::Send(events)]));
    let mut daemon = follows(&host, &ami).await;
    ami.go_on();
    let report = compared(&host, &mut daemon, calls.len() as u64).await;
    daemon.stopped().await;
    let count = |told: Told| expected[&told];
    assert_eq!(report["same"], count(Told::Same), "{report:#}");
    assert_eq!(report["missing"], count(Told::Nothing), "{report:#}");
    assert_eq!(report["different"], count(Told::Longer) + count(Told::Doubled), "{report:#}");
    let differences = json!({"duration": count(Told::Longer), "doubled": count(Told::Doubled)});
    assert_eq!(report["differences"], differences, "{report:#}");
    only_asked(&amo);
    let stored = host.stored();
    assert_eq!(stored.ended, stored.by_phase.values().sum::<u64>());
}

/// What a connector writes of a call that it understands as we do, but for this.
fn write(amo: &FakeAmo, call: &Value, told: Told) {
    let started: jiff::Timestamp = call["started_at"].as_str().unwrap().parse().unwrap();
    let seconds = call["talk_seconds"].as_f64().unwrap().round().max(1.0);
    let duration = if call["answered"] == true { seconds } else { 0.0 };
    let longer = if told == Told::Longer { 10.0 } else { 0.0 };
    let phone = call.get("phone_e164").and_then(Value::as_str).or(call["phone"].as_str()).unwrap();
    let ended: jiff::Timestamp = call["ended_at"].as_str().unwrap().parse().unwrap();
    // Some write it as a text.
    let duration = format!("{:.0}", duration + longer);
    let note = json!({"direction": call["direction"], "phone": phone, "source": "widget",
        "created_at": started.as_second(),
        "updated_at": ended.as_second(), "duration": duration, "call_status": call["status"]});
    let copies = match told {
        Told::Same | Told::Longer => 1,
        Told::Doubled => 2,
        Told::Nothing => 0,
    };
    for _ in 0..copies {
        amo.store(note.clone());
    }
}

/// The events of a capture, as a PBX that is logged into sends them.
fn gunzipped(path: &str) -> Vec<u8> {
    let output = std::process::Command::new("gzip").args(["-dc", path]).output().unwrap();
    assert!(output.status.success());
    let begin = output.stdout.windows(7).position(|bytes| bytes == b"Event: ").unwrap();
    output.stdout[begin..].to_vec()
}
