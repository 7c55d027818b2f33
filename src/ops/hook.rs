//! Pure: how the hook `before-send` fares.

use serde::{Deserialize, Serialize};

use crate::call::why::HookEffect;

/// How the hook fares, since the start.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub struct HookStatus {
    /// Its path, without its arguments.
    pub program: String,
    /// Calls that it left as they were.
    pub unchanged: u64,
    pub changed: u64,
    /// Calls that it does not want sent.
    pub withheld: u64,
    /// Calls that went as they were, because it failed.
    pub failed: u64,
    /// Calls about which it was not asked, because it had failed again and again.
    pub bypassed: u64,
    /// Why it fails again and again.
    pub failure: Option<String>,
}

impl HookStatus {
    pub fn count(&mut self, effect: &HookEffect) {
        let count = match effect {
            HookEffect::Unchanged => &mut self.unchanged,
            HookEffect::Changed { .. } => &mut self.changed,
            HookEffect::Withheld { .. } => &mut self.withheld,
            HookEffect::Failed { .. } => &mut self.failed,
            HookEffect::Bypassed => &mut self.bypassed,
        };
        *count += 1;
    }
}
