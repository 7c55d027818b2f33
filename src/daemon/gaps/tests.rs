//! What is kept of gaps, over a store that is away.

use crate::ami::connection::{Secret, Security, Settings};
use crate::ami::session;
use crate::captured_log::Log;
use crate::cdr::source::{Error, Source};
use crate::daemon::outlet::Door;
use crate::intake::task::Sink as _;
use crate::ops::status::{GapsStatus, Span};
use crate::outbox::parcel::Parcel;
use crate::outbox::store::{self, Store, rest};

use super::*;

fn pbx(records: &std::path::Path) -> Pbx {
    let login = session::Login::Plain;
    let session =
        session::Settings { username: "ami2amo".to_owned(), login, ping_interval: Duration::from_secs(10) };
    let secret = Secret::new(b"s".to_vec());
    let connection =
        Settings { host: "127.0.0.1".to_owned(), port: 9, security: Security::Loopback, secret, session };
    let source = Source::Csv { path: records.to_owned() };
    let (look_back, batch_time) = (Duration::from_hours(24), Duration::from_mins(5));
    let cdr = Some(Cdr { source, cel: None, look_back, batch_time });
    Pbx { name: PbxName::default(), renamed_from: None, connection, cdr }
}

fn gap(from: i64) -> Gap {
    let [from, to] = [from, from + 1].map(|second| PbxTime::from_micros(second * 1_000_000));
    Gap { pbx: PbxName::default(), from, to }
}

fn repair(store: &Handle, dir: &std::path::Path) -> GapRepair {
    repair_with(store, dir, watch::channel(Arc::default()).1)
}

fn repair_with(
    store: &Handle,
    dir: &std::path::Path,
    offsets: watch::Receiver<Arc<BTreeMap<PbxName, i64>>>,
) -> GapRepair {
    let gaps = mpsc::channel(1).1;
    let policy = watch::channel(Arc::default()).1;
    GapRepair::new(store.clone(), &[pbx(&dir.join("Master.csv"))], policy, gaps, offsets)
}

async fn kept(store: &Handle) -> Vec<(i64, i64)> {
    let kept = store.get(Shelf::Inflight, KEY).await.unwrap().unwrap();
    let GapsV1 { gaps, .. } = serde_json::from_slice(&kept).unwrap();
    gaps.iter().map(|gap| (gap.from.micros() / 1_000_000, gap.to.micros() / 1_000_000)).collect()
}

#[tokio::test]
async fn gaps_that_waited_outlive_a_start_without_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), clock::host()).unwrap().spawn(clock::host).unwrap();
    let mut before = repair(&store, dir.path());
    before.recall().await;
    before.take(gap(100)).await;
    assert_eq!(kept(&store).await, [(100, 101)]);
    store.close().await.unwrap();

    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let full = store::Error::Full { path: dir.path().to_owned(), source: full };
    let store = Store::spawn_waiting(dir.path(), &full, clock::host, rest::IDLE).unwrap();
    let mut after = repair(&store, dir.path());
    after.recall().await;
    let recalled = after.recalled();
    assert!(!*recalled.borrow(), "nothing is delivered before");
    while store.failure().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    after.take(gap(200)).await;
    assert_eq!(kept(&store).await, [(100, 101)], "what is not read yet is not written over");
    after.recall().await;
    assert!(*recalled.borrow());
    let mut all = kept(&store).await;
    all.sort_unstable();
    assert_eq!(all, [(100, 101), (200, 201)]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_time_before_a_start_without_the_store_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), clock::host()).unwrap().spawn(clock::host).unwrap();
    let (now, host) = (clock::host().micros(), clock::host().seconds());
    let [event, alive] = [now - 120_000_000, now - 100_000_000];
    let word = format!(r#"{{"v":1,"now":{event},"alive":{alive},"shift":3000000,"time":"event"}}"#);
    store.put(Shelf::Inflight, "default/s", word.into_bytes()).await.unwrap();
    store.close().await.unwrap();

    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let full = store::Error::Full { path: dir.path().to_owned(), source: full };
    let store = Store::spawn_waiting(dir.path(), &full, clock::host, rest::IDLE).unwrap();
    let (offsets, reader) = watch::channel(Arc::default());
    let mut repair = repair_with(&store, dir.path(), reader);
    repair.recall().await;
    let mut door = Door::new(store.clone(), PbxName::default(), Duration::ZERO, repair.recalled());
    while store.failure().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        door.is_dead() && door.offer(Parcel::default()).is_err(),
        "what is not read yet is not written over"
    );
    repair.recall().await;
    assert!(!door.is_dead() && door.offer(Parcel::default()).is_ok());
    repair.take_late().await;
    assert_eq!(repair.waiting, [], "where the PBX is not there yet, it is not watched yet");
    let name = PbxName::default();
    offsets.send_replace(Arc::new(BTreeMap::from([(name.clone(), 5_000_000)])));
    for _ in 0..2 {
        repair.take_late().await;
        let [(from, to)] = kept(&store).await[..] else { unreachable!("one gap") };
        assert!(from == host - 103 && to >= host - 5, "{from} {to}");
    }
    assert_eq!(repair.told().borrow()[&name].count, 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn gaps_that_cannot_be_read_keep_no_others_from_being_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), clock::host()).unwrap().spawn(clock::host).unwrap();
    store.put(Shelf::Inflight, KEY, b"no JSON".to_vec()).await.unwrap();
    let mut repair = repair(&store, dir.path());
    repair.recall().await;
    repair.take(gap(100)).await;
    assert_eq!(kept(&store).await, [(100, 101)]);
    store.close().await.unwrap();
}

#[test]
fn what_is_told_as_missing_is_what_no_try_could_read() {
    const FAILED: &str = "of another hour";
    let part = |from: i64, to: i64| {
        let [from, to] = [from, to].map(|second| PbxTime::from_micros(second * 1_000_000));
        Failed { range: Range { from, to }, error: Error::NotBuilt(FAILED, "cdr-mysql") }
    };
    let gap = Gap { to: PbxTime::from_micros(200_000_000), ..gap(100) };
    let pauses = Pauses::of(Duration::from_mins(5));
    let mut waiting = Waiting::new(gap, pauses, now());
    let (log, _guard) = Log::capture(tracing::Level::DEBUG);
    let mut told = |failed, is_last| {
        let before = log.text().len();
        waiting.tried(now());
        tell(&mut waiting, Ok(Repaired { added: 0, failed }), is_last);
        log.text().split_off(before)
    };
    let first = told(vec![part(150, 160)], false);
    assert!(first.contains("DEBUG") && !first.contains("INFO"), "nothing came of it: {first}");
    let other = told(vec![part(110, 120)], true);
    assert!(
        !other.contains("ERROR") && other.contains("WARN") && other.contains("could be read before"),
        "{other}"
    );
    let mut waiting = Waiting::new(waiting.gap.clone(), pauses, now());
    tell(&mut waiting, Ok(Repaired { added: 0, failed: vec![part(110, 160)] }), false);
    let before = log.text().len();
    tell(&mut waiting, Ok(Repaired { added: 0, failed: vec![part(100, 130)] }), true);
    let last = log.text().split_off(before);
    let missing = last.lines().find(|line| line.contains("ERROR")).unwrap();
    assert!(
        missing.contains("are missing") && missing.contains("00:01:50") && missing.contains("00:02:10"),
        "{last}"
    );
}

#[tokio::test]
async fn gaps_outlive_a_start_without_the_table_of_their_pbx() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), clock::host()).unwrap().spawn(clock::host).unwrap();
    let mut before = repair(&store, dir.path());
    before.recall().await;
    let from = clock::host().seconds() - 100;
    for from in [100, from] {
        before.waiting.push(Waiting::new(gap(from), Pauses::of(Duration::ZERO), now()));
    }
    before.keep().await;
    let mut without = repair(&store, dir.path());
    let (_, cdr) = &mut without.sources[0];
    let cdr = cdr.take();
    without.recall().await;
    assert_eq!(without.told().borrow()[&PbxName::default()].unseen, 2);
    // One of another PBX is looked at meanwhile.
    let other = PbxName::new("other").unwrap();
    without.sources.push((other.clone(), cdr));
    without.take(Gap { pbx: other, ..gap(200) }).await;
    assert_eq!(kept(&store).await, [(200, 201), (from, from + 1)], "an old one is forgotten");
    let mut after = repair(&store, dir.path());
    after.recall().await;
    assert_eq!(after.waiting.iter().map(|waiting| waiting.gap.clone()).collect::<Vec<_>>(), [gap(from)]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn gaps_are_counted_with_what_is_known_of_their_calls() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), clock::host()).unwrap().spawn(clock::host).unwrap();
    let mut repair = repair(&store, dir.path());
    repair.recall().await;
    let told = repair.told();
    let name = PbxName::default();
    repair.take(gap(100)).await;
    let span = |from: i64| {
        let Gap { from, to, .. } = gap(from);
        Some(Span { from, to })
    };
    let waits = GapsStatus { count: 1, seconds: 1, waiting: 1, last: span(100), ..GapsStatus::default() };
    assert_eq!(told.borrow()[&name], waits);
    // No try can read the file that is not there.
    while !repair.waiting.is_empty() {
        repair.waiting[0].due = clock::mono();
        repair.begin();
        let ended = repair.searches.join_next_with_id().await.unwrap();
        repair.ended(ended).await;
    }
    let whole = Some(Span { from: gap(100).from, to: gap(100).to.after(ROUNDING) });
    let unseen = GapsStatus { waiting: 0, unseen: 1, last_unseen: whole, ..waits };
    assert_eq!(told.borrow()[&name], unseen);
    // Without records nothing says it at all.
    repair.sources[0].1 = None;
    repair.take(gap(200)).await;
    let more =
        GapsStatus { count: 2, seconds: 2, unseen: 2, last: span(200), last_unseen: span(200), ..unseen };
    assert_eq!(told.borrow()[&name], more);
    store.close().await.unwrap();
}
