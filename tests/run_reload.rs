//! The configuration read again by the real program: at SIGHUP and by `ami2amo reload`, with systemd listening.
#![cfg(feature = "daemon")]

use std::path::Path;

use daemon::{Host, LIMIT};
use fake_ami::{FakeAmi, Script};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;

/// What a command printed, and its exit code.
async fn said(host: &Host, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = host.command();
    command.args(words).env_remove("NOTIFY_SOCKET").env_remove("AMI2AMO_LOG");
    let output = tokio::time::timeout(LIMIT, command.output()).await;
    let output = output.expect("it ends by itself").expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A daemon that answers on its socket.
async fn running() -> (Host, daemon::Daemon, FakeAmi) {
    let ami = FakeAmi::start(Script::default()).await;
    let host = Host::new(ami.port(), "");
    let mut daemon = host.start();
    daemon.logs("the admin socket listens").await;
    host.notified("READY=1").await;
    (host, daemon, ami)
}

#[tokio::test]
async fn systemd_hears_that_it_is_read_again_and_what_came_of_it() {
    let (host, daemon, _ami) = running().await;
    daemon.signal("-HUP");
    let message = host.notified("RELOADING=1").await;
    let usec = message.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(usec.is_some_and(|usec| usec.parse::<u64>().is_ok_and(|usec| usec > 0)), "{message}");
    let message = host.notified("READY=1").await;
    assert!(message.contains("\nSTATUS=configuration read again 2"), "{message}");
    host.edit("default-user = 1", "default-user = ");
    daemon.signal("-HUP");
    host.notified("RELOADING=1").await;
    let message = host.notified("READY=1").await;
    assert!(
        message.contains("STATUS=configuration refused") && message.contains("ami2amo.toml:"),
        "{message}"
    );
    // The line of how it fares has it, too, until it is mended.
    let line = host.notified("STATUS=default: up").await;
    assert!(line.contains("configuration refused") && line.contains("config-refused"), "{line}");
    daemon.stopped().await;
}

#[tokio::test]
async fn the_command_waits_and_says_what_counts_and_what_does_not() {
    let (host, daemon, _ami) = running().await;
    let (code, out, err) = said(&host, &["reload"]).await;
    assert!(code == Some(0) && out.contains("nothing has changed for calls"), "{code:?} {out}{err}");
    host.edit("default-user = 1", "default-user = 2\n[delivery]\nbatch-size = 7\n[log]\nlevel = \"debug\"");
    let (code, out, err) = said(&host, &["reload"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("counts: [amocrm]; [delivery]."), "{out}");
    assert!(out.contains("changed: [log] level.\nWhat to do: systemctl restart ami2amo\n"), "{out}");
    let (code, out, _) = said(&host, &["reload", "--json"]).await;
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &answer["outcome"], &answer["changed"]),
        (Some(0), &"taken".into(), &serde_json::json!([]))
    );
    let log = daemon.stopped().await;
    assert!(log.contains("by=\"somebody (uid "), "{log}");
}

#[tokio::test]
async fn a_refused_configuration_is_an_exit_code_and_a_problem_until_it_is_mended() {
    let (host, daemon, _ami) = running().await;
    host.edit("default-user = 1", "default-user = 0");
    let (code, out, err) = said(&host, &["reload"]).await;
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert!(
        err.contains("is refused, and the running one stays") && err.contains("default-user is 0"),
        "{err}"
    );
    let (code, out, _) = said(&host, &["status"]).await;
    assert!(code.is_some_and(|code| code >= 1) && out.contains("read again and refused"), "{code:?} {out}");
    host.edit("default-user = 0", "default-user = 1");
    let (code, ..) = said(&host, &["reload"]).await;
    assert_eq!(code, Some(0));
    let (_, out, _) = said(&host, &["status"]).await;
    assert!(!out.contains("read again and refused"), "{out}");
    daemon.stopped().await;
}

#[tokio::test]
async fn what_cannot_be_read_at_all_is_shown_with_its_place() {
    let (host, daemon, _ami) = running().await;
    host.edit("default-user = 1", "defualt-user = 1");
    let (code, _, err) = said(&host, &["reload", "--language", "ru"]).await;
    assert_eq!(code, Some(78), "{err}");
    assert!(err.contains("| defualt-user = 1\n") && err.contains("| ^^^^^^^^^^^^"), "{err}");
    daemon.stopped().await;
}

#[tokio::test]
async fn without_a_daemon_it_fails_and_says_where_it_asked() {
    let host = Host::new(9, "");
    let (code, out, err) = said(&host, &["reload"]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("nobody answers on") && err.contains("ctl.sock"), "{err}");
}

#[tokio::test]
async fn the_unit_reloads_by_a_command_that_there_is() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/ami2amo.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecReload=/usr/bin/ami2amo ")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let (host, daemon, _ami) = running().await;
    assert_eq!(said(&host, &words).await.0, Some(0));
    daemon.stopped().await;
}
