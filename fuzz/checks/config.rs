//! A configuration's text: read or refused at a named place, checked without fail, and its secrets kept.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::check::{self, Grade};
use crate::config::file::File;
use crate::config::surroundings::{Folder, Surroundings};
use crate::config::{self, Error, reload};

/// Stands before every input, so that there is a secret to keep.
const HEAD: &str = "[[pbx]]\nhost = \"127.0.0.1\"\nusername = \"ami2amo\"\nsecret = \"PLANTED-ONE\"\n";
/// Stands before those that begin with a comment, too.
const AMOCRM: &str = "[amocrm]\nbase-url = \"https://a.amocrm.ru\"\ntoken = \"PLANTED-TWO\"\n";

/// A machine on which everything is in its place, and the configuration is this text.
struct Ideal<'a>(&'a [u8]);

impl Surroundings for Ideal<'_> {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(if path == file() { self.0.to_vec() } else { b"PLANTED-THREE\n".to_vec() })
    }

    fn folder(&self, _path: &Path) -> Folder {
        Folder::Writable
    }

    fn has_credentials(&self) -> bool {
        true
    }
}

fn file() -> PathBuf {
    PathBuf::from("a.toml")
}

pub(super) fn check(data: &[u8]) {
    one(data);
    let with_amocrm = if data.starts_with(b"#") { AMOCRM } else { "" };
    one(&[HEAD.as_bytes(), with_amocrm.as_bytes(), data].concat());
}

fn one(text: &[u8]) {
    match config::read(&file(), &Ideal(text)) {
        Ok(file) => examined(&file, text),
        Err(Error::Malformed(fault)) => refused(&fault.to_string(), text),
        Err(error) => {
            let is_text = std::str::from_utf8(text).is_ok();
            assert!(matches!(error, Error::NotText { .. }) && !is_text, "{error}");
        }
    }
}

/// The message begins with the place: `a.toml:LINE:COLUMN: `, and the line is one of the text.
fn refused(message: &str, text: &[u8]) {
    secret_is_kept(message);
    let place = message.strip_prefix("a.toml:").expect("a refusal names the file");
    let mut numbers = place.splitn(3, ':');
    let mut number = || numbers.next().and_then(|number| number.parse::<usize>().ok());
    let (line, column) = (number(), number());
    let lines = text.split(|b| *b == b'\n').count();
    assert!(line.is_some_and(|line| (1..=lines).contains(&line)), "{message}");
    assert!(column.is_some_and(|column| column > 0), "{message}");
}

fn examined(file: &File, text: &[u8]) {
    secret_is_kept(&format!("{file:?}"));
    let (findings, config) = check::examine(file.clone(), &Ideal(text));
    let failed = findings.iter().any(|finding| finding.grade == Grade::Fail);
    assert_eq!(config.is_none(), failed, "{findings:?}");
    for finding in &findings {
        secret_is_kept(&finding.to_string());
        assert!(!finding.place.is_empty() && !finding.text.is_empty(), "{finding:?}");
    }
    if let Some(config) = config {
        secret_is_kept(&format!("{config:?}"));
        let reload = reload::reload(&config, &config);
        secret_is_kept(&format!("{reload:?}"));
    }
}

fn secret_is_kept(text: &str) {
    assert!(!text.contains("PLANTED"), "a secret is told: {text}");
}
