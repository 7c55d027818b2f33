//! The look for whoever else writes notes of the calls that are posted.

use super::*;
use crate::amo::answer::Entity;
use crate::amo::feed::FeedNote;
use crate::amo::notes::Kind;
use crate::outbox::compare::tests::note;
use crate::outbox::courier::aside::{Question, Told};

const AFTER: Duration = Duration::from_mins(10);

/// A courier that has delivered call 1, to a lead, in a configuration that says this.
fn delivered(amo: &str) -> Script {
    let mut script = Script::new();
    let rules = Rules { amo: toml::from_str(amo).unwrap(), delivery: script.courier.rules.delivery.clone() };
    script.courier.set_rules(Arc::new(rules));
    let mut script = script.begin();
    script.sends(50, &[1]);
    let entity = Some(Entity { kind: "lead".to_owned(), id: 70 });
    let fate = Fate::Stored { note_id: Some(5), entity };
    script.give(answered(200, Account::Fine, vec![fate])).settles(&[(1, Phase::Sent)]);
    script.leases(50, Vec::new()).rests(None, REST_MAX);
    script
}

/// What somebody else wrote of call 1.
fn theirs(id: u64, source: &str) -> FeedNote {
    let record = item(1).call.record;
    let phone = record.phone.unwrap();
    FeedNote { source: source.to_owned(), ..note(id, &phone, record.started_at.micros() / 1_000_000) }
}

#[track_caller]
fn asks(script: &mut Script) -> Vec<Kind> {
    let effect = script.poll();
    let Effect::Ask(Question::Foreign { kinds, window }) = effect else { panic!("{effect:?}") };
    assert!(window.from < window.to, "{window:?}");
    kinds
}

fn told(notes: Vec<FeedNote>) -> Outcome {
    Outcome::Told(Told::Foreign(ReadBack::Complete(notes)))
}

#[test]
fn a_while_after_a_call_it_is_asked_once_who_else_wrote_of_it() {
    let mut script = delivered("");
    script.pass(AFTER);
    assert_eq!(asks(&mut script), [Kind::Lead], "where ours landed");
    let own = FeedNote { uniq: Some(item(1).call.record.call_id.to_string()), ..theirs(5, "ami2amo") };
    script.give(told(vec![own, theirs(6, "widget"), theirs(7, ""), note(8, "+79990001122", 1)]));
    let Effect::NoteCompared { found, strangers } = script.poll() else { panic!("nothing is kept") };
    assert_eq!((found.len(), found[0].0, strangers), (1, Seq(1), vec![]));
    let sources: Vec<&str> = found[0].1.notes.iter().map(|note| note.source.as_str()).collect();
    assert_eq!(sources, ["widget", "unnamed"]);
    script.give(Outcome::Noted);
    let news: Vec<String> = script.courier.new_foreigners().into_iter().map(|(source, _)| source).collect();
    assert_eq!(news, ["unnamed", "widget"]);
    assert_eq!(script.courier.new_foreigners(), [], "each is told once");
    assert_eq!(script.courier.foreigners().0["widget"].notes, 1);
    script.leases(50, Vec::new()).rests(None, REST_MAX).pass(AFTER * 3);
    script.leases(50, Vec::new());
}

#[test]
fn what_is_found_while_the_desk_is_busy_is_kept_before_it_rests() {
    let mut script = delivered("");
    script.pass(AFTER);
    asks(&mut script);
    script.leases(50, Vec::new()).expect(&Effect::NextDue);
    script.give(told(vec![theirs(6, "widget")])).give(Outcome::NextDue(None));
    assert!(matches!(script.poll(), Effect::NoteCompared { .. }));
}

#[test]
fn nothing_is_asked_where_nobody_wants_to_know() {
    let mut script = delivered("notice-duplicates = false");
    script.pass(AFTER * 2).leases(50, Vec::new());
}

#[test]
fn a_look_that_is_refused_is_off_for_a_day_and_calls_go_on() {
    let mut script = delivered("");
    script.pass(AFTER);
    asks(&mut script);
    let refused = ReadBack::Refused { account: Account::Forbidden, words: "403".to_owned() };
    script.give(Outcome::Told(Told::Foreign(refused)));
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    script.sends(50, &[2]).give(answered(200, Account::Fine, vec![stored()])).settles(&[(2, Phase::Sent)]);
    let complaints: Vec<String> = script.courier.complaints().iter().map(ToString::to_string).collect();
    assert_eq!(complaints, ["what others write of calls cannot be read (403)"]);
    script.leases(50, Vec::new()).rests(None, REST_MAX).pass(AFTER * 10);
    script.leases(50, Vec::new()).rests(None, REST_MAX).pass(Duration::from_hours(24));
    assert!(!asks(&mut script).is_empty());
}
