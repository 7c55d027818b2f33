//! Pure: what becomes of calls that are due.

use crate::amo::calls;
use crate::outbox::courier::effect::{Now, Ruling};
use crate::outbox::courier::step::Step;
use crate::outbox::courier::{Courier, flight};
use crate::outbox::errand::Kind;
use crate::outbox::policy;
use crate::outbox::queue::{Item, Settlement};
use crate::time::HostTime;

impl Courier {
    pub(super) fn leased(&mut self, items: Vec<Item>, now: Now) {
        if items.is_empty() {
            self.health.answered_and_idle();
            self.step = Step::NextDue;
            return;
        }
        let refused = items.iter().filter_map(|item| Some(Ruling::new(item, self.refuse(item, now.host)?)));
        let rulings: Vec<Ruling> = refused.collect();
        if !rulings.is_empty() {
            self.step = Step::Settle { rulings, together: true };
            return;
        }
        let batch = policy::batch(items, self.batch_limit(now.host));
        match batch.first().map(|item| item.errand.kind()) {
            Some(Kind::Post) | None => {
                self.step = Step::Intend(flight::load(batch, &self.rules.amo, &self.offsets));
            }
            Some(Kind::List | Kind::Search) => self.begin_errand(batch, now),
        }
    }

    /// A call that is not sent at all, for its age or because amoCRM would refuse it.
    fn refuse(&self, item: &Item, now: HostTime) -> Option<Settlement> {
        policy::over_age(&self.rules.delivery, item, now).or_else(|| {
            let unfit = calls::entry(&item.call.record, "", &self.rules.amo, 0).err()?;
            Some(policy::unfit(item, unfit.to_string(), now))
        })
    }
}
