//! What the reader of the configuration knows, by what it says of lines that are wrong.

use std::collections::BTreeSet;

use ami2amo::config::file::File;

use crate::example::{Entry, Table};

/// Tables that the file repeats: `[[pbx]]`.
const REPEATED: &[&str] = &["pbx", "account", "line", "calls.sides.rule", "calls.numbers.rule"];

/// What is read of a file says of it.
fn complaint(text: &str) -> String {
    toml::from_str::<File>(text).err().map(|error| error.message().to_owned()).unwrap_or_default()
}

/// A file in which the table `path` begins.
fn begun(path: &str) -> String {
    let above = REPEATED.iter().filter(|table| path.starts_with(&format!("{table}.")));
    let above = above.fold(String::new(), |above, table| above + "[[" + table + "]]\n");
    match (path, REPEATED.contains(&path)) {
        ("", _) => above,
        (path, true) => format!("{above}[[{path}]]\n"),
        (path, false) => format!("{above}[{path}]\n"),
    }
}

/// The keys that a table may have; none where it takes any, or is no table.
fn fields(path: &str) -> Vec<String> {
    let said = complaint(&format!("{}no-such-key = 1\n", begun(path)));
    if !said.contains("unknown field `no-such-key`") {
        return Vec::new();
    }
    said.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

pub fn is_table(path: &str) -> bool {
    !fields(path).is_empty()
}

/// Every key that is known, by its whole path.
pub fn keys() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    let mut tables = vec![String::new()];
    while let Some(table) = tables.pop() {
        for field in fields(&table) {
            let path = if table.is_empty() { field } else { format!("{table}.{field}") };
            // An account is [amocrm] again.
            if is_table(&path) && path != "account" {
                tables.push(path.clone());
            }
            known.insert(path);
        }
    }
    known
}

/// The type of a key: what the reader wants where it gets a date, which nothing wants, or a text that says nothing.
pub fn kind(table: &str, key: &str) -> String {
    let ask = |value: &str| complaint(&format!("{}{key} = {value}\n", begun(table)));
    let (date, text, list) = (ask("1979-05-27"), ask("\"?\""), ask("[1979-05-27]"));
    match date.rsplit_once("expected ") {
        Some((_, "a sequence")) => format!("list of {}", scalar(&list, &ask("[\"?\"]"))),
        _ => scalar(&date, &text),
    }
}

fn scalar(date: &str, text: &str) -> String {
    if let Some((_, words)) = text.split_once("unknown variant `?`, expected ") {
        return words.trim_start_matches("one of ").replace(" or ", ", ");
    }
    if text.ends_with("expected a map") {
        return "table".to_owned();
    }
    match date.rsplit_once("expected ").map(|(_, wanted)| wanted) {
        Some("a boolean") => "yes or no".to_owned(),
        Some("path string") => "path".to_owned(),
        Some("a string") if text.contains("no length of time") => "time".to_owned(),
        Some("a string") => "text".to_owned(),
        Some(words) if words.starts_with("a nonzero ") => "number".to_owned(),
        Some(word) if word.starts_with(['i', 'u']) && word.len() <= 5 => "number".to_owned(),
        Some(words) => words.to_owned(),
        None => date.trim_end_matches(" is needed").to_owned(),
    }
}

/// Whether a table says the same with the key and without it.
pub fn is_default(table: &Table, entry: &Entry) -> bool {
    let mut above = begun(table.path());
    // What cannot be left out of the table stands in both.
    while let Some(needed) = needed(table, &above) {
        if needed == entry.key {
            return false;
        }
        let value = table.entries.iter().find(|entry| entry.key == needed).map(|entry| &entry.value);
        above.push_str(&format!(
            "{needed} = {}\n",
            value.expect("a key that the reader needs has an example")
        ));
    }
    let read = |text: &str| toml::from_str::<File>(text).map(|file| format!("{file:?}"));
    let with = read(&format!("{above}{} = {}\n", entry.key, entry.value));
    with.is_ok() && with == read(&above)
}

fn needed(table: &Table, text: &str) -> Option<String> {
    let said = complaint(text);
    let (_, key) = said.strip_suffix('`')?.split_once("missing field `")?;
    table.entries.iter().map(|entry| &entry.key).find(|has| has.rsplit('.').next() == Some(key)).cloned()
}
