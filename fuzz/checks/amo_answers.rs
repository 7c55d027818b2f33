//! Answers of amoCRM: any status with any body means something for every call, and a call is sent if and
//! only if its `request_id` is in `_embedded.calls`.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

use crate::amo::answer::{self, Account, Fate, Reply};
use crate::amo::notes::{self, KINDS, Page};
use crate::call::record::FinishedCall;
use crate::outbox::policy::{self, Policy, Sending};
use crate::outbox::queue::{BatchId, Phase, Seq, State};
use crate::outbox::schedule::{Slip, permit};
use crate::time::HostTime;

use super::replay::Run;
use super::script::BLOCKS;

/// An input's first byte chooses one.
const STATUSES: [u16; 26] = [
    200, 201, 202, 204, 206, 301, 302, 400, 401, 402, 403, 404, 405, 408, 413, 422, 429, 500, 502, 503, 504,
    100, 0, 299, 599, 65535,
];

/// Longest text that is made of what amoCRM said, in bytes.
const WORDS_MAX: usize = 4 * 200 + 16;

const NOW: HostTime = HostTime::from_micros(1_795_000_000_000_000);

static CALL: LazyLock<FinishedCall> = LazyLock::new(|| {
    let mut run = Run::new(Vec::new());
    BLOCKS.iter().take(60).for_each(|block| run.event(block));
    let calls = run.finish();
    calls.into_iter().find(|call| call.record.skip.is_none()).expect("the first blocks are a call")
});

pub(super) fn check(data: &[u8]) {
    let [status, wait, body @ ..] = data else { return };
    let reply = Reply {
        status: STATUSES[usize::from(*status) % STATUSES.len()],
        retry_after: (wait % 2 == 1).then(|| Duration::from_secs(u64::from(*wait))),
        body: body.to_vec(),
        ..Reply::default()
    };
    let sent = ["default-1.4", "default-1.5", "6"].map(str::to_owned);
    for sent in [&sent[..], &sent[..1]] {
        posted(&reply, sent);
    }
    looked_up(&reply, &BTreeSet::from(sent));
    tidy(&notes::read_account(&reply).words);
}

fn posted(reply: &Reply, sent: &[String]) {
    let answer = answer::read(reply, sent);
    assert_eq!(answer, answer::read(reply, sent), "the same each time");
    assert_eq!(answer.fates.len(), sent.len(), "every call has a fate");
    tidy(&answer.words);
    let stored = request_ids(&reply.body);
    for (fate, id) in answer.fates.iter().zip(sent) {
        assert_eq!(matches!(fate, Fate::Stored { .. }), stored.contains(id), "{id}: {fate:?}");
        told(fate, reply.status);
        settled(fate, &answer.words);
    }
    if reply.status == 429 {
        assert!(matches!(answer.account, Account::TooMany { .. }));
    }
}

/// What a fate may rest on.
fn told(fate: &Fate, status: u16) {
    let judges = matches!(status, 200..=299 | 400 | 422);
    match fate {
        Fate::Stored { entity, .. } => entity.iter().for_each(|entity| tidy(&entity.kind)),
        Fate::NotFound | Fate::Suspect => assert!(judges, "{status}: {fate:?}"),
        Fate::Invalid { code, path, detail } => {
            assert!(judges, "{status}: {fate:?}");
            for text in [code, path, detail] {
                tidy(text);
            }
        }
        Fate::Untouched => assert!(matches!(status, 400 | 401 | 402 | 403 | 422 | 429), "{status}"),
        Fate::Unclear => {}
    }
}

/// What becomes of a call is a step that it may take, and only a stored one is sent.
fn settled(fate: &Fate, words: &str) {
    let mut slip = Slip::new(Seq(1), &CALL.record, NOW);
    slip.state = State::Sending { batch: BatchId(1), since: NOW };
    let item = slip.into_item(CALL.clone());
    let sending = Sending { batch: BatchId(1), since: NOW, request_timeout: Duration::from_secs(30) };
    let settled = policy::after_answer(&Policy::default(), &item, fate, words, &sending, NOW);
    let phase = settled.state.phase();
    assert!(permit(item.seq, Phase::Sending, phase).is_ok(), "{fate:?} to {phase:?}");
    assert_eq!(phase == Phase::Sent, matches!(fate, Fate::Stored { .. }), "{fate:?} to {phase:?}");
}

/// A search finds what was asked for, and a page that cannot be read is never fine.
fn looked_up(reply: &Reply, wanted: &BTreeSet<String>) {
    for kind in KINDS {
        match notes::read(reply, kind, wanted) {
            Page::Notes { found, .. } => {
                assert!(found.keys().all(|uniq| wanted.contains(uniq)), "{found:?}");
                assert!(matches!(reply.status, 200 | 204));
            }
            Page::Unread { account, words } => {
                assert_ne!(account, Account::Fine);
                tidy(&words);
            }
        }
    }
}

/// The `request_id`s in `_embedded.calls`, a list or an object that PHP made of one.
fn request_ids(body: &[u8]) -> BTreeSet<String> {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return BTreeSet::new() };
    let calls: Vec<&Value> = match &body["_embedded"]["calls"] {
        Value::Array(calls) => calls.iter().collect(),
        Value::Object(calls) => calls.values().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let id = |call: &Value| match &call["request_id"] {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    calls.into_iter().filter_map(id).collect()
}

/// One short line: it goes into logs and the store.
fn tidy(text: &str) {
    assert!(text.len() <= WORDS_MAX, "{} bytes", text.len());
    assert!(!text.contains(char::is_control), "{text:?}");
}
