//! `ami2amo auth` and the daemon with the tokens that it brought, as real processes.
#![cfg(feature = "daemon")]

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use ami2amo::amo::client::safe::PairFile;
use ami2amo::call::id::AccountId;
use daemon::{Host, missed_call};
use fake_ami::{FakeAmi, Script, Step};
use fake_oauth::{FakeOAuth, Fault, start};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_oauth.rs"]
mod fake_oauth;

/// A host whose configuration has an integration in place of a token.
async fn host(oauth: &FakeOAuth) -> (FakeAmi, Host) {
    let ami = FakeAmi::start(Script::default()).await;
    let host = Host::with_amo(ami.port(), "", &oauth.base_url(), "TOKEN");
    std::fs::write(host.path("secret"), "s3cret\n").expect("a file can be written");
    let text = std::fs::read_to_string(host.config()).expect("there is a configuration");
    let line = text.lines().find(|line| line.contains("TOKEN")).expect("it has a token").to_owned();
    let secret = host.path("secret");
    host.edit(
        &line,
        &format!(
            "oauth = {{ client-id = \"id\", client-secret-file = \"{}\", redirect-uri = \"https://example.org/\" }}",
            secret.display()
        ),
    );
    (ami, host)
}

/// Adds the account "spb" with an integration like the first one's.
fn with_second_account(host: &Host) {
    let text = std::fs::read_to_string(host.config()).expect("there is a configuration");
    let own = text.lines().filter(|line| line.starts_with("base-url") || line.starts_with("oauth"));
    let own = own.collect::<Vec<_>>().join("\n");
    host.edit("[store]", &format!("[[account]]\nname = \"spb\"\n{own}\ndefault-user = 1\n[store]"));
}

async fn auth(config: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ami2amo"));
    command.env_clear().arg("--config").arg(config).arg("auth").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("its input is piped");
    stdin.write_all(input.as_bytes()).await.expect("it reads its input");
    drop(stdin);
    child.wait_with_output().await.expect("it ends")
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(text).expect("it prints UTF-8");
    for secret in ["s3cret", "def502", "access1", "c0de"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    text
}

#[tokio::test]
async fn a_code_becomes_tokens_that_the_daemon_renews_and_auth_shows() {
    let oauth = start().await;
    let (_ami, host) = host(&oauth).await;
    let output = auth(&host.config(), &[], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("the integration id has no tokens"), "{}", said(&output));

    oauth.state().expires_in = 120;
    let output = auth(&host.config(), &["--code", "-"], "c0de\n").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("amoCRM gave tokens for"), "{}", said(&output));
    let output = auth(&host.config(), &[], "").await;
    assert_eq!(output.status.code(), Some(0));
    assert!(said(&output).contains("min left) and is renewed before"), "{}", said(&output));

    // Of two minutes the last half is for the renewal.
    oauth.fault(Fault::Refused("not asked for"));
    let mut daemon = host.start();
    daemon.logs("amoCRM answers: calls are delivered").await;
    assert_eq!(oauth.asked("/oauth2/access_token"), 1, "the token is fresh");
    daemon.stopped().await;
}

#[tokio::test]
async fn each_account_has_tokens_of_its_own() {
    let oauth = start().await;
    let (_ami, host) = host(&oauth).await;
    with_second_account(&host);
    let output = auth(&host.config(), &["--code", "-"], "c0de\n").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--account NAME"), "{}", said(&output));
    let output = auth(&host.config(), &["--account", "spb", "--code", "-"], "c0de\n").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let output = auth(&host.config(), &["--account", "spb"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let output = auth(&host.config(), &["--account", "default"], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("has no tokens"), "{}", said(&output));
    let output = auth(&host.config(), &["--account", "ekb"], "").await;
    assert!(said(&output).contains("no account ekb"), "{}", said(&output));
}

#[tokio::test]
async fn a_daemon_without_access_takes_the_tokens_that_auth_brings_while_it_runs() {
    let oauth = start().await;
    let (_ami, host) = host(&oauth).await;
    let mut daemon = host.start();
    let held = daemon.logs("delivery is held").await;
    assert!(held.contains("ami2amo auth --code"), "{held}");
    let output = auth(&host.config(), &["--code", "c0de"], "").await;
    assert!(said(&output).contains("the daemon (process"), "{}", said(&output));
    daemon.logs("another amoCRM token was read").await;
    daemon.stopped().await;
    let store = host.path("store");
    let pair = PairFile::of(&store, &AccountId::default()).read().expect("it is a pair");
    assert!(pair.is_some());
}

/// One call, of this channel, at each connection.
fn rings(uniqueid: &str) -> Script {
    Script { steps: vec![Step::Send(missed_call(uniqueid))], ..Script::default() }
}

#[tokio::test]
async fn calls_go_on_over_a_refused_token_and_a_kill() {
    let oauth = start().await;
    let (ami, host) = host(&oauth).await;
    let output = auth(&host.config(), &["--code", "c0de"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    ami.set_script(rings("1795339565.1"));
    let mut daemon = host.start();
    daemon.logs("call delivered").await;
    daemon.stopped().await;

    // amoCRM withdraws the access token: it is exchanged, and the next process has what was kept.
    "withdrawn".clone_into(&mut oauth.state().access);
    ami.set_script(rings("1795339565.2"));
    let mut daemon = host.start();
    daemon.logs("call delivered").await;
    let log = daemon.killed().await;
    assert!(!log.contains("delivery is held"), "{log}");
    ami.set_script(rings("1795339565.3"));
    let mut daemon = host.start();
    daemon.logs("call delivered").await;
    daemon.stopped().await;
    assert_eq!(oauth.asked("/oauth2/access_token"), 2, "the code and one renewal");
    let delivered = oauth.state().calls.clone();
    assert_eq!(delivered, ["default-1795339565.1", "default-1795339565.2", "default-1795339565.3"]);
}

#[tokio::test]
async fn the_variable_is_the_default_accounts_alone() {
    let oauth = start().await;
    let (_ami, host) = host(&oauth).await;
    with_second_account(&host);
    let mut command = host.command();
    command.env_remove("AMI2AMO_LOG").env("AMI2AMO_AMOCRM_TOKEN", "t0ken").arg("auth");
    let text = said(&command.output().await.expect("it runs"));
    let (default, spb) = text.split_once("spb: ").expect("both are shown");
    assert!(default.contains("AMI2AMO_AMOCRM_TOKEN") && !spb.contains("AMI2AMO_AMOCRM_TOKEN"), "{text}");
    assert!(spb.contains("has no tokens"), "{text}");
}

#[tokio::test]
async fn a_check_asks_nothing_with_a_token_that_ended_and_refuses_one_of_another_integration() {
    let oauth = start().await;
    let (_ami, host) = host(&oauth).await;
    let output = auth(&host.config(), &["--code", "-"], "c0de\n").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let file = PairFile::of(&host.path("store"), &AccountId::default());
    let kept = std::fs::read_to_string(file.path()).expect("there is a pair");
    let mut pair: serde_json::Value = serde_json::from_str(&kept).expect("it is JSON");
    let check = async || {
        let mut command = host.command();
        said(&command.env_remove("AMI2AMO_LOG").arg("check").output().await.expect("it runs"))
    };
    // {"exp":1}
    pair["access-token"] = "head.eyJleHAiOjF9.access1".into();
    std::fs::write(file.path(), pair.to_string()).expect("it can be written");
    let page = check().await;
    assert!(page.contains("warn  [amocrm]: the token ended at 1970-01-01"), "{page}");
    assert!(!page.contains("fail  [amocrm]"), "{page}");

    std::fs::write(file.path(), kept.replace("\"client-id\":\"id\"", "\"client-id\":\"old\""))
        .expect("it can be written");
    let page = check().await;
    assert!(page.contains("fail  [amocrm]") && page.contains("another integration (old)"), "{page}");
}
