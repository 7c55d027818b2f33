//! The whole output on every bundled capture, held as it is.
//!
//! A difference is a change of behaviour: look at it, then accept it with
//! `INSTA_UPDATE=always cargo test --test golden`.

#[path = "support/captures.rs"]
mod captures;

use ami2amo::call::policy::Policy;
use ami2amo::replay::End;

#[test]
fn every_capture_gives_the_calls_it_gave_before() {
    let mut captures = captures::below(&captures::bundled());
    captures.retain(|capture| captures::title(capture).starts_with("ast"));
    assert!(captures.len() > 100, "the bundled captures are gone: {}", captures.len());
    let mut changed = Vec::new();
    for capture in &captures {
        let printed = captures::jsonl(std::slice::from_ref(capture), Policy::default());
        assert_eq!(printed.end, End::AllRead, "{}: {}", capture.display(), printed.messages);
        let title = captures::title(capture);
        let shown = std::panic::catch_unwind(|| snapshot(&title, &one_key_a_line(&printed.output)));
        changed.extend(shown.is_err().then_some(title));
    }
    assert!(changed.is_empty(), "{} captures give other calls: {changed:#?}", changed.len());
}

fn snapshot(title: &str, calls: &str) {
    let mut settings = insta::Settings::clone_current();
    let (folder, scenario) = title.split_once('/').expect("a title has a folder");
    settings.set_snapshot_path(format!("snapshots/{folder}"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(scenario, calls));
}

/// The JSON lines with every key of a call on a line of its own, so that a difference shows the
/// field. Only line breaks are added.
fn one_key_a_line(lines: &str) -> String {
    let mut text = String::with_capacity(lines.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for c in lines.chars() {
        text.push(c);
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ',' if depth == 1 => text.push_str("\n "),
            _ => {}
        }
    }
    text
}
