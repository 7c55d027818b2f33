//! Pure: the `[calls.sides]` table: what the configuration says of sides goes before all evidence.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::call::name;
use crate::call::pattern::Pattern;
use crate::call::record::Side;
use crate::call::side::same_number;

/// The `[calls.sides]` table. The first of these that fits a channel decides: `rule`s in their
/// order, `mobiles`, `trunks`, `extensions`, `dids`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rules {
    /// Endpoints that are trunks: `trunk-msk`, or `PJSIP/trunk-msk`.
    pub trunks: BTreeSet<String>,
    /// Endpoints that are extensions' devices: `101`, `PJSIP/alice`.
    pub extensions: BTreeSet<String>,
    /// Our own numbers: whoever calls one from a line that nothing else is known of is outside.
    pub dids: BTreeSet<String>,
    /// Employees' outside phones, number = extension: they count as inside.
    pub mobiles: BTreeMap<String, String>,
    pub rule: Vec<Rule>,
}

/// `[[calls.sides.rule]]`: a channel to which every given pattern fits is on `side`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// The channel's name, e.g. `PJSIP/trunk-msk-0000001a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Pattern>,
    /// The context in which the channel was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Pattern>,
    /// The caller's number when the channel was made, or the number that was dialled through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<Pattern>,
    pub side: RuleSide,
    /// The extension, with `$1` … from `channel` (else `number`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleSide {
    Inside,
    Outside,
}

/// What the configuration decided of a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ruling {
    pub side: Side,
    /// Of an inside channel, where the configuration names it.
    pub extension: Option<String>,
    /// It is an employee's outside phone.
    pub mobile: bool,
}

/// What a rule can look at.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'c> {
    /// `PJSIP/101-0000001a`.
    pub channel: &'c str,
    pub context: &'c str,
    /// The caller's number when the channel was made.
    pub number: Option<&'c str>,
    /// The number that was dialled through it, if the PBX called it.
    pub dialled: Option<&'c str>,
    /// What it dialled, if its device called the PBX.
    pub exten: Option<&'c str>,
}

impl Rules {
    pub fn is_empty(&self) -> bool {
        let Self { trunks, extensions, dids, mobiles, rule } = self;
        trunks.is_empty() && extensions.is_empty() && dids.is_empty() && mobiles.is_empty() && rule.is_empty()
    }

    /// The ruling on a channel, if the configuration has one.
    pub fn ruling(&self, candidate: &Candidate<'_>) -> Option<Ruling> {
        let ruled = self.rule.iter().find_map(|rule| rule.ruling(candidate));
        ruled.or_else(|| self.mobile(candidate)).or_else(|| self.listed(candidate))
    }

    fn mobile(&self, candidate: &Candidate<'_>) -> Option<Ruling> {
        let number = candidate.dialled.or(candidate.number)?;
        let (_, extension) = self.mobiles.iter().find(|(mobile, _)| same_number(mobile, number))?;
        Some(Ruling { side: Side::Inside, extension: Some(extension.clone()), mobile: true })
    }

    fn listed(&self, candidate: &Candidate<'_>) -> Option<Ruling> {
        let endpoint = name::endpoint(candidate.channel);
        let lists = |list: &BTreeSet<String>| list.contains(endpoint) || list.contains(name::bare(endpoint));
        let side = if lists(&self.trunks) {
            Side::Outside
        } else if lists(&self.extensions) {
            Side::Inside
        } else if candidate.exten.is_some_and(|exten| self.dids.contains(exten)) {
            Side::Outside
        } else {
            return None;
        };
        Some(Ruling { side, extension: None, mobile: false })
    }
}

impl Rule {
    fn ruling(&self, candidate: &Candidate<'_>) -> Option<Ruling> {
        let Self { channel, context, number, side, extension } = self;
        let number_of = candidate.dialled.or(candidate.number);
        let fits = |pattern: &Option<Pattern>, text: Option<&str>| match pattern {
            Some(pattern) => text.is_some_and(|text| pattern.is_match(text)),
            None => true,
        };
        let all = fits(channel, Some(candidate.channel))
            && fits(context, Some(candidate.context))
            && fits(number, number_of);
        if !all || (channel.is_none() && context.is_none() && number.is_none()) {
            return None;
        }
        let extension = extension.as_deref().and_then(|template| {
            let source = channel.as_ref().map(|pattern| (pattern, candidate.channel));
            match source.or(number.as_ref().zip(number_of)) {
                Some((pattern, text)) => pattern.expand(text, template),
                None => Some(template.to_owned()),
            }
        });
        let side = match side {
            RuleSide::Inside => Side::Inside,
            RuleSide::Outside => Side::Outside,
        };
        Some(Ruling { side, extension: extension.filter(|_| side == Side::Inside), mobile: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(toml: &str) -> Rules {
        toml::from_str(toml).unwrap()
    }

    const CANDIDATE: Candidate<'_> = Candidate {
        channel: "SIP/acc101-0000001a",
        context: "ctx",
        number: Some("79161234567"),
        dialled: None,
        exten: Some("74957000101"),
    };

    #[track_caller]
    fn check(toml: &str, side: Option<Side>, extension: Option<&str>) {
        let ruling = rules(toml).ruling(&CANDIDATE);
        assert_eq!(ruling.as_ref().map(|ruling| ruling.side), side, "{toml}");
        assert_eq!(ruling.and_then(|ruling| ruling.extension).as_deref(), extension, "{toml}");
    }

    #[test]
    fn the_first_that_fits_decides() {
        check("", None, None);
        check("trunks = [\"acc101\"]", Some(Side::Outside), None);
        check("extensions = [\"SIP/acc101\"]", Some(Side::Inside), None);
        check("dids = [\"74957000101\"]", Some(Side::Outside), None);
        check(
            "trunks = [\"acc101\"]\nmobiles = { \"+79161234567\" = \"105\" }",
            Some(Side::Inside),
            Some("105"),
        );
        let rule = "[[rule]]\nchannel = \"^SIP/acc([0-9]+)-\"\nside = \"inside\"\nextension = \"$1\"\n";
        check(rule, Some(Side::Inside), Some("101"));
        check(
            &format!("{rule}[[rule]]\nnumber = \"^7\"\nside = \"outside\""),
            Some(Side::Inside),
            Some("101"),
        );
        check("[[rule]]\ncontext = \"^ctx$\"\nnumber = \"^8\"\nside = \"inside\"", None, None);
        check("[[rule]]\nside = \"inside\"", None, None);
    }

    #[test]
    fn a_mobile_that_is_dialled_is_known_by_the_number_dialled() {
        let rules = rules("mobiles = { 79990000101 = \"101\" }");
        let dialled = Candidate { dialled: Some("89990000101"), number: Some("74957000100"), ..CANDIDATE };
        let ruling = rules.ruling(&dialled).unwrap();
        assert!(ruling.mobile && ruling.side == Side::Inside && ruling.extension.as_deref() == Some("101"));
    }
}
