use super::*;
use crate::call::line::{Terms, Unknown as Way};
use crate::call::record::{Direction, Seconds};
use crate::outbox::policy::tests::{START, item};
use crate::outbox::queue::{BatchId, Phase};
use crate::time::span::Span;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const TIMEOUT: Duration = Duration::from_secs(30);

/// A missed call that rang ten seconds.
fn missed() -> Item {
    let mut item = item(1);
    item.call.record.answered = false;
    item.call.record.source = Source::Ami;
    item.call.record.wait_seconds = Seconds::from_duration(SECOND * 10);
    item
}

fn on(way: Way) -> Item {
    let mut item = missed();
    item.call.record.line = Terms { unknown: Some(way), ..Terms::default() };
    item
}

fn answered(way: Way) -> Item {
    let mut item = on(way);
    item.call.record.answered = true;
    item
}

fn with(errand: Errand) -> Item {
    Item { errand, state: State::Parked { since: START }, ..on(Way::Unsorted) }
}

fn making(make: Make) -> Item {
    with(Errand { make: Some(make), ..Errand::default() })
}

fn against(uid: &str) -> Item {
    with(Errand { against: Some(uid.to_owned()), ..Errand::default() })
}

fn unknown_of(item: Item, looked: u32) -> Item {
    let state = State::Unknown { batch: BatchId(1), since: START, looked };
    Item { state, parked_since: Some(START), attempts: 1, ..item }
}

/// By the defaults.
fn judge<T>(judged: impl Fn(Grounds<'_>) -> T) -> T {
    judge_by(&Unknown::default(), judged)
}

fn judge_by<T>(unknown: &Unknown, judged: impl Fn(Grounds<'_>) -> T) -> T {
    judged(Grounds { delivery: &Policy::default(), unknown })
}

fn list(items: &[(&str, &str, &str)]) -> Open {
    let mut open = Open::default();
    for (uid, source, number) in items {
        open.uids.insert((*uid).to_owned());
        open.by_source.insert((*source).to_owned(), (*uid).to_owned());
        open.by_number.insert((*number).to_owned(), (*uid).to_owned());
    }
    open
}

const NUMBER: &str = "9160000001";

/// What is made next for a call that was not found, after so long.
#[track_caller]
fn check_not_found(item: &Item, after: Duration, phase: Phase, next: Duration, make: Option<Make>) {
    let now = START.after(after);
    let settled = judge(|grounds| not_found(grounds, item, "not found", now));
    assert_eq!(settled.state.phase(), phase, "{settled:?}");
    assert_eq!(settled.errand.make, make, "{settled:?}");
    assert_eq!(settled.next_at.since(START), next, "{settled:?}");
    assert!(settled.attempted);
}

#[test]
fn every_policy_says_what_comes_after_not_found() {
    let minutes = |minutes: u64| SECOND * 60 * u32::try_from(minutes).unwrap();
    check_not_found(&on(Way::Park), SECOND, Phase::Parked, minutes(10) + SECOND, None);
    check_not_found(&on(Way::Drop), SECOND, Phase::Skipped, SECOND, None);
    check_not_found(&on(Way::Unsorted), SECOND, Phase::Parked, SECOND, Some(Make::Unsorted));
    check_not_found(&on(Way::Contact), SECOND, Phase::Parked, SECOND, Some(Make::Contact));
    check_not_found(&on(Way::Lead), SECOND, Phase::Parked, SECOND, Some(Make::Contact));
    let usual = missed();
    check_not_found(&usual, SECOND, Phase::Parked, SECOND, Some(Make::Unsorted));
    let mut outbound = missed();
    outbound.call.record.direction = Direction::Outbound;
    check_not_found(&outbound, SECOND, Phase::Parked, minutes(10) + SECOND, None);
    // A call to the outside has no place in Incoming leads, whatever its line says.
    outbound.call.record.line.unknown = Some(Way::Unsorted);
    check_not_found(&outbound, SECOND, Phase::Parked, minutes(10) + SECOND, None);
}

#[test]
fn whether_a_lead_is_wanted_is_kept() {
    let wants = |way| judge(|grounds| not_found(grounds, &on(way), "", START)).errand.wants_lead;
    assert!(wants(Way::Lead) && !wants(Way::Contact) && !wants(Way::Unsorted));
}

#[test]
fn who_talked_has_a_grace_and_a_missed_caller_has_none() {
    for way in [Way::Unsorted, Way::Contact, Way::Lead] {
        check_not_found(&answered(way), SECOND, Phase::Parked, SECOND * 90, None);
        let waited = Item { state: State::Parked { since: START }, ..answered(way) };
        let make = if way == Way::Unsorted { Make::Unsorted } else { Make::Contact };
        check_not_found(&waited, SECOND * 90, Phase::Parked, SECOND * 90, Some(make));
    }
    check_not_found(&answered(Way::Park), SECOND, Phase::Parked, SECOND * 601, None);
}

#[test]
fn junk_makes_nothing() {
    let parked = SECOND * 601;
    let mut short = on(Way::Unsorted);
    short.call.record.wait_seconds = Seconds::from_duration(Duration::from_millis(1900));
    check_not_found(&short, SECOND, Phase::Parked, parked, None);
    short.call.record.answered = true;
    check_not_found(&short, SECOND * 91, Phase::Parked, SECOND * 91, Some(Make::Unsorted));
    for way in [Way::Unsorted, Way::Contact, Way::Lead] {
        check_not_found(&on(way), HOUR * 24, Phase::Parked, HOUR * 24 + SECOND * 600, None);
    }
    let mut imported = on(Way::Lead);
    imported.call.record.source = Source::Replay;
    imported.call.record.ended_at = crate::time::PbxTime::from_micros(START.before(HOUR * 25).micros());
    check_not_found(&imported, SECOND, Phase::Parked, parked, None);
}

#[test]
fn a_blacklisted_number_is_dropped() {
    let unknown = Unknown { blacklist: ["8 916 000-00-01".to_owned()].into(), ..Unknown::default() };
    let settled = judge_by(&unknown, |grounds| not_found(grounds, &on(Way::Unsorted), "", START));
    assert_eq!(settled.state, State::Skipped { reason: Skip::UnknownNumber, at: START });
    let settled = judge_by(&unknown, |grounds| not_found(grounds, &on(Way::Park), "", START));
    assert_eq!(settled.state.phase(), Phase::Skipped, "whoever is on the list is never waited for");
}

#[test]
fn nothing_is_made_twice_for_one_call() {
    let done = with(Errand { done: true, ..Errand::default() });
    check_not_found(&done, SECOND, Phase::Parked, SECOND * 600, None);
    let made = with(Errand { done: true, made_at: Some(START), ..Errand::default() });
    check_not_found(&made, SECOND, Phase::Parked, SECOND * 30, None);
}

/// What follows from the list.
fn listed_at(item: &Item, open: &Open, fresh: Option<&Fresh>, now: HostTime) -> Next {
    judge(|grounds| after_list(grounds, item, open, fresh, now))
}

#[track_caller]
fn settled(next: Next) -> Settlement {
    match next {
        Next::Settle(settled) => settled,
        other @ (Next::Make | Next::Post(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_number_has_one_open_item() {
    let wants = making(Make::Unsorted);
    assert_eq!(listed_at(&wants, &Open::default(), None, START), Next::Make);
    assert_eq!(listed_at(&wants, &list(&[("u", "other", "9160000002")]), None, START), Next::Make);
    let waits = settled(listed_at(&wants, &list(&[("u", "other", NUMBER)]), None, START));
    assert_eq!(waits.state, State::Parked { since: START });
    assert_eq!((waits.errand.against.as_deref(), waits.errand.make), (Some("u"), None));
    let own = settled(listed_at(&wants, &list(&[("u", "default-1.1", NUMBER)]), None, START));
    assert_eq!(own.state, State::Unsorted { uid: Some("u".into()), at: START });
}

#[test]
fn an_item_that_the_list_does_not_have_yet_counts_while_it_may_lag() {
    let fresh = Fresh { uid: "f".into(), at: START };
    let wants = making(Make::Unsorted);
    let waits = settled(listed_at(&wants, &Open::default(), Some(&fresh), START.after(SECOND * 29)));
    assert_eq!(waits.errand.against.as_deref(), Some("f"));
    assert_eq!(listed_at(&wants, &Open::default(), Some(&fresh), START.after(SECOND * 30)), Next::Make);
    let against = against("f");
    let waits = settled(listed_at(&against, &Open::default(), Some(&fresh), START.after(SECOND)));
    assert_eq!((waits.errand.against.as_deref(), waits.errand.gone_since), (Some("f"), None));
}

#[test]
fn a_call_waits_while_its_item_is_open_and_is_posted_when_it_is_gone() {
    let open = list(&[("u", "x", NUMBER)]);
    let waits = settled(listed_at(&against("u"), &open, None, START));
    assert_eq!((waits.state, waits.next_at), (State::Parked { since: START }, START.after(SECOND * 600)));
    let Next::Post(errand) = listed_at(&against("u"), &Open::default(), None, START) else { panic!() };
    assert_eq!(errand.gone_since, Some(START));
    let cut = Open { is_cut: true, ..Open::default() };
    assert_eq!(settled(listed_at(&against("u"), &cut, None, START)).errand.gone_since, None);
    let again = listed_at(&against("u"), &list(&[("v", "y", NUMBER)]), None, START);
    assert_eq!(settled(again).errand.against.as_deref(), Some("v"), "another one of the number");
}

#[test]
fn declined_or_old_items_end_the_calls_that_wait_for_them() {
    let open = list(&[("u", "x", NUMBER)]);
    let old = settled(listed_at(&against("u"), &open, None, START.after(HOUR * 96)));
    assert_eq!(old.state.phase(), Phase::Expired);
    let gone = |gone_since| {
        with(Errand { against: Some("u".into()), gone_since: Some(gone_since), ..Errand::default() })
    };
    // Accepted a moment ago, it may not be found yet.
    check_not_found(&gone(START), SECOND * 5, Phase::Parked, SECOND * 30, None);
    check_not_found(&gone(START), SECOND * 30, Phase::Expired, SECOND * 30, None);
    let back = settled(listed_at(&gone(START), &open, None, START));
    assert_eq!((back.state.phase(), back.errand.gone_since), (Phase::Parked, None));
}

#[test]
fn where_incoming_leads_are_off_the_configuration_says_what_stands_for_them() {
    let off = Open { is_off: true, ..Open::default() };
    let check = |way, phase, make, wants_lead| {
        let unknown = Unknown { without_unsorted: way, ..Unknown::default() };
        let item = making(Make::Unsorted);
        let next = judge_by(&unknown, |grounds| after_list(grounds, &item, &off, None, START));
        let settled = settled(next);
        assert_eq!((settled.state.phase(), settled.errand.make), (phase, make), "{way:?}");
        assert_eq!(settled.errand.wants_lead, wants_lead);
    };
    check(Way::Park, Phase::Parked, None, false);
    check(Way::Contact, Phase::Parked, Some(Make::Contact), false);
    check(Way::Lead, Phase::Parked, Some(Make::Contact), true);
    check(Way::Drop, Phase::Skipped, Some(Make::Unsorted), false);
}

#[test]
fn a_backlog_of_yesterday_makes_nothing_even_where_it_was_decided_to() {
    let late = START.after(HOUR * 24);
    for make in [Make::Unsorted, Make::Contact] {
        let item = making(make);
        let next = if make == Make::Unsorted {
            listed_at(&item, &Open::default(), None, late)
        } else {
            judge(|grounds| after_search(grounds, &item, &[], late))
        };
        let left = settled(next);
        assert_eq!((left.state.phase(), left.errand.make, left.errand.done), (Phase::Parked, None, true));
    }
}

#[test]
fn who_is_found_right_before_is_not_made_again() {
    let known = |leads: &[u64]| vec![Known { id: 7, leads: leads.to_vec(), owner: None }];
    let search = |item: &Item, found: &[Known]| judge(|grounds| after_search(grounds, item, found, START));
    assert_eq!(search(&making(Make::Contact), &[]), Next::Make);
    let posted = settled(search(&making(Make::Contact), &known(&[])));
    assert_eq!((posted.errand.make, posted.errand.done, posted.next_at), (None, true, START));
    assert_eq!(search(&making(Make::Lead), &[]), Next::Make, "the search may lag behind its contact");
    assert_eq!(search(&making(Make::Lead), &known(&[])), Next::Make);
    assert!(settled(search(&making(Make::Lead), &known(&[9]))).errand.done);
}

fn after(item: &Item, fate: &Fate, words: &str) -> Settlement {
    let sending = Sending { batch: BatchId(1), since: START, request_timeout: TIMEOUT };
    judge(|grounds| after_making(grounds, item, fate, words, &sending, START))
}

#[test]
fn what_was_made_leads_to_the_next_step() {
    let made = |name: &str| Fate::Made(name.to_owned());
    let item = after(&making(Make::Unsorted), &made("ab"), "");
    assert_eq!(item.state, State::Unsorted { uid: Some("ab".into()), at: START });
    let contact = after(&making(Make::Contact), &made("7"), "");
    assert_eq!((contact.errand.contact, contact.errand.make, contact.errand.done), (Some(7), None, true));
    let wanted = Errand { wants_lead: true, ..making(Make::Contact).errand };
    let contact = after(&with(wanted), &made("7"), "");
    assert_eq!((contact.errand.contact, contact.errand.make), (Some(7), Some(Make::Lead)));
    assert!(!contact.errand.done);
    let lead = after(&making(Make::Lead), &made("9"), "");
    assert_eq!((lead.errand.lead, lead.errand.make, lead.errand.done), (Some(9), None, true));
    assert_eq!(after(&making(Make::Lead), &made("x"), "").state.phase(), Phase::Unknown);
}

#[test]
fn what_has_no_clear_answer_is_looked_up_and_what_was_not_processed_is_tried_again() {
    for make in [Make::Unsorted, Make::Contact, Make::Lead] {
        let unclear = after(&making(make), &Fate::Unclear, "504");
        assert_eq!((unclear.state.phase(), unclear.errand.make), (Phase::Unknown, Some(make)));
        let untouched = after(&making(make), &Fate::Untouched, "429");
        assert_eq!((untouched.state.phase(), untouched.errand.make), (Phase::Parked, Some(make)));
        assert!(!untouched.attempted);
        let refused = after(&making(make), &Fate::Refused, "400");
        assert_eq!((refused.state.phase(), refused.errand.refused), (Phase::Unknown, true));
    }
    let link = after(&making(Make::Unsorted), &Fate::Refused, "HTTP 400 (metadata.link: FieldMissing)");
    assert_eq!((link.state.phase(), link.errand.needs_link), (Phase::Parked, true));
    let again = with(link.errand);
    assert!(after(&again, &Fate::Refused, "metadata.link").errand.refused, "but once only");
}

#[test]
fn what_is_not_there_is_believed_late_and_twice_and_made_again() {
    for (make, state) in [
        // One that was accepted is a note of the call: that is looked for before anything else.
        (Make::Unsorted, (Phase::Unknown, None)),
        (Make::Contact, (Phase::Parked, Some(Make::Contact))),
        (Make::Lead, (Phase::Parked, Some(Make::Lead))),
    ] {
        let look = |looked, seconds: u32| {
            let item = unknown_of(making(make), looked);
            let now = START.after(SECOND * seconds);
            judge(|grounds| match make {
                Make::Unsorted => after_list_look(grounds, &item, &Open::default(), TIMEOUT, now),
                Make::Contact | Make::Lead => after_search_look(grounds, &item, &[], TIMEOUT, now),
            })
        };
        assert_eq!(look(0, 100).state.phase(), Phase::Unknown);
        assert_eq!(look(5, 59).state.phase(), Phase::Unknown);
        let absent = look(1, 60);
        assert_eq!((absent.state.phase(), absent.errand.make), state);
        assert_eq!(absent.next_at, START.after(SECOND * 60));
    }
}

#[test]
fn what_is_there_settles_the_doubt() {
    let known = |leads: &[u64]| vec![Known { id: 7, leads: leads.to_vec(), owner: None }];
    let doubt = unknown_of(making(Make::Unsorted), 0);
    let open = list(&[("u", "default-1.1", NUMBER)]);
    let found = judge(|grounds| after_list_look(grounds, &doubt, &open, TIMEOUT, START));
    assert_eq!(found.state, State::Unsorted { uid: Some("u".into()), at: START });
    let search = |item: &Item, found: &[Known]| {
        judge(|grounds| after_search_look(grounds, item, found, TIMEOUT, START))
    };
    let contact = search(&unknown_of(making(Make::Contact), 0), &known(&[]));
    assert_eq!((contact.state.phase(), contact.errand.done), (Phase::Parked, true));
    let wants = with(Errand { wants_lead: true, ..making(Make::Contact).errand });
    let contact = search(&unknown_of(wants.clone(), 0), &known(&[]));
    assert_eq!((contact.errand.contact, contact.errand.make), (Some(7), Some(Make::Lead)));
    assert!(search(&unknown_of(wants, 0), &known(&[9])).errand.done, "a lead is there too");
    let lead = unknown_of(making(Make::Lead), 0);
    assert_eq!(search(&lead, &known(&[])).state.phase(), Phase::Unknown);
    assert!(search(&lead, &known(&[9])).errand.done);
}

#[test]
fn what_amocrm_refuses_and_does_not_have_is_left() {
    let refused = |make| {
        let errand = Errand { refused: true, ..making(make).errand };
        unknown_of(with(errand), 1)
    };
    let late = START.after(SECOND * 60);
    let unknown = Unknown { without_unsorted: Way::Contact, ..Unknown::default() };
    let item = refused(Make::Unsorted);
    let settled =
        judge_by(&unknown, |grounds| after_list_look(grounds, &item, &Open::default(), TIMEOUT, late));
    assert_eq!((settled.errand.make, settled.errand.refused), (Some(Make::Contact), false));
    let contact = refused(Make::Contact);
    let settled = judge(|grounds| after_search_look(grounds, &contact, &[], TIMEOUT, late));
    assert_eq!((settled.errand.make, settled.errand.done), (None, true));
    let lead = refused(Make::Lead);
    let settled = judge(|grounds| after_search_look(grounds, &lead, &[], TIMEOUT, late));
    assert_eq!((settled.errand.done, settled.next_at), (true, late), "the call has its contact");
}

#[test]
fn a_look_that_failed_proves_nothing() {
    let failed =
        |item: &Item, now| judge(|grounds| after_failed_look(grounds, item, "403", SECOND * 30, now));
    let settled = failed(&making(Make::Unsorted), START);
    assert_eq!((settled.state.phase(), settled.errand.make), (Phase::Parked, Some(Make::Unsorted)));
    let doubt = unknown_of(making(Make::Contact), 1);
    let settled = failed(&doubt, START);
    assert_eq!(settled.state, State::Unknown { batch: BatchId(1), since: START, looked: 1 });
    assert_eq!(settled.next_at, START.after(SECOND * 30));
    // A call that waits is given up in the end, and one in doubt is not.
    let late = START.after(HOUR * 96);
    assert_eq!(failed(&making(Make::Unsorted), late).state.phase(), Phase::Expired);
    assert_eq!(failed(&against("u"), late).state.phase(), Phase::Expired);
    assert_eq!(failed(&doubt, late).state.phase(), Phase::Unknown);
}

#[test]
fn hold_means_that_nothing_is_made_again() {
    let delivery = Policy { on_unknown: OnUnknown::Hold, ..Policy::default() };
    let unknown = Unknown::default();
    let grounds = Grounds { delivery: &delivery, unknown: &unknown };
    let doubt = unknown_of(making(Make::Contact), 9);
    let late = START.after(HOUR);
    let settled = after_search_look(grounds, &doubt, &[], TIMEOUT, late);
    assert_eq!((settled.state.phase(), settled.next_at), (Phase::Unknown, late.after(HOUR)));
    // After a day the call goes on without it, and where that may be in the item, it is looked for itself.
    let day = START.after(HOUR * 24);
    let gone = |make| {
        let settled = match make {
            Make::Unsorted => {
                after_list_look(grounds, &unknown_of(making(make), 9), &list(&[]), TIMEOUT, day)
            }
            Make::Contact | Make::Lead => {
                after_search_look(grounds, &unknown_of(making(make), 9), &[], TIMEOUT, day)
            }
        };
        (settled.state.phase(), settled.errand.make, settled.errand.done, settled.next_at == day)
    };
    assert_eq!(gone(Make::Contact), (Phase::Parked, None, true, false));
    assert_eq!(gone(Make::Lead), (Phase::Parked, None, true, true));
    assert_eq!(gone(Make::Unsorted), (Phase::Unknown, None, false, true));
}

#[test]
fn the_shortest_pause_of_the_schedule_is_how_often_an_item_is_looked_for() {
    let delivery =
        Policy { parked_retries: vec![Span::from_secs(5), Span::from_secs(2)], ..Policy::default() };
    let unknown = Unknown::default();
    let grounds = Grounds { delivery: &delivery, unknown: &unknown };
    let next = after_list(grounds, &against("u"), &list(&[("u", "x", NUMBER)]), None, START);
    assert_eq!(settled(next).next_at, START.after(SECOND * 2));
}
