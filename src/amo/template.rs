//! Pure: short texts with places for what is known of a call.
//!
//! `Ответил {who}[ через {wait}]`: a place in braces stands for what it names; a part in brackets is
//! left out when a place in it has nothing to say. Doubled braces and brackets stand for themselves.

use std::fmt;

/// What may stand in the braces of one kind of template, and how the kind is called in errors.
pub trait Places: Copy + fmt::Debug + Eq + 'static {
    /// All of them, by their names.
    const NAMES: &'static [(&'static str, Self)];
}

/// A template that was read: a list of parts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template<P> {
    text: String,
    parts: Vec<Part<P>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part<P> {
    Text(String),
    Place(P),
    Optional(Vec<Part<P>>),
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("there is no place {{{name}}}; there are {known}")]
    Unknown { name: String, known: String },
    #[error("the \"{{\" at character {0} is not closed; a brace that is meant as such is doubled")]
    OpenPlace(usize),
    #[error("the \"[\" at character {0} is not closed; a bracket that is meant as such is doubled")]
    OpenPart(usize),
    #[error("the part in brackets at character {0} has a part in brackets in it")]
    Nested(usize),
    #[error("the {sign:?} at character {at} closes nothing; one that is meant as such is doubled")]
    Stray { sign: char, at: usize },
    #[error("the part in brackets at character {0} has no place in it, so it would always be there")]
    NoPlace(usize),
}

impl<P: Places> Template<P> {
    /// # Errors
    /// When a place is unknown or a sign is not closed; positions count characters from 1.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut reader = Reader { signs: text.chars().collect(), at: 0 };
        let parts = reader.parts(None)?;
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The text with what `value` has for each place. A place without a value outside of brackets is
    /// nothing.
    pub fn fill(&self, value: &impl Fn(P) -> Option<String>) -> String {
        let mut filled = String::new();
        fill(&self.parts, value, &mut filled);
        filled
    }

    pub fn has(&self, place: P) -> bool {
        has(&self.parts, place)
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn has<P: Places>(parts: &[Part<P>], wanted: P) -> bool {
    parts.iter().any(|part| match part {
        Part::Text(_) => false,
        Part::Place(place) => *place == wanted,
        Part::Optional(parts) => has(parts, wanted),
    })
}

/// Whether every place had something to say.
fn fill<P: Places>(parts: &[Part<P>], value: &impl Fn(P) -> Option<String>, filled: &mut String) -> bool {
    let mut whole = true;
    for part in parts {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Place(place) => match value(*place).filter(|said| !said.is_empty()) {
                Some(said) => filled.push_str(&said),
                None => whole = false,
            },
            Part::Optional(parts) => {
                let before = filled.len();
                if !fill(parts, value, filled) {
                    filled.truncate(before);
                }
            }
        }
    }
    whole
}

struct Reader {
    signs: Vec<char>,
    at: usize,
}

impl Reader {
    /// Reads to the end, or to the bracket that closes the one at `open`.
    fn parts<P: Places>(&mut self, open: Option<usize>) -> Result<Vec<Part<P>>, Error> {
        let mut parts = Vec::new();
        let mut text = String::new();
        while let Some(&sign) = self.signs.get(self.at) {
            let at = self.at + 1;
            let doubled = self.signs.get(self.at + 1) == Some(&sign);
            self.at += 1;
            match sign {
                '{' | '}' | '[' | ']' if doubled => {
                    self.at += 1;
                    text.push(sign);
                }
                '{' => {
                    keep(&mut parts, &mut text);
                    parts.push(Part::Place(self.place(at)?));
                }
                '[' if open.is_some() => return Err(Error::Nested(at)),
                '[' => {
                    keep(&mut parts, &mut text);
                    parts.push(Part::Optional(self.parts(Some(at))?));
                }
                ']' if let Some(open) = open => {
                    keep(&mut parts, &mut text);
                    let has_place = parts.iter().any(|part| matches!(part, Part::Place(_)));
                    return if has_place { Ok(parts) } else { Err(Error::NoPlace(open)) };
                }
                '}' | ']' => return Err(Error::Stray { sign, at }),
                sign => text.push(sign),
            }
        }
        keep(&mut parts, &mut text);
        open.map_or(Ok(parts), |open| Err(Error::OpenPart(open)))
    }

    fn place<P: Places>(&mut self, open: usize) -> Result<P, Error> {
        let rest = &self.signs[self.at..];
        let length = rest.iter().position(|sign| *sign == '}').ok_or(Error::OpenPlace(open))?;
        let name: String = rest[..length].iter().collect();
        self.at += length + 1;
        let found = P::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, place)| *place).ok_or_else(|| Error::Unknown { name, known: known::<P>() })
    }
}

fn keep<P>(parts: &mut Vec<Part<P>>, text: &mut String) {
    if !text.is_empty() {
        parts.push(Part::Text(std::mem::take(text)));
    }
}

fn known<P: Places>() -> String {
    let names: Vec<String> = P::NAMES.iter().map(|(name, _)| format!("{{{name}}}")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    enum Place {
        Who,
        Wait,
    }

    impl Places for Place {
        const NAMES: &'static [(&'static str, Self)] = &[("who", Self::Who), ("wait", Self::Wait)];
    }

    #[track_caller]
    fn check(template: &str, who: Option<&str>, wait: Option<&str>, expected: &str) {
        let read = Template::<Place>::parse(template).unwrap();
        let value = |place| match place {
            Place::Who => who.map(str::to_owned),
            Place::Wait => wait.map(str::to_owned),
        };
        assert_eq!(read.fill(&value), expected, "{template}");
        assert_eq!(read.as_str(), template);
    }

    #[test]
    fn places_are_filled_and_parts_without_a_value_are_left_out() {
        let template = "Ответил[ {who}][ через {wait}]";
        check(template, Some("101"), Some("8 с"), "Ответил 101 через 8 с");
        check(template, None, Some("8 с"), "Ответил через 8 с");
        check(template, Some("101"), Some(""), "Ответил 101");
        check(template, None, None, "Ответил");
        check("{who}: {wait}", None, Some("1"), ": 1");
        check("[{who} и {wait}]", Some("1"), None, "");
        check("", None, None, "");
    }

    #[test]
    fn doubled_signs_stand_for_themselves() {
        check("{{who}} [[x]] {who}", Some("1"), None, "{who} [x] 1");
    }

    #[track_caller]
    fn refuse(template: &str, expected: &str) {
        assert_eq!(Template::<Place>::parse(template).unwrap_err().to_string(), expected, "{template}");
    }

    #[test]
    fn a_template_that_cannot_be_meant_is_refused_with_its_place() {
        refuse("Ответил {whom}", "there is no place {whom}; there are {who}, {wait}");
        refuse("{}", "there is no place {}; there are {who}, {wait}");
        refuse("я {who", "the \"{\" at character 3 is not closed; a brace that is meant as such is doubled");
        refuse(
            "a[ {who}",
            "the \"[\" at character 2 is not closed; a bracket that is meant as such is doubled",
        );
        refuse("[a[{who}]]", "the part in brackets at character 3 has a part in brackets in it");
        refuse("a]", "the ']' at character 2 closes nothing; one that is meant as such is doubled");
        refuse("a}", "the '}' at character 2 closes nothing; one that is meant as such is doubled");
        refuse(
            "[a]{who}",
            "the part in brackets at character 1 has no place in it, so it would always be there",
        );
    }

    #[test]
    fn it_is_known_which_places_a_template_has() {
        let template = Template::parse("a[{who}]").unwrap();
        assert!(template.has(Place::Who) && !template.has(Place::Wait));
    }
}
