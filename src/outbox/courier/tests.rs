//! Scripts: what the courier asks for, in order, and nothing else.

use super::*;
use crate::amo::answer::{Account, Answer, Fate};
use crate::amo::notes::Probe;
use crate::outbox::courier::effect::Token;
use crate::outbox::policy::OnUnknown;
use crate::outbox::policy::tests::{START, item, unknown};
use crate::outbox::queue::Error;

const SECOND: Duration = Duration::from_secs(1);

struct Script {
    courier: Courier,
    now: Now,
}

impl Script {
    /// A courier that has not begun.
    fn new() -> Self {
        Self::with(Policy::default())
    }

    fn with(delivery: Policy) -> Self {
        let rules = Rules { amo: Settings::default(), delivery };
        let mono = MonoTime::from_micros(1_000_000_000);
        let courier = Courier::new(AccountId::default(), Arc::new(rules), 1);
        Self { courier, now: Now { host: START, mono, open_at: MonoTime::default() } }
    }

    /// A courier that is about to look for unknown calls for the first time.
    fn started() -> Self {
        Self::new().begin()
    }

    fn begin(mut self) -> Self {
        self.announces(|standing| *standing == Standing::Starting);
        self.expect(Effect::Adopt).give(Outcome::Adopted(0));
        self.expect(Effect::Probe).give(probe(Account::Fine));
        self.announces(|standing| *standing == Standing::Delivering);
        self
    }

    #[track_caller]
    fn poll(&mut self) -> Effect {
        self.courier.poll(self.now)
    }

    #[track_caller]
    fn expect(&mut self, expected: Effect) -> &mut Self {
        assert_eq!(self.poll(), expected);
        self
    }

    fn give(&mut self, outcome: Outcome) -> &mut Self {
        self.courier.handle(outcome, self.now);
        self
    }

    #[track_caller]
    fn announces(&mut self, is_right: impl Fn(&Standing) -> bool) -> &mut Self {
        match self.poll() {
            Effect::Announce(standing) if is_right(&standing) => self,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn announces_hold(&mut self, expected: Hold) -> &mut Self {
        self.announces(|standing| matches!(standing, Standing::Held { why, .. } if *why == expected))
    }

    #[track_caller]
    fn announces_trouble(&mut self) -> &mut Self {
        self.announces(|standing| matches!(standing, Standing::Troubled { .. }))
    }

    /// Looks for unknown calls and finds none due, then leases.
    #[track_caller]
    fn leases(&mut self, limit: usize, items: Vec<Item>) -> &mut Self {
        self.expect(Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(Vec::new()));
        self.expect(Effect::Lease { limit }).give(Outcome::Leased(items))
    }

    #[track_caller]
    fn intends(&mut self, seqs: &[u64]) -> &mut Self {
        let calls = seqs.iter().copied().map(Seq).collect();
        self.expect(Effect::Intend { calls }).give(Outcome::Intended(BatchId(7)))
    }

    #[track_caller]
    fn posts(&mut self, count: usize) -> &mut Self {
        match self.poll() {
            Effect::Post { body, request_ids } => {
                let entries: serde_json::Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(entries.as_array().unwrap().len(), count);
                let places: Vec<String> = (0..count).map(|place| place.to_string()).collect();
                assert_eq!(request_ids, places);
            }
            other => panic!("{other:?}"),
        }
        self
    }

    /// Leases, intends and posts these fresh calls.
    #[track_caller]
    fn sends(&mut self, limit: usize, seqs: &[u64]) -> &mut Self {
        self.leases(limit, seqs.iter().copied().map(item).collect());
        self.intends(seqs).posts(seqs.len())
    }

    #[track_caller]
    fn settles(&mut self, expected: &[(u64, Phase)]) -> &mut Self {
        let Effect::Settle { rulings } = self.poll() else { panic!("nothing is settled") };
        let settled: Vec<(u64, Phase)> =
            rulings.iter().map(|ruling| (ruling.settlement.seq.0, ruling.settlement.state.phase())).collect();
        assert_eq!(settled, expected);
        self.give(Outcome::Settled)
    }

    #[track_caller]
    fn reads_back(&mut self, uniqs: &[&str]) -> &mut Self {
        match self.poll() {
            Effect::ReadBack { uniqs: asked, .. } => {
                assert_eq!(asked, uniqs.iter().map(|uniq| (*uniq).to_owned()).collect());
            }
            other => panic!("{other:?}"),
        }
        self
    }

    #[track_caller]
    fn rests(&mut self, due: Option<HostTime>, expected: Duration) -> &mut Self {
        self.expect(Effect::NextDue).give(Outcome::NextDue(due));
        self.waits(expected, expected)
    }

    /// Waits between `least` and `most`; the script then stands at the end of the wait.
    #[track_caller]
    fn waits(&mut self, least: Duration, most: Duration) -> &mut Self {
        let Effect::Wait { until } = self.poll() else { panic!("it does not wait") };
        let wait = until.since(self.now.mono);
        assert!(least <= wait && wait <= most, "{wait:?}");
        self.pass(wait)
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        self.now.host = self.now.host.after(time);
        self.now.mono = self.now.mono.after(time);
        self
    }
}

fn probe(account: Account) -> Outcome {
    Outcome::Probed(Probed::Answered(Probe { account, customers: true, words: "HTTP".to_owned() }))
}

fn answered(status: u16, account: Account, fates: Vec<Fate>) -> Outcome {
    Outcome::Posted(Posted::Answered { answer: Answer { account, fates, words: "HTTP".to_owned() }, status })
}

fn stored() -> Fate {
    Fate::Stored { note_id: Some(1), entity: None }
}

fn invalid() -> Fate {
    Fate::Invalid { code: "NotBlank".to_owned(), path: "phone".to_owned(), detail: String::new() }
}

#[test]
fn calls_are_sent_in_one_post_and_settled() {
    let mut script = Script::started();
    script.sends(50, &[1, 2]).give(answered(200, Account::Fine, vec![stored(), stored()]));
    script.settles(&[(1, Phase::Sent), (2, Phase::Sent)]);
    script.leases(50, Vec::new()).rests(None, REST_MAX);
    script.expect(Effect::Look { limit: LOOK_LIMIT });
}

#[test]
fn an_arrival_ends_the_rest_at_once() {
    let mut script = Script::started();
    script.leases(50, Vec::new());
    script.expect(Effect::NextDue).give(Outcome::NextDue(None));
    let until = script.now.mono.after(REST_MAX);
    script.expect(Effect::Wait { until }).give(Outcome::Arrived);
    script.sends(50, &[1]);
}

#[test]
fn an_arrival_in_the_middle_of_the_work_changes_nothing() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(Outcome::Arrived);
    assert!(matches!(script.poll(), Effect::Wait { .. }));
    script.give(answered(200, Account::Fine, vec![stored()])).settles(&[(1, Phase::Sent)]);
}

#[test]
fn the_rest_ends_when_the_next_call_is_due() {
    let mut script = Script::started();
    script.leases(50, Vec::new()).rests(Some(START.after(SECOND * 20)), SECOND * 20);
    script.leases(50, Vec::new()).rests(Some(START), REST_MIN);
    script.leases(50, Vec::new()).rests(Some(START.after(SECOND * 7200)), REST_MAX);
}

#[test]
fn a_post_is_given_out_once() {
    let mut script = Script::started();
    script.sends(50, &[1]);
    for _ in 0..3 {
        assert!(matches!(script.poll(), Effect::Wait { .. }));
    }
    assert!(!script.courier.may_stop());
}

#[test]
fn a_refused_call_is_dead_and_the_others_go_again_at_once() {
    let mut script = Script::started();
    let fates = vec![Fate::Untouched, invalid(), Fate::Untouched];
    script.sends(50, &[1, 2, 3]).give(answered(400, Account::Fine, fates));
    script.settles(&[(1, Phase::Pending), (2, Phase::Dead), (3, Phase::Pending)]);
    script.sends(50, &[1, 3]).give(answered(200, Account::Fine, vec![stored(), stored()]));
    script.settles(&[(1, Phase::Sent), (3, Phase::Sent)]);
}

#[test]
fn a_call_that_cannot_be_written_is_dead_before_anything_is_sent() {
    let mut script = Script::started();
    let mut bad = item(2);
    bad.call.record.phone = None;
    script.leases(50, vec![item(1), bad]).settles(&[(2, Phase::Dead)]);
    script.sends(50, &[1]);
}

#[test]
fn an_unknown_number_is_parked() {
    let mut script = Script::started();
    script.sends(50, &[1, 2]).give(answered(400, Account::Fine, vec![Fate::NotFound, stored()]));
    script.settles(&[(1, Phase::Parked), (2, Phase::Sent)]);
    script.leases(50, Vec::new());
}

#[test]
fn an_answer_that_leaves_calls_open_is_looked_up() {
    let mut script = Script::started();
    script.sends(50, &[1, 2]).give(answered(400, Account::Fine, vec![Fate::NotFound, Fate::Unclear]));
    script.settles(&[(1, Phase::Parked), (2, Phase::Unknown)]);
    script.expect(Effect::Look { limit: LOOK_LIMIT });
}

#[test]
fn a_lost_answer_is_never_answered_by_sending_again() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(Outcome::Posted(Posted::Lost("reset".to_owned())));
    script.announces_trouble().settles(&[(1, Phase::Unknown)]);
    script.waits(SECOND, SECOND * 2).expect(Effect::Probe).give(probe(Account::Fine));
    script.expect(Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 0)]));
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(ReadBack::Complete(BTreeMap::new())));
    script.settles(&[(1, Phase::Unknown)]);
    script.pass(SECOND * 61);
    script.expect(Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 1)]));
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(ReadBack::Complete(BTreeMap::new())));
    script.settles(&[(1, Phase::Pending)]);
}

#[test]
fn a_call_that_was_stored_without_an_answer_is_found() {
    let mut script = Script::started();
    script.expect(Effect::Look { limit: LOOK_LIMIT });
    script.give(Outcome::Unknown(vec![unknown(1, START, 0), unknown(2, START, 0)]));
    let note = Note { id: Some(9), entity: None };
    let found = BTreeMap::from([("default-1.2".to_owned(), note)]);
    script.reads_back(&["default-1.1", "default-1.2"]).give(Outcome::ReadBack(ReadBack::Complete(found)));
    script.settles(&[(1, Phase::Unknown), (2, Phase::Sent)]);
}

#[test]
fn a_search_counts_from_when_it_began() {
    let mut script = Script::started();
    script.pass(SECOND * 59);
    script.expect(Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 5)]));
    script.reads_back(&["default-1.1"]).pass(SECOND * 10);
    script.give(Outcome::ReadBack(ReadBack::Complete(BTreeMap::new())));
    script.settles(&[(1, Phase::Unknown)]);
}

#[test]
fn the_oldest_unknown_call_opens_the_window() {
    let mut script = Script::started();
    script.expect(Effect::Look { limit: LOOK_LIMIT });
    let early = START.before(SECOND * 500);
    script.give(Outcome::Unknown(vec![unknown(1, START, 0), unknown(2, early, 0)]));
    let Effect::ReadBack { since, .. } = script.poll() else { panic!() };
    assert_eq!(since, early);
}

#[test]
fn other_calls_flow_while_notes_cannot_be_read() {
    let mut script = Script::started();
    script.expect(Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 0)]));
    let unreadable = ReadBack::Unreadable("HTTP 403".to_owned());
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(unreadable));
    script.settles(&[(1, Phase::Unknown)]).sends(50, &[2]);
}

#[test]
fn what_left_earlier_is_taken_over_first() {
    let mut script = Script::new();
    script.announces(|standing| *standing == Standing::Starting);
    script.expect(Effect::Adopt).give(Outcome::Adopted(1));
    script.expect(Effect::Probe).give(probe(Account::Fine));
    script.announces(|standing| *standing == Standing::Delivering);
    script.expect(Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 0)]));
    script.reads_back(&["default-1.1"]);
}

#[test]
fn a_call_that_never_left_waits_without_a_search() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(Outcome::Posted(Posted::NotSent("refused".to_owned())));
    script.announces_trouble().settles(&[(1, Phase::Pending)]);
    script.waits(SECOND, SECOND * 2).expect(Effect::Probe);
}

#[test]
fn an_outage_is_asked_after_less_and_less_often_and_never_given_a_call() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(503, Account::ServerTrouble, vec![Fate::Unclear]));
    script.announces_trouble().settles(&[(1, Phase::Unknown)]);
    for exponent in 0..12 {
        let most = Duration::from_secs(2 << exponent).min(Duration::from_secs(600));
        script.waits(most / 2, most);
        script.expect(Effect::Probe).give(Outcome::Probed(Probed::Silent("timed out".to_owned())));
    }
}

#[test]
fn after_trouble_one_call_is_risked_before_fifty() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(500, Account::ServerTrouble, vec![Fate::Unclear]));
    script.announces_trouble().settles(&[(1, Phase::Unknown)]);
    script.waits(SECOND, SECOND * 2).expect(Effect::Probe).give(probe(Account::Fine));
    script.sends(1, &[2]).give(answered(200, Account::Fine, vec![stored()]));
    script.announces(|standing| *standing == Standing::Delivering);
    script.settles(&[(2, Phase::Sent)]).sends(50, &[3, 4]);
}

#[test]
fn trouble_ends_with_an_answer_when_nothing_waits() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(500, Account::ServerTrouble, vec![Fate::Unclear]));
    script.announces_trouble().settles(&[(1, Phase::Unknown)]);
    script.waits(SECOND, SECOND * 2).expect(Effect::Probe).give(probe(Account::Fine));
    script.leases(1, Vec::new());
    script.announces(|standing| *standing == Standing::Delivering);
}

#[test]
fn a_refused_token_is_read_again_before_anybody_is_called() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(401, Account::Unauthorized, vec![Fate::Untouched]));
    script.settles(&[(1, Phase::Pending)]);
    script.expect(Effect::RenewToken).give(Outcome::Token(Token::Another));
    script.expect(Effect::Probe).give(probe(Account::Fine));
    script.sends(50, &[1]);
}

#[test]
fn a_token_that_stays_refused_holds_the_queue_with_one_alarm() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(401, Account::Unauthorized, vec![Fate::Untouched]));
    script.settles(&[(1, Phase::Pending)]);
    script.expect(Effect::RenewToken).give(Outcome::Token(Token::Same));
    script.announces_hold(Hold::Unauthorized);
    let mut probes = 0;
    for _ in 0..100 {
        match script.poll() {
            Effect::Wait { until } => {
                let wait = until.since(script.now.mono);
                assert!(wait > Duration::ZERO && wait <= SECOND * 5);
                script.pass(wait);
            }
            Effect::RenewToken => drop(script.give(Outcome::Token(Token::Same))),
            Effect::Probe => {
                probes += 1;
                script.give(probe(Account::Unauthorized));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=3).contains(&probes), "{probes} in about four minutes");
}

#[test]
fn another_token_ends_the_hold_at_once() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(401, Account::Unauthorized, vec![Fate::Untouched]));
    script.settles(&[(1, Phase::Pending)]);
    script.expect(Effect::RenewToken).give(Outcome::Token(Token::Same));
    script.announces_hold(Hold::Unauthorized);
    script.waits(SECOND * 5, SECOND * 5);
    script.expect(Effect::RenewToken).give(Outcome::Token(Token::Another));
    script.expect(Effect::Probe).give(probe(Account::Fine));
    script.sends(1, &[1]).give(answered(200, Account::Fine, vec![stored()]));
    script.announces(|standing| *standing == Standing::Delivering).settles(&[(1, Phase::Sent)]);
}

#[test]
fn a_missing_token_holds_the_queue_from_the_start() {
    let mut script = Script::new();
    script.announces(|standing| *standing == Standing::Starting);
    script.expect(Effect::Adopt).give(Outcome::Adopted(0));
    script.expect(Effect::Probe).give(Outcome::Probed(Probed::NoToken("no file".to_owned())));
    script.expect(Effect::RenewToken).give(Outcome::Token(Token::Absent("no file".to_owned())));
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
        script.waits(SECOND * 30, SECOND * 60).expect(Effect::Probe).give(probe(Account::Fine));
        script.sends(1, &[1]).give(answered(200, Account::Fine, vec![stored()]));
        script.announces(|standing| *standing == Standing::Delivering).settles(&[(1, Phase::Sent)]);
    }
}

#[test]
fn an_unpaid_account_is_not_taken_for_paid_because_it_answers_questions() {
    let mut script = Script::started();
    script.sends(50, &[1]).give(answered(402, Account::Unpaid, vec![Fate::Untouched]));
    script.announces_hold(Hold::Unpaid).settles(&[(1, Phase::Pending)]);
    script.waits(SECOND * 30, SECOND * 60).expect(Effect::Probe).give(probe(Account::Fine));
    script.sends(1, &[1]).give(answered(402, Account::Unpaid, vec![Fate::Untouched]));
    script.settles(&[(1, Phase::Pending)]).waits(SECOND * 60, SECOND * 120);
    script.expect(Effect::Probe).give(probe(Account::Fine));
    script.leases(1, Vec::new()).expect(Effect::NextDue);
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
    script.waits(SECOND * 8, SECOND * 8).expect(Effect::Look { limit: LOOK_LIMIT });
}

#[test]
fn a_call_that_spoils_its_batch_is_alone_in_the_end_and_dies_alone() {
    let mut script = Script::started();
    let suspect = Item { attempts: 11, ..item(1) };
    script.leases(50, vec![suspect, item(2)]).intends(&[1]).posts(1);
    script.give(answered(400, Account::Fine, vec![Fate::Unclear]));
    script.announces_trouble().settles(&[(1, Phase::Unknown)]);
    script.pass(SECOND * 61).expect(Effect::Probe).give(probe(Account::Fine));
    let judged = Item { attempts: 12, ..unknown(1, START, 1) };
    script.expect(Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![judged]));
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(ReadBack::Complete(BTreeMap::new())));
    script.settles(&[(1, Phase::Dead)]).sends(1, &[2]);
}

#[test]
fn a_held_call_is_not_sent_again() {
    let mut script = Script::with(Policy { on_unknown: OnUnknown::Hold, ..Policy::default() }).begin();
    script.pass(SECOND * 3600);
    script.expect(Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![unknown(1, START, 9)]));
    script.reads_back(&["default-1.1"]).give(Outcome::ReadBack(ReadBack::Complete(BTreeMap::new())));
    script.settles(&[(1, Phase::Unknown)]);
}

#[test]
fn a_store_that_fails_is_asked_again_after_a_pause() {
    let mut script = Script::started();
    let fails = || Outcome::StoreFailed(Error::Store("disk full".to_owned()));
    script.expect(Effect::Look { limit: LOOK_LIMIT }).give(fails());
    script.waits(SECOND / 4, SECOND / 2).expect(Effect::Look { limit: LOOK_LIMIT }).give(fails());
    script.waits(SECOND / 2, SECOND).expect(Effect::Look { limit: LOOK_LIMIT });
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
    script.expect(Effect::Intend { calls: vec![Seq(1)] });
    script.give(Outcome::StoreFailed(Error::Store("disk full".to_owned())));
    script.waits(SECOND / 4, SECOND / 2).intends(&[1]).posts(1);
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
    script.leases(50, vec![item(1)]).expect(Effect::Intend { calls: vec![Seq(1)] });
    script.give(Outcome::StoreFailed(Error::Absent(Seq(1)))).waits(SECOND / 4, SECOND / 2);
    script.leases(50, Vec::new());
}

#[test]
fn an_answer_about_fewer_calls_leaves_the_others_open() {
    let mut script = Script::started();
    script.sends(50, &[1, 2]).give(answered(200, Account::Fine, vec![stored()]));
    script.settles(&[(1, Phase::Sent), (2, Phase::Unknown)]);
}

#[test]
fn an_outcome_that_nobody_asked_for_changes_nothing() {
    let mut script = Script::started();
    script.leases(50, vec![item(1)]).give(Outcome::Arrived);
    script.intends(&[1]).posts(1).give(Outcome::Arrived);
    assert!(!script.courier.may_stop());
}
