//! A stateful, strict amoCRM on loopback, for tests and the sandbox.
//!
//! It knows the token, the contacts and the users it was told of, refuses what the real one
//! refuses, stores calls as notes (twice when they come twice, as the real one does) and lists
//! them. Faults are queued by the test: each is used up by the requests that it fits.

#![allow(dead_code, reason = "each test and the sandbox use a part")]
#![expect(clippy::disallowed_methods, reason = "it is another machine, with a clock of its own")]

#[path = "fake_amo/api.rs"]
mod api;
#[path = "fake_amo/change.rs"]
mod change;
#[path = "fake_amo/net.rs"]
mod net;
#[path = "fake_amo/staff.rs"]
mod staff;
#[path = "fake_amo/strict.rs"]
mod strict;
#[path = "fake_amo/tasks.rs"]
mod tasks;
#[path = "fake_amo/unknown.rs"]
mod unknown;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{Notify, watch};

use api::{Asked, kind_of_plural};
pub use change::Changes;
pub use staff::Staff;
pub use tasks::Task;
pub use unknown::{Contact, Decided, Lead, Unsorted};

/// What the account holds and how it behaves.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    pub token: String,
    pub known: Known,
    /// User ids that may be named, and are listed; any, when `None`, and then nobody is listed.
    pub users: Option<Vec<u64>>,
    pub staff: Staff,
    /// Answer any pace. The real one allows 7 requests a second.
    pub relaxed_pace: bool,
    pub customers: bool,
    /// The status of an answer that stores some calls and refuses others; nobody knows the real one.
    pub mixed_status: u16,
    /// Notes on a page, at most.
    pub page_max: usize,
    /// Incoming leads are on.
    pub unsorted: bool,
    /// An item without a link is refused; nobody knows whether the real one does.
    pub unsorted_wants_link: bool,
    /// How long an item stays out of the list.
    pub unsorted_lag: Duration,
    /// How long a task stays out of the list.
    pub task_lag: Duration,
    /// How notes are changed.
    pub changes: Changes,
    /// The longest `call_result`; nobody knows the real one.
    pub result_max: usize,
    /// How far its clock is ahead of ours, in seconds.
    pub ahead: i64,
    /// How long each answer takes.
    pub latency: Duration,
    /// Another integration of this name writes each call that is posted, too.
    pub twin: Option<&'static str>,
}

/// The numbers that belong to somebody.
#[derive(Clone, Debug)]
pub enum Known {
    /// Every number has a contact.
    Everyone,
    /// These, by their last ten digits.
    Only(Vec<(String, &'static str)>),
}

/// A request that does not go well.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub on: On,
    /// How many requests it spoils.
    pub times: u32,
    pub what: What,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum On {
    Any,
    Post,
    Notes,
    /// What changes notes.
    Change,
    Account,
    /// What makes items of Incoming leads.
    Unsorted,
    UnsortedList,
    Contacts,
    /// The search for contacts.
    Search,
    Leads,
    Users,
    /// One contact, company, lead or customer.
    Entity,
    /// What makes tasks.
    Tasks,
    TaskList,
    /// What closes a task.
    TaskChange,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum What {
    /// This status with a problem document; nothing is stored.
    Status(u16),
    /// This status with the gateway's page; nothing is stored.
    Page(u16),
    /// This status with errors that name no call; nothing is stored.
    Errors(u16),
    TooMany {
        retry_after: Option<u64>,
    },
    /// The call at this place breaks a rule.
    Validation(usize),
    /// The connection breaks before anything is stored.
    ResetBefore,
    /// Everything is stored, and the connection breaks.
    ResetAfter,
    /// Nothing is stored and nothing answered.
    HangBefore,
    /// Everything is stored and nothing answered.
    HangAfter,
    /// Everything is stored; half of the answer comes.
    Truncated,
    /// Everything is stored; the answer is no JSON.
    Garbage,
    /// Everything is stored; the gateway gives up.
    PageAfter(u16),
    /// The list is empty although it should not be.
    Empty,
    /// Everything is done and the answer waits for [`FakeAmo::release`].
    Gate,
}

/// A stored call.
#[derive(Clone, Debug)]
pub struct Note {
    pub id: u64,
    pub entity_kind: &'static str,
    pub entity_id: u64,
    /// The server's second of storing.
    pub updated_at: i64,
    /// The call as it was posted.
    pub call: Value,
}

impl Note {
    pub fn uniq(&self) -> &str {
        self.call["uniq"].as_str().unwrap_or_default()
    }

    pub fn phone(&self) -> &str {
        self.call["phone"].as_str().unwrap_or_default()
    }
}

/// A request as it came and was answered.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// The answer's status; 0 when there was none.
    pub status: u16,
    pub body: Value,
    pub at: Instant,
}

/// The running fake.
#[derive(Debug)]
pub struct FakeAmo {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Counts changes, for those who wait.
    changed: watch::Sender<u64>,
    connections: net::Connections,
    gate: Notify,
}

/// What happened so far.
#[derive(Debug)]
pub struct State {
    options: Options,
    pub notes: Vec<Note>,
    pub unsorted: Vec<Unsorted>,
    pub contacts: Vec<Contact>,
    pub leads: Vec<Lead>,
    pub tasks: Vec<Task>,
    pub requests: Vec<Request>,
    /// What the real one would have refused.
    pub violations: Vec<String>,
    faults: VecDeque<Fault>,
    next_id: u64,
}

/// How long a test waits for what must happen; never reached in a good run.
const PATIENCE: Duration = Duration::from_secs(20);

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: "test.token".to_owned(),
            known: Known::Everyone,
            users: None,
            staff: Staff::default(),
            relaxed_pace: true,
            customers: true,
            mixed_status: 200,
            page_max: 250,
            unsorted: true,
            unsorted_wants_link: false,
            unsorted_lag: Duration::ZERO,
            task_lag: Duration::ZERO,
            changes: Changes::Listed,
            result_max: 255,
            ahead: 0,
            latency: Duration::ZERO,
            twin: None,
        }
    }
}

/// Starts listening.
pub async fn start(options: Options) -> FakeAmo {
    let listener = tokio::net::TcpListener::bind(options.addr).await.expect("the port is free");
    let addr = listener.local_addr().expect("a bound listener has an address");
    let state = State {
        options,
        notes: Vec::new(),
        unsorted: Vec::new(),
        contacts: Vec::new(),
        leads: Vec::new(),
        tasks: Vec::new(),
        requests: Vec::new(),
        violations: Vec::new(),
        faults: VecDeque::new(),
        next_id: 37_512_063,
    };
    let connections = net::Connections::default();
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        changed: watch::Sender::new(0),
        connections: connections.clone(),
        gate: Notify::new(),
    });
    let app = api::router(Arc::clone(&shared));
    let listener = net::Breakable::new(listener, connections);
    let server = tokio::spawn(async move {
        let app = app.into_make_service_with_connect_info::<net::Connection>();
        axum::serve(listener, app).await.expect("serving ends with the task only");
    });
    FakeAmo { addr, shared, server }
}

impl FakeAmo {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Every stored call, in order.
    pub fn calls(&self) -> Vec<Note> {
        self.shared.state().notes.clone()
    }

    /// Every request, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// The posted batches, stored or not.
    pub fn posts(&self) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.method == "POST").collect()
    }

    pub fn violations(&self) -> Vec<String> {
        self.shared.state().violations.clone()
    }

    /// Spoils the next `times` requests that fit.
    pub fn fault(&self, on: On, times: u32, what: What) {
        self.shared.state().faults.push_back(Fault { on, times, what });
    }

    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// Lets an answer go that [`What::Gate`] holds.
    pub fn release(&self) {
        self.shared.gate.notify_one();
    }

    pub fn set_changes(&self, changes: Changes) {
        self.shared.state().options.changes = changes;
    }

    /// The requests that changed notes, or were to.
    pub fn changes(&self) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.method == "PATCH").collect()
    }

    pub fn set_token(&self, token: &str) {
        token.clone_into(&mut self.shared.state().options.token);
    }

    /// A contact appears.
    pub fn add_contact(&self, phone: &str) {
        if let Known::Only(known) = &mut self.shared.state().options.known {
            known.push((last_ten(phone), "contact"));
        }
    }

    /// A person accepts the open item of a number.
    pub fn accept(&self, number: &str) {
        self.shared.state().decide(number, Decided::Accepted);
    }

    /// A person declines the open item of a number.
    pub fn decline(&self, number: &str) {
        self.shared.state().decide(number, Decided::Declined);
    }

    /// Every item of Incoming leads, decided on or not.
    pub fn unsorted(&self) -> Vec<Unsorted> {
        self.shared.state().unsorted.clone()
    }

    pub fn contacts(&self) -> Vec<Contact> {
        self.shared.state().contacts.clone()
    }

    pub fn leads(&self) -> Vec<Lead> {
        self.shared.state().leads.clone()
    }

    /// Every task, done or not.
    pub fn tasks(&self) -> Vec<Task> {
        self.shared.state().tasks.clone()
    }

    /// A person does a task.
    pub fn finish_task(&self, id: u64, words: &str) {
        let mut state = self.shared.state();
        let task = state.tasks.iter_mut().find(|task| task.id == id).expect("there is such a task");
        task.result = Some(words.to_owned());
    }

    /// Somebody is switched off.
    pub fn switch_off(&self, user: u64) {
        self.shared.state().options.staff.inactive.push(user);
    }

    /// Stores a call as if it had been posted before.
    pub fn store(&self, call: Value) {
        let mut state = self.shared.state();
        let (kind, id) = state.find(call["phone"].as_str().unwrap_or_default()).unwrap_or(("contact", 1));
        state.store(call, kind, id);
    }

    /// Another integration writes a call.
    pub fn write(&self, source: &str, phone: &str, at: i64, duration: u64) {
        self.store(serde_json::json!({"direction": "inbound", "phone": phone, "source": source,
            "created_at": at, "duration": duration}));
    }

    /// Waits until `is_so`; panics with what happened when it takes too long.
    pub async fn wait_for(&self, is_so: impl Fn(&State) -> bool) {
        let happened = self.wait_within(PATIENCE, is_so).await;
        let state = self.shared.state();
        assert!(happened, "it did not happen: {:#?} {:#?}", state.requests, state.violations);
    }

    /// Waits until `is_so`, for no longer than `patience`; returns whether it is.
    pub async fn wait_within(&self, patience: Duration, is_so: impl Fn(&State) -> bool) -> bool {
        let mut changed = self.shared.changed.subscribe();
        let waited = tokio::time::timeout(patience, async {
            while !is_so(&self.shared.state()) {
                changed.changed().await.expect("the fake outlives its users");
            }
        });
        waited.await.is_ok()
    }

    /// Stops answering and breaks every connection.
    pub async fn shutdown(self) {
        self.server.abort();
        let _ = self.server.await;
        self.shared.connections.break_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn record(&self, request: Request) {
        self.state().requests.push(request);
        self.changed.send_modify(|changes| *changes += 1);
    }
}

impl State {
    /// Requests that were posted and how they were answered: `(method, status)`.
    pub fn statuses(&self, method: &str) -> Vec<u16> {
        self.requests
            .iter()
            .filter(|request| request.method == method)
            .map(|request| request.status)
            .collect()
    }

    fn find(&self, phone: &str) -> Option<(&'static str, u64)> {
        let digits = last_ten(phone);
        let id = id_of(&digits);
        match &self.options.known {
            Known::Everyone => Some(("contact", id)),
            Known::Only(known) => {
                let listed = known.iter().find(|(number, _)| last_ten(number) == digits);
                listed.map(|(_, kind)| (*kind, id)).or_else(|| self.made(&digits))
            }
        }
    }

    fn store(&mut self, call: Value, entity_kind: &'static str, entity_id: u64) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.notes.push(Note {
            id,
            entity_kind,
            entity_id,
            // One that a test stores may be older.
            updated_at: call["updated_at"].as_i64().unwrap_or_else(|| unix_seconds() + self.options.ahead),
            call,
        });
        id
    }

    /// The fault that this request meets.
    fn next_fault(&mut self, on: On) -> Option<What> {
        let index = self.faults.iter().position(|fault| fault.on == on || fault.on == On::Any)?;
        let fault = &mut self.faults[index];
        fault.times -= 1;
        let what = fault.what;
        if fault.times == 0 {
            self.faults.remove(index);
        }
        Some(what)
    }

    /// More than 7 requests in the second that ends now.
    fn is_too_fast(&self, now: Instant) -> bool {
        let second = Duration::from_secs(1);
        let recent = self.requests.iter().rev().take_while(|request| now.duration_since(request.at) < second);
        !self.options.relaxed_pace && recent.count() >= 7
    }
}

/// The id of whoever has the number.
fn id_of(digits: &str) -> u64 {
    digits.bytes().fold(7_u64, |id, digit| (id * 31 + u64::from(digit)) % 100_000_000)
}

fn last_ten(phone: &str) -> String {
    let digits: Vec<char> = phone.chars().filter(char::is_ascii_digit).collect();
    digits[digits.len().saturating_sub(10)..].iter().collect()
}

fn unix_seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("it is after 1970").as_secs()).expect("and long before the end of time")
}
