//! Pure: what speaks for a side, and how much.

use serde::{Deserialize, Serialize};

use crate::call::record::Side;

/// What was seen of an endpoint, or what the configuration says of it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Nothing.
    None,
    /// A Local half, a spy, external media.
    Helper,
    /// The configuration lists the endpoint, or a rule of it matches.
    Configured,
    /// The number is one of the configured employees' mobiles.
    Mobile,
    /// A number was dialled through it (`PJSIP/79161234567@trunk`, `SIP/trunk/79161234567`).
    NumberDialled,
    /// It called in with numbers that are not its own.
    ForeignCaller,
    /// It called a long number and reached an extension: that number is ours.
    DirectNumber,
    /// It called in with several numbers, as no phone does.
    ManyCallers,
    /// It called in with no number, or to `s`.
    NamelessCaller,
    /// Its calls come into a context that is named for trunks.
    TrunkContext,
    /// It was called before we looked, and has the long number that was dialled.
    NumberReached,
    /// A hint of the dial plan names it.
    Hint,
    /// A queue called it as a member.
    QueueMember,
    /// It was dialled by its name alone.
    DialledByName,
    /// It called with its own name as number.
    OwnNumber,
    /// Its own number is a short one.
    ShortNumber,
    /// It dialled the number that was then sent through a trunk.
    DialledOut,
    /// It called with a long number that ends with its name, as direct numbers do.
    OwnDirectNumber,
    /// Its calls come into a context that is named for extensions.
    InsideContext,
    /// Its name is a short number.
    ShortName,
}

impl Evidence {
    /// Everything that can be seen of an endpoint, the heavier first of each side.
    pub const SEEN: [Self; 16] = [
        Self::NumberDialled,
        Self::DirectNumber,
        Self::ManyCallers,
        Self::ForeignCaller,
        Self::TrunkContext,
        Self::NamelessCaller,
        Self::NumberReached,
        Self::Hint,
        Self::QueueMember,
        Self::DialledByName,
        Self::OwnNumber,
        Self::DialledOut,
        Self::ShortNumber,
        Self::OwnDirectNumber,
        Self::InsideContext,
        Self::ShortName,
    ];

    /// The side it speaks for and its weight. A fact of the traffic outweighs all names together; a
    /// number that went out through an endpoint outweighs a hint, because gateways register like
    /// extensions and get hints like them.
    pub const fn weight(self) -> (Side, u32) {
        match self {
            Self::None | Self::Helper | Self::Configured | Self::Mobile => (Side::Unknown, 0),
            Self::NumberDialled => (Side::Outside, 40),
            Self::DirectNumber => (Side::Outside, 8),
            Self::ManyCallers => (Side::Outside, 6),
            Self::ForeignCaller => (Side::Outside, 4),
            Self::TrunkContext => (Side::Outside, 3),
            Self::NamelessCaller | Self::NumberReached => (Side::Outside, 2),
            Self::Hint => (Side::Inside, 16),
            Self::QueueMember => (Side::Inside, 12),
            Self::DialledByName => (Side::Inside, 10),
            Self::OwnNumber => (Side::Inside, 8),
            Self::DialledOut => (Side::Inside, 5),
            Self::ShortNumber | Self::OwnDirectNumber | Self::InsideContext => (Side::Inside, 3),
            Self::ShortName => (Side::Inside, 1),
        }
    }

    /// What can be seen of an endpoint, by its name in [`Evidence::as_str`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::SEEN.into_iter().find(|evidence| evidence.as_str() == name)
    }

    /// As it stands in the JSON lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Helper => "helper",
            Self::Configured => "configured",
            Self::Mobile => "mobile",
            Self::NumberDialled => "number-dialled",
            Self::ForeignCaller => "foreign-caller",
            Self::DirectNumber => "direct-number",
            Self::ManyCallers => "many-callers",
            Self::NamelessCaller => "nameless-caller",
            Self::TrunkContext => "trunk-context",
            Self::NumberReached => "number-reached",
            Self::Hint => "hint",
            Self::QueueMember => "queue-member",
            Self::DialledByName => "dialled-by-name",
            Self::OwnNumber => "own-number",
            Self::DialledOut => "dialled-out",
            Self::ShortNumber => "short-number",
            Self::OwnDirectNumber => "own-direct-number",
            Self::InsideContext => "inside-context",
            Self::ShortName => "short-name",
        }
    }
}

/// A lead of less than this can be turned over by names alone.
pub const WEAK_BELOW: u32 = 4;

/// The pieces of evidence that were seen, each once.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen(u32);

impl Seen {
    pub fn add(&mut self, evidence: Evidence) {
        self.0 |= 1 << (evidence as u32);
    }

    pub fn has(self, evidence: Evidence) -> bool {
        self.0 & (1 << (evidence as u32)) != 0
    }

    /// What was seen, the heavier first of each side.
    pub fn iter(self) -> impl Iterator<Item = Evidence> + Clone {
        Evidence::SEEN.into_iter().filter(move |evidence| self.has(*evidence))
    }

    /// The sum for a side, and the heaviest piece of it.
    pub fn sum(self, side: Side) -> (u32, Evidence) {
        let pieces = self.iter().filter(|evidence| evidence.weight().0 == side);
        let heaviest = pieces.clone().max_by_key(|evidence| evidence.weight().1);
        (pieces.map(|evidence| evidence.weight().1).sum(), heaviest.unwrap_or(Evidence::None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_the_json_lines_is_the_one_in_the_code() {
        for evidence in Evidence::SEEN.into_iter().chain([Evidence::Configured, Evidence::Mobile]) {
            assert_eq!(serde_json::to_value(evidence).unwrap(), evidence.as_str());
        }
    }

    #[test]
    fn all_names_together_weigh_less_than_one_fact() {
        let names = [Evidence::InsideContext, Evidence::ShortName];
        let names: u32 = names.iter().map(|name| name.weight().1).sum();
        assert!(names < Evidence::DirectNumber.weight().1);
        assert_eq!(names, WEAK_BELOW);
    }
}
