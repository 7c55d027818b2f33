//! How long the questions of the admin socket take the store, with many calls in it.
//!
//!     cargo run --release --example ask [-- CALLS]
//!
//! Set `TMPDIR` to a folder on the disk that is to be measured. Nine calls of ten are delivered, the others
//! wait, and every hundredth is dead.

#![expect(clippy::print_stdout, reason = "an example speaks to the person who started it")]

use std::time::{Duration, Instant};

use ami2amo::call::id::{CallId, PbxName};
use ami2amo::call::record::FinishedCall;
use ami2amo::clock;
use ami2amo::ops::calls::{LIMIT, Question, Row};
use ami2amo::outbox::errand::Errand;
use ami2amo::outbox::filter::Filter;
use ami2amo::outbox::queue::{Queue as _, Seq, Settlement, State};
use ami2amo::outbox::search::{Found, Wanted};
use ami2amo::outbox::store::Store;
use ami2amo::outbox::store::handle::Handle;
use ami2amo::outbox::store::listing::Look;
use anyhow::Context as _;

const CALLS: u64 = 100_000;

/// Calls that are stored at once.
const AT_ONCE: u64 = 1000;

/// How often each question is asked.
const TIMES: usize = 40;

fn main() -> anyhow::Result<()> {
    let calls =
        std::env::args().nth(1).map_or(Ok(CALLS), |count| count.parse()).context("how many calls?")?;
    let dir = tempfile::tempdir()?;
    let begun = Instant::now();
    let store = filled(dir.path(), calls)?;
    println!("{calls} calls stored in {:.1} s", begun.elapsed().as_secs_f32());
    let handle = store.spawn(clock::host)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ask_all(&handle, calls))
}

fn call(sample: &FinishedCall, count: u64) -> FinishedCall {
    let mut call = sample.clone();
    let uniqueid = format!("{count}.1");
    call.record.call_id = CallId::new(&PbxName::default(), &uniqueid, 1);
    call.record.uniqueids = vec![uniqueid, format!("{count}.2")];
    // Every number calls ten times.
    let phone = format!("7916{:07}", count / 10);
    call.record.phone_e164 = Some(format!("+{phone}"));
    call.record.phone_raw = Some(phone.clone());
    call.record.phone = Some(phone);
    call
}

fn filled(dir: &std::path::Path, calls: u64) -> anyhow::Result<Store> {
    let sample: FinishedCall = serde_json::from_str(include_str!("../tests/samples/call.json"))?;
    let now = clock::host();
    let mut store = Store::open(dir, now)?;
    for begin in (0..calls).step_by(usize::try_from(AT_ONCE)?) {
        let some = begin..calls.min(begin + AT_ONCE);
        store.enqueue(some.clone().map(|count| call(&sample, count)).collect(), now)?;
        let ended: Vec<Seq> = some.filter(|count| count % 10 != 0 || count % 100 == 0).map(Seq).collect();
        store.intend(&ended, now)?;
        let settle = |seq: Seq| {
            let dead = State::Dead { reason: "no such user".to_owned(), at: now };
            let sent = State::Sent { note_id: Some(seq.0), entity: None, at: now };
            let state = if seq.0.is_multiple_of(100) { dead } else { sent };
            Settlement {
                seq,
                state,
                next_at: now,
                last_error: None,
                attempted: true,
                errand: Errand::default(),
            }
        };
        store.settle(ended.into_iter().map(settle).collect(), now)?;
    }
    Ok(store)
}

async fn ask_all(handle: &Handle, calls: u64) -> anyhow::Result<()> {
    let question = |state: Option<&str>, phone: Option<String>| Question {
        state: state.map(str::to_owned),
        phone,
        ..Question::default()
    };
    let number = format!("7916{:07}", calls / 20);
    measure("status", async || Ok(handle.overview().await.map(drop)?)).await?;
    for (name, question) in [
        ("queue list", question(Some("pending,sending,unknown,parked,dead"), None)),
        ("queue list --state dead", question(Some("dead"), None)),
        ("queue list --phone", question(Some("pending,sending,unknown,parked,dead"), Some(number.clone()))),
        ("history", question(None, None)),
        ("history --phone", question(None, Some(number.clone()))),
    ] {
        let (filter, limit) = question.filter()?;
        measure(name, async || {
            handle.look_through(Look::new(filter.clone(), limit, Row::from)).await?;
            Ok(())
        })
        .await?;
    }
    let name = format!("default-{}.1", calls / 2);
    measure("explain ID", async || Ok(handle.find_named(name.clone()).await.map(drop)?)).await?;
    measure("explain NUMBER", async || {
        let filter = Filter { wanted: Some(Wanted::parse(&number)), ..Filter::default() };
        handle.look_through(Look::new(filter, LIMIT, Found::from)).await?;
        Ok(())
    })
    .await
}

async fn measure(name: &str, ask: impl AsyncFn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut times: Vec<Duration> = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let begun = Instant::now();
        ask().await?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let ms = |part: usize| times[(TIMES - 1) * part / 100].as_secs_f64() * 1000.0;
    println!("{name:26} p50 {:8.2} ms, p95 {:8.2} ms", ms(50), ms(95));
    Ok(())
}
