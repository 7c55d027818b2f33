//! `Master.csv`: lines in the order in which calls ended, so a time is found by halving, and a file of a
//! gigabyte costs no more than the hour that is wanted.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cdr::column::{Column, Raw};
use crate::cdr::csv;
use crate::cdr::range::Range;
use crate::cdr::row::Rows;
use crate::cdr::source::{Error, ROWS_MAX};
use crate::time::{PbxTime, local};

/// A stretch of this many bytes has a whole line in it; Asterisk's own buffer for one has 1 KiB.
const STRETCH: u64 = 16 << 10;

/// A longer line is no record.
const LINE_MAX: usize = 64 << 10;

/// Batches of `cdr.conf` put lines out of order by minutes, and a line's own offset may be wrong by as much
/// as its call was long.
const SLACK: Duration = Duration::from_hours(2);

/// Lines at the end of a file that tell its clock's offset.
const TAIL: usize = 40;

/// Lines that a PBX may have written with a clock that was wrong, until it was set: so many in a row do not
/// hide the others. Half a megabyte that is read in vain.
const ASTRAY: usize = 2000;

/// So many bytes hold [`ASTRAY`] lines.
const ASTRAY_BYTES: u64 = 512 << 10;

pub(super) async fn read(path: PathBuf, range: Range) -> Result<Rows, Error> {
    on_file(path, move |file| {
        let fallback = fallback(file)?;
        let from = PbxTime::from_micros(range.from.micros() - micros(Range::LEAD + SLACK));
        let start = find(file, from, fallback)?;
        let until = range.to.after(SLACK + SLACK);
        let mut late = 0;
        let raws = lines(file, start, |raw| {
            // Many lines in a row from after the range: the rest is, too.
            late = if ended(raw, fallback).is_some_and(|end| end > until) { late + 1 } else { 0 };
            late < ASTRAY
        })?;
        Ok(Rows::read(&raws, fallback))
    })
    .await
}

pub(super) async fn newest(path: PathBuf) -> Result<Rows, Error> {
    on_file(path, |file| Ok(Rows::read(&tail(file)?, fallback(file)?))).await
}

async fn on_file(
    path: PathBuf,
    work: impl FnOnce(&mut File) -> io::Result<Rows> + Send + 'static,
) -> Result<Rows, Error> {
    let shown = path.clone();
    let reading = Reading::begin(&path).map_err(|source| Error::File { path: path.clone(), source })?;
    let done = tokio::task::spawn_blocking(move || {
        let _reading = reading;
        open(&path).and_then(|mut file| work(&mut file))
    });
    let done = done.await;
    done.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
        .map_err(|source| Error::File { path: shown, source })
}

/// A file that is being read. One on a server that is gone holds its thread for ever: it gets one, and not
/// another at each try.
struct Reading(PathBuf);

static READING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

impl Reading {
    fn begin(path: &Path) -> io::Result<Self> {
        let is_first = READING.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        let hangs =
            || io::Error::new(io::ErrorKind::WouldBlock, "an earlier reading of it has not come to its end");
        if is_first { Ok(Self(path.to_owned())) } else { Err(hangs()) }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        READING.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

fn open(path: &Path) -> io::Result<File> {
    // A pipe of this name would wait for who writes into it.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::from(io::ErrorKind::InvalidInput)) }
}

/// The offset of a clock whose uniqueids are not logged: the file was written to when its last call ended.
fn fallback(file: &mut File) -> io::Result<Option<i64>> {
    let written = file.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let last = tail(file)?.iter().filter_map(|raw| raw.get(Column::End).and_then(local::parse)).max();
    Ok(last.map(|last| local::offset(last, micros(written))))
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

fn tail(file: &mut File) -> io::Result<Vec<Raw>> {
    let length = file.metadata()?.len();
    let raws = lines(file, length.saturating_sub(STRETCH), |_| true)?;
    Ok(raws.into_iter().rev().take(TAIL).rev().collect())
}

/// The end of a record by its own uniqueid.
fn ended(raw: &Raw, fallback: Option<i64>) -> Option<PbxTime> {
    Rows::read(std::slice::from_ref(raw), fallback).rows.first().map(|row| row.end)
}

/// Where the lines begin that end at `from` or later, or somewhat before.
fn find(file: &mut File, from: PbxTime, fallback: Option<i64>) -> io::Result<u64> {
    let mut found = halve(file, from, fallback)?;
    // Lines with a wrong clock may have led past good ones.
    while found > 0 {
        let before = found.saturating_sub(ASTRAY_BYTES);
        let mut is_early = true;
        lines_until(file, before, found, |raw| {
            is_early = ended(raw, fallback).is_none_or(|end| end < from);
            is_early
        })?;
        if is_early {
            break;
        }
        found = before;
    }
    Ok(found)
}

/// As [`find`], in a file in which every line ends later than the one before.
fn halve(file: &mut File, from: PbxTime, fallback: Option<i64>) -> io::Result<u64> {
    let (mut low, mut high) = (0, file.metadata()?.len());
    while high - low > STRETCH {
        let middle = low + (high - low) / 2;
        let mut first = None;
        let mut seen = 0;
        lines(file, middle, |raw| {
            seen += 1;
            first = first.or(ended(raw, fallback));
            first.is_none() && seen < TAIL
        })?;
        match first {
            Some(end) if end < from => low = middle,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// The records from the first line that begins after `start` on, while they are `wanted`; from the
/// beginning those of the first line, too. A line that is no record is an empty one.
fn lines(file: &mut File, start: u64, wanted: impl FnMut(&Raw) -> bool) -> io::Result<Vec<Raw>> {
    lines_until(file, start, u64::MAX, wanted)
}

/// As [`lines`], of lines that end before `until`.
fn lines_until(
    file: &mut File,
    start: u64,
    until: u64,
    mut wanted: impl FnMut(&Raw) -> bool,
) -> io::Result<Vec<Raw>> {
    file.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::with_capacity(64 << 10, file.take(until.saturating_sub(start)));
    let (mut raws, mut line) = (Vec::new(), Vec::new());
    let mut torn = start > 0;
    loop {
        line.clear();
        let limit = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
        if reader.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(raws);
        }
        let is_whole = line.pop_if(|last| *last == b'\n').is_some();
        // The last line may still be being written.
        let is_over = !is_whole && line.len() < LINE_MAX;
        let was_torn = std::mem::replace(&mut torn, !is_whole);
        if was_torn || is_over || line.trim_ascii().is_empty() {
            continue;
        }
        let raw = csv::record(&line).filter(|_| is_whole).unwrap_or_default();
        if !wanted(&raw) || raws.len() > ROWS_MAX {
            return Ok(raws);
        }
        raws.push(raw);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const MADE: i64 = 1_795_339_635;

    fn line(minute: i64, uniqueid: bool) -> String {
        let text = |seconds: i64| local::text((MADE + minute * 60 + seconds + 3 * 3600) * 1_000_000);
        let behind = if uniqueid { format!(",\"{}.{minute}\"", MADE + minute * 60) } else { String::new() };
        format!(
            "\"\",\"7916{minute}\",\"101\",\"in\",\"x\",\"PJSIP/t-{minute:08x}\",\"\",\"Dial\",\"\",\"{}\",,\"{}\",9,0,\
             \"NO ANSWER\",\"D\"{behind}\n",
            text(0),
            text(9),
        )
    }

    fn at(minute: i64) -> PbxTime {
        PbxTime::from_micros((MADE + minute * 60) * 1_000_000)
    }

    #[tokio::test]
    async fn an_hour_is_found_in_a_year() {
        const MINUTES: i64 = 60_000;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for minute in 0..MINUTES {
            file.write_all(line(minute, true).as_bytes()).unwrap();
        }
        file.write_all(b"\"\",\"torn").unwrap();
        for from in [0, 1, 30_000, 30_001, MINUTES - 60, MINUTES + 500] {
            let range = Range { from: at(from), to: at(from + 60) };
            let rows =
                super::super::Source::Csv { path: file.path().to_owned() }.read(range).await.unwrap().rows;
            let expected: Vec<_> = (0..MINUTES)
                .filter(|m| (from - 120..=from + 60).contains(m))
                .map(|m| format!("7916{m}"))
                .collect();
            let found: Vec<_> = rows.into_iter().map(|row| row.src).collect();
            assert_eq!(found.first().zip(found.last()), expected.first().zip(expected.last()), "{from}");
            assert_eq!(found.len(), expected.len(), "{from}");
        }
    }

    #[tokio::test]
    async fn without_uniqueids_the_file_s_own_time_tells_the_zone() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(line(0, false).as_bytes()).unwrap();
        let written = std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(MADE + 11).unwrap());
        file.as_file().set_modified(written).unwrap();
        let rows = newest(file.path().to_owned()).await.unwrap().rows;
        assert_eq!(rows[0].start, at(0));
    }

    /// `count` lines of one a minute; the calls `astray` are written with a clock that is `days` off.
    fn with_wrong_clock(count: i64, astray: std::ops::Range<i64>, days: i64) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for minute in 0..count {
            let shown = if astray.contains(&minute) { minute + days * 24 * 60 } else { minute };
            file.write_all(line(shown, true).as_bytes()).unwrap();
        }
        file
    }

    #[tokio::test]
    async fn lines_with_a_wrong_clock_do_not_hide_those_around_them() {
        const COUNT: i64 = 10_000;
        for (from, days) in [(5_000, -9_000), (5_000, 9_000), (300, 400), (9_000, -400), (7_444, 1)] {
            let file = with_wrong_clock(COUNT, from..from + 700, days);
            for wanted in [from - 180, from + 700] {
                let range = Range { from: at(wanted), to: at(wanted + 60) };
                let source = super::super::Source::Csv { path: file.path().to_owned() };
                let found = source.read(range).await.unwrap().rows;
                let expected = wanted..=wanted + 60;
                let found = found.iter().filter(|row| (at(wanted)..=at(wanted + 60)).contains(&row.start));
                assert_eq!(found.count(), expected.count(), "{from} {days} {wanted}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("Master.csv");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [pipe, dir.path().to_owned()] {
            let error = super::super::Source::Csv { path }.probe().await.unwrap_err();
            assert!(matches!(error, Error::File { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_whose_reading_hangs_is_not_read_again() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(line(0, true).as_bytes()).unwrap();
        let hanging = Reading::begin(file.path()).unwrap();
        let error = newest(file.path().to_owned()).await.unwrap_err();
        assert!(
            matches!(&error, Error::File { source, .. } if source.kind() == io::ErrorKind::WouldBlock),
            "{error}"
        );
        drop(hanging);
        assert_eq!(newest(file.path().to_owned()).await.unwrap().rows.len(), 1);
        assert_eq!(newest(file.path().to_owned()).await.unwrap().rows.len(), 1);
    }

    #[tokio::test]
    async fn what_is_no_record_is_counted() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(format!("{}nonsense\n\n{}\"torn", line(0, true), line(1, true)).as_bytes()).unwrap();
        let source = super::super::Source::Csv { path: file.path().to_owned() };
        let read = source.read(Range { from: at(0), to: at(2) }).await.unwrap();
        assert_eq!((read.rows.len(), read.unusable), (2, 1));
        assert_eq!(source.probe().await.unwrap().unusable, 1);
    }

    #[tokio::test]
    async fn a_line_without_an_end_costs_little() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 30).unwrap();
        file.seek(SeekFrom::End(0)).unwrap();
        file.write_all(format!("\n{}", line(7, true)).as_bytes()).unwrap();
        let rows = newest(file.path().to_owned()).await.unwrap().rows;
        assert_eq!(rows.len(), 1);
    }
}
