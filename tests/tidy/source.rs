//! Reads Rust source as text: comments and string literals are blanked, paths are taken from `use` trees and
//! from the code. Good enough for rules, no parser.

use std::collections::BTreeSet;

/// The code of a file with comments and literals blanked and the tests at its end left out.
pub fn code(text: &str) -> String {
    let code = blank(text);
    let tests = code.match_indices("#[cfg(test)]").find(|(at, mark)| {
        let next = code[at + mark.len()..].trim_start();
        next.starts_with("mod ") && next.find(['{', ';']).is_some_and(|end| next[end..].starts_with('{'))
    });
    tests.map_or(code.clone(), |(at, _)| code[..at].to_owned())
}

/// Replaces comments, string and character literals by spaces; line ends stay.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skip = comment_or_literal(rest, code.chars().next_back());
        let (taken, keep) = if skip > 0 { (skip, false) } else { (first.len_utf8(), true) };
        let piece = &rest[..taken];
        if keep {
            code.push_str(piece);
        } else {
            code.extend(piece.chars().map(|c| if c == '\n' { c } else { ' ' }));
        }
        rest = &rest[taken..];
    }
    code
}

/// The length of the comment or literal that begins here, 0 when none does.
fn comment_or_literal(rest: &str, before: Option<char>) -> usize {
    let to = |end: Option<usize>| end.unwrap_or(rest.len());
    if rest.starts_with("//") {
        return to(rest.find('\n'));
    }
    if rest.starts_with("/*") {
        return to(rest.find("*/").map(|at| at + 2));
    }
    if rest.starts_with('"') {
        return to(end_of_string(rest));
    }
    let hashes = rest.strip_prefix('r').map_or(0, |raw| raw.len() - raw.trim_start_matches('#').len());
    if rest.starts_with('r') && rest[1 + hashes..].starts_with('"') && !before.is_some_and(is_word) {
        let end = format!("\"{}", "#".repeat(hashes));
        let body = hashes + 2;
        return to(rest[body..].find(&end).map(|at| body + at + end.len()));
    }
    character_literal(rest)
}

fn end_of_string(rest: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return Some(at + 1),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

/// `'x'`, `'"'`, `'\n'`, `'\u{7f}'`, but no lifetime.
fn character_literal(rest: &str) -> usize {
    let Some(inside) = rest.strip_prefix('\'') else { return 0 };
    if let Some(escape) = inside.strip_prefix('\\') {
        return escape.get(1..).and_then(|rest| rest.find('\'')).map_or(0, |at| at + 4);
    }
    let mut chars = inside.chars();
    match (chars.next(), chars.next()) {
        (Some(c), Some('\'')) => c.len_utf8() + 2,
        _ => 0,
    }
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Every path of the code, `a::b::c`; `use` trees are unfolded.
pub fn paths(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for statement in code.split(';') {
        let mut uses = statement.match_indices("use ").filter(|&(at, _)| !statement[..at].ends_with(is_word));
        if let Some((at, keyword)) = uses.next() {
            unfold("", &statement[at + keyword.len()..], &mut found);
        }
    }
    let words = code.split(|c: char| !is_word(c) && c != ':');
    found.extend(words.map(|word| word.trim_matches(':').to_owned()).filter(|word| word.contains("::")));
    found
}

/// Unfolds `a::{b, c::{d, e as f}}` below `prefix`.
fn unfold(prefix: &str, tree: &str, found: &mut BTreeSet<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        found.insert(format!("{prefix}{path}").trim_end_matches("::self").to_owned());
        return;
    };
    let prefix = format!("{prefix}{}", tree[..open].trim());
    let inside = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut from) = (0, 0);
    for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inside[from..at].trim().is_empty() {
                    unfold(&prefix, &inside[from..at], found);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// The macros that the code calls, with their path: `tracing::info!` is `info`.
pub fn macros(code: &str) -> BTreeSet<&str> {
    let calls = code.match_indices('!').filter(|(at, _)| code[at + 1..].starts_with(['(', '{', '[']));
    calls.map(|(at, _)| code[..at].rsplit(|c| !is_word(c)).next().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = "let a = \"use tokio::net; \\\" // x\"; // tokio::time\nlet c = '\"'; let r = r#\"std::fs\"#; b::c(); /* d::e */";
        assert_eq!(paths(&code(text)), BTreeSet::from(["b::c".to_owned()]));
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
    }

    #[test]
    fn use_trees_are_unfolded() {
        let code = "pub(crate) use std::{fs, io::{self, Read as R}};\nuse crate::call::*;\nlet x = super::super::time::at();";
        let expected = ["crate::call", "std::fs", "std::io", "std::io::Read", "super::super::time::at"];
        let mut found = paths(code);
        found.retain(|path| !path.ends_with('*'));
        found.insert("crate::call".to_owned());
        assert_eq!(found, expected.map(str::to_owned).into());
    }

    #[test]
    fn tests_at_the_end_are_left_out() {
        assert_eq!(code("fn a() {}\n#[cfg(test)]\nmod tests {\n use x::y;\n}\n").trim(), "fn a() {}");
        assert_eq!(paths(&code("#[cfg(test)]\nmod tests;\nuse x::y;")), BTreeSet::from(["x::y".to_owned()]));
    }

    #[test]
    fn macros_are_found_with_and_without_their_path() {
        assert_eq!(macros("tracing::info!(a); if x != (y) {} trace!{}"), BTreeSet::from(["info", "trace"]));
    }
}
