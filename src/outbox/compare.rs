//! Pure: our calls beside the call notes of amoCRM: which are of the same conversation, and in what they
//! differ. The look for duplicates and the shadow mode share it.
//!
//! A note is of a call when both have the same number (its last ten digits) and the note's time lies
//! within the call, or shortly before or after. Of several that fit, the nearest pair goes first; each
//! note is used once, and the order in which calls and notes come says nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::amo::feed::FeedNote;
use crate::outbox::queue::Seq;
use crate::outbox::search::digits;
use crate::time::HostTime;

/// A call of ours, as it would be told or was told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ours {
    pub seq: Seq,
    pub uniq: String,
    pub phone: String,
    pub inbound: bool,
    /// By amoCRM's clock, in seconds since 1970.
    pub from: i64,
    pub to: i64,
    /// In seconds.
    pub duration: u64,
    pub status: Option<u8>,
    pub user: Option<u64>,
    pub has_link: bool,
}

/// Which notes are of which call.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pairs {
    /// For each call, in their order, places of its notes, the nearest first.
    pub of_call: Vec<Vec<usize>>,
    /// Places of notes that are of no call.
    pub strangers: Vec<usize>,
}

/// What amoCRM had of a call beside ours.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Compared {
    pub at: HostTime,
    /// The notes, the nearest first, [`TWINS_MAX`] at most.
    pub notes: Vec<Twin>,
    /// Notes that are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
    /// In what the first of them differs from our call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

/// A note that is of a call of ours.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Twin {
    pub id: u64,
    /// `contact`, `company`, `lead` or `customer`.
    pub kind: String,
    pub entity: Option<u64>,
    /// Who wrote it; [`UNNAMED`] where it does not say.
    pub source: String,
}

/// One thing in which a note differs from our call.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "field")]
pub enum Difference {
    /// Who called whom.
    Direction { ours_inbound: bool },
    /// In seconds.
    Duration { ours: u64, theirs: u64 },
    /// amoCRM's `call_status`.
    Status { ours: u8, theirs: u8 },
    /// amoCRM's ids of users.
    Responsible { ours: u64, theirs: u64 },
    /// What stands before the last ten digits of the number.
    PhoneForm { ours: String, theirs: String },
    /// One of the two has a link to the recording.
    Link { ours: bool },
    /// Several notes of one call: one for each phone that rang.
    Doubled { notes: usize },
    /// A later version's word.
    #[serde(other)]
    Other,
}

/// A note that is of no call of ours, without what leads to the person beyond its number's end.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stranger {
    #[serde(flatten)]
    pub note: Twin,
    pub inbound: bool,
    /// By amoCRM's clock, in seconds since 1970: when the call was, and when its note was stored.
    pub at: i64,
    pub stored_at: i64,
    pub duration: Option<u64>,
    /// The last digits of the number.
    pub phone_end: String,
}

/// What the comparison of a call says.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Same,
    Different,
    /// amoCRM has no note of it.
    Missing,
}

/// What stands for the source of a note that names none.
pub const UNNAMED: &str = "unnamed";
/// Notes of one call that are kept.
pub const TWINS_MAX: usize = 4;
/// How long before its call a note may be: clocks differ, and some integrations round.
const BEFORE_S: i64 = 60;
/// How long after it: where an integration gives no time, its note has the one of its posting.
const AFTER_S: i64 = 120;
/// Durations that differ by less are the same: one counts from the answer, another from the bridge.
const TOLERANCE_S: u64 = 2;
/// With so many digits a number is the same in every form.
const TAIL: usize = 10;
/// Digits of a stranger's number that are kept.
const END: usize = 4;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Finds the notes of each call. A note that comes twice is one.
pub fn pair(ours: &[Ours], notes: &[FeedNote]) -> Pairs {
    let mut seen = BTreeSet::new();
    let own: Vec<usize> = (0..notes.len()).filter(|place| seen.insert(notes[*place].id)).collect();
    let mut candidates = candidates(ours, notes, &own);
    candidates.sort_unstable();
    let mut of_call = vec![Vec::new(); ours.len()];
    let mut used = BTreeSet::new();
    // First each call has one, then what is left goes to the nearest.
    for is_first in [true, false] {
        for candidate in &candidates {
            let notes_of: &mut Vec<usize> = &mut of_call[candidate.call];
            if (!is_first || notes_of.is_empty()) && used.insert(candidate.note) {
                notes_of.push(candidate.note);
            }
        }
    }
    let strangers = own.into_iter().filter(|place| !used.contains(place)).collect();
    Pairs { of_call, strangers }
}

/// A call and a note that may be of it; the best comes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Candidate {
    is_other_way: bool,
    /// In seconds.
    distance: u64,
    /// These two say which comes first where all else is the same.
    seq: Seq,
    id: u64,
    call: usize,
    note: usize,
}

fn candidates(ours: &[Ours], notes: &[FeedNote], own: &[usize]) -> Vec<Candidate> {
    let mut by_number: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (call, known) in ours.iter().enumerate() {
        by_number.entry(tail(&known.phone)).or_default().push(call);
    }
    let mut found = Vec::new();
    for &note in own {
        let theirs = &notes[note];
        for &call in by_number.get(&tail(&theirs.phone)).into_iter().flatten() {
            let known = &ours[call];
            let is_ours = theirs.uniq.as_ref() == Some(&known.uniq);
            if let Some(distance) = if is_ours { Some(0) } else { distance(known, theirs.at) } {
                let is_other_way = known.inbound != theirs.inbound;
                found.push(Candidate { is_other_way, distance, seq: known.seq, id: theirs.id, call, note });
            }
        }
    }
    found
}

/// How far a moment is from the call's begin or end, whichever is nearer; `None` when it is not the call's.
fn distance(call: &Ours, at: i64) -> Option<u64> {
    let is_within = (call.from.saturating_sub(BEFORE_S)..=call.to.saturating_add(AFTER_S)).contains(&at);
    is_within.then(|| at.abs_diff(call.from).min(at.abs_diff(call.to)))
}

/// What numbers are compared by. One without digits is nobody's.
fn tail(phone: &str) -> String {
    let digits = digits(phone);
    if digits.is_empty() {
        return phone.to_owned();
    }
    digits.get(digits.len().saturating_sub(TAIL)..).unwrap_or_default().to_owned()
}

impl Compared {
    /// What is kept of the notes of a call, and in what they differ from it.
    pub fn new(ours: &Ours, notes: &[&FeedNote], at: HostTime) -> Self {
        Self {
            differences: notes.first().map(|note| differences(ours, note, notes.len())).unwrap_or_default(),
            ..Self::beside(notes, at)
        }
    }

    /// The same of a call that amoCRM has from us, too.
    pub fn beside(notes: &[&FeedNote], at: HostTime) -> Self {
        Self {
            at,
            notes: notes.iter().take(TWINS_MAX).map(|note| Twin::from(*note)).collect(),
            more: notes.len().saturating_sub(TWINS_MAX),
            differences: Vec::new(),
        }
    }

    pub fn verdict(&self) -> Verdict {
        match (self.notes.is_empty(), self.differences.is_empty()) {
            (true, _) => Verdict::Missing,
            (false, true) => Verdict::Same,
            (false, false) => Verdict::Different,
        }
    }
}

impl From<&FeedNote> for Twin {
    fn from(note: &FeedNote) -> Self {
        Self {
            id: note.id,
            kind: note.kind.singular().to_owned(),
            entity: note.entity,
            source: source(note).to_owned(),
        }
    }
}

impl From<&FeedNote> for Stranger {
    fn from(note: &FeedNote) -> Self {
        Self {
            note: Twin::from(note),
            inbound: note.inbound,
            at: note.at,
            stored_at: note.stored_at,
            duration: note.duration,
            phone_end: end(&note.phone),
        }
    }
}

/// The last digits of a number, by which a stranger is known.
pub fn end(phone: &str) -> String {
    let digits = digits(phone);
    digits.get(digits.len().saturating_sub(END)..).unwrap_or_default().to_owned()
}

/// Who wrote a note.
pub fn source(note: &FeedNote) -> &str {
    if note.source.is_empty() { UNNAMED } else { &note.source }
}

fn differences(ours: &Ours, note: &FeedNote, notes: usize) -> Vec<Difference> {
    let status = ours.status.zip(note.status).filter(|(ours, theirs)| ours != theirs);
    let user = ours.user.zip(note.user).filter(|(ours, theirs)| ours != theirs);
    let theirs = note.duration.unwrap_or_default();
    let (form, their_form) = (form(&ours.phone), form(&note.phone));
    let found = [
        (ours.inbound != note.inbound).then_some(Difference::Direction { ours_inbound: ours.inbound }),
        (ours.duration.abs_diff(theirs) > TOLERANCE_S)
            .then_some(Difference::Duration { ours: ours.duration, theirs }),
        status.map(|(ours, theirs)| Difference::Status { ours, theirs }),
        user.map(|(ours, theirs)| Difference::Responsible { ours, theirs }),
        (form != their_form).then_some(Difference::PhoneForm { ours: form, theirs: their_form }),
        (ours.has_link != note.has_link).then_some(Difference::Link { ours: ours.has_link }),
        (notes > 1).then_some(Difference::Doubled { notes }),
    ];
    found.into_iter().flatten().collect()
}

/// What stands before the last ten digits: `+7`, `8`, or nothing.
fn form(phone: &str) -> String {
    let signs: Vec<char> = phone.chars().filter(|sign| sign.is_ascii_digit() || *sign == '+').collect();
    signs.get(..signs.len().saturating_sub(TAIL)).unwrap_or_default().iter().collect()
}

#[cfg(test)]
pub(crate) mod tests;
