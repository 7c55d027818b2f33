//! Shadow mode: what is asked, and that nothing else happens.

use super::*;
use crate::amo::feed::FeedNote;
use crate::amo::notes::Window;
use crate::call::record::Skip;
use crate::outbox::compare::tests::note;
use crate::outbox::compare::{Compared, Verdict};
use crate::outbox::queue::State;

const WAIT: Duration = Duration::from_mins(10);

fn script() -> Script {
    let mut script = Script::new();
    let amo = Settings { delivery: crate::amo::settings::manner::Delivery::Shadow, ..Settings::default() };
    let rules = Rules { amo, delivery: script.courier.rules.delivery.clone() };
    script.courier.set_rules(Arc::new(rules));
    script.begin()
}

fn shadowed(seq: u64) -> Item {
    let mut item = item(seq);
    item.call.record.skip = Some(Skip::Shadow);
    item.state = State::Skipped { reason: Skip::Shadow, at: item.enqueued_at };
    item
}

/// When the call began, and its number, as amoCRM is told.
fn told(item: &Item) -> (i64, String) {
    let record = &item.call.record;
    (record.started_at.micros() / 1_000_000, record.phone_e164.clone().or(record.phone.clone()).unwrap())
}

impl Script {
    /// Takes calls up; returns the time of which notes are read.
    #[track_caller]
    fn takes_up(&mut self, items: Vec<Item>) -> Window {
        let Effect::Uncompared { limit: 250, until } = self.poll() else { panic!("none are taken up") };
        assert_eq!(until, self.now.host.before(WAIT));
        self.give(Outcome::Uncompared(items));
        let Effect::ReadFeed { window } = self.poll() else { panic!("no notes are read") };
        window
    }

    /// Reads these notes; returns what is kept of calls and how many notes are of none.
    #[track_caller]
    fn reads(&mut self, notes: Vec<FeedNote>) -> (Vec<(Seq, Compared)>, Vec<u64>) {
        self.give(Outcome::Feed(ReadBack::Complete(notes)));
        let Effect::NoteCompared { found, strangers } = self.poll() else { panic!("nothing is kept") };
        self.give(Outcome::Noted);
        (found, strangers.into_iter().map(|stranger| stranger.note.id).collect())
    }

    #[track_caller]
    fn rests_for(&mut self) -> Duration {
        let Effect::Wait { until } = self.poll() else { panic!("it does not wait") };
        until.since(self.now.mono)
    }
}

#[test]
fn calls_are_compared_together_and_then_it_rests() {
    let mut script = script();
    let items = vec![shadowed(1), shadowed(2)];
    let (at, phone) = told(&items[0]);
    let window = script.takes_up(items);
    assert!(window.from <= at - 60 && window.to >= script.now.host.seconds(), "{window:?}");
    let (found, strangers) = script.reads(vec![note(7, &phone, at), note(8, "+79990001122", at)]);
    let verdicts: Vec<_> = found.iter().map(|(seq, compared)| (seq.0, compared.verdict())).collect();
    assert_eq!(verdicts.len(), 2);
    assert!(verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Missing), "one note, two calls");
    assert_eq!(strangers, [0; 0], "it was stored before shadow mode began");
    assert_eq!(script.rests_for(), REST_MAX);
    script.pass(WAIT / 2).takes_up(Vec::new());
}

#[test]
fn a_note_is_a_stranger_when_every_call_of_its_time_was_compared_and_of_one_call_for_ever() {
    let mut script = script();
    script.takes_up(Vec::new());
    script.reads(Vec::new());
    let begun = script.now.host.seconds();
    let mut theirs = note(8, "+79990001122", begun + 10);
    let own = FeedNote { id: 9, source: "ami2amo".to_owned(), ..theirs.clone() };
    script.pass(WAIT / 2).takes_up(Vec::new());
    assert_eq!(script.reads(vec![theirs.clone()]).1, [0; 0], "a call may still come up");
    script.pass(WAIT / 2 + Duration::from_secs(30)).takes_up(Vec::new());
    assert_eq!(script.reads(vec![theirs.clone(), own]).1, [8], "but for one of ours");
    // One that was found to be of a call is nobody else's.
    let item = shadowed(1);
    let (_, phone) = told(&item);
    (theirs.id, theirs.phone, theirs.at) = (10, phone, told(&item).0);
    theirs.stored_at = script.now.host.seconds();
    script.pass(WAIT / 2).takes_up(vec![item.clone()]);
    assert_eq!(script.reads(vec![theirs.clone()]).0[0].1.verdict(), Verdict::Different);
    script.pass(WAIT).takes_up(vec![shadowed(2)]);
    let (found, strangers) = script.reads(vec![theirs]);
    assert_eq!((found[0].1.verdict(), strangers), (Verdict::Missing, vec![]));
}

#[test]
fn a_backlog_is_compared_in_parts_and_no_note_is_a_stranger_before_its_end() {
    let mut script = script();
    script.takes_up(Vec::new());
    script.reads(Vec::new());
    script.pass(Duration::from_hours(7));
    let stored = script.now.host.before(WAIT + Duration::from_mins(1)).seconds();
    let theirs = note(8, "+79990001122", stored);
    let window = script.takes_up((0..250).map(shadowed).collect());
    assert!(window.to < script.now.host.seconds(), "up to the end of these: {window:?}");
    let (found, strangers) = script.reads(vec![theirs.clone()]);
    assert_eq!((found.len(), strangers), (250, vec![]));
    script.takes_up(vec![shadowed(251)]);
    assert_eq!(script.reads(vec![theirs]).1, [8]);
    script.rests_for();
}

#[test]
fn what_cannot_be_read_waits_and_nothing_is_taken_for_missing() {
    let mut script = script();
    script.takes_up(vec![shadowed(1)]);
    script.give(Outcome::Feed(ReadBack::Silent("reset".to_owned())));
    script.announces_trouble();
    script.passes_waits().expect(&Effect::Probe).give(probe(Account::Fine));
    script.passes_waits();
    let window = script.takes_up(vec![shadowed(1)]);
    assert!(window.to > window.from);
    script.give(Outcome::Feed(ReadBack::Complete(Vec::new())));
    script.announces(|standing| *standing == Standing::Delivering);
    let Effect::NoteCompared { found, .. } = script.poll() else { panic!("nothing is kept") };
    assert_eq!(found[0].1.verdict(), Verdict::Missing);
}

impl Script {
    fn passes_waits(&mut self) -> &mut Self {
        while let Effect::Wait { until } = self.poll() {
            self.pass(until.since(self.now.mono));
        }
        self
    }
}

#[test]
fn a_day_goes_by_with_a_look_every_five_minutes() {
    let mut script = script();
    let end = script.now.mono.after(Duration::from_hours(24));
    let mut looks = 0;
    while script.now.mono < end {
        if let Effect::Wait { until } = script.poll() {
            script.pass(until.since(script.now.mono));
            continue;
        }
        script.takes_up(vec![shadowed(looks)]);
        assert_eq!(script.reads(Vec::new()).0.len(), 1);
        looks += 1;
    }
    assert_eq!(looks, 24 * 12);
}

#[test]
fn another_mode_begins_with_a_harmless_question() {
    let mut script = script();
    script.takes_up(Vec::new());
    script.reads(Vec::new());
    script.rests_for();
    let delivery = script.courier.rules.delivery.clone();
    script.courier.set_rules(Arc::new(Rules { amo: Settings::default(), delivery }));
    script.announces(|standing| *standing == Standing::Starting);
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    script.announces(|standing| *standing == Standing::Delivering);
    script.sends(50, &[1]);
}
