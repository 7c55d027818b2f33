//! Case files: AMI text in a short notation, and what must come of it. The notation is described
//! in `tests/cases/README.md`.

#![cfg(test)]

use ami2amo::call::policy::Policy;

use crate::stage::{Stage, Words};

const BANNER: &str = "Asterisk Call Manager/11.0.0";

/// One case file.
#[derive(Debug)]
pub struct Script {
    pub bytes: Vec<u8>,
    pub policy: Policy,
    /// The lines behind `---`.
    pub expected: Vec<Expected>,
}

/// One expectation; `pairs` are `key=value`.
#[derive(Debug)]
pub enum Expected {
    /// The next call that ended.
    Call(Vec<(String, String)>),
    NoCalls,
    /// The next frame of this name; `Response` and `Banner` are those of replies and the banner.
    Frame(String, Vec<(String, String)>),
    NoFrame(String),
    /// How many frames are handed on in all.
    Frames(usize),
    Damage(Vec<(String, String)>),
    /// Part of what `replay` says on standard error.
    Says(String),
}

impl Script {
    /// Panics with the line that is wrong.
    pub fn parse(text: &str) -> Self {
        let (script, expected) = text.split_once("\n---\n").expect("'---' stands before what is expected");
        let title = script.lines().next().and_then(|line| line.strip_prefix("# "));
        title.expect("the first line is '# ' and the title");
        let mut stage = Stage::default();
        let lines: Vec<&str> = script.lines().collect();
        if !lines.contains(&"!bare") {
            stage.raw(BANNER);
        }
        let mut policy = String::new();
        for line in lines {
            match line.strip_prefix("!policy ") {
                Some(setting) => policy = policy + setting + "\n",
                None => play(&mut stage, line),
            }
        }
        let policy = toml::from_str(&policy).expect("'!policy' lines are the [calls] table");
        let expected = expected.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self { bytes: stage.bytes, policy, expected: expected.map(Expected::parse).collect() }
    }
}

/// Plays one line of the upper part.
fn play(stage: &mut Stage, line: &str) {
    if line.is_empty() || line.starts_with('#') {
        return;
    }
    if let Some(raw) = line.strip_prefix('|') {
        return stage.raw(raw.strip_prefix(' ').unwrap_or(raw));
    }
    if let Some(directive) = line.strip_prefix('!') {
        return direct(stage, directive);
    }
    let mut words = words(line);
    if let Some(second) = words.first().and_then(|word| word.strip_prefix('@')) {
        stage.now_micros = micros(second);
        words.remove(0);
    }
    if !words.is_empty() {
        let verb = words.remove(0);
        stage.act(&verb, &Words::new(words));
    }
}

fn direct(stage: &mut Stage, directive: &str) {
    let (verb, rest) = directive.split_once(' ').unwrap_or((directive, ""));
    match verb {
        "bare" => {}
        "lf" => stage.bare_newlines = true,
        "crlf" => stage.bare_newlines = false,
        "no-timestamps" => stage.no_timestamps = true,
        "unseen" => stage.unseen = true,
        "seen" => stage.unseen = false,
        "connect" => stage.raw(BANNER),
        "bytes" => stage.bytes.extend(unescape(rest)),
        "times" => {
            let (times, text) = rest.split_once(' ').expect("'!times N text'");
            let times = times.parse().expect("'!times' begins with a number");
            stage.bytes.extend(unescape(text).repeat(times));
        }
        "cut" => {
            let bytes: usize = rest.parse().expect("'!cut' is followed by a number");
            stage.bytes.truncate(stage.bytes.len() - bytes);
        }
        "replace" => {
            let (old, new) = rest.split_once(' ').expect("'!replace OLD NEW'");
            replace_last(&mut stage.bytes, &unescape(old), &unescape(new));
        }
        _ => panic!("there is no directive !{verb}"),
    }
}

fn replace_last(bytes: &mut Vec<u8>, old: &[u8], new: &[u8]) {
    let at = bytes.windows(old.len()).rposition(|window| window == old);
    let at = at.unwrap_or_else(|| panic!("nothing to replace: {}", old.escape_ascii()));
    bytes.splice(at..at + old.len(), new.iter().copied());
}

impl Expected {
    fn parse(line: &str) -> Self {
        let mut words = words(line);
        let verb = words.remove(0);
        match (verb.as_str(), words.first().map(String::as_str)) {
            ("call", _) => Self::Call(pairs(&words)),
            ("no", Some("calls")) => Self::NoCalls,
            ("no", Some("event")) => Self::NoFrame(words.remove(1)),
            ("event", Some(_)) => Self::Frame(words.remove(0), pairs(&words)),
            ("reply", _) => Self::Frame("Response".to_owned(), pairs(&words)),
            ("banner", None) => Self::Frame("Banner".to_owned(), Vec::new()),
            ("frames", Some(count)) => Self::Frames(count.parse().expect("'frames' is followed by a number")),
            ("damage", Some(_)) => Self::Damage(pairs(&words)),
            ("says", Some(_)) => Self::Says(words.join(" ")),
            _ => panic!("nothing can be expected by '{line}'"),
        }
    }
}

fn pairs(words: &[String]) -> Vec<(String, String)> {
    let pair = |word: &String| {
        let (key, value) = word.split_once('=').unwrap_or_else(|| panic!("{word} is no key=value"));
        (key.to_owned(), value.to_owned())
    };
    words.iter().map(pair).collect()
}

/// Splits at blanks; double quotes keep blanks, and `""` is an empty word.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted, mut begun) = (String::new(), false, false);
    for c in line.chars() {
        match c {
            '"' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => {
                word.push(c);
                begun = true;
            }
        }
    }
    assert!(!quoted, "a quote is not closed: {line}");
    if begun {
        words.push(word);
    }
    words
}

/// Microseconds of `12`, `12.5` ….
pub fn micros(second: &str) -> i64 {
    let seconds: f64 = second.parse().unwrap_or_else(|_| panic!("@{second} is no time"));
    #[expect(clippy::cast_possible_truncation, reason = "scripts last minutes")]
    let micros = (seconds * 1e6).round() as i64;
    micros
}

/// `\r`, `\n`, `\t`, `\\` and `\xNN` as the bytes they mean.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (code, after) = rest.split_first().expect("a backslash is followed by a letter");
        rest = after;
        bytes.push(match code {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'\\' => b'\\',
            b'x' => {
                let (digits, after) = rest.split_at(2);
                rest = after;
                let digits = std::str::from_utf8(digits).expect("two hex digits");
                u8::from_str_radix(digits, 16).expect("two hex digits")
            }
            other => panic!("\\{} is no escape", char::from(*other)),
        });
    }
    bytes
}
