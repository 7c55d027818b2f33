//! Pure: the reasons of every decision, as data. `explain` and the console show nothing else.

use serde::{Deserialize, Serialize};

/// One decision and its ground.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "code")]
pub enum Why {
    /// Placeholder until classification is written; never constructed.
    Unknown,
}
