//! Pure: one batch on its way, from the calls to the body and from the answer to the rulings.

use std::collections::BTreeMap;

use crate::amo::answer::{Account, Answer, Fate};
use crate::amo::calls::{self, Entry};
use crate::amo::settings::Settings;
use crate::call::id::PbxName;
use crate::call::record::{CallRecord, Source};
use crate::outbox::courier::Rules;
use crate::outbox::courier::effect::{Effect, Posted, Ruling};
use crate::outbox::courier::standing::{Hold, Signal};
use crate::outbox::policy::{self, Sending};
use crate::outbox::queue::{BatchId, Item, Seq};
use crate::outbox::unknown::{self, Grounds};
use crate::time::HostTime;

/// A call and what amoCRM will be told of it.
#[derive(Debug)]
pub(super) struct Load {
    item: Item,
    entry: Entry,
}

/// A batch whose intent is durable.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) loads: Vec<Load>,
    pub(super) batch: BatchId,
    /// When the intent became durable.
    pub(super) since: HostTime,
}

/// What a POST brought.
#[derive(Debug)]
pub(super) struct Landing {
    pub(super) rulings: Vec<Ruling>,
    pub(super) signal: Signal,
    pub(super) unexplained: Option<Unexplained>,
}

/// A call that was alone in a request which was refused without a reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unexplained {
    pub(super) seq: Seq,
    /// The server failed over it: perhaps not for the call's sake.
    pub(super) by_server: bool,
}

/// Writes the calls. The request ids are their places, which amoCRM would make up by itself.
pub(super) fn load(items: Vec<Item>, settings: &Settings, offsets: &BTreeMap<PbxName, i64>) -> Vec<Load> {
    let loaded = items.into_iter().enumerate().filter_map(|(place, item)| {
        let offset = offset(&item.call.record, offsets);
        let entry = calls::entry(&item.call.record, &place.to_string(), settings, offset);
        entry.ok().map(|entry| Load { item, entry })
    });
    loaded.collect()
}

/// The intent to send these calls.
pub(super) fn intend(loads: &[Load]) -> Effect {
    Effect::Intend { calls: loads.iter().map(|load| load.item.seq).collect() }
}

impl Flight {
    pub(super) fn post(&self) -> Effect {
        let entries: Vec<Entry> = self.loads.iter().map(|load| load.entry.clone()).collect();
        let request_ids = entries.iter().map(|entry| entry.request_id.clone()).collect();
        Effect::Post { batch: self.batch, body: calls::batch_json(&entries), request_ids }
    }

    pub(super) fn land(&self, posted: Posted, rules: &Rules, now: HostTime) -> Landing {
        let (policy, request_timeout) = (&rules.delivery, rules.amo.request_timeout.duration());
        let grounds = Grounds { delivery: policy, unknown: &rules.amo.unknown };
        let unexplained = self.unexplained(&posted);
        let (fates, words, signal) = self.read(posted);
        let sending = Sending { batch: self.batch, since: self.since, request_timeout };
        // An answer that speaks of fewer calls says nothing of the others.
        let fates = fates.iter().chain(std::iter::repeat(&Fate::Unclear));
        let rulings = self.loads.iter().zip(fates).map(|(load, fate)| {
            let item = &load.item;
            let settled = if *fate == Fate::NotFound {
                unknown::not_found(grounds, item, &words, now)
            } else {
                policy::after_answer(policy, item, fate, &words, &sending, now)
            };
            Ruling::new(item, settled)
        });
        Landing { rulings: rulings.collect(), signal, unexplained }
    }

    /// What the answer says of each call.
    pub(super) fn fates<'a>(&self, answer: &'a Answer) -> Vec<(Seq, &'a Fate)> {
        self.loads.iter().map(|load| load.item.seq).zip(&answer.fates).collect()
    }

    fn read(&self, posted: Posted) -> (Vec<Fate>, String, Signal) {
        let all = |fate| vec![fate; self.loads.len()];
        match posted {
            Posted::Answered { answer, .. } => {
                let signal = signal(&answer);
                (answer.fates, answer.words, signal)
            }
            Posted::Quiet => (all(Fate::Untouched), "amoCRM has asked for quiet".to_owned(), Signal::Slow),
            Posted::NotSent(words) => (all(Fate::Untouched), words.clone(), Signal::Trouble(words)),
            Posted::Lost(words) => (all(Fate::Unclear), words.clone(), Signal::Trouble(words)),
            Posted::NoToken(words) => {
                (all(Fate::Untouched), words.clone(), Signal::Hold(Hold::Unauthorized, words))
            }
        }
    }

    fn unexplained(&self, posted: &Posted) -> Option<Unexplained> {
        let Posted::Answered { answer, status } = posted else { return None };
        let ([load], [Fate::Unclear]) = (self.loads.as_slice(), answer.fates.as_slice()) else { return None };
        let by_server = match (status, &answer.account) {
            (400..=499, Account::Fine) => false,
            // The others are the gateway's, which knows no call.
            (500, Account::ServerTrouble) => true,
            _ => return None,
        };
        Some(Unexplained { seq: load.item.seq, by_server })
    }
}

/// The account works when it decided on a call. An answer that leaves all of them open is trouble
/// even when it is no server error.
fn signal(answer: &Answer) -> Signal {
    let decided = answer.fates.iter().any(|fate| !matches!(fate, Fate::Unclear | Fate::Untouched));
    let signal = Signal::of(answer.account, answer.words.clone());
    if signal == Signal::Works && !decided { Signal::Trouble(answer.words.clone()) } else { signal }
}

/// The correction that a call's times need: they are the PBX's, whether its events tell them or the
/// host mapped their arrival to its clock. None for those of a capture, whose clock of then nobody
/// measured.
pub(super) fn offset(record: &CallRecord, offsets: &BTreeMap<PbxName, i64>) -> i64 {
    match record.source {
        Source::Replay => 0,
        Source::Ami | Source::Cdr => offsets.get(&record.pbx).copied().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::policy::tests::item;

    #[test]
    fn only_times_of_the_pbxs_clock_are_corrected() {
        let offsets = BTreeMap::from([(PbxName::default(), -2_000_000)]);
        let check = |source, expected| {
            let record = CallRecord { source, ..item(1).call.record };
            assert_eq!(offset(&record, &offsets), expected, "{source:?}");
        };
        check(Source::Ami, -2_000_000);
        check(Source::Cdr, -2_000_000);
        check(Source::Replay, 0);
    }
}
