//! Pure: what a call record shall say. Every key has a default.

use serde::{Deserialize, Serialize};

/// The `[calls]` table of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {}
