//! The courier task with the fake amoCRM before it and a queue in memory behind it.

#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ami2amo::amo::client::{Client, Clock, TokenSource};
use ami2amo::amo::pace::Pace;
use ami2amo::amo::settings::Settings;
use ami2amo::call::id::AccountId;
use ami2amo::call::record::FinishedCall;
use ami2amo::clock;
use ami2amo::outbox::courier::Rules;
use ami2amo::outbox::courier::sound::LateLinks;
use ami2amo::outbox::courier::standing::Standing;
use ami2amo::outbox::courier::task::{Sounds, Task};
use ami2amo::outbox::courier::watch::Foreigners;
use ami2amo::outbox::finder::Finder;
use ami2amo::outbox::policy::Policy;
use ami2amo::outbox::queue::{Item, Phase, Seq};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::queue::Queue;
use crate::samples;

pub struct Daemon {
    pub queue: Queue,
    pub standing: watch::Receiver<Standing>,
    pub links: watch::Receiver<LateLinks>,
    arrivals: Arc<Notify>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// What a test changes of the usual set-up.
pub struct Setup {
    pub amo: Value,
    pub delivery: Value,
    pub queue: Queue,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Setup {
    /// Everything in milliseconds that is seconds and minutes in earnest.
    pub fn new(base_url: &str) -> Self {
        Self {
            amo: json!({"base-url": base_url, "token": "test.token", "requests-per-second": 1000,
                "connect-timeout": "2s", "request-timeout": "300ms", "default-user": 504_141}),
            delivery: json!({"note-lag": "60ms", "retry-first": "10ms", "retry-max": "50ms",
                "probe-first": "20ms", "probe-max": "50ms", "parked-retries": ["50ms"], "stop-timeout": "10s"}),
            queue: Queue::default(),
        }
    }

    pub fn amo(mut self, key: &str, value: Value) -> Self {
        self.amo[key] = value;
        self
    }

    pub fn delivery(mut self, key: &str, value: Value) -> Self {
        self.delivery[key] = value;
        self
    }

    pub fn token_file(mut self, path: &std::path::Path) -> Self {
        self.amo.as_object_mut().unwrap().remove("token");
        self.amo("token-file", json!(path))
    }

    pub fn start(self) -> Daemon {
        let amo: Settings = serde_json::from_value(self.amo).unwrap();
        let delivery: Policy = serde_json::from_value(self.delivery).unwrap();
        let clock = Clock { host: clock::host, mono: clock::mono };
        let pace = Arc::new(Mutex::new(Pace::new(amo.requests_per_second)));
        let source = TokenSource::choose(&amo, None).unwrap();
        let client = Client::new(&amo, source, pace, clock).unwrap();
        let (standing, seen) = watch::channel(Standing::Starting);
        let foreigners = watch::channel(Foreigners::default()).0;
        let (links, links_seen) = watch::channel(LateLinks::default());
        let arrivals = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let task = Task {
            account: AccountId::default(),
            outbox: self.queue.clone(),
            client: Arc::new(client),
            clock,
            rules: watch::channel(Arc::new(Rules { amo, delivery })).1,
            offsets: watch::channel(Arc::new(BTreeMap::new())).1,
            arrivals: Arc::clone(&arrivals),
            sounds: Sounds { finder: Finder::default(), utc_offset: || 3 * 3600, links },
            foreigners,
            standing,
            stop: stop.clone(),
        };
        Daemon {
            queue: self.queue,
            standing: seen,
            links: links_seen,
            arrivals,
            stop,
            task: tokio::spawn(task.run()),
        }
    }
}

impl Daemon {
    /// Calls end: they are enqueued and the courier is told.
    pub fn enqueue(&self, calls: impl IntoIterator<Item = FinishedCall>) -> Vec<Seq> {
        let seqs = calls.into_iter().map(|call| self.queue.enqueue(call, clock::host())).collect();
        self.arrivals.notify_one();
        seqs
    }

    pub async fn wait_for_phases(&self, expected: &[Phase]) {
        self.wait_until(|| self.queue.phases() == expected, || format!("{:#?}", self.queue.items())).await;
    }

    pub async fn wait_for_item(&self, at: usize, is_so: impl Fn(&Item) -> bool) {
        let is_so = || self.queue.items().get(at).is_some_and(&is_so);
        self.wait_until(is_so, || format!("{:#?}", self.queue.items())).await;
    }

    /// Waits until `is_so`, which looks at what tells nobody of its changes.
    pub async fn wait_for(&self, is_so: impl Fn() -> bool) {
        self.wait_until(is_so, || format!("{:#?}", self.queue.items())).await;
    }

    pub async fn wait_for_standing(&mut self, is_so: impl Fn(&Standing) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, self.standing.wait_for(|standing| is_so(standing)));
        assert!(waited.await.is_ok(), "{:?}", self.standing.borrow());
    }

    /// Asks the courier to end, without waiting for it.
    pub fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    pub async fn stop(self) -> Queue {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the task ends").expect("without a panic");
        self.queue
    }

    /// The process dies: nothing is settled any more.
    pub async fn kill(self) -> Queue {
        self.task.abort();
        let _ = self.task.await;
        self.queue
    }

    /// Queues in memory tell nobody of their changes, so this looks again every few milliseconds.
    async fn wait_until(&self, is_so: impl Fn() -> bool, describe: impl Fn() -> String) {
        let begun = clock::mono();
        while !is_so() {
            assert!(clock::mono().since(begun) < PATIENCE, "it did not happen: {}", describe());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// An answered inbound call of this number.
pub fn call(number: u64, phone: &str) -> FinishedCall {
    let mut call = samples::call(&format!("1795337591.{number}"));
    call.record.phone = Some(phone.to_owned());
    call
}

/// `count` calls of as many numbers.
pub fn calls(count: u64) -> Vec<FinishedCall> {
    (1..=count).map(|number| call(number, &format!("7916{number:07}"))).collect()
}
