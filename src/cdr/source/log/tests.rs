use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::cdr::column::Raw;
use crate::cdr::range::Range;
use crate::cdr::row::{Row, Rows};
use crate::cdr::source::{Error, Found, Source};
use crate::time::{PbxTime, local};

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

fn source(path: &Path) -> Source {
    Source::Csv { path: path.to_owned() }
}

async fn newest(path: &Path) -> Vec<Row> {
    let text = super::newest::<Raw>(path.to_owned()).await.unwrap();
    Rows::read(&text.lines, text.fallback).rows
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
        let rows = source(file.path()).read(range).await.unwrap().rows;
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
    let rows = newest(file.path()).await;
    assert_eq!(rows[0].start, at(0));
}

#[tokio::test]
async fn a_line_without_an_end_costs_little() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 30).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(format!("\n{}", line(7, true)).as_bytes()).unwrap();
    let rows = newest(file.path()).await;
    assert_eq!(rows.len(), 1);
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
            let found = source(file.path()).read(range).await.unwrap().rows;
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
    for path in [pipe.as_path(), dir.path()] {
        let error = source(path).probe().await.unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_log_whose_reading_hangs_is_not_read_again() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(line(0, true).as_bytes()).unwrap();
    let hanging = super::Reading::begin(file.path()).unwrap();
    let error = source(file.path()).probe().await.unwrap_err();
    assert!(
        matches!(&error, Error::File { source, .. } if source.kind() == std::io::ErrorKind::WouldBlock),
        "{error}"
    );
    drop(hanging);
    assert_eq!(newest(file.path()).await.len(), 1);
    assert_eq!(newest(file.path()).await.len(), 1);
}

#[tokio::test]
async fn what_is_no_record_is_counted() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(format!("{}nonsense\n\n{}\"torn", line(0, true), line(1, true)).as_bytes()).unwrap();
    let read = source(file.path()).read(Range { from: at(0), to: at(2) }).await.unwrap();
    assert_eq!((read.rows.len(), read.unusable), (2, 1));
    assert_eq!(source(file.path()).probe().await.unwrap().unusable, 1);
}

/// A folder in which `Master.csv` was turned.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A file with the lines of these minutes, written to when the last call ended.
    fn add(&self, name: &str, minutes: std::ops::Range<i64>, uniqueid: bool) {
        let text: String = minutes.clone().map(|minute| line(minute, uniqueid)).collect();
        let written = MADE + (minutes.end - 1) * 60 + 9;
        self.write(name, &packed(name, text.as_bytes()), written);
    }

    fn write(&self, name: &str, bytes: &[u8], written: i64) {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(written).unwrap());
        fs::File::options().append(true).open(path).unwrap().set_modified(written).unwrap();
    }

    async fn read(&self, from: i64, to: i64) -> Found {
        source(&self.0.path().join("Master.csv")).read(Range { from: at(from), to: at(to) }).await.unwrap()
    }

    /// All callers from `from` to `to` are found, each once, and nothing is left unread.
    #[track_caller]
    fn check(&self, found: &Found, from: i64, to: i64) {
        let callers: Vec<_> = found.rows.iter().map(|row| row.src.clone()).collect();
        let expected: Vec<_> = (from..=to).map(|minute| format!("7916{minute}")).collect();
        assert_eq!((callers, &found.unread[..]), (expected, &[][..]), "in {}", self.0.path().display());
    }
}

fn packed(name: &str, text: &[u8]) -> Vec<u8> {
    if Path::new(name).extension().is_some_and(|packing| packing == "gz") {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text).unwrap();
        gzip.finish().unwrap()
    } else if Path::new(name).extension().is_some_and(|packing| packing == "zst") {
        ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
    } else {
        text.to_vec()
    }
}

#[tokio::test]
async fn files_that_were_turned_are_read_as_far_as_the_time_needs() {
    for names in [
        ["Master.csv.3", "Master.csv.2", "Master.csv.1"],
        ["Master.csv.3.gz", "Master.csv.2.gz", "Master.csv.1"],
        ["Master.csv-20261120.zst", "Master.csv-20261121.zst", "Master.csv-20261122"],
        ["Master-20261120.csv.gz", "Master-20261121.csv", "Master.csv.old"],
    ] {
        for uniqueid in [true, false] {
            let folder = Folder::new();
            for (name, from) in names.iter().zip([-3000, 0, 1000]) {
                folder.add(name, from..from + 1000, uniqueid);
            }
            folder.add("Master.csv", 2000..2100, uniqueid);
            folder.check(&folder.read(900, 2050).await, 780, 2050);
            // A file that was written to before the time is not so much as opened.
            folder.write(names[0], b"\x1f\x8bdamaged", MADE - 2000 * 60);
            folder.check(&folder.read(900, 2050).await, 780, 2050);
        }
    }
}

#[tokio::test]
async fn between_a_turn_and_the_next_call_there_is_no_log() {
    let folder = Folder::new();
    folder.add("Master.csv.1", 0..100, true);
    folder.check(&folder.read(50, 99).await, 0, 99);
    assert_eq!(newest(&folder.0.path().join("Master.csv")).await.len(), 40);
}

#[tokio::test]
async fn lines_that_two_files_have_count_once() {
    let folder = Folder::new();
    folder.add("Master.csv.1", 0..100, true);
    folder.add("Master.csv", 90..120, true);
    folder.check(&folder.read(10, 119).await, 0, 119);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_and_the_others_count() {
    let folder = Folder::new();
    folder.add("Master.csv", 100..120, true);
    let text: String = (0..100).map(|minute| line(minute, true)).collect();
    let whole = packed("a.gz", text.as_bytes());
    folder.write("Master.csv.1.gz", &whole[..whole.len() / 2], MADE + 6000);
    folder.write("Master.csv.2.xz", b"\xfd7zXZ", MADE + 5000);
    let found = folder.read(110, 119).await;
    let unread: Vec<_> = found.unread.iter().map(ToString::to_string).collect();
    assert_eq!(unread.len(), 2, "{unread:?}");
    assert!(
        unread[0].contains("Master.csv.1.gz") && unread[1].contains("2.xz (only gzip and zstd"),
        "{unread:?}"
    );
    // What stands before the damage was read.
    assert!(found.rows.len() > 30, "{}", found.rows.len());
}
