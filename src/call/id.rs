//! Pure: the names that identify things for ever: PBX, amoCRM account, call.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The configured name of one PBX. It is part of every [`CallId`] and pinned in the store.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct PbxName(String);

/// The configured name of one amoCRM account; the only one is called `default`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(String);

/// `<pbx>-<uniqueid>`: the PBX and the uniqueid of the channel that opened the outside leg, with
/// `~2`, `~3` … when one channel opened several conversations. It is final when the call ends, and
/// the same however often the same events are read.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(transparent)]
pub struct CallId(String);

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no name: 1 to 32 letters, digits, '.', '_' or '-' are needed")]
pub struct Error(String);

/// Longest name of a PBX or account, in bytes: ids stay short enough for amoCRM's `uniq`.
const NAME_MAX: usize = 32;

impl PbxName {
    /// # Errors
    /// When `name` is empty, longer than 32 bytes or has other characters than ASCII letters,
    /// digits, `.`, `_` and `-`.
    pub fn new(name: impl Into<String>) -> Result<Self, Error> {
        checked(name.into()).map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for PbxName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl AccountId {
    /// # Errors
    /// As [`PbxName::new`].
    pub fn new(name: impl Into<String>) -> Result<Self, Error> {
        checked(name.into()).map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for AccountId {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl CallId {
    /// The id of conversation number `ordinal` (from 1) that the channel `uniqueid` opened.
    pub fn new(pbx: &PbxName, uniqueid: &str, ordinal: u32) -> Self {
        match ordinal {
            0 | 1 => Self(format!("{pbx}-{uniqueid}")),
            _ => Self(format!("{pbx}-{uniqueid}~{ordinal}")),
        }
    }

    /// The id of the record of employee number `ordinal` (from 1) in this conversation, where each
    /// has one of his own.
    pub fn for_agent(&self, ordinal: usize) -> Self {
        match ordinal {
            0 | 1 => self.clone(),
            _ => Self(format!("{self}+{ordinal}")),
        }
    }

    /// An id that was printed or stored before.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PbxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PbxName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        Self::new(name)
    }
}

impl TryFrom<String> for AccountId {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        Self::new(name)
    }
}

impl From<PbxName> for String {
    fn from(name: PbxName) -> Self {
        name.0
    }
}

impl From<AccountId> for String {
    fn from(name: AccountId) -> Self {
        name.0
    }
}

fn checked(name: String) -> Result<String, Error> {
    let fits = (1..=NAME_MAX).contains(&name.len());
    if fits && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return Ok(name);
    }
    Err(Error(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_pbx_and_the_uniqueid() {
        let pbx = PbxName::new("msk").unwrap();
        assert_eq!(CallId::new(&pbx, "1795337591.4", 1).as_str(), "msk-1795337591.4");
        assert_eq!(CallId::new(&pbx, "1795337591.4", 2).as_str(), "msk-1795337591.4~2");
    }

    #[test]
    fn a_name_is_short_and_plain() {
        assert!(PbxName::new("office-1.msk_A").is_ok());
        for bad in ["", "a b", "a/b", "главный", "a~2", &"x".repeat(33)] {
            assert!(PbxName::new(bad).is_err(), "{bad}");
            assert!(AccountId::new(bad).is_err(), "{bad}");
        }
    }
}
