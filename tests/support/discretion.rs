//! What no log may have: secrets at all, and whole telephone numbers above `debug`. Every run of the real program in
//! the tests is held to it (`daemon`, `prompt`).

#![allow(clippy::allow_attributes, dead_code, reason = "each test binary uses its own part of this")]

use std::path::Path;

use serde_json::Value;

/// Digits of a telephone number with its area: more are no number (ITU-T E.164).
const NUMBER: std::ops::RangeInclusive<usize> = 10..=15;

/// Shorter ones would be found in ordinary words.
const SECRET_MIN: usize = 5;

/// Keys of the configuration whose values are secret; with `-file` behind them, the file has it.
const SECRET_KEYS: [&str; 4] = ["secret", "token", "password", "client-secret"];

/// The secrets that this configuration holds or names, and the tokens in its store.
pub fn secrets(config: &Path) -> Vec<String> {
    let mut secrets = Vec::new();
    let Ok(text) = std::fs::read_to_string(config) else { return secrets };
    if let Ok(table) = text.parse::<toml::Table>() {
        collect(&toml::Value::Table(table.clone()), &mut secrets);
        let dir = table.get("store").and_then(|store| store.get("dir")).and_then(toml::Value::as_str);
        let tokens = dir.and_then(|dir| std::fs::read_dir(Path::new(dir).join("tokens")).ok());
        for file in tokens.into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            collect_tokens(&serde_json::from_str(&text).unwrap_or_default(), &mut secrets);
        }
    }
    secrets.retain(|secret| secret.len() >= SECRET_MIN);
    secrets
}

fn collect(value: &toml::Value, secrets: &mut Vec<String>) {
    let list = value.as_array().into_iter().flatten();
    list.for_each(|value| collect(value, secrets));
    for (key, value) in value.as_table().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        if SECRET_KEYS.contains(&key.as_str()) {
            secrets.push(text.to_owned());
        } else if key.strip_suffix("-file").is_some_and(|key| SECRET_KEYS.contains(&key)) {
            let kept = std::fs::read_to_string(text).unwrap_or_default();
            secrets.push(kept.trim().to_owned());
        }
        collect(value, secrets);
    }
}

fn collect_tokens(value: &Value, secrets: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        if let Some(text) = value.as_str().filter(|_| key.contains("access") || key.contains("refresh")) {
            secrets.push(text.to_owned());
        }
        collect_tokens(value, secrets);
    }
}

/// What of a log should not be there, a line each.
pub fn faults(log: &str, secrets: &[String]) -> Vec<String> {
    let secret = |line: &&str| secrets.iter().any(|secret| line.contains(secret.as_str()));
    let leaks = log.lines().filter(secret).map(|line| format!("a secret: {line}"));
    let numbers = log.lines().filter(|line| !is_quiet(line) && has_number(line));
    leaks.chain(numbers.map(|line| format!("a whole number: {line}"))).collect()
}

/// Whether a line is of a level at which numbers may be whole.
fn is_quiet(line: &str) -> bool {
    let is_quiet = |level: &str| ["DEBUG", "TRACE"].contains(&level);
    if line.starts_with('{') {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        return line["level"].as_str().is_some_and(is_quiet);
    }
    line.starts_with("<7>") || line.split_whitespace().nth(1).is_some_and(is_quiet)
}

/// Whether a telephone number stands there in full. Digits with digits behind a point are a uniqueid or a time, those
/// beside letters a hash.
fn has_number(line: &str) -> bool {
    let bytes = line.as_bytes();
    let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let is_letter = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphabetic);
    let is_point = |at: Option<usize>| at.and_then(|at| bytes.get(at)) == Some(&b'.');
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (before, end) = (at.checked_sub(1), at + length);
        let is_part = is_letter(before)
            || is_letter(Some(end))
            || (is_point(Some(end)) && is_digit(Some(end + 1)))
            || (is_point(before) && is_digit(at.checked_sub(2)));
        if NUMBER.contains(&length) && !is_part {
            return true;
        }
        at = end + 1;
    }
    false
}

#[test]
fn whole_numbers_and_secrets_are_found_and_what_looks_like_them_is_not() {
    let secrets = ["s3cret".to_owned()];
    let info = |text: &str| faults(&format!("2026-11-29T00:00:00.000000Z  INFO {text}"), &secrets).len();
    for leak in
        ["phone=79161234568", "to +79161234568: no", "in-9161234568.wav", "it is s3cret", "1.5 84951234567"]
    {
        assert_eq!(info(leak), 1, "{leak}");
    }
    for fine in [
        "phone=\"…4568\" phone_hash=\"0123456789012345\"",
        "phone_hash=\"f123456789012345\"",
        "call_id=default-1795337591.4 spent 1795337591.000001",
        "port 5038, 127.0.0.1:50380",
    ] {
        assert_eq!(info(fine), 0, "{fine}");
    }
    assert_eq!(faults("2026-11-29T00:00:00.000000Z DEBUG phone=79161234568", &secrets).len(), 0);
    assert_eq!(faults("2026-11-29T00:00:00.000000Z DEBUG s3cret", &secrets).len(), 1);
    assert_eq!(faults("{\"level\":\"DEBUG\",\"message\":\"79161234568\"}", &secrets).len(), 0);
    assert_eq!(faults("{\"level\":\"INFO\",\"message\":\"79161234568\"}", &secrets).len(), 1);
    assert_eq!(faults("<7>79161234568\n<6>79161234568", &secrets).len(), 1);
}
