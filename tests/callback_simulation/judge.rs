//! What must be so: at every POST of a task, and in the end.

use std::collections::BTreeSet;
use std::time::Duration;

use ami2amo::call::id::{AccountId, CallId};
use ami2amo::outbox::callback::{Ended, Row};
use ami2amo::outbox::queue::{Phase, Queue as _, Seq, State};
use serde_json::Value;

use super::{Caller, World};

/// A talk may end unseen so long before the POST of a task.
const PREPARED_IN: Duration = Duration::from_secs(5);

impl World {
    /// No talk with the number was taken in since the last call that was missed, but for the last moment.
    pub fn assert_nobody_talked(&mut self, task: &Value) {
        let number = format!("916000000{}", task["entity_id"]);
        let account = AccountId::default();
        let row = Row::read(&self.rows[&format!("default/{number}")]).unwrap();
        let moment = self.now.host.before(PREPARED_IN);
        let is_late = self.queue.has_talk_after(&account, &number, row.ended)
            && !self.queue.has_talk_after(&account, &number, Ended { at: moment, seq: Seq(0) });
        assert!(!is_late, "a stale task at {}: {task}", self.now.host);
    }

    /// What must be so in the end.
    pub fn judge(&mut self, callers: &[Caller]) {
        for index in 1..=callers.len() {
            let id = CallId::from_text(format!("default-1.{index}"));
            let item = self.queue.find(&id).unwrap().unwrap();
            assert_eq!(item.state.phase(), Phase::Sent, "{:?}", item.state);
            assert!(matches!(item.state, State::Sent { entity: Some(_), .. }));
        }
        let numbers: BTreeSet<u64> = callers.iter().map(|caller| caller.number).collect();
        for number in numbers {
            let last = callers.iter().rev().find(|caller| caller.number == number).unwrap();
            let open = self.tasks.iter().filter(|task| task.entity == number && task.done.is_none()).count();
            assert_eq!(
                open,
                usize::from(!last.talks),
                "{number}: {callers:?} {:#?} {:#?}",
                self.tasks,
                self.rows.values().map(|row| String::from_utf8_lossy(row)).collect::<Vec<_>>()
            );
            let missed = callers.iter().filter(|caller| caller.number == number && !caller.talks).count();
            let made = self.tasks.iter().filter(|task| task.entity == number).count();
            assert!(made <= missed, "{made} tasks of {missed} missed calls");
        }
    }
}
