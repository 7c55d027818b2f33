//! docs/configuration.md is made of what the program reads: keys and types by asking the reader of the configuration,
//! defaults and meanings from config/ami2amo.toml.
//!
//! `UPDATE_DOCS=1 cargo test --test configuration` writes the page anew.
#![cfg(feature = "daemon")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use example::{Entry, Table};

#[path = "configuration/example.rs"]
mod example;
#[path = "configuration/reader.rs"]
mod reader;

const EXAMPLE: &str = include_str!("../config/ami2amo.toml");
const WIDTH: usize = 120;

const HEAD: &str = "# Every key of the configuration

One TOML file, `/etc/ami2amo/ami2amo.toml` unless `--config FILE` names another. `ami2amo check --offline` says what is wrong
in it, with line and caret; a key that is not on this page is refused. Secrets belong in files of their own.

This page is generated: keys and types are what the program's reader answers when it is asked, defaults and meanings are
those of [`config/ami2amo.toml`](../config/ami2amo.toml), which can be taken as it is. It is in English only; what the
tables are for is told in Russian, too, by the pages that they name.

| type | is written |
|---|---|
| text, path, number | `\"text\"`, `\"/a/path\"`, `7` |
| yes or no | `true`, `false` |
| time | `\"30s\"`, `\"10m\"`, `\"4h\"`, `\"1h 30m\"`; no days |
| list | `[\"one\", \"two\"]` |

**A change counts** after `systemctl reload ami2amo` in `[calls]`, `[[line]]` and `[delivery]`, and of an account all but
its name, address, token, pace and the way there. What needs a restart (connections, folders, log) is named in the log then.
";

#[test]
fn the_page_has_every_key() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let made = page(&example::tables(EXAMPLE));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &made).expect("the page can be written");
    }
    let has = std::fs::read_to_string(&path).expect("the page is there");
    assert!(has == made, "docs/configuration.md is not what the program reads: UPDATE_DOCS=1 writes it anew");
}

/// By the reader's own list of what it knows. That it knows all that is in the example: tests/config.rs.
#[test]
fn every_key_that_is_read_is_in_the_example() {
    let tables = example::tables(EXAMPLE);
    let has: BTreeSet<String> = tables.iter().flat_map(Table::names).collect();
    let known = reader::keys();
    assert!(known.len() > 120, "{} keys", known.len());
    let missing: Vec<&String> = known.iter().filter(|key| !has.contains(*key)).collect();
    assert!(missing.is_empty(), "not in config/ami2amo.toml: {missing:#?}");
}

#[test]
fn every_key_of_the_example_has_its_own_meaning() {
    let tables = example::tables(EXAMPLE);
    let without = |table: &Table| -> Vec<String> {
        let mute = table.entries.iter().filter(|entry| entry.meaning.is_empty());
        mute.map(|entry| format!("{} {}", table.header, entry.key)).collect()
    };
    let mute: Vec<String> = tables.iter().filter(|table| !table.is_free()).flat_map(without).collect();
    assert!(mute.is_empty(), "no comment above them in config/ami2amo.toml: {mute:#?}");
}

fn page(tables: &[Table]) -> String {
    let mut page = HEAD.to_owned();
    let mut part = "";
    for table in tables {
        if part != table.part {
            part = &table.part;
            page.push_str(&format!("\n## {}\n", heading(part)));
        }
        page.push_str(&format!("\n### `{}`\n", table.header));
        if !table.meaning.is_empty() {
            page.push_str(&format!("\n{}\n", wrapped(&linked(&table.meaning), "")));
        }
        page.push('\n');
        for entry in &table.entries {
            page.push_str(&item(table, entry));
        }
    }
    page
}

fn item(table: &Table, entry: &Entry) -> String {
    if table.is_free() {
        return wrapped(&format!("- such as `{} = {}` {}", entry.key, entry.value, entry.meaning), "  ")
            + "\n";
    }
    let kind = reader::kind(table.path(), &entry.key);
    let is_default = reader::is_default(table, entry);
    let default = format!("{} `{}`", if is_default { "default" } else { "unset; e.g." }, entry.value);
    let meaning = linked(&entry.meaning);
    wrapped(&format!("- `{}` — {kind}; {default}. {meaning}", entry.key), "  ") + "\n"
}

/// Pages that are named become links; signs of Markdown stay what they are.
fn linked(meaning: &str) -> String {
    let plain = meaning.replace('*', "\\*");
    let word = |word: &str| match word.strip_prefix("docs/").and_then(|page| page.split_once(".md")) {
        Some((page, after)) => format!("[docs/{page}.md]({page}.md){after}"),
        None => word.to_owned(),
    };
    plain.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// As a heading; names keep their small letters.
fn heading(part: &str) -> String {
    match part.split(' ').next() {
        Some(word) if word.contains(char::is_uppercase) => part.to_owned(),
        _ => part[..1].to_uppercase() + &part[1..],
    }
}

/// Lines of at most [`WIDTH`] characters, all but the first behind `indent`. What is quoted as code stays together.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![String::new()];
    let mut code = false;
    let mut piece = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !piece.is_empty() {
            piece.push(' ');
        }
        piece.push_str(word);
        code ^= word.matches('`').count() % 2 == 1;
        if code {
            continue;
        }
        let piece = std::mem::take(&mut piece);
        let line = lines.last_mut().expect("there is one");
        if !line.trim().is_empty() && line.chars().count() + 1 + piece.chars().count() > WIDTH {
            lines.push(format!("{indent}{piece}"));
        } else {
            let gap = if line.trim().is_empty() { "" } else { " " };
            line.push_str(&format!("{gap}{piece}"));
        }
    }
    lines.join("\n")
}
