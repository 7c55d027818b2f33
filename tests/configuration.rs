//! docs/configuration.md is made of what the program reads: keys and types by asking the reader of the configuration,
//! defaults and meanings from config/ami2amo.toml; docs/configuration.ru.md likewise, from config/ami2amo.ru.toml.
//!
//! `UPDATE_DOCS=1 cargo test --test configuration` writes the pages anew.
#![cfg(feature = "daemon")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use example::{Entry, Table};
use language::{ENGLISH, Language, RUSSIAN};

#[path = "configuration/example.rs"]
mod example;
#[path = "configuration/language.rs"]
mod language;
#[path = "configuration/reader.rs"]
mod reader;

const WIDTH: usize = 120;

#[test]
fn the_pages_have_every_key() {
    for language in language::ALL {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(language.page_path);
        let made = page(language, &example::tables(language.example));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &made).expect("the page can be written");
        }
        let has = std::fs::read_to_string(&path).expect("the page is there");
        let page = language.page_path;
        assert!(has == made, "{page} is not what the program reads: UPDATE_DOCS=1 writes it anew");
    }
}

/// By the reader's own list of what it knows. That it knows all that is in the example: tests/config.rs.
#[test]
fn every_key_that_is_read_is_in_the_examples() {
    let known = reader::keys();
    assert!(known.len() > 120, "{} keys", known.len());
    for language in language::ALL {
        let tables = example::tables(language.example);
        let has: BTreeSet<String> = tables.iter().flat_map(Table::names).collect();
        let missing: Vec<&String> = known.iter().filter(|key| !has.contains(*key)).collect();
        assert!(missing.is_empty(), "not in {}: {missing:#?}", language.example_path);
    }
}

#[test]
fn every_key_of_the_examples_has_its_own_meaning() {
    let without = |table: &Table| -> Vec<String> {
        let mute = table.entries.iter().filter(|entry| entry.meaning.is_empty());
        mute.map(|entry| format!("{} {}", table.header, entry.key)).collect()
    };
    for language in language::ALL {
        let tables = example::tables(language.example);
        let mute: Vec<String> = tables.iter().filter(|table| !table.is_free()).flat_map(without).collect();
        assert!(mute.is_empty(), "no comment above them in {}: {mute:#?}", language.example_path);
    }
}

/// Keys, values, what is commented out, tables, their order, and where something is said of them.
#[test]
fn the_examples_differ_by_what_they_say_alone() {
    let (english, russian) = (example::shape(ENGLISH.example), example::shape(RUSSIAN.example));
    for ((number, here), (other, there)) in english.iter().zip(&russian) {
        assert_eq!(
            here, there,
            "line {number} of {} and line {other} of {}",
            ENGLISH.example_path, RUSSIAN.example_path
        );
    }
    assert_eq!(english.len(), russian.len(), "one of the examples goes on where the other one ends");
}

#[test]
fn the_russian_example_is_in_russian() {
    let is_russian = |text: &str| text.chars().any(|c| matches!(c, 'а'..='я' | 'А'..='Я' | 'ё'));
    let of = |table: Table| {
        let entries = table.entries.into_iter().map(|entry| (entry.key, entry.meaning));
        [(table.header, table.meaning)].into_iter().chain(entries).collect::<Vec<_>>()
    };
    let mut said = 0;
    for (of_what, meaning) in example::tables(RUSSIAN.example).into_iter().flat_map(of) {
        said += usize::from(!meaning.is_empty());
        assert!(meaning.is_empty() || is_russian(&meaning), "{of_what}: {meaning}");
    }
    assert!(said > 150, "{said} meanings");
}

/// Whoever reads Russian is led to the Russian page, where there is one.
#[test]
fn the_examples_name_pages_of_their_language() {
    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut named = 0;
    for language in language::ALL {
        for part in language.example.split("docs/").skip(1) {
            let page = part.split_once(".md").expect("a page's name ends with .md").0;
            let plain = page.trim_end_matches(".ru");
            let own = format!("{plain}{}", language.ending);
            let wanted = if docs.join(&own).exists() { own } else { format!("{plain}.md") };
            assert_eq!(format!("{page}.md"), wanted, "in {}", language.example_path);
            named += 1;
        }
    }
    assert!(named > 20, "{named} pages are named");
}

fn page(language: &Language, tables: &[Table]) -> String {
    let mut page = language.head.to_owned();
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
            page.push_str(&item(language, table, entry));
        }
    }
    page
}

fn item(language: &Language, table: &Table, entry: &Entry) -> String {
    if table.is_free() {
        let such_as = language.such_as;
        let text = format!("- {such_as} `{} = {}` {}", entry.key, entry.value, entry.meaning);
        return wrapped(&text, "  ") + "\n";
    }
    let kind = (language.kind)(&reader::kind(table.path(), &entry.key));
    let is_default = reader::is_default(table, entry);
    let default = format!("{} `{}`", if is_default { language.default } else { language.unset }, entry.value);
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
        _ => {
            let mut letters = part.chars();
            letters.next().map(char::to_uppercase).into_iter().flatten().chain(letters).collect()
        }
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
