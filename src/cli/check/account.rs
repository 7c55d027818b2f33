//! `ami2amo check` at amoCRM: questions that change nothing, asked with the token that the daemon would use.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::amo::answer::Account;
use crate::amo::client::safe::PairFile;
use crate::amo::client::{self, Client, Clock, Failure, Looked, TOKEN_VARIABLE, TokenSource};
use crate::amo::pace::Pace;
use crate::amo::people::Person;
use crate::amo::settings::Settings;
use crate::amo::token::{Token, oauth};
use crate::call::id::AccountId;
use crate::clock;
use crate::config::check::{Finding, Grade};
use crate::config::surroundings::{Host, Surroundings as _};
use crate::ops::words::Language;

mod users;

/// What a look at an account came to.
pub(super) struct Seen<'a> {
    amo: &'a Settings,
    place: String,
    language: Language,
    pub findings: Vec<Finding>,
    people: Option<Vec<Person>>,
}

/// Longest look: a few questions, and an address that swallows everything.
const LOOK_MAX: Duration = Duration::from_secs(25);
/// A token that ends sooner is told of: who can make a new one may be away.
const ENDS_SOON: Duration = Duration::from_hours(14 * 24);
/// amoCRM's clock may be so far off; in microseconds.
const CLOCK_MAX: i64 = 60_000_000;

/// A connection with the token as it is, which is never renewed: that is the daemon's business.
///
/// # Errors
/// In words, when there is no token or the settings allow no connection.
pub(super) fn connect(amo: &Settings, store_dir: &Path) -> Result<(Client, Token), String> {
    let token = token(amo, store_dir)?;
    let pace = Arc::new(Mutex::new(Pace::new(amo.requests_per_second)));
    let clock = Clock { host: clock::host, mono: clock::mono };
    let client = Client::new(amo, TokenSource::Given(token.clone()), pace, clock);
    Ok((client.map_err(|error| words(&error))?, token))
}

/// As `amo` is called in the configuration.
pub(super) fn place(amo: &Settings) -> String {
    if amo.name == AccountId::default() {
        "[amocrm]".to_owned()
    } else {
        format!("[[account]] \"{}\"", amo.name)
    }
}

/// Looks at an account and tells what is right and what is not.
pub(super) async fn look<'a>(amo: &'a Settings, store_dir: &Path, language: Language) -> Seen<'a> {
    let mut seen = Seen { amo, place: place(amo), language, findings: Vec::new(), people: None };
    match connect(amo, store_dir) {
        Err(words) => seen.add(Grade::Down, words, ""),
        Ok((client, token)) => {
            seen.life(&token);
            let has_ended = oauth::claims(&token).expires_at.is_some_and(|at| at <= clock::host());
            if amo.oauth.is_some() && has_ended {
                // amoCRM would refuse what the daemon renews before it asks.
                return seen;
            }
            if tokio::time::timeout(LOOK_MAX, seen.ask(&client)).await.is_err() {
                let text = language.pick("amoCRM does not answer in time", "amoCRM не отвечает вовремя");
                seen.add(Grade::Down, text, &seen.reach_advice());
            }
        }
    }
    seen
}

fn token(amo: &Settings, store_dir: &Path) -> Result<Token, String> {
    let variable = (amo.name == AccountId::default()).then(|| Host::Look.variable(TOKEN_VARIABLE)).flatten();
    if amo.oauth.is_some() && variable.is_none() {
        let file = PairFile::of(store_dir, &amo.name);
        return match file.read()? {
            Some(pair) if !is_of_app(amo, &pair.client_id) => Err(format!(
                "the tokens in {} are those of another integration ({}): ami2amo auth --code CODE",
                file.path().display(),
                pair.client_id
            )),
            Some(pair) => Ok(pair.access),
            None => Err("the integration has no tokens yet: ami2amo auth --code CODE".to_owned()),
        };
    }
    match TokenSource::choose(amo, variable.as_deref()).map_err(|error| words(&error))? {
        TokenSource::Given(token) => Ok(token),
        TokenSource::File(path) => {
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Token::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
        }
    }
}

fn is_of_app(amo: &Settings, client_id: &str) -> bool {
    amo.oauth.as_ref().is_none_or(|app| app.client_id.as_str() == client_id)
}

/// An error and its causes in one line.
fn words(error: &client::Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Seen<'_> {
    fn add(&mut self, grade: Grade, text: impl Into<String>, advice: &str) {
        let (place, text, advice) = (self.place.clone(), text.into(), advice.to_owned());
        self.findings.push(Finding { grade, place, text, advice });
    }

    fn say(&mut self, grade: Grade, english: String, russian: String, advice: (&str, &str)) {
        let advice = self.language.pick(advice.0, advice.1);
        self.add(grade, self.language.pick(english, russian), advice);
    }

    fn reach_advice(&self) -> String {
        let place = &self.place;
        self.language.pick(
            format!("in {place}: base-url, and proxy where there is one; curl -I the address from this host"),
            format!("в {place}: base-url, и proxy, если он есть; проверьте адрес с этого хоста: curl -I"),
        )
    }

    /// Until when the token works, as far as it says so.
    fn life(&mut self, token: &Token) {
        let is_renewed = self.amo.oauth.is_some();
        let make_new = (
            "make a new long-lived token in amoCRM, in the integration's keys and access, and put it into token-file",
            "создайте в amoCRM новый долгосрочный токен («Ключи и доступы» интеграции) и положите его в token-file",
        );
        let renewed = ("the daemon renews it", "демон обновит его");
        let advice = if is_renewed { renewed } else { make_new };
        let now = clock::host();
        match oauth::claims(token).expires_at {
            None => self.say(
                Grade::Ok,
                "the token does not say until when it works".to_owned(),
                "токен не говорит, до какого времени действует".to_owned(),
                ("", ""),
            ),
            Some(at) if at <= now => {
                let grade = if is_renewed { Grade::Warn } else { Grade::Down };
                self.say(grade, format!("the token ended at {at}"), format!("токен кончился {at}"), advice);
            }
            Some(at) => {
                let grade = if !is_renewed && at.since(now) < ENDS_SOON { Grade::Warn } else { Grade::Ok };
                let advice = if grade == Grade::Warn { make_new } else { ("", "") };
                self.say(
                    grade,
                    format!("the token works until {at}"),
                    format!("токен действует до {at}"),
                    advice,
                );
            }
        }
    }

    async fn ask(&mut self, client: &Client) {
        let me = match client.token_user().await {
            Looked::Found(me) => me,
            Looked::Refused { account, words } => return self.refused(account, &words),
            Looked::Unreadable(words) => return self.add(Grade::Down, words, &self.reach_advice()),
            Looked::Failed(failure) => return self.failed(&failure),
        };
        let address = self.amo.base_url.as_ref().map(ToString::to_string).unwrap_or_default();
        let user = me.map_or_else(|| "?".to_owned(), |me| me.to_string());
        self.say(
            Grade::Ok,
            format!("{address} answers and takes the token, which is that of user {user}"),
            format!("{address} отвечает и принимает токен; это токен пользователя {user}"),
            ("", ""),
        );
        self.clock(client.ahead());
        let contacts = client.reads_contacts().await;
        self.right(
            contacts,
            ("contacts", "контакты"),
            ("numbers cannot be looked up", "номера нельзя искать"),
        );
        let calls = client.reads_calls().await;
        let why =
            ("calls whose answer was lost cannot be found again", "звонок с потерянным ответом нельзя найти");
        self.right(calls, ("stored calls", "записанные звонки"), why);
        self.staff(client.people().await, me);
    }

    fn failed(&mut self, failure: &Failure) {
        self.add(Grade::Down, failure.to_string(), &self.reach_advice());
    }

    /// The account answers, and not as it should.
    fn refused(&mut self, account: Account, words: &str) {
        let (english, russian) = match account {
            Account::Unauthorized => (
                "the token is refused: make a new one in the integration's keys and access and put it into token-file \
                 (ami2amo auth --code CODE, where it is an integration's)",
                "токен не принят: создайте новый («Ключи и доступы» интеграции) и положите его в token-file (для \
                 интеграции с OAuth: ami2amo auth --code КОД)",
            ),
            Account::Unpaid => ("the account is not paid for", "аккаунт не оплачен"),
            Account::Forbidden => (
                "the token's user lacks rights, or the account takes only certain addresses",
                "у пользователя токена нет прав, или аккаунт пускает не все адреса",
            ),
            Account::Banned => (
                "amoCRM lets nothing through: its support lifts the ban",
                "amoCRM всё блокирует: снимает поддержка",
            ),
            Account::TooMany { .. } => {
                ("too many requests: try again in a minute", "слишком много запросов: повторите через минуту")
            }
            Account::ServerTrouble => {
                ("amoCRM is out of order: try again later", "amoCRM неисправна: повторите позже")
            }
            Account::NotAmo | Account::Fine => (
                "what answers there is not the API: is base-url the account's own address?",
                "там отвечает не API: точно ли base-url — адрес аккаунта?",
            ),
        };
        let advice = self.language.pick(english, russian);
        self.add(Grade::Down, words, advice);
    }

    fn clock(&mut self, ahead: i64) {
        let seconds = ahead / 1_000_000;
        if ahead.abs() > CLOCK_MAX {
            self.say(
                Grade::Warn,
                format!("amoCRM's clock is {seconds} s ahead of this host's"),
                format!("часы amoCRM спешат на {seconds} с относительно этого хоста"),
                (
                    "set this host's clock by NTP: timedatectl set-ntp true",
                    "сверяйте часы по NTP: timedatectl set-ntp true",
                ),
            );
        }
    }

    /// Whether something may be read.
    fn right(&mut self, looked: Looked<()>, what: (&str, &str), why: (&str, &str)) {
        let words = match looked {
            Looked::Found(()) => {
                let (english, russian) =
                    (format!("{} may be read", what.0), format!("можно читать {}", what.1));
                return self.say(Grade::Ok, english, russian, ("", ""));
            }
            Looked::Refused { words, .. } | Looked::Unreadable(words) => words,
            Looked::Failed(failure) => failure.to_string(),
        };
        self.say(
            Grade::Warn,
            format!("{} may not be read ({words}): {}", what.0, why.0),
            format!("нельзя читать {} ({words}): {}", what.1, why.1),
            (
                "in amoCRM, give the token's user the right to see all contacts and leads",
                "в amoCRM дайте пользователю токена право видеть все контакты и сделки",
            ),
        );
    }

    /// Who works there, and what the token's user may do.
    fn staff(&mut self, looked: Looked<Vec<Person>>, me: Option<u64>) {
        let people = match looked {
            Looked::Found(people) => people,
            Looked::Refused { words, .. } | Looked::Unreadable(words) => {
                return self.say(
                    Grade::Warn,
                    format!("users cannot be listed ({words}): the map of users is not checked"),
                    format!("нельзя получить список пользователей ({words}): карта не проверена"),
                    (
                        "only an administrator's token may list them; ids stand in the address of a user's page",
                        "их видит только токен администратора; id стоит в адресе страницы пользователя",
                    ),
                );
            }
            Looked::Failed(failure) => return self.failed(&failure),
        };
        if let Some(me) = people.iter().find(|person| Some(person.id) == me) {
            self.own_rights(&me.clone());
        }
        self.people = Some(people);
    }

    fn own_rights(&mut self, me: &Person) {
        let sees_all = me.is_admin || matches!(me.sees.as_str(), "A" | "");
        if sees_all {
            return;
        }
        self.say(
            Grade::Warn,
            "the token's user sees a part of the contacts: numbers of the others look unknown to him"
                .to_owned(),
            "пользователь токена видит не все контакты: остальные номера ему неизвестны".to_owned(),
            (
                "in amoCRM, give him the right to see all contacts and companies",
                "в amoCRM дайте ему право видеть все контакты и компании",
            ),
        );
    }

    /// Compares the map of users with the account's people and the PBXs' `extensions`.
    pub fn compare(&mut self, extensions: &BTreeSet<String>) {
        let Some(people) = self.people.take() else { return };
        for (grade, text, advice) in users::compare(self.amo, &self.place, &people, extensions, self.language)
        {
            self.add(grade, text, &advice);
        }
    }
}
