//! Files that are looked for, and links that come late.

use super::*;
use crate::amo::answer::Reply;
use crate::amo::late_link;
use crate::amo::recording::Search;
use crate::amo::settings::Settings;
use crate::outbox::courier::aside::Question;
use crate::outbox::courier::effect::Amended;
use crate::outbox::errand::{Errand, Sound};
use crate::outbox::queue::{EntityRef, State};

fn script() -> Script {
    let mut script = Script::new();
    let keys = "recording-url = \"https://p/{file}\"\nrecording-root = \"/rec\"";
    let rules = Rules { amo: toml::from_str(keys).unwrap(), ..Rules::clone(&script.courier.rules) };
    script.courier.set_rules(Arc::new(rules));
    script.begin()
}

fn recorded(seq: u64) -> Item {
    let mut item = item(seq);
    item.call.record.recording = Some(format!("{seq}.wav"));
    item.enqueued_at = START;
    item
}

/// A delivered call to which its link is owed.
fn owed(seq: u64) -> Item {
    let entity = Some(EntityRef { kind: "contact".to_owned(), id: 70 });
    let state = State::Sent { note_id: Some(5), entity, at: START };
    let errand = Errand { sound: Some(Sound::Missing { since: START, tries: 0 }), ..Errand::default() };
    Item { state, errand, ..recorded(seq) }
}

fn amended(status: u16, body: &str) -> Outcome {
    let body = body.as_bytes().to_vec();
    let changed = late_link::read(&Reply { status, body, ..Reply::default() });
    Outcome::Amended(Amended::Answered(changed))
}

/// What was kept before a POST.
struct Noted<'s> {
    script: &'s mut Script,
    noted: Errand,
}

impl Noted<'_> {
    #[track_caller]
    fn intends(&mut self, seqs: &[u64]) -> &mut Script {
        self.script.intends(seqs)
    }
}

impl Script {
    /// What is said of these calls is kept before they are posted.
    #[track_caller]
    fn notes(&mut self, seqs: &[u64]) -> Noted<'_> {
        let Effect::Settle { rulings } = self.poll() else { panic!("nothing is kept") };
        let noted: Vec<u64> = rulings.iter().map(|ruling| ruling.settlement.seq.0).collect();
        assert_eq!(noted, seqs);
        let settlement = rulings[0].settlement.clone();
        assert_eq!(settlement.state, State::Pending);
        assert!(settlement.errand.said.is_some());
        self.give(Outcome::Settled);
        Noted { script: self, noted: settlement.errand }
    }

    #[track_caller]
    fn looks(&mut self, names: &[&str], found: &[Option<&str>]) -> &mut Self {
        let Effect::FindSounds { searches } = self.poll() else { panic!("nothing is looked for") };
        let last = |search: &Search| search.names.last().cloned().unwrap_or_default();
        assert_eq!(searches.iter().map(last).collect::<Vec<_>>(), names);
        self.give(Outcome::Sounds(found.iter().map(|file| file.map(str::to_owned)).collect()))
    }

    /// Nothing waits, and something is owed to these.
    #[track_caller]
    fn owes(&mut self, items: Vec<Item>) -> &mut Self {
        self.leases(50, Vec::new()).expect(&Effect::NextDue).give(Outcome::NextDue(Some(START)));
        self.expect(&Effect::Owing { limit: OWING_LIMIT }).give(Outcome::Owing(items))
    }

    #[track_caller]
    fn amends(&mut self, path: &str) -> &mut Self {
        let Effect::Amend { path: asked, body } = self.poll() else { panic!("nothing is changed") };
        assert_eq!(asked, path);
        assert!(String::from_utf8(body).unwrap().contains("https://p/"));
        self
    }

    #[track_caller]
    fn settles_sounds(&mut self, expected: &[fn(&Sound) -> bool]) -> &mut Self {
        let Effect::Settle { rulings } = self.poll() else { panic!("nothing is settled") };
        assert_eq!(rulings.len(), expected.len());
        for (ruling, is_right) in rulings.iter().zip(expected) {
            let sound = ruling.settlement.errand.sound.as_ref();
            assert!(sound.is_some_and(is_right), "{sound:?}");
        }
        self.give(Outcome::Settled)
    }
}

fn is_found(sound: &Sound) -> bool {
    matches!(sound, Sound::Found { .. })
}

fn is_missing(sound: &Sound) -> bool {
    matches!(sound, Sound::Missing { .. })
}

#[test]
fn calls_whose_files_are_there_are_posted_at_once() {
    let mut script = script();
    script.leases(50, vec![recorded(1), recorded(2)]);
    script.looks(&["1.wav", "2.wav"], &[Some("1.wav"), Some("2.mp3")]);
    script.intends(&[1, 2]).posts(2).give(answered(200, Account::Fine, vec![stored(), stored()]));
    script.settles_sounds(&[is_found, is_found]);
}

#[test]
fn a_call_that_waits_lets_the_others_of_its_lease_go() {
    let mut script = script();
    script.leases(50, vec![recorded(1), recorded(2)]);
    script.looks(&["1.wav", "2.wav"], &[None, Some("2.wav")]);
    script.settles_sounds(&[is_missing, is_found]);
    let found = Sound::Found { file: "2.wav".to_owned() };
    let errand = Errand { sound: Some(found), ..Errand::default() };
    script.leases(50, vec![Item { errand, ..recorded(2) }]).intends(&[2]).posts(1);
}

#[test]
fn a_call_that_waited_long_enough_is_posted_and_owed_its_link() {
    let mut script = script();
    script.now.host = START.after(SECOND * 5);
    script.leases(50, vec![recorded(1)]).looks(&["1.wav"], &[None]);
    script.notes(&[1]).intends(&[1]).posts(1).give(answered(200, Account::Fine, vec![stored()]));
    script.settles_sounds(&[is_missing]);
}

#[test]
fn a_late_link_goes_with_the_words_of_the_call_whatever_the_configuration_says_by_then() {
    let mut script = script();
    script.now.host = START.after(SECOND * 5);
    script.leases(50, vec![recorded(1)]).looks(&["1.wav"], &[None]);
    // The answer is lost, or the process ends: what was kept before the POST is all that there is.
    let kept = script.notes(&[1]).noted.clone();
    let unknown = Item { errand: kept, ..recorded(1) };
    let state = State::Unknown { batch: BatchId(7), since: START, looked: 1 };
    let rules = Rules::clone(&script.courier.rules);
    let amo = "users.101 = 9\nlanguage = \"en\"\nsource = \"other\"\nduration = \"bridged\"";
    let amo: Settings = toml::from_str(amo).unwrap();
    let amo = Settings { recording_url: rules.amo.recording_url.clone(), ..amo };
    let amo = Settings { recording_root: rules.amo.recording_root.clone(), ..amo };
    let mut later = Script::new();
    later.courier.set_rules(Arc::new(Rules { amo, ..rules }));
    let mut later = later.begin();
    later.expect(&Effect::Ask(Question::Users));
    later.expect(&Effect::Look { limit: LOOK_LIMIT });
    later.give(Outcome::Unknown(vec![Item { state, ..unknown }]));
    let entity = Some(crate::amo::answer::Entity { kind: "contact".to_owned(), id: 70 });
    let found = BTreeMap::from([("default-1.1".to_owned(), Note { id: Some(5), entity })]);
    later.reads_back(&["default-1.1"]).give(Outcome::ReadBack(ReadBack::Complete(found)));
    let Effect::Settle { rulings } = later.poll() else { panic!("nothing is settled") };
    let settled = rulings[0].settlement.clone();
    later.give(Outcome::Settled);
    later.owes(vec![Item { state: settled.state, errand: settled.errand, ..recorded(1) }]);
    later.looks(&["1.wav"], &[Some("1.wav")]);
    let Effect::Amend { body, .. } = later.poll() else { panic!("nothing is changed") };
    let note: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let said = |key: &str| note[0]["params"][key].clone();
    assert_eq!(said("call_responsible"), "доб. 101");
    assert_eq!(
        (said("call_result"), said("source")),
        ("Ответил доб. 101 через 3 с".into(), "ami2amo".into())
    );
    later.give(amended(200, "{}"));
    let Effect::Settle { rulings } = later.poll() else { panic!("nothing is settled") };
    let errand = &rulings[0].settlement.errand;
    assert_eq!(errand.said, None, "it is kept no longer than it is needed");
    assert!(errand.booked.as_ref().is_some_and(|who| who.user.is_none()), "explain tells it as it was");
}

#[test]
fn what_is_said_is_kept_once() {
    let mut script = script();
    script.now.host = START.after(SECOND * 5);
    script.leases(50, vec![recorded(1)]).looks(&["1.wav"], &[None]).notes(&[1]).intends(&[1]).posts(1);
    // Without a late link nothing is kept.
    let keys = "recording-url = \"https://p/{file}\"\nrecording-root = \"/rec\"\nrecording-late = \"0s\"";
    let rules = Rules { amo: toml::from_str(keys).unwrap(), ..Rules::clone(&script.courier.rules) };
    script.courier.set_rules(Arc::new(rules));
    script.give(answered(200, Account::Fine, vec![stored()])).settles(&[(1, Phase::Sent)]);
    script.leases(50, vec![recorded(2)]).looks(&["2.wav"], &[None]).intends(&[2]);
}

#[test]
fn an_owed_link_is_added_in_the_form_that_is_taken() {
    let mut script = script();
    script.owes(vec![owed(1), owed(2)]).looks(&["1.wav", "2.wav"], &[Some("1.wav"), None]);
    // What is not there waits; the other one comes around again.
    script.settles_sounds(&[is_missing]);
    script.owes(vec![owed(1)]).looks(&["1.wav"], &[Some("1.wav")]);
    script.amends("/api/v4/contacts/notes").give(amended(400, "{}"));
    script.amends("/api/v4/contacts/70/notes/5").give(amended(200, "{}"));
    script.settles_sounds(&[|sound| matches!(sound, Sound::Added { .. })]);
    script.owes(vec![owed(3)]).looks(&["3.wav"], &[Some("3.wav")]);
    script.amends("/api/v4/contacts/70/notes/5");
}

#[test]
fn notes_that_are_refused_again_and_again_are_left_alone_for_an_hour() {
    let mut script = script();
    for seq in 1..=3 {
        script.owes(vec![owed(seq)]).looks(&[&format!("{seq}.wav")], &[Some("1.wav")]);
        for _ in 0..3 {
            assert!(matches!(script.poll(), Effect::Amend { .. }));
            script.give(amended(404, "<html>"));
        }
        script.settles_sounds(&[|sound| matches!(sound, Sound::GivenUp { .. })]);
    }
    script.owes(vec![owed(4)]).looks(&["4.wav"], &[Some("4.wav")]).settles_sounds(&[is_missing]);
    assert_eq!(script.courier.late_links().given_up, 3);
}

#[test]
fn a_gateway_that_lets_questions_through_and_changes_not_is_given_no_more_of_them() {
    let mut script = script();
    script.owes(vec![owed(1)]).looks(&["1.wav"], &[Some("1.wav")]);
    script.amends("/api/v4/contacts/notes").give(amended(403, "<html>"));
    script.settles_sounds(&[is_missing]).expect(&Effect::Probe).give(probe(Account::Fine));
    assert!(matches!(&script.courier.complaints()[..], [complaint::Complaint::LinksOff(_)]));
    // Calls are not held.
    script.sends(50, &[9]).give(answered(200, Account::Fine, vec![stored()])).settles(&[(9, Phase::Sent)]);
    script.owes(vec![owed(1)]).looks(&["1.wav"], &[Some("1.wav")]).settles_sounds(&[is_missing]);
}

#[test]
fn a_ban_of_everything_says_nothing_of_changes() {
    let mut script = script();
    script.owes(vec![owed(1)]).looks(&["1.wav"], &[Some("1.wav")]);
    script.amends("/api/v4/contacts/notes").give(amended(403, "<html>"));
    script.settles_sounds(&[is_missing]).expect(&Effect::Probe).give(probe(Account::Banned));
    script.announces_hold(Hold::Banned).waits(SECOND * 30, SECOND * 60);
    script.expect(&Effect::Probe).give(probe(Account::Fine));
    script.sends(1, &[9]).give(answered(200, Account::Fine, vec![stored()]));
    script.announces(|standing| *standing == Standing::Delivering).settles(&[(9, Phase::Sent)]);
    script.owes(vec![owed(1)]).looks(&["1.wav"], &[Some("1.wav")]).amends("/api/v4/contacts/notes");
}

#[test]
fn what_cannot_be_named_is_given_up() {
    let mut script = script();
    let state = State::Sent { note_id: None, entity: None, at: START };
    script.owes(vec![Item { state, ..owed(1) }]).looks(&["1.wav"], &[Some("1.wav")]);
    script.settles_sounds(&[|sound| matches!(sound, Sound::GivenUp { .. })]);
}

#[test]
fn a_refused_text_goes_again_at_once_without_it() {
    let mut script = Script::started();
    let refused =
        Fate::Invalid { code: String::new(), path: "call_result".to_owned(), detail: String::new() };
    script.sends(50, &[1, 2]);
    script.give(answered(400, Account::Fine, vec![refused.clone(), refused]));
    script.settles(&[(1, Phase::Pending), (2, Phase::Pending)]);
    assert!(script.courier.refused_words().is_some());
    script.leases(50, vec![item(1), item(2)]).intends(&[1, 2]);
    let Effect::Post { body, .. } = script.poll() else { panic!("nothing is posted") };
    assert!(!String::from_utf8(body).unwrap().contains("call_result"));
}

#[test]
fn what_landed_leaves_a_look_alone() {
    let mut script = script();
    script
        .courier
        .set_rules(Arc::new(Rules { delivery: Policy::default(), ..Rules::clone(&script.courier.rules) }));
    script.sends(50, &[9]);
    script.leases(50, vec![recorded(1)]);
    let Effect::FindSounds { .. } = script.poll() else { panic!("nothing is looked for") };
    // The POST comes back while the disk is looked at.
    script.give(answered(200, Account::Fine, vec![stored()]));
    script.give(Outcome::Sounds(vec![Some("1.wav".to_owned())]));
    script.intends(&[1]).posts(1);
}
