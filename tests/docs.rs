//! Commands in the docs are commands of the program: each line parses, and the blocks behind `<!-- runs -->` are run,
//! beside a daemon with a call that amoCRM refused. Blocks that begin with `$ ami2amo` and read captures print what
//! stands below them; `UPDATE_DOCS=1 cargo test --test docs` writes that anew. docs/explain.md and its Russian twin:
//! tests/explain.rs.
#![cfg(feature = "daemon")]

use std::path::{Path, PathBuf};
use std::process::Command;

use ami2amo::cli::Cli;
use ami2amo::time::HostTime;
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
/// When it began.
const BEGAN: i64 = 1_795_337_591;

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

/// That a page shows what is printed now.
fn hold(page: &Path, has: &str, now: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() && now != has {
        std::fs::write(page, now).expect("the page can be written");
    } else {
        assert!(now == has, "{} is not what is printed: UPDATE_DOCS=1 writes it anew", name(page));
    }
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
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { path.with_file_name("").join(file) };
            let has_anchor = || {
                std::fs::read_to_string(&file).is_ok_and(|page| anchors(&page).contains(&anchor.to_owned()))
            };
            if !file.exists() || !(anchor.is_empty() || has_anchor()) {
                broken.push(format!("{}: {target}", name(&path)));
            }
        }
    }
    assert!(broken.is_empty(), "no such place: {broken:#?}");
}

/// The headings of a page as links name them.
fn anchors(page: &str) -> Vec<String> {
    let headings =
        page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let letter = |c: char| c.is_alphanumeric() || " -_".contains(c);
    headings
        .map(|heading| {
            heading.to_lowercase().chars().filter(|&c| letter(c)).collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn what_the_docs_show_of_captures_is_what_is_printed() {
    let mut shown = 0;
    for (path, text) in pages().into_iter().filter(|(path, _)| !name(path).starts_with("docs/explain.")) {
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
        hold(&path, &text, &now);
    }
    assert!(shown > 1, "{shown} commands are shown");
}

/// What Asterisk prints, or the configuration says, and not the program.
const OF_OTHERS: &[&str] = &["read perm", "Timestamp events: No", "missed = \"entity-owner\""];

/// The text of the program's source, without the breaks in its literals.
fn source() -> String {
    let mut folders = vec![root().join("src")];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of the source") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let file = std::fs::read_to_string(path).expect("source is text");
                file.split("\\\n").for_each(|part| text.push_str(part.trim_start()));
            }
        }
    }
    text
}

#[test]
fn what_the_pages_of_troubles_quote_is_said_by_the_program() {
    let source = source();
    let (mut quoted, mut unsaid) = (0, Vec::new());
    for (path, text) in pages().into_iter().filter(|(path, _)| name(path).contains("troubleshoot")) {
        let cells =
            text.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.split(" | ").next());
        let quotes = cells
            .flat_map(|cell| cell.split('`').skip(1).step_by(2))
            .filter(|quote| !OF_OTHERS.contains(quote));
        for quote in quotes {
            quoted += 1;
            let said = quote.split('…').map(str::trim).all(|part| source.contains(part));
            if !said {
                unsaid.push(format!("{}: {quote}", name(&path)));
            }
        }
    }
    assert!(quoted > 40, "{quoted} quotes");
    assert!(unsaid.is_empty(), "not in the source: {unsaid:#?}");
}

/// A daemon that cannot deliver the one call that there was, which amoCRM refused.
struct World {
    _ami: FakeAmi,
    _amo: FakeAmo,
    host: Host,
    daemon: Daemon,
    /// When the call began, in seconds.
    began: i64,
}

impl World {
    async fn new() -> Self {
        let amo = fake_amo::start(Options::default()).await;
        amo.fault(On::Post, 1, What::Validation(0));
        let began = ami2amo::clock::host().seconds() - 12;
        let call = String::from_utf8(missed_call(&format!("{began}.4"))).expect("text");
        let call = call.replace("1795339565.", &format!("{began}."));
        let call = call.replace("1795339575.", &format!("{}.", began + 10));
        let steps = vec![Step::Send(call.into_bytes())];
        let ami = FakeAmi::start(Script { clock: Clock::Host, steps, ..Script::default() }).await;
        let host = Host::with_amo(ami.port(), "", &amo.base_url(), &Options::default().token);
        let mut daemon = host.start();
        daemon.logs("a person must look at it").await;
        Self { _ami: ami, _amo: amo, host, daemon, began }
    }

    /// What a command of the docs prints here, with the docs' times, ids and folders.
    async fn run(&self, page: &Path, command: &commands::Command) -> String {
        let call = format!("default-{}.4", self.began);
        let words = command.words.iter().skip(1).map(|word| word.replace(CALL, &call));
        let output =
            self.host.command().env_remove("AMI2AMO_LOG").args(words).output().await.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let line = format!("{}: {}: {said}", name(page), command.words.join(" "));
        // 1: something is wrong with the call, or is to be done.
        assert!(matches!(output.status.code(), Some(0 | 1)), "{line} {}", output.status);
        assert!(!output.stdout.is_empty(), "{line} prints nothing");
        let printed = String::from_utf8(output.stdout).expect("the output is UTF-8");
        let began = |seconds: i64| HostTime::from_micros(seconds * 1_000_000).to_string();
        let [here, there] = [began(self.began), began(BEGAN)];
        let printed = printed.replace(&self.began.to_string(), &BEGAN.to_string());
        // "2026-11-22T08:53:11.000Z" is written with a space, and without its year, too.
        let printed = printed.replace(&here[..10], &there[..10]).replace(&here[5..10], &there[5..10]);
        let printed = printed.replace(&here[11..19], &there[11..19]);
        // When amoCRM refused it.
        let moment = |word: &str| word.get(10..11) == Some("T") && word.get(19..20) == Some(".");
        let fixed = |word: &str| if moment(word) { there.clone() + &word[24..] } else { word.to_owned() };
        printed.split_inclusive(' ').map(fixed).collect()
    }
}

#[tokio::test]
async fn marked_commands_run_and_print_what_is_shown() {
    let world = World::new().await;
    let mut ran = 0;
    for (path, text) in pages() {
        let mut now = text.clone();
        for command in commands(&text).into_iter().filter(|command| command.runs) {
            ran += 1;
            let printed = world.run(&path, &command).await;
            let prompt = format!("$ {}\n", command.line);
            let shown = blocks(&text).find(|block| command.shows && block.starts_with(&prompt));
            if let Some(shown) = shown {
                now = now.replace(shown, &(prompt + &printed));
            }
        }
        hold(&path, &text, &now);
    }
    assert!(ran > 5, "{ran} commands are marked");
    world.daemon.stopped().await;
}
