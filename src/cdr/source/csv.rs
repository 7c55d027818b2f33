//! `Master.csv` of `cdr_csv`: a line for each record, in the order in which calls ended.

use crate::ami::event::made_at;
use crate::cdr::column::{Column, Raw};
use crate::cdr::csv;
use crate::cdr::row::{Row, Rows};
use crate::cdr::source::log::Line;
use crate::time::{PbxTime, local};

impl Line for Raw {
    /// Batches of `cdr.conf` put lines out of order by minutes, and a line's own offset may be wrong by as much
    /// as its call was long.
    const SLACK_MINUTES: u64 = 120;

    fn read(line: &[u8]) -> Option<Self> {
        csv::record(line)
    }

    fn unreadable() -> Option<Self> {
        Some(Self::default())
    }

    fn shown(&self) -> Option<i64> {
        self.get(Column::End).and_then(local::parse)
    }

    /// The end of the record.
    fn at(&self, fallback: Option<i64>) -> Option<PbxTime> {
        let rows = Rows::read(std::slice::from_ref(self), fallback).rows;
        let tells = |row: &&Row| fallback.is_some() || made_at(row.uniqueid.as_bytes()).is_some();
        rows.first().filter(tells).map(|row| row.end)
    }
}
