//! The real binary by hand: what a command line means, what it prints and how it ends.
#![cfg(feature = "daemon")]

use std::process::{Command, Output};

const BUSY_HOUR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures/ast22-vanilla/busy-hour.ami.gz");

fn ami2amo(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ami2amo"));
    command.env_clear().args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints UTF-8")
}

#[test]
fn a_replay_puts_as_many_calls_in_a_request_as_the_configuration_says() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let config = dir.path().join("c.toml");
    std::fs::write(&config, "[delivery]\nbatch-size = 7\n").expect("a file in it");
    let config = config.to_str().expect("plain names");
    let output = ami2amo(&["replay", "--config", config, "--format", "amocrm", BUSY_HOUR]);
    let printed = text(&output.stdout);
    let batches: Vec<Vec<serde_json::Value>> =
        printed.lines().map(|line| serde_json::from_str(line).expect("an array a line")).collect();
    let (last, full) = batches.split_last().expect("there are calls");
    assert!(full.len() > 5 && full.iter().all(|batch| batch.len() == 7), "{} full ones", full.len());
    assert!((1..=7).contains(&last.len()), "{} in the last one", last.len());
}

#[test]
fn a_line_without_a_word_prints_the_help_and_no_error() {
    for line in [&[][..], &["--config", "/c"]] {
        let output = ami2amo(line);
        let said = text(&output.stderr);
        assert!(said.starts_with("Delivers the calls") && said.contains("\n  replay "), "{said}");
        assert!(!said.contains("error:"), "{said}");
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn the_short_form_prints_what_the_long_one_prints() {
    let long = ami2amo(&["replay", "--dry-run", "--format", "none", BUSY_HOUR]);
    let short = ami2amo(&["--dry-run", "--format", "none", BUSY_HOUR]);
    assert_eq!((text(&short.stderr), short.status.code()), (text(&long.stderr), Some(0)));
    assert!(text(&long.stderr).contains("digest="));
}
