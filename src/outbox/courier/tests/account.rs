//! Accounts in trouble: paused, asked a harmless question, held for a person.

use super::*;

#[test]
fn a_call_that_never_left_waits_without_a_search() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(posted(Posted::NotSent("refused".to_owned())));
    script.announces_trouble().settles(&[(1, Phase::Pending)]);
    script.waits(SECOND, SECOND * 2).expect(&Effect::Probe);
}

#[test]
fn an_outage_is_asked_after_less_and_less_often_and_never_given_a_call() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(503, Account::ServerTrouble, vec![Fate::Unclear]));
    script.announces_trouble().settles(&[(1, Phase::Unknown)]);
    for exponent in 0..12 {
        let most = Duration::from_secs(2 << exponent).min(Duration::from_mins(10));
        script.waits(most / 2, most);
        script.expect(&Effect::Probe).give(Outcome::Probed(Probed::Silent("timed out".to_owned())));
    }
}

#[test]
fn after_trouble_one_call_is_risked_before_fifty() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(500, Account::ServerTrouble, vec![Fate::Unclear]));
    script.announces_trouble().settles(&[(1, Phase::Unknown)]);
    script.waits(SECOND, SECOND * 2).expect(&Effect::Probe).give(probe(Account::Fine));
    script.sends(1, &[2]).give(answered(200, Account::Fine, vec![stored()]));
    script.announces(|standing| *standing == Standing::Delivering);
    script.settles(&[(2, Phase::Sent)]).sends(50, &[3, 4]);
}

#[test]
fn trouble_that_a_question_met_ends_with_an_answer_when_nothing_waits() {
    let mut script = Script::new();
    script.announces(|standing| *standing == Standing::Starting);
    script.adopts(0);
    for account in [Account::ServerTrouble, Account::Forbidden] {
        script.expect(&Effect::Probe).give(probe(account));
        script.announces(|standing| !matches!(standing, Standing::Starting | Standing::Delivering));
        script.waits(SECOND, SECOND * 120);
    }
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    script.leases(1, Vec::new());
    script.announces(|standing| *standing == Standing::Delivering);
}

#[test]
fn trouble_that_a_post_met_ends_with_a_call_that_is_taken_or_found() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(504, Account::ServerTrouble, vec![Fate::Unclear]));
    script.announces_trouble().settles(&[(1, Phase::Unknown)]);
    script.waits(SECOND, SECOND * 2).expect(&Effect::Probe).give(probe(Account::Fine));
    let due = script.now.host.after(SECOND * 5);
    script.leases(1, Vec::new()).rests(Some(due), SECOND * 5);
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 0)]));
    let found = BTreeMap::from([("default-1.1".to_owned(), Note { id: Some(9), entity: None })]);
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(ReadBack::Complete(found)));
    script.announces(|standing| *standing == Standing::Delivering).settles(&[(1, Phase::Sent)]);
}

#[test]
fn a_post_that_is_always_refused_is_one_alarm_and_asked_after_less_and_less_often() {
    for (status, account, fate) in [
        (403, Account::Forbidden, Fate::Unclear),
        (404, Account::NotAmo, Fate::Unclear),
        (301, Account::NotAmo, Fate::Unclear),
        (200, Account::NotAmo, Fate::Unclear),
        (500, Account::ServerTrouble, Fate::Unclear),
        (401, Account::Unauthorized, Fate::Untouched),
    ] {
        let mut script = Script::started();
        let (mut told, mut pauses) = (0, Vec::new());
        for seq in 1..=6 {
            script.sends(if seq == 1 { 50 } else { 1 }, &[seq]);
            script.give(answered(status, account, vec![fate.clone()]));
            let (alarms, pause) = script.passes_trouble();
            told += alarms;
            pauses.push(pause);
            script.give(probe(Account::Fine)).leases(1, Vec::new()).rests(None, REST_MAX);
        }
        assert_eq!(told, 1, "{status}");
        let slower = pauses.iter().zip(pauses.iter().skip(2)).all(|(early, late)| early < late);
        assert!(slower, "{status}: {pauses:?}");
    }
}

#[test]
fn a_refused_token_is_read_again_before_anybody_is_called() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(401, Account::Unauthorized, vec![Fate::Untouched]));
    script.settles(&[(1, Phase::Pending)]);
    script.expect(&Effect::RenewToken).give(Outcome::Token(Token::Another));
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    script.sends(50, &[1]);
}

#[test]
fn a_token_that_stays_refused_holds_the_queue_with_one_alarm() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(401, Account::Unauthorized, vec![Fate::Untouched]));
    script.settles(&[(1, Phase::Pending)]);
    script.expect(&Effect::RenewToken).give(Outcome::Token(Token::Same));
    script.announces_hold(Hold::Unauthorized);
    let mut probes = 0;
    for _ in 0..100 {
        let effect = script.poll();
        if let Effect::Wait { until } = effect {
            let wait = until.since(script.now.mono);
            assert!(wait > Duration::ZERO && wait <= SECOND * 5);
            script.pass(wait);
        } else if effect == Effect::RenewToken {
            script.give(Outcome::Token(Token::Same));
        } else {
            assert_eq!(effect, Effect::Probe);
            probes += 1;
            script.give(probe(Account::Unauthorized));
        }
    }
    assert!((1..=3).contains(&probes), "{probes} in about four minutes");
}

#[test]
fn another_token_ends_the_hold_at_once() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(401, Account::Unauthorized, vec![Fate::Untouched]));
    script.settles(&[(1, Phase::Pending)]);
    script.expect(&Effect::RenewToken).give(Outcome::Token(Token::Same));
    script.announces_hold(Hold::Unauthorized);
    script.waits(SECOND * 5, SECOND * 5);
    script.expect(&Effect::RenewToken).give(Outcome::Token(Token::Another));
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    script.sends(1, &[1]).give(answered(200, Account::Fine, vec![stored()]));
    script.announces(|standing| *standing == Standing::Delivering).settles(&[(1, Phase::Sent)]);
}

#[test]
fn a_missing_token_holds_the_queue_from_the_start() {
    let mut script = Script::new();
    script.announces(|standing| *standing == Standing::Starting);
    script.adopts(0);
    script.expect(&Effect::Probe).give(Outcome::Probed(Probed::NoToken("no file".to_owned())));
    script.expect(&Effect::RenewToken).give(Outcome::Token(Token::Absent("no file".to_owned())));
    script.announces_hold(Hold::Unauthorized).waits(SECOND * 5, SECOND * 5);
}

#[test]
fn payment_rights_and_bans_hold_the_queue() {
    for (status, account, hold) in [
        (402, Account::Unpaid, Hold::Unpaid),
        (403, Account::Forbidden, Hold::Forbidden),
        (403, Account::Banned, Hold::Banned),
        (404, Account::NotAmo, Hold::NotAmo),
    ] {
        let mut script = Script::started();
        script.sends(50, &[1]).give(answered(status, account, vec![Fate::Untouched]));
        script.announces_hold(hold).settles(&[(1, Phase::Pending)]);
        script.waits(SECOND * 30, SECOND * 60).expect(&Effect::Probe).give(probe(Account::Fine));
        script.sends(1, &[1]).give(answered(200, Account::Fine, vec![stored()]));
        script.announces(|standing| *standing == Standing::Delivering).settles(&[(1, Phase::Sent)]);
    }
}

#[test]
fn an_unpaid_account_is_not_taken_for_paid_because_it_answers_questions() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(402, Account::Unpaid, vec![Fate::Untouched]));
    script.announces_hold(Hold::Unpaid).settles(&[(1, Phase::Pending)]);
    script.waits(SECOND * 30, SECOND * 60).expect(&Effect::Probe).give(probe(Account::Fine));
    script.sends(1, &[1]).give(answered(402, Account::Unpaid, vec![Fate::Untouched]));
    script.settles(&[(1, Phase::Pending)]).waits(SECOND * 60, SECOND * 120);
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    script.leases(1, Vec::new()).expect(&Effect::NextDue);
}

#[test]
fn a_429_pauses_everything_and_blames_nobody() {
    let mut script = Script::started();
    let too_many = Account::TooMany { retry_after: None };
    script.sends(50, &[1]).give(answered(429, too_many, vec![Fate::Untouched]));
    script.settles(&[(1, Phase::Pending)]);
    script.now.open_at = script.now.mono.after(SECOND * 8);
    script.waits(SECOND * 8, SECOND * 8).sends(50, &[1]);
}

#[test]
fn a_pause_of_another_account_is_kept_too() {
    let mut script = Script::started();
    script.now.open_at = script.now.mono.after(SECOND * 8);
    script.waits(SECOND * 8, SECOND * 8).expect(&Effect::Look { limit: LOOK_LIMIT });
}

#[test]
fn a_token_that_cannot_be_renewed_yet_is_trouble_and_asked_for_again_with_pauses() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(401, Account::Unauthorized, vec![Fate::Untouched]));
    script.settles(&[(1, Phase::Pending)]);
    let later = || Outcome::Token(Token::Later("timed out".to_owned()));
    script.expect(&Effect::RenewToken).give(later());
    script.announces_trouble();
    script.waits(SECOND * 5, SECOND * 5);
    for most in [5, 8, 16] {
        script.expect(&Effect::RenewToken).give(later());
        script.waits(SECOND * 2, SECOND * most);
    }
    script.expect(&Effect::RenewToken).give(Outcome::Token(Token::Another));
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    script.sends(1, &[1]);
}
