//! Pure: what is done with an account's calls: `delivery` of the `[amocrm]` table.

use serde::{Deserialize, Serialize};

/// What is done with the calls of an account.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// They are posted.
    #[default]
    Post,
    /// Nothing is posted, made or changed in amoCRM: calls are compared with what another connector wrote.
    Shadow,
}
