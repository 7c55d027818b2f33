//! `ami2amo capture`: what a PBX sends is in the file as it came, and `replay` makes the same calls of it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use daemon::{Host, LIMIT, missed_call};
use fake_ami::{Clock, FakeAmi, Script, Step};
use serde_json::Value;

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;

const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures/ast22-vanilla/in-answered.ami");
const OTHER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures/ast22-vanilla/out-answered.ami");

/// Runs the program with these words; its exit code, what it printed and what it said.
async fn ask(host: &Host, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = host.command();
    command.env_remove("AMI2AMO_LOG").args(words);
    let output = tokio::time::timeout(LIMIT * 2, command.output()).await.unwrap().unwrap();
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let secrets = daemon::discretion::secrets(&host.config());
    assert_eq!(daemon::discretion::faults(&stderr, &secrets), Vec::<String>::new());
    (output.status.code(), stdout, stderr)
}

/// The calls in these captures.
async fn calls(host: &Host, files: &[&Path]) -> Vec<Value> {
    let mut words = vec!["replay", "--format", "jsonl"];
    words.extend(files.iter().map(|file| file.to_str().unwrap()));
    let (code, stdout, stderr) = ask(host, &words).await;
    assert_eq!(code, Some(0), "{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

#[tokio::test]
async fn a_recorded_call_is_replayed_and_no_secret_is_in_the_file() {
    let ami =
        FakeAmi::start(Script { steps: vec![Step::Send(missed_call("1795339565.1"))], ..Script::default() })
            .await;
    let host = Host::new(ami.port(), "");
    let file = host.path("calls.ami");
    let mut command = host.command();
    command.args(["capture", "--output", file.to_str().unwrap()]).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    ami.wait_for(LIMIT, |seen| seen.played == 1 && seen.pings > 0).await;
    let written = async {
        while !file.exists() || !text(&file).contains("Event: Hangup") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, written).await.unwrap();
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("of 1 connections are in: ") && told.contains("calls.ami"), "{told}");
    assert_eq!(ami.seen().log_offs, 1);
    let recorded = text(&file);
    assert!(
        recorded.starts_with("Asterisk Call Manager/11.0.0\r\nResponse: Arrived\r\nTime: "),
        "{recorded}"
    );
    assert!(!recorded.contains("s3cret") && !recorded.contains("Action: Login"), "{recorded}");
    let calls = calls(&host, &[&file]).await;
    assert_eq!(
        (calls.len(), &calls[0]["phone"], &calls[0]["time"]),
        (1, &Value::from("79161234568"), &Value::from("event"))
    );
}

#[tokio::test]
async fn without_timestamps_calls_have_the_times_of_arrival() {
    let untimed = String::from_utf8(missed_call("1795339565.1")).unwrap();
    let lines: Vec<_> =
        untimed.split_inclusive("\r\n").filter(|line| !line.starts_with("Timestamp")).collect();
    let steps = vec![Step::Send(lines.concat().into_bytes())];
    let ami = FakeAmi::start(Script { steps, clock: Clock::Host, ..Script::default() }).await;
    let host = Host::new(ami.port(), "");
    let file = host.path("calls.ami");
    let (code, _, told) = ask(&host, &["capture", "--duration", "2s", "-o", file.to_str().unwrap()]).await;
    assert_eq!(code, Some(0), "{told}");
    let calls = calls(&host, &[&file]).await;
    assert_eq!((calls.len(), &calls[0]["time"]), (1, &Value::from("arrival")), "{calls:?}");
}

#[tokio::test]
async fn files_are_rotated_and_replayed_in_their_order() {
    let many: Vec<u8> = (1..=1600).flat_map(|call| missed_call(&format!("1795339565.{call}"))).collect();
    let steps = vec![Step::Pace { bytes: many, slice: 16 << 10, pause: std::time::Duration::from_millis(5) }];
    let ami = FakeAmi::start(Script { steps, ..Script::default() }).await;
    let host = Host::new(ami.port(), "");
    let file = host.path("calls.ami");
    let words = ["capture", "--duration", "3s", "--file-size", "256K", "-o", file.to_str().unwrap()];
    let (code, _, told) = ask(&host, &words).await;
    assert_eq!(code, Some(0), "{told}");
    let mut files: Vec<_> =
        std::fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_str().unwrap().contains("calls.ami"));
    files.sort();
    assert!(files.len() > 3 && files[0] == file, "{files:?}");
    assert!(text(&files[1]).starts_with("Response: Arrived\r\n"), "a file begins with a whole block");
    assert!(files.iter().all(|file| std::fs::metadata(file).unwrap().len() <= 256 << 10));
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    assert_eq!(calls(&host, &files).await.len(), 1600);
    let (code, _, told) = ask(&host, &words).await;
    assert!(code == Some(1) && told.contains("is there already"), "{told}");
}

#[tokio::test]
async fn a_recorded_call_is_anonymized_on_the_fly() {
    let hints = Some(vec![("101", "PJSIP/101")]);
    let steps = vec![Step::Send(missed_call("1795339565.1"))];
    let ami = FakeAmi::start(Script { hints, steps, ..Script::default() }).await;
    let host = Host::new(ami.port(), "");
    let file = host.path("calls.ami");
    let words = ["capture", "--anonymize", "--duration", "2s", "-o", file.to_str().unwrap()];
    let (code, _, told) = ask(&host, &words).await;
    assert_eq!(code, Some(0), "{told}");
    let recorded = text(&file);
    assert!(
        !recorded.contains("79161234568") && recorded.contains("Uniqueid: 1795339565.1\r\n"),
        "{recorded}"
    );
    let calls = calls(&host, &[&file]).await;
    let (phone, did) = (calls[0]["phone"].as_str().unwrap(), calls[0]["did"].as_str().unwrap());
    assert!(phone.starts_with("7916") && phone.len() == 11, "{phone}");
    assert!(
        did.ends_with("101") && did != "74957000101",
        "an employee's full number ends with his extension: {did}"
    );
}

#[tokio::test]
async fn a_pbx_that_lets_nobody_in_says_why() {
    let ami = FakeAmi::start(Script { secret: b"other".to_vec(), ..Script::default() }).await;
    let host = Host::new(ami.port(), "");
    let (code, _, told) = ask(&host, &["capture", "-o", host.path("a.ami").to_str().unwrap()]).await;
    assert!(
        code == Some(1) && told.contains("cannot record the PBX default: Asterisk refused the user"),
        "{told}"
    );
    let (code, _, told) = ask(&host, &["capture", "--pbx", "none"]).await;
    assert!(code == Some(1) && told.contains("the configuration has no PBX none"), "{told}");
    let (code, _, told) = ask(&host, &["capture", "--file-size", "1"]).await;
    assert!(code == Some(2) && told.contains("a size is 256K or more"), "{told}");
}

#[tokio::test]
async fn captures_that_are_there_lose_their_people() {
    let host = Host::new(9, "");
    let bare = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        async move {
            let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_ami2amo"));
            let output = command.env_clear().args(words).output().await.unwrap();
            let [stdout, stderr] =
                [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            (output.status.code(), stdout, stderr)
        }
    };
    let (code, printed, told) = bare(&["capture", "--anonymize", CAPTURE]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(printed.starts_with("Asterisk Call Manager/") && !printed.contains("Ivan Petrov"), "{told}");
    let folder = host.path("out");
    std::fs::create_dir(&folder).unwrap();
    let (code, _, told) =
        bare(&["capture", "--anonymize", "-o", folder.to_str().unwrap(), CAPTURE, OTHER]).await;
    assert_eq!(code, Some(0), "{told}");
    let (before, after) =
        (calls(&host, &[Path::new(CAPTURE)]).await, calls(&host, &[&folder.join("in-answered.ami")]).await);
    assert_eq!(before.len(), after.len());
    assert_eq!(
        (&before[0]["talk_seconds"], &before[0]["uniqueids"]),
        (&after[0]["talk_seconds"], &after[0]["uniqueids"])
    );
    assert_ne!(before[0]["phone"], after[0]["phone"]);
    for (words, said) in [
        (&["capture", "--anonymize", "-o", "/nowhere/x", CAPTURE, OTHER][..], "several captures need one"),
        (&["capture", CAPTURE], "--anonymize"),
    ] {
        let (code, _, told) = bare(words).await;
        assert!(code == Some(2) && told.contains(said), "{told}");
    }
    let (code, _, told) = bare(&["capture", "--anonymize", "/no/such/file"]).await;
    assert!(code == Some(1) && told.contains("cannot read /no/such/file"), "{told}");
}
