//! Pure: the reasons of every decision, as data. `explain` and the console show nothing else.

use serde::{Deserialize, Serialize};

use crate::call::facts::Word;
use crate::call::record::{Direction, Outcome, Side, Skip, TimeSource};
use crate::call::side::evidence::Evidence;

/// One decision and its ground.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "code")]
pub enum Why {
    /// Who started the call, and by which channel we know.
    Direction { direction: Direction, rule: DirectionRule, channel: String },
    /// Which side an endpoint is on, and what spoke for it most.
    Side {
        endpoint: String,
        side: Side,
        evidence: Evidence,
        /// It rests on names alone: `[calls.sides]` should list the endpoint.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        weak: bool,
    },
    /// Where the outside number was read.
    Phone { source: PhoneSource },
    /// Why the call is booked on this extension, or on none.
    Responsible { extension: Option<String>, rule: ResponsibleRule },
    /// What decided the outcome.
    Outcome { outcome: Outcome, rule: OutcomeRule },
    /// The employee talked on an outside phone, which counts as his extension.
    Forwarded { extension: Option<String>, rule: ForwardRule },
    /// The events carry no `Timestamp`: where the times come from.
    Time { source: TimeSource },
    /// The dial plan said so.
    DialPlan { word: Word, value: String },
    /// The `[[line]]` that fits the call, by its place among them, counted from 1.
    Line {
        number: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
    },
    /// A list or a bound of `[calls.send]` leaves the call out.
    Filtered { by: Filter },
    /// Not sent.
    Skip { reason: Skip },
    /// Not all of the call was seen.
    Partial { rule: PartialRule },
    /// Nobody followed the call: it was made of so many call detail records, or of channel events with what
    /// these say beside them.
    FromCdr {
        rows: u32,
        #[serde(default, skip_serializing_if = "is_zero")]
        events: u32,
    },
    /// The hook was asked before the call was sent.
    Hook(HookEffect),
}

/// What the hook `before-send` did to a call.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "effect")]
pub enum HookEffect {
    Unchanged,
    /// These of the call are as the hook wants them.
    Changed {
        fields: Vec<String>,
    },
    /// The hook does not want it sent.
    Withheld {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It failed, and the call goes as it was.
    Failed {
        reason: String,
    },
    /// It had failed again and again and was not asked.
    Bypassed,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectionRule {
    TrunkCalledIn,
    ExtensionDialledOut,
    /// The PBX called the employee first, then the outside party.
    ClickToCall,
    /// The PBX called the outside party first.
    PbxDialledOut,
    /// No trunk took part.
    NoOutsideLeg,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhoneSource {
    CallerId,
    /// The number that the PBX sent through the trunk.
    SentToNetwork,
    /// What the extension dialled: the number sent is not known.
    DialledExten,
    None,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResponsibleRule {
    LastWhoTalked,
    FirstWhoTalked,
    LongestWhoTalked,
    /// Nobody talked; it was the only extension that was called.
    OnlyOneCalled,
    /// Nobody talked; it dialled.
    Dialled,
    /// Nobody talked; the call was made for it.
    CalledFirst,
    /// Several were called, none talked.
    SeveralCalled,
    /// Several were called, none talked; the configuration names the first, the last, or one of them.
    MissedFirst,
    MissedLast,
    MissedConfigured,
    /// Nobody talked, and not exactly one was called: the owner of the contact in amoCRM is asked for.
    EntityOwner,
    /// Nobody talked; the call would have been forwarded from it.
    Forwarding,
    /// The dial plan named it.
    DialPlan,
    /// He has a record of his own.
    OwnRecord,
    NobodyCalled,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum OutcomeRule {
    /// An employee and the outside party heard each other.
    Talked,
    MessageLeft,
    Fax,
    /// The hangup cause of the trunk's leg.
    TrunkCause {
        cause: u16,
    },
    /// How the dial to the trunk ended.
    TrunkDial,
    /// Every extension that was called was busy.
    AllBusy,
    /// Every extension that was called refused.
    AllRefused,
    /// No extension could be reached.
    NobodyReachable,
    /// Extensions rang, and the outside party hung up.
    CallerGaveUp,
    /// Extensions rang until the PBX gave up.
    RangOut,
    /// No extension was called: a menu, a queue, an announcement.
    NobodyRang,
    /// The employee hung up before the outside party answered.
    EmployeeGaveUp,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardRule {
    /// The phone sent the call on (302).
    ByPhone,
    /// The dial plan said so.
    ByDialPlan,
    /// An employee transferred the call there.
    Transferred,
    /// It was called together with, or after, the only extension that was called.
    CalledWith,
    Unknown,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartialRule {
    /// The call was under way before the first event.
    BeginNotSeen,
    /// The stream ended before the call.
    EndNotSeen,
}

/// What of `[calls.send]` leaves a call out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    Directions,
    Dids,
    Trunks,
    Extensions,
    Numbers,
    ShortestTalk,
    ShortestWait,
    /// `send` of its line.
    Line,
}
