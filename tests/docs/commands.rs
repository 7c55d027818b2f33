//! The commands of `ami2amo` that a page of the docs names.

/// Stands in a line of its own before a block whose commands are run.
const RUNS: &str = "<!-- runs -->";

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// A line of a block: whole.
    Block,
    /// Within a sentence.
    Text,
}

pub struct Command {
    /// As it stands there.
    pub line: String,
    pub words: Vec<String>,
    pub place: Place,
    pub runs: bool,
    /// Whether what it prints stands below it.
    pub shows: bool,
}

/// The fenced blocks of text.
pub fn blocks(page: &str) -> impl Iterator<Item = &str> {
    page.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next())
}

pub fn commands(page: &str) -> Vec<Command> {
    let mut found = Vec::new();
    let (mut fenced, mut runs) = (false, false);
    for line in page.lines() {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        let is_block = fenced || line.starts_with("    ");
        if line == RUNS {
            runs = true;
        } else if is_block && !fence {
            let words = in_block(line.trim()).into_iter();
            let shows = line.starts_with("$ ");
            let line = line.trim().trim_start_matches("$ ");
            found.extend(words.map(|words| {
                let (line, place) = (line.to_owned(), Place::Block);
                Command { line, words, place, runs, shows }
            }));
        } else if !fence && !line.is_empty() {
            let spans = line.split('`').skip(1).step_by(2).filter(|span| span.starts_with("ami2amo "));
            found.extend(spans.map(|span| {
                let line = span.to_owned();
                Command { line, words: words(span), place: Place::Text, runs: false, shows: false }
            }));
        }
        runs &= is_block || fence || line.is_empty() || line == RUNS;
    }
    found
}

/// The commands in a line as a shell would be given it.
fn in_block(line: &str) -> Vec<Vec<String>> {
    let line = line.strip_prefix("$ ").unwrap_or(line).replace("cargo run --release -- ", "ami2amo ");
    // What it does is told behind a gap.
    let line = line.split("  ").next().unwrap_or_default();
    let commands = line.split("; ").flat_map(|part| part.split(" | ")).filter_map(|part| {
        let part = part.split_once("/usr/bin/").map_or(part, |(_, rest)| rest);
        // Where its output goes is the shell's business.
        let part = part.split_once(" > ").map_or(part, |(command, _)| command).trim();
        let rest = part.strip_prefix("ami2amo ")?;
        // What the program prints begins with its name, too.
        rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '-').then(|| words(part))
    });
    commands.collect()
}

/// Words with their quotes taken off, and values in place of what stands for them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().expect("there is one").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words.into_iter().map(|word| value(&word)).collect()
}

fn value(word: &str) -> String {
    match word {
        "TIME" => "3h".to_owned(),
        "en|ru" | "ru|en" => "ru".to_owned(),
        _ => word.to_owned(),
    }
}
