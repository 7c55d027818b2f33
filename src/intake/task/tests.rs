//! The intake over a pipe in memory, with paused time and a sink that refuses on demand.

use std::sync::Mutex;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;
use crate::ami::connection::Secret;
use crate::ami::session;
use crate::ami::session::notice::Notice;
use crate::call::checkpoint::Change;
use crate::call::id::{AccountId, CallId};
use crate::call::line::Terms;
use crate::call::record::{Direction, Outcome, Seconds, Source, TimeSource, Timeline, VERSION};
use crate::captured_log::Log;
use crate::intake::task::inquiry::Inquiry;
use crate::outbox::parcel::Parcel;

mod inquiry;
mod outgoing;
mod restart;

/// A finished call with the id `t-N`.
pub fn call(n: u32) -> FinishedCall {
    let at = PbxTime::from_micros(1_795_339_565_000_000);
    let pbx = PbxName::new("t").unwrap();
    let record = CallRecord {
        v: VERSION,
        call_id: CallId::new(&pbx, &n.to_string(), 1),
        pbx,
        account: AccountId::default(),
        line: Terms::default(),
        direction: Direction::Inbound,
        phone: Some("79161234568".to_owned()),
        phone_e164: None,
        phone_raw: None,
        did: None,
        trunk: None,
        queue: None,
        account_code: None,
        answered: false,
        outcome: Outcome::NoAnswer,
        status: Some(6),
        call_result: None,
        responsible: None,
        responsible_user: None,
        answered_by: vec![],
        rang: vec![],
        talk_seconds: Seconds::ZERO,
        bridged_seconds: Seconds::ZERO,
        wait_seconds: Seconds::ZERO,
        hold_seconds: Seconds::ZERO,
        segments: vec![],
        started_at: at,
        answered_at: None,
        ended_at: at,
        time: TimeSource::Event,
        hangup_cause: None,
        hangup_by: None,
        recording: None,
        recording_hints: Vec::new(),
        message: None,
        uniqueids: vec![],
        source: Source::Ami,
        partial: false,
        skip: None,
        why: vec![],
    };
    FinishedCall { record, timeline: Timeline::default() }
}

/// A store with room for a while.
#[derive(Clone)]
struct Shelf(Arc<Mutex<(usize, Vec<FinishedCall>)>>, Arc<Mutex<BTreeMap<String, Vec<u8>>>>, Arc<TempDir>);

impl Shelf {
    fn with_room(room: usize) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Self(Arc::new(Mutex::new((room, vec![]))), Arc::default(), dir)
    }

    fn make_room(&self, room: usize) {
        self.0.lock().unwrap().0 = room;
    }

    fn ids(&self) -> Vec<String> {
        self.0.lock().unwrap().1.iter().map(|call| call.record.call_id.to_string()).collect()
    }
}

impl Sink for Shelf {
    fn offer(&mut self, parcel: Parcel) -> Result<(), Parcel> {
        let (room, shelf) = &mut *self.0.lock().unwrap();
        if matches!(*room, DEAD | SPILLS) || shelf.len() + parcel.calls.len() > *room {
            return Err(parcel);
        }
        shelf.extend(parcel.calls);
        let mut kept = self.1.lock().unwrap();
        for Change { key, value } in parcel.changes {
            match value {
                Some(value) => kept.insert(key, value),
                None => kept.remove(&key),
            };
        }
        Ok(())
    }

    fn returned(&mut self) -> Parcel {
        Parcel::default()
    }

    fn kept(&self) -> std::pin::Pin<Box<dyn Future<Output = Result<Kept, String>> + Send>> {
        let kept = self.1.lock().unwrap().clone();
        Box::pin(async { Ok(kept.into_iter().collect()) })
    }

    fn owes(&self) -> bool {
        false
    }

    fn owes_values(&self) -> bool {
        false
    }

    fn is_dead(&self) -> bool {
        matches!(self.0.lock().unwrap().0, DEAD | SPILLS)
    }

    fn spill(&mut self, calls: Vec<FinishedCall>) -> Result<(), Vec<FinishedCall>> {
        let (room, shelf) = &mut *self.0.lock().unwrap();
        if *room != SPILLS {
            return Err(calls);
        }
        shelf.extend(calls);
        Ok(())
    }
}

/// The room of a shelf that takes nothing any more.
const DEAD: usize = 0xdead;

/// The same, of one that spills.
const SPILLS: usize = 0xdeae;

struct Office {
    intake: Intake,
    shelf: Shelf,
    link: watch::Receiver<Link>,
    policy: watch::Sender<Arc<Policy>>,
    stop: CancellationToken,
    cut: CancellationToken,
    inquiry: Inquiry,
}

fn settings() -> connection::Settings {
    let session = session::Settings {
        username: "ami2amo".to_owned(),
        login: session::Login::Plain,
        ping_interval: Duration::from_secs(10),
    };
    let secret = Secret::new(b"s".to_vec());
    // The discard port: nobody listens there, so a connection is refused at once.
    connection::Settings {
        host: "127.0.0.1".to_owned(),
        port: 9,
        security: connection::Security::Loopback,
        secret,
        session,
    }
}

fn office(shelf: Shelf) -> Office {
    let policy: Arc<Policy> = Arc::default();
    let pbx = PbxName::new("t").unwrap();
    let kept: Vec<_> =
        shelf.1.lock().unwrap().iter().map(|(key, json)| (key.clone(), json.clone())).collect();
    let reader = crate::intake::revive::reader(&pbx, &policy, &kept);
    let (sender, link) = watch::channel(Link::Connecting);
    let stop = CancellationToken::new();
    let offsets = watch::channel(Arc::default()).0;
    let (policy, policies) = watch::channel(Arc::default());
    let cut = CancellationToken::new();
    let (inquiry, asks) = super::inquiry::channel();
    let way = Way {
        link: sender,
        policy: policies,
        offsets,
        stop: stop.clone(),
        cut: cut.clone(),
        poison: shelf.2.path().to_owned(),
        gaps: mpsc::channel(1).0,
        pulse: Arc::default(),
        asks,
    };
    let intake = Intake::new(pbx, settings(), reader, way, Box::new(shelf.clone()));
    Office { intake, shelf, link, policy, stop, cut, inquiry }
}

fn pipe() -> (Connection<DuplexStream>, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    (Connection::new(ours, &settings()), theirs)
}

const GREETING: &[u8] = b"Asterisk Call Manager/11.0.0\r\nResponse: Success\r\nActionID: 1\r\n\r\n\
                          Event: FullyBooted\r\n\r\n";

async fn passes(link: &mut watch::Receiver<Link>, wanted: Link) {
    let day = Duration::from_hours(24);
    tokio::time::timeout(day, link.wait_for(|link| *link == wanted)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_is_offered_until_it_is_taken() {
    let mut office = office(Shelf::with_room(0));
    (1..=3).for_each(|n| office.intake.out.push(call(n)));
    office.intake.collect();
    assert_eq!(office.shelf.ids(), Vec::<String>::new());
    let shelf = office.shelf.clone();
    let minute = clock::sleep_until(Some(clock::mono().after(Duration::from_mins(1))));
    office
        .intake
        .meanwhile(async move {
            minute.await;
            shelf.make_room(10);
            clock::sleep_until(Some(clock::mono().after(OFFER_AGAIN * 2))).await;
        })
        .await;
    assert_eq!(office.shelf.ids(), ["t-1", "t-2", "t-3"]);
    assert_eq!(office.intake.deadline(), None, "nothing ticks while nothing waits");
}

#[tokio::test(start_paused = true)]
async fn a_full_backlog_stops_the_reading_until_there_is_room() {
    let mut office = office(Shelf::with_room(0));
    office.intake.out = Outgoing::with_limit(Box::new(office.shelf.clone()), clock::mono(), 1);
    office.intake.out.push(call(1));
    office.intake.collect();
    let (connection, mut theirs) = pipe();
    theirs.write_all(GREETING).await.unwrap();
    let follow = tokio::spawn(async move { office.intake.follow(connection).await.is_none() });
    passes(&mut office.link, Link::Stopped).await;
    clock::sleep_until(Some(clock::mono().after(Duration::from_hours(1)))).await;
    assert_eq!(*office.link.borrow(), Link::Stopped);
    office.shelf.make_room(1);
    passes(&mut office.link, Link::Up { asterisk_version: None }).await;
    assert_eq!(office.shelf.ids(), ["t-1"]);
    office.stop.cancel();
    assert!(follow.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_stop_says_good_bye() {
    let mut office = office(Shelf::with_room(1));
    let (connection, mut theirs) = pipe();
    theirs.write_all(GREETING).await.unwrap();
    let follow = tokio::spawn(async move { office.intake.follow(connection).await.is_none() });
    passes(&mut office.link, Link::Up { asterisk_version: None }).await;
    office.stop.cancel();
    let mut sent = String::new();
    theirs.read_to_string(&mut sent).await.unwrap();
    let last = sent.trim_end().rsplit("\r\n\r\n").next();
    assert!(last.is_some_and(|block| block.starts_with("Action: Logoff\r\nActionID: ")), "{sent}");
    assert!(follow.await.unwrap());
}

/// Until when the stream is known to have been whole, after the PBX or the task ended it; in seconds after the
/// event that came last.
async fn whole_until(silence: u64, end: impl FnOnce(&Office, DuplexStream)) -> Option<f64> {
    let mut office = office(Shelf::with_room(1));
    let (connection, mut theirs) = pipe();
    theirs.write_all(GREETING).await.unwrap();
    let [head, _] = parts_of_a_call("OTHER");
    theirs.write_all(head.as_bytes()).await.unwrap();
    let mut intake = std::mem::replace(&mut office.intake, self::office(Shelf::with_room(0)).intake);
    let follow = tokio::spawn(async move {
        intake.follow(connection).await;
        intake.collect();
        intake.drain().await;
    });
    passes(&mut office.link, Link::Up { asterisk_version: None }).await;
    clock::sleep_until(Some(clock::mono().after(Duration::from_secs(silence)))).await;
    end(&office, theirs);
    follow.await.unwrap();
    let kept = office.shelf.1.lock().unwrap();
    let alive =
        |value: &Vec<u8>| serde_json::from_slice::<serde_json::Value>(value).unwrap()["alive"].as_i64();
    let alive = kept.values().find_map(alive)?;
    Some(Duration::from_micros(u64::try_from(alive - 1_795_339_565_000_001).unwrap()).as_secs_f64())
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_in_order_was_whole_until_then() {
    let closed = whole_until(7, |_, theirs| drop(theirs)).await;
    assert!(closed.is_some_and(|seconds| (7.0..7.1).contains(&seconds)), "{closed:?}");
    let stopped = whole_until(7, |office, theirs| {
        office.stop.cancel();
        drop(theirs);
    });
    let stopped = stopped.await;
    assert!(stopped.is_some_and(|seconds| (7.0..7.1).contains(&seconds)), "{stopped:?}");
}

/// The head and the tail of a missed call, with a variable of the dial plan in the tail.
fn parts_of_a_call(variable: &str) -> [String; 2] {
    let channel = "Channel: PJSIP/trunk-1\r\nChannelState: 4\r\nCallerIDNum: 79161234568\r\nContext: from-trunk\r\n\
                   Exten: 74957000101\r\nUniqueid: 1.1\r\nLinkedid: 1.1\r\n\r\n";
    let event = |name: &str, at: u32, more: &str| {
        format!("Event: {name}\r\nTimestamp: 17953395{at}.000001\r\n{more}{channel}")
    };
    let variable = event("VarSet", 66, &format!("Variable: {variable}\r\nValue: 2\r\n"));
    [event("Newchannel", 65, ""), variable + &event("Hangup", 75, "Cause: 16\r\n")]
}

#[tokio::test(start_paused = true)]
async fn a_call_is_judged_by_the_policy_at_its_end() {
    let mut office = office(Shelf::with_room(1));
    let (connection, mut theirs) = pipe();
    let [head, tail] = parts_of_a_call("MY_STATUS");
    theirs.write_all(GREETING).await.unwrap();
    theirs.write_all(head.as_bytes()).await.unwrap();
    let follow = tokio::spawn(async move { office.intake.follow(connection).await.is_none() });
    passes(&mut office.link, Link::Up { asterisk_version: None }).await;
    let mut policy = Policy::default();
    "MY_".clone_into(&mut policy.dial_plan.variables);
    office.policy.send_replace(Arc::new(policy));
    theirs.write_all(tail.as_bytes()).await.unwrap();
    clock::sleep_until(Some(clock::mono().after(Duration::from_secs(5)))).await;
    let status = office.shelf.0.lock().unwrap().1.first().map(|call| call.record.status);
    assert_eq!(status, Some(Some(2)));
    office.stop.cancel();
    assert!(follow.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_line_that_goes_silent_is_left() {
    let mut office = office(Shelf::with_room(1));
    let (connection, mut theirs) = pipe();
    theirs.write_all(GREETING).await.unwrap();
    let start = clock::mono();
    let error = office.intake.follow(connection).await.unwrap();
    assert!(matches!(error, connection::Error::Session(session::Error::Silent(_))), "{error}");
    assert!(clock::mono().since(start) <= Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn a_stop_returns_only_when_every_call_was_taken() {
    let mut office = office(Shelf::with_room(0));
    office.intake.out.push(call(1));
    office.stop.cancel();
    let run = tokio::spawn(office.intake.run());
    clock::sleep_until(Some(clock::mono().after(Duration::from_secs(10)))).await;
    assert!(!run.is_finished());
    office.shelf.make_room(1);
    run.await.unwrap().unwrap();
    assert_eq!(office.shelf.ids(), ["t-1"]);
}

/// Stops an intake with two calls that wait, lets `end` happen, and reads what was logged.
async fn lost(end: impl FnOnce(&Office)) -> String {
    let (log, _guard) = Log::capture(tracing::Level::ERROR);
    let mut office = office(Shelf::with_room(0));
    (1..=2).for_each(|n| office.intake.out.push(call(n)));
    office.stop.cancel();
    end(&office);
    let begun = clock::mono();
    office.intake.run().await.unwrap();
    assert!(clock::mono().since(begun) < Duration::from_secs(1), "nothing is waited for in vain");
    log.text()
}

#[tokio::test(start_paused = true)]
async fn calls_that_a_dead_store_cannot_take_are_named_and_not_waited_for() {
    let log = lost(|office| office.shelf.make_room(DEAD)).await;
    for wanted in ["call_id=t-1", "call_id=t-2", "call lost", "…4568"] {
        assert!(log.contains(wanted), "{log}");
    }
    assert!(!log.contains("79161234568"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_a_dead_store_cannot_take_wait_in_a_file() {
    let mut office = office(Shelf::with_room(SPILLS));
    (1..=2).for_each(|n| office.intake.out.push(call(n)));
    office.stop.cancel();
    let (log, _guard) = Log::capture(tracing::Level::WARN);
    office.intake.run().await.unwrap();
    assert_eq!(office.shelf.ids(), ["t-1", "t-2"]);
    let log = log.text();
    assert!(log.contains("wait in a file") && !log.contains("call lost"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_the_end_leaves_no_time_for_are_named() {
    let log = lost(|office| office.cut.cancel()).await;
    assert!(log.contains("call_id=t-1") && log.contains("call_id=t-2"), "{log}");
}

#[tokio::test]
async fn a_loss_is_told_by_the_link_whose_herald_says_what_to_do() {
    let mut office = office(Shelf::with_room(0));
    let (log, _guard) = Log::capture(tracing::Level::INFO);
    office.intake.tell_loss(connection::Error::Session(session::Error::Closed), Duration::from_secs(1));
    let reason = "the PBX closed the connection".to_owned();
    assert_eq!(*office.link.borrow(), Link::Down { reason });
    assert_eq!(log.text(), "");
}

#[tokio::test]
async fn a_pbx_that_is_away_is_tried_with_pauses() {
    let mut office = office(Shelf::with_room(0));
    let run = tokio::spawn(office.intake.run());
    let down = |link: &Link| matches!(link, Link::Down { reason } if reason.contains("127.0.0.1:9"));
    tokio::time::timeout(Duration::from_secs(20), office.link.wait_for(down)).await.unwrap().unwrap();
    office.stop.cancel();
    run.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_the_pbx_does_not_give_is_told_once_each() {
    let mut office = office(Shelf::with_room(1));
    let (log, _guard) = Log::capture(tracing::Level::WARN);
    let denied = |action| Notice::Denied { action, message: "Permission denied".to_owned() };
    for _connection in 0..3 {
        for action in ["Status", "BridgeList"] {
            office.intake.tell(denied(action));
        }
        office.intake.tell(Notice::BootUnconfirmed);
    }
    let text = log.text();
    assert_eq!(text.lines().filter(|line| line.contains("write = reporting")).count(), 2, "{text}");
    assert_eq!(
        text.lines().filter(|line| line.contains("add system to the AMI user's read")).count(),
        1,
        "{text}"
    );
    assert!(text.contains("calls that end while the connection is away stay open"), "{text}");
}
