//! The real binary, and calls that nobody followed: the connection cut, the daemon down, records in
//! `Master.csv`. A call is stored once, whether it was seen, is in the records, or both.

use std::time::Duration;

use ami2amo::call::record::Source;
use ami2amo::call::why::Why;
use ami2amo::time::local;

use daemon::{Host, LIMIT};
use fake_ami::{Clock, FakeAmi, Script, Step};
use missed::{ZONE_S, add, events, host_with_records, now, script, stored};

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/missed.rs"]
mod missed;

/// What `ami2amo status` says of gaps, as soon as there was one and its first search is over.
async fn gaps(host: &Host) -> serde_json::Value {
    let told = async {
        loop {
            let output = host.command().args(["status", "--json"]).output().await.unwrap();
            let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let gaps = status["pbxs"][0]["gaps"].clone();
            if gaps["found"] != 0 || gaps["unseen"] != 0 {
                return gaps;
            }
        }
    };
    tokio::time::timeout(LIMIT, told).await.expect("`status` tells of the gap")
}

#[tokio::test]
async fn calls_of_a_cut_are_stored_once() {
    let seen = now() - 5;
    let ami = FakeAmi::start(script(vec![Step::Send(events(seen)), Step::Hold, Step::Cut])).await;
    let host = host_with_records(ami.port());
    let mut daemon = host.start();
    daemon.logs("call ended").await;
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.set_script(script(vec![]));
    let missed = now() - 1;
    add(&host.path("Master.csv"), &[seen, missed]);
    ami.go_on();
    let told = daemon.logs("calls of this time are looked for").await;
    assert!(told.contains("pbx=default") && told.contains("count=1"), "{told}");
    let found = daemon.logs("were taken from the PBX's records").await;
    assert!(found.contains("added=1"), "{found}");
    let gaps = gaps(&host).await;
    assert_eq!(
        (&gaps["count"], &gaps["found"], &gaps["unseen"]),
        (&1.into(), &1.into(), &0.into()),
        "{gaps}"
    );
    daemon.stopped().await;
    assert_eq!(host.stored().ended, 2);
    let record = stored(&host, missed);
    assert_eq!((record.source, record.phone.as_deref()), (Source::Cdr, Some("79161234568")));
    assert_eq!((record.responsible.as_deref(), record.status), (Some("101"), Some(6)));
    assert_eq!(record.started_at.micros() / 1_000_000, missed, "whatever the records' zone");
    assert_eq!(stored(&host, seen).source, Source::Ami);
}

/// A call of two minutes ago that 101 answered after 3 s and a menu before; as a row, and as channel events.
fn answered_behind_a_menu(start: i64) -> [String; 2] {
    let [trunk, phone] = [("PJSIP/trunk-msk", 7), ("PJSIP/101", 8)];
    let channel = |(endpoint, number): (&str, i64)| format!("{endpoint}-{:08x}", start + number);
    let time = |at: i64| local::text((at + ZONE_S) * 1_000_000);
    let row = format!(
        "\"\",\"79161234567\",\"s\",\"ivr\",\"\",\"{}\",\"{}\",\"Dial\",\"PJSIP/101,25\",\"{}\",\"{}\",\"{}\",9,9,\"ANSWERED\",\
         \"DOCUMENTATION\",\"{start}.7\",\"\",\"\",\"{start}.7\",9\n",
        channel(trunk),
        channel(phone),
        time(start),
        time(start),
        time(start + 9),
    );
    let bridge = r#"{""bridge_id"":""b"",""bridge_technology"":""simple_bridge""}"#;
    let event = |kind: &str, at: i64, of: (&str, i64), extra: &str| {
        let (name, id) = (channel(of), of.1);
        format!(
            "\"{kind}\",\"{}.250000\",\"\",\"79161234567\",\"\",\"\",\"\",\"74957000101\",\"from-trunk\",\"{name}\",\"\",\"\",\"3\",\
             \"\",\"{start}.{id}\",\"{start}.7\",\"\",\"\",\"\",\"{extra}\"\n",
            start + at
        )
    };
    let events = [
        event("CHAN_START", 0, trunk, ""),
        event("ANSWER", 0, trunk, ""),
        event("CHAN_START", 3, phone, ""),
        event("ANSWER", 6, phone, ""),
        event("BRIDGE_ENTER", 6, phone, bridge),
        event("BRIDGE_ENTER", 6, trunk, bridge),
        event("HANGUP", 9, trunk, ""),
        event("HANGUP", 9, phone, ""),
    ];
    [row, events.concat()]
}

#[tokio::test]
async fn a_call_of_a_cut_is_told_from_its_channel_events() {
    let seen = now() - 60;
    let ami = FakeAmi::start(script(vec![Step::Send(events(seen)), Step::Hold, Step::Cut])).await;
    let host = host_with_records(ami.port());
    let [records, cel] = ["Master.csv", "cel.csv"].map(|name| host.path(name));
    host.edit("kind = \"csv\"", &format!("kind = \"csv\"\ncel = \"{}\"", cel.display()));
    let mut daemon = host.start();
    daemon.logs("call ended").await;
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.set_script(script(vec![]));
    // It ended in the gap, whose first second is that of the last answered ping.
    let missed = now() - 8;
    let [row, entries] = answered_behind_a_menu(missed);
    std::fs::write(&records, row).unwrap();
    std::fs::write(&cel, entries).unwrap();
    ami.go_on();
    let found = daemon.logs("were taken from the PBX's records").await;
    assert!(found.contains("added=1"), "{found}");
    daemon.stopped().await;
    let record = stored(&host, missed);
    assert_eq!((record.source, record.responsible.as_deref()), (Source::Cdr, Some("101")));
    assert_eq!((record.talk_seconds.millis(), record.wait_seconds.millis()), (3000, 6000));
    assert!(record.why.contains(&Why::FromCdr { rows: 1, events: 8 }), "{:?}", record.why);
}

#[tokio::test]
async fn channel_events_that_cannot_be_read_cost_no_call() {
    let ami = FakeAmi::start(script(vec![Step::Send(events(now() - 60)), Step::Hold, Step::Cut])).await;
    let host = host_with_records(ami.port());
    let absent = host.path("absent.csv");
    host.edit("kind = \"csv\"", &format!("kind = \"csv\"\ncel = \"{}\"", absent.display()));
    let mut daemon = host.start();
    daemon.logs("call ended").await;
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.set_script(script(vec![]));
    let missed = now() - 1;
    add(&host.path("Master.csv"), &[missed]);
    ami.go_on();
    let told = daemon.logs("channel events cannot be read").await;
    assert!(told.contains("absent.csv") && told.contains("No such file"), "{told}");
    daemon.logs("added=1").await;
    daemon.stopped().await;
    assert!(stored(&host, missed).why.contains(&Why::FromCdr { rows: 1, events: 0 }));
}

#[tokio::test]
async fn calls_of_a_time_without_a_daemon_are_stored_once() {
    let seen = now() - 60;
    let ami = FakeAmi::start(script(vec![Step::Send(events(seen))])).await;
    let host = host_with_records(ami.port());
    let before_the_first_start = seen - 600;
    add(&host.path("Master.csv"), &[before_the_first_start, seen]);
    let mut daemon = host.start();
    daemon.logs("call ended").await;
    // What is kept of the stream is written once a second.
    daemon.stopped().await;
    ami.set_script(script(vec![]));
    // Calls of this time: what was before, the first daemon saw.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let missed = [now() - 1, now()];
    add(&host.path("Master.csv"), &missed);
    let mut daemon = host.start();
    let found = daemon.logs("were taken from the PBX's records").await;
    assert!(found.contains("added=2"), "{found}");
    // Ended by force: the gap that waits for its further tries is not forgotten, and finds nothing new.
    daemon.killed().await;
    let mut daemon = host.start();
    let again = daemon.logs("no call is in the PBX's records that is not known").await;
    assert!(again.contains("DEBUG"), "{again}");
    daemon.stopped().await;
    assert_eq!(host.stored().ended, 3);
    assert_eq!(stored(&host, missed[0]).source, Source::Cdr);
}

/// Longer than what is looked at before it is stored.
#[tokio::test]
async fn calls_of_ten_hours_without_a_daemon_are_stored() {
    const HOUR: i64 = 3600;
    let seen = now() - 10 * HOUR;
    let clock = Clock::Sent(0.0);
    let ami = FakeAmi::start(Script { clock, ..script(vec![Step::Send(events(seen))]) }).await;
    let host = host_with_records(ami.port());
    let mut daemon = host.start();
    daemon.logs("call ended").await;
    daemon.stopped().await;
    ami.set_script(script(vec![]));
    let missed = [seen + 2 * HOUR, seen + 5 * HOUR, seen + 9 * HOUR, now() - 1];
    add(&host.path("Master.csv"), &[seen]);
    add(&host.path("Master.csv"), &missed);
    let mut daemon = host.start();
    let found = daemon.logs("were taken from the PBX's records").await;
    assert!(found.contains("added=4"), "{found}");
    daemon.stopped().await;
    assert_eq!(host.stored().ended, 5);
    assert_eq!(missed.map(|start| stored(&host, start).source), [Source::Cdr; 4]);
}

#[tokio::test]
async fn without_records_a_gap_is_told_with_what_to_do() {
    let ami = FakeAmi::start(script(vec![Step::Send(events(now() - 5)), Step::Hold, Step::Cut])).await;
    let host = Host::new(ami.port(), "");
    let mut daemon = host.start();
    daemon.logs("call ended").await;
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.set_script(script(vec![]));
    ami.go_on();
    let told = daemon.logs("the PBX was not watched").await;
    assert!(told.contains("WARN") && told.contains("[pbx.cdr]") && told.contains("seconds="), "{told}");
    let gaps = gaps(&host).await;
    assert_eq!(
        (&gaps["count"], &gaps["waiting"], &gaps["unseen"]),
        (&1.into(), &0.into(), &1.into()),
        "{gaps}"
    );
    daemon.stopped().await;
}

#[tokio::test]
async fn records_that_cannot_be_read_are_told_and_tried_again() {
    let ami = FakeAmi::start(script(vec![Step::Send(events(now() - 5)), Step::Hold, Step::Cut])).await;
    let host = host_with_records(ami.port());
    std::fs::remove_file(host.path("Master.csv")).unwrap();
    let mut daemon = host.start();
    daemon.logs("call ended").await;
    ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
    ami.set_script(script(vec![]));
    ami.go_on();
    let told = daemon.logs("cannot be looked for yet").await;
    assert!(told.contains("Master.csv") && told.contains("No such file"), "{told}");
    daemon.stopped().await;
}

#[tokio::test]
async fn records_that_hang_keep_no_other_pbx_waiting() {
    let cut = || script(vec![Step::Send(events(now() - 5)), Step::Hold, Step::Cut]);
    let (slow, quick) = (FakeAmi::start(cut()).await, FakeAmi::start(cut()).await);
    let host = host_with_records(quick.port());
    // A database that takes connections and says nothing.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = mute.local_addr().unwrap().port();
    let table = format!(
        "[[pbx]]\nname = \"slow\"\nhost = \"127.0.0.1\"\nport = {}\nusername = \"ami2amo\"\nsecret-file = \"{}\"\n\
         [pbx.cdr]\nkind = \"mysql\"\nuser = \"u\"\nport = {port}\n[amocrm]",
        slow.port(),
        host.path("secret").display(),
    );
    host.edit("[amocrm]", &table);
    let mut daemon = host.start();
    for ami in [&slow, &quick] {
        ami.wait_for(LIMIT, |seen| seen.pings > 0).await;
        ami.set_script(script(vec![]));
    }
    slow.go_on();
    daemon.logs("calls of this time are looked for").await;
    let missed = now() - 1;
    add(&host.path("Master.csv"), &[missed]);
    // The search at the slow one has begun when the quick one's gap comes.
    let _asked = tokio::time::timeout(LIMIT, mute.accept()).await.unwrap().unwrap();
    quick.go_on();
    let told = daemon.logs("were taken from the PBX's records").await;
    assert!(told.contains("pbx=default") && told.contains("added=1"), "{told}");
    let told = daemon.logs("cannot be looked for yet").await;
    assert!(told.contains("pbx=slow") && told.contains("did not answer within"), "{told}");
    daemon.stopped().await;
}
