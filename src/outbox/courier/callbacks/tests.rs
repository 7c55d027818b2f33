use super::is_missed as is_missed_call;
use super::*;
use crate::outbox::policy::tests::{START, item};
use crate::outbox::queue::EntityRef;

mod forgotten;
mod later;
mod room;

const MONO: MonoTime = MonoTime::from_micros(1_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const NUMBER: &str = "9161234568";
/// How long a task may stay out of the list.
const LAG: Duration = Duration::from_secs(30);

struct Desk {
    callbacks: Callbacks,
    bookings: Bookings,
    brakes: Brakes,
    rules: Rules,
    now: Now,
    drained: bool,
}

impl Desk {
    fn new(toml: &str) -> Self {
        let amo = toml::from_str(&format!("default-user = 7\n[callback-task]\nmake = true\n{toml}")).unwrap();
        let now =
            Now { host: ended(60), mono: MONO, open_at: MonoTime::default(), amo_ahead: 0, utc_offset: 0 };
        let rules = Rules { amo, ..Rules::default() };
        let callbacks = Callbacks::of(AccountId::default());
        Self {
            callbacks,
            bookings: Bookings::default(),
            brakes: Brakes::default(),
            rules,
            now,
            drained: true,
        }
    }

    /// A call comes to its end at this second.
    fn ends(&mut self, seq: u64, answered: bool, second: u64) -> &mut Self {
        let mut item = item(seq);
        let record = &mut item.call.record;
        record.source = crate::call::record::Source::Ami;
        record.phone = Some("79161234568".to_owned());
        (record.direction, record.answered) = (Direction::Inbound, answered);
        record.outcome = if answered { Outcome::Answered } else { Outcome::NoAnswer };
        item.enqueued_at = ended(second);
        self.heed(&item)
    }

    fn heed(&mut self, item: &Item) -> &mut Self {
        let entity = Some(EntityRef { kind: "contact".to_owned(), id: 70 });
        let state = State::Sent { note_id: Some(1), entity, at: self.now.host };
        let settled = Settlement {
            seq: item.seq,
            state,
            next_at: self.now.host,
            last_error: None,
            attempted: true,
            errand: item.errand.clone(),
        };
        let who = Who { user: Some(8), ..Who::default() };
        assert_eq!(self.callbacks.heed(item, &settled, &who, &self.rules, self.now), None);
        self
    }

    /// What changed is kept.
    fn keeps(&mut self) -> &mut Self {
        assert!(self.callbacks.keep().is_some(), "nothing is to be kept");
        self.callbacks.kept(self.now.mono);
        self
    }

    /// What is asked of amoCRM next; the outbox answers that there was no later talk.
    fn question(&mut self) -> Option<Question> {
        let asked = self.ask();
        let Some(Question::Talked { since, .. }) = asked else { return asked };
        self.later_talk(since, Some(false));
        self.ask()
    }

    fn ask(&mut self) -> Option<Question> {
        let Self { callbacks, rules, bookings, brakes, now, drained } = self;
        callbacks.question(&Surroundings { rules, bookings, brakes, drained: *drained }, *now)
    }

    fn later_talk(&mut self, since: Ended, found: Option<bool>) -> &mut Self {
        self.callbacks.talked(NUMBER, since, found, &self.rules, 0.5, self.now);
        self
    }

    fn told(&mut self, told: Told) -> Option<Signal> {
        self.callbacks.told(told, &self.rules, &mut self.bookings, 0.5, self.now)
    }

    #[track_caller]
    fn looks(&mut self, open: &[(u64, &str)]) -> &mut Self {
        let expected = Question::Open { number: NUMBER.to_owned(), kind: "contacts", id: 70 };
        assert_eq!(self.question(), Some(expected));
        let open = open.iter().map(|(id, text)| Open { id: *id, text: (*text).to_owned() }).collect();
        assert_eq!(
            self.told(Told::Open { number: NUMBER.to_owned(), found: ReadBack::Complete(open) }),
            None
        );
        self
    }

    #[track_caller]
    fn learns_owner(&mut self, owner: Option<u64>) -> &mut Self {
        let expected = Question::OwnerOf { number: NUMBER.to_owned(), kind: "contacts", id: 70 };
        assert_eq!(self.question(), Some(expected));
        let found = ReadBack::Complete(owner);
        self.told(Told::OwnerOf { number: NUMBER.to_owned(), found });
        self
    }

    /// The intent is made durable, and the task is posted; returns what was posted.
    #[track_caller]
    fn posts(&mut self) -> serde_json::Value {
        assert_eq!(self.question(), None, "nothing is posted before its intent is durable");
        assert!(matches!(self.stage(), Some(Stage::Making { .. })), "{:?}", self.stage());
        assert_eq!(self.question(), None);
        self.keeps();
        let Some(Question::Make { body, .. }) = self.question() else { panic!("nothing is posted") };
        assert_eq!(self.question(), None, "it is posted once");
        serde_json::from_slice::<serde_json::Value>(&body).unwrap()[0].clone()
    }

    fn made(&mut self, created: Created) -> Option<Signal> {
        self.told(Told::Made { number: NUMBER.to_owned(), created })
    }

    /// A task is made, from the missed call on.
    fn makes(&mut self) -> &mut Self {
        self.ends(1, false, 1).keeps().looks(&[]).learns_owner(Some(9));
        self.posts();
        assert_eq!(self.made(answered(Fate::Made("55".to_owned()))), None);
        self.keeps().pass(LAG)
    }

    fn stage(&self) -> Option<Stage> {
        self.callbacks.rows.get(NUMBER).map(|live| live.row.stage)
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        self.now.host = self.now.host.after(time);
        self.now.mono = self.now.mono.after(time);
        self
    }
}

/// A missed call of a number of its own.
fn missed(number: u64, second: u64) -> Item {
    let mut item = item(number);
    let record = &mut item.call.record;
    record.phone = Some(format!("7916{number:07}"));
    (record.direction, record.answered, record.outcome) = (Direction::Inbound, false, Outcome::NoAnswer);
    Item { enqueued_at: ended(second), ..item }
}

fn ended(second: u64) -> HostTime {
    START.after(SECOND * u32::try_from(second).unwrap())
}

fn answered(fate: Fate) -> Created {
    let account = Account::Fine;
    Created::Answered(Made { account, fates: vec![fate], words: "HTTP 400 (text: NotBlank)".to_owned() })
}

#[test]
fn a_missed_call_makes_a_task_of_its_entitys_owner() {
    let mut desk = Desk::new("deadline = \"30m\"");
    desk.ends(1, false, 1).keeps().looks(&[(3, "another")]).learns_owner(Some(9));
    let posted = desk.posts();
    let till = desk.now.host.after(SECOND * 1800).seconds();
    assert_eq!(
        posted,
        serde_json::json!({"entity_id": 70, "entity_type": "contacts", "task_type_id": 1,
            "text": "Перезвонить 79161234568: пропущенный звонок", "complete_till": till,
            "responsible_user_id": 9, "request_id": "0"})
    );
    assert_eq!(desk.made(answered(Fate::Made("55".to_owned()))), None);
    desk.keeps();
    assert_eq!((desk.stage(), desk.question()), (Some(Stage::Open), None));
}

#[test]
fn a_task_is_in_the_language_of_its_line() {
    let mut desk = Desk::new("");
    let mut item = missed(1, 1);
    item.call.record.line.language = Some(crate::call::line::Language::En);
    let text = desk.heed(&item).callbacks.rows.values().next().map(|live| live.row.text.clone()).unwrap();
    assert!(text.starts_with("Call "), "{text}");
}

#[test]
fn a_task_of_nobody_is_the_users_whom_the_call_is_booked_on() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps().looks(&[]).learns_owner(None);
    assert_eq!(desk.posts()["responsible_user_id"], 8);
    let mut desk = Desk::new("responsible = \"call\"");
    desk.ends(1, false, 1).keeps().looks(&[]);
    assert_eq!(desk.posts()["responsible_user_id"], 8);
    let mut desk = Desk::new("responsible = { user = 5 }");
    desk.ends(1, false, 1).keeps().looks(&[]);
    assert_eq!(desk.posts()["responsible_user_id"], 5);
}

#[test]
fn a_second_missed_call_makes_no_second_task_unless_somebody_has_done_it() {
    let text = "Перезвонить 79161234568: пропущенный звонок";
    let mut desk = Desk::new("");
    desk.makes().ends(2, false, 10).keeps().looks(&[(55, text)]).keeps();
    assert_eq!((desk.stage(), desk.question()), (Some(Stage::Open), None));
    desk.ends(3, false, 20).keeps().looks(&[]).learns_owner(Some(9));
    assert_eq!(desk.posts()["text"], text);
}

#[test]
fn a_task_that_amocrm_may_not_list_yet_is_not_looked_for() {
    for talks in [true, false] {
        let mut desk = Desk::new("");
        desk.ends(1, false, 1).keeps().looks(&[]).learns_owner(Some(9));
        desk.posts();
        desk.made(answered(Fate::Made("55".to_owned())));
        desk.keeps().ends(2, talks, 10).keeps();
        assert_eq!(desk.question(), None);
        desk.pass(LAG).looks(&[(55, "x")]);
    }
}

#[test]
fn the_same_missed_call_is_heard_of_twice_and_counts_once() {
    let mut desk = Desk::new("");
    desk.makes().ends(1, false, 1);
    assert_eq!((desk.callbacks.keep(), desk.stage()), (None, Some(Stage::Open)));
}

#[test]
fn a_later_talk_closes_the_task() {
    let mut desk = Desk::new("");
    desk.makes().ends(2, true, 10).keeps().looks(&[(55, "edited by somebody")]);
    let Some(Question::Close { task: 55, body, .. }) = desk.question() else { panic!("it is not closed") };
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body, serde_json::json!({"is_completed": true, "result": {"text": "Поговорили"}}));
    desk.told(Told::Closed { number: NUMBER.to_owned(), closed: Closed::Yes });
    let rows = desk.callbacks.keep().unwrap();
    assert_eq!(rows, [TaskRow { key: format!("default/{NUMBER}"), value: None }]);
}

#[test]
fn a_task_that_a_person_has_done_is_left_as_it_is() {
    let mut desk = Desk::new("");
    desk.makes().ends(2, true, 10).keeps().looks(&[]).keeps();
    assert_eq!((desk.stage(), desk.question()), (None, None));
}

#[test]
fn an_earlier_talk_closes_nothing_and_a_later_one_makes_the_task_needless() {
    let mut desk = Desk::new("");
    desk.makes().ends(2, true, 0);
    assert_eq!((desk.callbacks.keep(), desk.stage()), (None, Some(Stage::Open)));
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).ends(2, true, 2).keeps();
    assert_eq!((desk.stage(), desk.question()), (None, None));
    // Calls that are taken in together ended in their order.
    for (missed, expected) in [(1, None), (3, Some(Stage::Wanted))] {
        let mut desk = Desk::new("");
        desk.ends(missed, false, 1).ends(2, true, 1);
        assert_eq!(desk.stage(), expected, "{missed}");
    }
}

#[test]
fn whoever_calls_in_vain_while_his_task_is_closed_gets_another() {
    let mut desk = Desk::new("");
    desk.makes().ends(2, true, 10).keeps().looks(&[(55, "x")]);
    assert!(matches!(desk.question(), Some(Question::Close { .. })));
    desk.ends(3, false, 20).keeps();
    desk.told(Told::Closed { number: NUMBER.to_owned(), closed: Closed::Yes });
    desk.looks(&[]).learns_owner(Some(9));
    desk.posts();
}

#[test]
fn an_answer_for_a_row_that_is_gone_changes_nothing() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps();
    assert!(matches!(desk.question(), Some(Question::Open { .. })));
    desk.callbacks.forget(NUMBER.to_owned());
    desk.keeps();
    assert_eq!(
        desk.told(Told::Open { number: NUMBER.to_owned(), found: ReadBack::Complete(Vec::new()) }),
        None
    );
    desk.ends(2, false, 5).keeps().looks(&[]);
}

#[test]
fn a_talk_in_the_middle_of_a_question_is_not_lost() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps();
    assert!(matches!(desk.question(), Some(Question::Open { .. })));
    desk.ends(2, true, 2).keeps();
    desk.told(Told::Open { number: NUMBER.to_owned(), found: ReadBack::Complete(Vec::new()) });
    assert_eq!((desk.question(), desk.stage()), (None, None));
}

#[test]
fn a_lost_answer_is_settled_by_two_late_looks() {
    let text = "Перезвонить 79161234568: пропущенный звонок";
    for is_there in [true, false] {
        let mut desk = Desk::new("");
        desk.ends(1, false, 1).keeps().looks(&[]).learns_owner(Some(9));
        desk.posts();
        assert!(desk.made(Created::Lost("reset".to_owned())).is_some());
        desk.keeps();
        assert_eq!(desk.question(), None, "it is not looked for at once");
        desk.pass(SECOND * 5).looks(&[]).keeps();
        assert_eq!(desk.question(), None, "and not believed to be absent too early");
        let later = [(55, text)];
        desk.pass(SECOND * 60).looks(if is_there { &later } else { &[] }).keeps();
        if is_there {
            assert_eq!((desk.stage(), desk.question()), (Some(Stage::Open), None));
        } else {
            desk.looks(&[]).posts();
        }
    }
}

#[test]
fn what_an_earlier_process_was_about_to_make_is_looked_for() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps().looks(&[]).learns_owner(Some(9));
    assert_eq!(desk.question(), None);
    let kept = desk.callbacks.keep().unwrap();
    let kept = kept.into_iter().map(|row| (row.key, row.value.unwrap())).collect();
    desk.callbacks = Callbacks::of(AccountId::default());
    assert_eq!(desk.callbacks.recall(kept), [""; 0]);
    assert!(matches!(desk.stage(), Some(Stage::Doubt { .. })));
    desk.looks(&[(55, "Перезвонить 79161234568: пропущенный звонок")]);
    assert_eq!(desk.stage(), Some(Stage::Open));
    assert_eq!(desk.callbacks.recall(vec![("default/1".to_owned(), b"{".to_vec())]), ["default/1"]);
}

#[test]
fn what_was_not_carried_out_is_posted_again_later() {
    let not_now = [
        Created::Quiet,
        Created::NotSent("no route".to_owned()),
        Created::NoToken("none".to_owned()),
        Created::Answered(Made {
            account: Account::Unauthorized,
            fates: vec![Fate::Untouched],
            words: "HTTP 401".to_owned(),
        }),
    ];
    for created in not_now {
        let mut desk = Desk::new("");
        desk.ends(1, false, 1).keeps().looks(&[]).learns_owner(Some(9));
        desk.posts();
        let is_quiet = created == Created::Quiet;
        assert_eq!(desk.made(created).is_none(), is_quiet);
        desk.keeps();
        assert_eq!(desk.question(), None);
        desk.pass(SECOND * 60).posts();
    }
}

#[test]
fn a_refused_user_is_left_out_and_a_refused_task_is_told() {
    let refused = |words: &str| {
        let words = words.to_owned();
        Created::Answered(Made { account: Account::Fine, fates: vec![Fate::Refused], words })
    };
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps().looks(&[]).learns_owner(Some(9));
    assert_eq!(desk.posts()["responsible_user_id"], 9);
    assert_eq!(desk.made(refused("HTTP 400 (responsible_user_id: NotSupportedChoice)")), None);
    desk.keeps();
    assert_eq!(desk.posts()["responsible_user_id"], 8);
    assert_eq!(desk.made(refused("HTTP 403: Forbidden")), None);
    desk.keeps();
    assert_eq!((desk.stage(), desk.question()), (None, None));
    let told = desk.bookings.complaints();
    assert_eq!(told, [Complaint::RefusedUser(9), Complaint::TaskRefused("HTTP 403: Forbidden".to_owned())]);
}

#[test]
fn a_ban_is_told_to_the_account_and_the_row_waits() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps();
    assert!(desk.question().is_some());
    let found = ReadBack::Refused { account: Account::Banned, words: "HTTP 403".to_owned() };
    let signal = desk.told(Told::Open { number: NUMBER.to_owned(), found });
    assert_eq!(signal, Some(Signal::Hold(Hold::Banned, "HTTP 403".to_owned())));
    assert_eq!(desk.question(), None);
    desk.pass(SECOND * 60).looks(&[]);
}

#[test]
fn nothing_is_made_for_a_call_of_yesterday_nor_where_it_is_not_wanted() {
    let mut desk = Desk::new("");
    desk.pass(STALE).ends(1, false, 1);
    assert_eq!((desk.stage(), desk.callbacks.keep()), (None, None));
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps().pass(STALE);
    assert_eq!((desk.question(), desk.stage()), (None, None));
    let mut desk = Desk::new("");
    desk.ends(1, false, 1).keeps();
    desk.rules.amo.callback_task.make = false;
    assert_eq!((desk.question(), desk.stage()), (None, None), "what is wanted is not any more");
    desk.keeps().ends(2, false, 2);
    assert_eq!(desk.stage(), None);
}

#[test]
fn only_missed_calls_to_us_make_tasks() {
    let is_missed = |direction, answered, outcome| {
        is_missed_call(&CallRecord { direction, answered, outcome, ..item(1).call.record })
    };
    assert!(is_missed(Direction::Inbound, false, Outcome::NoAnswer));
    assert!(is_missed(Direction::Inbound, false, Outcome::Voicemail));
    assert!(!is_missed(Direction::Inbound, false, Outcome::Fax));
    assert!(!is_missed(Direction::Inbound, true, Outcome::Answered));
    assert!(!is_missed(Direction::Outbound, false, Outcome::NoAnswer));
    assert!(!is_missed(Direction::Internal, false, Outcome::NoAnswer));
}

#[test]
fn a_store_that_failed_is_told_again() {
    let mut desk = Desk::new("");
    desk.ends(1, false, 1);
    let first = desk.callbacks.keep();
    assert!(first.is_some() && desk.callbacks.owes());
    assert!(desk.callbacks.keeping_failed());
    assert_eq!(desk.callbacks.keep(), first);
    desk.callbacks.kept(desk.now.mono);
    assert!(!desk.callbacks.owes() && !desk.callbacks.keeping_failed());
}
