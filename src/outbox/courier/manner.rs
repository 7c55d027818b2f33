//! Pure: how an account answers a batch in which it refuses some calls.
//!
//! No documentation says it, so it is learned from what came back, and kept. Whatever it is, no call
//! is taken for stored or not stored by it: it only decides how many calls go in a request.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::amo::answer::Fate;
use crate::outbox::queue::{Phase, Seq};
use crate::time::HostTime;

/// The way of one account.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manner {
    /// Good calls are stored, and the answer says which.
    Partial,
    /// One bad call keeps the others out.
    Refused,
    /// Good calls are stored, and the answer does not say which.
    Opaque,
}

/// What was learned, to be told and kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lesson {
    pub manner: Manner,
    /// The answer that showed it, or began to, without what it says of people.
    pub evidence: Option<String>,
}

/// The way of an account, as it was kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Known {
    pub manner: Manner,
    /// When it was learned.
    pub since: HostTime,
}

impl Known {
    /// What was kept; nothing, where that cannot be read.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let Kept { v, manner, since } = serde_json::from_slice(bytes).ok()?;
        (v == VERSION).then_some(Self { manner, since })
    }
}

/// As a [`Lesson`] is kept.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Kept {
    v: u32,
    manner: Manner,
    since: HostTime,
}

/// What is known of an account's way, and of answers that left calls open.
#[derive(Debug, Default)]
pub(super) struct Manners {
    known: Option<(Manner, HostTime)>,
    /// Calls that an answer said nothing of while it refused others: what a search finds of them
    /// shows the account's way.
    half_said: BTreeSet<Seq>,
    evidence: Option<String>,
    news: bool,
}

const VERSION: u32 = 1;
/// What was learned counts so long: an account's server gets a new version, and small requests are slow.
const LEARNED_MAX: Duration = Duration::from_hours(24 * 7);
/// Calls in doubt that are remembered: what eight large batches hold.
const HALF_SAID_MAX: usize = 400;

impl Manners {
    /// Takes in what was kept.
    pub fn recall(&mut self, bytes: &[u8]) {
        self.known = Known::read(bytes).map(|Known { manner, since }| (manner, since));
    }

    /// As it is kept.
    pub fn to_json(&self) -> Option<Vec<u8>> {
        let (manner, since) = self.known?;
        serde_json::to_vec(&Kept { v: VERSION, manner, since }).ok()
    }

    /// What was learned since this was asked last.
    pub fn news(&mut self) -> Option<Lesson> {
        let (manner, _) = self.known.filter(|_| std::mem::take(&mut self.news))?;
        Some(Lesson { manner, evidence: self.evidence.take() })
    }

    /// Whether more than one call may go in a request.
    pub fn may_batch(&self, now: HostTime) -> bool {
        match self.known {
            Some((Manner::Refused | Manner::Opaque, since)) => now.since(since) >= LEARNED_MAX,
            Some((Manner::Partial, _)) | None => true,
        }
    }

    /// An answer refused some of these calls; `evidence` is what it said.
    pub fn answered(&mut self, fates: &[(Seq, &Fate)], evidence: &str, now: HostTime) {
        let open = fates.iter().filter(|(_, fate)| **fate == Fate::Unclear).map(|(seq, _)| *seq);
        let open: Vec<Seq> = open.collect();
        let stored = fates.iter().any(|(_, fate)| matches!(fate, Fate::Stored { .. }));
        if open.is_empty() && stored {
            self.evidence = Some(evidence.to_owned());
            self.learn(Manner::Partial, now);
        } else if !open.is_empty() && self.half_said.len() + open.len() <= HALF_SAID_MAX {
            self.evidence.get_or_insert_with(|| evidence.to_owned());
            self.half_said.extend(open);
        }
    }

    /// A search decided on a call.
    pub fn settled(&mut self, seq: Seq, phase: Phase, now: HostTime) {
        match phase {
            Phase::Sent if self.half_said.remove(&seq) => self.learn(Manner::Opaque, now),
            Phase::Pending if self.half_said.remove(&seq) => self.learn(Manner::Refused, now),
            Phase::Unknown => {}
            Phase::Pending
            | Phase::Sending
            | Phase::Sent
            | Phase::Parked
            | Phase::Unsorted
            | Phase::Skipped
            | Phase::Expired
            | Phase::Dead => _ = self.half_said.remove(&seq),
        }
    }

    /// One that was found stored outweighs others that were not: an account that stores a part may
    /// do so by the order of the calls.
    fn learn(&mut self, manner: Manner, now: HostTime) {
        let is_fresh = self.known.is_some_and(|(_, since)| now.since(since) < LEARNED_MAX);
        let known = self.known.filter(|_| is_fresh).map(|(manner, _)| manner);
        if known == Some(manner) || (known == Some(Manner::Opaque) && manner == Manner::Refused) {
            return;
        }
        self.known = Some((manner, now));
        self.news = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: HostTime = HostTime::from_micros(1_795_338_791_000_000);
    const DAY: Duration = Duration::from_hours(24);
    const STORED: Fate = Fate::Stored { note_id: None, entity: None };

    fn answered(fates: &[Fate]) -> Manners {
        let mut manners = Manners::default();
        let fates: Vec<(Seq, &Fate)> = (1..).map(Seq).zip(fates).collect();
        manners.answered(&fates, "said", NOW);
        manners
    }

    fn lesson(manners: &mut Manners) -> Option<Manner> {
        manners.news().map(|lesson| lesson.manner)
    }

    #[test]
    fn an_answer_that_decides_on_every_call_is_partial() {
        let mut manners = answered(&[STORED, Fate::NotFound]);
        let lesson = Lesson { manner: Manner::Partial, evidence: Some("said".to_owned()) };
        assert_eq!((manners.news(), manners.news()), (Some(lesson), None));
        assert!(manners.may_batch(NOW));
    }

    #[test]
    fn calls_that_were_not_stored_show_that_one_keeps_the_others_out() {
        let mut manners = answered(&[Fate::NotFound, Fate::Unclear]);
        assert_eq!(lesson(&mut manners), None);
        manners.settled(Seq(2), Phase::Unknown, NOW);
        assert_eq!(lesson(&mut manners), None, "it is looked for again");
        manners.settled(Seq(2), Phase::Pending, NOW);
        assert_eq!(lesson(&mut manners), Some(Manner::Refused));
        assert!(!manners.may_batch(NOW.after(DAY * 6)) && manners.may_batch(NOW.after(DAY * 7)));
    }

    #[test]
    fn calls_that_were_stored_unsaid_show_an_opaque_account() {
        let mut manners = answered(&[Fate::Unclear, Fate::Unclear, Fate::NotFound]);
        manners.settled(Seq(1), Phase::Pending, NOW);
        assert_eq!(lesson(&mut manners), Some(Manner::Refused));
        manners.settled(Seq(2), Phase::Sent, NOW);
        assert_eq!(lesson(&mut manners), Some(Manner::Opaque));
        assert!(!manners.may_batch(NOW));
    }

    #[test]
    fn calls_that_were_in_no_such_batch_show_nothing() {
        let mut manners = answered(&[Fate::NotFound, Fate::Unclear]);
        manners.settled(Seq(7), Phase::Sent, NOW);
        manners.settled(Seq(2), Phase::Dead, NOW);
        manners.settled(Seq(2), Phase::Sent, NOW);
        assert_eq!(lesson(&mut manners), None);
        assert_eq!(lesson(&mut answered(&[Fate::NotFound, Fate::NotFound])), None);
    }

    #[test]
    fn what_was_learned_is_kept_and_learned_anew_after_a_week() {
        let mut manners = answered(&[Fate::NotFound, Fate::Unclear]);
        manners.settled(Seq(2), Phase::Sent, NOW);
        let mut later = Manners::default();
        later.recall(&manners.to_json().unwrap());
        assert!(!later.may_batch(NOW.after(DAY)));
        assert_eq!(lesson(&mut later), None, "it is no news");
        later.answered(&[(Seq(3), &STORED), (Seq(4), &Fate::NotFound)], "said", NOW.after(DAY * 8));
        assert_eq!(lesson(&mut later), Some(Manner::Partial));
        let mut damaged = Manners::default();
        damaged.recall(b"{");
        assert!(damaged.may_batch(NOW) && damaged.to_json().is_none());
    }
}
