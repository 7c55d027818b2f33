//! Pure: when the next request may leave.
//!
//! amoCRM allows 7 requests a second, and nobody outside knows whether it counts them by
//! integration, account or address, in fixed or sliding windows. So the requests of an account are
//! evenly spaced: no window of a second, wherever it begins, holds more than the configured number;
//! and those of all accounts together are held to the limit by a [`Common`] spacing. A stop that
//! amoCRM asks for is the account's own: another one is not disturbed by it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::time::MonoTime;

/// The pace of one account.
#[derive(Clone, Debug)]
pub struct Pace {
    spacing: Spacing,
    /// What the accounts share.
    common: Option<Common>,
    /// No request leaves before: amoCRM said stop.
    open_at: MonoTime,
    /// 429s in a row.
    too_many: u32,
    /// Bans in a row.
    banned: u32,
}

/// What all accounts of a process together may send.
#[derive(Clone, Debug)]
pub struct Common(Arc<Mutex<Spacing>>);

#[derive(Clone, Debug)]
struct Spacing {
    length: Duration,
    /// No request leaves before: the last one was too near.
    next: MonoTime,
}

/// First pause after a 429; doubles with each further one.
const TOO_MANY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause that we choose ourselves after a 429.
const TOO_MANY_MAX: Duration = Duration::from_mins(1);
/// Longest `Retry-After` that is believed: an hour more of waiting than that helps nobody.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// First pause after a ban. Hammering prolongs it, and only amoCRM's support lifts it.
const BAN_FIRST: Duration = Duration::from_mins(5);
const BAN_MAX: Duration = Duration::from_hours(1);
/// Added to the spacing, in thousandths: two clocks never agree, and a window that is closed at
/// both ends would otherwise hold one request more.
const MARGIN_PER_MILLE: u32 = 10;

impl Pace {
    /// `per_second` of 0 is taken for 1.
    pub fn new(per_second: u32) -> Self {
        Self {
            spacing: Spacing::new(per_second),
            common: None,
            open_at: MonoTime::default(),
            too_many: 0,
            banned: 0,
        }
    }

    /// This pace, held to what is common to all.
    #[must_use]
    pub fn within(self, common: &Common) -> Self {
        Self { common: Some(common.clone()), ..self }
    }

    /// This pace in a process that began at `now`: one before it may have sent a request just then.
    #[must_use]
    pub fn begun(self, now: MonoTime) -> Self {
        Self { spacing: self.spacing.begun(now), ..self }
    }

    /// Takes the right to send one request at `now`.
    ///
    /// # Errors
    /// With the moment to ask again, when it is too early. A right is taken at the moment of
    /// sending and never booked ahead: booked ones would leave together after a stall.
    pub fn take(&mut self, now: MonoTime) -> Result<(), MonoTime> {
        let allowed = self.spacing.next.max(self.open_at);
        if now < allowed {
            return Err(allowed);
        }
        if let Some(Common(common)) = &self.common {
            // A poisoned lock still guards a whole value.
            common.lock().unwrap_or_else(PoisonError::into_inner).take(now)?;
        }
        self.spacing.take(now)
    }

    /// When amoCRM's last stop ends; in the past when there is none.
    pub fn open_at(&self) -> MonoTime {
        self.open_at
    }

    /// A request was answered 429: everything stops, longer each time. `jitter` is from 0 to 1. Answers
    /// of several requests that were under way are one stop; the longest `retry_after` counts.
    pub fn too_many(&mut self, now: MonoTime, retry_after: Option<Duration>, jitter: f64) {
        if now < self.open_at {
            return self.pause(now, retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
        }
        let own = doubled(TOO_MANY_FIRST, self.too_many, TOO_MANY_MAX);
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        self.too_many = self.too_many.saturating_add(1);
        self.pause(now, own.max(asked).mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 2.0));
    }

    /// A request was answered with the gateway's 403 page: the account or address is banned.
    pub fn banned(&mut self, now: MonoTime) {
        if now < self.open_at && self.banned > 0 {
            return;
        }
        let pause = doubled(BAN_FIRST, self.banned, BAN_MAX);
        self.banned = self.banned.saturating_add(1);
        self.pause(now, pause);
    }

    /// A request passed the gateway, whatever was answered. One that left before a stop says nothing of it.
    pub fn passed(&mut self, now: MonoTime) {
        if now < self.open_at {
            return;
        }
        self.too_many = 0;
        self.banned = 0;
    }

    fn pause(&mut self, now: MonoTime, pause: Duration) {
        self.open_at = self.open_at.max(now.after(pause));
    }
}

impl Common {
    /// `per_second` of 0 is taken for 1.
    pub fn new(per_second: u32) -> Self {
        Self(Arc::new(Mutex::new(Spacing::new(per_second))))
    }

    /// As [`Pace::begun`].
    pub fn begun(per_second: u32, now: MonoTime) -> Self {
        Self(Arc::new(Mutex::new(Spacing::new(per_second).begun(now))))
    }
}

impl Spacing {
    fn new(per_second: u32) -> Self {
        let second = Duration::from_secs(1) + Duration::from_secs(1) * MARGIN_PER_MILLE / 1000;
        Self { length: second / per_second.max(1), next: MonoTime::default() }
    }

    fn begun(self, now: MonoTime) -> Self {
        Self { next: now.after(self.length), ..self }
    }

    fn take(&mut self, now: MonoTime) -> Result<(), MonoTime> {
        if now < self.next {
            return Err(self.next);
        }
        self.next = now.after(self.length);
        Ok(())
    }
}

/// `first`, doubled `times` times, at most `max`.
fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> MonoTime {
        MonoTime::from_micros(millis * 1000)
    }

    /// Sends as fast as the pace lets us, asking again when it says so.
    fn sent(pace: &mut Pace, count: usize) -> Vec<MonoTime> {
        let mut now = at(1000);
        let mut sent = Vec::new();
        while sent.len() < count {
            match pace.take(now) {
                Ok(()) => sent.push(now),
                Err(later) => now = later,
            }
        }
        sent
    }

    #[test]
    fn no_second_holds_more_than_the_configured_number() {
        for per_second in 1..=7 {
            let sent = sent(&mut Pace::new(per_second), 60);
            for (index, first) in sent.iter().enumerate() {
                let within = sent[index..].iter().take_while(|at| at.since(*first) <= SECOND).count();
                assert!(within <= per_second as usize, "{per_second}: {within}");
            }
        }
    }

    #[test]
    fn the_configured_number_is_nearly_reached() {
        let sent = sent(&mut Pace::new(5), 51);
        assert!(sent[50].since(sent[0]) < Duration::from_millis(10_200));
    }

    #[test]
    fn the_process_before_counts() {
        let mut before = Pace::new(7);
        assert_eq!(before.take(at(1000)), Ok(()));
        let mut now = Pace::new(7).within(&Common::begun(7, at(1000))).begun(at(1000));
        assert_eq!(now.take(at(1000)), before.take(at(1000)), "it goes on as if it were the same");
    }

    #[test]
    fn a_stall_is_not_made_up_for() {
        let mut pace = Pace::new(5);
        assert_eq!(pace.take(at(0)), Ok(()));
        assert_eq!(pace.take(at(60_000)), Ok(()));
        assert_eq!(pace.take(at(60_001)), Err(at(60_202)));
    }

    #[test]
    fn accounts_together_keep_the_limit_and_stop_alone() {
        let common = Common::new(7);
        let mut paces = [5, 7].map(|per_second| Pace::new(per_second).within(&common));
        let mut sent = Vec::new();
        for millis in 0..3000 {
            for pace in &mut paces {
                if pace.take(at(millis)).is_ok() {
                    sent.push(at(millis));
                }
            }
        }
        for (index, first) in sent.iter().enumerate() {
            assert!(sent[index..].iter().take_while(|at| at.since(*first) <= SECOND).count() <= 7);
        }
        assert!(sent.len() >= 20, "{}", sent.len());
        paces[0].banned(at(3000));
        assert!(paces[0].take(at(4000)).is_err());
        assert_eq!(paces[1].take(at(4000)), Ok(()));
    }

    #[test]
    fn a_429_stops_everything_longer_each_time() {
        let mut pace = Pace::new(5);
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            pace.too_many(now, None, 0.0);
            pauses.push(pace.open_at().since(now).as_secs());
            assert_eq!(pace.take(now), Err(pace.open_at()));
            now = pace.open_at();
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        pace.passed(now);
        pace.too_many(now, None, 1.0);
        assert_eq!(pace.open_at().since(now), Duration::from_millis(1500));
    }

    #[test]
    fn answers_of_requests_that_were_under_way_are_one_stop() {
        let mut pace = Pace::new(5);
        for _ in 0..4 {
            pace.too_many(at(0), None, 0.0);
            pace.passed(at(10));
        }
        assert_eq!(pace.open_at(), at(1000));
        pace.too_many(at(20), Some(Duration::from_secs(9)), 0.0);
        assert_eq!(pace.open_at(), at(9020));
        pace.too_many(at(9020), None, 0.0);
        assert_eq!(pace.open_at(), at(11_020), "the second one, though requests passed while it lasted");
        let mut pace = Pace::new(5);
        for _ in 0..4 {
            pace.banned(at(0));
        }
        assert_eq!(pace.open_at(), at(300_000));
        pace.banned(at(300_000));
        assert_eq!(pace.open_at(), at(900_000));
    }

    #[test]
    fn retry_after_is_honoured_within_reason() {
        #[track_caller]
        fn check(asked: u64, expected: u64) {
            let mut pace = Pace::new(5);
            pace.too_many(at(0), Some(Duration::from_secs(asked)), 0.0);
            assert_eq!(pace.open_at().since(at(0)).as_secs(), expected);
        }
        check(0, 1);
        check(300, 300);
        check(1_000_000, 3600);
    }

    #[test]
    fn a_ban_is_probed_slowly() {
        let mut pace = Pace::new(5);
        let mut now = at(0);
        let mut minutes = Vec::new();
        for _ in 0..6 {
            pace.banned(now);
            minutes.push(pace.open_at().since(now).as_secs() / 60);
            now = pace.open_at();
        }
        assert_eq!(minutes, [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn a_shorter_stop_does_not_end_a_longer_one() {
        let mut pace = Pace::new(5);
        pace.banned(at(0));
        pace.too_many(at(10), None, 0.0);
        assert_eq!(pace.open_at(), at(300_000));
    }
}
