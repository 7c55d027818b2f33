//! The session as a script: blocks in, actions out.

use super::*;

const USER: &str = "ami2amo";
const SECOND: u64 = 1_000_000;
const LISTS: [&str; 4] = ["BridgeList", "Status", "CoreShowChannels", "ExtensionStateList"];

struct Desk {
    session: Session,
    now: MonoTime,
}

impl Desk {
    fn new(login: Login) -> Self {
        let settings = Settings { username: USER.to_owned(), login, ping_interval: Duration::from_secs(10) };
        Self { session: Session::new(settings, MonoTime::default()), now: MonoTime::default() }
    }

    /// Logged in and up, with nothing to send and nothing awaited.
    fn up() -> Self {
        let mut desk = Self::new(Login::Plain);
        desk.banner("11.0.0");
        desk.reply("Success", "").unwrap();
        desk.event("FullyBooted").unwrap();
        desk.reply_to("Ping", "Success", "Ping: Pong\r\nTimestamp: 1795339565.0\r\n").unwrap();
        desk.reply_to("CoreSettings", "Success", "AsteriskVersion: 22.10.1\r\n").unwrap();
        let start = "CoreStartupDate: 2026-11-22\r\nCoreStartupTime: 09:13:11\r\n";
        desk.reply_to("CoreStatus", "Success", start).unwrap();
        for list in LISTS {
            desk.reply_to(list, "Success", "EventList: start\r\n").unwrap();
        }
        desk.sent();
        desk.notices();
        desk
    }

    fn take(&mut self, kind: Kind, block: &str) -> Result<(), Error> {
        self.session.handle_bytes(self.now);
        let host = HostTime::from_micros(1_795_339_560_000_000);
        self.session.handle_frame(&Frame { kind, block: block.as_bytes() }, self.now, host)
    }

    fn banner(&mut self, version: &str) {
        self.try_banner(version).unwrap();
    }

    fn try_banner(&mut self, version: &str) -> Result<(), Error> {
        self.take(Kind::Banner, &format!("Asterisk Call Manager/{version}"))
    }

    fn event(&mut self, name: &str) -> Result<(), Error> {
        self.take(Kind::Event, &format!("Event: {name}\r\n"))
    }

    /// A reply to the oldest action that waits for one.
    fn reply(&mut self, word: &str, headers: &str) -> Result<(), Error> {
        let id = self.session.pending[0].id;
        self.take(Kind::Response, &format!("Response: {word}\r\nActionID: {id}\r\n{headers}"))
    }

    fn reply_to(&mut self, action: &str, word: &str, headers: &str) -> Result<(), Error> {
        let pending = self.session.pending.iter().find(|p| p.action.name() == action).unwrap();
        let id = pending.id;
        self.take(Kind::Response, &format!("Response: {word}\r\nActionID: {id}\r\n{headers}"))
    }

    fn wait(&mut self, seconds: u64) -> Result<(), Error> {
        self.now = MonoTime::from_micros(self.now.micros() + seconds * SECOND);
        self.session.handle_timeout(self.now)
    }

    fn sent(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.session.poll_action()).map(|(_, action)| action.name()).collect()
    }

    fn notices(&mut self) -> Vec<Notice> {
        std::iter::from_fn(|| self.session.poll_notice()).collect()
    }
}

#[test]
fn a_plain_login_goes_from_banner_to_up() {
    let mut desk = Desk::new(Login::Plain);
    desk.banner("11.0.0");
    let (_, login) = desk.session.poll_action().unwrap();
    assert_eq!(login, Action::Login { proof: Proof::Secret, events: EVENTS });
    desk.reply("Success", "Message: Authentication accepted\r\n").unwrap();
    assert_eq!(
        desk.sent(),
        [
            "Ping",
            "CoreSettings",
            "CoreStatus",
            "BridgeList",
            "Status",
            "CoreShowChannels",
            "ExtensionStateList"
        ]
    );
    desk.event("FullyBooted").unwrap();
    let expected = [Notice::Greeted { ami_version: "11.0.0".to_owned() }, Notice::LoggedIn, Notice::Booted];
    assert_eq!(desk.notices(), expected);
}

#[test]
fn a_challenge_is_answered_with_its_digest() {
    let mut desk = Desk::new(Login::Challenge);
    desk.banner("5.0.4");
    assert_eq!(desk.sent(), ["Challenge"]);
    desk.reply("Success", "Challenge: 117735131\r\n").unwrap();
    let (_, login) = desk.session.poll_action().unwrap();
    let proof = Proof::Digest { challenge: b"117735131".to_vec() };
    assert_eq!(login, Action::Login { proof, events: EVENTS });
}

#[test]
fn asterisk_11_and_older_is_refused_by_its_banner() {
    for version in ["1.0", "1.1", "1.3", "1.4"] {
        let error = Desk::new(Login::Plain).try_banner(version).unwrap_err();
        assert!(error.to_string().contains("Asterisk 12"), "{error}");
        assert_eq!(error.retry(), Retry::Late);
    }
    for version in ["2.0", "2.10.6", "5.0.5", "11.0.0", "13.0.0", ""] {
        assert_eq!(Desk::new(Login::Plain).try_banner(version), Ok(()), "{version}");
    }
}

#[test]
fn a_wrong_secret_names_the_user_and_waits_long() {
    let mut desk = Desk::new(Login::Plain);
    desk.banner("11.0.0");
    let error = desk.reply("Error", "Message: Authentication failed\r\n").unwrap_err();
    assert_eq!(error, Error::AuthenticationFailed { username: USER.to_owned() });
    assert!(error.to_string().contains(USER));
    assert_eq!(error.retry(), Retry::Late);
}

#[test]
fn a_login_in_use_is_tried_again_soon() {
    let mut desk = Desk::new(Login::Plain);
    desk.banner("11.0.0");
    let error = desk.reply("Error", "Message: Login Already In Use\r\n").unwrap_err();
    assert_eq!(error, Error::InUse { username: USER.to_owned() });
    assert_eq!(error.retry(), Retry::Soon);
}

#[test]
fn a_challenge_that_is_denied_ends_the_session() {
    let mut desk = Desk::new(Login::Challenge);
    desk.banner("11.0.0");
    let error = desk.reply("Error", "Message: Must specify AuthType\x1b[31m\r\n").unwrap_err();
    let message = "Must specify AuthType\u{fffd}[31m".to_owned();
    assert_eq!(error, Error::Rejected { action: "Challenge", message });
}

#[test]
fn the_end_of_the_stream_before_the_banner_is_a_refusal() {
    let mut desk = Desk::new(Login::Plain);
    assert_eq!(desk.session.closed(), Error::Refused);
    desk.banner("11.0.0");
    assert_eq!(desk.session.closed(), Error::Closed);
}

#[test]
fn a_port_that_does_not_greet_is_given_up() {
    let mut desk = Desk::new(Login::Plain);
    assert_eq!(desk.session.poll_timeout(), Some(MonoTime::from_micros(10 * SECOND)));
    assert_eq!(desk.wait(9), Ok(()));
    assert_eq!(desk.wait(1), Err(Error::NoBanner));
}

#[test]
fn a_login_without_an_answer_is_given_up() {
    let mut desk = Desk::new(Login::Challenge);
    desk.banner("11.0.0");
    assert_eq!(desk.wait(15), Err(Error::Unanswered { action: "Challenge" }));
}

#[test]
fn a_login_reply_without_an_id_is_understood() {
    let mut desk = Desk::new(Login::Plain);
    desk.banner("11.0.0");
    desk.take(Kind::Response, "Response: Success\r\n").unwrap();
    assert!(desk.notices().contains(&Notice::LoggedIn));
}

#[test]
fn replies_to_nobody_change_nothing() {
    let mut desk = Desk::up();
    for reply in ["Response: Success\r\n", "Response: Error\r\nActionID: 999\r\n", "ActionID: x\r\n"] {
        desk.take(Kind::Response, reply).unwrap();
    }
    assert_eq!((desk.sent(), desk.notices()), (vec![], vec![]));
}

#[test]
fn a_user_without_the_class_system_is_up_after_five_seconds() {
    let mut desk = Desk::new(Login::Plain);
    desk.banner("11.0.0");
    desk.reply("Success", "").unwrap();
    desk.wait(5).unwrap();
    assert!(desk.notices().contains(&Notice::BootUnconfirmed));
    assert!(!desk.session.wants_events());
}

#[test]
fn a_second_fully_booted_is_no_news() {
    let mut desk = Desk::up();
    desk.event("FullyBooted").unwrap();
    assert_eq!(desk.notices(), []);
}

#[test]
fn a_denied_question_is_told_and_not_repeated() {
    let mut desk = Desk::new(Login::Plain);
    desk.banner("11.0.0");
    desk.reply("Success", "").unwrap();
    desk.notices();
    desk.reply_to("CoreSettings", "Error", "Message: Permission denied\r\n").unwrap();
    let denied = Notice::Denied { action: "CoreSettings", message: "Permission denied".to_owned() };
    assert_eq!(desk.notices(), [denied]);
    desk.sent();
    desk.event("FullyBooted").unwrap();
    assert_eq!(desk.sent(), Vec::<&str>::new());
}

#[test]
fn an_idle_line_is_pinged_every_interval() {
    let mut desk = Desk::up();
    for _ in 0..5 {
        assert_eq!(desk.sent(), Vec::<&str>::new());
        desk.wait(10).unwrap();
        assert_eq!(desk.sent(), ["Ping"]);
        desk.reply("Success", "Ping: Pong\r\n").unwrap();
    }
    assert!(desk.session.pending.is_empty());
}

#[test]
fn a_pong_measures_the_clock() {
    let mut desk = Desk::up();
    assert_eq!(desk.session.offset().unwrap().pbx_ahead, 5_000_000);
    desk.wait(10).unwrap();
    desk.reply("Success", "Ping: Pong\r\n").unwrap();
    assert_eq!(desk.session.offset().unwrap().pbx_ahead, 5_000_000);
}

#[test]
fn silence_for_two_intervals_after_a_ping_ends_the_session() {
    let mut desk = Desk::up();
    desk.wait(10).unwrap();
    desk.wait(10).unwrap();
    assert_eq!(desk.wait(10), Err(Error::Silent(30)));
}

#[test]
fn a_line_with_events_is_not_cut_for_a_lost_pong() {
    let mut desk = Desk::up();
    desk.wait(10).unwrap();
    for _ in 0..10 {
        desk.event("Newchannel").unwrap();
        desk.wait(10).unwrap();
        assert!(desk.session.pending.len() <= 3 + LISTS.len(), "waiters are not kept");
    }
}

#[test]
fn a_question_that_is_never_answered_is_forgotten() {
    let mut desk = Desk::new(Login::Plain);
    desk.banner("11.0.0");
    desk.reply("Success", "").unwrap();
    desk.reply_to("Ping", "Success", "").unwrap();
    desk.event("FullyBooted").unwrap();
    for list in LISTS {
        desk.reply_to(list, "Success", "EventList: start\r\n").unwrap();
    }
    desk.reply_to("CoreStatus", "Success", "").unwrap();
    desk.notices();
    desk.now = MonoTime::from_micros(14 * SECOND);
    desk.event("Newchannel").unwrap();
    desk.wait(1).unwrap();
    assert_eq!(desk.notices(), [Notice::Unanswered { action: "CoreSettings" }]);
}

#[test]
fn what_there_is_is_listed_again_every_minute() {
    let mut desk = Desk::up();
    for second in 1..=60 {
        desk.wait(1).unwrap();
        let listed = desk.sent().into_iter().filter(|action| *action != "Ping").collect::<Vec<_>>();
        let expected: &[&str] = if second == 60 { &LISTS[..3] } else { &[] };
        assert_eq!(listed, expected, "after {second} s");
        desk.event("Newchannel").unwrap();
    }
}

#[test]
fn a_list_that_is_denied_is_told_once_and_asked_for_no_more() {
    let mut desk = Desk::new(Login::Plain);
    desk.banner("11.0.0");
    desk.reply("Success", "").unwrap();
    desk.event("FullyBooted").unwrap();
    desk.sent();
    desk.notices();
    desk.reply_to("Status", "Error", "Message: Permission denied\r\n").unwrap();
    let denied = Notice::Denied { action: "Status", message: "Permission denied".to_owned() };
    assert_eq!(desk.notices(), [denied]);
    desk.reply_to("Ping", "Success", "").unwrap();
    desk.now = MonoTime::from_micros(59 * SECOND);
    desk.event("Newchannel").unwrap();
    desk.wait(1).unwrap();
    assert_eq!(desk.sent(), ["Ping", "BridgeList", "CoreShowChannels"]);
}

#[test]
fn the_start_of_asterisk_is_told_in_its_own_time() {
    let mut desk = Desk::new(Login::Plain);
    desk.banner("11.0.0");
    desk.reply("Success", "").unwrap();
    desk.notices();
    let start = "CoreStartupDate: 2026-11-22\r\nCoreStartupTime: 09:13:11\r\n";
    desk.reply_to("CoreStatus", "Success", start).unwrap();
    assert_eq!(desk.notices(), [Notice::Started { at: "2026-11-22 09:13:11".to_owned() }]);
}

#[test]
fn nothing_is_sent_after_the_good_bye() {
    let mut desk = Desk::up();
    desk.session.log_off(desk.now);
    assert_eq!(desk.sent(), ["Logoff"]);
    desk.reply("Goodbye", "").unwrap();
    desk.wait(60).unwrap();
    assert_eq!((desk.sent(), desk.session.poll_timeout()), (vec![], None));
}

#[test]
fn only_who_is_logged_in_says_good_bye() {
    let mut desk = Desk::new(Login::Plain);
    desk.session.log_off(desk.now);
    assert_eq!(desk.sent(), Vec::<&str>::new());
    assert_eq!(desk.session.poll_timeout(), None);
}
