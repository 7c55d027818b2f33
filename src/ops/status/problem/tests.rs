use std::collections::BTreeMap;

use super::*;
use crate::call::record::{Direction, Outcome};
use crate::ops::hook::HookStatus;
use crate::ops::records::RecordsStatus;
use crate::ops::reload::{self, Reloaded};
use crate::ops::screen::WIDTH;
use crate::ops::status::{
    CallsOf, GapsStatus, Mishap, OutboxStatus, StoreStatus, Unmapped, VERSION, metrics, page,
};
use crate::ops::words::Language;
use crate::outbox::courier::sound::LateLinks;

/// A daemon with which all is well, an hour old.
fn well() -> Status {
    let now = HostTime::from_micros(1_795_337_600_000_000);
    Status {
        v: VERSION,
        version: "0.1.0".to_owned(),
        started_at: now.before(Duration::from_hours(1)),
        now,
        pbxs: vec![PbxStatus {
            name: PbxName::default(),
            link: LinkStatus::Up { asterisk: Some("22.10.1".to_owned()) },
            open: 2,
            finished: 10,
            events: 1000,
            last_event_at: Some(now.before(Duration::from_secs(3))),
            lag_ms: Some(12),
            host_ahead_ms: Some(-40),
            backlog: 0,
            events_by_kind: [("hangup".to_owned(), 400), ("new-channel".to_owned(), 600)].into(),
            calls: vec![CallsOf { direction: Direction::Inbound, outcome: Outcome::NoAnswer, calls: 10 }],
            timestamps: Some(true),
            gaps: GapsStatus::default(),
        }],
        accounts: vec![AccountStatus {
            name: AccountId::default(),
            address: Some("https://example.amocrm.ru".to_owned()),
            standing: Standing::Delivering,
            waiting: BTreeMap::new(),
            oldest_at: None,
            last_sent_at: Some(now.before(Duration::from_secs(5))),
            last_error: None,
            token_ends_at: None,
            paused: None,
            late_links: LateLinks::default(),
            mixed_batches: None,
            parked_since: None,
            unmapped: Vec::new(),
            verdicts: [(Phase::Sent, 10)].into(),
            shadow: false,
            foreign: Vec::new(),
        }],
        outbox: OutboxStatus {
            ended: 10,
            by_state: [(Phase::Sent, 10)].into(),
            unaccounted: 0,
            oldest_at: Some(now.before(Duration::from_hours(1))),
        },
        store: StoreStatus {
            dir: "/var/lib/ami2amo".to_owned(),
            failure: None,
            bytes: 512 << 10,
            free_bytes: Some(1 << 30),
        },
        reload: None,
        hook: None,
        records: None,
        problems: Vec::new(),
    }
}

fn text(mut status: Status, language: Language) -> String {
    status.problems = problems(&status);
    page::lines(&status, language).iter().map(|line| line.plain() + "\n").collect()
}

#[test]
fn a_daemon_with_which_all_is_well_says_so() {
    insta::assert_snapshot!(text(well(), Language::En), @r"
    ami2amo 0.1.0, up 1 h 0 min, at 2026-11-22T08:53:20.000Z

    PBX      connection            calls now  ended  in memory  last event
    default  up, Asterisk 22.10.1  2          10     0          3 s ago

    amoCRM   delivery    last sent  waiting  oldest  address
    default  delivering  5 s ago    -        -       https://example.amocrm.ru

    calls: 10 ended = 10 sent
    store /var/lib/ami2amo: open, 512 KiB; 1024 MiB free

    All is well.
    ");
    assert!(well().is_ready());
}

/// What is wrong after `change`.
#[track_caller]
fn check(change: impl FnOnce(&mut Status), expected: &[Problem]) {
    let mut status = well();
    change(&mut status);
    assert_eq!(problems(&status), expected);
    status.problems = problems(&status);
    for language in [Language::En, Language::Ru] {
        for problem in expected {
            let lines = page::lines(&status, language);
            assert!(lines.iter().all(|line| line.columns() <= WIDTH), "{lines:#?}");
            // What is folded is the same word by word.
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let page = words(&lines.iter().map(|line| line.plain() + "\n").collect::<String>());
            let (text, remedy) = (words(&problem.text(language)), words(&problem.remedy(language)));
            assert!(page.contains(&text) && page.contains(&remedy), "{page}");
        }
    }
    let json = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status, "{json}");
}

#[test]
fn every_trouble_is_told_with_what_to_do() {
    let (pbx, account) = (PbxName::default(), AccountId::default());
    let reason = || "connection refused".to_owned();
    check(|_| {}, &[]);
    check(|s| s.outbox.unaccounted = 3, &[Problem::Unaccounted { calls: 3 }]);
    check(|s| s.store.failure = Some(reason()), &[Problem::StoreFailed { reason: reason() }]);
    check(|s| s.store.free_bytes = Some(1 << 20), &[Problem::DiskLow { free_bytes: 1 << 20 }]);
    check(|s| s.store.free_bytes = None, &[]);
    let down = LinkStatus::Down { reason: reason() };
    check(|s| s.pbxs[0].link = down, &[Problem::PbxDown { pbx: pbx.clone(), reason: reason() }]);
    let refused = LinkStatus::Refused { reason: reason() };
    check(|s| s.pbxs[0].link = refused, &[Problem::PbxRefused { pbx: pbx.clone(), reason: reason() }]);
    check(|s| s.pbxs[0].timestamps = Some(false), &[Problem::NoTimestamps { pbx: pbx.clone() }]);
    check(|s| s.pbxs[0].timestamps = None, &[]);
    check(|s| s.pbxs[0].link = LinkStatus::NotRead, &[Problem::PbxNotRead { pbx: pbx.clone() }]);
    check(|s| s.pbxs[0].link = LinkStatus::Connecting, &[Problem::PbxConnecting { pbx: pbx.clone() }]);
    let just_started = |s: &mut Status| {
        s.pbxs[0].link = LinkStatus::Connecting;
        s.started_at = s.now;
    };
    check(just_started, &[]);
    let off = Problem::ClockOff { pbx: pbx.clone(), seconds: -300 };
    check(|s| s.pbxs[0].host_ahead_ms = Some(-300_000), &[off]);
    check(|s| s.pbxs[0].lag_ms = Some(12_000), &[Problem::Lag { pbx: pbx.clone(), seconds: 12 }]);
    gaps_are_told(&pbx);
    let since = well().now;
    let held = Standing::Held { why: Hold::Unauthorized, since, words: "401".to_owned() };
    let expected =
        Problem::AccountHeld { account: account.clone(), why: Hold::Unauthorized, words: "401".to_owned() };
    check(|s| s.accounts[0].standing = held, &[expected]);
    let troubled = Standing::Troubled { since, words: "502".to_owned() };
    let expected = Problem::AccountTroubled { account: account.clone(), words: "502".to_owned() };
    check(|s| s.accounts[0].standing = troubled, &[expected]);
    let old = since.before(Duration::from_mins(20));
    check(|s| s.accounts[0].oldest_at = Some(old), &[Problem::Old { account, minutes: 20 }]);
    let dead = |s: &mut Status| s.outbox.by_state.extend([(Phase::Dead, 2)]);
    check(dead, &[Problem::Dead { calls: 2 }]);
    let soon = since.after(Duration::from_hours(49));
    let ends = Problem::TokenEnds { account: AccountId::default(), hours: 49 };
    check(|s| s.accounts[0].token_ends_at = Some(soon), &[ends]);
    check(|s| s.accounts[0].token_ends_at = Some(since.after(Duration::from_hours(24 * 15))), &[]);
    check(|s| s.accounts[0].token_ends_at = Some(old), &[]);
    let pause = || Pause {
        at: since.before(Duration::from_mins(9)),
        by: "anna".to_owned(),
        why: Some("moving".to_owned()),
    };
    let expected = || Problem::Paused {
        account: AccountId::default(),
        minutes: 9,
        by: "anna".to_owned(),
        why: Some("moving".to_owned()),
    };
    check(|s| s.accounts[0].paused = Some(pause()), &[expected()]);
    let both = |s: &mut Status| (s.accounts[0].paused, s.accounts[0].oldest_at) = (Some(pause()), Some(old));
    check(both, &[expected()]);
}

#[test]
fn what_goes_wrong_beside_delivery_is_told_with_what_to_do() {
    let refused = reload::Outcome::Refused {
        problems: "a.toml:3:1: unknown field\n  3 | prot = 1\n    | ^^^^".to_owned(),
    };
    check(
        |s| s.reload = Some(Reloaded { v: 1, at: s.now, config: "a.toml".to_owned(), outcome: refused }),
        &[Problem::ConfigRefused { reason: "a.toml:3:1: unknown field 3 | prot = 1".to_owned() }],
    );
    let records = RecordsStatus {
        file: "/var/log/ami2amo/calls.jsonl".to_owned(),
        lost: 3,
        failure: Some("No space left on device".to_owned()),
        ..RecordsStatus::default()
    };
    let failing = Problem::RecordsFailing {
        file: records.file.clone(),
        reason: "No space left on device".to_owned(),
        lost: 3,
    };
    check(|s| s.records = Some(records), &[failing]);
    let hook = HookStatus {
        program: "/usr/local/bin/before-send".to_owned(),
        bypassed: 12,
        failure: Some("it took longer than 2 s".to_owned()),
        ..HookStatus::default()
    };
    let failing = Problem::HookFailing {
        program: hook.program.clone(),
        reason: "it took longer than 2 s".to_owned(),
        bypassed: 12,
    };
    check(|s| s.hook = Some(hook), &[failing]);
}

#[test]
fn what_works_as_it_is_set_up_is_told_and_calls_nobody() {
    let account = AccountId::default;
    let parked = |s: &mut Status| {
        s.accounts[0].waiting = [(Phase::Parked, 12)].into();
        s.accounts[0].parked_since = Some(s.now.before(Duration::from_hours(30)));
    };
    check(parked, &[Problem::UnknownNumbers { account: account(), calls: 12, hours: 30 }]);
    let unmapped = |s: &mut Status| {
        let known = |n: u64| Unmapped { extension: n.to_string(), calls: 200 - n };
        s.accounts[0].unmapped = (101..=107).map(known).collect();
    };
    let extensions = (101..=105).map(|n| n.to_string()).collect();
    let expected = || Problem::Unmapped { account: account(), extensions, more: 2, calls: (93..=99).sum() };
    let expected = expected();
    check(unmapped, std::slice::from_ref(&expected));
    let mut status = well();
    unmapped(&mut status);
    assert!(
        text(status.clone(), Language::En)
            .contains("All is well.\n- extensions without a user in account default: 101, 102")
    );
    status.problems = problems(&status);
    assert_eq!(status.severity(), Some(Severity::Notice));
    status.accounts[0].name = AccountId::new("msk").unwrap();
    assert!(text(status.clone(), Language::En).contains("[[account]]"));
    status.pbxs[0].link = LinkStatus::NotRead;
    let text = text(status, Language::En);
    assert!(!text.contains("All is well") && text.find("! PBX") < text.find("- extensions"), "{text}");
}

fn gaps_are_told(pbx: &PbxName) {
    let now = PbxTime::from_micros(well().now.micros());
    let unseen = |seconds: i64, hours_ago: i64| {
        let to = PbxTime::from_micros(now.micros() - hours_ago * 3_600_000_000);
        Span { from: PbxTime::from_micros(to.micros() - seconds * 1_000_000), to }
    };
    let gaps = |span| GapsStatus {
        count: 2,
        unseen: 1,
        last: Some(span),
        last_unseen: Some(span),
        ..GapsStatus::default()
    };
    let span = unseen(90, 3);
    let expected = Problem::Unseen { pbx: pbx.clone(), from: span.from, to: span.to };
    check(|s| s.pbxs[0].gaps = gaps(span), &[expected]);
    check(|s| s.pbxs[0].gaps = gaps(unseen(59, 3)), &[]);
    check(|s| s.pbxs[0].gaps = gaps(unseen(90, 24)), &[]);
    let mut status = well();
    status.pbxs[0].gaps = gaps(unseen(59, 3));
    let line = page::lines(&status, Language::En).iter().map(|line| line.plain() + " ").collect::<String>();
    assert!(line.contains("not watched 2 times") && line.contains("without records: 1"), "{line}");
}

#[test]
fn the_worst_comes_first_and_a_store_that_fails_is_not_ready() {
    let mut status = well();
    status.outbox.unaccounted = 1;
    status.store.failure = Some("No space left on device (os error 28)".to_owned());
    status.pbxs[0].link = LinkStatus::NotRead;
    assert!(!status.is_ready());
    let text = text(status, Language::En);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let places = ["are nowhere", "takes no calls, they wait", "make room", "not read: the store"]
        .map(|part| text.find(part));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} {text}");
}

#[test]
fn the_last_failure_is_told_while_nothing_went_well_after_it() {
    let mut status = well();
    let minutes = |count| well().now.before(Duration::from_mins(count));
    status.accounts[0].last_error = Some(Mishap { at: minutes(3), words: "502 Bad Gateway".to_owned() });
    status.accounts[0].last_sent_at = None;
    assert!(text(status.clone(), Language::En).contains("\n  default: 3 min ago: 502 Bad Gateway\n"));
    status.accounts[0].last_sent_at = Some(minutes(2));
    assert!(!text(status, Language::En).contains("502"));
}

#[test]
fn monitoring_is_told_the_worst() {
    let severity = |change: fn(&mut Status)| {
        let mut status = well();
        change(&mut status);
        status.problems = problems(&status);
        status.severity()
    };
    let dead = |status: &mut Status| status.outbox.by_state.extend([(Phase::Dead, 2)]);
    let both = |status: &mut Status| {
        status.outbox.by_state.extend([(Phase::Dead, 2)]);
        status.pbxs[0].link = LinkStatus::NotRead;
    };
    assert_eq!(severity(|_| {}), None);
    assert_eq!(severity(dead), Some(Severity::Warning));
    assert_eq!(severity(both), Some(Severity::Critical));
}

#[test]
fn what_the_network_said_cannot_play_with_the_terminal() {
    let mut status = well();
    status.pbxs[0].link = LinkStatus::Down { reason: "gone\u{1b}[2J".to_owned() };
    assert!(!text(status, Language::En).contains('\u{1b}'));
}

#[test]
fn metrics_tell_every_problem_and_every_count() {
    let mut status = well();
    status.pbxs[0].link = LinkStatus::Refused { reason: "no".to_owned() };
    status.accounts[0].standing =
        Standing::Held { why: Hold::Banned, since: status.now, words: "403".to_owned() };
    status.accounts[0].unmapped = vec![Unmapped { extension: "105".to_owned(), calls: 7 }];
    status.problems = problems(&status);
    let page = metrics::text(&status);
    for line in [
        "ami2amo_pbx_login_refused{pbx=\"default\"} 1",
        "ami2amo_pbx_timestamps{pbx=\"default\"} 1",
        "ami2amo_events_total{pbx=\"default\",kind=\"hangup\"} 400",
        "ami2amo_call_outcomes_total{pbx=\"default\",direction=\"inbound\",outcome=\"no-answer\"} 10",
        "ami2amo_account_held{account=\"default\",why=\"banned\"} 1",
        "ami2amo_verdicts_total{account=\"default\",verdict=\"sent\"} 10",
        "ami2amo_unmapped_extensions{account=\"default\"} 1",
        "ami2amo_unmapped_calls{account=\"default\"} 7",
        "ami2amo_problem{code=\"pbx-refused\"} 1",
        "ami2amo_problem{code=\"dead\"} 0",
        "ami2amo_problems 2",
        "ami2amo_calls{state=\"dead\"} 0",
    ] {
        assert!(page.lines().any(|known| known == line), "{line}: {page}");
    }
}
