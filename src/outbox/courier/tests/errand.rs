//! What is made for calls with unknown numbers: each POST once, after its intent and a look.

use super::*;
use crate::amo::contacts::Known;
use crate::amo::made::{self, Made};
use crate::amo::unsorted::Open;
use crate::outbox::courier::complaint::Complaint;
use crate::outbox::courier::effect::Created;
use crate::outbox::courier::makes::SHUT;
use crate::outbox::errand::{Errand, Make};
use crate::outbox::queue::State;

/// A parked call for which this is made next.
fn making(seq: u64, make: Make) -> Item {
    let mut item = item(seq);
    item.call.record.source = crate::call::record::Source::Ami;
    let errand = Errand { make: Some(make), contact: Some(7), ..Errand::default() };
    Item { errand, state: State::Parked { since: START }, ..item }
}

fn created(fates: &[made::Fate]) -> Outcome {
    let made = Made { account: Account::Fine, fates: fates.to_vec(), words: "HTTP".to_owned() };
    Outcome::Created(Created::Answered(made))
}

fn made(name: &str) -> made::Fate {
    made::Fate::Made(name.to_owned())
}

impl Script {
    #[track_caller]
    fn lists(&mut self, open: Open) -> &mut Self {
        self.expect(&Effect::ReadUnsorted).give(Outcome::Open(ReadBack::Complete(open)))
    }

    #[track_caller]
    fn searches(&mut self, number: &str, found: Vec<Known>) -> &mut Self {
        let number = number.to_owned();
        self.expect(&Effect::Search { number }).give(Outcome::Searched(ReadBack::Complete(found)))
    }

    #[track_caller]
    fn creates(&mut self, expected: Make, count: usize) -> &mut Self {
        let Effect::Create { make, body, request_ids } = self.poll() else { panic!("nothing is made") };
        let things: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
        assert_eq!((make, things.len(), request_ids.len()), (expected, count, count));
        assert!(matches!(self.poll(), Effect::Wait { .. }), "a POST is given out once");
        self
    }
}

#[test]
fn items_are_made_after_the_list_was_read() {
    let mut script = Script::started();
    script.leases(50, vec![making(1, Make::Unsorted), making(2, Make::Unsorted)]);
    script.lists(Open::default()).intends(&[1, 2]).creates(Make::Unsorted, 2);
    script.give(created(&[made("a"), made("b")]));
    script.settles(&[(1, Phase::Unsorted), (2, Phase::Unsorted)]);
}

#[test]
fn two_calls_of_one_number_are_one_item() {
    let mut script = Script::started();
    let mut second = making(2, Make::Unsorted);
    second.call.record.phone = making(1, Make::Unsorted).call.record.phone;
    script.leases(50, vec![making(1, Make::Unsorted), second.clone()]);
    script.lists(Open::default()).intends(&[1]).creates(Make::Unsorted, 1);
    script.give(created(&[made("a")])).settles(&[(1, Phase::Unsorted)]);
    // The list does not have it yet, and it is remembered.
    script.leases(50, vec![second]).lists(Open::default());
    let Effect::Settle { rulings } = script.poll() else { panic!("it waits for the item") };
    assert_eq!(rulings[0].settlement.errand.against.as_deref(), Some("a"));
}

#[test]
fn a_contact_and_its_lead_are_two_posts_with_two_intents() {
    let mut script = Script::started();
    script.leases(50, vec![making(1, Make::Contact)]).searches("9160000001", Vec::new());
    script.intends(&[1]).creates(Make::Contact, 1).give(created(&[made("7")]));
    script.settles(&[(1, Phase::Parked)]);
    script.leases(50, vec![making(1, Make::Lead)]).searches("9160000001", Vec::new());
    script.intends(&[1]).creates(Make::Lead, 1).give(created(&[made("9")]));
    script.settles(&[(1, Phase::Parked)]);
}

#[test]
fn an_intent_to_make_something_that_the_store_did_not_take_is_no_intent() {
    let mut script = Script::started();
    script.leases(50, vec![making(1, Make::Unsorted)]).lists(Open::default());
    script.expect(&Effect::Intend { calls: vec![Seq(1)] });
    assert!(!script.courier.may_stop());
    script.give(Outcome::StoreFailed(Error::Store("disk full".to_owned())));
    script.waits(SECOND / 4, SECOND / 2).adopts(0);
}

#[test]
fn a_lost_answer_keeps_the_number_back_until_it_is_settled() {
    let mut script = Script::started();
    script.leases(50, vec![making(1, Make::Unsorted)]).lists(Open::default());
    script.intends(&[1]).creates(Make::Unsorted, 1);
    script.give(Outcome::Created(Created::Lost("reset".to_owned())));
    script.announces_trouble().settles(&[(1, Phase::Unknown)]);
    script.waits(SECOND, SECOND * 2).expect(&Effect::Probe).give(probe(Account::Fine));
    let mut second = making(2, Make::Unsorted);
    second.call.record.phone = making(1, Make::Unsorted).call.record.phone;
    script.leases(1, vec![second]).lists(Open::default()).settles(&[(2, Phase::Parked)]);
    // It is found, and the other call waits for it.
    let doubt = Item { state: unknown(1, START, 0).state, ..making(1, Make::Unsorted) };
    script.expect(&Effect::Look { limit: LOOK_LIMIT }).give(Outcome::Unknown(vec![doubt]));
    let uniq = "default-1.1".to_owned();
    let open = Open { by_source: [(uniq, "a".to_owned())].into(), ..Open::default() };
    script.lists(open).settles(&[(1, Phase::Unsorted)]);
}

#[test]
fn what_an_earlier_process_left_in_doubt_keeps_its_number_back() {
    let doubt = Item { state: unknown(1, START, 0).state, ..making(1, Make::Contact) };
    let mut second = making(2, Make::Contact);
    second.call.record.phone = making(1, Make::Contact).call.record.phone;
    let mut script = Script::new();
    script.announces(|standing| *standing == Standing::Starting);
    script.expect(&Effect::Adopt).give(Outcome::Adopted(0));
    script.expect(&Effect::Doubts { limit: DOUBTS_LIMIT }).give(Outcome::Doubts(vec![doubt]));
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    script.announces(|standing| *standing == Standing::Delivering);
    script.leases(50, vec![second]).searches("9160000001", Vec::new()).settles(&[(2, Phase::Parked)]);
}

#[test]
fn a_refused_lead_ends_no_hold_and_makes_none() {
    let mut script = Script::started();
    script.leases(50, vec![making(1, Make::Lead)]).searches("9160000001", Vec::new());
    script.intends(&[1]).creates(Make::Lead, 1).give(created(&[made::Fate::Refused]));
    script.settles(&[(1, Phase::Unknown)]);
    assert_eq!(*script.courier.standing(), Standing::Delivering);
}

#[test]
fn a_list_that_the_account_does_not_give_holds_and_makes_nothing() {
    let mut script = Script::started();
    script.leases(50, vec![making(1, Make::Unsorted)]);
    let refused = ReadBack::Refused { account: Account::Unpaid, words: "402".to_owned() };
    script.expect(&Effect::ReadUnsorted).give(Outcome::Open(refused));
    script.announces_hold(Hold::Unpaid).settles(&[(1, Phase::Parked)]);
}

/// A gateway's page in place of the answer.
fn page() -> Outcome {
    let words = "HTTP 403".to_owned();
    Outcome::Created(Created::Answered(Made {
        account: Account::Banned,
        fates: vec![made::Fate::Untouched],
        words,
    }))
}

/// How long the settled call waits.
#[track_caller]
fn is_put_off(script: &mut Script) -> Duration {
    let Effect::Settle { rulings } = script.poll() else { panic!("nothing is settled") };
    let [ruling] = rulings.as_slice() else { panic!("{rulings:?}") };
    assert_eq!((ruling.settlement.state.phase(), ruling.settlement.attempted), (Phase::Parked, false));
    script.give(Outcome::Settled);
    ruling.settlement.next_at.since(script.now.host)
}

/// This call wants an item, and gets a page.
#[track_caller]
fn meets_a_page(script: &mut Script, limit: usize, seq: u64) {
    script.leases(limit, vec![making(seq, Make::Unsorted)]).lists(Open::default());
    script.intends(&[seq]).creates(Make::Unsorted, 1).give(page());
}

#[test]
fn a_page_in_place_of_new_items_lets_other_calls_go_where_the_account_answers() {
    let mut script = Script::started();
    meets_a_page(&mut script, 50, 1);
    script.announces_hold(Hold::Banned);
    assert_eq!(is_put_off(&mut script), Duration::ZERO);
    script.waits(SECOND * 30, SECOND * 60).expect(&Effect::Probe).give(probe(Account::Fine));
    meets_a_page(&mut script, 1, 1);
    assert_eq!(is_put_off(&mut script), SHUT);
    let told = [Complaint::MakesOff(Make::Unsorted, "HTTP 403".to_owned())];
    assert_eq!(script.courier.complaints(), told);
    // The next one is not posted at all, and others go.
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    script.pass(SECOND * 60).leases(1, vec![making(2, Make::Unsorted)]).lists(Open::default());
    assert_eq!(is_put_off(&mut script), SHUT.saturating_sub(SECOND * 60));
    script.sends(1, &[3]).give(answered(200, Account::Fine, vec![stored()]));
    script.announces(|standing| *standing == Standing::Delivering).settles(&[(3, Phase::Sent)]);
    script.leases(50, vec![making(4, Make::Contact)]).searches("9160000004", Vec::new());
    script.intends(&[4]).creates(Make::Contact, 1).give(created(&[made("7")])).settles(&[(4, Phase::Parked)]);
    // Refused again it is no news, and no hold.
    script.pass(SHUT);
    meets_a_page(&mut script, 50, 1);
    assert_eq!(is_put_off(&mut script), SHUT);
    assert_eq!((script.courier.complaints(), script.courier.standing()), (Vec::new(), &Standing::Delivering));
    // Once made, it counts anew.
    script.expect(&Effect::Probe).give(probe(Account::Fine)).pass(SHUT);
    script.leases(50, vec![making(1, Make::Unsorted)]).lists(Open::default());
    script.intends(&[1]).creates(Make::Unsorted, 1).give(created(&[made("a")]));
    script.settles(&[(1, Phase::Unsorted)]);
    meets_a_page(&mut script, 50, 5);
    script.announces_hold(Hold::Banned);
}

#[test]
fn a_hold_by_new_items_alone_ends_when_nothing_else_waits() {
    let mut script = Script::started();
    meets_a_page(&mut script, 50, 1);
    script.announces_hold(Hold::Banned);
    is_put_off(&mut script);
    script.waits(SECOND * 30, SECOND * 60).expect(&Effect::Probe).give(probe(Account::Fine));
    meets_a_page(&mut script, 1, 1);
    is_put_off(&mut script);
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    script.leases(1, Vec::new()).announces(|standing| *standing == Standing::Delivering);
}
