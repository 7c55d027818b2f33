//! What a simulated courier asks of its queue, done at once: the worlds differ in what is beyond it.

use ami2amo::call::id::AccountId;
use ami2amo::outbox::courier::effect::{Effect, Outcome};
use ami2amo::outbox::memory::MemoryQueue;
use ami2amo::outbox::queue::Queue;
use ami2amo::time::HostTime;

/// Carries out an effect on the `queue` at `now`; gives back one that is about something else.
pub fn carry_out(queue: &mut MemoryQueue, effect: Effect, now: HostTime) -> Result<Outcome, Effect> {
    let account = AccountId::default();
    let ever = HostTime::from_micros(i64::MAX);
    Ok(match effect {
        Effect::Adopt => Outcome::Adopted(queue.adopt(&account, now).unwrap()),
        Effect::Doubts { limit } => Outcome::Doubts(queue.unknown(&account, limit, ever).unwrap()),
        Effect::Look { limit } => Outcome::Unknown(queue.unknown(&account, limit, now).unwrap()),
        Effect::Lease { limit } => Outcome::Leased(queue.lease(&account, limit, now).unwrap()),
        Effect::NextDue => Outcome::NextDue(queue.next_due(&account).unwrap()),
        Effect::Owing { limit } => Outcome::Owing(queue.owing(&account, limit, now).unwrap()),
        Effect::Intend { calls } => Outcome::Intended(queue.intend(&calls, now).unwrap()),
        Effect::Settle { rulings } => {
            let settlements = rulings.into_iter().map(|ruling| ruling.settlement).collect();
            queue.settle(settlements, now).unwrap();
            Outcome::Settled
        }
        other => return Err(other),
    })
}
