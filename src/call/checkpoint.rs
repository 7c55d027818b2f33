//! Pure: calls in progress as values that outlive the process.
//!
//! A checkpoint is a set of small JSON values by key, of which only those that changed are written:
//!
//! ```text
//! c/<uniqueid>    one channel: what the events said of it, and the call it belongs to
//! g/<uniqueid>    one call, by the channel that was first in it
//! e/<endpoint>    what was seen of an endpoint's side
//! s               the stream: clock, and channels that ended a moment ago
//! ```
//!
//! They hold facts under uniqueids and names, so that any later build can read them: a field that is
//! missing has a default, one that is not known is kept and written again, and a value of a later
//! version is left alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::call::facts::{BridgeKind, DialEnd, Gone, Origin, Recording, Saying, Span};
use crate::call::record::TimeSource;
use crate::time::{PbxTime, micros};

/// The version of the values. A later one is not read.
pub const VERSION: u32 = 1;

/// One value that changed; without one the key is to be removed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    pub key: String,
    pub value: Option<Vec<u8>>,
}

/// A value, by what its key says it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Channel(Box<ChannelV1>),
    Call(Box<CallV1>),
    Endpoint(EndpointV1),
    Stream(StreamV1),
}

/// Why a value cannot be used. It stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a value of version {0} was written by a later program")]
    Later(u32),
    #[error("there is no kind of value with the key {0:?}")]
    Key(String),
    #[error("the value cannot be read")]
    Json(#[from] serde_json::Error),
}

/// What later programs wrote and this one does not know.
pub type Unknown = BTreeMap<String, serde_json::Value>;

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, as it is stored")]
pub struct ChannelV1 {
    pub v: u32,
    pub uniqueid: String,
    /// The first channel of its call.
    pub call: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub linkedid: String,
    #[serde(default)]
    pub announced: bool,
    #[serde(default)]
    pub guessed: bool,
    #[serde(default = "unknown_origin")]
    pub origin: Origin,
    #[serde(with = "micros")]
    pub born: PbxTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<Gone>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub hangup_requested: Option<PbxTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    #[serde(default)]
    pub exten: String,
    #[serde(default)]
    pub context: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// The other half of a Local pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dials: Vec<DialV1>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<StayV1>,
    /// The last of `stays` goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_bridge: bool,
    /// A bridge that it left without having been seen to enter, and that others may leave yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Span>,
    #[serde(default, skip_serializing_if = "ExtrasV1::is_empty")]
    pub extras: ExtrasV1,
    /// Its conversation has been reported already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reported: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct DialV1 {
    /// The channel that dialled; none: the PBX by itself, or one that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(with = "micros")]
    pub at: PbxTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<DialEnd>,
}

/// A time in a bridge. Bridges are told apart by `label`; `id` is Asterisk's name of one that lives.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct StayV1 {
    pub label: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub kind: BridgeKind,
    #[serde(with = "micros")]
    pub from: PbxTime,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub to: Option<PbxTime>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ExtrasV1 {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub queue_joined: Option<PbxTime>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub queue_abandoned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<Recording>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub meant: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dial_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub message_left: Option<PbxTime>,
    #[serde(skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub parked: Option<PbxTime>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transfers: Vec<TransferV1>,
    #[serde(skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub picked_up: Option<PbxTime>,
    #[serde(skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub answered_since: Option<PbxTime>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fax: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub spy: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<Saying>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct TransferV1 {
    #[serde(with = "micros")]
    pub at: PbxTime,
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What is known of a call beyond its channels.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct CallV1 {
    pub v: u32,
    /// The channel that was first in it.
    pub first: String,
    /// Of two calls that turn out to be one, the one with the lower number takes the other in.
    pub order: u64,
    #[serde(default)]
    pub linkedids: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub deadline: Option<PbxTime>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reported: bool,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub silent_since: Option<PbxTime>,
    /// The end of one of its channels was not seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Who of other calls, over by now, was in its conferences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guests: Vec<ChannelV1>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct EndpointV1 {
    pub v: u32,
    pub name: String,
    /// Names of evidence; those that are not known speak for nothing.
    #[serde(default)]
    pub seen: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct StreamV1 {
    pub v: u32,
    /// The time of the last event.
    #[serde(with = "micros")]
    pub now: PbxTime,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub begun: Option<PbxTime>,
    /// Until then the connection was whole.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub alive: Option<PbxTime>,
    /// What is added to the PBX's clock, in microseconds.
    #[serde(default)]
    pub shift: i64,
    pub time: TimeSource,
    /// Channels that ended within the last seconds: late events about them are stepped over.
    #[serde(default)]
    pub ended: Vec<String>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

fn unknown_origin() -> Origin {
    Origin::Unknown
}

impl ExtrasV1 {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Value {
    /// Reads the value under `key`.
    ///
    /// # Errors
    /// When it is damaged, of a later version, or of a kind that is not known.
    pub fn read(key: &str, json: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }
        let Versioned { v } = serde_json::from_slice(json)?;
        if v > VERSION {
            return Err(Error::Later(v));
        }
        Ok(match key.split('/').next() {
            Some("c") => Self::Channel(serde_json::from_slice(json)?),
            Some("g") => Self::Call(serde_json::from_slice(json)?),
            Some("e") => Self::Endpoint(serde_json::from_slice(json)?),
            Some("s") => Self::Stream(serde_json::from_slice(json)?),
            Some(_) | None => return Err(Error::Key(key.to_owned())),
        })
    }

    /// The change that writes it.
    pub fn change(&self) -> Change {
        let (key, json) = match self {
            Self::Channel(channel) => (channel_key(&channel.uniqueid), serde_json::to_vec(channel)),
            Self::Call(call) => (call_key(&call.first), serde_json::to_vec(call)),
            Self::Endpoint(endpoint) => (format!("e/{}", endpoint.name), serde_json::to_vec(endpoint)),
            Self::Stream(stream) => ("s".to_owned(), serde_json::to_vec(stream)),
        };
        Change { key, value: Some(json.expect("strings and numbers always have a JSON form")) }
    }
}

/// Where a channel's value lies.
pub fn channel_key(uniqueid: &str) -> String {
    format!("c/{uniqueid}")
}

/// Where a call's value lies.
pub fn call_key(first: &str) -> String {
    format!("g/{first}")
}
