//! The policy on its way from whoever reads the configuration to those who judge by it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::call::policy::Policy as Calls;
use crate::config::Policy;

/// Hands on each new policy.
#[derive(Debug)]
pub struct Sender {
    whole: watch::Sender<Arc<Policy>>,
    calls: watch::Sender<Arc<Calls>>,
}

/// The policy of now.
#[derive(Clone, Debug)]
pub struct Policies {
    pub whole: watch::Receiver<Arc<Policy>>,
    /// The part by which calls are judged.
    pub calls: watch::Receiver<Arc<Calls>>,
}

/// Begins with this one.
pub fn channel(policy: Arc<Policy>) -> (Sender, Policies) {
    let (calls, of_calls) = watch::channel(Arc::clone(&policy.calls));
    let (whole, of_whole) = watch::channel(policy);
    (Sender { whole, calls }, Policies { whole: of_whole, calls: of_calls })
}

impl Sender {
    /// When it returns, every call that ends is judged by this one: whoever then says so is right.
    pub fn send(&self, policy: Arc<Policy>) {
        self.calls.send_replace(Arc::clone(&policy.calls));
        self.whole.send_replace(policy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::id::AccountId;

    #[test]
    fn whoever_is_told_of_a_new_policy_finds_calls_judged_by_it() {
        let (sender, policies) = channel(Arc::default());
        let mut next = Policy::default();
        Arc::make_mut(&mut next.calls).shadowed.insert(AccountId::default());
        let next = Arc::new(next);
        sender.send(Arc::clone(&next));
        assert!(policies.whole.has_changed().unwrap() && policies.calls.has_changed().unwrap());
        assert!(Arc::ptr_eq(&policies.whole.borrow(), &next));
        assert!(Arc::ptr_eq(&policies.calls.borrow(), &next.calls));
    }
}
