//! Several batches in the air, each with an intent of its own.

use super::*;

fn script() -> Script {
    Script::with(Policy::default()).begin()
}

/// Leases, intends and posts these calls as the batch `batch`.
fn launches(script: &mut Script, batch: u64, seqs: &[u64]) {
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(Vec::new()));
    let Effect::Lease { .. } = script.poll() else { panic!("nothing is leased") };
    script.give(Outcome::Leased(seqs.iter().copied().map(item).collect()));
    let calls = seqs.iter().copied().map(Seq).collect();
    script.expect(&Effect::Intend { calls }).give(Outcome::Intended(BatchId(batch)));
    let Effect::Post { batch: posted, .. } = script.poll() else { panic!("nothing is posted") };
    assert_eq!(posted, BatchId(batch));
}

fn lands(script: &mut Script, batch: u64, posted: Posted) {
    script.give(Outcome::Posted { batch: BatchId(batch), posted });
}

fn all_stored(count: usize) -> Posted {
    let fates = vec![stored(); count];
    let answer = Answer { account: Account::Fine, fates, words: String::new(), evidence: None };
    Posted::Answered { status: 200, answer }
}

#[test]
fn four_batches_fly_at_once_and_land_in_any_order() {
    let mut script = script();
    for batch in 1..=4 {
        launches(&mut script, batch, &[batch]);
    }
    assert!(matches!(script.poll(), Effect::Wait { .. }), "a fifth waits");
    assert!(!script.courier.may_stop());
    lands(&mut script, 3, all_stored(1));
    lands(&mut script, 1, all_stored(1));
    script.settles(&[(3, Phase::Sent), (1, Phase::Sent)]);
    launches(&mut script, 5, &[5]);
    for batch in [5, 4, 2] {
        lands(&mut script, batch, all_stored(1));
        script.settles(&[(batch, Phase::Sent)]);
    }
    assert!(script.courier.may_stop());
}

#[test]
fn a_call_that_lands_after_a_page_spares_no_question() {
    let mut script = script();
    launches(&mut script, 2, &[2]);
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 0)]));
    let banned = ReadBack::Refused { account: Account::Banned, words: "HTTP 403".to_owned() };
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(banned)).announces_hold(Hold::Banned);
    lands(&mut script, 2, all_stored(1));
    script.announces(|standing| *standing == Standing::Delivering).settles(&[(1, Phase::Unknown)]);
    script.settles(&[(2, Phase::Sent)]).expect(&Effect::Probe).give(probe(Account::Fine));
    launches(&mut script, 3, &[3]);
}

#[test]
fn what_lands_in_the_middle_of_the_work_is_settled_after_it() {
    let mut script = script();
    launches(&mut script, 1, &[1]);
    script.leases(50, vec![item(2)]);
    lands(&mut script, 1, all_stored(1));
    script.expect(&Effect::Intend { calls: vec![Seq(2)] }).give(Outcome::Intended(BatchId(2)));
    assert!(matches!(script.poll(), Effect::Post { .. }));
    script.settles(&[(1, Phase::Sent)]);
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(9, START, 0)]));
    script.reads_back(&["default-1.9"]);
    lands(&mut script, 2, all_stored(1));
    script.give(Outcome::ReadBack(ReadBack::Complete(BTreeMap::new()))).settles(&[(9, Phase::Unknown)]);
    script.settles(&[(2, Phase::Sent)]);
}

#[test]
fn an_account_that_gives_trouble_gets_one_batch_at_a_time() {
    let mut script = script();
    launches(&mut script, 1, &[1]);
    launches(&mut script, 2, &[2]);
    lands(&mut script, 1, Posted::Lost("reset".to_owned()));
    script.announces_trouble().settles(&[(1, Phase::Unknown)]);
    assert!(matches!(script.poll(), Effect::Wait { .. }), "the other one is waited for");
    lands(&mut script, 2, Posted::NotSent("refused".to_owned()));
    script.settles(&[(2, Phase::Pending)]);
    script.waits(SECOND, SECOND * 4).expect(&Effect::Probe).give(probe(Account::Fine));
    launches(&mut script, 3, &[3]);
    assert!(matches!(script.poll(), Effect::Wait { .. }));
    lands(&mut script, 3, all_stored(1));
    script.announces(|standing| *standing == Standing::Delivering).settles(&[(3, Phase::Sent)]);
    launches(&mut script, 4, &[4]);
    launches(&mut script, 5, &[5]);
}

#[test]
fn several_refusals_of_one_token_are_one_event() {
    let mut script = script();
    let refused = || {
        let fates = vec![Fate::Untouched];
        let answer =
            Answer { account: Account::Unauthorized, fates, words: "HTTP 401".to_owned(), evidence: None };
        Posted::Answered { status: 401, answer }
    };
    for batch in 1..=3 {
        launches(&mut script, batch, &[batch]);
    }
    lands(&mut script, 2, refused());
    script.settles(&[(2, Phase::Pending)]);
    assert!(matches!(script.poll(), Effect::Wait { .. }), "the others are waited for");
    lands(&mut script, 1, refused());
    lands(&mut script, 3, refused());
    script.settles(&[(1, Phase::Pending), (3, Phase::Pending)]);
    script.expect(&Effect::RenewToken).give(Outcome::Token(Token::Another));
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    launches(&mut script, 4, &[1]);
}

#[test]
fn a_batch_that_quiet_kept_on_the_ground_waits_and_troubles_nobody() {
    let mut script = script();
    launches(&mut script, 1, &[1]);
    lands(&mut script, 1, Posted::Quiet);
    script.settles(&[(1, Phase::Pending)]);
    script.expect(&Effect::Look { limit: LOOK_LIMIT });
}

#[test]
fn at_the_end_what_flies_is_waited_for_and_nothing_is_launched() {
    let mut script = script();
    launches(&mut script, 1, &[1]);
    launches(&mut script, 2, &[2]);
    script.courier.wind_down();
    assert!(matches!(script.poll(), Effect::Wait { .. }));
    lands(&mut script, 2, all_stored(1));
    script.courier.wind_down();
    script.settles(&[(2, Phase::Sent)]);
    assert!(matches!(script.poll(), Effect::Wait { .. }) && !script.courier.may_stop());
    lands(&mut script, 1, all_stored(1));
    script.settles(&[(1, Phase::Sent)]);
    assert!(script.courier.may_stop());
}

#[test]
fn an_intent_in_doubt_is_taken_over_when_nothing_flies() {
    let mut script = script();
    launches(&mut script, 1, &[1]);
    script.leases(50, vec![item(2)]).expect(&Effect::Intend { calls: vec![Seq(2)] });
    script.give(Outcome::StoreFailed(Error::Store("disk full".to_owned()))).waits(SECOND / 4, SECOND / 2);
    assert!(matches!(script.poll(), Effect::Wait { .. }), "it would take the other one for lost");
    lands(&mut script, 1, all_stored(1));
    script.settles(&[(1, Phase::Sent)]).adopts(1);
    script.expect(&Effect::Look { limit: LOOK_LIMIT });
}

#[test]
fn a_batch_that_takes_amocrm_too_long_makes_the_next_ones_smaller_until_they_pass() {
    let mut script = Script::started();
    let seqs: Vec<u64> = (1..=50).collect();
    script.sends(50, &seqs).give(answered(504, Account::ServerTrouble, vec![Fate::Unclear; 50]));
    script.announces_trouble();
    let Effect::Settle { .. } = script.poll() else { panic!("nothing is settled") };
    script.give(Outcome::Settled).waits(SECOND, SECOND * 2).expect(&Effect::Probe).give(probe(Account::Fine));
    script.sends(1, &[60]).give(answered(200, Account::Fine, vec![stored()]));
    script.announces(|standing| *standing == Standing::Delivering).settles(&[(60, Phase::Sent)]);
    script.sends(25, &seqs[..25]).give(answered(200, Account::Fine, vec![stored(); 25]));
    let Effect::Settle { .. } = script.poll() else { panic!("nothing is settled") };
    script.give(Outcome::Settled).leases(37, Vec::new());
}

/// Posts call 1 alone and has the server fail over it; the search finds nothing.
fn is_failed_over(script: &mut Script, attempts: u32, limit: usize) -> Phase {
    script.leases(limit, vec![Item { attempts, ..item(1) }]).intends(&[1]).posts(1);
    script.give(answered(500, Account::ServerTrouble, vec![Fate::Unclear]));
    let (_, pause) = script.passes_trouble();
    script.pass(SECOND * 61).give(probe(Account::Fine));
    let since = script.now.host.before(pause + SECOND * 61);
    let judged = Item { attempts: attempts + 1, ..unknown(1, since, 1) };
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![judged]));
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(ReadBack::Complete(BTreeMap::new())));
    let Effect::Settle { rulings } = script.poll() else { panic!("nothing is settled") };
    script.give(Outcome::Settled);
    rulings[0].settlement.state.phase()
}

fn serves_another(script: &mut Script) {
    script.sends(1, &[2]).give(answered(200, Account::Fine, vec![stored()]));
    script.announces(|standing| *standing == Standing::Delivering).settles(&[(2, Phase::Sent)]);
}

#[test]
fn a_call_over_which_the_server_fails_dies_when_others_are_served_meanwhile() {
    let mut script = Script::started();
    for attempts in 20..31 {
        assert_eq!(is_failed_over(&mut script, attempts, 50), Phase::Pending);
        serves_another(&mut script);
    }
    assert_eq!(is_failed_over(&mut script, 31, 50), Phase::Dead);
}

#[test]
fn a_server_that_serves_nobody_buries_no_call() {
    let mut script = Script::started();
    for attempts in 20..50 {
        let limit = if attempts == 20 { 50 } else { 1 };
        assert_eq!(is_failed_over(&mut script, attempts, limit), Phase::Pending);
    }
}

#[test]
fn an_account_that_does_not_say_what_it_stored_gets_one_call_at_a_time() {
    let mut script = Script::started();
    let fates = vec![Fate::NotFound, Fate::Unclear];
    let evidence = Some("said".to_owned());
    let answer = Answer { account: Account::Fine, fates, words: String::new(), evidence };
    script.sends(50, &[1, 2]).give(posted(Posted::Answered { status: 400, answer }));
    script.settles(&[(1, Phase::Parked), (2, Phase::Unknown)]);
    assert_eq!(script.courier.learned(), None);
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(2, START, 0)]));
    let found = BTreeMap::from([("default-1.2".to_owned(), Note { id: Some(9), entity: None })]);
    script.reads_back(&["default-1.2"]).give(Outcome::ReadBack(ReadBack::Complete(found)));
    script.settles(&[(2, Phase::Sent)]);
    let (lesson, kept) = script.courier.learned().expect("it was learned");
    let expected = Lesson { manner: manner::Manner::Opaque, evidence: Some("said".to_owned()) };
    assert_eq!(lesson, expected);
    script.leases(1, Vec::new());
    let mut next = Script::new();
    next.courier.recall(&kept);
    next.begin().leases(1, Vec::new());
}
