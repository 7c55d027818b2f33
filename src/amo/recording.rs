//! Pure: where the sound of a call is heard, and under which names its file may lie.
//!
//! Without a folder to look in, the address is made of the name that the PBX told. With one, a file is
//! looked for first (what is looked for is a [`Search`]; others touch the disk), and the address is
//! that of the file that is there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::amo::calls::{Clocks, Manner};
use crate::amo::settings::{Settings, without_login};
use crate::amo::template::{self, Places, Template};
use crate::call::record::{CallRecord, Outcome};
use crate::time::{PbxTime, local};

/// What an address can have in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// The file below its folder; without the day's folders where the address names the day itself.
    File,
    /// The same without its ending, for files that become others.
    Stem,
    /// The file's name alone.
    Name,
    Year,
    Month,
    Day,
    Pbx,
    /// The first channel of the call.
    Uniqueid,
}

/// What a pattern can have in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mark {
    Uniqueid,
    Year,
    Month,
    Day,
    Phone,
    Extension,
    Pbx,
}

/// An `http(s)` address with places behind its host.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinkTemplate {
    /// Scheme and host.
    site: String,
    rest: Template<Place>,
}

/// Where a file lies below its folder, with `*` and `?` for what is not known.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct SearchTemplate(Template<Mark>);

/// A file that is to be looked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Search {
    /// No file outside of this folder is the one.
    pub root: PathBuf,
    /// Paths below it, the likeliest first; the ending may be another one.
    pub names: Vec<String>,
    /// Patterns of paths below it.
    pub patterns: Vec<String>,
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error(
        "{:?} must be an http or https address with {{file}}, {{stem}}, {{name}} or {{uniqueid}} in it, behind the host",
        without_login(.0)
    )]
    Address(String),
    #[error(
        "{0:?} must be a path below recording-root with {{uniqueid}} in it: without it, another call's recording may be taken"
    )]
    Pattern(String),
    #[error(transparent)]
    Template(#[from] template::Error),
}

/// Longest address, in bytes: what browsers and proxies accept without question.
pub const LINK_MAX: usize = 2048;
/// Channels of a call by which its file is looked for.
const UNIQUEIDS_MAX: usize = 8;
const DAY: i64 = 24 * 3600 * 1_000_000;

impl Places for Place {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("file", Self::File),
        ("stem", Self::Stem),
        ("name", Self::Name),
        ("year", Self::Year),
        ("month", Self::Month),
        ("day", Self::Day),
        ("pbx", Self::Pbx),
        ("uniqueid", Self::Uniqueid),
    ];
}

impl Places for Mark {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("uniqueid", Self::Uniqueid),
        ("year", Self::Year),
        ("month", Self::Month),
        ("day", Self::Day),
        ("phone", Self::Phone),
        ("extension", Self::Extension),
        ("pbx", Self::Pbx),
    ];
}

/// What a call may have a sound of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Talk,
    Message,
}

fn kind(record: &CallRecord) -> Option<Kind> {
    match (record.answered, record.outcome == Outcome::Voicemail) {
        (true, _) => Some(Kind::Talk),
        (false, true) => Some(Kind::Message),
        (false, false) => None,
    }
}

/// The address of the call's sound, as far as it is known.
pub fn link(record: &CallRecord, settings: &Settings, manner: &Manner<'_>) -> Option<String> {
    let (template, root, told) = match kind(record)? {
        Kind::Talk => {
            (settings.recording_url.as_ref()?, &settings.recording_root, record.recording.as_deref())
        }
        Kind::Message => {
            (settings.voicemail_url.as_ref()?, &settings.voicemail_root, record.message.as_deref())
        }
    };
    let file = if root.is_some() { Some(manner.sound?) } else { told };
    let link = template.fill(record, file, &manner.clocks)?;
    (link.len() <= LINK_MAX).then_some(link)
}

/// What is to be looked for before the address is known; `None` when nothing is.
pub fn search(record: &CallRecord, settings: &Settings, clocks: &Clocks) -> Option<Search> {
    let kind = kind(record)?;
    let (url, root) = match kind {
        Kind::Talk => (&settings.recording_url, &settings.recording_root),
        Kind::Message => (&settings.voicemail_url, &settings.voicemail_root),
    };
    url.as_ref()?;
    let root = PathBuf::from(root.as_ref()?.to_str()?.replace("{pbx}", record.pbx.as_str()));
    let told: Vec<&String> = match kind {
        Kind::Talk => record.recording.iter().chain(&record.recording_hints).collect(),
        Kind::Message => record.message.iter().collect(),
    };
    let days = days(record, clocks);
    let mut names: Vec<String> = Vec::new();
    for told in told.into_iter().filter_map(|told| below(told)) {
        let by_day =
            days.iter().filter(|_| !told.contains('/')).map(|[y, m, d]| format!("{y}/{m}/{d}/{told}"));
        for name in by_day.chain([told.to_owned()]) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let template = settings.recording_search.as_ref().filter(|_| kind == Kind::Talk);
    let patterns = template.map(|template| template.patterns(record, &days)).unwrap_or_default();
    (!names.is_empty() || !patterns.is_empty()).then_some(Search { root, names, patterns })
}

/// The days on which the file may have been made: the one on which the call began, the one on which it
/// ended, and their neighbours, in case the PBX has a zone of its own.
fn days(record: &CallRecord, clocks: &Clocks) -> Vec<[String; 3]> {
    let at =
        |at: PbxTime, days: i64| date(PbxTime::from_micros(at.micros().saturating_add(days * DAY)), clocks);
    let (from, to) = (record.started_at, record.ended_at);
    let mut all = Vec::new();
    for day in [at(from, 0), at(to, 0), at(from, -1), at(to, 1)] {
        if !all.contains(&day) {
            all.push(day);
        }
    }
    all
}

/// Year, month and day of the PBX's moment, where this host is.
fn date(at: PbxTime, clocks: &Clocks) -> [String; 3] {
    let by_host = at.to_host(clocks.host_ahead).micros();
    let text = local::text(by_host.saturating_add(i64::from(clocks.utc_offset) * 1_000_000));
    let mut parts = text.split([' ', '-']).map(str::to_owned);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// A path that stays below its folder; `None` for one that would leave it.
fn below(path: &str) -> Option<&str> {
    let path = path.trim_start_matches('/');
    let is_within = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    (!path.is_empty() && path.split('/').all(is_within)).then_some(path)
}

/// The folders `2026/11/22` with which a path begins, and what is behind them.
fn by_day(path: &str) -> Option<([&str; 3], &str)> {
    let mut parts = path.splitn(4, '/');
    let day = [parts.next()?, parts.next()?, parts.next()?];
    let is_number =
        |text: &str, digits: usize| text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    let is_day = is_number(day[0], 4) && is_number(day[1], 2) && is_number(day[2], 2);
    Some((day, parts.next()?)).filter(|_| is_day)
}

impl LinkTemplate {
    /// The address; `None` when the template asks for a file and there is none, or it would leave its
    /// folder: a browser resolves dots before it asks.
    fn fill(&self, record: &CallRecord, file: Option<&str>, clocks: &Clocks) -> Option<String> {
        let needs_file = [Place::File, Place::Stem, Place::Name].iter().any(|place| self.rest.has(*place));
        let file = file.and_then(below);
        if needs_file && file.is_none() {
            return None;
        }
        let split = file.and_then(by_day);
        let [year, month, day] = match split {
            Some((day, _)) => day.map(str::to_owned),
            None => date(record.started_at, clocks),
        };
        let told = if self.rest.has(Place::Day) { split.map(|(_, file)| file).or(file) } else { file };
        let value = |place| match place {
            Place::File => told.map(encoded),
            Place::Stem => told.map(stem).map(encoded),
            Place::Name => file.and_then(|file| file.rsplit('/').next()).map(encoded),
            Place::Year => Some(year.clone()),
            Place::Month => Some(month.clone()),
            Place::Day => Some(day.clone()),
            Place::Pbx => Some(encoded(record.pbx.as_str())),
            Place::Uniqueid => record.uniqueids.first().map(|uniqueid| encoded(uniqueid)),
        };
        Some(format!("{}{}", self.site, self.rest.fill(&value)))
    }
}

/// A path without the ending of its file.
fn stem(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && !ending.contains('/') => stem,
        Some(_) | None => path,
    }
}

/// The bytes of a path as an address has them.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

impl SearchTemplate {
    fn patterns(&self, record: &CallRecord, days: &[[String; 3]]) -> Vec<String> {
        let mut patterns = Vec::new();
        for uniqueid in record.uniqueids.iter().take(UNIQUEIDS_MAX) {
            for day in days {
                let value = |mark| match mark {
                    Mark::Uniqueid => Some(uniqueid.clone()),
                    Mark::Year => Some(day[0].clone()),
                    Mark::Month => Some(day[1].clone()),
                    Mark::Day => Some(day[2].clone()),
                    Mark::Phone => record.phone.clone(),
                    Mark::Extension => record.responsible.clone(),
                    Mark::Pbx => Some(record.pbx.as_str().to_owned()),
                };
                // What a caller sends must not become a part of the pattern.
                let plain = |mark| value(mark).filter(|text| is_plain(text));
                let is_whole =
                    Mark::NAMES.iter().all(|(_, mark)| !self.0.has(*mark) || plain(*mark).is_some());
                let pattern = self.0.fill(&plain);
                if is_whole && !patterns.contains(&pattern) {
                    patterns.push(pattern);
                }
            }
        }
        patterns
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.contains("..")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+@".contains(&b))
}

impl TryFrom<String> for LinkTemplate {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let wrong = || Error::Address(text.clone());
        let rest =
            text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or_else(wrong)?;
        let host = rest.find(['/', '?']).unwrap_or(rest.len());
        let (site, rest) = text.split_at(text.len() - rest.len() + host);
        let is_plain = text.bytes().all(|b| b.is_ascii_graphic());
        if host == 0 || !is_plain || site.contains(['{', '}']) {
            return Err(wrong());
        }
        let rest = Template::parse(rest)?;
        if ![Place::File, Place::Stem, Place::Name, Place::Uniqueid].into_iter().any(|place| rest.has(place))
        {
            return Err(wrong());
        }
        Ok(Self { site: site.to_owned(), rest })
    }
}

impl From<LinkTemplate> for String {
    fn from(template: LinkTemplate) -> Self {
        template.site + template.rest.as_str()
    }
}

impl TryFrom<String> for SearchTemplate {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let template = Template::parse(&text)?;
        let is_below = text.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !template.has(Mark::Uniqueid) || !is_below {
            return Err(Error::Pattern(text));
        }
        Ok(Self(template))
    }
}

impl From<SearchTemplate> for String {
    fn from(template: SearchTemplate) -> Self {
        template.0.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests;
