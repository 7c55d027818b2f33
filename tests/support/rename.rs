//! Gives a capture and its truth other names: endpoints, contexts, numbers, and another day.
//!
//! A tracker that is right only because trunks are called `trunk-…`, extensions have three digits
//! or contexts are named `from-internal` is wrong for everybody else. The renaming is consistent:
//! whatever was equal stays equal, whatever contained a name (a recording's file, a Local channel)
//! contains the new one.

#![cfg(test)]
#![allow(clippy::allow_attributes, dead_code, reason = "each test binary uses its own part of this")]

use std::collections::BTreeMap;

use serde_json::Value;

/// A whole set of other names.
pub struct Names {
    words: BTreeMap<&'static str, &'static str>,
    extensions: BTreeMap<String, String>,
    /// What becomes of each of the last nine digits of a long number.
    shuffle: [[u8; 10]; 9],
    /// Seconds by which everything is later.
    later: i64,
    /// Added to the counter behind the dot of a uniqueid.
    count: u64,
}

/// Contexts of the captures' dial plans, longest first where one begins with another.
const CONTEXTS: [&str; 31] = [
    "from-internal-additional",
    "from-internal-xfer",
    "from-internal",
    "from-queue-exten-only",
    "from-queue",
    "from-did-direct",
    "from-trunk",
    "from-pstn",
    "ext-did-0002",
    "ext-did",
    "ext-local",
    "ext-group",
    "ext-queues",
    "ext-findmefollow",
    "ext-meetme",
    "in-common",
    "ivr-main",
    "ivr-1",
    "dial-out-dead",
    "dial-out",
    "out-route",
    "outbound-allroutes",
    "outbound",
    "internal",
    "followme",
    "services",
    "macro-dialout-trunk",
    "macro-dial-one",
    "macro-user-callerid",
    "macro-exten-vm",
    "sub-record-check",
];

/// Names that say nothing of a side.
const PLAIN_CONTEXTS: [&str; 31] = [
    "aa", "ab", "ac", "ad", "ae", "af", "ag", "ah", "ai", "aj", "ak", "al", "am", "an", "ao", "ap", "aq",
    "ar", "at", "au", "av", "aw", "ax", "ay", "az", "ba", "bb", "bc", "bd", "be", "bf",
];

/// Trunks by the names that providers and administrators give them; some are numbers.
const TRUNKS: [[&str; 3]; 5] = [
    ["mango", "beeline", "old-e1"],
    ["100234", "100235", "100236"],
    ["74951234567", "78122345678", "73433456789"],
    ["gw", "200", "gate-2"],
    ["SBC_1", "office.provider.example", "x-y-z"],
];

const TRUNKS_OLD: [&str; 3] = ["trunk-msk", "trunk-spb", "trunk-dead"];

/// How many digits the ten extensions have.
#[derive(Clone, Copy)]
enum Extensions {
    Three,
    Four,
    Two,
}

impl Names {
    /// The names of `seed`.
    pub fn of(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut words = BTreeMap::new();
        let keep_contexts = seed.is_multiple_of(4);
        if !keep_contexts {
            words.extend(CONTEXTS.into_iter().zip(PLAIN_CONTEXTS));
        }
        let trunks = TRUNKS[usize::try_from(seed).unwrap_or(0) % TRUNKS.len()];
        words.extend(TRUNKS_OLD.into_iter().zip(trunks));
        let kind = [Extensions::Three, Extensions::Four, Extensions::Two][random.below(3)];
        let first = match kind {
            Extensions::Three => 310 + random.below(500),
            Extensions::Four => 2010 + random.below(5000),
            Extensions::Two => 21 + random.below(60),
        };
        let extensions = (0..10).map(|n| ((101 + n).to_string(), (first + n).to_string())).collect();
        let shuffle = std::array::from_fn(|_| random.permutation());
        let later = i64::try_from(random.below(300_000_000)).unwrap_or(0);
        Self { words, extensions, shuffle, later, count: random.below(100_000) as u64 }
    }

    /// The same names, and everything later by so many seconds.
    pub fn later(self, later: i64) -> Self {
        Self { later, ..self }
    }

    /// The capture with these names.
    pub fn capture(&self, text: &[u8]) -> Vec<u8> {
        let mut renamed = Vec::with_capacity(text.len() + text.len() / 8);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            // Identifiers of bridges and the like are no names.
            if line.starts_with(b"Bridge") && !line.starts_with(b"BridgeName")
                || line.starts_with(b"Privilege")
            {
                renamed.extend_from_slice(line);
            } else {
                self.line(line, &mut renamed);
            }
        }
        renamed
    }

    /// The truth with these names.
    pub fn truth(&self, truth: &Value) -> Value {
        let mut truth = truth.clone();
        for call in truth["calls"].as_array_mut().into_iter().flatten() {
            for field in ["phone", "responsible", "answered_by", "rang", "recording", "also_ok"] {
                self.value(&mut call[field]);
            }
            if let Some(at) = call["started_at"].as_f64() {
                #[expect(clippy::cast_precision_loss, reason = "seconds of an epoch fit")]
                let later = self.later as f64;
                call["started_at"] = (at + later).into();
            }
        }
        truth
    }

    /// `call[field]` of a field that is not there makes it null, which says the same.
    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                let mut renamed = Vec::new();
                self.line(text.as_bytes(), &mut renamed);
                *text = String::from_utf8(renamed).expect("names are UTF-8");
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.value(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn line(&self, line: &[u8], into: &mut Vec<u8>) {
        let mut at = 0;
        while at < line.len() {
            let rest = &line[at..];
            if rest[0].is_ascii_digit() && (at == 0 || !line[at - 1].is_ascii_digit()) {
                at += self.digits(line, at, into);
            } else if let Some((old, new)) = self.word(line, at) {
                into.extend_from_slice(new.as_bytes());
                at += old;
            } else {
                into.push(rest[0]);
                at += 1;
            }
        }
    }

    /// The old name that begins here, as its length, and the new one.
    fn word(&self, line: &[u8], at: usize) -> Option<(usize, &'static str)> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if at > 0 && (is_word(line[at - 1]) || line[at - 1] == b'-') {
            return None;
        }
        let begins = |old: &&str| {
            let end = line.get(at + old.len()).copied();
            line[at..].starts_with(old.as_bytes()) && !end.is_some_and(is_word)
        };
        if !line[at].is_ascii_alphabetic() {
            return None;
        }
        let old = self.words.keys().filter(|old| begins(old)).max_by_key(|old| old.len())?;
        Some((old.len(), self.words[old]))
    }

    /// Renames a run of digits and returns how many bytes of the old it was.
    fn digits(&self, line: &[u8], at: usize, into: &mut Vec<u8>) -> usize {
        let length = line[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let run = &line[at..at + length];
        let text = std::str::from_utf8(run).expect("digits are text");
        let behind = line.get(at + length).copied();
        let before = at.checked_sub(1).map(|before| line[before]);
        if length == 10 && text.starts_with('1') && behind == Some(b'.') {
            return self.epoch(line, at, into);
        }
        let is_hex = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_hexdigit() || b == b'.');
        if let Some(new) = self.extensions.get(text).filter(|_| !is_hex(before) && !is_hex(behind)) {
            into.extend_from_slice(new.as_bytes());
        } else if (10..=12).contains(&length) {
            // The country and the first digit of the area stay: a number keeps its form.
            let kept = length - 9;
            into.extend_from_slice(&run[..kept]);
            for (place, digit) in run[kept..].iter().enumerate() {
                into.push(b'0' + self.shuffle[place][usize::from(digit - b'0')]);
            }
        } else {
            into.extend_from_slice(run);
        }
        length
    }

    /// `1795337591.4` or `1795337591.389123`: a uniqueid or a time.
    fn epoch(&self, line: &[u8], at: usize, into: &mut Vec<u8>) -> usize {
        let digits = |from: usize| line[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let behind = digits(at + 11);
        let number = |from: usize, length: usize| -> i64 {
            let text = std::str::from_utf8(&line[from..from + length]).expect("digits are text");
            text.parse().unwrap_or(0)
        };
        let whole = number(at, 10) + self.later;
        let fraction = &line[at + 11..at + 11 + behind];
        into.extend_from_slice(format!("{whole}.").as_bytes());
        if behind == 6 {
            into.extend_from_slice(fraction);
        } else if behind > 0 {
            let counter = u64::try_from(number(at + 11, behind)).unwrap_or(0) + self.count;
            into.extend_from_slice(counter.to_string().as_bytes());
        }
        11 + behind
    }
}

/// A small generator: the same seed gives the same names for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % end
    }

    fn permutation(&mut self) -> [u8; 10] {
        let mut digits = std::array::from_fn(|n| u8::try_from(n).unwrap_or(0));
        for last in (1..digits.len()).rev() {
            let other = self.below(last + 1);
            digits.swap(last, other);
        }
        digits
    }
}

#[test]
fn names_change_everywhere_alike() {
    let names = Names::of(1);
    let text =
        b"Channel: PJSIP/trunk-msk-0000001a\r\nUniqueid: 1795337591.4\r\nTimestamp: 1795337591.389123\r\n\
        Value: in-74957000101-79161234567-20261122-1795337591.4.wav\r\nDialString: PJSIP/101\r\n";
    let renamed = String::from_utf8(names.capture(text)).unwrap();
    assert!(renamed.contains("PJSIP/100234-0000001a\r\n"), "{renamed}");
    let new = &names.extensions["101"];
    assert!(renamed.contains(&format!("DialString: PJSIP/{new}\r\n")), "{renamed}");
    let id = renamed.split("Uniqueid: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
    assert!(renamed.contains(&format!("-20261122-{id}.wav")), "{renamed}");
    assert!(!renamed.contains("1795337591") && !renamed.contains("79161234567"), "{renamed}");
    let truth = serde_json::json!({"scenario": "x", "calls": [{"phone": "79161234567", "rang": ["101"]}]});
    let call = &names.truth(&truth)["calls"][0];
    assert_eq!(call["rang"][0], **new);
    assert!(renamed.contains(call["phone"].as_str().unwrap()));
}
