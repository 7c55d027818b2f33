//! The example configurations, English and Russian, are right: they parse, and their defaults are the defaults. That they
//! have every key: tests/configuration.rs.

use ami2amo::config::check::{self, Grade};
use ami2amo::config::file::File;
use ami2amo::config::surroundings::{Folder, Surroundings};

const EXAMPLES: [&str; 2] =
    [include_str!("../config/ami2amo.toml"), include_str!("../config/ami2amo.ru.toml")];

/// An example with the lines behind `mark` taken in.
fn uncommented(example: &str, mark: &str) -> String {
    let is_key = |text: &str| {
        let begins = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        (text.starts_with(begins) && text.contains(" = ")) || text.starts_with('[')
    };
    let line = |line: &str| match line.strip_prefix(mark).filter(|text| is_key(text)) {
        Some(text) => format!("{text}\n"),
        None => format!("{line}\n"),
    };
    example.lines().map(line).collect()
}

fn parse(text: &str) -> File {
    toml::from_str(text).expect("the example's form is right")
}

/// A machine on which everything is in its place.
struct Ideal;

impl Surroundings for Ideal {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn read(&self, _path: &std::path::Path) -> std::io::Result<Vec<u8>> {
        Ok(b"abc\n".to_vec())
    }

    fn folder(&self, _path: &std::path::Path) -> Folder {
        Folder::Writable
    }

    fn has_credentials(&self) -> bool {
        true
    }
}

#[test]
fn the_examples_pass_their_checks() {
    for example in EXAMPLES {
        let (findings, config) = check::examine(parse(example), &Ideal);
        assert!(config.is_some(), "{findings:#?}");
        assert!(findings.iter().all(|finding| finding.grade == Grade::Ok), "{findings:#?}");
    }
}

#[test]
fn the_defaults_in_the_examples_are_the_defaults() {
    for example in EXAMPLES {
        let with = parse(&uncommented(example, "#"));
        assert_eq!(format!("{with:#?}"), format!("{:#?}", parse(example)));
    }
}

#[test]
fn the_examples_in_the_examples_parse() {
    for example in EXAMPLES {
        parse(&uncommented(example, "##"));
    }
}

#[test]
fn a_wrong_configuration_is_not_started_again_by_systemd() {
    let unit: Vec<&str> = include_str!("../systemd/ami2amo.service").lines().collect();
    assert!(unit.contains(&"RestartPreventExitStatus=78"));
    // systemd heeds it for the main process only.
    assert!(!unit.iter().any(|line| line.starts_with("ExecStartPre=")));
}
