//! The admin socket and the commands that ask over it: the real binary on both sides of it, a scripted
//! Asterisk in front, a strict amoCRM behind.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ami2amo::clock;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use daemon::{Daemon, Host, LIMIT};
use fake_ami::{FakeAmi, Script, Step};
use fake_amo::{FakeAmo, On, Options, What};
use prompt::{Said, machine, missed_now, script};

#[path = "support/crowd.rs"]
mod crowd;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;
#[path = "support/prompt.rs"]
mod prompt;
#[path = "support/schema.rs"]
mod schema;

struct World {
    ami: FakeAmi,
    amo: FakeAmo,
    host: Host,
}

impl World {
    async fn new(steps: Vec<Step>) -> Self {
        let amo = fake_amo::start(Options::default()).await;
        let (host, ami) = machine(&amo, steps).await;
        Self { ami, amo, host }
    }

    async fn run(&self, line: &str) -> Said {
        prompt::run(&self.host, line, "").await
    }

    async fn run_words(&self, words: &[&str]) -> Said {
        prompt::run_words(&self.host, words, "").await
    }

    /// Asks until what is said has `wanted` in it.
    async fn until(&self, line: &str, wanted: &str) -> Said {
        let heard = async {
            loop {
                let said = self.run(line).await;
                if said.out.contains(wanted) {
                    return said;
                }
            }
        };
        let heard = tokio::time::timeout(LIMIT, heard).await;
        let Ok(said) = heard else {
            panic!("`{line}` never says {wanted:?}: {}", self.run(line).await.out);
        };
        said
    }

    async fn raw(&self, place: &str) -> String {
        self.ask("GET", place, "").await
    }

    async fn ask(&self, method: &str, place: &str, body: &str) -> String {
        let stream = UnixStream::connect(self.host.path("ctl.sock")).await.unwrap();
        prompt::ask(stream, method, place, body).await
    }

    async fn delivered(&self, count: usize) {
        prompt::delivered(&self.amo, count).await;
    }
}

/// A daemon that cannot deliver the one call that there was.
async fn with_dead_call() -> (World, Daemon, String) {
    let (uniqueid, call) = missed_now(1);
    let world = World::new(vec![Step::Send(call)]).await;
    world.amo.fault(On::Post, 1, What::Validation(0));
    let mut daemon = world.host.start();
    daemon.logs("a person must look at it").await;
    (world, daemon, format!("default-{uniqueid}"))
}

/// As [`with_dead_call`]; another call has begun.
async fn with_dead_call_and_another() -> (World, Daemon, String) {
    let ((uniqueid, call), (_, begun)) = (missed_now(1), begun_call());
    let world = World::new(vec![Step::Send([call, begun].concat())]).await;
    world.amo.fault(On::Post, 1, What::Validation(0));
    let mut daemon = world.host.start();
    daemon.logs("a person must look at it").await;
    (world, daemon, format!("default-{uniqueid}"))
}

/// The first half of a call of this moment, and its uniqueid.
fn begun_call() -> (String, Vec<u8>) {
    let (uniqueid, call) = missed_now(2);
    let text = String::from_utf8(call).unwrap();
    (uniqueid, text[..text.find("Event: Hangup").unwrap()].to_owned().into_bytes())
}

#[tokio::test]
async fn a_daemon_with_which_all_is_well_says_so_to_all_who_ask() {
    let (_, call) = missed_now(1);
    let world = World::new(vec![Step::Send(call)]).await;
    let daemon = world.host.start();
    world.delivered(1).await;
    let said = world.until("status", "1 sent").await;
    assert!(said.out.contains("All is well.") && said.out.contains("delivering"), "{}", said.out);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let mode = std::fs::metadata(world.host.path("ctl.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let status: Value = serde_json::from_str(&world.run("status --json").await.out).unwrap();
    assert_eq!((&status["outbox"]["ended"], &status["outbox"]["unaccounted"]), (&1.into(), &0.into()));
    assert_eq!(status["pbxs"][0]["link"]["state"], "up");
    assert_eq!(status["problems"], Value::Array(Vec::new()));
    let metrics = world.raw("/metrics").await;
    for line in [
        "ami2amo_pbx_up{pbx=\"default\"} 1",
        "ami2amo_account_up{account=\"default\"} 1",
        "ami2amo_calls{state=\"sent\"} 1",
        "ami2amo_calls_unaccounted 0",
        "ami2amo_problems 0",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line}: {metrics}");
    }
    assert!(world.raw("/healthz").await.ends_with("ok\n"));
    assert!(world.raw("/readyz").await.starts_with("HTTP/1.1 200 "));
    assert!(world.raw("/v1/calls?state=deaf").await.starts_with("HTTP/1.1 400 "));
    assert!(world.raw("/v2/status").await.starts_with("HTTP/1.1 404 "));
    let russian = world.run("status --language ru").await;
    assert!(russian.out.contains("Всё в порядке."), "{}", russian.out);
    daemon.stopped().await;
    assert!(!world.host.path("ctl.sock").exists());
}

#[tokio::test]
async fn links_that_are_given_up_are_counted() {
    let (mut call, mut end) = (String::new(), String::new());
    crowd::begin(1, &mut call);
    call += "Event: VarSet\r\nPrivilege: dialplan,all\r\nTimestamp: 1795000000.000001\r\n\
             Channel: PJSIP/trunk-msk-00000002\r\nUniqueid: 1795000000.2\r\nLinkedid: 1795000000.2\r\n\
             Variable: MIXMONITOR_FILENAME\r\nValue: never.wav\r\n\r\n";
    crowd::end(1, &mut end);
    let now = clock::host().seconds();
    call += &end.replace("Timestamp: 1795000000", &format!("Timestamp: {now}"));
    let call = call.replace("1795000000", &(now - 5).to_string());
    let world = World::new(vec![Step::Send(call.into_bytes())]).await;
    let root = world.host.path("");
    let keys = format!(
        "[amocrm]\nrecording-url = \"https://pbx.example.org/{{file}}\"\nrecording-root = {root:?}\n\
         recording-wait = \"60ms\"\nrecording-late = \"400ms\""
    );
    world.host.edit("[amocrm]", &keys);
    let mut daemon = world.host.start();
    daemon.logs("stays without a link to its recording").await;
    let given_up = "ami2amo_late_links_total{account=\"default\",outcome=\"given-up\"} 1";
    let told = async { while !world.raw("/metrics").await.lines().any(|line| line == given_up) {} };
    assert!(tokio::time::timeout(LIMIT, told).await.is_ok(), "{}", world.raw("/metrics").await);
    daemon.stopped().await;
}

#[tokio::test]
async fn calls_in_progress_are_shown_until_they_end() {
    let (uniqueid, begun) = begun_call();
    let end = missed_now(2).1;
    let end = end[begun.len()..].to_vec();
    let world = World::new(vec![Step::Send(begun), Step::Hold, Step::Send(end)]).await;
    let daemon = world.host.start();
    let said = world.until("calls", "+79161234568").await;
    let words = said.words();
    assert!(words.contains("PBX default: calls in progress: 1 ") && words.contains("dial plan"), "{words}");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let live: Value = serde_json::from_str(&world.run("calls --json --pbx default").await.out).unwrap();
    let call = &live["pbxs"][0]["calls"][0];
    assert_eq!(call["call_id"], format!("default-{uniqueid}"), "{live}");
    assert_eq!((&call["state"], &call["direction"]), (&"dial-plan".into(), &"inbound".into()));
    assert!(world.run("calls --language ru").await.out.contains("идёт звонков: 1"));
    let other = world.run("calls --pbx other").await;
    assert!(
        other.code == 1 && other.err.contains("there is no PBX other; there are default"),
        "{}",
        other.err
    );
    let drawn = world.run("calls -f").await;
    assert!(drawn.code == 2 && drawn.err.contains("add --json"), "{}", drawn.err);
    world.ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    world.ami.go_on();
    world.until("calls", "calls in progress: 0").await;
    daemon.stopped().await;
    let away = world.run("calls").await;
    assert!(away.code == 1 && away.err.contains("the daemon does not run"), "{}", away.err);
}

#[tokio::test]
async fn calls_in_progress_are_followed_as_a_line_of_json_each_second() {
    let world = World::new(vec![Step::Send(begun_call().1)]).await;
    let daemon = world.host.start();
    world.until("calls", "+79161234568").await;
    let mut command = world.host.command();
    command.args(["calls", "--follow", "--json"]).stdout(std::process::Stdio::piped());
    let mut following = command.spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(following.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = tokio::time::timeout(LIMIT, lines.next_line()).await.expect("another line comes");
        let live: Value = serde_json::from_str(&line.unwrap().expect("it goes on")).unwrap();
        assert_eq!(live["pbxs"][0]["open"], 1, "{live}");
    }
    following.kill().await.unwrap();
    daemon.stopped().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_to_do_and_by_the_exit_code() {
    let world = World::new(Vec::new()).await;
    world.ami.set_script(Script { secret: b"another".to_vec(), ..script(Vec::new()) });
    let mut daemon = world.host.start();
    daemon.logs("refused").await;
    let said = world.until("status", "! PBX default answers and does not let ami2amo in").await;
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(
        said.words().contains("what to do: the username and secret of [[pbx]] \"default\" must be those"),
        "{}",
        said.out
    );
    assert!(said.out.lines().all(|line| line.chars().count() <= 80), "{}", said.out);
    assert!(world.raw("/readyz").await.starts_with("HTTP/1.1 503 "));
    assert!(world.raw("/healthz").await.starts_with("HTTP/1.1 200 "));
    daemon.stopped().await;
    let said = world.run("status").await;
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(
        said.err.contains("the daemon does not run") && said.err.contains("systemctl status"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn a_dead_call_is_seen_tried_again_and_delivered() {
    let (world, daemon, id) = with_dead_call().await;
    let status = world.until("status", "1 dead").await;
    assert_eq!(status.code, 1, "{}", status.out);
    assert!(status.out.contains("queue list --state dead"), "{}", status.out);
    for filter in ["", "--state dead", "--phone 4568", "--phone +79161234568 --from 1h", "--line trunk-msk"] {
        let list = world.run(&format!("queue list {filter}")).await;
        assert!(list.code == 0 && list.err.is_empty() && list.out.contains(&id), "{filter}: {}", list.out);
    }
    for filter in ["--state parked", "--phone 4567", "--to 1h", "--line other", "--extension 101"] {
        assert_eq!(world.run(&format!("queue list {filter}")).await.out, "No calls.\n", "{filter}");
    }
    let row: Value = serde_json::from_str(&world.run("queue list --json").await.out).unwrap();
    assert_eq!((row["state"].as_str(), row["call_id"].as_str()), (Some("dead"), Some(id.as_str())));
    let shown = world.run(&format!("queue show {id}")).await;
    assert!(shown.out.contains("(dead)") && shown.out.contains("\"uniq\""), "{}", shown.out);

    let retried = world.run_words(&["queue", "retry", &id, "--why", "the number was mended"]).await;
    assert_eq!((retried.code, retried.out), (0, format!("{id}: it is tried again now\n")));
    world.delivered(1).await;
    world.until("history --state sent", &id).await;
    let again = world.run(&format!("queue retry {id}")).await;
    assert_eq!((again.code, again.out), (1, format!("{id}: it is in amoCRM already\n")));
    let log = daemon.stopped().await;
    let line = log.lines().find(|line| line.contains("a person stepped in")).unwrap();
    assert!(line.contains("anna (uid ") && line.contains("the number was mended"), "{line}");
    assert_eq!(world.amo.calls().len(), 1);
}

#[tokio::test]
async fn a_call_that_is_given_up_says_who_did_it_and_why() {
    let (world, daemon, id) = with_dead_call().await;
    let unasked = world.run("queue drop --state dead --why test").await;
    assert_eq!(unasked.code, 2, "{}", unasked.err);
    assert!(unasked.err.contains("say --yes"), "{}", unasked.err);
    assert_eq!(world.run(&format!("queue drop {id}")).await.code, 2, "a reason is needed");
    let dropped =
        world.run_words(&["queue", "drop", "--state", "dead", "--yes", "--why", "a test call"]).await;
    assert!(dropped.code == 0 && dropped.out.contains(&id), "{}{}", dropped.out, dropped.err);
    assert_eq!(world.run("queue list").await.out, "No calls.\n");
    daemon.killed().await;
    let explained = world.run(&format!("explain {id}")).await;
    let words = explained.words();
    assert!(words.contains("(expired): dropped by anna (uid ") && words.contains("a test call"), "{words}");
    assert!(words.contains("queue retry"), "{words}");
}

#[tokio::test]
async fn delivery_that_is_paused_stands_still_over_a_restart_until_it_goes_on() {
    let (uniqueid, call) = missed_now(1);
    let world = World::new(vec![Step::Hold, Step::Send(call)]).await;
    let mut daemon = world.host.start();
    daemon.logs("amoCRM answers").await;
    let paused = world.run_words(&["pause", "--why", "moving to another account"]).await;
    assert!(paused.code == 0 && paused.out.contains("stands still"), "{}{}", paused.out, paused.err);
    world.ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    world.ami.go_on();
    world.until("queue list", &uniqueid).await;
    let status = world.run("status").await;
    assert_eq!(status.code, 1, "{}", status.out);
    let words = status.words();
    assert!(words.contains("moving to another account") && words.contains("ami2amo resume"), "{words}");
    daemon.stopped().await;
    world.ami.set_script(script(Vec::new()));
    let mut daemon = world.host.start();
    daemon.logs("amoCRM answers").await;
    assert!(world.raw("/metrics").await.contains("ami2amo_account_paused{account=\"default\"} 1"));
    assert_eq!(world.amo.calls().len(), 0, "nothing was posted");
    let resumed = world.run("resume").await;
    assert!(resumed.code == 0 && resumed.out.contains("goes on"), "{}{}", resumed.out, resumed.err);
    world.delivered(1).await;
    daemon.stopped().await;
    assert_eq!(world.run("resume --account other").await.code, 2);
}

#[tokio::test]
async fn without_a_daemon_the_store_itself_is_asked_and_that_is_said() {
    let (world, daemon, id) = with_dead_call().await;
    daemon.stopped().await;
    let list = world.run("queue list").await;
    assert!(list.code == 0 && list.out.contains(&id), "{}", list.out);
    assert_eq!(list.err, "ami2amo: the daemon does not run: this is from the store itself\n");
    let retried = world.run(&format!("queue retry {id} --json")).await;
    let verdict: Value = serde_json::from_str(&retried.out).unwrap();
    assert_eq!((verdict["call_id"].as_str(), verdict["verdict"].as_str()), (Some(id.as_str()), Some("done")));
    assert!(world.run("pause").await.out.contains("stands still"));
    assert!(world.run("resume").await.out.contains("goes on"));
    assert_eq!(world.run("queue retry default-9.9").await.code, 1);
    assert_eq!(world.run("queue retry").await.code, 2);
    world.ami.set_script(script(Vec::new()));
    let daemon = world.host.start();
    world.delivered(1).await;
    daemon.stopped().await;
}

/// Every file below a folder, and the folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let within = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    entries.flat_map(within).chain([folder.to_owned()]).collect()
}

#[tokio::test]
async fn what_root_does_to_the_store_of_another_user_stays_that_user_s() {
    const OWNER: u32 = 64_321;
    let (world, daemon, id) = with_dead_call().await;
    daemon.stopped().await;
    let store = world.host.path("store");
    for file in files_below(&store) {
        if std::os::unix::fs::chown(&file, Some(OWNER), Some(OWNER)).is_err() {
            println!("this user may give no file away: nothing is tried");
            return;
        }
    }
    let dropped = world.run_words(&["queue", "drop", &id, "--why", "a test"]).await;
    assert_eq!(dropped.code, 0, "{}", dropped.err);
    assert!(world.run("history").await.out.contains("expired"));
    for file in files_below(&store) {
        let owner = std::fs::metadata(&file).unwrap().uid();
        assert_eq!(owner, OWNER, "{}", file.display());
    }
}

#[tokio::test]
async fn a_call_is_explained_with_its_state_while_the_daemon_runs() {
    let (world, daemon, id) = with_dead_call().await;
    for asked in [id.as_str(), "4568", "+7 916 123-45-68"] {
        let said = world.run_words(&["explain", asked]).await;
        let expected = i32::from(asked == "4568");
        assert_eq!(said.code, expected, "{asked}: {}", said.err);
        assert!(
            expected == 1 || (said.out.contains("(dead)") && said.err.is_empty()),
            "{asked}: {}",
            said.out
        );
    }
    daemon.stopped().await;
}

#[tokio::test]
async fn every_answer_is_as_the_description_says() {
    let description: Value = serde_json::from_str(include_str!("../docs/openapi.json")).unwrap();
    let (world, daemon, id) = with_dead_call_and_another().await;
    let order = serde_json::json!({"calls": [id, "default-9.9"], "by": "anna", "why": "a test"}).to_string();
    let pause = r#"{"account":"default","by":"anna","why":null}"#;
    let mut asked = BTreeSet::new();
    for (method, place, body) in [
        ("get", "/v1/status", ""),
        ("get", "/v1/live?pbx=default", ""),
        ("get", "/v1/shadow?from=2026-11-22T09:13:11.389Z&limit=5", ""),
        ("get", "/v1/calls?state=dead,pending&phone=4568&limit=5", ""),
        ("get", "/v1/calls", ""),
        ("get", &format!("/v1/explain?call={id}"), ""),
        ("get", "/v1/export?state=dead&phone=4568", ""),
        ("post", "/v1/import", r#"{"calls":[],"by":"anna"}"#),
        ("post", "/v1/pause", pause),
        ("get", "/v1/status", ""),
        ("post", "/v1/resume", pause),
        ("post", "/v1/forget", r#"{"number":"79161234568","by":"anna"}"#),
        ("post", "/v1/drop", order.as_str()),
        ("get", "/v1/calls?state=expired", ""),
        ("post", "/v1/retry", order.as_str()),
        ("get", "/v1/log", ""),
        ("post", "/v1/log", r#"{"level":"debug","for_seconds":600,"by":"anna"}"#),
        ("get", "/v1/log/name?number=79161234568", ""),
        ("post", "/v1/reload", r#"{"by":"anna"}"#),
        ("get", "/v1/status", ""),
        ("get", "/metrics", ""),
        ("get", "/healthz", ""),
        ("get", "/readyz", ""),
    ] {
        let answer = world.ask(&method.to_uppercase(), place, body).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{place}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let path = place.split('?').next().unwrap();
        let content = &description["paths"][path][method]["responses"]["200"]["content"];
        if let Some(json) = content.get("application/json") {
            let value: Value = serde_json::from_str(body).unwrap();
            assert_eq!(
                schema::faults(&description, &json["schema"], &value, place),
                Vec::<String>::new(),
                "{value}"
            );
        } else {
            assert!(content.get("text/plain").is_some(), "{method} {path} is not described");
        }
        asked.insert(path.to_owned());
    }
    daemon.stopped().await;
    let described: BTreeSet<String> = description["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(asked, described);
    let source = include_str!("../src/daemon/admin.rs");
    let routes = source.split(".route(").skip(1).filter_map(|rest| rest.split('"').nth(1));
    let routes: BTreeSet<String> = routes.map(str::to_owned).collect();
    assert_eq!(routes, described, "every route is described");
}

#[tokio::test]
async fn a_second_daemon_on_the_same_socket_leaves_the_first_one_its_own() {
    let world = World::new(Vec::new()).await;
    let mut first = world.host.start();
    first.logs("the admin socket listens").await;
    let text = std::fs::read_to_string(world.host.config()).unwrap();
    let other = world.host.path("other.toml");
    std::fs::write(&other, text.replace("store\"", "other\"")).unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_ami2amo"));
    command.env_clear().arg("--config").arg(&other).kill_on_drop(true);
    let mut second = Daemon::start(command);
    let line = second.logs("no admin socket").await;
    assert!(line.contains("ERROR") && line.contains("another process listens there"), "{line}");
    second.stopped().await;
    assert!(world.raw("/healthz").await.ends_with("ok\n"));
    // A killed one leaves its socket; the next one replaces it.
    first.killed().await;
    assert!(world.host.path("ctl.sock").exists());
    let mut next = world.host.start();
    next.logs("the admin socket listens").await;
    assert!(world.raw("/healthz").await.ends_with("ok\n"));
    next.stopped().await;
}

#[tokio::test]
async fn guests_who_do_nothing_keep_no_call_waiting() {
    let (_, call) = missed_now(1);
    let world = World::new(vec![Step::Hold, Step::Send(call)]).await;
    let mut daemon = world.host.start();
    daemon.logs("the admin socket listens").await;
    let mut guests = Vec::new();
    for _ in 0..40 {
        let mut guest = UnixStream::connect(world.host.path("ctl.sock")).await.unwrap();
        // Half a question, and nothing is ever read.
        guest.write_all(b"GET /v1/calls HTTP/1.1\r\n").await.unwrap();
        guests.push(guest);
    }
    world.ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    world.ami.go_on();
    world.delivered(1).await;
    daemon.stopped().await;
}
