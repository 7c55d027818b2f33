//! Pure: the calls in progress, as the admin socket gives them and `ami2amo calls` prints them.

use serde::{Deserialize, Serialize};

use crate::call::classify::live::LiveCall;
use crate::call::id::PbxName;
use crate::ops::status::{LinkStatus, utc};
use crate::time::{HostTime, PbxTime};

pub mod page;

/// The version of this form; keys are only ever added.
pub const VERSION: u32 = 1;

/// Calls of one PBX in one answer, at most: some 200 KB. Nobody reads more, and the intake has other work.
pub const CALLS_MAX: usize = 500;

/// Which PBX is meant; all, when none is named.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Question {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pbx: Option<PbxName>,
}

/// The calls in progress at one moment.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Live {
    pub v: u32,
    #[serde(with = "utc")]
    pub now: HostTime,
    pub pbxs: Vec<LivePbx>,
}

/// Those of one PBX.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct LivePbx {
    pub name: PbxName,
    pub link: LinkStatus,
    /// By the PBX's clock; not known before its first event.
    pub now: Option<PbxTime>,
    /// Calls in progress, those that end at this moment and those of nobody among them.
    pub open: u64,
    /// The newest first.
    pub calls: Vec<LiveCall>,
    /// There are older ones.
    pub more: bool,
    /// Why there are none here, when they could not be told.
    pub failure: Option<String>,
}
