//! A store that does not do what it is asked.

use super::*;

#[test]
fn a_store_that_fails_is_asked_again_after_a_pause() {
    let mut script = Script::started();
    let fails = || Outcome::StoreFailed(Error::Store("disk full".to_owned()));
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(fails());
    script.waits(SECOND / 4, SECOND / 2).expect(&Effect::Look { limit: LOOK_LIMIT }).give(fails());
    script.waits(SECOND / 2, SECOND).expect(&Effect::Look { limit: LOOK_LIMIT });
}

#[test]
fn an_outcome_is_kept_until_the_store_takes_it() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(200, Account::Fine, vec![stored()]));
    for _ in 0..20 {
        assert!(matches!(script.poll(), Effect::Settle { .. }));
        script.give(Outcome::StoreFailed(Error::Store("disk full".to_owned())));
        assert!(!script.courier.may_stop());
        script.waits(SECOND / 4, STORE_MAX);
    }
    script.settles(&[(1, Phase::Sent)]).leases(50, Vec::new());
}

#[test]
fn an_intent_that_the_store_did_not_take_is_no_intent() {
    let mut script = Script::started();
    script.leases(50, vec![item(1)]);
    script.expect(&Effect::Intend { calls: vec![Seq(1)] });
    script.give(Outcome::StoreFailed(Error::Store("disk full".to_owned())));
    script.waits(SECOND / 4, SECOND / 2).adopts(0);
    script.sends(50, &[1]);
}

#[test]
fn an_intent_that_was_durable_when_the_store_failed_is_taken_over() {
    let mut script = Script::started();
    script.leases(50, vec![item(1)]);
    script.expect(&Effect::Intend { calls: vec![Seq(1)] });
    let fails = || Outcome::StoreFailed(Error::Store("disk full".to_owned()));
    script.give(fails()).waits(SECOND / 4, SECOND / 2).expect(&Effect::Adopt).give(fails());
    script.waits(SECOND / 2, SECOND).adopts(1);
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 0)]));
    assert!(matches!(script.poll(), Effect::ReadBack { .. }), "it is looked for, not left in sending");
}

#[test]
fn a_call_that_a_person_took_away_does_not_stop_the_others() {
    let mut script = Script::started();
    script.sends(50, &[1, 2, 3]).give(answered(200, Account::Fine, vec![stored(); 3]));
    assert!(matches!(script.poll(), Effect::Settle { .. }));
    script.give(Outcome::StoreFailed(Error::Absent(Seq(2)))).waits(SECOND / 4, SECOND / 2);
    script.settles(&[(1, Phase::Sent)]);
    assert!(matches!(script.poll(), Effect::Settle { .. }));
    script.give(Outcome::StoreFailed(Error::Absent(Seq(2)))).waits(SECOND / 4, SECOND);
    script.settles(&[(3, Phase::Sent)]).leases(50, Vec::new());
}

#[test]
fn a_call_that_was_taken_away_before_its_intent_is_leased_anew() {
    let mut script = Script::started();
    script.leases(50, vec![item(1)]).expect(&Effect::Intend { calls: vec![Seq(1)] });
    script.give(Outcome::StoreFailed(Error::Absent(Seq(1)))).waits(SECOND / 4, SECOND / 2);
    script.leases(50, Vec::new());
}
