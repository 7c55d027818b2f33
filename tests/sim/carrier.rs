//! Carries out what the courier asks for, as its task and the HTTP client do, and lets the process die
//! between any two steps.

use std::collections::{BTreeMap, BTreeSet};

use ami2amo::amo::answer::{self, Account, Fate, Reply, json_object};
use ami2amo::amo::client::Failure;
use ami2amo::amo::notes::{self, ACCOUNT_PATH, KINDS, Kind, Note, PAGES_MAX, Page, Window};
use ami2amo::amo::pace::Purpose;
use ami2amo::amo::token;
use ami2amo::call::id::CallId;
use ami2amo::outbox::courier::aside::Question;
use ami2amo::outbox::courier::effect::{Effect, Now, Outcome, Posted, Probed, ReadBack, Token};
use ami2amo::outbox::queue::{BatchId, Phase, Queue as _, Seq, Settlement, State as Stage};
use ami2amo::time::HostTime;

use crate::answers::Answer;
use crate::coverage::{Came, Point, State};
use crate::disk::{Ask, Command, Told};
use crate::mutants::Mutant;
use crate::scenes::{MILLI, SECOND};
use crate::world::{World, mono_time, world_time};

/// What the courier's task is at.
#[derive(Debug)]
pub enum Doing {
    Poll(u64),
    /// The store is asked.
    Store,
    /// A POST waits for its turn.
    Turn {
        at: u64,
        batch: BatchId,
        body: Vec<u8>,
        request_ids: Vec<String>,
    },
    /// A request is out; what will have come of it.
    Flying {
        until: u64,
        post: u64,
        landing: Box<Landing>,
    },
    Wait(u64),
}

#[derive(Debug)]
pub enum Landing {
    Posted { batch: BatchId, reply: Result<Reply, Failure>, request_ids: Vec<String> },
    Outcome(Outcome),
}

/// The exchange that goes on, and where in it the process is to die.
#[derive(Debug, Default)]
pub struct Plan {
    pub state: Option<State>,
    pub came: Option<Came>,
    pub point: Point,
    /// The courier's question is in the open group: the point at which that is.
    pub group: Option<Point>,
    /// What was leased last, by its place in the queue.
    leased: BTreeMap<Seq, (Phase, u32)>,
}

const POST_POINTS: [Point; 7] = [
    Point::Leased,
    Point::IntentOpen,
    Point::Intended,
    Point::Flying,
    Point::Answered,
    Point::SettleOpen,
    Point::Settled,
];
/// How often in a thousand the disk is full when an intent is to be written.
const FULL_AT_INTENT: u64 = 15;

/// How often in a thousand the process dies in an exchange; more often in those that are rare.
fn deaths(state: State) -> u64 {
    match state {
        State::Fresh => 80,
        State::Again => 150,
        State::Parked => 300,
        State::Unknown => 100,
    }
}

impl crate::process::Process {
    pub fn courier_due(&self) -> Option<u64> {
        match &self.doing {
            Doing::Store => None,
            Doing::Poll(at) | Doing::Turn { at, .. } | Doing::Flying { until: at, .. } | Doing::Wait(at) => {
                Some(*at)
            }
        }
    }
}

impl World {
    fn moment(&self) -> Now {
        let open_at = self.process.as_ref().map(|process| process.pace.open_at()).unwrap_or_default();
        Now { host: self.clock.host(self.now), mono: mono_time(self.now), open_at, ..Now::default() }
    }

    /// The courier's turn.
    pub fn deliver(&mut self) {
        let now = self.now;
        let Some(process) = &mut self.process else { return };
        match std::mem::replace(&mut process.doing, Doing::Poll(now)) {
            Doing::Store => {}
            Doing::Poll(_) | Doing::Wait(_) => self.poll(),
            Doing::Turn { batch, body, request_ids, .. } => self.post(batch, body, request_ids),
            Doing::Flying { landing, post, .. } => self.land(*landing, post),
        }
    }

    fn poll(&mut self) {
        let moment = self.moment();
        let process = self.process.as_mut().expect("a courier polls in a process");
        let effect = process.courier.poll(moment);
        match effect {
            Effect::Adopt => self.ask(Ask::Adopt),
            Effect::Doubts { limit } => self.ask(Ask::Doubts(limit)),
            Effect::Look { limit } => {
                self.check_sending();
                self.ask(Ask::Look(limit));
            }
            Effect::Lease { limit } => self.ask(Ask::Lease(limit)),
            Effect::NextDue => self.ask(Ask::NextDue),
            Effect::Intend { calls } => self.intend(calls),
            Effect::Settle { rulings } => {
                let settlements: Vec<Settlement> =
                    rulings.into_iter().map(|ruling| ruling.settlement).collect();
                self.settle(settlements);
            }
            Effect::RenewToken => {
                let token = self.renew(self.now);
                self.flies(MILLI, Landing::Outcome(Outcome::Token(token)), 0);
            }
            Effect::Probe => self.probe(),
            Effect::ReadBack { since, uniqs } => self.read_back(since, &uniqs),
            Effect::Post { batch, body, request_ids } => self.post(batch, body, request_ids),
            Effect::Owing { limit } => self.ask(Ask::Owing(limit)),
            Effect::FindSounds { .. } | Effect::Amend { .. } => panic!("nobody records calls in this world"),
            Effect::ReadUnsorted | Effect::Search { .. } | Effect::Create { .. } => {
                panic!("the rules of this world park unknown numbers")
            }
            Effect::Ask(Question::Users) => self.ask_users(),
            Effect::Ask(Question::Foreign { kinds, window }) => self.ask_foreign(&kinds, window),
            Effect::Uncompared { .. } | Effect::ReadFeed { .. } | Effect::NoteCompared { .. } => {
                panic!("nobody else writes calls in this world")
            }
            Effect::Keep { .. } | Effect::Ask(_) => panic!("the rules of this world make no tasks"),
            Effect::Announce(standing) => self.note(|| format!("standing: {standing:?}")),
            Effect::Wait { until } => {
                let at = world_time(until).max(self.now + 1);
                self.doing(Doing::Wait(at));
            }
        }
    }

    fn doing(&mut self, doing: Doing) {
        if let Some(process) = &mut self.process {
            process.doing = doing;
        }
    }

    pub fn flies(&mut self, took: u64, landing: Landing, post: u64) {
        self.doing(Doing::Flying { until: self.now + took, post, landing: Box::new(landing) });
    }

    fn ask(&mut self, ask: Ask) {
        self.store.send(Command::Courier(ask));
        self.doing(Doing::Store);
    }

    /// The beginning of an exchange: it is decided how far it will come.
    fn intend(&mut self, calls: Vec<Seq>) {
        let process = self.process.as_ref().expect("a courier intends in a process");
        let first = calls.first().and_then(|seq| process.plan.leased.get(seq)).copied();
        let state = match first {
            Some((Phase::Parked, _)) => State::Parked,
            Some((_, 0)) => State::Fresh,
            _ => State::Again,
        };
        let point = self.plan_point(state, &POST_POINTS);
        let process = self.process.as_mut().expect("a courier intends in a process");
        process.plan = Plan { state: Some(state), point, group: Some(Point::IntentOpen), ..Plan::default() };
        if point == Point::Leased {
            return self.crash_as_planned();
        }
        if self.now < self.healthy_at && self.dice.chance(FULL_AT_INTENT) {
            self.store.full = Some((self.now, self.now + self.dice.between(5 * SECOND, 40 * SECOND)));
        }
        self.ask(Ask::Intend(calls));
    }

    /// At the head of a round no request is out, so no call may be on its way.
    fn check_sending(&mut self) {
        let sending = self.stats().by_phase.get(&Phase::Sending).copied().unwrap_or(0);
        if sending > 0 && self.store.is_open() {
            self.faults.push(format!("{sending} calls are left in sending at {}", self.now));
        }
    }

    fn plan_point(&mut self, state: State, among: &[Point]) -> Point {
        let dies = self.now < self.healthy_at && self.dice.chance(deaths(state));
        if dies { *self.dice.pick(among) } else { Point::None }
    }

    /// Answers that need several calls of several kinds are rare: what follows them is tried more often.
    fn plan_rare_crash(&mut self, answer: Answer) {
        let is_rare = matches!(
            answer,
            Answer::Mixed200 | Answer::Mixed400 | Answer::MixedUnnamed | Answer::MixedByTitle
        );
        let dies = self.now < self.healthy_at && self.dice.chance(if is_rare { 700 } else { 60 });
        let point = *self.dice.pick(&POST_POINTS[3..]);
        let process = self.process.as_mut().expect("a client posts in a process");
        if dies && process.plan.state.is_some() && process.plan.point == Point::None {
            process.plan.point = point;
        }
    }

    fn settle(&mut self, mut settlements: Vec<Settlement>) {
        if self.mutant == Some(Mutant::ResentBlindly) {
            for settlement in &mut settlements {
                if matches!(settlement.state, Stage::Unknown { looked: 0, .. }) {
                    settlement.state = Stage::Pending;
                }
            }
        }
        for settlement in &settlements {
            self.note(|| {
                format!("settled: {:?} {:?} {:?}", settlement.seq, settlement.state, settlement.last_error)
            });
        }
        let process = self.process.as_mut().expect("a courier settles in a process");
        process.plan.group = Some(Point::SettleOpen);
        self.ask(Ask::Settle(settlements));
    }

    /// The store answers the courier.
    pub fn told(&mut self, told: Told) {
        let now = self.now;
        let Some(process) = &mut self.process else { return };
        process.plan.group = None;
        let outcome = match told {
            Told::Adopted(count) => Outcome::Adopted(count),
            Told::Unknown(items) => Outcome::Unknown(items),
            Told::Doubts(items) => Outcome::Doubts(items),
            Told::Leased(items) => {
                let leased = items.iter().map(|item| (item.seq, (item.state.phase(), item.attempts)));
                process.plan.leased = leased.collect();
                process.writes_by_measure = process.measured;
                Outcome::Leased(items)
            }
            Told::NextDue(at) => Outcome::NextDue(at),
            Told::Owing(items) => Outcome::Owing(items),
            Told::Intended(batch) => Outcome::Intended(batch),
            Told::Settled => Outcome::Settled,
            Told::Failed(error) => Outcome::StoreFailed(error),
        };
        let planned = match outcome {
            Outcome::Intended(_) => Point::Intended,
            Outcome::Settled => Point::Settled,
            _ => Point::None,
        };
        if planned != Point::None && process.plan.point == planned {
            return self.crash_as_planned();
        }
        process.doing = Doing::Poll(now);
        self.hand(outcome);
    }

    fn hand(&mut self, outcome: Outcome) {
        let is_settled = matches!(outcome, Outcome::Settled);
        let moment = self.moment();
        let Some(process) = &mut self.process else { return };
        process.courier.handle(outcome, moment);
        if is_settled {
            self.tell_exchange();
        }
    }

    /// Calls were enqueued.
    pub fn arrived(&mut self) {
        let now = self.now;
        let Some(process) = &mut self.process else { return };
        if matches!(process.doing, Doing::Wait(_)) {
            process.doing = Doing::Poll(now);
            self.hand(Outcome::Arrived);
        }
    }

    /// The exchange is over: it counts.
    fn tell_exchange(&mut self) {
        let Some(process) = &mut self.process else { return };
        let Plan { state, came, point, .. } = std::mem::take(&mut process.plan);
        if let (Some(state), Some(came)) = (state, came) {
            // A crash that was planned and did not come: the store failed, and the way was another.
            self.coverage.exchanged(state, came, if point == Point::None { point } else { Point::None });
        }
    }

    pub fn crash_as_planned(&mut self) {
        let Some(process) = &mut self.process else { return };
        let Plan { state, came, point, .. } = std::mem::take(&mut process.plan);
        if let Some(state) = state {
            self.coverage.exchanged(state, came.unwrap_or(Came::NoRequest), point);
        }
        self.crash(&format!("as planned: {state:?} {came:?} {point:?}"));
    }

    // ---- HTTP: what the client does ------------------------------------------------------------

    fn post(&mut self, batch: BatchId, body: Vec<u8>, request_ids: Vec<String>) {
        let token = match self.token(self.now) {
            Ok(token) => token,
            Err(words) => {
                let landing = Landing::Outcome(Outcome::Posted { batch, posted: Posted::NoToken(words) });
                return self.flies(MILLI, landing, 0);
            }
        };
        let mono = mono_time(self.now);
        let process = self.process.as_mut().expect("a client posts in a process");
        if self.mutant != Some(Mutant::PaceIgnored)
            && let Err(later) = process.pace.take(mono)
        {
            let at = world_time(later);
            return self.doing(Doing::Turn { at, batch, body, request_ids });
        }
        let (number, measured) = (process.number, process.writes_by_measure);
        self.check_posted(&body);
        let exchange = self.amo.post(self.now, number, token.expose(), &body);
        if !measured {
            self.unmeasured.insert(exchange.post);
        }
        self.note(|| format!("POST of {}: {:?}", request_ids.len(), exchange.answer));
        self.flies(
            exchange.took,
            Landing::Posted { batch, reply: exchange.reply, request_ids },
            exchange.post,
        );
        let process = self.process.as_mut().expect("a client posts in a process");
        process.plan.came = Some(Came::Posted(exchange.answer));
        self.plan_rare_crash(exchange.answer);
        self.plan_crash_in_flight(exchange.took);
    }

    /// No call is posted without a durable intent.
    fn check_posted(&mut self, body: &[u8]) {
        let entries: Vec<serde_json::Value> = serde_json::from_slice(body).expect("the body is JSON");
        for entry in &entries {
            let uniq = crate::amocrm::text(entry, "uniq");
            let found = self.store.queue().find(&CallId::from_text(uniq.clone())).expect("the model answers");
            if found.map(|item| item.state.phase()) != Some(Phase::Sending) {
                self.faults.push(format!("{uniq} is posted without an intent"));
            }
        }
    }

    fn plan_crash_in_flight(&mut self, took: u64) {
        let process = self.process.as_mut().expect("something flies in a process");
        if process.plan.point == Point::Flying {
            let at = self.now + self.dice.between(0, took);
            self.doing_dies_at(at);
        }
    }

    fn doing_dies_at(&mut self, at: u64) {
        let Some(process) = &mut self.process else { return };
        if let Doing::Flying { until, .. } = &mut process.doing {
            *until = at.min(*until);
        }
    }

    fn land(&mut self, landing: Landing, post: u64) {
        let process = self.process.as_mut().expect("something lands in a process");
        if process.plan.point == Point::Flying {
            self.amo.cut_off(post, self.now);
            return self.crash_as_planned();
        }
        let outcome = match landing {
            Landing::Posted { batch, reply, request_ids } => {
                Outcome::Posted { batch, posted: self.posted(reply, &request_ids) }
            }
            Landing::Outcome(outcome) => outcome,
        };
        let process = self.process.as_mut().expect("something lands in a process");
        if process.plan.point == Point::Answered
            && matches!(outcome, Outcome::Posted { .. } | Outcome::ReadBack(_))
        {
            return self.crash_as_planned();
        }
        process.doing = Doing::Poll(self.now);
        self.hand(outcome);
    }

    fn posted(&mut self, reply: Result<Reply, Failure>, request_ids: &[String]) -> Posted {
        match reply {
            Ok(reply) => {
                self.learn(&reply, Purpose::Account, self.now);
                let mut answer = answer::read(&reply, request_ids);
                let stored = Fate::Stored { note_id: None, entity: None };
                let any = answer.fates.iter().any(|fate| matches!(fate, Fate::Stored { .. }));
                let ignored = self.mutant == Some(Mutant::RequestIdsIgnored) && any;
                if ignored || (self.mutant == Some(Mutant::TooManyIsDone) && reply.status == 429) {
                    answer.fates.fill(stored);
                }
                Posted::Answered { status: reply.status, answer }
            }
            Err(Failure::NoToken(words)) => Posted::NoToken(words),
            Err(Failure::NotSent(words)) => Posted::NotSent(words),
            Err(Failure::Quiet) => Posted::Quiet,
            Err(Failure::Unknown(words)) => Posted::Lost(words),
        }
    }

    fn probe(&mut self) {
        let mut at = self.now;
        let probed = match self.get(&mut at, ACCOUNT_PATH) {
            Ok((reply, _)) => Probed::Answered(notes::read_account(&reply)),
            Err((Failure::NoToken(words), _)) => Probed::NoToken(words),
            Err((failure @ (Failure::NotSent(_) | Failure::Unknown(_) | Failure::Quiet), _)) => {
                Probed::Silent(failure.to_string())
            }
        };
        self.note(|| format!("probed: {probed:?}"));
        self.flies((at - self.now).max(1), Landing::Outcome(Outcome::Probed(probed)), 0);
    }

    fn read_back(&mut self, since: HostTime, uniqs: &BTreeSet<String>) {
        let point = self.plan_point(State::Unknown, &POST_POINTS[3..]);
        let mut at = self.now;
        let since = if self.mutant == Some(Mutant::SearchedTooLate) {
            self.clock.host(self.now + 40 * 60 * SECOND)
        } else {
            since
        };
        let (found, came) = self.find_notes(&mut at, since, uniqs);
        self.note(|| format!("looked for {uniqs:?}: {found:?}"));
        let process = self.process.as_mut().expect("a client looks in a process");
        process.plan = Plan { state: Some(State::Unknown), came: Some(came), point, ..Plan::default() };
        let took = (at - self.now).max(1);
        self.flies(took, Landing::Outcome(Outcome::ReadBack(found)), 0);
        self.plan_crash_in_flight(took);
    }

    fn find_notes(&mut self, at: &mut u64, since: HostTime, wanted: &BTreeSet<String>) -> (ReadBack, Came) {
        let (reply, answer) = match self.get(at, ACCOUNT_PATH) {
            Ok(reply) => reply,
            Err((failure, answer)) => return (silent(failure), Came::Looked(answer)),
        };
        let probe = notes::read_account(&reply);
        if probe.account != Account::Fine {
            let refused = ReadBack::Refused { account: probe.account, words: probe.words };
            return (refused, Came::Looked(answer));
        }
        let now = self.clock.host(*at);
        let ahead = reply.date.map_or(0, |theirs| theirs.micros().saturating_sub(now.micros()));
        let window = Window::new(since, now, ahead);
        let mut found = BTreeMap::new();
        for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Customer || probe.customers) {
            if let Err(ended) = self.find_on(at, kind, window, wanted, &mut found) {
                return ended;
            }
            if found.len() == wanted.len() {
                break;
            }
        }
        let came = match found.len() {
            0 => Came::FoundNone,
            some if some < wanted.len() => Came::FoundSome,
            _ => Came::Found,
        };
        (ReadBack::Complete(found), came)
    }

    fn find_on(
        &mut self,
        at: &mut u64,
        kind: Kind,
        window: Window,
        wanted: &BTreeSet<String>,
        found: &mut BTreeMap<String, Note>,
    ) -> Result<(), (ReadBack, Came)> {
        for page in 1..=PAGES_MAX {
            let asked = self.get(at, &notes::path(kind, window, page));
            let (reply, answer) =
                asked.map_err(|(failure, answer)| (silent(failure), Came::Looked(answer)))?;
            match notes::read(&reply, kind, wanted) {
                Page::Notes { found: here, more } => {
                    found.extend(here);
                    if !more || found.len() == wanted.len() {
                        return Ok(());
                    }
                }
                Page::Unread { account, words } => {
                    return Err((unread(account, words), Came::Looked(answer)));
                }
            }
        }
        Err((ReadBack::Unreadable("too many pages".to_owned()), Came::FoundNone))
    }

    /// One question, at `at` or when its turn comes; moves `at` to the answer.
    pub fn get(&mut self, at: &mut u64, path: &str) -> Result<(Reply, Answer), (Failure, Answer)> {
        let token = self.token(*at).map_err(|words| (Failure::NoToken(words), Answer::Unauthorized))?;
        let process = self.process.as_mut().expect("a client asks in a process");
        while self.mutant != Some(Mutant::PaceIgnored)
            && let Err(later) = process.pace.take(mono_time(*at))
        {
            *at = world_time(later);
        }
        let exchange = self.amo.get(*at, process.number, token.expose(), path);
        *at += exchange.took;
        match exchange.reply {
            Ok(reply) => {
                self.learn(&reply, Purpose::of_reading(path), *at);
                Ok((reply, exchange.answer))
            }
            Err(failure) => Err((failure, exchange.answer)),
        }
    }

    fn token(&mut self, at: u64) -> Result<token::Token, String> {
        let process = self.process.as_ref().expect("a token is for a process");
        if let Some(token) = process.life.token() {
            return Ok(token.clone());
        }
        if let Token::Absent(words) = self.read_token(at) {
            return Err(words);
        }
        let process = self.process.as_ref().expect("a token is for a process");
        process.life.token().cloned().ok_or_else(|| "there is no token".to_owned())
    }

    fn renew(&mut self, at: u64) -> Token {
        if self.mutant == Some(Mutant::TokenNotReadAgain) { Token::Same } else { self.read_token(at) }
    }

    fn read_token(&mut self, at: u64) -> Token {
        let text = self.token_in_file(at);
        let process = self.process.as_mut().expect("a token is for a process");
        match text.as_deref().map(token::Token::parse) {
            Some(Ok(token)) => {
                if process.life.offer(token) {
                    Token::Another
                } else {
                    Token::Same
                }
            }
            Some(Err(error)) => Token::Absent(error.to_string()),
            None => Token::Absent("there is no file".to_owned()),
        }
    }

    /// What the client learns from every answer.
    fn learn(&mut self, reply: &Reply, purpose: Purpose, at: u64) {
        let mono = mono_time(at);
        let jitter = self.dice.part();
        let json = json_object(&reply.body);
        let lost = self.mutant == Some(Mutant::RetryAfterLost);
        let is_heard = self.mutant != Some(Mutant::BanUnheard);
        let process = self.process.as_mut().expect("a client learns in a process");
        match reply.status {
            429 => {
                let retry_after = match answer::account(reply, json.as_ref()) {
                    Account::TooMany { retry_after } => retry_after.filter(|_| !lost),
                    _ => None,
                };
                process.pace.too_many(mono, retry_after, jitter);
            }
            403 if json.is_none() && is_heard => process.pace.banned(mono, purpose),
            403 if json.is_none() => {}
            _ => process.pace.passed(mono),
        }
        if let Some(token) = process.life.token().cloned() {
            match reply.status {
                401 => process.life.refuse(&token),
                200..=299 => process.life.accept(&token),
                _ => {}
            }
        }
    }
}

pub fn silent<T>(failure: Failure) -> ReadBack<T> {
    match failure {
        Failure::NoToken(words) => ReadBack::NoToken(words),
        failure @ (Failure::NotSent(_) | Failure::Unknown(_) | Failure::Quiet) => {
            ReadBack::Silent(failure.to_string())
        }
    }
}

pub fn unread<T>(account: Account, words: String) -> ReadBack<T> {
    match account {
        Account::Unauthorized | Account::Banned | Account::TooMany { .. } => {
            ReadBack::Refused { account, words }
        }
        Account::Fine | Account::Unpaid | Account::Forbidden | Account::ServerTrouble | Account::NotAmo => {
            ReadBack::Unreadable(words)
        }
    }
}
