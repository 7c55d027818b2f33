//! Writes the files of one version, once.

use std::fs;
use std::path::Path;

use ami2amo::ami::session::Login;
use ami2amo::amo::calls::Responsible;
use ami2amo::amo::who::Who;
use ami2amo::call::id::{AccountId, PbxName};
use ami2amo::call::record::{CallRecord, FinishedCall};
use ami2amo::config::file::File;
use ami2amo::outbox::errand::{Errand, Sound};
use ami2amo::outbox::queue::{Enqueued, EntityRef, Queue as _, Seq, Settlement, State};
use ami2amo::outbox::store::{Shelf, Store};
use ami2amo::time::HostTime;
use serde_json::{Value, json};

use crate::{captures, database, following};

/// When the store was written.
pub const NOW: HostTime = HostTime::from_micros(1_795_338_791_389_456);
/// When it is opened again.
pub const LATER: HostTime = HostTime::from_micros(1_795_338_791_389_456 + 3_600_000_000);

pub const EVERY_KEY: &str = include_str!("../../samples/every-key.toml");

/// What others keep in the store.
pub const SHELVES: [(Shelf, &str, &str); 3] = [
    (Shelf::Inflight, "c/1795339565.0", r#"{"v":1,"uniqueid":"1795339565.0"}"#),
    (Shelf::Tokens, "default", r#"{"v":1,"token":"t"}"#),
    (Shelf::Tasks, "default/9161234567", TASK),
];

/// The task to call back of one number, with every key.
pub const TASK: &str = r#"{"v":1,"call-id":"default-1795337591.4","ended":{"at":1795338791389456,"seq":3},"entity":{"kind":"contact","id":70},"text":"Call +79161234567 back: missed call","result":"Talked","user":504141,"talked":true,"task":55,"made-at":1795338791389456,"stage":{"is":"doubt","since":1795338791389456,"looked":1}}"#;

/// Calls of every kind, and more than there are states.
const CAPTURES: [&str; 14] = [
    "ast22-vanilla/in-answered.ami",
    "ast22-vanilla/out-answered.ami",
    "ast22-vanilla/in-hold.ami.gz",
    "ast22-vanilla/in-queue-answered.ami.gz",
    "ast22-vanilla/in-attended-transfer-phone.ami.gz",
    "ast22-vanilla/in-blind-transfer.ami.gz",
    "ast22-vanilla/in-park-retrieved.ami.gz",
    "ast22-vanilla/in-pickup-directed.ami.gz",
    "ast22-vanilla/click-to-call-local-answered.ami.gz",
    "ast22-vanilla/in-conference.ami.gz",
    "ast22-vanilla/in-anonymous.ami.gz",
    "ast22-vanilla/internal-answered.ami.gz",
    "ast22-freepbx/in-ringgroup-answered.ami.gz",
    "ast16-sip/in-voicemail-noanswer.ami.gz",
];

/// Writes the folder of a version, which must not be there.
pub fn version(folder: &Path) {
    assert!(!folder.exists(), "{} is there: what a version wrote is never written anew", folder.display());
    fs::create_dir_all(folder.join("checkpoints")).expect("the folder can be made");
    write(&folder.join("ami2amo.toml"), EVERY_KEY);
    let file: File = toml::from_str(EVERY_KEY).expect("its form is right");
    write(&folder.join("config.json"), &format!("{:#}\n", meaning(&file)));
    let paths: Vec<_> = CAPTURES.iter().map(|name| captures::bundled().join(name)).collect();
    let lines =
        paths.iter().map(|path| captures::jsonl(std::slice::from_ref(path), captures::policy_beside(path)));
    write(&folder.join("records.jsonl"), &lines.map(|printed| printed.output).collect::<String>());
    for capture in CAPTURES {
        for part in [3, 5] {
            let title = captures::title(Path::new(capture)).replace('/', "-");
            let lines = following::checkpoint(capture, part);
            if lines.len() > 2 {
                write_lines(&folder.join(format!("checkpoints/{title}-{part}.jsonl")), &lines);
            }
        }
    }
    store(folder);
}

/// What a configuration says, with its secrets left out.
pub fn meaning(file: &File) -> Value {
    let pbx = |pbx: &ami2amo::config::file::PbxTable| {
        json!({
            "name": pbx.name, "renamed_from": pbx.renamed_from, "host": pbx.host, "port": pbx.port(), "username": pbx.username,
            "secret": pbx.secret.is_some(), "secret_file": pbx.secret_file, "plain": pbx.login == Login::Plain,
            "ping_interval": pbx.ping_interval, "allow_plaintext": pbx.allow_plaintext,
            "tls": format!("{:?}", pbx.tls), "tls_fingerprint": pbx.tls_fingerprint, "tls_ca_file": pbx.tls_ca_file,
            "tls_name": pbx.tls_name,
        })
    };
    json!({
        "pbx": file.pbx.iter().map(pbx).collect::<Vec<_>>(),
        "amocrm": file.amocrm,
        "accounts": file.account,
        "lines": file.line,
        "token": file.amocrm.token.is_some(),
        "calls": file.calls,
        "delivery": file.delivery,
        "store": file.store.dir,
        "admin": file.admin.socket,
        "log": [file.log.level, format!("{:?}", file.log.format)],
        "stop_timeout": file.daemon.stop_timeout,
    })
}

/// The step of one call to `state`.
pub fn settled(seq: Seq, state: State) -> Settlement {
    let last_error =
        matches!(state, State::Parked { .. } | State::Dead { .. }).then(|| "HTTP 400: x".to_owned());
    let who = Who {
        user: Some(504_141),
        shown: Some(Responsible::User(504_141)),
        told: Some("ext. 101".to_owned()),
    };
    let sound = match &state {
        State::Sent { note_id: Some(_), .. } => Some(Sound::Missing { since: NOW, tries: 2 }),
        State::Sent { note_id: None, .. } => Some(Sound::Added { file: "2026/11/22/in-1.mp3".to_owned() }),
        State::Unknown { .. } => Some(Sound::Found { file: "in-2.wav".to_owned() }),
        State::Parked { .. } => Some(Sound::GivenUp { reason: "there is no file, for 24h".to_owned() }),
        State::Pending
        | State::Sending { .. }
        | State::Unsorted { .. }
        | State::Skipped { .. }
        | State::Expired { .. }
        | State::Dead { .. } => None,
    };
    let errand = Errand { sound, ..Errand::default() };
    let errand = if matches!(state, State::Parked { .. }) {
        Errand { refused_users: vec![504_142], refused_text: true, booked: Some(who), ..errand }
    } else {
        errand
    };
    Settlement { seq, state, next_at: LATER, last_error, attempted: true, errand }
}

/// A store with calls in every state, its journal, and what it says of them.
fn store(folder: &Path) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut store = Store::open(dir.path(), NOW).expect("a new store");
    store.pin_pbx(&[PbxName::default()]).expect("the store is sound");
    let calls = calls();
    let ids: Vec<_> = calls.iter().map(|call| call.record.call_id.clone()).collect();
    let new = store.enqueue(calls, NOW).expect("the store is sound");
    assert!(new.iter().all(|new| matches!(new, Enqueued::New(_))));
    let account = AccountId::default();
    let waiting: Vec<Seq> =
        store.lease(&account, 50, NOW).expect("the store is sound").iter().map(|item| item.seq).collect();
    let (left, sent) = waiting.split_at(1);
    assert!(!left.is_empty());
    let batch = store.intend(sent, NOW).expect("the store is sound");
    let (at, since) = (NOW, NOW);
    let entity = Some(EntityRef { kind: "contact".to_owned(), id: 70 });
    let states = [
        State::Sent { note_id: Some(7), entity, at },
        State::Unknown { batch, since, looked: 0 },
        State::Parked { since },
        State::Unsorted { uid: Some("u-1".to_owned()), at },
        State::Expired { reason: "it waited longer than max-age = 1h".to_owned(), at },
        State::Dead { reason: "InvalidType: phone".to_owned(), at },
    ];
    assert!(sent.len() > states.len(), "one call is left that is being sent");
    let more = sent.len() - 1 - states.len();
    let others = vec![State::Sent { note_id: None, entity: None, at }; more];
    let steps = sent.iter().zip(states.into_iter().chain(others));
    let steps = steps.map(|(seq, state)| settled(*seq, state)).collect();
    store.settle(steps, NOW).expect("the store is sound");
    for (shelf, key, value) in SHELVES {
        store.put(shelf, key, value.as_bytes()).expect("the store is sound");
    }
    let items = ids.iter().map(|id| store.find(id).expect("the store is sound").expect("it was put there"));
    let items: Vec<_> =
        items.map(|item| serde_json::to_value(item).expect("an item has a JSON form")).collect();
    write_lines(&folder.join("items.jsonl"), &items);
    let stats =
        serde_json::to_value(store.stats().expect("the store is sound")).expect("counts have a JSON form");
    write(&folder.join("stats.json"), &format!("{stats:#}\n"));
    drop(store);
    let rows: Vec<_> = database::rows(&dir.path().join("queue")).iter().map(database::Row::json).collect();
    write_lines(&folder.join("store.jsonl"), &rows);
    fs::create_dir(folder.join("journal")).expect("the folder can be made");
    for entry in fs::read_dir(dir.path().join("journal")).expect("the store has a journal") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_name().expect("a file has a name");
        fs::copy(&path, folder.join("journal").join(name)).expect("the file can be written");
    }
}

/// The finished calls of all captures, with their timelines.
fn calls() -> Vec<FinishedCall> {
    let mut calls: Vec<FinishedCall> = Vec::new();
    for capture in CAPTURES {
        for call in following::finished(capture) {
            let CallRecord { call_id, .. } = &call.record;
            if calls.iter().all(|known| known.record.call_id != *call_id) {
                calls.push(call);
            }
        }
    }
    calls
}

fn write_lines(path: &Path, lines: &[Value]) {
    write(path, &lines.iter().map(Value::to_string).chain([String::new()]).collect::<Vec<_>>().join("\n"));
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
