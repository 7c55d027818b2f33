//! Pure: one channel event, with its time in UTC.

use std::collections::BTreeMap;

use crate::ami::event::made_at;
use crate::cdr::column::{Named, Raw};
use crate::time::{PbxTime, local};

/// A column that calls can be made of.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Column {
    Kind,
    Time,
    Number,
    Exten,
    Context,
    Channel,
    App,
    Data,
    Account,
    Uniqueid,
    Linkedid,
    Extra,
    /// Tells the order of what is of one second.
    Place,
}

/// What tables call them, in lower case.
const NAMES: &[(&str, Column)] = &[
    ("eventtype", Column::Kind),
    ("eventtime", Column::Time),
    ("cid_num", Column::Number),
    ("exten", Column::Exten),
    ("context", Column::Context),
    ("channame", Column::Channel),
    ("appname", Column::App),
    ("appdata", Column::Data),
    ("accountcode", Column::Account),
    ("uniqueid", Column::Uniqueid),
    ("linkedid", Column::Linkedid),
    ("extra", Column::Extra),
    ("eventextra", Column::Extra),
    ("id", Column::Place),
];

impl Named for Column {
    fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, column)| *column)
    }
}

/// What happened to a channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Start,
    End,
    Hangup,
    Answer,
    AppStart,
    AppEnd,
    Enter,
    Leave,
    Blind,
    Attended,
    Pickup,
    Parked,
    Unparked,
    Forward,
    /// Of no use to calls.
    Other,
}

/// What they are called, and the numbers that a table may have in their place.
const KINDS: &[(&str, &str, Kind)] = &[
    ("CHAN_START", "1", Kind::Start),
    ("CHAN_END", "2", Kind::End),
    ("HANGUP", "3", Kind::Hangup),
    ("ANSWER", "4", Kind::Answer),
    ("APP_START", "5", Kind::AppStart),
    ("APP_END", "6", Kind::AppEnd),
    ("BRIDGE_ENTER", "7", Kind::Enter),
    ("BRIDGE_EXIT", "8", Kind::Leave),
    ("PARK_START", "11", Kind::Parked),
    ("PARK_END", "12", Kind::Unparked),
    ("BLINDTRANSFER", "13", Kind::Blind),
    ("ATTENDEDTRANSFER", "14", Kind::Attended),
    ("PICKUP", "24", Kind::Pickup),
    ("FORWARD", "25", Kind::Forward),
];

/// One event. Texts that are not there are empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    pub kind: Kind,
    pub at: PbxTime,
    pub number: String,
    pub exten: String,
    pub context: String,
    /// Name of the channel.
    pub channel: String,
    pub app: String,
    pub data: String,
    pub account: String,
    pub uniqueid: String,
    pub linkedid: String,
    /// What goes with its kind: `bridge_id`, `hangupcause` …
    pub extra: BTreeMap<String, String>,
}

/// In `extra`: uniqueids of the others in a transfer or pickup, and the bridge. That two were in a conference makes
/// no one call of theirs, but to tell of either both must be known.
const OTHERS: [&str; 6] = [
    "bridge_id",
    "channel2_uniqueid",
    "transferee_channel_uniqueid",
    "transfer_target_channel_uniqueid",
    "pickup_channel_uniqueid",
    "local_two_uniqueid",
];

impl Entry {
    /// Reads events that are in the order of time. What a local clock showed is set right by the channels that
    /// began last before it, or by `fallback`, in microseconds ahead of UTC. What has no channel or time is left
    /// out.
    pub fn read(raws: &[Raw<Column>], fallback: Option<i64>) -> Vec<Self> {
        let mut offset = raws.iter().find_map(witness).or(fallback);
        let mut entries: Vec<Self> = Vec::with_capacity(raws.len());
        for raw in raws {
            offset = witness(raw).or(offset);
            entries.extend(Self::of(raw, offset));
        }
        entries.sort_by_key(|entry| entry.at);
        entries
    }

    fn of(raw: &Raw<Column>, offset: Option<i64>) -> Option<Self> {
        let text = |column| raw.get(column).unwrap_or_default().to_owned();
        let uniqueid = raw.get(Column::Uniqueid)?.to_owned();
        Some(Self {
            kind: kind(raw.get(Column::Kind)?),
            at: at(raw, offset)?,
            number: text(Column::Number),
            exten: text(Column::Exten),
            context: text(Column::Context),
            channel: raw.get(Column::Channel).filter(|name| name.contains('/'))?.to_owned(),
            app: text(Column::App),
            data: text(Column::Data),
            account: text(Column::Account),
            uniqueid,
            linkedid: text(Column::Linkedid),
            extra: raw.get(Column::Extra).map(extra).unwrap_or_default(),
        })
    }

    /// Of what goes with its kind; nothing where Asterisk says that there is none.
    pub fn extra(&self, key: &str) -> Option<&str> {
        self.extra.get(key).map(String::as_str).filter(|value| !value.is_empty() && *value != "N/A")
    }

    /// All that tells which call it belongs to.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let others = OTHERS.iter().filter_map(|key| self.extra(key));
        [self.uniqueid.as_str(), self.linkedid.as_str()].into_iter().filter(|id| !id.is_empty()).chain(others)
    }
}

/// Whether calls can be made of it, as far as its kind tells.
pub fn is_of_use(raw: &Raw<Column>) -> bool {
    raw.get(Column::Kind).is_some_and(|text| kind(text) != Kind::Other)
}

/// When it was written, in UTC.
pub fn at(raw: &Raw<Column>, offset: Option<i64>) -> Option<PbxTime> {
    let shown = raw.get(Column::Time)?;
    PbxTime::parse(shown.as_bytes())
        .or_else(|| Some(PbxTime::from_micros(local::parse(shown)?.checked_sub(offset?)?)))
}

/// The clock's offset by a channel that began.
pub fn witness(raw: &Raw<Column>) -> Option<i64> {
    let began = raw.get(Column::Kind).is_some_and(|text| kind(text) == Kind::Start);
    let shown = raw.get(Column::Time).filter(|_| began).and_then(local::parse)?;
    Some(local::offset(shown, made_at(raw.get(Column::Uniqueid)?.as_bytes())?.micros()))
}

fn kind(text: &str) -> Kind {
    let found = KINDS.iter().find(|(name, number, _)| *name == text || *number == text);
    found.map_or(Kind::Other, |(_, _, kind)| *kind)
}

fn extra(json: &str) -> BTreeMap<String, String> {
    let values: BTreeMap<String, serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Array(_)
        | serde_json::Value::Object(_) => None,
    };
    values.into_iter().filter_map(|(key, value)| Some((key, text(value)?))).collect()
}
