//! Call detail records as Asterisk's `cdr_csv` writes them, and two ways to make calls of them:
//! [`usual`] and [`careful`].

#![allow(clippy::allow_attributes, dead_code, reason = "the test and the example use a part each")]

#[path = "cdr/careful.rs"]
pub mod careful;
#[path = "cdr/conversation.rs"]
mod conversation;
#[path = "cdr/usual.rs"]
pub mod usual;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Serialize;

/// What a reader of CDR must be told of a PBX, since the rows do not say it.
#[derive(Debug)]
pub struct Pbx {
    /// Endpoints of providers: `trunk-msk` of `PJSIP/trunk-msk-0000002a`.
    pub trunks: &'static [&'static str],
    /// Numbers that the PBX shows outside.
    pub own: &'static [&'static str],
}

/// The PBXs of the captures.
pub const LAB: Pbx = Pbx {
    trunks: &["trunk-msk", "trunk-spb", "trunk-dead", "gw1", "gw2", "mango", "200", "74951234567"],
    own: &["74957000100"],
};

/// One row; seconds are those since 1970.
#[derive(Clone, Debug)]
pub struct Row {
    pub src: String,
    pub dst: String,
    pub channel: Channel,
    pub dstchannel: Option<Channel>,
    pub lastapp: String,
    pub lastdata: String,
    pub start: i64,
    pub answer: Option<i64>,
    pub end: i64,
    pub duration: i64,
    pub billsec: i64,
    pub disposition: Disposition,
    pub uniqueid: String,
    pub linkedid: String,
    pub sequence: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disposition {
    Answered,
    Busy,
    Congestion,
    Failed,
    NoAnswer,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Channel {
    pub name: String,
    pub kind: Kind,
}

/// What a channel's name tells of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    Trunk,
    /// With the extension's number.
    Phone(String),
    /// One half of `Local/EXTEN@CONTEXT-00000004;1`.
    Local {
        exten: String,
    },
    Other,
}

/// A call as a reader of CDR reports it, under the names that the truth has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    pub direction: Direction,
    pub phone: String,
    pub answered: bool,
    pub responsible: Option<String>,
    pub status: u8,
    pub talk_seconds: i64,
    pub bridged_seconds: i64,
    pub wait_seconds: i64,
    pub answered_by: Vec<String>,
    pub rang: Vec<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Inbound,
    Outbound,
}

/// amoCRM's statuses of a call.
pub mod status {
    pub const MESSAGE_LEFT: u8 = 1;
    pub const NOT_AVAILABLE: u8 = 3;
    pub const TALKED: u8 = 4;
    pub const WRONG_NUMBER: u8 = 5;
    pub const NOT_REACHED: u8 = 6;
    pub const BUSY: u8 = 7;
}

/// Columns of `cdr_csv` with `loguniqueid`, `loguserfield` and `newcdrcolumns`.
const COLUMNS: usize = 21;

/// `app_dial` and others cut `lastdata` to this many bytes.
const LASTDATA_MAX: usize = 79;

impl Row {
    /// The rows of a file, or what is wrong with it.
    pub fn read(text: &str, pbx: &Pbx) -> Result<Vec<Self>, String> {
        records(text)
            .iter()
            .enumerate()
            .map(|(number, record)| {
                Self::parse(record, pbx).ok_or_else(|| format!("row {} is no CDR: {record:?}", number + 1))
            })
            .collect()
    }

    fn parse(record: &[String], pbx: &Pbx) -> Option<Self> {
        if record.len() != COLUMNS {
            return None;
        }
        let text = |column: usize| record[column].clone();
        let number = |column: usize| record[column].parse::<i64>().ok();
        Some(Self {
            src: text(1),
            dst: text(2),
            channel: Channel::parse(&record[5], pbx)?,
            dstchannel: Channel::parse(&record[6], pbx),
            lastapp: text(7),
            lastdata: text(8),
            start: seconds(&record[9])?,
            answer: seconds(&record[10]),
            end: seconds(&record[11])?,
            duration: number(12)?,
            billsec: number(13)?,
            disposition: Disposition::parse(&record[14])?,
            uniqueid: text(16),
            linkedid: text(19),
            sequence: record[20].parse().ok()?,
        })
    }

    /// Whether the application's arguments name this extension's phone; `None` when they were cut.
    pub fn names(&self, extension: &str) -> Option<bool> {
        let named = self.targets().any(|target| phone_of(target).as_deref() == Some(extension));
        (named || self.lastdata.len() < LASTDATA_MAX).then_some(named)
    }

    /// The number in `Dial(PJSIP/NUMBER@TRUNK)` or `Dial(PJSIP/TRUNK/sip:NUMBER@HOST)`.
    pub fn dialled(&self) -> Option<&str> {
        self.targets().find_map(|target| {
            let (user, _) = target.rsplit('/').next()?.split_once('@')?;
            let number = user.trim_start_matches("sip:").trim_start_matches(char::is_alphabetic);
            is_number(number).then_some(number)
        })
    }

    fn targets(&self) -> impl Iterator<Item = &str> {
        let targets = if self.lastapp == "Dial" { self.lastdata.as_str() } else { "" };
        targets.split(',').next().unwrap_or_default().split('&')
    }
}

impl Channel {
    fn parse(name: &str, pbx: &Pbx) -> Option<Self> {
        let (technology, rest) = name.split_once('/')?;
        let (resource, _) = rest.rsplit_once('-')?;
        let kind = match technology {
            "Local" => Kind::Local { exten: resource.split('@').next().unwrap_or_default().to_owned() },
            _ if pbx.trunks.contains(&resource) => Kind::Trunk,
            _ => extension(resource).map_or(Kind::Other, Kind::Phone),
        };
        Some(Self { name: name.to_owned(), kind })
    }

    /// The other half of a Local channel: what goes in at one end comes out at the other.
    pub fn other_half(&self) -> Option<String> {
        let (base, half) = self.name.rsplit_once(';')?;
        matches!(self.kind, Kind::Local { .. })
            .then(|| format!("{base};{}", if half == "1" { "2" } else { "1" }))
    }
}

impl Disposition {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "ANSWERED" => Some(Self::Answered),
            "BUSY" => Some(Self::Busy),
            "CONGESTION" => Some(Self::Congestion),
            "FAILED" => Some(Self::Failed),
            "NO ANSWER" => Some(Self::NoAnswer),
            _ => None,
        }
    }
}

/// The extension whose endpoint this is: three digits from 100 to 199, perhaps after letters.
pub fn extension(endpoint: &str) -> Option<String> {
    let number = endpoint.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
    let is_one = number.len() == 3 && number.starts_with('1') && number.bytes().all(|b| b.is_ascii_digit());
    is_one.then(|| number.to_owned())
}

/// Whether this can be a number outside.
pub fn is_number(text: &str) -> bool {
    text.len() >= 7 && text.trim_start_matches('+').bytes().all(|byte| byte.is_ascii_digit())
}

/// `101` of `PJSIP/101` and `PJSIP/101/sip:101@10.0.0.5`, nothing of what goes to a provider.
fn phone_of(target: &str) -> Option<String> {
    extension(target.split('/').nth(1)?)
}

fn seconds(text: &str) -> Option<i64> {
    let time: DateTime = text.parse().ok()?;
    TimeZone::UTC.to_timestamp(time).ok().map(Timestamp::as_second)
}

/// The fields of a CSV file: quotes are doubled within quotes.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            '\r' if !quoted => {}
            other => field.push(other),
        }
    }
    records
}

#[cfg(test)]
#[path = "cdr/tests.rs"]
mod tests;
