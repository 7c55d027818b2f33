//! The log for whoever is on call: the real program with a journal of the test's own, which takes lines as journald
//! does, and in which a call's whole story is found by its id and a number's by its hash.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;

use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

use daemon::{Daemon, Host, LIMIT, discretion};
use fake_ami::Step;
use fake_amo::{On, Options, What};
use prompt::{delivered, machine, missed_now};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;
#[path = "support/prompt.rs"]
mod prompt;

/// The number of [`missed_now`].
const NUMBER: &str = "79161234568";

/// Of other calls.
const OTHER: &str = "79167654321";

/// The fields of a line by their names.
type Fields = BTreeMap<String, String>;

/// Where the daemon's lines go.
struct Journal {
    socket: UnixDatagram,
    lines: Vec<Fields>,
}

impl Journal {
    fn new(host: &Host) -> Self {
        Self { socket: UnixDatagram::bind(host.path("journal")).unwrap(), lines: Vec::new() }
    }

    /// Waits for a line that has `wanted` in its message.
    async fn hears(&mut self, wanted: &str) -> Fields {
        let mut buffer = vec![0; 256 << 10];
        let heard = async {
            loop {
                let length = self.socket.recv(&mut buffer).await.unwrap();
                let line = fields(&buffer[..length]);
                self.lines.push(line.clone());
                if line["MESSAGE"].contains(wanted) {
                    return line;
                }
            }
        };
        let heard = tokio::time::timeout(LIMIT, heard).await;
        heard.unwrap_or_else(|_| panic!("the journal never has {wanted:?}: {:#?}", self.lines))
    }

    /// `journalctl NAME=VALUE`
    fn by(&self, name: &str, value: &str) -> Vec<&Fields> {
        self.lines.iter().filter(|line| line.get(name).is_some_and(|known| known == value)).collect()
    }
}

/// As journald reads it.
fn fields(mut datagram: &[u8]) -> Fields {
    let mut fields = Fields::new();
    while !datagram.is_empty() {
        let end = datagram.iter().position(|byte| *byte == b'\n').unwrap();
        let (line, rest) = (std::str::from_utf8(&datagram[..end]).unwrap(), &datagram[end + 1..]);
        let (name, value, rest) = if let Some((name, value)) = line.split_once('=') {
            (name, value.to_owned(), rest)
        } else {
            let length = usize::try_from(u64::from_le_bytes(rest[..8].try_into().unwrap())).unwrap();
            assert_eq!(rest[8 + length], b'\n');
            let value = String::from_utf8(rest[8..8 + length].to_vec()).unwrap();
            (line, value, &rest[9 + length..])
        };
        assert!(name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'), "{name}");
        fields.insert(name.to_owned(), value);
        datagram = rest;
    }
    fields
}

/// The daemon as systemd starts it: standard error is the journal, here a file of the same name.
fn start(host: &Host, level: &str) -> Child {
    let stderr = File::create(host.path("stderr")).unwrap();
    let meta = stderr.metadata().unwrap();
    let mut command = host.command();
    command.env("JOURNAL_STREAM", format!("{}:{}", meta.dev(), meta.ino()));
    command.env("AMI2AMO_JOURNAL", host.path("journal")).env("AMI2AMO_LOG", level);
    command.arg("run").stderr(Stdio::from(stderr)).spawn().unwrap()
}

async fn stop(mut daemon: Child) {
    let pid = daemon.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let ended = tokio::time::timeout(LIMIT, daemon.wait()).await;
    assert!(ended.expect("it ends in time").unwrap().success());
}

/// Calls of the other number, which end now.
fn other_calls(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let call = |number| String::from_utf8(missed_now(number).1).unwrap();
    let text: String = numbers.map(call).collect();
    text.replace(NUMBER, OTHER).into_bytes()
}

#[tokio::test]
async fn the_journal_tells_the_whole_story_of_one_call_and_finds_its_number() {
    let (uniqueid, call) = missed_now(1);
    let amo = fake_amo::start(Options::default()).await;
    amo.fault(On::Post, 1, What::Validation(0));
    let (host, ami) = machine(&amo, vec![Step::Send(call), Step::Hold, Step::Send(other_calls(2..4))]).await;
    let mut journal = Journal::new(&host);
    let daemon = start(&host, "info");
    journal.hears("a person must look at it").await;
    let id = format!("default-{uniqueid}");
    let retried = prompt::run(&host, &format!("queue retry {id}"), "").await;
    assert_eq!(retried.code, 0, "{}", retried.err);
    journal.hears("call delivered").await;
    ami.go_on();
    delivered(&amo, 3).await;
    let found = prompt::run(&host, "log --phone +7(916)123-45-68", "").await;
    stop(daemon).await;
    journal.hears("stopped").await;

    let story = journal.by("CALL_ID", &id);
    let told = story.iter().map(|line| {
        let message = line["MESSAGE"].split(" call_id=").next().unwrap();
        (message, line.get("STATE").map(String::as_str), line["PRIORITY"].as_str())
    });
    let expected = [
        ("call ended", Some("pending"), "6"),
        ("call not sent: a person must look at it", Some("dead"), "3"),
        ("a person stepped in", Some("pending"), "6"),
        ("call delivered", Some("sent"), "6"),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    for line in story.iter().filter(|line| line.contains_key("STATE")) {
        assert_eq!((line["PBX"].as_str(), line["ACCOUNT"].as_str()), ("default", "default"), "{line:?}");
        assert_eq!(line["PHONE"], "…4568");
    }
    let ended = story[0];
    for (name, value) in [
        ("DIRECTION", "Inbound"),
        ("OUTCOME", "Abandoned"),
        ("TALK_S", "0"),
        ("SYSLOG_IDENTIFIER", "ami2amo"),
        ("TARGET", "ami2amo::intake::task::outgoing"),
        ("CODE_FILE", "src/intake/task/outgoing.rs"),
    ] {
        assert_eq!(ended.get(name).map(String::as_str), Some(value), "{name}: {ended:?}");
    }
    let hash = &ended["PHONE_HASH"];
    assert_eq!(found.out, format!("journalctl -u ami2amo PHONE_HASH={hash}\n"), "{}", found.err);
    let of_number = journal.by("PHONE_HASH", hash);
    assert!(of_number.len() == 4 && of_number.iter().all(|line| line["CALL_ID"] == id), "{of_number:?}");
    assert_eq!(journal.by("PHONE", "…4321").len(), 4, "two calls that ended and were delivered");
    let all = journal.lines.iter().flatten().map(|(name, value)| format!("{name}={value}\n"));
    let faults = discretion::faults(&all.collect::<String>(), &discretion::secrets(&host.config()));
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(std::fs::read_to_string(host.path("stderr")).unwrap(), "");
}

#[tokio::test]
async fn the_name_of_a_number_outlives_the_process_and_is_told_without_it() {
    let amo = fake_amo::start(Options::default()).await;
    let (host, ami) = machine(&amo, vec![Step::Send(missed_now(1).1)]).await;
    let mut journal = Journal::new(&host);
    let mut hashes = Vec::new();
    for number in 1..3 {
        ami.set_script(prompt::script(vec![Step::Send(missed_now(number).1)]));
        let daemon = start(&host, "info");
        hashes.push(journal.hears("call ended").await["PHONE_HASH"].clone());
        stop(daemon).await;
    }
    assert_eq!(hashes[0], hashes[1]);
    let mode = std::fs::metadata(host.path("store/log-key")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    let found = prompt::run(&host, "log --phone 89161234568", "").await;
    assert_eq!(found.out, format!("journalctl -u ami2amo PHONE_HASH={}\n", hashes[0]), "{}", found.err);
}

#[tokio::test]
async fn without_a_key_a_number_has_no_name_and_one_line_says_why() {
    let amo = fake_amo::start(Options::default()).await;
    let (host, _ami) = machine(&amo, vec![Step::Send(missed_now(1).1)]).await;
    std::fs::create_dir(host.path("store")).unwrap();
    std::fs::write(host.path("store/log-key"), "no key").unwrap();
    let mut journal = Journal::new(&host);
    let daemon = start(&host, "info");
    let line = journal.hears("cannot be searched by PHONE_HASH").await;
    assert!(line["PRIORITY"] == "4" && line["MESSAGE"].contains("delete it"), "{line:?}");
    let ended = journal.hears("call ended").await;
    assert!(ended["PHONE"] == "…4568" && !ended.contains_key("PHONE_HASH"), "{ended:?}");
    let found = prompt::run(&host, "log --phone 89161234568", "").await;
    assert!(found.code == 1 && found.err.contains("there is no key"), "{}", found.err);
    stop(daemon).await;
}

#[tokio::test]
async fn a_journal_that_reads_nothing_keeps_no_call_waiting_and_is_told_what_is_lost() {
    let amo = fake_amo::start(Options::default()).await;
    let (host, _ami) = machine(&amo, vec![Step::Send(other_calls(1..301))]).await;
    let mut journal = Journal::new(&host);
    let daemon = start(&host, "debug");
    delivered(&amo, 300).await;
    let asked = prompt::run(&host, "status", "").await;
    assert!(asked.out.contains("300 sent"), "{}", asked.out);
    let lost = journal.hears("lines of the log are lost").await;
    assert!(lost["LOST"].parse::<u64>().unwrap() > 0 && lost["PRIORITY"] == "4", "{lost:?}");
    stop(daemon).await;
    journal.hears("stopped").await;
}

#[tokio::test]
async fn where_there_is_no_journal_lines_go_to_standard_error_with_their_priority() {
    let amo = fake_amo::start(Options::default()).await;
    let (host, _ami) = machine(&amo, vec![Step::Send(missed_now(1).1)]).await;
    let daemon = start(&host, "info");
    delivered(&amo, 1).await;
    stop(daemon).await;
    let text = std::fs::read_to_string(host.path("stderr")).unwrap();
    let has = |beginning: &str| text.lines().any(|line| line.starts_with(beginning));
    assert!(has("<6>call ended call_id=default-") && has("<6>stopped"), "{text}");
    assert_eq!(discretion::faults(&text, &discretion::secrets(&host.config())), Vec::<String>::new());
}

#[tokio::test]
async fn json_lines_have_the_fields_too() {
    let amo = fake_amo::start(Options::default()).await;
    let (host, _ami) = machine(&amo, vec![Step::Send(missed_now(1).1)]).await;
    let mut command = host.command();
    command.env("AMI2AMO_LOG", "info").args(["--log-format", "json"]);
    let mut daemon = Daemon::start(command);
    let line = daemon.logs("call delivered").await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["phone"], &line["state"]), (&"…4568".into(), &"sent".into()), "{line}");
    assert_eq!(line["phone_hash"].as_str().map(str::len), Some(16), "{line}");
    daemon.stopped().await;
}

#[tokio::test]
async fn the_level_is_changed_for_a_while_and_goes_back_by_itself() {
    let amo = fake_amo::start(Options::default()).await;
    let (host, ami) = machine(&amo, vec![Step::Hold, Step::Send(missed_now(1).1)]).await;
    let mut command = host.command();
    command.env("AMI2AMO_LOG", "info");
    let mut daemon = Daemon::start(command);
    daemon.logs("the admin socket listens").await;
    let said = |line: &'static str| prompt::run(&host, line, "");
    assert_eq!(said("log").await.out, "level: info, as at the start\n");
    let set = said("log info,ami2amo::intake=debug --for 1s").await;
    assert!(set.code == 0 && set.out.starts_with("level: info,ami2amo::intake=debug, until "), "{}", set.out);
    let line = daemon.logs("the level of the log is changed").await;
    assert!(line.contains("by=\"anna (uid ") && line.contains("for_s=1"), "{line}");
    daemon.logs("the level of the log is again that of the start").await;
    assert_eq!(said("log --language ru").await.out, "уровень: info, как при запуске\n");
    assert_eq!(said("log debug").await.code, 0);
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.go_on();
    daemon.logs("calls in progress are kept").await;
    daemon.logs("call delivered").await;
    let back = said("log --reset --json").await;
    assert!(back.out.contains("\"level\":\"info\"") && back.out.contains("\"until\":null"), "{}", back.out);
    for (line, words) in [
        ("log loud", "\"loud\" is no level"),
        ("log debug --for 25h", "24h at most"),
        ("log --for 1h", "LEVEL"),
        ("log --phone none", "is no number"),
    ] {
        let wrong = said(line).await;
        assert!(wrong.code == 2 && wrong.err.contains(words), "{line}: {}", wrong.err);
    }
    daemon.stopped().await;
    let away = said("log").await;
    assert!(away.code == 1 && away.err.contains("the daemon does not run"), "{}", away.err);
}

#[tokio::test]
async fn lines_that_repeat_are_counted_and_those_of_another_call_are_told() {
    let amo = fake_amo::start(Options::default()).await;
    let (host, _ami) = machine(&amo, Vec::new()).await;
    let mut daemon = host.start();
    daemon.logs("the admin socket listens").await;
    for _ in 0..14 {
        let said = prompt::run(&host, "queue retry default-1.1", "").await;
        assert!(said.err.is_empty() || said.code != 0, "{}", said.err);
    }
    prompt::run(&host, "queue retry default-2.2", "").await;
    let log = daemon.stopped().await;
    let of = |call: &str| {
        let lines = log.lines().filter(|line| line.contains("a person stepped in call_id="));
        lines.filter(|line| line.contains(call)).count()
    };
    assert_eq!((of("default-1.1"), of("default-2.2")), (10, 1), "{log}");
    let more = "4 more like it within a minute: a person stepped in more=4 call_id=\"default-1.1\"";
    assert!(log.contains(more), "{log}");
}

/// What holds the log of every run in these tests to what no log may have.
#[tokio::test]
#[should_panic(expected = "in the log: ")]
async fn a_log_with_a_secret_in_it_fails_the_test_that_made_it() {
    let host = Host::new(9, "");
    let mut command = Command::new("sh");
    command.args(["-c", "echo the word is s3cret >&2", "--config"]).arg(host.config());
    Daemon::start(command).ended().await;
}
