//! OAuth tokens: exchanged in time and once, kept before they are used, and over when amoCRM says so.
#![cfg(feature = "daemon")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/captured_log.rs"]
mod captured_log;
#[path = "support/fake_oauth.rs"]
mod fake_oauth;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use ami2amo::amo::answer::Account;
use ami2amo::amo::client::granter::Granter;
use ami2amo::amo::client::safe::{PairFile, Promise, Safe};
use ami2amo::amo::client::{self, Client, Clock, Failure, Renewal};
use ami2amo::amo::pace::Pace;
use ami2amo::amo::settings::Settings;
use ami2amo::amo::token::Token;
use ami2amo::amo::token::pair::Pair;
use ami2amo::call::id::AccountId;
use ami2amo::clock;
use ami2amo::time::HostTime;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use captured_log::Log;
use fake_oauth::{FakeOAuth, Fault, start};

// The clock of these tests, in seconds after the machine's. Each test has a thread of its own, and so a
// clock of its own.
thread_local! {
    static AHEAD_S: AtomicI64 = const { AtomicI64::new(0) };
}

fn host() -> HostTime {
    let ahead = AHEAD_S.with(|ahead| ahead.load(Ordering::SeqCst));
    HostTime::from_micros(clock::host().micros() + ahead * 1_000_000)
}

fn pass_hours(hours: i64) {
    AHEAD_S.with(|ahead| ahead.fetch_add(hours * 3600, Ordering::SeqCst));
}

/// A safe in memory, which may be broken.
#[derive(Debug, Default)]
struct Memory {
    kept: Mutex<Option<Vec<u8>>>,
    broken: AtomicBool,
}

impl Memory {
    fn pair(&self) -> Option<Pair> {
        self.kept.lock().unwrap().as_deref().map(|bytes| Pair::read(bytes).unwrap())
    }
}

impl Safe for Memory {
    fn fetch<'a>(&'a self, _account: &'a AccountId) -> Promise<'a, Option<Vec<u8>>> {
        Box::pin(async { Ok(self.kept.lock().unwrap().clone()) })
    }

    fn keep<'a>(&'a self, _account: &'a AccountId, pair: Vec<u8>) -> Promise<'a, ()> {
        Box::pin(async {
            if self.broken.load(Ordering::SeqCst) {
                return Err("no room".to_owned());
            }
            *self.kept.lock().unwrap() = Some(pair);
            Ok(())
        })
    }
}

struct World {
    fake: FakeOAuth,
    dir: TempDir,
    safe: Arc<Memory>,
    settings: Settings,
}

impl World {
    /// An account whose code was exchanged.
    async fn granted() -> Self {
        let world = Self::new().await;
        world.authorize().await.unwrap();
        world
    }

    async fn new() -> Self {
        let fake = start().await;
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(&fake.base_url(), dir.path());
        Self { fake, dir, safe: Arc::default(), settings }
    }

    async fn authorize(&self) -> Result<Pair, String> {
        let app = self.settings.oauth.as_ref().unwrap();
        let code = Token::parse("c0de").unwrap();
        client::authorize(&self.settings, app, &code, &self.file(), pace(), CLOCK).await.unwrap()
    }

    fn file(&self) -> PairFile {
        PairFile::of(self.dir.path(), &AccountId::default())
    }

    fn kept(&self) -> Pair {
        self.file().read().unwrap().unwrap()
    }

    /// A daemon's client, as after a start.
    fn client(&self) -> Client {
        let app = self.settings.oauth.clone().unwrap();
        let configured = self.settings.check().unwrap().clone();
        let safe: Arc<dyn Safe> = Arc::clone(&self.safe) as Arc<dyn Safe>;
        let granter = Granter::new(AccountId::default(), app, configured, self.file(), Some(safe));
        Client::new(&self.settings, granter, pace(), CLOCK).unwrap()
    }

    fn exchanges(&self) -> usize {
        self.fake.asked("/oauth2/access_token")
    }
}

const CLOCK: Clock = Clock { host, mono: clock::mono };

fn pace() -> Arc<Mutex<Pace>> {
    Arc::new(Mutex::new(Pace::new(1000)))
}

fn settings(base_url: &str, dir: &Path) -> Settings {
    let secret = dir.join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    serde_json::from_value(json!({"base-url": base_url, "requests-per-second": 1000, "request-timeout": "5s",
        "oauth": {"client-id": "id", "client-secret-file": secret, "redirect-uri": "https://example.org/"}}))
    .unwrap()
}

async fn works(client: &Client) -> bool {
    client.account().await.is_ok_and(|probe| probe.account == Account::Fine)
}

#[tokio::test]
async fn a_code_is_exchanged_once_and_its_tokens_are_used_and_kept_in_both_places() {
    let world = World::granted().await;
    let refused = world.authorize().await.unwrap_err();
    assert!(
        refused.contains("amoCRM refuses the code") && refused.contains("Token has been revoked"),
        "{refused}"
    );
    assert!(works(&world.client()).await);
    assert_eq!(world.safe.pair(), Some(world.kept()));
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test]
async fn without_a_code_it_is_said_what_to_do() {
    let world = World::new().await;
    let Err(Failure::NoToken(words)) = world.client().account().await else { panic!("there is no token") };
    assert!(words.contains("ami2amo auth --code CODE"), "{words}");
    assert_eq!(world.fake.state().requests, []);
}

#[tokio::test]
async fn a_token_is_exchanged_before_its_end_and_the_next_start_has_the_new_one() {
    let world = World::granted().await;
    let client = world.client();
    assert!(works(&client).await);
    let first = world.kept();
    pass_hours(23);
    assert!(works(&client).await);
    let second = world.kept();
    assert!(second.serial > first.serial);
    assert_eq!((world.safe.pair(), world.exchanges()), (Some(second), 2));
    assert!(works(&world.client()).await);
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test]
async fn a_refused_token_is_exchanged_when_it_had_worked() {
    let world = World::granted().await;
    let client = world.client();
    assert!(works(&client).await);
    "another".clone_into(&mut world.fake.state().access);
    assert!(!works(&client).await);
    assert_eq!(client.renew_token().await, Renewal::Another);
    assert!(works(&client).await);
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test]
async fn new_tokens_that_are_refused_are_not_exchanged_again_and_again() {
    let world = World::granted().await;
    let client = world.client();
    let mut renewals = Vec::new();
    for _ in 0..5 {
        "another".clone_into(&mut world.fake.state().access);
        assert!(!works(&client).await);
        renewals.push(client.renew_token().await);
    }
    let same = Renewal::Same;
    assert_eq!(renewals, [Renewal::Another, same.clone(), same.clone(), same.clone(), same]);
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test]
async fn many_requests_make_one_exchange() {
    let world = World::granted().await;
    let client = Arc::new(world.client());
    assert!(works(&client).await);
    pass_hours(24);
    let local = tokio::task::LocalSet::new();
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let client = Arc::clone(&client);
            local.spawn_local(async move { works(&client).await })
        })
        .collect();
    local.await;
    let mut answered = 0;
    for asking in asking {
        answered += usize::from(asking.await.unwrap());
    }
    assert_eq!((answered, world.exchanges()), (8, 2));
}

#[tokio::test]
async fn an_exchange_comes_to_its_end_when_nobody_waits_for_it() {
    let world = World::granted().await;
    let client = world.client();
    pass_hours(24);
    world.fake.fault(Fault::Gate);
    tokio::select! {
        _ = client.account() => panic!("it waits for the gate"),
        () = world.fake.waiting.notified() => {}
    }
    world.fake.gate.notify_one();
    assert!(works(&client).await, "the pair that nobody waited for is there");
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_once_more_and_then_the_pair_is_over() {
    let world = World::granted().await;
    let client = world.client();
    pass_hours(24);
    world.fake.fault(Fault::Lost(504));
    let Err(Failure::NoToken(words)) = client.account().await else { panic!("the pair is spent") };
    assert!(words.contains("Token has been revoked") && words.contains("whose answer was lost"), "{words}");
    assert_eq!(world.exchanges(), 3);
    for _ in 0..5 {
        assert!(matches!(client.renew_token().await, Renewal::Absent(_)));
    }
    assert_eq!(world.exchanges(), 3, "what is over is not asked for again");
}

#[tokio::test]
async fn an_answer_that_was_lost_before_the_exchange_costs_nothing() {
    let world = World::granted().await;
    pass_hours(24);
    world.fake.fault(Fault::Page(502));
    assert!(works(&world.client()).await);
    assert_eq!(world.exchanges(), 3);
}

#[tokio::test]
async fn trouble_on_the_way_is_no_end() {
    let world = World::granted().await;
    let client = world.client();
    assert!(works(&client).await);
    pass_hours(24);
    for status in [400, 302, 405] {
        world.fake.fault(Fault::Page(status));
        let failed = client.account().await;
        assert!(matches!(failed, Err(Failure::NotSent(_))), "{status}: {failed:?}");
        world.fake.fault(Fault::Page(status));
        assert!(matches!(client.renew_token().await, Renewal::Later(_)), "{status}");
    }
    assert!(works(&client).await);
}

#[tokio::test]
async fn an_old_token_that_works_is_used_while_it_cannot_be_exchanged() {
    let world = World::granted().await;
    let client = world.client();
    pass_hours(23);
    world.fake.fault(Fault::Page(405));
    assert!(works(&client).await);
    assert!(works(&client).await);
    assert_eq!(world.exchanges(), 2, "it rests before it tries again");
    pass_hours(1);
    assert!(works(&client).await);
    assert_eq!(world.exchanges(), 3);
}

#[tokio::test]
async fn a_revoked_pair_waits_for_a_code_and_takes_its_tokens_while_it_runs() {
    let world = World::granted().await;
    let client = world.client();
    assert!(works(&client).await);
    pass_hours(24);
    world.fake.fault(Fault::Refused("Token has been revoked"));
    let Err(Failure::NoToken(words)) = client.account().await else { panic!("it is over") };
    assert!(
        words.contains("Token has been revoked") && words.contains("ami2amo auth --code CODE"),
        "{words}"
    );
    assert!(matches!(client.renew_token().await, Renewal::Absent(_)));
    world.fake.state().code = Some("c0de".to_owned());
    world.authorize().await.unwrap();
    assert_eq!(client.renew_token().await, Renewal::Another);
    assert!(works(&client).await);
    assert_eq!(world.safe.pair(), Some(world.kept()));
}

#[tokio::test]
async fn another_secret_key_gives_a_pair_another_chance() {
    let world = World::granted().await;
    let client = world.client();
    pass_hours(24);
    "rotated".clone_into(&mut world.fake.state().secret);
    assert!(matches!(client.account().await, Err(Failure::NoToken(_))));
    std::fs::write(world.dir.path().join("secret"), "rotated").unwrap();
    assert!(works(&client).await);
}

#[tokio::test]
async fn a_new_pair_is_not_used_before_it_is_kept_and_not_lost_meanwhile() {
    let world = World::granted().await;
    let client = world.client();
    assert!(works(&client).await);
    pass_hours(24);
    // The folder is a file: nothing can be written; and the store has no room.
    let folder = world.file().path().parent().unwrap().to_owned();
    let aside = world.dir.path().join("aside");
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    world.safe.broken.store(true, Ordering::SeqCst);
    let failed = client.account().await;
    assert!(
        matches!(&failed, Err(Failure::NotSent(words)) if words.contains("not used before it is kept")),
        "{failed:?}"
    );
    assert_eq!(world.fake.asked("/api/v4/account"), 1);
    world.safe.broken.store(false, Ordering::SeqCst);
    assert!(works(&client).await, "one place is enough");
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    assert_eq!(client.renew_token().await, Renewal::Same);
    assert_eq!(Some(world.kept()), world.safe.pair(), "the other place is made good");
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test]
async fn a_file_that_is_gone_is_made_from_the_store() {
    let world = World::granted().await;
    assert!(works(&world.client()).await);
    std::fs::remove_file(world.file().path()).unwrap();
    assert!(works(&world.client()).await);
    assert_eq!(Some(world.kept()), world.safe.pair());
}

#[tokio::test]
async fn an_account_that_moved_is_followed_and_found_again_after_a_restart() {
    let world = World::new().await;
    let (api, elsewhere) = (start().await, start().await);
    world.fake.state().api_domain = Some(api.addr.to_string());
    world.authorize().await.unwrap();
    api.state().domain = Some(elsewhere.addr.to_string());
    {
        let mut new = elsewhere.state();
        new.refresh.clone_from(&world.fake.state().refresh);
    }
    world.fake.state().refresh.clear();
    pass_hours(24);
    let client = world.client();
    assert!(works(&client).await);
    assert_eq!(elsewhere.asked("/api/v4/account"), 1);
    assert_eq!(world.kept().base_url, elsewhere.base_url());
    assert!(works(&world.client()).await);
    assert_eq!(elsewhere.asked("/api/v4/account"), 2);
    assert_eq!(world.fake.asked("/api/v4/account"), 0);
}

#[tokio::test]
async fn a_refresh_token_is_not_sent_to_a_stranger() {
    let world = World::new().await;
    world.fake.state().api_domain = Some("evil.example.org".to_owned());
    world.authorize().await.unwrap();
    world.fake.state().refresh.clear();
    pass_hours(24);
    assert!(matches!(world.client().account().await, Err(Failure::NoToken(_))));
}

#[tokio::test]
async fn the_tokens_of_another_integration_are_not_used() {
    let mut world = World::granted().await;
    let text = serde_json::to_value(&world.settings).unwrap();
    let mut text = text;
    text["oauth"]["client-id"] = json!("other");
    world.settings = serde_json::from_value(text).unwrap();
    let Err(Failure::NoToken(words)) = world.client().account().await else { panic!("they are not ours") };
    assert!(words.contains("another integration"), "{words}");
}

#[tokio::test]
async fn tokens_are_exchanged_while_nothing_is_sent() {
    let world = World::granted().await;
    let client = world.client();
    let stop = CancellationToken::new();
    pass_hours(24);
    world.fake.fault(Fault::Gate);
    let tending = tokio::task::LocalSet::new();
    let task = tending.run_until(async {
        let task = tokio::task::spawn_local(client.tending().unwrap().run(stop.clone()));
        world.fake.waiting.notified().await;
        stop.cancel();
        world.fake.gate.notify_one();
        task.await
    });
    task.await.unwrap();
    assert_eq!(world.exchanges(), 2);
    assert_eq!(world.safe.pair(), Some(world.kept()), "its end waits for the exchange under way");
}

#[tokio::test]
async fn no_secret_is_in_a_log_a_debug_text_or_an_error() {
    let (log, guard) = Log::capture(tracing::Level::TRACE);
    let world = World::granted().await;
    let client = world.client();
    assert!(works(&client).await);
    pass_hours(24);
    assert!(works(&client).await);
    pass_hours(24);
    world.fake.fault(Fault::Refused("Token has been revoked"));
    let failed = client.account().await;
    drop(guard);
    let said = format!("{}{client:?}{failed:?}{:?}", log.text(), world.kept());
    for secret in ["s3cret", "def502", "access1", "access2", "c0de"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
    assert!(said.contains("an amoCRM token is in use"), "{said}");
}
