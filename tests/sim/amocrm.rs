//! amoCRM as far as anybody outside knows it: every answer that it may give, in every reading, and
//! what it stored meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use ami2amo::amo::answer::Reply;
use ami2amo::amo::client::Failure;
use ami2amo::amo::notes::{self, KINDS, Kind};
use ami2amo::amo::pace::Purpose;
use serde_json::{Value, json};

use crate::answers::{self, Answer, Judged};
use crate::asking;
use crate::dice::Dice;
use crate::scenes::{MILLI, MINUTE, SECOND};
use crate::world::Clock;

/// How long a client waits for an answer.
pub const REQUEST_TIMEOUT: u64 = 30 * SECOND;
/// How long a stored note stays out of the lists at most, where amoCRM keeps what is assumed of it.
const LAG_MAX: u64 = 30 * SECOND;

/// The account, its contacts and its notes.
#[derive(Debug)]
pub struct AmoCrm {
    pub dice: Dice,
    clock: Clock,
    /// From when on a number (its last ten digits) has a contact.
    pub contacts: BTreeMap<String, u64>,
    /// Numbers that no call may have.
    pub poison: BTreeSet<String>,
    pub notes: Vec<Note>,
    pub token: String,
    pub episodes: Vec<Episode>,
    /// How often in a thousand an answer is odd.
    pub odd: u64,
    /// Notes come to the lists later than anybody waits for them.
    pub is_slow_to_list: bool,
    /// How far its clock is ahead of ours, in microseconds.
    skew: i64,
    /// Notes on a page.
    page: usize,
    has_customers: bool,
    /// When requests came, and of which process.
    pub requests: Vec<(u64, u32)>,
    /// Until when it asked the process to be quiet.
    pub quiet: Option<(u64, u32)>,
    /// It answered this process with the page of a ban, and nothing else since.
    page_to: Option<u32>,
    /// What no client may send.
    pub faults: Vec<String>,
    posts: u64,
}

/// A stored call.
#[derive(Clone, Debug)]
pub struct Note {
    pub id: u64,
    pub uniq: String,
    pub post: u64,
    pub stored_at: u64,
    pub listed_at: u64,
    pub entry: Value,
    kind: Kind,
}

/// A time in which every answer is of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Episode {
    pub from: u64,
    pub to: u64,
    pub answer: Answer,
}

/// What came of one request.
#[derive(Debug)]
pub struct Exchange {
    pub answer: Answer,
    pub reply: Result<Reply, Failure>,
    /// Until the client knows.
    pub took: u64,
    /// Which POST it was.
    pub post: u64,
}

/// Fields that `POST /api/v4/calls` knows.
const FIELDS: &[&str] = &[
    "call_responsible",
    "call_result",
    "call_status",
    "created_at",
    "created_by",
    "direction",
    "duration",
    "link",
    "phone",
    "request_id",
    "responsible_user_id",
    "source",
    "uniq",
];

impl AmoCrm {
    pub fn new(mut dice: Dice, clock: Clock) -> Self {
        let skew = i64::try_from(dice.between(0, 16 * MINUTE)).expect("minutes");
        Self {
            clock,
            contacts: BTreeMap::new(),
            poison: BTreeSet::new(),
            notes: Vec::new(),
            token: "token-0".to_owned(),
            episodes: Vec::new(),
            odd: *dice.weighted(&[(2, 0), (3, 150), (3, 400), (2, 700)]),
            is_slow_to_list: dice.chance(60),
            skew: skew - 8 * 60_000_000,
            page: *dice.pick(&[2, 7, 250]),
            has_customers: dice.chance(500),
            requests: Vec::new(),
            quiet: None,
            page_to: None,
            faults: Vec::new(),
            posts: 0,
            dice,
        }
    }

    /// `POST /api/v4/calls` of process number `process`, sent at `at`.
    pub fn post(&mut self, at: u64, process: u32, token: &str, body: &[u8]) -> Exchange {
        self.note_request(at, process);
        self.posts += 1;
        let entries: Vec<Value> = serde_json::from_slice(body).expect("the body is a JSON array");
        self.check(&entries);
        let answer = self.choose(at, token, &entries);
        let judged = self.judge(at, &entries, answer);
        let took = match answers::took_ms(answer) {
            Some((low, high)) => self.dice.between(low * MILLI, high * MILLI),
            None => REQUEST_TIMEOUT,
        };
        self.store(at, took, answer, &entries, &judged);
        let reply = answers::posted(answer, &judged, &mut self.dice);
        self.heed(at, process, Purpose::Account, answer, &reply);
        Exchange { answer, reply: self.dated(at, reply), took, post: self.posts }
    }

    /// A question; `path` is that of the account or of a page of notes.
    pub fn get(&mut self, at: u64, process: u32, token: &str, path: &str) -> Exchange {
        self.note_request(at, process);
        let usual = if path == notes::ACCOUNT_PATH { Answer::Account } else { Answer::Page };
        let answer = match self.enforced(at, token) {
            Some(answer) if !answers::is_for_writes(answer) => answer,
            Some(_) | None => {
                let odd = self.odd / 3;
                if self.dice.chance(odd) { *self.dice.pick(answers::ODD_READS) } else { usual }
            }
        };
        // 204 says that there are no notes, and nobody knows amoCRM to lie.
        let answer = if answer == Answer::NoContent { usual_or(path, answer) } else { answer };
        let took = match answers::took_ms(answer) {
            Some((low, high)) => self.dice.between(low * MILLI, high * MILLI),
            None => REQUEST_TIMEOUT,
        };
        let reply = match answer {
            Answer::Account => Ok(self.account()),
            Answer::Page => Ok(self.page(at, path)),
            Answer::CutBody if path == notes::ACCOUNT_PATH => Ok(answers::cut(self.account())),
            Answer::CutBody => Ok(answers::cut(self.page(at, path))),
            other => answers::read(other, &mut self.dice),
        };
        self.heed(at, process, Purpose::of_reading(path), answer, &reply);
        Exchange { answer, reply: self.dated(at, reply), took, post: 0 }
    }

    /// The client died at `now`; what POST number `post` had not done by then is done or not.
    pub fn cut_off(&mut self, post: u64, now: u64) {
        if self.dice.chance(500) {
            self.notes.retain(|note| note.post != post || note.stored_at <= now);
        }
    }

    /// Requests that a process, dead since `now`, has not sent.
    pub fn unsend(&mut self, now: u64) {
        self.requests.retain(|(at, _)| *at <= now);
    }

    fn note_request(&mut self, at: u64, process: u32) {
        if let Some((until, of)) = self.quiet
            && of == process
            && at < until
        {
            self.faults.push(format!("a request at {at} although quiet was asked for until {until}"));
        }
        self.requests.push((at, process));
    }

    /// Remembers what it asked for. A ban's page that answers one question may be of that place; a second one
    /// is not.
    fn heed(
        &mut self,
        at: u64,
        process: u32,
        purpose: Purpose,
        answer: Answer,
        reply: &Result<Reply, Failure>,
    ) {
        let Ok(Reply { status, retry_after, .. }) = reply else { return };
        let wait = match (answer, purpose) {
            (Answer::TooManyAfter, _) => {
                retry_after.map(|wait| u64::try_from(wait.as_micros()).expect("minutes"))
            }
            (Answer::Banned, Purpose::Question) if self.page_to != Some(process) => Some(MINUTE),
            (Answer::Banned, _) => Some(5 * MINUTE),
            _ => None,
        };
        if answer == Answer::Banned {
            self.page_to = Some(process);
        } else if *status != 429 {
            self.page_to = None;
        }
        if let Some(wait) = wait {
            self.quiet = Some((at + wait, process));
        }
    }

    /// What no luck changes: tokens, payment, bans, outages.
    fn enforced(&self, at: u64, token: &str) -> Option<Answer> {
        let episode = self.episodes.iter().find(|episode| (episode.from..episode.to).contains(&at));
        match episode {
            Some(episode) => Some(episode.answer),
            None if token != self.token => Some(Answer::Unauthorized),
            None => None,
        }
    }

    fn choose(&mut self, at: u64, token: &str, entries: &[Value]) -> Answer {
        if let Some(answer) = self.enforced(at, token) {
            return answer;
        }
        let odd = self.odd;
        if self.dice.chance(odd) {
            return *self.dice.pick(answers::ODD_POSTS);
        }
        let missing = entries.iter().filter(|entry| !self.knows(at, entry)).count();
        let among: &[Answer] = if entries.iter().any(|entry| self.poison.contains(&number(entry))) {
            &[Answer::Validation, Answer::ValidationUnnamed]
        } else if missing == 0 {
            &[Answer::Stored, Answer::StoredAccepted, Answer::StoredIntIds]
        } else if missing < entries.len() {
            &[Answer::Mixed200, Answer::Mixed400, Answer::MixedUnnamed, Answer::MixedByTitle]
        } else if self.odd > 0 {
            &[Answer::NoneFound400, Answer::NoneFound200, Answer::EmptyList]
        } else {
            &[Answer::NoneFound400, Answer::NoneFound200]
        };
        *self.dice.pick(among)
    }

    /// What becomes of each call, if the request is carried out.
    fn judge(&mut self, at: u64, entries: &[Value], answer: Answer) -> Vec<Judged> {
        let part = self.dice.index(entries.len() + 1);
        let fate = |(place, entry): (usize, &Value)| {
            let is_poison = self.poison.contains(&number(entry));
            let is_known = self.knows(at, entry);
            let is_stored = is_known && !is_poison && answers::carries_out(answer, place, part);
            Judged {
                request_id: text(entry, "request_id"),
                note_id: is_stored.then(|| 1_000_000 + self.posts * 100 + place as u64),
                is_poison,
                is_known,
            }
        };
        entries.iter().enumerate().map(fate).collect()
    }

    fn store(&mut self, at: u64, took: u64, answer: Answer, entries: &[Value], judged: &[Judged]) {
        for (entry, judged) in entries.iter().zip(judged) {
            let Some(id) = judged.note_id else { continue };
            let stored_at = match answer {
                // Carried out, but too late to be answered.
                Answer::TimedOutLate => at + self.dice.between(took / 2, REQUEST_TIMEOUT),
                _ => at + self.dice.between(0, took.min(REQUEST_TIMEOUT)),
            };
            let lag = if self.is_slow_to_list {
                self.dice.between(0, 5 * MINUTE)
            } else {
                *self.dice.pick(&[0, SECOND, 6 * SECOND, LAG_MAX])
            };
            let kinds = if self.has_customers { 4 } else { 3 };
            let kind = KINDS[usize::try_from(id).expect("small") % kinds];
            let uniq = text(entry, "uniq");
            let listed_at = stored_at + lag;
            self.notes.push(Note {
                id,
                uniq,
                post: self.posts,
                stored_at,
                listed_at,
                entry: entry.clone(),
                kind,
            });
        }
    }

    fn knows(&self, at: u64, entry: &Value) -> bool {
        self.contacts.get(&number(entry)).is_some_and(|from| *from <= at)
    }

    fn account(&self) -> Reply {
        let mode = if self.has_customers { "segments" } else { "disabled" };
        answers::json_reply(200, &json!({"id": 1, "customers_mode": mode}))
    }

    /// A page of users or notes.
    fn page(&self, at: u64, path: &str) -> Reply {
        if asking::is_list(path) { asking::list() } else { self.listed(at, path) }
    }

    /// A page of notes.
    fn listed(&self, at: u64, path: &str) -> Reply {
        let value = |key: &str| -> i64 {
            let (_, rest) = path.split_once(key).expect("the query has it");
            rest.split('&').next().expect("a value").parse().expect("a number")
        };
        let (from, to) = (value("%5Bfrom%5D="), value("%5Bto%5D="));
        let page = usize::try_from(value("&page=")).expect("pages are counted from 1");
        let seconds =
            |note: &Note| (self.clock.host(note.stored_at).micros() + self.skew).div_euclid(1_000_000);
        let mut all: Vec<&Note> = self
            .notes
            .iter()
            .filter(|note| path.contains(note.kind.plural()) && note.listed_at <= at)
            .filter(|note| (from..=to).contains(&seconds(note)))
            .collect();
        all.sort_by_key(|note| note.id);
        let pages = all.chunks(self.page).collect::<Vec<_>>();
        let Some(notes) = pages.get(page - 1) else { return answers::empty(204) };
        let notes: Vec<Value> = notes
            .iter()
            .map(|note| json!({"id": note.id, "entity_id": 7, "params": {"uniq": note.uniq}}))
            .collect();
        let next = if page < pages.len() { json!({"href": "next"}) } else { Value::Null };
        answers::json_reply(200, &json!({"_links": {"next": next}, "_embedded": {"notes": notes}}))
    }

    fn dated(&self, at: u64, reply: Result<Reply, Failure>) -> Result<Reply, Failure> {
        let date = self.clock.host(at).micros() + self.skew;
        reply.map(|reply| Reply { date: Some(ami2amo::time::HostTime::from_micros(date)), ..reply })
    }

    /// What amoCRM documents of a request.
    fn check(&mut self, entries: &[Value]) {
        if entries.is_empty() || entries.len() > 50 {
            self.faults.push(format!("{} calls in one request", entries.len()));
        }
        let ids: BTreeSet<String> = entries.iter().map(|entry| text(entry, "request_id")).collect();
        if ids.len() != entries.len() {
            self.faults.push("request ids repeat".to_owned());
        }
        for (key, value) in entries.iter().filter_map(Value::as_object).flatten() {
            if !FIELDS.contains(&key.as_str()) || value.is_null() || value.as_str().is_some_and(str::is_empty)
            {
                self.faults.push(format!("{key}: {value} would be refused"));
            }
        }
    }
}

fn usual_or(path: &str, answer: Answer) -> Answer {
    if path == notes::ACCOUNT_PATH { answer } else { Answer::Page }
}

/// The last ten digits of the number of a posted call.
pub fn number(entry: &Value) -> String {
    let phone = text(entry, "phone");
    phone[phone.len().saturating_sub(10)..].to_owned()
}

pub fn text(entry: &Value, key: &str) -> String {
    entry[key].as_str().unwrap_or_default().to_owned()
}
