//! Scripts: what the courier asks for, in order, and nothing else.

use super::*;
use crate::amo::answer::{Account, Answer, Fate};
use crate::amo::notes::{Note, Probe};
use crate::outbox::courier::effect::{Posted, ReadBack, Token};
use crate::outbox::policy::OnUnknown;
use crate::outbox::policy::tests::{START, item, unknown};
use crate::outbox::queue::{Error, Item, Phase, Seq};

mod account;
mod aside;
mod errand;
mod flights;
mod outcome;
mod shadow;
mod sound;
mod store;
mod watch;

const SECOND: Duration = Duration::from_secs(1);

struct Script {
    courier: Courier,
    now: Now,
}

impl Script {
    /// A courier that has not begun; it posts one batch at a time.
    fn new() -> Self {
        Self::with(Policy { in_flight: 1.try_into().unwrap(), ..Policy::default() })
    }

    fn with(delivery: Policy) -> Self {
        let rules = Rules { amo: Settings::default(), delivery };
        let mono = MonoTime::from_micros(1_000_000_000);
        let courier = Courier::new(AccountId::default(), Arc::new(rules), 1);
        Self { courier, now: Now { host: START, mono, open_at: MonoTime::default(), ..Now::default() } }
    }

    /// A courier that is about to look for unknown calls for the first time.
    fn started() -> Self {
        Self::new().begin()
    }

    fn begin(mut self) -> Self {
        self.announces(|standing| *standing == Standing::Starting);
        self.adopts(0);
        self.expect(&Effect::Probe).give(probe(Account::Fine));
        self.announces(|standing| *standing == Standing::Delivering);
        self
    }

    /// Takes over what an earlier process left, and finds nothing of it in doubt.
    #[track_caller]
    fn adopts(&mut self, count: u64) -> &mut Self {
        self.expect(&Effect::Adopt).give(Outcome::Adopted(count));
        self.expect(&Effect::Doubts { limit: DOUBTS_LIMIT }).give(Outcome::Doubts(Vec::new()))
    }

    #[track_caller]
    fn poll(&mut self) -> Effect {
        self.courier.poll(self.now)
    }

    #[track_caller]
    fn expect(&mut self, expected: &Effect) -> &mut Self {
        assert_eq!(self.poll(), *expected);
        self
    }

    fn give(&mut self, outcome: Outcome) -> &mut Self {
        self.courier.handle(outcome, self.now);
        self
    }

    #[track_caller]
    fn announces(&mut self, is_right: impl Fn(&Standing) -> bool) -> &mut Self {
        let effect = self.poll();
        assert!(matches!(&effect, Effect::Announce(standing) if is_right(standing)), "{effect:?}");
        self
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
        self.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(Vec::new()));
        self.expect(&Effect::Lease { limit }).give(Outcome::Leased(items))
    }

    #[track_caller]
    fn intends(&mut self, seqs: &[u64]) -> &mut Self {
        let calls = seqs.iter().copied().map(Seq).collect();
        self.expect(&Effect::Intend { calls }).give(Outcome::Intended(BatchId(7)))
    }

    #[track_caller]
    fn posts(&mut self, count: usize) -> &mut Self {
        let Effect::Post { batch: _, body, request_ids } = self.poll() else { panic!("nothing is posted") };
        let entries: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(entries.as_array().unwrap().len(), count);
        let places: Vec<String> = (0..count).map(|place| place.to_string()).collect();
        assert_eq!(request_ids, places);
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
        let Effect::ReadBack { uniqs: asked, .. } = self.poll() else { panic!("nothing is read back") };
        assert_eq!(asked, uniqs.iter().map(|uniq| (*uniq).to_owned()).collect());
        self
    }

    #[track_caller]
    fn rests(&mut self, due: Option<HostTime>, expected: Duration) -> &mut Self {
        self.expect(&Effect::NextDue).give(Outcome::NextDue(due));
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

    /// Settles, waits and looks for another token in vain, up to the next probe; returns how often
    /// people were told of trouble, and how long it took.
    #[track_caller]
    fn passes_trouble(&mut self) -> (u32, Duration) {
        let (mut told, begun) = (0, self.now.mono);
        loop {
            match self.poll() {
                Effect::Announce(Standing::Troubled { .. } | Standing::Held { .. }) => told += 1,
                Effect::Settle { .. } => _ = self.give(Outcome::Settled),
                Effect::RenewToken => _ = self.give(Outcome::Token(Token::Same)),
                Effect::Wait { until } => _ = self.pass(until.since(self.now.mono)),
                Effect::Probe => return (told, self.now.mono.since(begun)),
                other @ (Effect::Announce(_)
                | Effect::Adopt
                | Effect::Look { .. }
                | Effect::Doubts { .. }
                | Effect::Lease { .. }
                | Effect::NextDue
                | Effect::Intend { .. }
                | Effect::Post { .. }
                | Effect::ReadBack { .. }
                | Effect::ReadUnsorted
                | Effect::Search { .. }
                | Effect::FindSounds { .. }
                | Effect::Owing { .. }
                | Effect::Amend { .. }
                | Effect::Create { .. }
                | Effect::Uncompared { .. }
                | Effect::ReadFeed { .. }
                | Effect::NoteCompared { .. }
                | Effect::Keep { .. }
                | Effect::Ask(_)) => panic!("{other:?}"),
            }
        }
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        self.now.host = self.now.host.after(time);
        self.now.mono = self.now.mono.after(time);
        self
    }
}

fn probe(account: Account) -> Outcome {
    Outcome::Probed(Probed::Answered(Probe {
        account,
        customers: true,
        unsorted: true,
        words: "HTTP".to_owned(),
    }))
}

fn answered(status: u16, account: Account, fates: Vec<Fate>) -> Outcome {
    let answer = Answer { account, fates, words: "HTTP".to_owned(), evidence: None };
    posted(Posted::Answered { answer, status })
}

/// What came of the only POST of a script.
fn posted(posted: Posted) -> Outcome {
    Outcome::Posted { batch: BatchId(7), posted }
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
    script.expect(&Effect::Look { limit: LOOK_LIMIT });
}

#[test]
fn an_arrival_ends_the_rest_at_once() {
    let mut script = Script::started();
    script.leases(50, Vec::new());
    script.expect(&Effect::NextDue).give(Outcome::NextDue(None));
    let until = script.now.mono.after(REST_MAX);
    script.expect(&Effect::Wait { until }).give(Outcome::Arrived);
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
    // What is due and not leased is something that is owed, or was taken meanwhile.
    script.leases(50, Vec::new()).expect(&Effect::NextDue).give(Outcome::NextDue(Some(START)));
    script.expect(&Effect::Owing { limit: OWING_LIMIT }).give(Outcome::Owing(Vec::new()));
    script.waits(REST_MIN, REST_MIN);
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
fn an_outcome_that_nobody_asked_for_changes_nothing() {
    let mut script = Script::started();
    script.leases(50, vec![item(1)]).give(Outcome::Arrived);
    script.intends(&[1]).posts(1).give(Outcome::Arrived);
    assert!(!script.courier.may_stop());
}
