//! Pure: how calls are told to amoCRM at this moment: the rules, the clocks, and what the account was
//! found to take.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::amo::answer::Fate;
use crate::amo::calls::{self, Clocks, Entry, Manner, Unfit};
use crate::amo::limits::{Field, Limits};
use crate::amo::settings::Settings;
use crate::amo::who::{self, Who};
use crate::call::id::PbxName;
use crate::call::record::{CallRecord, Source};
use crate::outbox::courier::bookings::Bookings;
use crate::outbox::courier::effect::Now;
use crate::outbox::courier::{Courier, Rules};
use crate::outbox::queue::{Item, Seq};
use crate::time::{HostTime, MonoTime};

/// What is needed for telling a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Teller<'t> {
    pub(super) rules: &'t Rules,
    /// How far the host's clock is ahead of each PBX's, in microseconds.
    pub(super) offsets: &'t BTreeMap<PbxName, i64>,
    pub(super) limits: Limits,
    pub(super) amo_ahead: i64,
    pub(super) utc_offset: i32,
    pub(super) now: HostTime,
    pub(super) bookings: &'t Bookings,
    pub(super) mono: MonoTime,
}

/// What an account was found to take. Other words of the configuration are tried anew, and all of it after
/// a day.
#[derive(Debug, Default)]
pub(super) struct Learned {
    limits: Limits,
    since: HostTime,
    /// The last call of which this was refused. One alone may be odd; a second shows the account's way.
    suspects: BTreeMap<Field, (Seq, HostTime)>,
    news: Option<String>,
}

/// How long a refusal says something of other calls.
const LEARNED_MAX: Duration = Duration::from_hours(24);

impl Teller<'_> {
    /// On whom a call is booked.
    pub(super) fn who(&self, item: &Item) -> Who {
        self.bookings.who(item, &self.rules.amo, self.mono)
    }

    /// The call, at this place of its batch, and on whom it is booked.
    pub(super) fn entry(&self, item: &Item, place: usize) -> Result<(Entry, Who), Unfit> {
        let who = self.who(item);
        Ok((self.entry_of(item, place, who.clone())?, who))
    }

    /// A call that was posted, as it was posted then.
    pub(super) fn entry_of_sent(&self, item: &Item) -> Result<Entry, Unfit> {
        let who = item.errand.named().cloned();
        let who = who.unwrap_or_else(|| who::configured(&item.call.record, &self.rules.amo));
        let entry = self.entry_of(item, 0, who)?;
        Ok(if let Some(said) = &item.errand.said { said.over(entry) } else { entry })
    }

    fn entry_of(&self, item: &Item, place: usize, who: Who) -> Result<Entry, Unfit> {
        let record = &item.call.record;
        let limits = self.limits.and(item.errand.limits.unwrap_or_default());
        let manner = Manner { clocks: self.clocks(record), limits, sound: item.errand.file() };
        calls::entry_of(record, &place.to_string(), &self.rules.amo, &manner, who)
    }

    pub(super) fn clocks(&self, record: &CallRecord) -> Clocks {
        Clocks {
            host_ahead: offset(record, self.offsets),
            amo_ahead: self.amo_ahead,
            now: Some(self.now),
            utc_offset: self.utc_offset,
        }
    }
}

impl Learned {
    pub(super) fn limits(&self, now: HostTime) -> Limits {
        if now.since(self.since) < LEARNED_MAX { self.limits } else { Limits::default() }
    }

    pub(super) fn link(&self, now: HostTime) -> bool {
        self.limits(now).link
    }

    /// How a call that amoCRM refused is to be told, if that is all that is wrong with it. Where another
    /// call was refused for the same, all of the account are told so.
    pub(super) fn take(&mut self, fate: &Fate, item: &Item, entry: &Entry, now: HostTime) -> Option<Limits> {
        let Fate::Invalid { path, .. } = fate else { return None };
        let field = Field::at(path)?;
        let less = item.errand.limits.unwrap_or_default().after(path, entry)?;
        let known = self.limits(now);
        self.suspects.retain(|_, (_, at)| now.since(*at) < LEARNED_MAX);
        let before = self.suspects.insert(field, (item.seq, now));
        let is_anothers = before.is_some_and(|(seq, _)| seq != item.seq);
        if is_anothers || !known.is_whole(field) {
            let limits = known.and(Limits::default().with(field, less));
            if limits != known {
                if known == Limits::default() {
                    self.since = now;
                }
                self.limits = limits;
                self.news = Some(limits.told());
            }
        }
        Some(less)
    }

    /// What was learned since this was asked last, in words.
    pub(super) fn news(&mut self) -> Option<String> {
        self.news.take()
    }

    /// The configuration says other words, or links.
    pub(super) fn reconsider(&mut self, before: &Settings, after: &Settings) {
        let said = |amo: &Settings| {
            let Settings { results, language, source, recording_url, voicemail_url, .. } = amo.clone();
            (results, language, source, recording_url, voicemail_url)
        };
        if said(before) != said(after) {
            *self = Self::default();
        }
    }
}

impl Courier {
    pub(super) fn teller(&self, now: Now) -> Teller<'_> {
        Teller {
            rules: &self.rules,
            offsets: &self.offsets,
            limits: self.limits.limits(now.host),
            amo_ahead: now.amo_ahead,
            utc_offset: now.utc_offset,
            now: now.host,
            bookings: &self.bookings,
            mono: now.mono,
        }
    }
}

/// The correction that a call's times need: they are the PBX's, whether its events tell them or the
/// host mapped their arrival to its clock. None for those of a capture, whose clock of then nobody
/// measured.
fn offset(record: &CallRecord, offsets: &BTreeMap<PbxName, i64>) -> i64 {
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

    fn entry(learned: &Learned, item: &Item, now: HostTime) -> Entry {
        let (rules, offsets, bookings) = (Rules::default(), BTreeMap::new(), Bookings::default());
        let teller = Teller {
            rules: &rules,
            offsets: &offsets,
            limits: learned.limits(now),
            amo_ahead: 0,
            utc_offset: 0,
            now,
            bookings: &bookings,
            mono: MonoTime::default(),
        };
        teller.entry(item, 0).unwrap().0
    }

    fn refused(path: &str) -> Fate {
        Fate::Invalid { code: String::new(), path: path.to_owned(), detail: String::new() }
    }

    const NOW: HostTime = HostTime::from_micros(1_795_338_791_000_000);

    #[test]
    fn one_call_that_is_refused_is_told_otherwise_and_no_other() {
        let mut learned = Learned::default();
        let whole = entry(&learned, &item(1), NOW);
        assert_eq!(learned.take(&refused("phone"), &item(1), &whole, NOW), None);
        let limits = learned.take(&refused("call_result"), &item(1), &whole, NOW);
        assert!(limits.is_some_and(|limits| limits.result_max == 0) && learned.news().is_none());
        // The same call again is no second witness.
        assert!(learned.take(&refused("call_result"), &item(1), &whole, NOW).is_some());
        assert!(learned.news().is_none() && entry(&learned, &item(2), NOW).call_result.is_some());
        let errand = crate::outbox::errand::Errand { limits, ..Default::default() };
        let again = entry(&learned, &Item { errand, ..item(1) }, NOW);
        assert_eq!(again.call_result, None);
        assert_eq!(learned.take(&refused("call_result"), &item(1), &again, NOW), None, "not for its sake");
    }

    #[test]
    fn what_two_calls_were_refused_for_is_left_out_of_all_for_a_day() {
        let mut learned = Learned::default();
        let whole = entry(&learned, &item(1), NOW);
        assert!(learned.take(&refused("call_result"), &item(1), &whole, NOW).is_some());
        assert!(learned.take(&refused("source"), &item(2), &whole, NOW).is_none(), "it is ours");
        assert!(learned.take(&refused("call_result"), &item(2), &whole, NOW).is_some());
        assert_eq!(learned.news().as_deref(), Some("call_result is left out"));
        // Another that was in the air.
        assert!(learned.take(&refused("call_result"), &item(3), &whole, NOW).is_some());
        assert!(learned.news().is_none());
        assert_eq!(entry(&learned, &item(4), NOW).call_result, None);
        assert_eq!(entry(&learned, &item(4), NOW.after(LEARNED_MAX)).call_result, whole.call_result);
        let amo = Settings::default();
        learned.reconsider(&amo, &amo);
        assert_eq!(entry(&learned, &item(4), NOW).call_result, None);
        let other = Settings { language: crate::call::line::Language::En, ..Settings::default() };
        learned.reconsider(&amo, &other);
        assert_eq!(entry(&learned, &item(4), NOW).call_result, whole.call_result);
    }

    #[test]
    fn two_refusals_that_are_a_day_apart_are_two_chances() {
        let mut learned = Learned::default();
        let whole = entry(&learned, &item(1), NOW);
        assert!(learned.take(&refused("call_result"), &item(1), &whole, NOW).is_some());
        assert!(learned.take(&refused("call_result"), &item(2), &whole, NOW.after(LEARNED_MAX)).is_some());
        assert!(learned.news().is_none());
    }
}
