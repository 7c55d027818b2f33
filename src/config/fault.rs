//! Pure: a mistake in the form of the configuration file, shown at its place. Values of lines that
//! may hold a secret are left out.

use std::fmt;
use std::path::{Path, PathBuf};

/// `file:line:column`, the line with a caret under it, and what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    path: PathBuf,
    place: Option<Place>,
    message: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Place {
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
    shown: String,
    /// Characters under the caret.
    width: usize,
}

impl Fault {
    pub fn new(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let place = error.span().and_then(|span| Place::find(text, span.start, span.end));
        let hides = place.as_ref().is_some_and(|place| place.shown.ends_with(HIDDEN));
        let message = if hides { without_value(error.message()) } else { error.message().to_owned() };
        Self { path: path.to_owned(), place, message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.place {
            Some(Place { line, column, shown, width }) => {
                let (margin, caret) = (" ".repeat(line.to_string().len()), "^".repeat(*width));
                let before = " ".repeat(column - 1);
                writeln!(f, "{path}:{line}:{column}: {}", self.message)?;
                writeln!(f, " {margin} |")?;
                writeln!(f, " {line} | {shown}")?;
                writeln!(f, " {margin} | {before}{caret}")?;
            }
            None => writeln!(f, "{path}: {}", self.message)?,
        }
        write!(f, " the example config/ami2amo.toml has every key with its meaning")
    }
}

/// Words in a key whose value is nobody's business.
const SECRET_WORDS: &[&str] = &["secret", "token", "password"];

/// How the messages begin in which serde repeats a value.
const SERDE_ERRORS: &[&str] = &["invalid type", "invalid value", "invalid length", "unknown variant"];

const HIDDEN: &str = "= (hidden)";

impl Place {
    fn find(text: &str, start: usize, end: usize) -> Option<Self> {
        let before = text.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_text = text.get(line_start..)?.lines().next().unwrap_or_default();
        let shown = shown(line_text);
        let column = text.get(line_start..start)?.chars().count().min(shown.chars().count()) + 1;
        let rest = (shown.chars().count() + 1).saturating_sub(column).max(1);
        let width = text.get(start..end).map_or(1, |span| span.chars().count()).clamp(1, rest);
        Some(Self { line: before.matches('\n').count() + 1, column, shown, width })
    }
}

/// The line as it may be shown. A line that is neither a table, a comment nor `key = value` may be
/// the inside of a secret that spans lines. Words in a value that has no keys of its own are just
/// words; an address with a login in it is a secret.
fn shown(line: &str) -> String {
    let trimmed = line.trim_start();
    let is_key =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_.\" ".contains(c));
    let (key, value) = line.split_once('=').map_or((trimmed, None), |(key, value)| (key.trim(), Some(value)));
    if value.is_some_and(|value| is_secret(key, value)) {
        return format!("{key} {HIDDEN}");
    }
    if trimmed.starts_with(['[', '#']) || is_key(key) {
        return line.trim_end().to_owned();
    }
    HIDDEN.to_owned()
}

fn is_secret(key: &str, value: &str) -> bool {
    let has_keys = value.contains(['{', '=']);
    let names = if has_keys { format!("{key} {value}") } else { key.to_owned() };
    let has_login = value.split_once("://").is_some_and(|(_, address)| address.contains('@'));
    has_login || SECRET_WORDS.iter().any(|word| names.to_lowercase().contains(word))
}

/// serde repeats the value: `invalid type: integer `5`, expected a string`. Our own errors name
/// values only where they are none's secret.
fn without_value(message: &str) -> String {
    let Some(what) = SERDE_ERRORS.iter().find(|what| message.starts_with(*what)) else {
        return message.to_owned();
    };
    match message.rfind("expected").and_then(|at| message.get(at..)) {
        Some(expected) => format!("{what}: {expected}"),
        None => (*what).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::File;

    fn fault(text: &str) -> String {
        let error = toml::from_str::<File>(text).unwrap_err();
        Fault::new(Path::new("a.toml"), text, &error).to_string()
    }

    #[test]
    fn a_wrong_key_is_shown_with_line_and_caret() {
        let text = "[store]\ndir = \"/var/lib/ami2amo\"\ndri = \"/x\"\n";
        let lines: Vec<_> = fault(text).lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "a.toml:3:1: unknown field `dri`, expected `dir` or `hung-after`");
        assert_eq!(lines[1..4], ["   |", " 3 | dri = \"/x\"", "   | ^^^"]);
        assert!(lines[4].contains("config/ami2amo.toml"));
    }

    #[test]
    fn a_wrong_value_is_pointed_at() {
        let text = fault("[[pbx]]\nport = 70000\n");
        assert!(text.starts_with("a.toml:2:8: "), "{text}");
        assert!(text.contains("   |        ^^^^^\n"), "{text}");
    }

    #[test]
    fn a_secret_is_never_repeated() {
        for text in [
            "[[pbx]]\nsecret = 12345\n",
            "[[pbx]]\nsecret = \"12345\n",
            "[[pbx]]\nsecret = '12345' x\n",
            "[[pbx]]\nsecret = \"\"\"\n12345\n\" \\q\n\"\"\"\n",
            "pbx = [{ secret = 12345 }]\n",
            "[amocrm]\ntoken = [12345]\n",
            "[amocrm]\ntoken = \"12345 \u{1}\"\n",
            "[amocrm]\ntoken = 12345\n",
        ] {
            let fault = fault(text);
            assert!(!fault.contains("12345"), "{fault}");
            assert!(fault.starts_with("a.toml:"), "{fault}");
        }
    }

    #[test]
    fn an_address_with_a_word_of_secrets_in_it_is_told_in_full() {
        for host in ["secret-garden", "tokens", "mypassword"] {
            let fault = fault(&format!("[amocrm]\nbase-url = \"https://{host}.amocrm.ru/x\"\n"));
            assert!(fault.contains("scheme and host, no path"), "{fault}");
            assert!(fault.contains(&format!("2 | base-url = \"https://{host}")), "{fault}");
        }
        let fault = fault("amocrm = { base-url = \"https://a.amocrm.ru/x\", token = \"12345\" }\n");
        assert!(fault.contains("scheme and host, no path") && !fault.contains("12345"), "{fault}");
    }

    #[test]
    fn a_login_in_an_address_is_never_repeated() {
        for key in ["base-url", "recording-url"] {
            let fault = fault(&format!("[amocrm]\n{key} = \"https://me:12345@a.amocrm.ru\"\n"));
            assert!(fault.contains("https") && !fault.contains("12345"), "{fault}");
        }
    }

    #[test]
    fn a_place_that_there_is_not_is_pointed_at() {
        for (text, place) in [
            (
                "[amocrm.results]\nbusy = \"Занят {whom}\"\n",
                "a.toml:2:8: there is no place {whom}; there are {who}",
            ),
            ("[amocrm]\nresults.busy = { outbound = \"{x}\" }\n", "a.toml:2:29: there is no place {x}"),
            ("[amocrm]\nrecording-url = \"https://p/{files}\"\n", "a.toml:2:17: there is no place {files}"),
            (
                "[amocrm]\nrecording-search = \"{uniqueid\"\n",
                "a.toml:2:20: the \"{\" at character 1 is not closed",
            ),
        ] {
            let fault = fault(text);
            assert!(fault.starts_with(place), "{fault}");
            assert!(fault.contains("^^^"), "{fault}");
        }
    }

    #[test]
    fn letters_of_any_width_keep_the_caret_in_its_column() {
        let text = fault("[amocrm]\nsource = \"Мой\" x\n");
        let lines: Vec<_> = text.lines().collect();
        let caret = lines[3].chars().position(|c| c == '^');
        assert_eq!(caret, lines[2].chars().position(|c| c == 'x'));
    }

    #[test]
    fn any_text_gives_a_fault_or_a_file() {
        for text in ["=", "[", "\"", "[[pbx]\n", "a = 1\r\nb", "\u{feff}", "[pbx]\nname = \"x\"\n"] {
            if let Err(error) = toml::from_str::<File>(text) {
                assert!(!Fault::new(Path::new("a.toml"), text, &error).to_string().is_empty());
            }
        }
    }
}
