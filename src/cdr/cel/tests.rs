use super::*;
use crate::cdr::column::Raw;
use crate::cdr::csv as cdr_csv;
use crate::cdr::row::Rows;

/// A line of `cel_custom`.
fn line(kind: &str, at: &str, channel: &str, uniqueid: &str, linkedid: &str, extra: &str) -> String {
    let extra = extra.replace('"', "\"\"");
    format!(
        "\"{kind}\",\"{at}\",\"\",\"79161234567\",\"\",\"\",\"\",\"101\",\"from-trunk\",\"{channel}\",\"\",\"\",\"3\",\"\",\
         \"{uniqueid}\",\"{linkedid}\",\"\",\"\",\"\",\"{extra}\""
    )
}

fn raws(lines: &[String]) -> Vec<Raw<entry::Column>> {
    lines.iter().map(|line| csv::record(line.as_bytes()).unwrap()).collect()
}

/// A call of two channels that is whole, with times by `at`.
fn whole_call(at: impl Fn(i64) -> String) -> Vec<String> {
    const TRUNK: (&str, &str) = ("PJSIP/trunk-1", "1795339635.1");
    const PHONE: (&str, &str) = ("PJSIP/101-2", "1795339635.2");
    let of = |kind, second, (channel, id): (&str, &str), extra| {
        line(kind, &at(second), channel, id, "1795339635.1", extra)
    };
    let bridge = r#"{"bridge_id":"b","bridge_technology":"simple_bridge"}"#;
    vec![
        of("CHAN_START", 0, TRUNK, ""),
        of("CHAN_START", 0, PHONE, ""),
        of("ANSWER", 3, PHONE, ""),
        of("ANSWER", 3, TRUNK, ""),
        of("BRIDGE_ENTER", 3, PHONE, bridge),
        of("BRIDGE_ENTER", 3, TRUNK, bridge),
        of("BRIDGE_EXIT", 8, TRUNK, bridge),
        of("BRIDGE_EXIT", 8, PHONE, bridge),
        of("HANGUP", 8, TRUNK, r#"{"hangupcause":16,"hangupsource":"PJSIP/trunk-1","dialstatus":"ANSWER"}"#),
        of("HANGUP", 8, PHONE, r#"{"hangupcause":16}"#),
    ]
}

fn epoch(second: i64) -> String {
    format!("{}.250000", 1_795_339_635 + second)
}

fn local(second: i64) -> String {
    crate::time::local::text((1_795_339_635 + 5 * 3600 + 45 * 60 + second) * 1_000_000)
}

const ROW: &str = "\"\",\"79161234567\",\"101\",\"from-trunk\",\"\",\"PJSIP/trunk-1\",\"PJSIP/101-2\",\"Dial\",\"PJSIP/101\",\
    \"2026-11-22 09:27:15\",\"2026-11-22 09:27:18\",\"2026-11-22 09:27:23\",8,5,\"ANSWERED\",\"D\"";

fn rows(line: &str) -> Vec<Row> {
    Rows::read(&[cdr_csv::record(line.as_bytes()).unwrap()], Some(0)).rows
}

#[test]
fn times_are_epochs_or_those_of_a_clock_whose_channels_tell_its_zone() {
    let exact = Entry::read(&raws(&whole_call(epoch)), None);
    assert_eq!(exact[2].at.micros(), 1_795_339_638_250_000);
    let shown = Entry::read(&raws(&whole_call(local)), None);
    assert_eq!(shown[2].at.micros(), 1_795_339_638_000_000);
    assert_eq!((shown.len(), shown[8].extra("hangupcause")), (10, Some("16")));
}

#[test]
fn rows_without_ids_belong_to_channels_of_their_names() {
    let rows = [rows(ROW), rows(&format!("{ROW},\"1795339635.1\""))];
    let entries = Entry::read(&raws(&whole_call(epoch)), None);
    for rows in &rows {
        let calls = calls(rows, &entries);
        assert_eq!((calls.len(), calls[0].group.rows.len(), calls[0].entries.len()), (1, 1, 10));
    }
    let later = Entry::read(&raws(&whole_call(|second| epoch(second + 3600))), None);
    assert_eq!(calls(&rows[0], &later).len(), 2, "names begin anew");
}

#[test]
fn a_call_is_whole_when_each_channel_begins_and_ends_and_talks_are_in_bridges() {
    let rows = rows(&format!("{ROW},\"1795339635.1\""));
    let is_whole = |lines: &[String]| {
        let entries = Entry::read(&raws(lines), None);
        let calls = calls(&rows, &entries);
        assert_eq!(calls.len(), 1);
        whole::is_whole(&calls[0])
    };
    let lines = whole_call(epoch);
    assert!(is_whole(&lines));
    let without = |kind: &str| -> Vec<String> {
        lines.iter().filter(|line| !line.starts_with(&format!("\"{kind}\""))).cloned().collect()
    };
    for (kind, expected) in [
        ("ANSWER", true),
        ("BRIDGE_EXIT", true),
        ("BRIDGE_ENTER", false),
        ("HANGUP", false),
        ("CHAN_START", false),
    ] {
        assert_eq!(is_whole(&without(kind)), expected, "without {kind}");
    }
    let without_the_phone: Vec<_> =
        lines.iter().filter(|line| !line.contains("PJSIP/101-2\"")).cloned().collect();
    assert!(!is_whole(&without_the_phone));
    assert!(!is_whole(&[lines[0].clone()]), "it goes on still");
}

#[test]
fn what_is_no_event_is_none() {
    for line in ["", "a,b", &",".repeat(19), &line("ANSWER", "", "PJSIP/1-1", "1.1", "1.1", "")] {
        assert_eq!(csv::record(line.as_bytes()), None, "{line}");
    }
    let odd = line("ANSWER", "soon", "PJSIP/1-1", "1795339635.1", "1795339635.1", "{");
    assert_eq!(Entry::read(&raws(&[odd]), Some(0)), []);
}
