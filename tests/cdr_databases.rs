//! Tables of call detail records in databases that really run: what the readers ask is understood, finds
//! what it should, and fails in words.
//!
//! A file of `SQLite` needs nothing. `AMI2AMO_MARIADB=/usr/sbin/mariadbd` and `AMI2AMO_POSTGRES=/usr/lib/postgresql/15/bin`
//! name programs that the tests start for themselves, in folders of their own; `tests/cdr/databases.sh`
//! sets both. Without them those tests say so and pass.

#![cfg(any(feature = "cdr-mysql", feature = "cdr-postgres", feature = "cdr-sqlite"))]

use std::sync::Arc;

use ami2amo::ami::connection::Secret;
use ami2amo::call::id::PbxName;
use ami2amo::call::record::{Direction, FinishedCall};
use ami2amo::call::why::Why;
use ami2amo::cdr::calls::Known;
use ami2amo::cdr::cel::entry::Column as Event;
use ami2amo::cdr::column::Column;
use ami2amo::cdr::range::Range;
use ami2amo::cdr::source::events::Events;
use ami2amo::cdr::source::{Server, Source};
use ami2amo::cdr::{cel, csv, fetch};
use ami2amo::time::{PbxTime, local};

#[path = "support/servers.rs"]
mod servers;

/// 2026-11-22 09:27:15 UTC.
const MADE: i64 = 1_795_339_635;

/// The clock of these tables is ahead of UTC by this.
const ZONE_S: i64 = 5 * 3600 + 45 * 60;

/// FreePBX's table, as its installer makes it.
const FREEPBX: &str = "CREATE TABLE cdr (calldate DATETIME NOT NULL DEFAULT '1970-01-01 00:00:00', clid VARCHAR(80) NOT NULL \
    DEFAULT '', src VARCHAR(80) NOT NULL DEFAULT '', dst VARCHAR(80) NOT NULL DEFAULT '', dcontext VARCHAR(80) NOT NULL \
    DEFAULT '', channel VARCHAR(80) NOT NULL DEFAULT '', dstchannel VARCHAR(80) NOT NULL DEFAULT '', lastapp VARCHAR(80) \
    NOT NULL DEFAULT '', lastdata VARCHAR(80) NOT NULL DEFAULT '', duration INT NOT NULL DEFAULT 0, billsec INT NOT NULL \
    DEFAULT 0, disposition VARCHAR(45) NOT NULL DEFAULT '', amaflags INT NOT NULL DEFAULT 0, accountcode VARCHAR(20) NOT \
    NULL DEFAULT '', uniqueid VARCHAR(32) NOT NULL DEFAULT '', userfield VARCHAR(255) NOT NULL DEFAULT '', did VARCHAR(50) \
    NOT NULL DEFAULT '', recordingfile VARCHAR(255) NOT NULL DEFAULT '', cnum VARCHAR(80) NOT NULL DEFAULT '', cnam \
    VARCHAR(80) NOT NULL DEFAULT '', outbound_cnum VARCHAR(80) NOT NULL DEFAULT '', outbound_cnam VARCHAR(80) NOT NULL \
    DEFAULT '', dst_cnam VARCHAR(80) NOT NULL DEFAULT '', linkedid VARCHAR(32) NOT NULL DEFAULT '', peeraccount VARCHAR(80) \
    NOT NULL DEFAULT '', sequence INT NOT NULL DEFAULT 0, KEY calldate (calldate), KEY uniqueid (uniqueid))";

/// FreePBX's table of channel events.
const FREEPBX_CEL: &str = "CREATE TABLE cel (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, eventtype VARCHAR(30) NOT NULL, eventtime \
    DATETIME NOT NULL, cid_name VARCHAR(80) NOT NULL DEFAULT '', cid_num VARCHAR(80) NOT NULL, cid_ani VARCHAR(80) NOT NULL \
    DEFAULT '', cid_rdnis VARCHAR(80) NOT NULL DEFAULT '', cid_dnid VARCHAR(80) NOT NULL DEFAULT '', exten VARCHAR(80) NOT \
    NULL, context VARCHAR(80) NOT NULL, channame VARCHAR(80) NOT NULL, appname VARCHAR(80) NOT NULL, appdata VARCHAR(255) NOT \
    NULL, amaflags INT NOT NULL DEFAULT 0, accountcode VARCHAR(20) NOT NULL DEFAULT '', uniqueid VARCHAR(32) NOT NULL, \
    linkedid VARCHAR(32) NOT NULL, peer VARCHAR(80) NOT NULL DEFAULT '', userdeftype VARCHAR(255) NOT NULL DEFAULT '', extra \
    VARCHAR(512) NOT NULL, KEY uniqueid_index (uniqueid), KEY linkedid_index (linkedid))";

/// What `cdr_pgsql`'s documentation has.
#[cfg(feature = "cdr-postgres")]
const POSTGRES: &str = "CREATE TABLE cdr (accountcode VARCHAR(20), src VARCHAR(80), dst VARCHAR(80), dcontext VARCHAR(80), clid \
    VARCHAR(80), channel VARCHAR(80), dstchannel VARCHAR(80), lastapp VARCHAR(80), lastdata VARCHAR(80), start TIMESTAMP, \
    answer TIMESTAMP, \"end\" TIMESTAMP, duration INT, billsec INT, disposition VARCHAR(20), amaflags VARCHAR(20), userfield \
    VARCHAR(255), uniqueid VARCHAR(150), linkedid VARCHAR(150), peeraccount VARCHAR(80), sequence INT)";

/// `MikoPBX`'s table, without columns that nobody here asks for.
#[cfg(feature = "cdr-sqlite")]
const MIKOPBX: &str = "CREATE TABLE cdr_general (id INTEGER PRIMARY KEY AUTOINCREMENT, start VARCHAR, endtime VARCHAR, answer \
    VARCHAR, src_chan VARCHAR, src_num VARCHAR, dst_chan VARCHAR, dst_num VARCHAR, UNIQUEID VARCHAR, linkedid VARCHAR, did \
    VARCHAR, disposition VARCHAR, recordingfile VARCHAR, from_account VARCHAR, to_account VARCHAR, dialstatus VARCHAR, appname \
    VARCHAR, transfer INTEGER, is_app VARCHAR, duration INTEGER, billsec INTEGER, work_completed INTEGER)";

fn clock(at: i64) -> String {
    local::text((at + ZONE_S) * 1_000_000)
}

/// A call to a group of two at `at`, that the second answers after 3 s for 4 s; in Asterisk's columns.
fn group_call(at: i64, n: i64) -> String {
    let row = |phone: i64, answered: bool| {
        let (duration, billsec, disposition) =
            if answered { (7, 4, "ANSWERED") } else { (3, 0, "NO ANSWER") };
        format!(
            "('{}','79161013644','300','from-trunk','PJSIP/trunk-msk-{n:08x}','PJSIP/{phone}-{:08x}','Dial',\
             'PJSIP/101&PJSIP/102,12',{duration},{billsec},'{disposition}','{at}.{n}','{at}.{n}')",
            clock(at),
            n * 10 + phone,
        )
    };
    format!("{},{}", row(101, false), row(102, true))
}

fn insert(rows: &[String]) -> String {
    format!(
        "INSERT INTO cdr (calldate,src,dst,dcontext,channel,dstchannel,lastapp,lastdata,duration,billsec,disposition,uniqueid,\
         linkedid) VALUES {}",
        rows.join(",")
    )
}

/// What `insert` puts in, behind the time.
const OF_RECORDS: [Column; 12] = [
    Column::Src,
    Column::Dst,
    Column::Context,
    Column::Channel,
    Column::DstChannel,
    Column::LastApp,
    Column::LastData,
    Column::Duration,
    Column::Billsec,
    Column::Disposition,
    Column::Uniqueid,
    Column::Linkedid,
];
const OF_EVENTS: [Event; 10] = [
    Event::Kind,
    Event::Number,
    Event::Exten,
    Event::Context,
    Event::Channel,
    Event::App,
    Event::Data,
    Event::Uniqueid,
    Event::Linkedid,
    Event::Extra,
];

/// A transfer, as Asterisk wrote its records and its events; in whole seconds of the local clock.
fn recorded_transfer() -> [String; 2] {
    let read = |ending: &str| {
        let path =
            format!("{}/tests/cel/ast22-vanilla/in-blind-transfer.{ending}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let record = |line: &str| {
        let raw = csv::record(line.as_bytes()).unwrap();
        let start = local::parse(raw.get(Column::Start).unwrap()).unwrap() / 1_000_000;
        values(start, OF_RECORDS.map(|column| raw.get(column).unwrap_or_default()))
    };
    let event = |line: &str| {
        let raw = cel::csv::record(line.as_bytes()).unwrap();
        let at = raw.get(Event::Time).and_then(|time| time.split('.').next()).unwrap().parse().unwrap();
        values(at, OF_EVENTS.map(|column| raw.get(column).unwrap_or_default()))
    };
    let events: Vec<_> = read("cel.csv").lines().map(event).collect();
    let columns =
        "eventtime,eventtype,cid_num,exten,context,channame,appname,appdata,uniqueid,linkedid,extra";
    [
        insert(&read("cdr.csv").lines().map(record).collect::<Vec<_>>()),
        format!("INSERT INTO cel ({columns}) VALUES {}", events.join(",")),
    ]
}

/// A row as SQL has it, `at` (epoch) by the local clock.
fn values<const N: usize>(at: i64, texts: [&str; N]) -> String {
    let texts = texts.map(|text| format!("'{}'", text.replace('\'', "''")));
    format!("('{}',{})", clock(at), texts.join(","))
}

/// The talk of the transfer without the ringing: rows alone have it within.
async fn check_transfer(source: &Source, events: &Events, expected: (u64, &str)) {
    let (pbx, policy) = (PbxName::default(), Arc::default());
    let known = Known { pbx: &pbx, policy: &policy, endpoints: &[] };
    let newest = source.probe_events(events).await.unwrap().unwrap();
    let from = PbxTime::from_micros(newest.micros() - 60_000_000);
    let fetched = fetch::calls(source, Some(events), known, Range { from, to: newest.after(ROUNDING) })
        .await
        .whole()
        .unwrap();
    assert_eq!((fetched.calls.len(), fetched.unread_events.len()), (1, 0));
    let record = &fetched.calls[0].call.record;
    assert_eq!(
        (record.answered_by.join(","), record.bridged_seconds.rounded()),
        (expected.1.to_owned(), expected.0)
    );
    assert!(
        record.why.iter().any(|why| matches!(why, Why::FromCdr { rows: 2.., events: 20.. })),
        "{:?}",
        record.why
    );
    let absent = Events::Table { name: "no_such".to_owned() };
    let told = source.probe_events(&absent).await.unwrap_err().to_string();
    assert!(told.contains("no_such"), "{told}");
    let fetched = fetch::calls(source, Some(&absent), known, Range { from, to: newest.after(ROUNDING) })
        .await
        .whole()
        .unwrap();
    let unread: Vec<_> = fetched.unread_events.iter().map(ToString::to_string).collect();
    assert!(fetched.calls.len() == 1 && unread[0].contains("no_such"), "{unread:?}");
}

const ROUNDING: std::time::Duration = std::time::Duration::from_secs(2);

async fn calls(source: &Source, from: i64, to: i64) -> Vec<FinishedCall> {
    let (pbx, policy) = (PbxName::default(), Arc::default());
    let known = Known { pbx: &pbx, policy: &policy, endpoints: &[] };
    let range =
        Range { from: PbxTime::from_micros(from * 1_000_000), to: PbxTime::from_micros(to * 1_000_000) };
    let found = fetch::calls(source, None, known, range).await.whole().unwrap();
    found.calls.into_iter().map(|call| call.call).collect()
}

#[track_caller]
fn check_group_call(call: &FinishedCall, at: i64) {
    let record = &call.record;
    assert_eq!(record.started_at.micros(), at * 1_000_000);
    assert_eq!((record.direction, record.phone.as_deref()), (Direction::Inbound, Some("79161013644")));
    assert_eq!(
        (&record.answered_by[..], &record.rang[..]),
        (&["102".to_owned()][..], &["101".to_owned(), "102".to_owned()][..])
    );
    assert_eq!(
        (record.talk_seconds.rounded(), record.wait_seconds.rounded(), record.status),
        (4, 3, Some(4))
    );
}

#[cfg(feature = "cdr-mysql")]
#[tokio::test]
async fn a_table_of_freepbx_on_mariadb_is_read() {
    let Some(mut maria) = servers::Maria::start() else { return };
    let mut hours: Vec<String> = (0..48).map(|hour| group_call(MADE + hour * 3600, hour + 1)).collect();
    // One that rang for ten hours and three seconds.
    let long =
        group_call(MADE - 12 * 3600, 99).replace(",3,0,'NO", ",36003,0,'NO").replace(",7,4,", ",36007,4,");
    hours.push(long);
    maria.run(&format!("{FREEPBX}; {};", insert(&hours)));
    maria
        .run("CREATE USER reader@'%' IDENTIFIED BY 'p4ss'; GRANT SELECT ON asteriskcdrdb.cdr TO reader@'%';");
    let server = Server {
        host: "127.0.0.1".to_owned(),
        port: Some(maria.port),
        socket: None,
        user: "reader".to_owned(),
        password: Some(Secret::new(b"p4ss".to_vec())),
        database: "asteriskcdrdb".to_owned(),
        table: "cdr".to_owned(),
    };
    let source = Source::Mysql(server.clone());
    let probe = source.probe().await.unwrap();
    assert_eq!(probe.newest.map(PbxTime::micros), Some((MADE + 47 * 3600 + 7) * 1_000_000));
    assert!(probe.linked);
    let found = calls(&source, MADE + 10 * 3600 - 60, MADE + 13 * 3600 - 60).await;
    assert_eq!(found.len(), 3);
    (10..).zip(&found).for_each(|(hour, call)| check_group_call(call, MADE + hour * 3600));
    let oldest = PbxTime::from_micros((MADE - 12 * 3600) * 1_000_000);
    assert_eq!(source.oldest().await.unwrap(), Some(oldest));
    assert_eq!(calls(&source, MADE - 7000, MADE - 60).await, []);
    assert_eq!(calls(&source, MADE - 7200, MADE - 7000).await.len(), 1);

    let by_socket = Source::Mysql(Server { socket: Some(maria.socket()), ..server.clone() });
    assert_eq!(by_socket.probe().await.unwrap(), probe);
    let told = |source: Source| async move { source.probe().await.unwrap_err().to_string() };
    let wrong = Secret::new(b"s3cret-of-nobody".to_vec());
    let denied = told(Source::Mysql(Server { password: Some(wrong), ..server.clone() })).await;
    assert!(denied.contains("Access denied") && !denied.contains("s3cret"), "{denied}");
    let absent = told(Source::Mysql(Server { table: "cel".to_owned(), ..server.clone() })).await;
    assert!(absent.contains("\"cel\"") && absent.contains("calldate"), "{absent}");
    assert!(!format!("{source:?}").contains("p4ss"));

    maria.run(&format!("{FREEPBX_CEL}; GRANT SELECT ON asteriskcdrdb.cel TO reader@'%'"));
    let events = Events::Table { name: "cel".to_owned() };
    assert_eq!(source.probe_events(&events).await.unwrap(), None);
    let [rows, entries] = recorded_transfer();
    maria.run(&format!("{rows}; {entries};"));
    check_transfer(&source, &events, (6, "101,102")).await;
    maria.stop();
    let gone = told(source).await;
    assert!(gone.contains("127.0.0.1") && gone.contains("refused"), "{gone}");
}

#[cfg(feature = "cdr-postgres")]
#[tokio::test]
async fn a_table_on_postgresql_is_read() {
    let Some(postgres) = servers::Postgres::start() else { return };
    postgres.run(POSTGRES);
    let rows = insert(&[group_call(MADE, 1), group_call(MADE + 7200, 2)]).replace("calldate", "start");
    postgres.run(&rows);
    postgres.run("CREATE USER reader PASSWORD 'p4ss'");
    postgres.run("GRANT SELECT ON cdr TO reader");
    let source = Source::Postgres(Server {
        host: "127.0.0.1".to_owned(),
        port: Some(postgres.port),
        socket: None,
        user: "reader".to_owned(),
        password: Some(Secret::new(b"p4ss".to_vec())),
        database: "postgres".to_owned(),
        table: "cdr".to_owned(),
    });
    let found = calls(&source, MADE - 60, MADE + 60).await;
    assert_eq!(found.len(), 1);
    check_group_call(&found[0], MADE);
    assert_eq!(source.oldest().await.unwrap(), Some(PbxTime::from_micros(MADE * 1_000_000)));

    postgres.run(&format!("{}; GRANT SELECT ON cel TO reader", generic(FREEPBX_CEL, "SERIAL", "TIMESTAMP")));
    let [rows, entries] = recorded_transfer();
    postgres.run(&format!("{}; {entries}", rows.replace("calldate", "start")));
    check_transfer(&source, &Events::Table { name: "cel".to_owned() }, (6, "101,102")).await;
}

/// A table of `MariaDB` as another database makes it.
#[cfg(any(feature = "cdr-postgres", feature = "cdr-sqlite"))]
fn generic(table: &str, serial: &str, time: &str) -> String {
    let keys = table.find(", KEY").unwrap();
    let table = table[..keys].replace("INT NOT NULL AUTO_INCREMENT", serial).replace("DATETIME", time);
    format!("{table})")
}

#[cfg(feature = "cdr-sqlite")]
#[tokio::test]
async fn channel_events_of_a_file_of_sqlite_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cdr.db");
    let [rows, entries] = recorded_transfer();
    let tables = [FREEPBX, FREEPBX_CEL].map(|table| generic(table, "INTEGER", "VARCHAR(30)"));
    servers::sqlite(&path, &[tables[0].clone(), tables[1].clone(), rows, entries]).await;
    let source = Source::Sqlite { path, table: "cdr".to_owned() };
    check_transfer(&source, &Events::Table { name: "cel".to_owned() }, (6, "101,102")).await;
}

#[cfg(feature = "cdr-sqlite")]
#[tokio::test]
async fn a_table_of_mikopbx_is_read_and_never_written() {
    const LONG: i64 = 10 * 3600;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cdr.db");
    let row = |phone: &str, answer: String, end: i64, disposition: &str| {
        format!(
            "INSERT INTO cdr_general (start,endtime,answer,src_chan,src_num,dst_chan,dst_num,UNIQUEID,linkedid,did,disposition,\
             duration,billsec) VALUES ('{}.120','{}.620','{answer}','PJSIP/SIP-TRUNK-1-00000001','79161013644',\
             'PJSIP/{phone}-00000{phone}','{phone}','mikopbx-{MADE}.1_{phone}','mikopbx-{MADE}.1','74957000300',\
             '{disposition}',{},0)",
            clock(MADE),
            clock(MADE + end),
            end
        )
    };
    let answered = format!("{}.120", clock(MADE + 3));
    // On the phone for ten hours, and ended an hour before the other call begins.
    let begun = MADE - LONG - 3600;
    let conference = row("103", format!("{}.120", clock(begun + 1)), LONG, "ANSWERED")
        .replace(&clock(MADE), &clock(begun))
        .replace(&clock(MADE + LONG), &clock(begun + LONG))
        .replace(&format!("{MADE}.1"), &format!("{begun}.9"))
        .replace("00000001", "00000009");
    let statements = [
        MIKOPBX.to_owned(),
        conference,
        row("101", String::new(), 3, "NOANSWER"),
        row("102", answered, 7, "ANSWERED"),
    ];
    servers::sqlite(&path, &statements).await;
    let before = std::fs::read(&path).unwrap();
    let source = Source::Sqlite { path: path.clone(), table: "cdr_general".to_owned() };
    let found = calls(&source, MADE, MADE + 60).await;
    assert_eq!(found.len(), 1);
    let record = &found[0].record;
    assert_eq!((record.direction, record.phone.as_deref()), (Direction::Inbound, Some("79161013644")));
    assert_eq!((record.did.as_deref(), record.responsible.as_deref()), (Some("74957000300"), Some("102")));
    assert_eq!(record.talk_seconds.millis(), 4500);
    assert_eq!(record.uniqueids, [format!("mikopbx-{MADE}.1")]);
    let long = calls(&source, MADE - 3700, MADE - 3500).await;
    assert_eq!(
        long.iter().map(|call| call.record.talk_seconds.rounded()).collect::<Vec<_>>(),
        [LONG.cast_unsigned()]
    );
    let oldest = source.oldest().await.unwrap();
    assert_eq!(oldest, Some(PbxTime::from_micros(begun * 1_000_000 + 120_000)));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["cdr.db"], "nothing is left beside it");
    let absent = Source::Sqlite { path: dir.path().join("no.db"), table: "cdr".to_owned() };
    let told = absent.probe().await.unwrap_err().to_string();
    assert!(told.contains("no.db") && !dir.path().join("no.db").exists(), "{told}");
}
