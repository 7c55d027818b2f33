//! `replay` from the command line's side: what goes in, what comes out, what is said.

#[path = "support/captures.rs"]
mod captures;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ami2amo::call::policy::Policy;
use ami2amo::outbox::policy::BATCH_MAX;
use ami2amo::replay::End;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use captures::{Printed, args, bundled, replay, replay_into, replay_with};

const ANSWERED: &str = "ast22-vanilla/in-answered.ami";
const BUSY_HOUR: &str = "ast22-vanilla/busy-hour.ami.gz";

/// Replays with options and files, as JSON lines.
fn jsonl(line: &[&str]) -> Printed {
    replay(&args(["--format", "jsonl"].iter().chain(line)))
}

fn capture(name: &str) -> String {
    bundled().join(name).to_str().expect("plain names").to_owned()
}

fn text_of(name: &str) -> Vec<u8> {
    captures::text(&bundled().join(name))
}

/// A folder of files that goes away with the test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).expect("a file in the temporary folder");
        path.to_str().expect("plain names").to_owned()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).expect("memory takes everything");
    packer.finish().expect("memory takes everything")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[track_caller]
fn calls_in(printed: &Printed) -> usize {
    assert_eq!(printed.end, End::AllRead, "{}", printed.messages);
    printed.output.lines().count()
}

#[test]
fn the_digest_is_that_of_the_json_lines() {
    let lines = jsonl(&[&capture(BUSY_HOUR)]);
    let digest: String =
        Sha256::digest(&lines.output).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let none = replay(&args(["--format", "none", &capture(BUSY_HOUR)]));
    assert_eq!(none.output, "");
    assert_eq!(none.messages, format!("calls={} digest={digest}\n", calls_in(&lines)));
}

#[test]
fn two_runs_give_the_same_bytes() {
    for format in ["table", "jsonl", "amocrm", "none"] {
        let run = || replay(&args(["--format", format, &capture(BUSY_HOUR)]));
        let (first, second) = (run(), run());
        assert_eq!((first.output, first.messages), (second.output, second.messages), "{format}");
    }
}

#[test]
fn the_packing_is_told_by_the_bytes_and_not_by_the_name() {
    let folder = Folder::new();
    let text = text_of(BUSY_HOUR);
    let plain = jsonl(&[&folder.file("plain.zst", &text)]);
    assert!(calls_in(&plain) > 50);
    let (front, back) = text.split_at(text.len() / 3);
    let two_members = [gzip(front), gzip(back)].concat();
    let two_frames = [zstd(front), zstd(back)].concat();
    for (name, bytes) in [("a", gzip(&text)), ("b", two_members), ("c.gz", zstd(&text)), ("d", two_frames)] {
        let packed = jsonl(&[&folder.file(name, &bytes)]);
        assert_eq!((packed.output, packed.messages), (plain.output.clone(), String::new()), "{name}");
    }
}

#[test]
fn a_dash_is_standard_input() {
    let args = args(["--format", "jsonl", "-"]);
    let text = text_of(BUSY_HOUR);
    let piped = replay_with(&args, Policy::default(), &mut &text[..]);
    assert_eq!(piped.output, jsonl(&[&capture(BUSY_HOUR)]).output);
    let packed = replay_with(&args, Policy::default(), &mut &gzip(&text)[..]);
    assert_eq!(packed.output, piped.output);
}

#[test]
fn standard_input_can_be_named_once() {
    let text = text_of(ANSWERED);
    for mode in [&["-", "-"][..], &["--separate", "-", "-"]] {
        let printed = replay_with(&args(mode), Policy::default(), &mut &text[..]);
        assert_eq!(printed.end, End::SomeFailed);
        assert_eq!(
            printed.messages,
            "ami2amo: standard input: standard input is named more than once: name '-' once\n"
        );
    }
}

#[test]
fn a_rotated_capture_is_one_stream_wherever_it_was_cut() {
    let folder = Folder::new();
    let text = text_of(ANSWERED);
    let whole = jsonl(&[&capture(ANSWERED)]);
    assert_eq!(calls_in(&whole), 1);
    for cut in (64..text.len()).step_by(2_999) {
        let (front, back) = text.split_at(cut);
        let (one, two) = (folder.file("1", front), folder.file("2", &gzip(back)));
        let parts = jsonl(&[&one, &two]);
        assert_eq!(parts.messages, "", "cut at {cut}");
        assert_eq!(parts.output, whole.output, "cut at {cut}");
    }
}

#[test]
fn a_banner_begins_a_new_connection_of_the_same_pbx() {
    let folder = Folder::new();
    let cut = [&text_of(ANSWERED)[..], b"Event: Hang"].concat();
    let printed = jsonl(&[&folder.file("cut", &cut), &capture("ast22-vanilla/out-answered.ami")]);
    assert_eq!(calls_in(&printed), 2);
    assert!(printed.messages.contains("/cut: it ends in the middle of an event: the last 11 bytes"));
    assert_eq!(printed.messages.lines().count(), 1, "{}", printed.messages);
}

#[test]
fn separate_files_are_printed_in_their_order_as_if_each_were_alone() {
    // The first one is the longest by far, so the others wait for it.
    let all = captures::below(&bundled().join("ast22-freepbx"));
    assert_eq!(captures::scenario(&all[0]), "busy-hour");
    let paths: Vec<String> =
        all.into_iter().take(20).map(|path| path.to_str().expect("plain names").to_owned()).collect();
    let alone: String = paths.iter().map(|path| jsonl(&[path]).output).collect();
    let line: Vec<&str> = std::iter::once("--separate").chain(paths.iter().map(String::as_str)).collect();
    for _ in 0..3 {
        let separate = jsonl(&line);
        assert_eq!(separate.end, End::AllRead);
        assert_eq!(separate.output, alone);
    }
}

#[test]
fn separate_files_are_reported_in_their_order() {
    let folder = Folder::new();
    let (good, empty) = (capture(BUSY_HOUR), folder.file("empty", b""));
    let printed = jsonl(&["--separate", "/no/such/file", &good, &empty, &capture(ANSWERED), "/"]);
    let names: Vec<&str> = printed.messages.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(names, ["/no/such/file", &empty, "/"]);
    assert_eq!(printed.end, End::SomeFailed);
    assert_eq!(printed.output, jsonl(&["--separate", &good, &capture(ANSWERED)]).output);
}

/// Checks the one message about a file that gives nothing, and that another is read all the same.
#[track_caller]
fn check_useless(path: &str, what: &str) {
    for separate in [&[][..], &["--separate"]] {
        let printed = jsonl(&[separate, &[path, &capture(ANSWERED)]].concat());
        assert_eq!(printed.messages.lines().count(), 1, "{}", printed.messages);
        assert!(
            printed.messages.starts_with(&format!("ami2amo: {path}: {what}")),
            "{} is no {what}",
            printed.messages
        );
        assert_eq!(printed.end, End::SomeFailed);
        assert_eq!(printed.output, jsonl(&[&capture(ANSWERED)]).output);
    }
    let alone = replay(&args([path]));
    assert_eq!((alone.end, alone.output.as_str()), (End::SomeFailed, ""), "no totals of nothing");
}

#[test]
fn a_file_that_gives_nothing_has_one_clear_message() {
    let folder = Folder::new();
    check_useless("/no/such/file.ami", "there is no such file: check the name");
    check_useless(folder.0.path().to_str().expect("plain"), "it is a directory: name the captures in it");
    let again = r"it is empty: record the manager port again, with printf 'Action: Login\r\n";
    check_useless(&folder.file("empty", b""), again);
    check_useless(&folder.file("empty.gz", &gzip(b"")), again);
    let noise: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    check_useless(&folder.file("noise", &noise), "there is no AMI text in it: give the raw text");
    check_useless(&folder.file("noise.gz", &gzip(&noise)), "there is no AMI text in it");
    check_useless(&folder.file("text", b"Hello,\nworld\n\n"), "there is no AMI text in it");
    check_useless(&folder.file("bad.gz", &[0x1f, 0x8b, 0, 0]), "the compressed data ends too early");
}

#[test]
fn a_capture_of_an_old_asterisk_is_refused_with_the_way_to_go() {
    let folder = Folder::new();
    let text =
        b"Asterisk Call Manager/1.3\r\n\r\nEvent: Newchannel\r\nUniqueid: 1.1\r\nChannel: SIP/1-1\r\n\r\n";
    check_useless(&folder.file("old", text), "it was recorded from AMI 1.3: that is Asterisk 11 or older");
}

#[test]
fn captures_out_of_order_keep_their_dates_and_say_so() {
    let folder = Folder::new();
    let (late, early) = ("1795400000", "1795300000");
    let call = |epoch: &str, hangup: bool| {
        let event = |name: &str, more: &str| {
            format!(
                "Event: {name}\r\nTimestamp: {epoch}.000000\r\nChannel: PJSIP/mango-00000001\r\nUniqueid: {epoch}.1\r\n\
                 Linkedid: {epoch}.1\r\nCallerIDNum: 79161234567\r\nExten: 74957000101\r\nContext: from-trunk\r\n{more}\r\n"
            )
        };
        let end = if hangup { event("Hangup", "Cause: 16\r\n") } else { String::new() };
        format!("Asterisk Call Manager/11.0.0\r\n{}{end}", event("Newchannel", "ChannelState: 4\r\n"))
    };
    let (first, second) =
        (folder.file("a", call(late, false).as_bytes()), folder.file("b", call(early, true).as_bytes()));
    let printed = jsonl(&[&first, &second]);
    let started: Vec<_> =
        printed.output.lines().filter_map(|line| line.split("\"started_at\":\"").nth(1)).collect();
    assert_eq!(started.len(), 2, "{}", printed.output);
    assert!(
        started[0].starts_with("2026-11-23T02:13:20") && started[1].starts_with("2026-11-21T22:26:40"),
        "{started:?}"
    );
    assert!(
        printed.messages.contains("it is from before the capture that was read last"),
        "{}",
        printed.messages
    );
}

#[test]
fn a_capture_cut_in_mid_event_is_used_up_to_there() {
    let folder = Folder::new();
    let text = [&text_of(ANSWERED)[..], b"\r\nEvent: Newchannel\r\nUniqueid: 179"].concat();
    let printed = jsonl(&[&folder.file("cut", &text)]);
    assert_eq!(calls_in(&printed), 1);
    assert!(printed.messages.ends_with("ends in the middle of an event: the last 32 bytes were left out\n"));
    let no_more_than_the_last_empty_line = text_of(ANSWERED).trim_ascii_end().to_vec();
    let trimmed = [&no_more_than_the_last_empty_line[..], b"\n"].concat();
    let printed = jsonl(&[&folder.file("trimmed", &trimmed)]);
    assert_eq!((calls_in(&printed), printed.messages.as_str()), (1, ""));
}

#[test]
fn a_truncated_archive_is_used_up_to_there() {
    let folder = Folder::new();
    let packed = fs::read(capture(BUSY_HOUR)).expect("the bundled capture");
    let cut = folder.file("cut.gz", &packed[..packed.len() / 2]);
    let printed = jsonl(&[&cut]);
    check_part(&printed);
    assert!(printed.messages.contains("is damaged at byte 10"), "{}", printed.messages);
    let packed = zstd(&text_of(BUSY_HOUR));
    check_part(&jsonl(&[&folder.file("cut.zst", &packed[..packed.len() / 2])]));
    let mut damaged = gzip(&text_of(BUSY_HOUR));
    let last = damaged.len() - 5;
    damaged[last] ^= 1;
    check_part(&jsonl(&[&folder.file("sum.gz", &damaged)]));
    check_part(&jsonl(&["--separate", &cut]));
}

/// A script must see that calls are missing.
#[track_caller]
fn check_part(printed: &Printed) {
    assert!(printed.output.lines().count() > 20, "{}", printed.output);
    assert!(
        printed.messages.contains("the compressed data ends too early or is damaged"),
        "{}",
        printed.messages
    );
    assert_eq!(printed.end, End::SomeFailed);
}

#[test]
fn zeros_that_fill_a_gzip_file_up_are_no_damage() {
    let folder = Folder::new();
    let text = text_of(ANSWERED);
    let zeros = vec![0; 200_000];
    let whole = jsonl(&[&capture(ANSWERED)]);
    let (front, back) = text.split_at(text.len() / 2);
    for bytes in
        [[&gzip(&text), &zeros[..]].concat(), [&gzip(front), &zeros[..3], &gzip(back), &zeros[..1]].concat()]
    {
        let printed = jsonl(&[&folder.file("full.gz", &bytes)]);
        assert_eq!(
            (printed.output, printed.messages, printed.end),
            (whole.output.clone(), String::new(), End::AllRead)
        );
    }
    let printed = jsonl(&[&folder.file("more.gz", &[&gzip(&text), &zeros[..], b"x"].concat())]);
    assert_eq!(printed.end, End::SomeFailed);
    assert!(printed.messages.contains("is damaged at byte"), "{}", printed.messages);
}

#[test]
fn a_zstd_window_beyond_all_measure_is_refused_with_advice() {
    // A frame with a window of 256 MiB and an empty last block.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 18 << 3, 0x01, 0x00, 0x00];
    check_useless(
        &Folder::new().file("wide.zst", &frame),
        "it needs a zstd window of 256 MiB, and 128 MiB is the most",
    );
}

#[test]
fn damaged_blocks_are_counted() {
    let folder = Folder::new();
    let text = String::from_utf8_lossy(&text_of(ANSWERED)).replacen("\r\n\r\nEvent:", "\r\nEvent:", 1);
    let printed = jsonl(&[&folder.file("glued", text.as_bytes())]);
    assert_eq!(calls_in(&printed), 1);
    assert!(printed.messages.contains("1 cut and glued to the next"), "{}", printed.messages);
}

/// Takes some bytes and then fails.
struct Closing {
    left: usize,
    kind: io::ErrorKind,
}

impl Write for Closing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(self.kind)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_went_away_is_no_failure_but_a_full_disk_is() {
    let busy = capture(BUSY_HOUR);
    for line in [&["--format", "jsonl", &busy][..], &["--format", "jsonl", "--separate", &busy, &busy]] {
        let run = |kind| {
            let mut output = Closing { left: 0, kind };
            replay_into(&args(line), Policy::default(), &mut io::empty(), &mut output, &mut Vec::new())
        };
        assert_eq!(run(io::ErrorKind::BrokenPipe).expect("success"), End::AllRead);
        let failed = run(io::ErrorKind::StorageFull).expect_err("a failure");
        assert_eq!(failed.to_string(), "cannot write the output");
    }
}

#[test]
fn a_dry_run_says_so_aloud() {
    let printed = replay(&args(["--dry-run", "--format", "jsonl", &capture(ANSWERED)]));
    assert_eq!(printed.messages, "dry run: nothing is posted, nothing is stored\n");
    assert_eq!(printed.output, jsonl(&[&capture(ANSWERED)]).output);
}

#[test]
fn requests_hold_at_most_fifty_calls_and_none_that_is_skipped() {
    let busy_day = capture("ast22-vanilla/busy-day.ami.gz");
    let lines = jsonl(&[&busy_day]).output;
    let calls: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sent: Vec<&str> = calls
        .iter()
        .filter(|call| call["skip"].is_null())
        .filter_map(|call| call["call_id"].as_str())
        .collect();
    assert!(sent.len() < calls.len() && sent.len() > 3 * BATCH_MAX);
    let printed = replay(&args(["--format", "amocrm", &busy_day]));
    let batches: Vec<Vec<String>> =
        printed.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(batches.concat(), sent);
    let (last, full) = batches.split_last().expect("batches");
    assert!(full.iter().all(|batch| batch.len() == BATCH_MAX) && (1..=BATCH_MAX).contains(&last.len()));
}

#[test]
fn the_table_has_a_line_per_call_and_totals() {
    let printed = replay(&args([capture(ANSWERED)]));
    let lines: Vec<&str> = printed.output.lines().collect();
    assert_eq!(lines.len(), 5, "{}", printed.output);
    assert!(lines[2].starts_with("09:26:05 in   79161001137   101         answered        0:04   0:02"));
    assert_eq!(lines[4], "1 call: 1 inbound; 1 answered, talk 0:04");
}

#[test]
fn the_name_of_the_pbx_is_part_of_every_id() {
    let printed = jsonl(&["--pbx", "msk", &capture(ANSWERED)]);
    assert!(printed.output.contains(r#""call_id":"msk-1795339565.0","pbx":"msk""#), "{}", printed.output);
}

/// Captures of another recorder, without `Timestamp` and with damage, when they are there.
#[test]
fn foreign_captures_are_read_without_a_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures/cacofonisk");
    let paths: Vec<PathBuf> = if folder.is_dir() { captures::below(&folder) } else { Vec::new() };
    for path in paths {
        let printed = captures::jsonl(std::slice::from_ref(&path), Policy::default());
        assert_eq!(printed.end, End::AllRead, "{}: {}", path.display(), printed.messages);
    }
}

#[test]
fn calls_that_are_as_expected_are_counted() {
    let folder = Folder::new();
    let lines = jsonl(&[&capture(ANSWERED)]).output;
    let expected = folder.file("expected.jsonl", format!("# a case\n{lines}").as_bytes());
    for separate in [&[][..], &["--separate"]] {
        let line = ["--expect", &expected].into_iter().chain(separate.iter().copied());
        let printed = replay(&args(line.chain([capture(ANSWERED).as_str()])));
        assert_eq!(printed.output, "1 calls as expected, 0 differ, 0 missing, 0 extra\n");
        assert_eq!(printed.end, End::AllRead);
    }
}

#[test]
fn a_call_that_is_not_as_expected_is_shown_and_fails() {
    let folder = Folder::new();
    let lines = jsonl(&[&capture(ANSWERED)]).output;
    let changed = lines.replace("\"answered\":true", "\"answered\":false");
    assert_ne!(lines, changed);
    let expected = folder.file("expected.jsonl", changed.as_bytes());
    let printed = replay(&args(["--expect", &expected, &capture(ANSWERED)]));
    assert!(printed.output.contains("answered: expected false, got true\n"), "{}", printed.output);
    assert_eq!(printed.end, End::SomeFailed);
    let nothing = folder.file("empty.jsonl", b"");
    let printed = replay(&args(["--expect", &nothing, &capture(ANSWERED)]));
    assert!(printed.output.starts_with("extra    default-"), "{}", printed.output);
    assert_eq!(printed.end, End::SomeFailed);
}
