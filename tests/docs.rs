//! Commands in the docs are commands of the program: each line parses, and the blocks behind `<!-- runs -->` are run,
//! beside a daemon with a call that amoCRM refused. Blocks that begin with `$ ami2amo` and read captures print what
//! stands below them; `UPDATE_DOCS=1 cargo test --test docs` writes that anew. docs/explain.md: tests/explain.rs.
#![cfg(feature = "daemon")]

use std::path::{Path, PathBuf};
use std::process::Command;

use ami2amo::cli::Cli;
use clap::Parser as _;
use clap::error::ErrorKind;

use commands::{Place, blocks, commands};
use daemon::{Daemon, Host, missed_call};
use fake_ami::{Clock, FakeAmi, Script, Step};
use fake_amo::{FakeAmo, On, Options, What};

#[path = "docs/commands.rs"]
mod commands;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;

/// The id that the docs give to the call in question.
const CALL: &str = "default-1795337591.4";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Name and text of every page for users.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = std::fs::read_dir(root().join("docs")).expect("there are docs");
    let docs = docs.map(|entry| entry.expect("an entry").path());
    let above = ["README.md", "README.ru.md", "SECURITY.md"].map(|name| root().join(name));
    let mut paths: Vec<PathBuf> =
        docs.chain(above).filter(|path| path.extension() == Some("md".as_ref())).collect();
    paths.sort();
    paths.into_iter().filter_map(|path| Some((path.clone(), std::fs::read_to_string(path).ok()?))).collect()
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).expect("below the root").display().to_string()
}

#[test]
fn every_command_in_the_docs_is_one_of_the_program() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (path, text) in pages() {
        for command in commands(&text) {
            seen += 1;
            let Err(error) = Cli::try_parse_from(&command.words) else { continue };
            let lacks =
                [ErrorKind::MissingRequiredArgument, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand];
            // In running text a command may be named without what it needs.
            if command.place == Place::Block || !lacks.contains(&error.kind()) {
                wrong.push(format!("{}: {}\n    {error}", name(&path), command.words.join(" ")));
            }
        }
    }
    assert!(seen > 100, "{seen} commands");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in pages() {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && target.contains(['.', '#'])) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !path.with_file_name("").join(file).exists() {
                broken.push(format!("{}: {target}", name(&path)));
            }
        }
    }
    assert!(broken.is_empty(), "no such file: {broken:#?}");
}

#[test]
fn what_the_docs_show_of_captures_is_what_is_printed() {
    let mut shown = 0;
    for (path, text) in pages().into_iter().filter(|(path, _)| !path.ends_with("explain.md")) {
        let mut now = text.clone();
        for block in blocks(&text).filter(|block| block.contains(" tests/captures/")) {
            let Some((line, _)) = block.strip_prefix("$ ami2amo ").and_then(|rest| rest.split_once('\n'))
            else {
                continue;
            };
            shown += 1;
            let output = Command::new(env!("CARGO_BIN_EXE_ami2amo"))
                .args(line.split_whitespace())
                .current_dir(root())
                .env_clear()
                .output()
                .expect("the program runs");
            let output = String::from_utf8(output.stdout).expect("the output is UTF-8");
            now = now.replace(block, &format!("$ ami2amo {line}\n{output}"));
        }
        if std::env::var_os("UPDATE_DOCS").is_some() && now != text {
            std::fs::write(&path, &now).expect("the page can be written");
        } else {
            assert!(now == text, "{} is not what is printed: UPDATE_DOCS=1 writes it anew", name(&path));
        }
    }
    assert!(shown > 1, "{shown} commands are shown");
}

/// A daemon that cannot deliver the one call that there was; the others of its life end with it.
async fn with_dead_call() -> (FakeAmi, FakeAmo, Host, Daemon, String) {
    let amo = fake_amo::start(Options::default()).await;
    amo.fault(On::Post, 1, What::Validation(0));
    let now = ami2amo::clock::host().seconds();
    let uniqueid = format!("{now}.4");
    let call = String::from_utf8(missed_call(&uniqueid)).expect("text");
    let call = call.replace("1795339565.000001", &format!("{}.000001", now - 2));
    let call = call.replace("1795339575.000001", &format!("{}.000001", now - 1));
    let steps = vec![Step::Send(call.into_bytes())];
    let ami = FakeAmi::start(Script { clock: Clock::Host, steps, ..Script::default() }).await;
    let host = Host::with_amo(ami.port(), "", &amo.base_url(), &Options::default().token);
    let mut daemon = host.start();
    daemon.logs("a person must look at it").await;
    (ami, amo, host, daemon, format!("default-{uniqueid}"))
}

#[tokio::test]
async fn marked_commands_run() {
    let (_ami, _amo, host, daemon, id) = with_dead_call().await;
    let mut ran = 0;
    for (path, text) in pages() {
        for command in commands(&text).into_iter().filter(|command| command.runs) {
            ran += 1;
            let words = command.words.iter().skip(1).map(|word| word.replace(CALL, &id));
            let output =
                host.command().env_remove("AMI2AMO_LOG").args(words).output().await.expect("it runs");
            let said = String::from_utf8_lossy(&output.stderr);
            let line = format!("{}: {}: {said}", name(&path), command.words.join(" "));
            // 1: something is wrong with the call, or is to be done.
            assert!(matches!(output.status.code(), Some(0 | 1)), "{line} {}", output.status);
            assert!(!output.stdout.is_empty(), "{line} prints nothing");
        }
    }
    assert!(ran > 5, "{ran} commands are marked");
    daemon.stopped().await;
}
