//! The real binary, and calls that a lost connection cut short: the PBX's records tell what became of them, and whom an
//! employee called.

use std::time::Duration;

use ami2amo::call::id::{CallId, PbxName};
use ami2amo::call::record::{CallRecord, Direction, Source};
use ami2amo::clock;
use ami2amo::outbox::queue::{Phase, Queue as _, Settlement, State};
use ami2amo::outbox::store::Store;
use ami2amo::time::{HostTime, local};

use daemon::LIMIT;
use fake_ami::{FakeAmi, Step};
use missed::{ZONE_S, events, host_with_records, now, record, script, stored};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/missed.rs"]
mod missed;

/// Nothing runs on the PBX: so its list of channels says.
fn no_channels() -> Step {
    let list = "Event: CoreShowChannelsComplete\r\nEventList: Complete\r\nListItems: 0\r\n\r\n";
    Step::Send(list.as_bytes().to_vec())
}

/// A call that rang when the connection was cut, and was answered and over before it was there again.
async fn answered_in_the_gap(send: &str) -> CallRecord {
    let start = now() - 1;
    let events = String::from_utf8(events(start)).unwrap();
    let ringing = events.split_inclusive("\r\n\r\n").next().unwrap().as_bytes().to_vec();
    let ami = FakeAmi::start(script(vec![Step::Send(ringing), Step::Hold, Step::Cut])).await;
    let host = host_with_records(ami.port());
    host.edit("[amocrm]", &format!("{send}\n[amocrm]"));
    let mut daemon = host.start();
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.set_script(script(vec![no_channels()]));
    // It was answered while nobody looked, and was over before the next look, however slow this machine is.
    let time = |at: i64| local::text((at + ZONE_S) * 1_000_000);
    let end = now().max(start + 2);
    let answered = record(start)
        .replace(&time(start + 2), &time(end))
        .replace(",,", &format!(",\"{}\",", time(start + 1)))
        .replace("2,0,\"NO ANSWER\"", &format!("{},{},\"ANSWERED\"", end - start, end - start - 1));
    std::fs::write(host.path("Master.csv"), answered).unwrap();
    ami.go_on();
    daemon.logs("call ended").await;
    let told = daemon.logs("is told by the PBX's records").await;
    assert!(told.contains("Answered"), "{told}");
    daemon.stopped().await;
    let stats = host.stored();
    assert_eq!((stats.ended, stats.by_phase.get(&Phase::Skipped)), (1, None));
    let record = stored(&host, start);
    assert!(record.answered && !record.partial && record.source == Source::Cdr, "{record:?}");
    record
}

#[tokio::test]
async fn a_call_that_rang_at_the_cut_is_told_by_the_records() {
    let record = answered_in_the_gap("").await;
    assert_eq!((record.responsible.as_deref(), record.status), (Some("101"), Some(4)));
    assert_eq!(record.started_at.micros() % 1_000_000, 500_000, "what was seen is as it was seen");
}

#[tokio::test]
async fn a_call_that_was_too_short_at_the_cut_to_be_sent_is_by_the_records() {
    let record = answered_in_the_gap("[calls.send]\nshortest-wait = \"1h\"").await;
    assert_eq!(record.skip, None);
}

/// Until the trunk's leg begins nothing tells a call to outside from one among ourselves.
#[tokio::test]
async fn a_call_that_was_cut_before_its_outside_party_was_seen_is_told_by_the_records() {
    let start = now() - 1;
    let leg = format!(
        "Event: Newchannel\r\nTimestamp: {start}.500000\r\nChannel: PJSIP/101-{start:08x}\r\nChannelState: 4\r\n\
         CallerIDNum: 101\r\nContext: from-internal\r\nExten: 89161234568\r\nPriority: 1\r\nUniqueid: {start}.7\r\n\
         Linkedid: {start}.7\r\n\r\n"
    );
    let ami = FakeAmi::start(script(vec![Step::Send(leg.into_bytes()), Step::Hold, Step::Cut])).await;
    let host = host_with_records(ami.port());
    let mut daemon = host.start();
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.set_script(script(vec![no_channels()]));
    let row = record(start)
        .replace(
            "\"79161234568\",\"74957000101\",\"from-trunk\"",
            "\"101\",\"89161234568\",\"from-internal\"",
        )
        .replace("PJSIP/trunk-msk-", "PJSIP/swap-")
        .replace("PJSIP/101-", "PJSIP/trunk-msk-")
        .replace("PJSIP/swap-", "PJSIP/101-")
        .replace("PJSIP/101,25", "PJSIP/89161234568@trunk-msk,25");
    std::fs::write(host.path("Master.csv"), row).unwrap();
    ami.go_on();
    let ended = daemon.logs("call ended").await;
    assert!(ended.contains("Internal"), "{ended}");
    daemon.logs("is told by the PBX's records").await;
    daemon.stopped().await;
    let stats = host.stored();
    assert_eq!((stats.ended, stats.by_phase), (1, [(Phase::Pending, 1)].into()));
    let record = stored(&host, start);
    assert_eq!(
        (record.direction, record.phone.as_deref()),
        (Direction::Outbound, Some("79161234568")),
        "{record:?}"
    );
    assert_eq!((record.responsible.as_deref(), record.skip, record.source), (Some("101"), None, Source::Cdr));
    assert_eq!(record.started_at.micros() % 1_000_000, 500_000, "what was seen is as it was seen");
}

/// The daemon was away when the call's time to be told by the records ended.
#[tokio::test]
async fn a_call_that_waits_for_its_record_waits_on_after_a_stop() {
    let start = now() - 1;
    let events = String::from_utf8(events(start)).unwrap();
    let ringing = events.split_inclusive("\r\n\r\n").next().unwrap().as_bytes().to_vec();
    let ami = FakeAmi::start(script(vec![Step::Send(ringing), Step::Hold, Step::Cut])).await;
    let host = host_with_records(ami.port());
    let mut daemon = host.start();
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.set_script(script(vec![no_channels()]));
    ami.go_on();
    daemon.logs("call ended").await;
    daemon.logs("calls of this time are looked for").await;
    daemon.logs("a group is durable").await;
    daemon.stopped().await;
    {
        let mut store = Store::open(&host.path("store"), HostTime::default()).unwrap();
        let id = CallId::new(&PbxName::default(), &format!("{start}.7"), 1);
        let item = store.find(&id).unwrap().unwrap();
        let next_at = item.enqueued_at.after(Duration::from_millis(1));
        let (seq, state, errand) = (item.seq, State::Pending, item.errand);
        let over = Settlement { seq, state, next_at, last_error: None, attempted: false, errand };
        store.settle(vec![over], clock::host()).unwrap();
    }
    let time = |at: i64| local::text((at + ZONE_S) * 1_000_000);
    let answered = record(start)
        .replace(",,", &format!(",\"{}\",", time(start + 1)))
        .replace("2,0,\"NO ANSWER\"", "2,1,\"ANSWERED\"");
    std::fs::write(host.path("Master.csv"), answered).unwrap();
    let mut daemon = host.start();
    let held = daemon.logs("wait for the PBX's records again").await;
    assert!(held.contains("calls=1"), "{held}");
    let told = daemon.logs("is told by the PBX's records").await;
    assert!(told.contains("Answered"), "{told}");
    daemon.stopped().await;
    assert!(stored(&host, start).answered);
}
