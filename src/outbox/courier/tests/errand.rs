//! What is made for calls with unknown numbers: each POST once, after its intent and a look.

use super::*;
use crate::amo::contacts::Known;
use crate::amo::made::{self, Made};
use crate::amo::unsorted::Open;
use crate::outbox::courier::effect::Created;
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
