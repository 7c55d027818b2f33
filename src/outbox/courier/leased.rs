//! Pure: what becomes of calls that are due.

use crate::amo::calls::{self, Manner};
use crate::outbox::courier::Courier;
use crate::outbox::courier::bookings;
use crate::outbox::courier::effect::{Now, Ruling};
use crate::outbox::courier::step::Step;
use crate::outbox::errand::Kind;
use crate::outbox::policy;
use crate::outbox::queue::{Item, Settlement};
use crate::time::HostTime;

impl Courier {
    pub(super) fn leased(&mut self, items: Vec<Item>, now: Now) {
        self.drained = items.is_empty();
        if items.is_empty() {
            self.health.answered_and_idle();
            self.step = if self.ask_of_doubts() { Step::Begin } else { Step::NextDue };
            return;
        }
        let refused = items.iter().filter_map(|item| Some(Ruling::new(item, self.refuse(item, now.host)?)));
        let rulings: Vec<Ruling> = refused.collect();
        if !rulings.is_empty() {
            self.step = Step::Settle { rulings, together: true };
            return;
        }
        let rulings = self.put_off(&items, now);
        if !rulings.is_empty() {
            self.step = Step::Settle { rulings, together: true };
            return;
        }
        let batch = policy::batch(items, self.batch_limit(now.host));
        match batch.first().map(|item| item.errand.kind()) {
            Some(Kind::Post) | None => {
                self.post_with_sounds(batch, now);
            }
            Some(Kind::List | Kind::Search) => self.begin_errand(batch, now),
        }
    }

    /// Calls that wait for their entity's owner, beside the others.
    fn put_off(&mut self, items: &[Item], now: Now) -> Vec<Ruling> {
        let mut rulings = Vec::new();
        for item in items.iter().filter(|item| item.errand.kind() == Kind::Post) {
            if self.bookings.awaits_owner(item, &self.asides.brakes, now.mono) {
                rulings.push(Ruling::new(item, bookings::put_off(item, now.host)));
            }
        }
        rulings
    }

    /// A call that is not sent at all, for its age or because amoCRM would refuse it.
    fn refuse(&self, item: &Item, now: HostTime) -> Option<Settlement> {
        policy::over_age(&self.rules.delivery, item, now).or_else(|| {
            let unfit = calls::entry(&item.call.record, "", &self.rules.amo, &Manner::default()).err()?;
            Some(policy::unfit(item, unfit.to_string(), now))
        })
    }
}
