//! Pure: one batch on its way, from the calls to the body and from the answer to the rulings.

use crate::amo::answer::{Account, Answer, Fate};
use crate::amo::calls::{self, Entry};
use crate::amo::settings::Settings;
use crate::amo::who::{self, Blame, Who};
use crate::outbox::courier::bookings;
use crate::outbox::courier::effect::{Effect, Now, Posted, Ruling};
use crate::outbox::courier::standing::{Hold, Signal};
use crate::outbox::courier::telling::{Learned, Teller};
use crate::outbox::courier::{Courier, Rules};
use crate::outbox::errand::Said;
use crate::outbox::policy::{self, Sending};
use crate::outbox::queue::{BatchId, Item, Seq, Settlement};
use crate::outbox::sound;
use crate::outbox::unknown::{self, Grounds};
use crate::time::HostTime;

/// A call and what amoCRM will be told of it.
#[derive(Debug)]
pub(super) struct Load {
    item: Item,
    entry: Entry,
    who: Who,
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
    /// Users and texts that amoCRM refused.
    pub(super) blames: Vec<Blame>,
}

/// A call that was alone in a request which was refused without a reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unexplained {
    pub(super) seq: Seq,
    /// The server failed over it: perhaps not for the call's sake.
    pub(super) by_server: bool,
}

/// Writes the calls. The request ids are their places, which amoCRM would make up by itself.
pub(super) fn load(items: Vec<Item>, teller: &Teller<'_>) -> Vec<Load> {
    let loaded = items.into_iter().enumerate().filter_map(|(place, item)| {
        let (entry, who) = teller.entry(&item, place).ok()?;
        Some(Load { item, entry, who })
    });
    loaded.collect()
}

/// What is to be kept before these calls are posted: what is said of those to which a link will be
/// owed. An answer may be lost, and the process, too.
pub(super) fn note(loads: &mut [Load], settings: &Settings) -> Vec<Ruling> {
    loads.iter_mut().filter_map(|load| load.note(settings)).collect()
}

/// The intent to send these calls.
pub(super) fn intend(loads: &[Load]) -> Effect {
    Effect::Intend { calls: loads.iter().map(|load| load.item.seq).collect() }
}

impl Load {
    /// Whom amoCRM refused, if it did not refuse the call itself.
    fn blame(&self, fate: &Fate) -> Option<Blame> {
        let Fate::Invalid { path, detail, .. } = fate else { return None };
        who::blamed(&self.who, path, detail)
    }

    fn note(&mut self, settings: &Settings) -> Option<Ruling> {
        let (item, entry) = (&mut self.item, &self.entry);
        let said = Said {
            who: self.who.clone(),
            result: entry.call_result.clone(),
            source: entry.source.clone(),
            duration: entry.duration,
        };
        if !sound::will_be_owed(item, settings) || item.errand.said.as_ref() == Some(&said) {
            return None;
        }
        item.errand.said = Some(said);
        Some(Ruling::new(item, sound::noted(item)))
    }

    /// Remembers on whom a stored call is booked, where the configuration does not say it.
    fn booked(&self, settled: Settlement, settings: &Settings) -> Settlement {
        bookings::booked(&self.item, &self.who, settled, settings)
    }
}

impl Flight {
    pub(super) fn post(&self) -> Effect {
        let entries: Vec<Entry> = self.loads.iter().map(|load| load.entry.clone()).collect();
        let request_ids = entries.iter().map(|entry| entry.request_id.clone()).collect();
        Effect::Post { batch: self.batch, body: calls::batch_json(&entries), request_ids }
    }

    pub(super) fn land(
        &self,
        posted: Posted,
        rules: &Rules,
        learned: &mut Learned,
        now: HostTime,
    ) -> Landing {
        let (policy, request_timeout) = (&rules.delivery, rules.amo.request_timeout.duration());
        let grounds = Grounds { delivery: policy, unknown: &rules.amo.unknown };
        let unexplained = self.unexplained(&posted);
        let (fates, words, signal) = self.read(posted);
        let sending = Sending { batch: self.batch, since: self.since, request_timeout };
        // An answer that speaks of fewer calls says nothing of the others.
        let fates = fates.iter().chain(std::iter::repeat(&Fate::Unclear));
        let mut blames = Vec::new();
        let rulings = self.loads.iter().zip(fates).map(|(load, fate)| {
            let item = &load.item;
            let blame = load.blame(fate);
            blames.extend(blame);
            let limits = if blame.is_none() { learned.take(fate, item, &load.entry, now) } else { None };
            let fate = if limits.is_some() { &Fate::Untouched } else { fate };
            let mut settled = match (blame, fate) {
                (Some(blame), _) => bookings::without(item, blame, words.clone(), now),
                (None, Fate::NotFound) => unknown::not_found(grounds, item, &words, now),
                (None, fate) => policy::after_answer(policy, item, fate, &words, &sending, now),
            };
            settled.errand.limits = limits.or(settled.errand.limits);
            let owes = learned.link(now);
            let settled = if owes { sound::delivered(item, settled, &rules.amo, now) } else { settled };
            Ruling::new(item, load.booked(settled, &rules.amo))
        });
        Landing { rulings: rulings.collect(), signal, unexplained, blames }
    }

    /// The calls, on whom they are booked, and what was decided on each.
    pub(super) fn heard<'a>(
        &'a self,
        rulings: &'a [Ruling],
    ) -> impl Iterator<Item = (&'a Item, &'a Who, &'a Ruling)> {
        self.loads.iter().zip(rulings).map(|(load, ruling)| (&load.item, &load.who, ruling))
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

impl Courier {
    /// Takes in what came of a POST.
    pub(super) fn posted(&mut self, batch: BatchId, posted: Posted, now: Now) {
        let Some(flight) = self.flights.remove(&batch) else { return };
        self.resize(&posted, flight.loads.len());
        self.watch_manners(&flight, &posted, now);
        let Landing { rulings, signal, unexplained, blames } =
            flight.land(posted, &self.rules, &mut self.limits, now.host);
        self.bookings.refuse_all(&blames, now.mono);
        self.heed_all(flight.heard(&rulings), now);
        self.refusals.count(&rulings, unexplained, signal == Signal::Works);
        self.landed.extend(rulings);
        self.judge_asides_by_post(&signal, flight.since, now.mono);
        let jitter = self.jitter.draw();
        self.health.learn_of_post(signal, &self.rules.delivery, jitter, now);
    }

    pub(super) fn watch_manners(&mut self, flight: &Flight, posted: &Posted, now: Now) {
        let Posted::Answered { answer, .. } = posted else { return };
        if let Some(evidence) = &answer.evidence {
            self.manners.answered(&flight.fates(answer), evidence, now.host);
        }
    }
}

/// The account works when it decided on a call. An answer that leaves all of them open is trouble
/// even when it is no server error.
fn signal(answer: &Answer) -> Signal {
    let decided = answer.fates.iter().any(|fate| !matches!(fate, Fate::Unclear | Fate::Untouched));
    let signal = Signal::of(answer.account, answer.words.clone());
    if signal == Signal::Works && !decided { Signal::Trouble(answer.words.clone()) } else { signal }
}
