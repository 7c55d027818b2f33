//! Pure: the `[[line]]` tables of the configuration: which of our lines a call came or went by, and
//! what is agreed for it. It is settled when the call ends, and stored with it.

use serde::{Deserialize, Deserializer, Serialize};

use crate::call::id::{AccountId, PbxName};
use crate::call::policy::Missed;
use crate::call::record::Direction;
use crate::call::side::same_number;

/// One `[[line]]`: what a call must be like, and what is agreed for such calls. The first line that
/// fits decides.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Line {
    /// Our numbers that were called, in any form.
    #[serde(deserialize_with = "names")]
    pub did: Vec<String>,
    /// Endpoints of the outside party's leg.
    #[serde(deserialize_with = "names")]
    pub trunk: Vec<String>,
    /// Contexts in which the call began, or its outside leg.
    #[serde(deserialize_with = "names")]
    pub context: Vec<String>,
    /// Account codes of the channel that began the call.
    #[serde(deserialize_with = "names")]
    pub account_code: Vec<String>,
    /// What the dial plan says by `AMI2AMO_TENANT`.
    #[serde(deserialize_with = "names")]
    pub tenant: Vec<String>,
    /// Names of `[[pbx]]` tables.
    #[serde(deserialize_with = "names")]
    pub pbx: Vec<String>,

    /// What people call the line; `{line}` in templates.
    pub label: Option<String>,
    /// The amoCRM account of its calls.
    pub account: Option<AccountId>,
    /// The `source` of its calls in amoCRM.
    pub source: Option<String>,
    /// The language of what amoCRM is told of its calls.
    pub language: Option<Language>,
    /// Whether its calls are sent at all.
    pub send: bool,
    /// What is done for numbers that amoCRM does not know.
    pub unknown: ByDirection,
    /// Where leads and items of Incoming leads are made.
    pub pipeline: Option<u64>,
    /// The stage of leads.
    pub stage: Option<u64>,
    /// On whom a missed call is booked that several extensions were called for.
    #[serde(alias = "missed-responsible")]
    pub missed: Option<Missed>,
}

/// What is done for a number that amoCRM does not know, by direction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ByDirection {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbound: Option<Unknown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound: Option<Unknown>,
}

/// What is done for a number that amoCRM does not know.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// An item in Incoming leads (Неразобранное) is made.
    Unsorted,
    /// A contact is made, and the call posted to it.
    Contact,
    /// A contact and a lead are made, and the call posted to them.
    Lead,
    /// The call waits until somebody makes the contact.
    Park,
    /// The call is not sent.
    Drop,
}

/// A language in which people are told of calls.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    #[default]
    Ru,
    En,
}

/// What is agreed for a call by its line, as it is stored with the call. What a line leaves open is
/// for the account's settings to say.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Terms {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Unknown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<u64>,
}

/// By what a call shows on which line it was.
#[derive(Clone, Copy, Debug)]
pub struct Marks<'m> {
    pub pbx: &'m PbxName,
    pub did: Option<&'m str>,
    pub trunk: Option<&'m str>,
    pub contexts: [&'m str; 2],
    pub account_code: Option<&'m str>,
    pub tenant: Option<&'m str>,
}

/// The line of a call, and its place among the lines, counted from 1.
pub fn line<'l>(lines: &'l [Line], marks: &Marks<'_>) -> Option<(usize, &'l Line)> {
    lines.iter().enumerate().find(|(_, line)| line.fits(marks)).map(|(at, line)| (at + 1, line))
}

impl Line {
    /// Whether the call is of this line: every list that is not empty must have its mark.
    pub fn fits(&self, marks: &Marks<'_>) -> bool {
        let has = |list: &[String], mark: Option<&str>| {
            list.is_empty() || mark.is_some_and(|mark| list.iter().any(|listed| listed == mark))
        };
        let did = |listed: &String| marks.did.is_some_and(|did| did == listed || same_number(did, listed));
        let context = |listed: &String| marks.contexts.contains(&listed.as_str());
        (self.did.is_empty() || self.did.iter().any(did))
            && has(&self.trunk, marks.trunk)
            && (self.context.is_empty() || self.context.iter().any(context))
            && has(&self.account_code, marks.account_code)
            && has(&self.tenant, marks.tenant)
            && has(&self.pbx, Some(marks.pbx.as_str()))
    }

    /// What is agreed for a call in this direction.
    pub fn terms(&self, direction: Direction) -> Terms {
        Terms {
            label: self.label.clone(),
            source: self.source.clone(),
            language: self.language,
            unknown: self.unknown.of(direction),
            pipeline: self.pipeline,
            stage: self.stage,
        }
    }
}

impl ByDirection {
    /// What is said for this direction. A call among ourselves is posted as one to the outside.
    pub fn of(self, direction: Direction) -> Option<Unknown> {
        match direction {
            Direction::Inbound => self.inbound,
            Direction::Outbound | Direction::Internal => self.outbound,
        }
    }
}

impl Unknown {
    /// Where nothing is said: a caller may become a customer, a number that we dialled is known to
    /// whoever dialled it.
    pub fn usual(direction: Direction) -> Self {
        match direction {
            Direction::Inbound => Self::Unsorted,
            Direction::Outbound | Direction::Internal => Self::Park,
        }
    }
}

impl Terms {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Line {
    fn default() -> Self {
        Self {
            did: Vec::new(),
            trunk: Vec::new(),
            context: Vec::new(),
            account_code: Vec::new(),
            tenant: Vec::new(),
            pbx: Vec::new(),
            label: None,
            account: None,
            source: None,
            language: None,
            send: true,
            unknown: ByDirection::default(),
            pipeline: None,
            stage: None,
            missed: None,
        }
    }
}

/// One name, or a list of them.
fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text or a list of texts is needed")]
    enum Names {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Names::deserialize(deserializer)? {
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        line: Vec<Line>,
    }

    /// The label of the line that a call is on.
    #[track_caller]
    fn check(lines: &str, marks: &Marks<'_>, expected: Option<&str>) {
        let file: File = toml::from_str(lines).unwrap();
        let found = line(&file.line, marks).map(|(_, line)| line.label.clone().unwrap_or_default());
        assert_eq!(found.as_deref(), expected, "{lines} {marks:?}");
    }

    fn marks(pbx: &PbxName) -> Marks<'_> {
        Marks {
            pbx,
            did: Some("74957000101"),
            trunk: Some("trunk-msk"),
            contexts: ["from-trunk", "from-did"],
            account_code: Some("sales"),
            tenant: Some("acme"),
        }
    }

    #[test]
    fn the_first_line_with_all_its_marks_decides() {
        let pbx = PbxName::default();
        let one = |keys: &str| format!("[[line]]\nlabel = \"a\"\n{keys}\n[[line]]\nlabel = \"rest\"");
        for keys in [
            "did = \"+7 (495) 700-01-01\"",
            "did = [\"84957000101\", \"1\"]",
            "trunk = \"trunk-msk\"",
            "context = \"from-did\"",
            "context = [\"x\", \"from-trunk\"]",
            "account-code = \"sales\"",
            "tenant = \"acme\"",
            "pbx = \"default\"",
            "did = \"74957000101\"\ntrunk = \"trunk-msk\"\ntenant = [\"acme\"]",
        ] {
            check(&one(keys), &marks(&pbx), Some("a"));
        }
        for keys in [
            "did = \"74957000102\"",
            "trunk = \"trunk\"",
            "context = \"from\"",
            "account-code = \"\"",
            "tenant = \"other\"",
            "pbx = \"b\"",
            "did = \"74957000101\"\ntrunk = \"trunk-spb\"",
        ] {
            check(&one(keys), &marks(&pbx), Some("rest"));
        }
    }

    #[test]
    fn a_call_without_a_mark_is_on_no_line_that_asks_for_it() {
        let pbx = PbxName::default();
        let bare = Marks {
            did: None,
            trunk: None,
            contexts: ["", ""],
            account_code: None,
            tenant: None,
            ..marks(&pbx)
        };
        for keys in
            ["did = \"1\"", "trunk = \"t\"", "context = \"c\"", "account-code = \"a\"", "tenant = \"t\""]
        {
            check(&format!("[[line]]\n{keys}"), &bare, None);
        }
        check("line = []", &bare, None);
    }

    #[test]
    fn a_line_says_what_is_done_by_direction() {
        let line: Line =
            toml::from_str("unknown.inbound = \"lead\"\npipeline = 5\nsource = \"site\"").unwrap();
        assert_eq!(line.terms(Direction::Inbound).unknown, Some(Unknown::Lead));
        assert_eq!(line.terms(Direction::Outbound).unknown, None);
        assert_eq!(line.terms(Direction::Outbound).pipeline, Some(5));
        let stored = serde_json::to_string(&line.terms(Direction::Inbound)).unwrap();
        assert_eq!(stored, r#"{"source":"site","unknown":"lead","pipeline":5}"#);
        assert_eq!(Unknown::usual(Direction::Inbound), Unknown::Unsorted);
        assert_eq!(Unknown::usual(Direction::Outbound), Unknown::Park);
    }
}
