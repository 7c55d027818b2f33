//! Pure: a regular expression of the configuration. A wrong one is refused where it stands.

use serde::{Deserialize, Serialize};

/// A regular expression. It matches anywhere in a text; `^` and `$` tie it to the ends.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(regex_lite::Regex);

/// Why a text is no regular expression.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text:?} is no regular expression: {reason}")]
pub struct Error {
    text: String,
    reason: String,
}

/// Longest expression, in bytes; the longest honest ones list some numbers.
const TEXT_MAX: usize = 4096;

impl Pattern {
    /// # Errors
    /// When `text` is no regular expression, or too long for one.
    pub fn new(text: &str) -> Result<Self, Error> {
        let error = |reason: String| Error { text: text.to_owned(), reason };
        if text.len() > TEXT_MAX {
            return Err(Error { text: String::new(), reason: format!("it has more than {TEXT_MAX} bytes") });
        }
        regex_lite::Regex::new(text).map(Self).map_err(|found| error(found.to_string()))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// `template` with `$1`, `${name}` … filled in from the first match in `text`.
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        let captures = self.0.captures(text)?;
        let mut expanded = String::new();
        captures.expand(template, &mut expanded);
        Some(expanded)
    }

    /// `text` with its first match replaced; `None` when there is none.
    pub fn replace(&self, text: &str, template: &str) -> Option<String> {
        self.is_match(text).then(|| self.0.replace(text, template).into_owned())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl TryFrom<String> for Pattern {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::new(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_fills_a_template() {
        let pattern = Pattern::new("^SIP/acc([0-9]+)-").unwrap();
        assert_eq!(pattern.expand("SIP/acc101-0000001a", "$1").as_deref(), Some("101"));
        assert_eq!(pattern.expand("SIP/101-0000001a", "$1"), None);
    }

    #[test]
    fn what_is_no_expression_is_refused_with_the_reason() {
        let error = Pattern::new("^(7").unwrap_err().to_string();
        assert!(error.contains("^(7") && error.contains("regular expression"), "{error}");
        assert!(Pattern::new(&"a".repeat(TEXT_MAX + 1)).is_err());
    }
}
