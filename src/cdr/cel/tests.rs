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

/// Whether a call is whole, as slowly as the rules are written.
fn is_whole_by_the_rules(call: &Call<'_>) -> bool {
    let of = |uniqueid: &str| -> Vec<&Entry> {
        call.entries.iter().copied().filter(|entry| entry.uniqueid == uniqueid).collect()
    };
    let channel = |entry: &&Entry| {
        let has = |kinds: &[Kind]| of(&entry.uniqueid).iter().any(|other| kinds.contains(&other.kind));
        has(&[Kind::Start]) && has(&[Kind::Hangup, Kind::End])
    };
    let stay = |leave: &&Entry| {
        let of_bridge = |kind: Kind| {
            let is_same =
                |other: &&&Entry| other.kind == kind && other.extra("bridge_id") == leave.extra("bridge_id");
            of(&leave.uniqueid).iter().filter(is_same).count()
        };
        leave.kind != Kind::Leave || of_bridge(Kind::Enter) >= of_bridge(Kind::Leave)
    };
    let is_known = |name: &str| call.entries.iter().any(|entry| entry.channel == name);
    let is_in_a_bridge =
        |name: &str| call.entries.iter().any(|entry| entry.kind == Kind::Enter && entry.channel == name);
    !call.entries.is_empty()
        && call.entries.iter().all(|entry| channel(entry) && stay(entry))
        && call.group.rows.iter().flat_map(|row| row.ends()).all(is_known)
        && call
            .group
            .rows
            .iter()
            .filter(|row| call.group.talk(row).is_some())
            .all(|row| row.ends().all(is_in_a_bridge))
}

#[test]
fn whatever_events_a_call_lacks_it_is_whole_by_the_rules() {
    let rows = rows(&format!("{ROW},\"1795339635.1\""));
    let lines = whole_call(epoch);
    let mut whole = 0;
    for lacking in 0_u32..1 << lines.len() {
        let kept = (0..lines.len()).filter(|at| lacking >> at & 1 == 0).map(|at| lines[at].clone());
        let entries = Entry::read(&raws(&kept.collect::<Vec<_>>()), None);
        for call in calls(&rows, &entries) {
            assert_eq!(whole::is_whole(&call), is_whole_by_the_rules(&call), "{lacking:b}");
            whole += usize::from(whole::is_whole(&call));
        }
    }
    assert_eq!(whole, 16, "without either of two answers and two exits");
}

/// Where every event is held against every other one, this takes the better part of an hour.
#[test]
fn a_room_that_is_never_empty_is_one_call_of_many_events() {
    let at = |second: i64| PbxTime::from_micros((1_795_339_635 + second) * 1_000_000);
    let entry = |kind, second| Entry {
        kind,
        at: at(second),
        number: String::new(),
        exten: String::new(),
        context: String::new(),
        channel: "PJSIP/101-2".to_owned(),
        app: String::new(),
        data: String::new(),
        account: String::new(),
        uniqueid: "1795339635.1".to_owned(),
        linkedid: "1795339635.1".to_owned(),
        extra: BTreeMap::from([("bridge_id".to_owned(), "b".to_owned())]),
    };
    let stays = (1..100_000).flat_map(|second| [entry(Kind::Enter, second), entry(Kind::Leave, second)]);
    let mut entries: Vec<_> = [entry(Kind::Start, 0)].into_iter().chain(stays).collect();
    entries.push(entry(Kind::Hangup, 100_000));
    assert!(whole::is_whole(&calls(&[], &entries)[0]));
    entries.remove(1);
    assert!(!whole::is_whole(&calls(&[], &entries)[0]), "it left once more than it came");
}

#[test]
fn what_is_no_event_is_none() {
    for line in ["", "a,b", &",".repeat(19), &line("ANSWER", "", "PJSIP/1-1", "1.1", "1.1", "")] {
        assert_eq!(csv::record(line.as_bytes()), None, "{line}");
    }
    let odd = line("ANSWER", "soon", "PJSIP/1-1", "1795339635.1", "1795339635.1", "{");
    assert_eq!(Entry::read(&raws(&[odd]), Some(0)), []);
}
