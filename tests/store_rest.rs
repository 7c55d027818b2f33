//! sled's threads rest while nothing is asked of the store, and work again when something is. A
//! process of its own: the threads belong to the process.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ami2amo::call::id::CallId;
use ami2amo::call::record::FinishedCall;
use ami2amo::outbox::queue::Enqueued;
use ami2amo::outbox::store::Store;
use ami2amo::time::HostTime;

/// Two rounds of sled's own waking, which comes once a second.
const WATCHED: Duration = Duration::from_millis(2200);

#[tokio::test]
async fn sleds_threads_rest_while_the_store_is_idle_and_work_when_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let now = HostTime::from_micros(1_795_339_565_000_000);
    let store = Store::open(dir.path(), now).unwrap();
    let handle = store.spawn_resting(move || now, Duration::from_millis(100)).unwrap();
    for round in 0..3 {
        for number in 0..20 {
            let stored = handle.enqueue(vec![call(&format!("default-{round}.{number}"))], now).await.unwrap();
            assert!(matches!(stored[..], [Enqueued::New(_)]), "{stored:?}");
        }
        assert!(!pool().is_empty(), "the database has threads of its own");
        tokio::time::sleep(Duration::from_secs(1)).await; // they come to rest
        let before = switches();
        tokio::time::sleep(WATCHED).await;
        assert_eq!(switches() - before, 0, "{:?} wake while nothing is asked", pool());
    }
    assert_eq!(handle.stats().await.unwrap().ended, 60);
    handle.close().await.unwrap();
    let reopened = Store::open(dir.path(), now).unwrap();
    drop(reopened);
}

fn call(id: &str) -> FinishedCall {
    let mut call: FinishedCall = serde_json::from_str(include_str!("samples/call.json")).unwrap();
    call.record.call_id = CallId::from_text(id);
    call
}

/// The folders of sled's threads in `/proc`.
fn pool() -> Vec<PathBuf> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let is_sled =
        |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("sled-io"));
    tasks.filter(is_sled).collect()
}

/// How often all of them together have gone to sleep.
fn switches() -> u64 {
    let of = |task: PathBuf| {
        let status = fs::read_to_string(task.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    pool().into_iter().map(of).sum()
}
