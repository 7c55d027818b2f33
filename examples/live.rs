//! A very busy PBX, live: 20,000 events a second for half a minute, thousands of calls in progress. How long
//! a call that ended waits until it is durable, beside what one group commit costs on this disk.
//!
//!     cargo run --release --example live [-- SECONDS]
//!
//! Set `TMPDIR` to a folder on the disk that is to be measured. The exit code says whether the 99th
//! percentile keeps within 10 ms and two group commits: the one that is under way when the call ends, at
//! worst that of the calls in progress, and its own.

#![expect(clippy::print_stdout, reason = "an example speaks to the person who started it")]

use std::collections::BTreeMap;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use ami2amo::ami::connection::{self, Secret};
use ami2amo::ami::session::{self, Login};
use ami2amo::call::checkpoint::Change;
use ami2amo::call::id::{CallId, PbxName};
use ami2amo::call::policy::Policy;
use ami2amo::call::record::FinishedCall;
use ami2amo::clock;
use ami2amo::daemon::crew::Crew;
use ami2amo::intake::revive;
use ami2amo::intake::task::{Intake, Kept, Link, Sink, Way};
use ami2amo::outbox::parcel::Parcel;
use ami2amo::outbox::store::Store;
use ami2amo::outbox::store::handle::Handle;
use anyhow::{Context as _, bail, ensure};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use busy_day::{DAWN, Day};
use fake_ami::{Clock, FakeAmi, Script};

#[path = "../tests/support/busy_day.rs"]
mod busy_day;
#[path = "../tests/support/fake_ami.rs"]
mod fake_ami;
#[path = "../tests/support/noise.rs"]
mod noise;
#[path = "../tests/support/samples.rs"]
mod samples;

const SECONDS: u64 = 30;
const EVENTS_A_SECOND: u64 = 20_000;

/// Events that nobody needs, for each of a call's.
const NOISE: u64 = 9;

/// From one call to the next, in microseconds: a call has some 17 events.
const EVERY: i64 = 8_100;

/// The day's first part is played at once: after it as many calls end as begin.
const WARM_UP: Duration = Duration::from_secs(75);

/// Then so long in real time before anything is measured: calls that ended at once are stored by then.
const SETTLE: Duration = Duration::from_secs(3);

/// How often the PBX writes.
const TICK: Duration = Duration::from_millis(5);

/// What the budget gives the way to the store, beside two group commits.
const BUDGET: Duration = Duration::from_millis(10);

/// Group commits that are measured.
const COMMITS: u64 = 300;

/// One parcel became durable.
struct Durable {
    /// When each of its calls had ended.
    ended: Vec<Instant>,
    at: Instant,
    /// What it kept of calls in progress, when it held nothing else.
    kept: Vec<Change>,
}

/// The store's door, with a stop watch.
struct Timed {
    store: Handle,
    pbx: PbxName,
    /// When each call was offered first.
    offered: BTreeMap<CallId, Instant>,
    durable: mpsc::Sender<Durable>,
    /// Parcels that are under way.
    owed: Arc<AtomicUsize>,
    /// Those without a call.
    owed_values: Arc<AtomicUsize>,
    runtime: tokio::runtime::Handle,
}

/// How long group commits take alone.
struct Commits {
    ended: Vec<Duration>,
    kept: Vec<Duration>,
    /// What a group of `kept` holds on average.
    values: usize,
}

/// What the PBX sent.
struct Played {
    events: u64,
    begun: Instant,
    ended: Instant,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let seconds = std::env::args().nth(1).map_or(Ok(SECONDS), |text| text.parse());
    let live = Duration::from_secs(seconds.context("how many seconds?")?);
    let dir = tempfile::tempdir().context("cannot make a folder for the store")?;
    let store = Store::open(&dir.path().join("store"), clock::host()).context("cannot open the store")?;
    let store = store.spawn(clock::host).context("cannot start the store's thread")?;
    let (port, pbx) = start_pbx(live)?;
    let (durable, arrivals) = mpsc::channel();
    let stop = CancellationToken::new();
    let intake = intake(port, &store, durable, stop.clone(), dir.path());
    let crew =
        Crew::start(vec![intake], stop, CancellationToken::new()).context("cannot start the intake")?;
    let played = tokio::task::spawn_blocking(move || pbx.join()).await?;
    let played = played.map_err(|_| anyhow::anyhow!("the PBX panicked"))??;
    crew.stop().await?;

    let arrivals: Vec<Durable> = arrivals.try_iter().collect();
    let (mut waits, mut parcels, mut kept) = (Vec::new(), 0, Vec::new());
    for arrival in arrivals.into_iter().filter(|arrival| arrival.at > played.begun) {
        let ended = arrival.ended.iter().filter(|ended| (played.begun..played.ended).contains(ended));
        let before = waits.len();
        waits.extend(ended.map(|ended| arrival.at - *ended));
        parcels += usize::from(waits.len() > before);
        kept.extend(Some(arrival.kept).filter(|changes| !changes.is_empty()));
    }
    ensure!(!waits.is_empty() && !kept.is_empty(), "no call ended, or none was in progress");
    let commits = Commits::measured(&store, waits.len().div_ceil(parcels), kept).await?;
    store.close().await?;
    verdict(&played, waits, commits)
}

fn verdict(played: &Played, waits: Vec<Duration>, commits: Commits) -> anyhow::Result<ExitCode> {
    let rate = played.events * 1_000 / u64::try_from((played.ended - played.begun).as_millis())?;
    let count = waits.len();
    let [p50, p99] = percentiles(waits);
    let [own_p50, own] = percentiles(commits.ended);
    let [kept_p50, kept] = percentiles(commits.kept);
    let bar = BUDGET + own + kept;
    println!(
        "commits: of ended calls p50 {:.1} ms, p99 {:.1} ms; of calls in progress ({} values) p50 {:.1} ms, \
         p99 {:.1} ms",
        ms(own_p50),
        ms(own),
        commits.values,
        ms(kept_p50),
        ms(kept)
    );
    println!(
        "live: {rate} events/s, {count} calls, ended to durable: p50 {:.1} ms, p99 {:.1} ms, two group \
         commits {:.1} ms, at most {:.1} ms",
        ms(p50),
        ms(p99),
        ms(own + kept),
        ms(bar)
    );
    if rate < EVENTS_A_SECOND * 95 / 100 {
        bail!("the PBX managed {rate} events/s only: nothing is shown of {EVENTS_A_SECOND}");
    }
    Ok(if p99 <= bar { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The PBX, on a thread of its own; it ends when it has played `live` after the warm-up.
fn start_pbx(live: Duration) -> anyhow::Result<(u16, std::thread::JoinHandle<anyhow::Result<Played>>)> {
    let (tell_port, port) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(play(live, &tell_port))
    });
    Ok((port.recv().context("the PBX did not start")?, thread))
}

async fn play(live: Duration, tell_port: &mpsc::Sender<u16>) -> anyhow::Result<Played> {
    let (pieces, step) = fake_ami::feed(64);
    let ami =
        FakeAmi::start(Script { steps: vec![step], clock: Clock::Sent(0.0), ..Script::default() }).await;
    tell_port.send(ami.port())?;
    let count = (WARM_UP + SETTLE + live).as_micros() / u128::try_from(EVERY)?;
    let mut day = Day::new(usize::try_from(count)?, EVERY, &mut fastrand::Rng::with_seed(20_261_128));
    let noon = DAWN + i64::try_from(WARM_UP.as_micros())?;
    while let Some(at) = day.next_at().filter(|at| *at <= noon)
        && let Some(event) = day.next(at)
    {
        pieces.send(event).await?;
    }
    // From here on time is real; what was played at once is taken in before anything is measured.
    let start = Instant::now();
    let begun = start + SETTLE;
    let (mut events, mut tick) = (0, tokio::time::interval(TICK));
    while start.elapsed() < SETTLE + live {
        tick.tick().await;
        let mut text = String::new();
        let now = noon + i64::try_from(start.elapsed().as_micros())?;
        while let Some(event) = day.next(now) {
            text.push_str(std::str::from_utf8(&event)?);
            noise::noise(NOISE, &mut text);
            events += if Instant::now() < begun { 0 } else { 1 + NOISE };
        }
        if !text.is_empty() {
            pieces.send(text.into_bytes()).await?;
        }
    }
    let ended = Instant::now();
    ensure!(ami.seen().logins == 1, "the connection was lost");
    Ok(Played { events, begun, ended })
}

fn intake(
    port: u16,
    store: &Handle,
    durable: mpsc::Sender<Durable>,
    stop: CancellationToken,
    dir: &std::path::Path,
) -> Intake {
    let (pbx, policy) = (PbxName::default(), Arc::new(Policy::default()));
    let session = session::Settings {
        username: "ami2amo".to_owned(),
        login: Login::Challenge,
        ping_interval: Duration::from_secs(10),
    };
    let secret = Secret::new(b"s3cret".to_vec());
    let settings = connection::Settings {
        host: "127.0.0.1".to_owned(),
        port,
        security: connection::Security::Loopback,
        secret,
        session,
    };
    let way = Way {
        link: watch::channel(Link::Connecting).0,
        policy: watch::channel(Arc::clone(&policy)).1,
        offsets: watch::channel(Arc::default()).0,
        stop,
        cut: CancellationToken::new(),
        poison: dir.join("poison"),
        gaps: tokio::sync::mpsc::channel(1).0,
        pulse: Arc::default(),
        asks: ami2amo::intake::task::inquiry::channel().1,
    };
    let sink = Timed {
        store: store.clone(),
        pbx: pbx.clone(),
        offered: BTreeMap::new(),
        durable,
        owed: Arc::default(),
        owed_values: Arc::default(),
        runtime: tokio::runtime::Handle::current(),
    };
    let reader = revive::reader(&pbx, &policy, &[]);
    Intake::new(pbx, settings, reader, way, Box::new(sink))
}

impl Sink for Timed {
    fn offer(&mut self, parcel: Parcel) -> Result<(), Parcel> {
        let now = Instant::now();
        let kept = if parcel.calls.is_empty() { parcel.changes.clone() } else { Vec::new() };
        let ids: Vec<CallId> = parcel.calls.iter().map(|call| call.record.call_id.clone()).collect();
        for id in &ids {
            self.offered.entry(id.clone()).or_insert(now);
        }
        let receipt = self.store.try_store(&self.pbx, parcel)?;
        let ended = ids.iter().filter_map(|id| self.offered.remove(id)).collect();
        self.owed.fetch_add(1, Ordering::Relaxed);
        let (is_values, owed_values) = (usize::from(ids.is_empty()), Arc::clone(&self.owed_values));
        owed_values.fetch_add(is_values, Ordering::Relaxed);
        let (durable, owed) = (self.durable.clone(), Arc::clone(&self.owed));
        self.runtime.spawn(async move {
            receipt.await.expect("the disk works");
            // Whoever asked may have gone.
            let _ = durable.send(Durable { ended, at: Instant::now(), kept });
            owed.fetch_sub(1, Ordering::Relaxed);
            owed_values.fetch_sub(is_values, Ordering::Relaxed);
        });
        Ok(())
    }

    fn returned(&mut self) -> Parcel {
        Parcel::default()
    }

    fn kept(&self) -> Pin<Box<dyn Future<Output = Result<Kept, String>> + Send>> {
        let (store, pbx) = (self.store.clone(), self.pbx.clone());
        Box::pin(async move { store.checkpoints(&pbx).await.map_err(|error| error.to_string()) })
    }

    fn owes(&self) -> bool {
        self.owed.load(Ordering::Relaxed) > 0
    }

    fn owes_values(&self) -> bool {
        self.owed_values.load(Ordering::Relaxed) > 0
    }

    fn is_dead(&self) -> bool {
        self.store.is_over()
    }

    fn spill(&mut self, calls: Vec<FinishedCall>) -> Result<(), Vec<FinishedCall>> {
        Err(calls)
    }
}

impl Commits {
    /// Commits one after the other what the load committed: groups of `size` calls, and `kept`.
    async fn measured(store: &Handle, size: usize, kept: Vec<Vec<Change>>) -> anyhow::Result<Self> {
        let values = kept.iter().map(Vec::len).sum::<usize>() / kept.len();
        let mut commits = Self { ended: Vec::new(), kept: Vec::new(), values };
        for commit in 0..COMMITS {
            let calls = (0..size).map(|n| samples::call(&format!("{commit}.{n}"))).collect();
            let begun = Instant::now();
            store.enqueue(calls, clock::host()).await?;
            commits.ended.push(begun.elapsed());
        }
        for changes in kept {
            let (parcel, begun) = (Parcel { calls: Vec::new(), changes }, Instant::now());
            let receipt = store.try_store(&PbxName::default(), parcel);
            receipt.map_err(|_| anyhow::anyhow!("the store takes nothing"))?.await?;
            commits.kept.push(begun.elapsed());
        }
        Ok(commits)
    }
}

/// The middle and the 99th of a hundred.
fn percentiles(mut times: Vec<Duration>) -> [Duration; 2] {
    times.sort_unstable();
    [50, 99].map(|part| times[(times.len() - 1) * part / 100])
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
