//! Pure: how calls are told to amoCRM at this moment: the rules, the clocks, and what the account was
//! found to take.

use std::collections::BTreeMap;

use crate::amo::answer::Fate;
use crate::amo::calls::{self, Clocks, Entry, Manner, Unfit};
use crate::amo::limits::Limits;
use crate::amo::settings::Settings;
use crate::amo::who::{self, Who};
use crate::call::id::PbxName;
use crate::call::record::{CallRecord, Source};
use crate::outbox::courier::bookings::Bookings;
use crate::outbox::courier::effect::Now;
use crate::outbox::courier::{Courier, Rules};
use crate::outbox::errand::Said;
use crate::outbox::queue::Item;
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

/// What an account was found to take, and what its calls say by the configuration: other words are tried
/// anew.
#[derive(Debug, Default)]
pub(super) struct Learned {
    limits: Limits,
    news: Option<String>,
}

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
        let Some(Said { who: _, result, source, duration }) = item.errand.said.clone() else {
            return Ok(entry);
        };
        Ok(Entry { call_result: result, source, duration, ..entry })
    }

    fn entry_of(&self, item: &Item, place: usize, who: Who) -> Result<Entry, Unfit> {
        let record = &item.call.record;
        let manner = Manner { clocks: self.clocks(record), limits: self.limits, sound: item.errand.file() };
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
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn link(&self) -> bool {
        self.limits.link
    }

    /// Whether a call that amoCRM refused is only to be told otherwise; it is learned how.
    pub(super) fn take(&mut self, fate: &Fate, entry: &Entry) -> bool {
        let Fate::Invalid { path, .. } = fate else { return false };
        let Some(less) = self.limits.after(path, entry) else { return false };
        if less != self.limits {
            self.limits = less;
            self.news = Some(less.told());
        }
        true
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
            limits: self.limits.limits(),
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

    #[test]
    fn a_refused_text_is_learned_once_for_all_calls_and_until_the_configuration_changes() {
        let mut learned = Learned::default();
        let rules = Rules::default();
        let (offsets, bookings) = (BTreeMap::new(), Bookings::default());
        let entry = |learned: &Learned| {
            let limits = learned.limits();
            let teller = Teller {
                rules: &rules,
                offsets: &offsets,
                limits,
                amo_ahead: 0,
                utc_offset: 0,
                now: HostTime::default(),
                bookings: &bookings,
                mono: MonoTime::default(),
            };
            teller.entry(&item(1), 0).unwrap().0
        };
        let refused =
            |path: &str| Fate::Invalid { code: String::new(), path: path.to_owned(), detail: String::new() };
        let whole = entry(&learned);
        assert!(!learned.take(&refused("phone"), &whole) && learned.news().is_none());
        assert!(learned.take(&refused("call_result"), &whole));
        assert_eq!(learned.news().as_deref(), Some("call_result is left out"));
        // Another of the same batch, or of one that was in the air.
        assert!(learned.take(&refused("call_result"), &whole) && learned.news().is_none());
        assert_eq!(entry(&learned).call_result, None);
        assert!(!learned.take(&refused("call_result"), &entry(&learned)), "it is not for the text's sake");
        learned.reconsider(&rules.amo, &rules.amo);
        assert_eq!(entry(&learned).call_result, None);
        let other = Settings { language: crate::call::line::Language::En, ..Settings::default() };
        learned.reconsider(&rules.amo, &other);
        assert_eq!(entry(&learned), whole);
    }
}
