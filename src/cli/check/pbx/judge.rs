//! Pure: what the look at a PBX means, and the line of which file mends it.

use std::time::Duration;

use crate::ami::connection::Error;
use crate::ami::session::{self, EVENTS};
use crate::cli::check::pbx::Look;
use crate::cli::check::pbx::manager_conf::User;
use crate::config::Pbx;
use crate::config::check::{Finding, Grade};
use crate::ops::words::Language;

/// What one look is told by.
struct Teller<'a> {
    place: String,
    user: &'a str,
    language: Language,
    findings: Vec<Finding>,
}

/// Clocks further apart than this make a mess of whoever compares the CRM with the PBX; in microseconds.
const CLOCK_MAX: i64 = 60_000_000;
/// A shorter `writetimeout` cuts the connection when this host is busy for a moment; in milliseconds.
const WRITE_TIMEOUT_MIN: u64 = 1000;
/// The rights that the recipe in config/asterisk gives.
const WRITE: &str = "reporting";

/// What is to be said of a look.
pub(super) fn findings(
    pbx: &Pbx,
    look: &Look,
    is_late: bool,
    listen: Duration,
    file: Option<&User>,
    language: Language,
) -> Vec<Finding> {
    let settings = &pbx.connection;
    let place = format!("[[pbx]] \"{}\"", pbx.name);
    let user = settings.session.username.as_str();
    let mut teller = Teller { place, user, language, findings: Vec::new() };
    if let Some(error) = &look.ended {
        teller.ended(error, look.logged_in);
    } else if is_late && !look.logged_in {
        let text = language.pick("nobody answers there in time", "там никто не отвечает вовремя");
        teller.add(Grade::Down, text.to_owned(), teller.address_advice());
    }
    if look.logged_in {
        teller.login(look);
        teller.rights(look);
        teller.classes(look, listen, file);
        teller.clock(look);
    }
    if let Some(file) = file {
        teller.file(file);
    }
    teller.findings
}

impl Teller<'_> {
    fn add(&mut self, grade: Grade, text: String, advice: String) {
        self.findings.push(Finding { grade, place: self.place.clone(), text, advice });
    }

    fn say(&mut self, grade: Grade, english: String, russian: String, advice: String) {
        self.add(grade, self.language.pick(english, russian), advice);
    }

    /// A line for the user's section.
    fn line(&self, line: &str) -> String {
        let user = self.user;
        self.language.pick(
            format!("in manager.conf, section [{user}]: `{line}`, then asterisk -rx 'manager reload'"),
            format!("в manager.conf, секция [{user}]: `{line}`, затем asterisk -rx 'manager reload'"),
        )
    }

    fn timestamps_line(&self) -> String {
        self.language.pick(
            "in manager.conf, section [general]: `timestampevents = yes` (FreePBX: in manager_custom.conf, section \
             [general](+)), then asterisk -rx 'manager reload'",
            "в manager.conf, секция [general]: `timestampevents = yes` (FreePBX: в manager_custom.conf, секция \
             [general](+)), затем asterisk -rx 'manager reload'",
        )
        .to_owned()
    }

    fn address_advice(&self) -> String {
        self.language.pick(
            "is Asterisk running there, and does manager.conf have `enabled = yes` and this `port` in [general]? In \
             this table: host and port",
            "работает ли там Asterisk и есть ли в manager.conf в [general] `enabled = yes` и этот `port`? В этой \
             таблице: host и port",
        )
        .to_owned()
    }

    /// The connection did not come about, or broke.
    fn ended(&mut self, error: &Error, logged_in: bool) {
        let text = chain(error);
        if logged_in {
            let advice = self.language.pick("look into Asterisk's log", "загляните в журнал Asterisk");
            return self.add(Grade::Warn, text, advice.to_owned());
        }
        let advice = match error {
            Error::Session(session::Error::AuthenticationFailed { .. }) => self.line(
                self.language.pick(
                    "secret = …` must be what secret-file holds, `permit = ADDRESS/MASK` must allow this host",
                    "secret = …` должен быть тем, что в secret-file, `permit = АДРЕС/МАСКА` должен пускать этот хост",
                ),
            ),
            Error::Session(session::Error::InUse { .. }) => self.line("allowmultiplelogin = yes"),
            Error::Session(_) | Error::Exposed { .. } | Error::Tls { .. } | Error::Unsendable { .. } => String::new(),
            Error::Resolve { .. }
            | Error::NoAddress { .. }
            | Error::Connect { .. }
            | Error::ConnectTimeout { .. }
            | Error::Io(_)
            | Error::Panicked => self.address_advice(),
        };
        self.add(Grade::Down, text, advice);
    }

    fn login(&mut self, look: &Look) {
        let version = look.asterisk_version.as_deref().unwrap_or("?");
        let ami = look.ami_version.as_deref().unwrap_or("?");
        let user = self.user;
        self.say(
            Grade::Ok,
            format!("Asterisk {version} (AMI {ami}) let the user \"{user}\" in"),
            format!("Asterisk {version} (AMI {ami}) впустил пользователя \"{user}\""),
            String::new(),
        );
        if !look.booted {
            let advice = self.line(&format!("read = {EVENTS}"));
            let english =
                "the class system is not granted: starts and stops of Asterisk are not seen at once";
            let russian = "класс system не дан: запуск и остановка Asterisk видны не сразу";
            self.say(Grade::Warn, english.to_owned(), russian.to_owned(), advice);
        }
    }

    fn rights(&mut self, look: &Look) {
        if look.denied.is_empty() {
            let english = format!("it may ask for all that is needed (write = {WRITE})");
            let russian = format!("ему можно спрашивать всё нужное (write = {WRITE})");
            return self.say(Grade::Ok, english, russian, String::new());
        }
        let named: Vec<_> = look.denied.iter().map(|(action, words)| format!("{action} ({words})")).collect();
        let named = named.join(", ");
        let advice = self.line(&format!("write = {WRITE}"));
        self.say(
            Grade::Warn,
            format!("it may not ask for {named}: calls that go on at a start are followed less well"),
            format!("ему нельзя спрашивать {named}: звонки, идущие при запуске, отслеживаются хуже"),
            advice,
        );
    }

    fn classes(&mut self, look: &Look, listen: Duration, file: Option<&User>) {
        let heard = &look.heard;
        if heard.events == 0 {
            if file.is_some_and(|file| file.is_there) {
                return; // The file tells it.
            }
            let seconds = listen.as_secs();
            let read = self.line(&format!("read = {EVENTS}"));
            let advice = self.language.pick(
                format!("make a call and check with --listen 60; {read}; {}", self.timestamps_line()),
                format!("позвоните и проверьте с --listen 60; {read}; {}", self.timestamps_line()),
            );
            return self.say(
                Grade::Warn,
                format!(
                    "no event came in {seconds} s: the classes of events and timestampevents are not proved"
                ),
                format!(
                    "за {seconds} с не пришло ни одного события: классы событий и timestampevents не доказаны"
                ),
                advice,
            );
        }
        let wanted = EVENTS.split(',');
        let (seen, unseen): (Vec<_>, Vec<_>) = wanted.partition(|class| heard.classes.contains(*class));
        let (seen, unseen) = (seen.join(", "), unseen.join(", "));
        let is_proved = heard.classes.contains("call");
        let (grade, advice) = if is_proved {
            (Grade::Ok, String::new())
        } else {
            (Grade::Warn, self.line(&format!("read = {EVENTS}")))
        };
        let (more, russian) = if unseen.is_empty() {
            (String::new(), String::new())
        } else {
            (format!("; not seen meanwhile: {unseen}"), format!("; за это время не видно: {unseen}"))
        };
        self.say(
            grade,
            format!("events of {seen} come{more}"),
            format!("приходят события {seen}{russian}"),
            advice,
        );
        self.timestamps(look);
    }

    fn timestamps(&mut self, look: &Look) {
        if look.heard.timed > 0 {
            let english = "events carry their time (timestampevents)".to_owned();
            let russian = "события несут своё время (timestampevents)".to_owned();
            return self.say(Grade::Ok, english, russian, String::new());
        }
        let advice = self.timestamps_line();
        self.say(
            Grade::Warn,
            "events carry no time: talk times are by their arrival, and are off when the PBX is busy"
                .to_owned(),
            "события без времени: длительность считается по их приходу и неточна, когда АТС занята"
                .to_owned(),
            advice,
        );
    }

    fn clock(&mut self, look: &Look) {
        let Some(offset) = look.offset else {
            let english = "its clock is not known: it answered no ping with a time".to_owned();
            let russian = "её часы неизвестны: на ping не пришёл ответ со временем".to_owned();
            return self.say(Grade::Warn, english, russian, String::new());
        };
        let ahead = offset.host_ahead().saturating_neg();
        #[expect(clippy::cast_precision_loss, reason = "it is shown in tenths of seconds")]
        let seconds = ahead.unsigned_abs() as f64 / 1e6;
        let (way, russian) =
            if ahead < 0 { ("behind", "отстают") } else { ("ahead of", "спешат") };
        let english = format!("its clock is {seconds:.1} s {way} this host's");
        let russian = format!("её часы {russian} на {seconds:.1} с относительно этого хоста");
        if ahead.abs() <= CLOCK_MAX {
            return self.say(Grade::Ok, english, russian, String::new());
        }
        let advice = self.language.pick(
            "set both clocks by NTP: timedatectl set-ntp true; call times in amoCRM are corrected meanwhile",
            "сверяйте часы обоих по NTP: timedatectl set-ntp true; время звонков в amoCRM пока исправляется",
        );
        self.say(Grade::Warn, english, russian, advice.to_owned());
    }

    /// What manager.conf says, where nothing that came has said it.
    fn file(&mut self, file: &User) {
        let path = file.path.display();
        if !file.is_there {
            let user = self.user;
            return self.say(
                Grade::Warn,
                format!("{path} has no section [{user}]"),
                format!("в {path} нет секции [{user}]"),
                self.language
                    .pick("config/asterisk has one to copy", "готовая есть в config/asterisk")
                    .to_owned(),
            );
        }
        let all = |words: &[String]| words.iter().any(|word| word == "all");
        let missing: Vec<_> = EVENTS
            .split(',')
            .filter(|class| !all(&file.read) && !file.read.iter().any(|word| word == class))
            .collect();
        if missing.is_empty() {
            self.say(
                Grade::Ok,
                format!("{path} grants every class"),
                format!("{path} даёт все классы"),
                String::new(),
            );
        } else {
            let (missing, advice) = (missing.join(", "), self.line(&format!("read = {EVENTS}")));
            let english = format!("{path} does not grant the classes {missing}");
            let russian = format!("{path} не даёт классы {missing}");
            self.say(Grade::Warn, english, russian, advice);
        }
        if !file.timestamps {
            let advice = self.timestamps_line();
            let english = format!("{path} does not say timestampevents = yes");
            self.say(Grade::Warn, english, format!("в {path} нет timestampevents = yes"), advice);
        }
        let milliseconds = file.write_timeout;
        if milliseconds < WRITE_TIMEOUT_MIN {
            let advice = self.line("writetimeout = 5000");
            self.say(
                Grade::Warn,
                format!("writetimeout is {milliseconds} ms: Asterisk cuts the connection when this host is busy for a moment"),
                format!("writetimeout равен {milliseconds} мс: Asterisk рвёт соединение, если этот хост на миг занят"),
                advice,
            );
        } else {
            self.say(
                Grade::Ok,
                format!("writetimeout is {milliseconds} ms"),
                format!("writetimeout: {milliseconds} мс"),
                String::new(),
            );
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
