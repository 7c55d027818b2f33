//! A person at the prompt of the machine: what is typed and what is printed, and what happens there meanwhile.

#![allow(clippy::allow_attributes, dead_code, reason = "each test binary uses its own part of this")]

use std::process::Stdio;

use ami2amo::clock;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::daemon::{Host, LIMIT, discretion, missed_call};
use crate::fake_ami::{Clock, FakeAmi, Script, Step};
use crate::fake_amo::{FakeAmo, Options};

/// What a command printed and how it ended.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Without the breaks between lines.
    pub fn words(&self) -> String {
        self.out.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// A command whose words have no blanks in them.
pub async fn run(host: &Host, line: &str, input: &str) -> Said {
    run_words(host, &line.split_whitespace().collect::<Vec<_>>(), input).await
}

pub async fn run_words(host: &Host, words: &[&str], input: &str) -> Said {
    let mut command = host.command();
    command.env_remove("AMI2AMO_LOG").env("USER", "anna").args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It need not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await.expect("it ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let said =
        Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) };
    // What is printed may have numbers, and is no log.
    let printed = format!("{}\n{}", said.out, said.err);
    let secrets = discretion::secrets(&host.config());
    let leak = secrets.iter().find(|secret| printed.contains(secret.as_str()));
    assert_eq!(leak, None, "{words:?}: {printed}");
    said
}

/// One HTTP request and all of its answer.
pub async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    place: &str,
    body: &str,
) -> String {
    let request = format!(
        "{method} {place} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The uniqueid and the events of [`missed_call`], which ends at this moment.
pub fn missed_now(count: u32) -> (String, Vec<u8>) {
    let now = clock::host().seconds();
    let uniqueid = format!("{now}.{count}");
    let text = String::from_utf8(missed_call(&uniqueid)).unwrap();
    let text = text.replace("1795339565.000001", &format!("{}.000001", now - 2));
    (uniqueid, text.replace("1795339575.000001", &format!("{}.000001", now - 1)).into_bytes())
}

/// An Asterisk whose clock is this host's.
pub fn script(steps: Vec<Step>) -> Script {
    Script { clock: Clock::Host, steps, ..Script::default() }
}

/// A machine whose PBX sends these steps.
pub async fn machine(amo: &FakeAmo, steps: Vec<Step>) -> (Host, FakeAmi) {
    let ami = FakeAmi::start(script(steps)).await;
    (Host::with_amo(ami.port(), "", &amo.base_url(), &Options::default().token), ami)
}

pub async fn delivered(amo: &FakeAmo, count: usize) {
    let waited = tokio::time::timeout(LIMIT, amo.wait_for(|state| state.notes.len() >= count)).await;
    assert!(waited.is_ok(), "{count} calls should be delivered: {:?}", amo.calls());
}
