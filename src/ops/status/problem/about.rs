//! Pure: what programs know a problem by: its code, and whom it is about.

use crate::ops::status::problem::Problem;

impl Problem {
    /// Every code, the worst first.
    pub const CODES: [&str; 24] = [
        "unaccounted",
        "store-failed",
        "disk-low",
        "pbx-not-read",
        "pbx-down",
        "pbx-refused",
        "pbx-connecting",
        "clock-off",
        "lag",
        "no-timestamps",
        "unseen",
        "account-held",
        "account-troubled",
        "old",
        "config-refused",
        "hook-failing",
        "records-failing",
        "dead",
        "token-ends",
        "paused",
        "unknown-numbers",
        "unmapped",
        "duplicated",
        "shadow",
    ];

    /// What programs know it by, as in JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unaccounted { .. } => "unaccounted",
            Self::StoreFailed { .. } => "store-failed",
            Self::DiskLow { .. } => "disk-low",
            Self::PbxNotRead { .. } => "pbx-not-read",
            Self::PbxDown { .. } => "pbx-down",
            Self::PbxRefused { .. } => "pbx-refused",
            Self::PbxConnecting { .. } => "pbx-connecting",
            Self::ClockOff { .. } => "clock-off",
            Self::Lag { .. } => "lag",
            Self::NoTimestamps { .. } => "no-timestamps",
            Self::Unseen { .. } => "unseen",
            Self::AccountHeld { .. } => "account-held",
            Self::AccountTroubled { .. } => "account-troubled",
            Self::Old { .. } => "old",
            Self::ConfigRefused { .. } => "config-refused",
            Self::HookFailing { .. } => "hook-failing",
            Self::RecordsFailing { .. } => "records-failing",
            Self::Dead { .. } => "dead",
            Self::TokenEnds { .. } => "token-ends",
            Self::Paused { .. } => "paused",
            Self::UnknownNumbers { .. } => "unknown-numbers",
            Self::Unmapped { .. } => "unmapped",
            Self::Duplicated { .. } => "duplicated",
            Self::Shadow { .. } => "shadow",
        }
    }

    /// The PBX that it is about.
    pub fn pbx(&self) -> Option<&str> {
        match self {
            Self::PbxNotRead { pbx }
            | Self::PbxDown { pbx, .. }
            | Self::PbxRefused { pbx, .. }
            | Self::PbxConnecting { pbx }
            | Self::ClockOff { pbx, .. }
            | Self::Lag { pbx, .. }
            | Self::NoTimestamps { pbx }
            | Self::Unseen { pbx, .. } => Some(pbx.as_str()),
            Self::Unaccounted { .. }
            | Self::StoreFailed { .. }
            | Self::DiskLow { .. }
            | Self::ConfigRefused { .. }
            | Self::HookFailing { .. }
            | Self::RecordsFailing { .. }
            | Self::Dead { .. }
            | Self::AccountHeld { .. }
            | Self::AccountTroubled { .. }
            | Self::Old { .. }
            | Self::TokenEnds { .. }
            | Self::Paused { .. }
            | Self::UnknownNumbers { .. }
            | Self::Unmapped { .. }
            | Self::Duplicated { .. }
            | Self::Shadow { .. } => None,
        }
    }

    /// The account that it is about.
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::AccountHeld { account, .. }
            | Self::AccountTroubled { account, .. }
            | Self::Old { account, .. }
            | Self::TokenEnds { account, .. }
            | Self::Paused { account, .. }
            | Self::UnknownNumbers { account, .. }
            | Self::Unmapped { account, .. }
            | Self::Duplicated { account, .. }
            | Self::Shadow { account, .. } => Some(account.as_str()),
            Self::Unaccounted { .. }
            | Self::StoreFailed { .. }
            | Self::DiskLow { .. }
            | Self::ConfigRefused { .. }
            | Self::HookFailing { .. }
            | Self::RecordsFailing { .. }
            | Self::Dead { .. }
            | Self::PbxNotRead { .. }
            | Self::PbxDown { .. }
            | Self::PbxRefused { .. }
            | Self::PbxConnecting { .. }
            | Self::ClockOff { .. }
            | Self::Lag { .. }
            | Self::NoTimestamps { .. }
            | Self::Unseen { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_that_of_the_json_and_the_description_has_them_all() {
        let problem = Problem::Dead { calls: 1 };
        assert_eq!(serde_json::to_value(&problem).unwrap()["code"], problem.code());
        let described: serde_json::Value =
            serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap();
        let described = &described["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
        let mut described: Vec<_> =
            described.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
        let mut codes = Problem::CODES.to_vec();
        described.sort_unstable();
        codes.sort_unstable();
        assert_eq!(codes, described);
    }
}
