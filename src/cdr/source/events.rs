//! Reads channel events (CEL) beside the records: `cel_custom`'s file beside `Master.csv`, or a table of the
//! same database. Calls can be told without them, so whatever goes wrong here is said and no more.

use std::path::PathBuf;

use crate::ami::event::made_at;
use crate::cdr::cel::csv;
use crate::cdr::cel::entry::{self, Column, Entry};
use crate::cdr::column::Raw;
use crate::cdr::range::Range;
use crate::cdr::row::Row;
use crate::cdr::source::log::{self, Line};
use crate::cdr::source::{Error, Source, Unread, aside};
use crate::time::{PbxTime, local};

/// Where the events of a source's PBX are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Events {
    /// Of a source that is a file itself.
    Csv { path: PathBuf },
    /// In the database of the records.
    Table { name: String },
}

/// What was read of the events of some time.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub entries: Vec<Entry>,
    pub unread: Vec<Unread>,
}

impl Line for Raw<Column> {
    /// Each call has some twenty.
    const SLACK_MINUTES: u64 = 5;

    fn read(line: &[u8]) -> Option<Self> {
        csv::record(line).filter(entry::is_of_use)
    }

    fn unreadable() -> Option<Self> {
        None
    }

    fn shown(&self) -> Option<i64> {
        self.get(Column::Time).and_then(local::parse)
    }

    fn at(&self, fallback: Option<i64>) -> Option<PbxTime> {
        entry::at(self, entry::witness(self).or(fallback))
    }
}

impl Source {
    /// The events of calls within `range`, of which `rows` are the records.
    pub async fn read_events(&self, events: &Events, range: Range, rows: &[Row]) -> Found {
        let reading = async {
            match events {
                Events::Csv { path } => {
                    let text = log::read(path.clone(), range).await.map_err(of_events)?;
                    let entries = aside(move || Entry::read(&text.lines, text.fallback)).await?;
                    Ok(Found { entries, unread: text.unread })
                }
                Events::Table { name } => {
                    let [from, to] = linkedids(range, rows);
                    let raws = self.with_table(name).read_linked([from, to]).await?;
                    let entries = aside(move || Entry::read(&raws, None)).await?;
                    Ok(Found { entries, unread: Vec::new() })
                }
            }
        };
        self.patiently(reading).await.unwrap_or_else(|error: Error| {
            let what = self.events_place(events);
            let cause = match &error {
                Error::EventsFile { source, .. } => source.to_string(),
                Error::File { .. }
                | Error::NotBuilt(..)
                | Error::Database { .. }
                | Error::Column { .. }
                | Error::Patience { .. }
                | Error::Unmade(_)
                | Error::TooManyEvents
                | Error::TooMany { .. } => error.to_string(),
            };
            Found { entries: Vec::new(), unread: vec![Unread { what, cause }] }
        })
    }

    /// When the newest event was written; `None` when there is none yet.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn probe_events(&self, events: &Events) -> Result<Option<PbxTime>, Error> {
        let looking = async {
            match events {
                Events::Csv { path } => {
                    let text = log::newest::<Raw<Column>>(path.clone()).await.map_err(of_events)?;
                    Ok(Entry::read(&text.lines, text.fallback))
                }
                Events::Table { name } => {
                    Ok(Entry::read(&self.with_table(name).newest_events().await?, None))
                }
            }
        };
        Ok(self.patiently(looking).await?.last().map(|entry| entry.at))
    }

    /// What and where they are, for people.
    pub fn events_place(&self, events: &Events) -> String {
        match events {
            Events::Csv { path } => path.display().to_string(),
            Events::Table { name } => self.with_table(name).place(),
        }
    }

    /// Another table of the same database.
    fn with_table(&self, name: &str) -> Self {
        let mut other = self.clone();
        match &mut other {
            Self::Csv { .. } => {}
            Self::Mysql(server) | Self::Postgres(server) => name.clone_into(&mut server.table),
            Self::Sqlite { table, .. } => name.clone_into(table),
        }
        other
    }
}

fn of_events(error: Error) -> Error {
    if let Error::File { path, source } = error { Error::EventsFile { path, source } } else { error }
}

/// The linkedids that calls of this time can have: tables of events have an index of them, and often none of
/// the time. One begins with the name of the system, where it has one, and the second in which its call began.
fn linkedids(range: Range, rows: &[Row]) -> [String; 2] {
    let of_row = rows.iter().map(|row| row.linkedid.as_str()).find(|id| made_at(id.as_bytes()).is_some());
    let system = of_row.and_then(|id| id.rfind('-').and_then(|dash| id.get(..=dash))).unwrap_or_default();
    let second = |at: PbxTime| at.micros().div_euclid(1_000_000);
    let lead = i64::try_from(Range::LEAD.as_secs()).unwrap_or(0);
    [second(range.from) - lead, second(range.to) + 1].map(|second| format!("{system}{second}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linkedids_have_the_system_s_name_and_the_second() {
        let at = |second: i64| PbxTime::from_micros(second * 1_000_000);
        let range = Range { from: at(1_795_339_635), to: at(1_795_339_700) };
        assert_eq!(linkedids(range, &[]), ["1795332435", "1795339701"]);
        let raw = Raw::from_iter([
            (crate::cdr::column::Column::Channel, "PJSIP/101-1".to_owned()),
            (crate::cdr::column::Column::Start, "2026-11-22 09:27:15".to_owned()),
            (crate::cdr::column::Column::Linkedid, "pbx-a-1795339635.1".to_owned()),
        ]);
        let rows = crate::cdr::row::Rows::read(&[raw], Some(0)).rows;
        assert_eq!(linkedids(range, &rows), ["pbx-a-1795332435", "pbx-a-1795339701"]);
    }
}
