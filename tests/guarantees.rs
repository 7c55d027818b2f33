//! Holds `docs/guarantees.md`: each promise names code that is there, tests that are there, and what remains.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each section says, in this order.
const PARTS: [&str; 3] = ["- **How**: ", "- **Tests**: ", "- **What remains**: "];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_promise_names_code_and_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/guarantees.md")).expect("the page can be read");
    let sources: Vec<String> =
        ["src", "tests"].iter().flat_map(|folder| rust_files(&root().join(folder))).collect();
    let faults =
        faults(&page, &|name| sources.iter().any(|text| text.contains(&format!("fn {name}("))), &|file| {
            let source = format!("src/{file}.rs");
            root().join(file).is_file() || root().join(source).is_file()
        });
    assert!(faults.is_empty(), "docs/guarantees.md:\n  {}", faults.join("\n  "));
}

/// Text of every Rust file below a folder.
fn rust_files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder can be read");
    let paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    let (folders, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let texts = files.map(|path| fs::read_to_string(path).expect("a source file is text"));
    texts.chain(folders.iter().flat_map(|folder| rust_files(folder))).collect()
}

/// What is wrong with the page.
fn faults(page: &str, is_test: &dyn Fn(&str) -> bool, is_file: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut promises = page.split("\n## ").skip(1).peekable();
    if promises.peek().is_none() {
        faults.push("there is no promise".to_owned());
    }
    for promise in promises {
        let title = promise.lines().next().unwrap_or_default();
        let parts: Option<Vec<&str>> = PARTS.iter().map(|mark| part(promise, mark)).collect();
        let Some(parts) = parts else {
            faults.push(format!("{title}: how, tests or what remains is missing"));
            continue;
        };
        // A test stands without blanks; what else is quoted there is told in words around it.
        let tests: BTreeSet<&str> =
            quoted(parts[1]).filter(|name| name.contains('_') && !name.contains('=')).collect();
        if tests.is_empty() {
            faults.push(format!("{title}: no test"));
        }
        faults.extend(
            tests.iter().filter(|name| !is_test(name)).map(|name| format!("{title}: no test {name}")),
        );
        let files = parts
            .iter()
            .flat_map(|part| quoted(part))
            .filter(|name| name.contains('/') && !name.ends_with('/'));
        faults.extend(files.filter(|file| !is_file(file)).map(|file| format!("{title}: no file {file}")));
    }
    faults
}

/// From a mark to the next item.
fn part<'a>(promise: &'a str, mark: &str) -> Option<&'a str> {
    let (_, text) = promise.split_once(mark)?;
    Some(text.split_once("\n- ").map_or(text, |(text, _)| text))
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn a_promise_without_a_test_is_found() {
    let check = |page: &str, expected: &[&str]| {
        let found = faults(page, &|name| name == "it_works", &|file| file == "a/b");
        assert_eq!(found, expected, "{page}");
    };
    let promise = |how: &str, tests: &str| {
        format!("# Page\n\n## One\n\n- **How**: {how}\n- **Tests**: {tests}\n- **What remains**: it.\n")
    };
    check(&promise("`a/b`, `c`", "`it_works` (with `X_Y=1`)"), &[]);
    check(&promise("`a/c`", "`it_works`"), &["One: no file a/c"]);
    check(&promise("`a/b`", "`it_works`,\n  `it_does_not`"), &["One: no test it_does_not"]);
    check(&promise("`a/b`", "none"), &["One: no test"]);
    check("# Page\n\n## One\n\n- **How**: so\n", &["One: how, tests or what remains is missing"]);
    check("# Page\n", &["there is no promise"]);
}
