use super::*;
use crate::call::record::{Exchange, FinishedCall, Leg, Role, Side, sample};
use crate::ops::words::Language;
use crate::ops::words::act::{Actors, act};

/// The customer, 101 and 102.
fn call(moments: Vec<(u64, u16, What)>, talks: Vec<(u16, u16, u64, u64)>) -> FinishedCall {
    let mut call = sample::call("1.1");
    let at = |millis| call.record.started_at.after(Duration::from_millis(millis));
    let leg = |party: &str, side, role| Leg {
        uniqueid: party.to_owned(),
        channel: format!("PJSIP/{party}-00000001"),
        side,
        party: Some(party.to_owned()),
        role,
        configured: false,
    };
    call.timeline = Timeline {
        legs: vec![
            leg("customer", Side::Outside, Some(Role::Party)),
            leg("101", Side::Inside, None),
            leg("102", Side::Inside, None),
        ],
        moments: moments
            .into_iter()
            .map(|(millis, leg, what)| Moment { at: at(millis), leg, with: (leg > 0).then_some(0), what })
            .collect(),
        talks: talks
            .into_iter()
            .map(|(leg, with, from, to)| Exchange { leg, with, from: at(from), to: at(to) })
            .collect(),
        dropped: 0,
    };
    call
}

#[track_caller]
fn check(call: &FinishedCall, expected: &[&str]) {
    let FinishedCall { record, timeline } = call;
    let cast = Cast::of(timeline, Language::En);
    let name = |person: usize| cast.people[person].name.as_str();
    let told: Vec<String> = steps(record, timeline, &cast)
        .iter()
        .map(|step| {
            let who: Vec<&str> = step.who.iter().map(|person| name(*person)).collect();
            act(&step.act, Actors { who: &who, with: step.with.map(name) }, Language::En)
        })
        .collect();
    assert_eq!(told, expected);
}

fn ended(status: &str) -> What {
    What::DialEnded { status: status.to_owned(), forward: None }
}

#[test]
fn phones_that_ring_and_stop_together_are_told_together() {
    let calls_in = "customer calls 74957000101";
    check(
        &call(
            vec![
                (0, 0, What::Started),
                (1, 1, What::Rang),
                (2, 2, What::Rang),
                (9_000, 1, ended("NOANSWER")),
                (9_001, 1, What::HungUp { cause: 0 }),
                (9_002, 2, ended("NOANSWER")),
                (9_003, 2, What::HungUp { cause: 0 }),
                (9_004, 0, What::HungUp { cause: 16 }),
            ],
            vec![],
        ),
        &[
            calls_in,
            "101 and 102 ring",
            "101 and 102 do not answer",
            "the PBX ends the call of customer: normal clearing (16)",
        ],
    );
}

#[test]
fn each_way_not_to_answer_has_its_words() {
    for (status, cause, expected) in [
        ("BUSY", 17, "101 is busy"),
        ("BUSY", 21, "101 declines the call"),
        ("NOANSWER", 21, "101 declines the call"),
        ("NOANSWER", 0, "101 does not answer"),
        ("CHANUNAVAIL", 0, "101 cannot be reached"),
        ("NOANSWER", 20, "101 cannot be reached"),
        ("CANCEL", 26, "101 stops ringing: answered elsewhere"),
        ("CANCEL", 0, "101 stops ringing"),
        ("CONGESTION", 34, "the call to 101 fails: no free line (34)"),
        ("SCREENED", 0, "101 does not take the call"),
        ("OF LATER", 0, "the call to 101 fails"),
    ] {
        let moments = vec![(1, 1, What::Rang), (900, 1, ended(status)), (901, 1, What::HungUp { cause })];
        check(&call(moments, vec![]), &["101 rings", expected]);
    }
}

#[test]
fn an_answer_and_the_talk_that_begins_with_it_are_one_step() {
    let moments = vec![
        (0, 0, What::Started),
        (1, 1, What::Rang),
        (2_000, 1, ended("ANSWER")),
        (2_001, 1, What::Joined),
        (5_000, 0, What::PutDown),
        (5_001, 0, What::HungUp { cause: 16 }),
        (5_002, 1, What::HungUp { cause: 16 }),
    ];
    check(
        &call(moments.clone(), vec![(1, 0, 2_005, 5_000)]),
        &[
            "customer calls 74957000101",
            "101 rings",
            "101 answers; talk of 3.0 s, until 5.0",
            "customer hangs up: normal clearing (16)",
        ],
    );
    // As older versions kept it.
    check(
        &call(moments, vec![]),
        &[
            "customer calls 74957000101",
            "101 rings",
            "101 answers",
            "101 is connected",
            "customer hangs up: normal clearing (16)",
        ],
    );
}

#[test]
fn one_answer_begins_one_talk() {
    let moments = vec![(1, 2, What::Rang), (2_000, 2, ended("ANSWER"))];
    check(
        &call(moments, vec![(2, 1, 2_000, 2_100), (2, 0, 2_100, 9_000)]),
        &["102 rings", "102 answers; talk of 0.1 s, until 2.1", "102 talks with customer: 6.9 s, until 9.0"],
    );
}

#[test]
fn a_message_is_left_before_the_caller_hangs_up() {
    let moments = vec![(0, 0, What::Started), (4_000, 0, What::PutDown), (4_001, 0, What::LeftMessage)];
    check(
        &call(moments, vec![]),
        &["customer calls 74957000101", "customer leaves a voice message", "customer hangs up"],
    );
}

#[test]
fn whoever_gives_a_call_away_is_gone_with_it() {
    let mut given = call(
        vec![
            (1, 1, What::Rang),
            (2_000, 1, ended("ANSWER")),
            (3_000, 1, What::Held),
            (4_000, 1, What::HandedOver),
            (4_001, 1, What::Resumed),
            (4_002, 1, What::HungUp { cause: 16 }),
        ],
        vec![(1, 0, 2_000, 4_000), (2, 0, 4_000, 9_000)],
    );
    given.timeline.moments[3].with = Some(2);
    check(
        &given,
        &[
            "101 rings",
            "101 answers; talk of 2.0 s, until 4.0",
            "101 puts the call on hold",
            "101 hands over to 102 (attended)",
            "102 talks with customer: 5.0 s, until 9.0",
        ],
    );
}

#[test]
fn a_parked_call_is_taken() {
    let mut parked = call(
        vec![
            (0, 0, What::Started),
            (2_000, 0, What::Parked),
            (2_001, 0, What::Transferred { to: Some("700".to_owned()) }),
            (6_000, 2, What::Started),
        ],
        vec![(2, 0, 6_010, 9_000)],
    );
    parked.timeline.moments[2].with = Some(1);
    check(
        &parked,
        &[
            "customer calls 74957000101",
            "101 parks customer at 700",
            "102 takes the parked call",
            "102 talks with customer: 3.0 s, until 9.0",
        ],
    );
}

#[test]
fn moments_of_unknown_legs_are_left_out() {
    check(&call(vec![(0, 7, What::Started)], vec![(9, 0, 0, 1_000)]), &[]);
}
