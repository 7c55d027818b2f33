//! What `explain` makes of the bundled captures, held as it is; and the page in the docs, in English and in Russian, is
//! what the command prints.
//!
//! A difference is a change of behaviour: look at it, then accept it with
//! `INSTA_UPDATE=always cargo test --test explain`.

#[path = "support/captures.rs"]
mod captures;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use ami2amo::call::record::FinishedCall;
use ami2amo::ops::explain;
use ami2amo::ops::screen::{self, Paint, WIDTH};
use ami2amo::ops::words::Language;
use ami2amo::outbox::search::{Found, Whereabouts};
use ami2amo::replay::{Captures, End};

/// The calls of a capture.
fn calls(capture: &Path) -> Vec<FinishedCall> {
    let files = [capture.to_path_buf()];
    let mut calls = Vec::new();
    let mut take = |call| {
        calls.push(call);
        Ok(())
    };
    let (mut messages, pbx) = (Vec::new(), ami2amo::call::id::PbxName::default());
    let policy = std::sync::Arc::default();
    let captures =
        Captures { files: &files, pbx: &pbx, policy, input: &mut io::empty(), messages: &mut messages };
    let followed = captures.follow(&mut take).expect("memory takes everything");
    assert_eq!(followed.end, End::AllRead, "{}", String::from_utf8_lossy(&messages));
    calls
}

fn page(call: &FinishedCall, language: Language) -> String {
    let found = Found { call: call.clone(), whereabouts: Whereabouts::Capture };
    screen::page(&explain::page(&found, explain::Around::default(), language), Paint::None)
}

fn pages(capture: &str, language: Language) -> String {
    let calls = calls(&captures::bundled().join(capture));
    calls.iter().map(|call| page(call, language)).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(capture: &str) {
    let name = capture.replace('/', "-");
    let name = name.split('.').next().expect("a name").to_owned();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots/explain");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        insta::assert_snapshot!(format!("{name}.en"), pages(capture, Language::En));
        insta::assert_snapshot!(format!("{name}.ru"), pages(capture, Language::Ru));
    });
}

#[test]
fn an_attended_transfer_by_the_phone() {
    check("ast22-vanilla/in-attended-transfer-phone.ami.gz");
}

#[test]
fn an_attended_transfer_by_feature_code() {
    check("ast22-freepbx/in-attended-transfer-feature.ami.gz");
}

#[test]
fn a_queue() {
    check("ast22-vanilla/in-queue-answered.ami.gz");
}

#[test]
fn a_ring_group_that_nobody_answers() {
    check("ast22-vanilla/in-ringgroup-noanswer.ami.gz");
}

#[test]
fn a_voice_message() {
    check("ast22-vanilla/in-voicemail-noanswer.ami.gz");
}

#[test]
fn a_busy_customer() {
    check("ast22-vanilla/out-busy.ami.gz");
}

#[test]
fn an_anonymous_caller() {
    check("ast22-vanilla/in-anonymous.ami.gz");
}

#[test]
fn a_blind_transfer_to_a_mobile() {
    check("ast22-vanilla/in-transfer-to-mobile.ami.gz");
}

#[test]
fn a_call_that_is_parked_and_one_that_is_picked_up() {
    check("ast22-vanilla/in-park-retrieved.ami.gz");
    check("ast16-sip/in-pickup-directed.ami.gz");
}

#[test]
fn a_conference() {
    check("ast22-vanilla/in-conference.ami.gz");
}

#[test]
fn click_to_call() {
    check("ast22-vanilla/click-to-call-local-answered.ami.gz");
}

#[test]
fn every_page_fits_the_terminal_and_tells_who_answered() {
    let mut calls_seen = 0;
    for capture in captures::below(&captures::bundled()) {
        for call in calls(&capture) {
            calls_seen += 1;
            for language in [Language::En, Language::Ru] {
                let page = page(&call, language);
                for line in page.lines() {
                    assert!(screen::columns(line) <= WIDTH, "{}: {line}", capture.display());
                }
                let talks = language.pick(["talk of", "talks with"], ["разговор", "говорит с"]);
                let tells = talks.iter().any(|words| page.contains(words));
                assert!(!call.record.answered || tells, "{}: {page}", capture.display());
            }
        }
    }
    assert!(calls_seen > 500, "{calls_seen}");
}

// ---- the page in the docs ---------------------------------------------------------------------------

/// A command in the docs and what it printed.
struct Shown<'a> {
    command: &'a str,
    output: &'a str,
}

/// The fenced blocks that begin with `$ ami2amo …`.
fn shown(page: &str) -> Vec<Shown<'_>> {
    let blocks = page.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks
        .filter_map(|block| {
            let (first, output) = block.split_once('\n')?;
            Some(Shown { command: first.strip_prefix("$ ami2amo ")?, output })
        })
        .collect()
}

fn run(line: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ami2amo"))
        .args(line.split_whitespace())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .output()
        .expect("the program runs");
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

/// `UPDATE_DOCS=1 cargo test --test explain` writes the pages anew.
#[test]
fn the_docs_show_what_the_command_prints() {
    for name in ["docs/explain.md", "docs/explain.ru.md"] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
        let page = std::fs::read_to_string(&path).expect("the page is there");
        let blocks = shown(&page);
        assert!(blocks.len() >= 4, "{name} shows {} commands", blocks.len());
        let mut now = page.clone();
        for Shown { command, output } in &blocks {
            let [before, after] =
                [*output, &run(command)].map(|output| format!("$ ami2amo {command}\n{output}"));
            now = now.replace(&before, &after);
        }
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &now).expect("the page can be written");
        }
        assert!(now == page, "{name} is not what the commands print: UPDATE_DOCS=1 writes it anew");
    }
}
