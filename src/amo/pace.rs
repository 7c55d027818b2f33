//! Pure: when the next request may leave.
//!
//! amoCRM allows 7 requests a second, and nobody outside knows whether it counts them by
//! integration, account or address, in fixed or sliding windows. So the requests of an account are
//! evenly spaced: no window of a second, wherever it begins, holds more than the configured number;
//! and those of all accounts together are held to the limit by a [`Common`] spacing. A stop that
//! amoCRM asks for is the account's own: another one is not disturbed by it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::amo::notes::ACCOUNT_PATH;
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
    /// Pages that answered a question and were no ban, as far as is known.
    pages: Pages,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Something is sent, made or changed, or the account itself is asked for.
    Account,
    /// One place of it is read.
    Question,
}

/// 403 pages that answered questions.
#[derive(Clone, Copy, Debug, Default)]
struct Pages {
    /// The last one came when, and how many came before it, each soon after the other.
    last: Option<(MonoTime, u32)>,
    /// Nothing has passed the gateway since.
    is_open: bool,
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
/// First pause after a ban's page that answers one question: the gateway may have something against that
/// place alone. As long as a ban's when they go on.
const PAGE_FIRST: Duration = Duration::from_mins(1);
/// How soon after another such a page is one of a row.
const PAGE_ROW: Duration = Duration::from_hours(1);
/// Added to the spacing, in thousandths: two clocks never agree, and a window that is closed at
/// both ends would otherwise hold one request more.
const MARGIN_PER_MILLE: u32 = 10;
/// By how much a request may follow sooner on one that was late: timers come a millisecond or two after their time. Half
/// of what the margin adds to a second, so that the other half is always there.
const MADE_UP_FOR: Duration = Duration::from_millis(MARGIN_PER_MILLE as u64 / 2);

impl Pace {
    /// `per_second` of 0 is taken for 1.
    pub fn new(per_second: u32) -> Self {
        Self {
            spacing: Spacing::new(per_second),
            common: None,
            open_at: MonoTime::default(),
            too_many: 0,
            banned: 0,
            pages: Pages::default(),
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

    /// A request was answered with the gateway's 403 page: the account or address is banned. Where that was
    /// one question alone, the next request tells whether it is; nothing leaves before.
    pub fn banned(&mut self, now: MonoTime, purpose: Purpose) {
        if now < self.open_at && self.banned > 0 {
            return;
        }
        if purpose == Purpose::Question && self.banned == 0 && !self.pages.is_open {
            let pause = self.pages.come(now);
            return self.pause(now, pause);
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
        self.pages.is_open = false;
    }

    fn pause(&mut self, now: MonoTime, pause: Duration) {
        self.open_at = self.open_at.max(now.after(pause));
    }
}

impl Purpose {
    /// That of reading `path`.
    pub fn of_reading(path: &str) -> Self {
        if path == ACCOUNT_PATH { Self::Account } else { Self::Question }
    }
}

impl Pages {
    /// One came; returns for how long nothing leaves.
    fn come(&mut self, now: MonoTime) -> Duration {
        let row = self.last.filter(|(at, _)| now.since(*at) < PAGE_ROW);
        let before = row.map_or(0, |(_, before)| before.saturating_add(1));
        *self = Self { last: Some((now, before)), is_open: true };
        doubled(PAGE_FIRST, before, BAN_FIRST)
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
        let soonest = now.after(self.length.saturating_sub(MADE_UP_FOR));
        self.next = self.next.after(self.length).max(soonest);
        Ok(())
    }
}

/// `first`, doubled `times` times, at most `max`.
fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(max)
}

#[cfg(test)]
mod tests;
