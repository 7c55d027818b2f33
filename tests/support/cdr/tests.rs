//! What both readers make of rows that are told in few words.

use serde_json::json;

use super::{Call, Channel, Kind, LAB, Row, careful, extension, records, usual};

/// One row a line: start, answer, end (seconds; `-` is none), disposition, channel, dstchannel, src, dst, application,
/// its arguments, uniqueid, linkedid.
fn rows(text: &str) -> Vec<Row> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let csv: String = lines.enumerate().map(|(sequence, line)| csv(line, sequence)).collect();
    Row::read(&csv, &LAB).unwrap()
}

fn csv(line: &str, sequence: usize) -> String {
    let words: Vec<&str> = line.split_whitespace().map(|word| if word == "-" { "" } else { word }).collect();
    let [start, answer, end, disposition, channel, dstchannel, src, dst, app, data, uniqueid, linkedid] =
        words[..]
    else {
        panic!("twelve words: {line}");
    };
    let second = |text: &str| text.parse::<i64>().ok();
    let time =
        |text| second(text).map(|s| format!("2026-11-22 09:{:02}:{:02}", s / 60, s % 60)).unwrap_or_default();
    let [from, to] = [start, end].map(|text| second(text).unwrap());
    let billsec = second(answer).map_or(0, |answer| to - answer);
    format!(
        "\"\",\"{src}\",\"{dst}\",\"ctx\",\"\"\"A, B\"\" <{src}>\",\"{channel}\",\"{dstchannel}\",\"{app}\",\"{data}\",\
         \"{}\",\"{}\",\"{}\",{},{billsec},\"{}\",\"DOCUMENTATION\",\"{uniqueid}\",\"\",\"\",\"{linkedid}\",{sequence}\n",
        time(start),
        time(answer),
        time(end),
        to - from,
        disposition.replace('_', " "),
    )
}

/// One call in words.
fn told(call: &Call) -> String {
    let call = json!(call);
    let text = |field: &str| call[field].as_str().unwrap_or("-").to_owned();
    format!(
        "{} {} by {} of {} for {} status {} talk {}/{} wait {}",
        text("direction"),
        text("phone"),
        call["answered_by"],
        call["rang"],
        text("responsible"),
        call["status"],
        call["talk_seconds"],
        call["bridged_seconds"],
        call["wait_seconds"],
    )
    .replace('"', "")
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let calls: Vec<_> = careful::calls(&rows(text), &LAB).iter().map(told).collect();
    assert_eq!(calls, expected);
}

#[track_caller]
fn check_usual(text: &str, expected: &[&str]) {
    let calls: Vec<_> = usual::calls(&rows(text)).iter().map(told).collect();
    assert_eq!(calls, expected);
}

const GROUP: &str = "
    0 - 3 NO_ANSWER PJSIP/trunk-msk-00000001 PJSIP/101-00000002 7916 300 Dial PJSIP/101&PJSIP/102,12 1.1 1.1
    0 3 7 ANSWERED  PJSIP/trunk-msk-00000001 PJSIP/102-00000003 7916 300 Dial PJSIP/101&PJSIP/102,12 1.1 1.1";

#[test]
fn quotes_and_commas_are_read() {
    assert_eq!(records("\"a \"\"b\"\", c\",\"\",3\n"), [["a \"b\", c", "", "3"]]);
}

#[test]
fn a_row_of_another_shape_is_named() {
    let fault = Row::read("\"1\",\"2\"\n", &LAB).unwrap_err();
    assert!(fault.starts_with("row 1 is no CDR"), "{fault}");
}

#[test]
fn a_channel_tells_whose_it_is() {
    let kind = |name| Channel::parse(name, &LAB).map(|channel| channel.kind);
    assert_eq!(kind("PJSIP/trunk-msk-0000000a"), Some(Kind::Trunk));
    assert_eq!(kind("SIP/101-0000000a"), Some(Kind::Phone("101".to_owned())));
    assert_eq!(kind("PJSIP/200-0000000a"), Some(Kind::Trunk));
    assert_eq!(kind("Local/101@ctx-0000000a;1"), Some(Kind::Local { exten: "101".to_owned() }));
    assert_eq!(kind("PJSIP/gate-0000000a"), Some(Kind::Other));
    assert_eq!(kind(""), None);
    assert_eq!([extension("u101"), extension("500")], [Some("101".to_owned()), None]);
}

#[test]
fn the_number_dialled_is_in_the_arguments() {
    let dialled = |data: &str| {
        let line = format!("0 - 1 BUSY PJSIP/101-00000001 - 101 9 Dial {data} 1.1 1.1");
        rows(&line)[0].dialled().map(str::to_owned)
    };
    assert_eq!(dialled("PJSIP/79161234567@trunk-msk,30").as_deref(), Some("79161234567"));
    assert_eq!(dialled("PJSIP/mango/sip:79161234567@10.0.0.2:5060,30").as_deref(), Some("79161234567"));
    assert_eq!(dialled("PJSIP/u79161234567@gw1").as_deref(), Some("79161234567"));
    assert_eq!(dialled("PJSIP/102,30"), None);
}

#[test]
fn the_usual_way_has_a_call_for_every_row() {
    check_usual(
        GROUP,
        &[
            "inbound 7916 by [] of [101] for 101 status 6 talk 0/0 wait 3",
            "inbound 7916 by [102] of [102] for 102 status 4 talk 4/4 wait 3",
        ],
    );
}

#[test]
fn the_usual_way_goes_by_the_side_of_the_provider() {
    check_usual(
        "0 2 9 ANSWERED PJSIP/101-00000001 PJSIP/trunk-msk-00000002 7495 79161234567 Dial x 1.1 1.1
         0 - 2 BUSY PJSIP/101-00000001 PJSIP/102-00000002 101 102 Dial PJSIP/102 2.1 2.1",
        &["outbound 79161234567 by [101] of [] for 101 status 4 talk 7/7 wait 2"],
    );
}

#[test]
fn a_group_is_one_call() {
    check(GROUP, &["inbound 7916 by [102] of [101,102] for 102 status 4 talk 4/4 wait 3"]);
}

#[test]
fn a_transfer_is_one_call() {
    check(
        "0 1 4 ANSWERED PJSIP/trunk-msk-00000001 PJSIP/101-00000002 7916 102 Dial PJSIP/101 1.1 1.1
         4 4 9 ANSWERED PJSIP/trunk-msk-00000001 PJSIP/102-00000003 7916 102 Dial PJSIP/102 1.1 1.1",
        &["inbound 7916 by [101,102] of [101,102] for 102 status 4 talk 8/8 wait 1"],
    );
}

#[test]
fn a_consultation_belongs_to_the_channel_that_it_led_to() {
    check(
        "0 1 9 ANSWERED  PJSIP/trunk-msk-00000001 PJSIP/101-00000002 7916 7495 Dial PJSIP/101 1.1 1.1
         5 6 9 ANSWERED  PJSIP/101-00000003 PJSIP/103-00000004 101 103 Dial PJSIP/103 1.3 1.3
         9 9 12 ANSWERED PJSIP/trunk-msk-00000001 PJSIP/103-00000004 7916 7495 Dial PJSIP/101 1.1 1.1",
        &["inbound 7916 by [101,103] of [101,103] for 103 status 4 talk 11/11 wait 1"],
    );
}

#[test]
fn names_of_channels_begin_anew_with_asterisk() {
    let call = |at: i64, id: &str| {
        format!(
            "{at} {at} {} ANSWERED PJSIP/trunk-msk-00000001 PJSIP/101-00000002 7916 7495 Dial PJSIP/101 {id} {id}\n",
            at + 5
        )
    };
    let one = "inbound 7916 by [101] of [101] for 101 status 4 talk 5/5 wait 0";
    check(&(call(0, "1.1") + &call(60, "2.1")), &[one, one]);
}

#[test]
fn the_members_of_a_queue_cease_to_ring_when_one_answers() {
    check(
        "0 0 3 NO_ANSWER PJSIP/trunk-msk-00000001 PJSIP/103-00000002 7916 500 Queue sales 1.1 1.1
         0 0 9 ANSWERED  PJSIP/trunk-msk-00000001 PJSIP/104-00000003 7916 500 Queue sales 1.1 1.1",
        &["inbound 7916 by [104] of [103,104] for 104 status 4 talk 6/6 wait 3"],
    );
}

#[test]
fn local_channels_lead_to_the_phone_behind() {
    check(
        "0 0 9 ANSWERED PJSIP/trunk-msk-00000001 Local/101@q-00000001;1 7916 500 Queue office 1.1 1.1
         0 2 9 ANSWERED Local/101@q-00000001;2 PJSIP/101-00000002 7916 101 Dial PJSIP/101 1.3 1.1",
        &["inbound 7916 by [101] of [101] for 101 status 4 talk 7/7 wait 2"],
    );
}

#[test]
fn a_pickup_is_no_answer_of_the_phone_that_rang() {
    check(
        "0 2 2 ANSWERED PJSIP/trunk-msk-00000001 PJSIP/101-00000002 7916 7495 Dial PJSIP/101 1.1 1.1
         2 2 6 ANSWERED PJSIP/trunk-msk-00000001 PJSIP/103-00000003 7916 7495 Dial PJSIP/101 1.1 1.1",
        &["inbound 7916 by [103] of [101] for 103 status 4 talk 4/4 wait 2"],
    );
}

#[test]
fn menus_and_voicemail_are_nobody() {
    check(
        "0 0 5 ANSWERED PJSIP/trunk-msk-00000001 - 7916 s WaitExten 10 1.1 1.1",
        &["inbound 7916 by [] of [] for - status 6 talk 0/0 wait 5"],
    );
    check(
        "0 - 6 NO_ANSWER PJSIP/trunk-msk-00000001 PJSIP/101-00000002 7916 7495 Dial PJSIP/101 1.1 1.1
         6 6 9 ANSWERED PJSIP/trunk-msk-00000001 - 7916 7495 VoiceMail 101 1.1 1.1",
        &["inbound 7916 by [] of [101] for 101 status 1 talk 0/0 wait 9"],
    );
}

#[test]
fn a_mobile_is_that_of_the_only_extension_called() {
    let mobile = |app: &str| {
        format!(
            "0 - 4 NO_ANSWER PJSIP/trunk-msk-00000001 PJSIP/101-00000002 7916 7495 {app} PJSIP/101 1.1 1.1
             4 6 9 ANSWERED PJSIP/trunk-msk-00000001 Local/7999@out-00000001;1 7916 7495 {app} Local/7999@out 1.1 1.1
             4 6 9 ANSWERED Local/7999@out-00000001;2 PJSIP/trunk-spb-00000003 7495 7999 Dial PJSIP/7999@x 1.3 1.1"
        )
    };
    check(&mobile("Dial"), &["inbound 7916 by [101] of [101] for 101 status 4 talk 3/3 wait 6"]);
    check(&mobile("Queue"), &["inbound 7916 by [] of [101] for - status 4 talk 3/3 wait 6"]);
}

#[test]
fn several_providers_for_one_number_are_one_call() {
    check(
        "0 - 1 CONGESTION PJSIP/101-00000001 PJSIP/trunk-msk-00000002 7495 79161234567 Dial PJSIP/79161234567@a 1.1 1.1
         1 3 9 ANSWERED   PJSIP/101-00000001 PJSIP/trunk-spb-00000003 7495 79161234567 Dial PJSIP/79161234567@b 1.1 1.1",
        &["outbound 79161234567 by [101] of [] for 101 status 4 talk 6/6 wait 3"],
    );
}

#[test]
fn a_phone_that_was_up_before_the_answer_was_called_by_a_program() {
    check(
        "0 1 3 BUSY PJSIP/101-00000001 PJSIP/trunk-msk-00000002 7495 79161234567 Dial PJSIP/79161234567@a 1.1 1.1",
        &["outbound 79161234567 by [] of [101] for 101 status 7 talk 0/0 wait 3"],
    );
}

#[test]
fn a_call_from_the_own_number_is_one_that_the_pbx_made() {
    check(
        "0 2 7 ANSWERED PJSIP/trunk-msk-00000001 PJSIP/102-00000002 74957000100 102 Dial PJSIP/102 1.1 1.1",
        &["outbound  by [102] of [102] for 102 status 4 talk 5/5 wait 2"],
    );
}

#[test]
fn calls_inside_are_none() {
    check("0 1 5 ANSWERED PJSIP/101-00000001 PJSIP/102-00000002 101 102 Dial PJSIP/102 1.1 1.1", &[]);
}
