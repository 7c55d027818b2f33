//! Pure: the columns that call detail records have, whatever a table calls them.

use std::collections::BTreeMap;

/// A column that calls can be made of.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Column {
    Account,
    Src,
    Dst,
    Context,
    Channel,
    DstChannel,
    LastApp,
    LastData,
    Start,
    Answer,
    End,
    Duration,
    Billsec,
    Disposition,
    Uniqueid,
    Linkedid,
    Sequence,
    Did,
    /// The caller's number; `Src` may be what the PBX showed for him.
    CallerNumber,
    Recording,
}

/// One record as the source has it, by columns of some kind.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Raw<C = Column> {
    values: BTreeMap<C, String>,
}

/// A kind of columns.
pub trait Named: Copy + Ord {
    /// The column that `name` is, if calls need it.
    fn of_name(name: &str) -> Option<Self>;
}

/// What tables call them, in lower case: Asterisk's own modules, FreePBX and Issabel, `MikoPBX`.
const NAMES: &[(Column, &[&str])] = &[
    (Column::Account, &["accountcode"]),
    (Column::Src, &["src", "src_num"]),
    (Column::Dst, &["dst", "dst_num"]),
    (Column::Context, &["dcontext"]),
    (Column::Channel, &["channel", "src_chan"]),
    (Column::DstChannel, &["dstchannel", "dst_chan"]),
    (Column::LastApp, &["lastapp"]),
    (Column::LastData, &["lastdata"]),
    (Column::Start, &["calldate", "start"]),
    (Column::Answer, &["answer"]),
    (Column::End, &["end", "endtime"]),
    (Column::Duration, &["duration"]),
    (Column::Billsec, &["billsec"]),
    (Column::Disposition, &["disposition"]),
    (Column::Uniqueid, &["uniqueid"]),
    (Column::Linkedid, &["linkedid"]),
    (Column::Sequence, &["sequence"]),
    (Column::Did, &["did"]),
    (Column::CallerNumber, &["cnum"]),
    (Column::Recording, &["recordingfile"]),
];

impl Named for Column {
    fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        NAMES.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(column, _)| *column)
    }
}

impl<C> Default for Raw<C> {
    fn default() -> Self {
        Self { values: BTreeMap::new() }
    }
}

impl<C: Copy + Ord> Raw<C> {
    /// Sets a value; an empty one is none.
    pub fn set(&mut self, column: C, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.values.insert(column, value);
        }
    }

    /// The value, if there is one.
    pub fn get(&self, column: C) -> Option<&str> {
        self.values.get(&column).map(String::as_str)
    }
}

impl<C: Copy + Ord> FromIterator<(C, String)> for Raw<C> {
    fn from_iter<I: IntoIterator<Item = (C, String)>>(values: I) -> Self {
        let mut raw = Self::default();
        values.into_iter().for_each(|(column, value)| raw.set(column, value));
        raw
    }
}
