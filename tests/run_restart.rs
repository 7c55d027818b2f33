//! The real binary is ended in the middle of real calls, in order and by `kill -9`, and started again: the
//! records are those of a daemon that was never ended.

use std::path::{Path, PathBuf};

use ami2amo::ami::wire::{Kind, Splitter, Step as Wire};
use ami2amo::call::id::CallId;
use ami2amo::call::policy::Policy;
use ami2amo::outbox::queue::Queue as _;
use ami2amo::outbox::store::Store;
use ami2amo::time::HostTime;
use serde_json::Value;

use daemon::{Daemon, Host, LIMIT};
use fake_ami::{Clock, FakeAmi, Script, Step};

#[path = "support/captures.rs"]
mod captures;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;

#[tokio::test]
async fn a_call_goes_on_after_a_stop() {
    for capture in ["ast22-vanilla/in-attended-transfer-feature", "ast22-freepbx/in-ringgroup-answered"] {
        interrupted(capture, Ended::InOrder).await;
    }
}

#[tokio::test]
async fn a_call_goes_on_after_a_kill() {
    for capture in ["ast22-vanilla/in-queue-answered", "ast16-sip/in-blind-transfer"] {
        interrupted(capture, Ended::Killed).await;
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ended {
    InOrder,
    Killed,
}

/// Plays a capture in three parts to three lives of one daemon.
async fn interrupted(title: &str, ended: Ended) {
    let path = captures::bundled().join(format!("{title}.ami.gz"));
    let blocks = blocks(&captures::text(&path));
    let ami = FakeAmi::start(Script::default()).await;
    let host = Host::new(ami.port(), "");
    for (number, part) in blocks.chunks(blocks.len().div_ceil(3)).enumerate() {
        ami.set_script(Script {
            steps: vec![Step::Send(part.concat())],
            clock: Clock::Sent(0.0),
            ..Script::default()
        });
        let mut command = host.command();
        command.env_remove("NOTIFY_SOCKET"); // nobody reads there
        let mut daemon = Daemon::start(command);
        let news = if number < 2 { "calls in progress are kept" } else { "call ended" };
        daemon.logs(news).await;
        daemon.logs("a group is durable").await;
        match ended {
            Ended::InOrder => drop(daemon.stopped().await),
            Ended::Killed => killed(daemon).await,
        }
    }
    let expected = replayed(&path);
    assert!(!expected.is_empty(), "{title} has calls");
    for record in expected {
        let id = CallId::from_text(record["call_id"].as_str().unwrap());
        let found = Store::open(&host.path("store"), HostTime::default()).unwrap().find(&id).unwrap();
        let mut found =
            serde_json::to_value(found.unwrap_or_else(|| panic!("{title}: {id}")).call.record).unwrap();
        found["source"] = record["source"].clone();
        assert_eq!(found, record, "{title}, {ended:?}");
    }
}

async fn killed(daemon: Daemon) {
    daemon.signal("-KILL");
    tokio::time::timeout(LIMIT, daemon.ended()).await.expect("it is dead");
}

fn replayed(path: &Path) -> Vec<Value> {
    let printed = captures::jsonl(&[PathBuf::from(path)], Policy::default());
    printed.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The events of a capture, each with its blank line.
fn blocks(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut splitter, mut blocks, mut rest) = (Splitter::new(), Vec::new(), stream);
    loop {
        match splitter.next(rest) {
            Wire::Frame { frame, used } => {
                if frame.kind == Kind::Event {
                    blocks.push([frame.block.trim_ascii_end(), b"\r\n\r\n"].concat());
                }
                rest = &rest[used..];
            }
            Wire::Skip { used } => rest = &rest[used..],
            Wire::More => return blocks,
        }
    }
}
