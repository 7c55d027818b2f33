//! What a manager user with the rights of a file in `config/asterisk/` gets to see of a capture.
//!
//! Events go through what Asterisk's `manager.c` puts them through: the session must have every class of
//! the event; then one of the including filters must match, when there are any; then none of the
//! excluding ones. Replies to actions pass by all of it.

#![allow(clippy::allow_attributes, dead_code, reason = "each binary uses its own part of this")]

use std::collections::BTreeSet;
use std::path::Path;

use regex_lite::Regex;

/// The `[ami2amo]` section.
#[derive(Clone, Debug)]
pub struct Stanza {
    classes: BTreeSet<String>,
    including: Vec<Filter>,
    excluding: Vec<Filter>,
}

/// One `eventfilter`.
#[derive(Clone, Debug)]
struct Filter {
    /// The name that the event must have.
    name: Option<String>,
    method: Method,
}

#[derive(Clone, Debug)]
enum Method {
    Any,
    Contains(String),
    Regex(Regex),
}

/// The file for Asterisk 12 and newer.
pub const SHIPPED: &str = "manager-ami2amo.conf";

/// The one with the filters of newer versions.
pub const BY_NAME: &str = "manager-ami2amo-by-name.conf";

impl Stanza {
    pub fn shipped() -> Self {
        Self::of(&text(SHIPPED))
    }

    /// Of the text of a manager.conf.
    pub fn of(text: &str) -> Self {
        let mut stanza = Self { classes: BTreeSet::new(), including: Vec::new(), excluding: Vec::new() };
        for (key, value) in settings(text, "ami2amo") {
            match key {
                "read" => stanza.classes = value.split(',').map(|class| class.trim().to_owned()).collect(),
                _ if key.starts_with("eventfilter") => stanza.add_filter(key, value),
                _ => {}
            }
        }
        assert!(!stanza.classes.is_empty(), "a line read = …");
        stanza
    }

    /// The capture as such a user sees it.
    pub fn seen(&self, capture: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(capture);
        let mut seen = String::new();
        for block in text.split_inclusive("\r\n\r\n") {
            let event = event_in(block);
            let passes = event.is_none_or(|at| self.passes(&block[at..]));
            let kept = if passes { block } else { &block[..event.unwrap_or(0)] };
            seen.push_str(kept);
        }
        seen.into_bytes()
    }

    pub fn passes(&self, event: &str) -> bool {
        // A reply has no class.
        let Some(privilege) = header(event, "Privilege") else { return true };
        self.reads(privilege) && self.filters_pass(event)
    }

    /// The user has all of the classes.
    pub fn reads(&self, privilege: &str) -> bool {
        let mut classes = privilege.split(',').filter(|class| !["all", "<none>"].contains(class));
        classes.all(|class| self.classes.contains(class))
    }

    pub fn filters_pass(&self, event: &str) -> bool {
        (self.including.is_empty() || self.including.iter().any(|filter| filter.matches(event)))
            && !self.excluding.iter().any(|filter| filter.matches(event))
    }

    /// `eventfilter = EXPRESSION`, `eventfilter = !EXPRESSION`, `eventfilter(CRITERIA) = EXPRESSION`.
    fn add_filter(&mut self, key: &str, value: &str) {
        let Some(criteria) = key.strip_prefix("eventfilter").and_then(|rest| rest.strip_prefix('(')) else {
            let excludes = value.strip_prefix('!');
            let filter = Filter { name: None, method: expression(excludes.unwrap_or(value)) };
            if excludes.is_some() {
                self.excluding.push(filter);
            } else {
                self.including.push(filter);
            }
            return;
        };
        let criterion = |name: &str| {
            let at = criteria.find(&format!("{name}("))? + name.len() + 1;
            criteria[at..].split(')').next()
        };
        let method = match criterion("method") {
            None => Method::Any,
            Some("contains") => Method::Contains(value.to_owned()),
            Some("regex") => expression(value),
            Some(other) => panic!("no shipped file has the method {other}"),
        };
        assert!(criterion("header").is_none() && criterion("action").is_none(), "no shipped file has them");
        self.including.push(Filter { name: criterion("name").map(str::to_owned), method });
    }
}

impl Filter {
    fn matches(&self, event: &str) -> bool {
        let named = self.name.as_ref().is_none_or(|name| header(event, "Event") == Some(name));
        named
            && match &self.method {
                Method::Any => true,
                Method::Contains(part) => event.contains(part.as_str()),
                Method::Regex(regex) => regex.is_match(event),
            }
    }
}

/// The text of a file in `config/asterisk/`.
pub fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/asterisk").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

/// `key = value` of each line of the sections `[section]` and `[section](+)`, in their order.
pub fn settings<'t>(text: &'t str, section: &str) -> Vec<(&'t str, &'t str)> {
    let mut settings = Vec::new();
    let mut within = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(';')) {
        if let Some(rest) = line.strip_prefix('[') {
            within = rest.split(']').next() == Some(section);
        } else if let (true, Some((key, value))) = (within, line.split_once('=')) {
            settings.push((key.trim(), value.trim()));
        }
    }
    settings
}

/// Where in a block the event begins: the banner may stand before it.
pub fn event_in(block: &str) -> Option<usize> {
    block.find("Event: ").filter(|at| *at == 0 || block[..*at].ends_with('\n'))
}

/// The first header of that name.
pub fn header<'e>(event: &'e str, name: &str) -> Option<&'e str> {
    event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Asterisk compiles them without `REG_NEWLINE`: a dot matches a line break, too.
fn expression(text: &str) -> Method {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || " :_-".contains(c)) {
        return Method::Contains(text.to_owned());
    }
    Method::Regex(Regex::new(&format!("(?s){text}")).expect("a regular expression"))
}
