use super::*;

use Purpose::{Account, Question};

const SECOND: Duration = Duration::from_secs(1);

fn at(millis: u64) -> MonoTime {
    MonoTime::from_micros(millis * 1000)
}

/// Sends as fast as the pace lets us, asking again when it says so.
fn sent(pace: &mut Pace, count: usize) -> Vec<MonoTime> {
    let mut now = at(1000);
    let mut sent = Vec::new();
    while sent.len() < count {
        match pace.take(now) {
            Ok(()) => sent.push(now),
            Err(later) => now = later,
        }
    }
    sent
}

#[test]
fn no_second_holds_more_than_the_configured_number() {
    for per_second in 1..=7 {
        let sent = sent(&mut Pace::new(per_second), 60);
        for (index, first) in sent.iter().enumerate() {
            let within = sent[index..].iter().take_while(|at| at.since(*first) <= SECOND).count();
            assert!(within <= per_second as usize, "{per_second}: {within}");
        }
    }
}

#[test]
fn the_configured_number_is_nearly_reached() {
    let sent = sent(&mut Pace::new(5), 51);
    assert!(sent[50].since(sent[0]) < Duration::from_millis(10_200));
}

#[test]
fn the_process_before_counts() {
    let mut before = Pace::new(7);
    assert_eq!(before.take(at(1000)), Ok(()));
    let mut now = Pace::new(7).within(&Common::begun(7, at(1000))).begun(at(1000));
    let [before, now] = [before.take(at(1000)), now.take(at(1000))].map(Result::unwrap_err);
    assert!(before <= now && now.since(before) <= MADE_UP_FOR, "it goes on as if it were the same");
}

#[test]
fn a_stall_is_not_made_up_for() {
    let mut pace = Pace::new(5);
    assert_eq!(pace.take(at(0)), Ok(()));
    assert_eq!(pace.take(at(60_000)), Ok(()));
    assert_eq!(pace.take(at(60_001)), Err(at(60_197)));
}

#[test]
fn timers_that_are_late_cost_nothing_and_no_second_holds_more_for_them() {
    for per_second in 1..=7 {
        for late in [1_u64, 2, 5, 9, 40] {
            let (mut pace, mut now, mut sent) = (Pace::new(per_second), at(1000), Vec::new());
            while sent.len() < 60 {
                match pace.take(now) {
                    Ok(()) => sent.push(now),
                    // Every other timer is that late.
                    Err(later) => now = later.after(Duration::from_millis(sent.len() as u64 % 2 * late)),
                }
            }
            for (index, first) in sent.iter().enumerate() {
                let within = sent[index..].iter().take_while(|at| at.since(*first) <= SECOND).count();
                assert!(within <= per_second as usize, "{per_second}, {late} ms late: {within}");
            }
            let rate = 59.0 / sent[59].since(sent[0]).as_secs_f64() / f64::from(per_second);
            assert!(late > 5 || rate > 0.985, "{per_second}, {late} ms late: {rate}");
        }
    }
}

#[test]
fn accounts_together_keep_the_limit_and_stop_alone() {
    let common = Common::new(7);
    let mut paces = [5, 7].map(|per_second| Pace::new(per_second).within(&common));
    let mut sent = Vec::new();
    for millis in 0..3000 {
        for pace in &mut paces {
            if pace.take(at(millis)).is_ok() {
                sent.push(at(millis));
            }
        }
    }
    for (index, first) in sent.iter().enumerate() {
        assert!(sent[index..].iter().take_while(|at| at.since(*first) <= SECOND).count() <= 7);
    }
    assert!(sent.len() >= 20, "{}", sent.len());
    paces[0].banned(at(3000), Account);
    assert!(paces[0].take(at(4000)).is_err());
    assert_eq!(paces[1].take(at(4000)), Ok(()));
}

#[test]
fn a_429_stops_everything_longer_each_time() {
    let mut pace = Pace::new(5);
    let mut now = at(0);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        pace.too_many(now, None, 0.0);
        pauses.push(pace.open_at().since(now).as_secs());
        assert_eq!(pace.take(now), Err(pace.open_at()));
        now = pace.open_at();
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    pace.passed(now);
    pace.too_many(now, None, 1.0);
    assert_eq!(pace.open_at().since(now), Duration::from_millis(1500));
}

#[test]
fn answers_of_requests_that_were_under_way_are_one_stop() {
    let mut pace = Pace::new(5);
    for _ in 0..4 {
        pace.too_many(at(0), None, 0.0);
        pace.passed(at(10));
    }
    assert_eq!(pace.open_at(), at(1000));
    pace.too_many(at(20), Some(Duration::from_secs(9)), 0.0);
    assert_eq!(pace.open_at(), at(9020));
    pace.too_many(at(9020), None, 0.0);
    assert_eq!(pace.open_at(), at(11_020), "the second one, though requests passed while it lasted");
    let mut pace = Pace::new(5);
    for _ in 0..4 {
        pace.banned(at(0), Account);
    }
    assert_eq!(pace.open_at(), at(300_000));
    pace.banned(at(300_000), Account);
    assert_eq!(pace.open_at(), at(900_000));
}

#[test]
fn retry_after_is_honoured_within_reason() {
    #[track_caller]
    fn check(asked: u64, expected: u64) {
        let mut pace = Pace::new(5);
        pace.too_many(at(0), Some(Duration::from_secs(asked)), 0.0);
        assert_eq!(pace.open_at().since(at(0)).as_secs(), expected);
    }
    check(0, 1);
    check(300, 300);
    check(1_000_000, 3600);
}

#[test]
fn a_ban_is_probed_slowly() {
    let mut pace = Pace::new(5);
    let mut now = at(0);
    let mut minutes = Vec::new();
    for _ in 0..6 {
        pace.banned(now, Account);
        minutes.push(pace.open_at().since(now).as_secs() / 60);
        now = pace.open_at();
    }
    assert_eq!(minutes, [5, 10, 20, 40, 60, 60]);
}

#[test]
fn a_page_that_answers_one_question_stops_everything_for_a_minute() {
    let mut pace = Pace::new(5);
    pace.banned(at(0), Question);
    assert_eq!((pace.take(at(59_999)), pace.take(at(60_000))), (Err(at(60_000)), Ok(())));
    // It is a ban as soon as anything else is answered so, whatever was asked.
    for next in [Account, Question] {
        for minutes in [0, 1] {
            let mut pace = pace.clone();
            pace.banned(at(minutes * 60_000), next);
            assert_eq!(pace.open_at(), at((5 + minutes) * 60_000), "{next:?}");
            pace.banned(pace.open_at(), Question);
            assert_eq!(pace.open_at(), at((15 + minutes) * 60_000), "{next:?}");
        }
    }
    // What had left before says nothing of it.
    pace.passed(at(10));
    pace.banned(at(60_000), Question);
    assert_eq!(pace.open_at(), at(360_000));
}

#[test]
fn pages_that_go_on_stop_everything_longer_each_time() {
    let mut pace = Pace::new(5);
    let mut now = at(0);
    let mut pauses = Vec::new();
    for _ in 0..5 {
        pace.banned(now, Question);
        pauses.push(pace.open_at().since(now).as_secs());
        now = pace.open_at();
        pace.passed(now);
    }
    assert_eq!(pauses, [60, 120, 240, 300, 300]);
    now = now.after(PAGE_ROW);
    pace.banned(now, Question);
    assert_eq!(pace.open_at().since(now).as_secs(), 60);
}

#[test]
fn a_ban_after_which_nothing_passed_is_none_of_one_question() {
    let mut pace = Pace::new(5);
    pace.banned(at(0), Account);
    pace.banned(at(300_000), Question);
    assert_eq!(pace.open_at(), at(900_000));
}

#[test]
fn only_the_account_is_no_question() {
    let of = Purpose::of_reading;
    assert_eq!(
        (of(ACCOUNT_PATH), of("/api/v4/users?page=1"), of("/api/v4/accounts")),
        (Account, Question, Question)
    );
}

#[test]
fn a_shorter_stop_does_not_end_a_longer_one() {
    let mut pace = Pace::new(5);
    pace.banned(at(0), Account);
    pace.too_many(at(10), None, 0.0);
    assert_eq!(pace.open_at(), at(300_000));
}
