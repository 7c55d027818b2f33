//! The real binary, started as systemd starts it, against a scripted Asterisk.

use std::path::Path;
use std::time::Duration;

use ami2amo::clock;
use tokio::process::Command;

use daemon::{Daemon, Host, LIMIT, missed_call};
use fake_ami::{FakeAmi, Script, Step};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;

#[tokio::test]
async fn it_is_ready_follows_the_pbx_and_stops_in_order() {
    let ami = FakeAmi::start(Script::default()).await;
    let host = Host::new(ami.port(), "");
    let daemon = host.start();
    host.notified("READY=1").await;
    host.notified("STATUS=default: up, Asterisk 22.10.1").await;
    let seen = ami.wait_for(LIMIT, |seen| seen.logins == 1 && seen.pings > 0).await;
    assert_eq!(seen.actions[..2], ["Challenge", "Login"]);
    daemon.signal("-TERM");
    host.notified("STOPPING=1").await;
    let (status, log) = daemon.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(ami.seen().log_offs, 1);
    assert!(!log.contains("s3cret") && !log.contains("t0ken"), "{log}");
}

#[tokio::test]
async fn a_call_is_stored_before_the_end() {
    let steps = vec![Step::Send(missed_call("1795339565.1"))];
    let ami = FakeAmi::start(Script { steps, ..Script::default() }).await;
    let host = Host::new(ami.port(), "");
    let mut daemon = host.start();
    daemon.logs("call ended").await;
    daemon.stopped().await;
    assert_eq!(host.stored().ended, 1);
}

#[tokio::test]
async fn a_pbx_that_is_away_is_told_once_and_tried_again() {
    // The discard port: nobody listens there.
    let host = Host::new(9, "");
    let mut daemon = host.start();
    host.notified("READY=1").await;
    for _ in 0..2 {
        daemon.logs("cannot follow the PBX").await;
    }
    let log = daemon.stopped().await;
    assert_eq!(log.matches("code=\"pbx-down\"").count(), 1, "{log}");
    assert!(log.contains("127.0.0.1:9: is Asterisk running"), "{log}");
}

#[tokio::test]
async fn a_wrong_secret_names_the_user_and_is_not_tried_again_soon() {
    let ami = FakeAmi::start(Script { secret: b"another".to_vec(), ..Script::default() }).await;
    let host = Host::new(ami.port(), "");
    let mut daemon = host.start();
    let line = daemon.logs("cannot follow the PBX").await;
    assert!(line.contains("ami2amo") && line.contains("manager.conf"), "{line}");
    let pause = line.split("pause_s=").nth(1).unwrap().split(' ').next().unwrap();
    assert!(pause.parse::<u64>().unwrap() >= 60, "{line}");
    let told = daemon.logs("code=\"pbx-refused\"").await;
    assert!(told.contains("ERROR") && told.contains("what_to_do="), "{told}");
    daemon.stopped().await;
    assert_eq!(ami.seen().connections, 1);
}

#[tokio::test]
async fn a_plain_login_works_too() {
    let ami = FakeAmi::start(Script::default()).await;
    let host = Host::new(ami.port(), "login = \"plain\"");
    let daemon = host.start();
    let seen = ami.wait_for(LIMIT, |seen| seen.logins == 1).await;
    assert_eq!(seen.actions[0], "Login");
    daemon.stopped().await;
}

#[tokio::test]
async fn an_old_asterisk_is_refused_by_name() {
    let banner = "Asterisk Call Manager/1.3\r\n";
    let ami = FakeAmi::start(Script { banner, ..Script::default() }).await;
    let host = Host::new(ami.port(), "");
    let mut daemon = host.start();
    let line = daemon.logs("cannot follow the PBX").await;
    assert!(line.contains("AMI 1.3") && line.contains("Asterisk 12"), "{line}");
    daemon.stopped().await;
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let ami = FakeAmi::start(Script { steps: vec![Step::Cut], ..Script::default() }).await;
    let host = Host::new(ami.port(), "");
    let daemon = host.start();
    ami.wait_for(LIMIT, |seen| seen.logins == 1).await;
    ami.set_script(Script::default());
    ami.wait_for(LIMIT, |seen| seen.logins >= 2).await;
    let log = daemon.stopped().await;
    assert!(log.contains("the PBX closed the connection"), "{log}");
}

#[tokio::test]
async fn a_pbx_that_stops_answering_is_left() {
    let ami = FakeAmi::start(Script { answers_pings: false, ..Script::default() }).await;
    let host = Host::new(ami.port(), "ping-interval = \"1s\"");
    let mut daemon = host.start();
    let line = daemon.logs("cannot follow the PBX").await;
    assert!(line.contains("although it was pinged"), "{line}");
    daemon.stopped().await;
}

#[tokio::test]
async fn noise_after_the_login_harms_nobody() {
    let mut noise: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    noise.extend_from_slice(b"\r\n\r\n");
    let pace = Step::Pace { bytes: noise, slice: 1000, pause: Duration::from_millis(1) };
    let steps = vec![pace, Step::Send(missed_call("1795339565.1"))];
    let ami = FakeAmi::start(Script { steps, ..Script::default() }).await;
    let host = Host::new(ami.port(), "");
    let mut daemon = host.start();
    daemon.logs("stream is damaged").await;
    daemon.logs("call ended").await;
    daemon.stopped().await;
    assert_eq!(host.stored().ended, 1);
}

#[tokio::test]
async fn the_watchdog_is_fed() {
    let ami = FakeAmi::start(Script::default()).await;
    let host = Host::new(ami.port(), "");
    let mut command = host.command();
    command.env("WATCHDOG_USEC", "1000000");
    let daemon = Daemon::start(command);
    for _ in 0..3 {
        host.notified("WATCHDOG=1").await;
    }
    daemon.stopped().await;
}

#[tokio::test]
async fn a_second_daemon_on_the_same_store_says_so() {
    let ami = FakeAmi::start(Script::default()).await;
    let host = Host::new(ami.port(), "");
    let first = host.start();
    host.notified("READY=1").await;
    let (status, log) = host.start().ended().await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("ami2amo: cannot open the store") && log.contains("held by another"), "{log}");
    assert!(log.trim_end().ends_with("stop it first"), "{log}");
    first.stopped().await;
}

#[tokio::test]
async fn a_call_that_a_full_disk_has_no_room_for_waits_until_there_is_some() {
    let steps = vec![Step::Hold, Step::Send(missed_call("1795339565.1"))];
    let ami = FakeAmi::start(Script { steps, ..Script::default() }).await;
    let host = Host::new(ami.port(), "");
    let mut daemon = host.start_with_small_disk();
    host.notified("STATUS=default: up").await;
    daemon.fill_disk();
    ami.go_on();
    let line = daemon.logs("the store failed").await;
    assert!(line.contains("ERROR") && line.contains("File too large"), "{line}");
    daemon.logs("the store cannot be opened again yet").await;
    daemon.make_room();
    daemon.logs("the store works again").await;
    let log = daemon.stopped().await;
    assert!(!log.contains("call lost"), "{log}");
    assert_eq!(host.stored().ended, 1);
}

#[tokio::test]
async fn a_call_that_a_full_disk_has_no_room_for_is_named_at_the_end() {
    let steps = vec![Step::Hold, Step::Send(missed_call("1795339565.1"))];
    let ami = FakeAmi::start(Script { steps, ..Script::default() }).await;
    let host = Host::new(ami.port(), "");
    let mut daemon = host.start_with_small_disk();
    host.notified("STATUS=default: up").await;
    daemon.fill_disk();
    ami.go_on();
    daemon.logs("the store takes nothing").await;
    daemon.signal("-TERM");
    let begun = clock::mono();
    let (status, log) = daemon.ended().await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(clock::mono().since(begun) < Duration::from_secs(8), "nothing is waited for in vain: {log}");
    let lost = log.lines().find(|line| line.contains("call lost")).unwrap_or_else(|| panic!("{log}"));
    assert!(lost.contains("ERROR") && lost.contains("default-1795339565.1"), "{lost}");
}

#[tokio::test]
async fn a_hangup_signal_does_not_end_the_daemon() {
    let ami = FakeAmi::start(Script::default()).await;
    let host = Host::new(ami.port(), "");
    let mut daemon = host.start();
    host.notified("READY=1").await;
    daemon.signal("-HUP");
    daemon.logs("SIGHUP").await;
    daemon.signal("-INT");
    let (status, log) = daemon.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

async fn output(mut command: Command) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(LIMIT, command.output()).await;
    let output = output.expect("it ends by itself").expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_wrong_key_is_a_configuration_error() {
    let host = Host::new(9, "prot = 5038");
    let mut command = host.command();
    command.arg("run");
    let (code, _, stderr) = output(command).await;
    assert_eq!(code, Some(78));
    assert!(
        stderr.starts_with("ami2amo: ") && stderr.contains("ami2amo.toml:6:1: unknown field `prot`"),
        "{stderr}"
    );
    assert!(stderr.contains("\n 6 | prot = 5038\n   | ^^^^\n"), "{stderr}");
}

#[tokio::test]
async fn a_pbx_under_another_name_is_a_configuration_error_until_it_is_meant() {
    let ami = FakeAmi::start(Script::default()).await;
    let host = Host::new(ami.port(), "name = \"msk\"");
    let mut daemon = host.start();
    daemon.logs("logged in").await;
    daemon.stopped().await;
    host.edit("name = \"msk\"", "name = \"moscow\"");
    let mut command = host.command();
    command.arg("run");
    let (code, _, stderr) = output(command).await;
    assert_eq!(code, Some(78), "{stderr}");
    assert!(
        stderr.contains("knows the PBX at 127.0.0.1:") && stderr.contains("renamed-from = \"msk\""),
        "{stderr}"
    );
    host.edit("name = \"moscow\"", "name = \"moscow\"\nrenamed-from = \"msk\"");
    let mut daemon = host.start();
    daemon.logs("a PBX was renamed").await;
    daemon.logs("logged in").await;
    daemon.stopped().await;
}

#[tokio::test]
async fn a_missing_configuration_is_named() {
    let host = Host::new(9, "");
    for arguments in [["run"].as_slice(), &["check", "--offline"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ami2amo"));
        command.args(arguments).arg("--config").arg(host.path("none.toml"));
        let (code, _, stderr) = output(command).await;
        assert_eq!(code, Some(78));
        assert!(stderr.contains("none.toml") && stderr.contains("--config"), "{stderr}");
    }
}

#[tokio::test]
async fn a_check_lists_what_is_right_and_what_is_not() {
    let host = Host::new(9, "");
    let check = |path: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ami2amo"));
        command.env_clear().args(["check", "--offline", "--config"]).arg(path);
        command
    };
    let (code, stdout, _) = output(check(&host.config())).await;
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("ok    [[pbx]] \"default\": 127.0.0.1:9 as user \"ami2amo\""), "{stdout}");
    std::fs::remove_file(host.path("secret")).unwrap();
    let (code, stdout, _) = output(check(&host.config())).await;
    assert_eq!(code, Some(78), "{stdout}");
    assert!(stdout.contains("fail  [[pbx]] \"default\": cannot read secret-file"), "{stdout}");
    assert!(stdout.contains("\n      → "), "{stdout}");
}

#[tokio::test]
async fn what_only_the_service_has_is_a_warning_by_hand_and_a_failure_at_the_start() {
    let host = Host::new(9, "");
    let credential = "/run/credentials/ami2amo.service/ami-secret";
    let text = std::fs::read_to_string(host.config()).unwrap();
    let text = text.replace(host.path("secret").to_str().unwrap(), credential);
    std::fs::write(host.config(), text).unwrap();
    let command = |word: &str| {
        let mut command = host.command();
        command.arg(word);
        command
    };
    let (code, stdout, _) = output(command("check")).await;
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("warn  [[pbx]] \"default\": secret-file /run/credentials/"), "{stdout}");
    assert!(stdout.contains("exists only inside the service"), "{stdout}");
    let mut inside = command("check");
    inside.env("CREDENTIALS_DIRECTORY", "/run/credentials/ami2amo.service");
    for failing in [inside, command("run")] {
        let (code, stdout, stderr) = output(failing).await;
        assert_eq!(code, Some(78), "{stdout}{stderr}");
        assert!(format!("{stdout}{stderr}").contains("cannot read secret-file /run/credentials/"));
    }
}

#[tokio::test]
async fn a_word_that_is_no_level_stops_the_daemon_and_the_replay() {
    let host = Host::new(9, "");
    for arguments in [["run"].as_slice(), &["check"], &["replay", "x"]] {
        let mut command = host.command();
        command.env("AMI2AMO_LOG", "warning").args(arguments);
        let (code, stdout, stderr) = output(command).await;
        let expected = if arguments[0] == "replay" { 1 } else { 78 };
        assert_eq!(code, Some(expected), "{stdout}{stderr}");
        let said = format!("{stdout}{stderr}");
        assert!(said.contains("AMI2AMO_LOG") && said.contains("\"warn\" is meant"), "{said}");
    }
}
