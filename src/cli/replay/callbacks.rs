//! Pure: the tasks to call back that a replay's calls would make and close, if amoCRM knew their numbers.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::amo::result::language;
use crate::amo::settings::Settings;
use crate::amo::settings::callback::Assignee;
use crate::amo::tasks::{self, PATH, Task};
use crate::amo::who;
use crate::call::id::AccountId;
use crate::call::record::{CallRecord, Direction};
use crate::outbox::courier::callbacks::is_missed;
use crate::outbox::unknown;

/// The open tasks, by account and number.
#[derive(Debug, Default)]
pub(super) struct Callbacks(BTreeSet<(AccountId, String)>);

/// What would be sent.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Sent {
    Made([Task; 1]),
    Closed(serde_json::Value),
}

impl Callbacks {
    /// What follows from a call that amoCRM stored: with which method, and where to.
    pub(super) fn after(
        &mut self,
        record: &CallRecord,
        settings: &Settings,
    ) -> Option<(&'static str, String, Sent)> {
        let task = &settings.callback_task;
        let number = (record.account.clone(), unknown::number(record));
        if record.answered && record.direction != Direction::Internal {
            let result = tasks::text(task.result(language(record, settings)), record);
            let closing = serde_json::from_slice(&tasks::closing(&result)).unwrap_or_default();
            return self.0.remove(&number).then(|| ("patch", tasks::path_of(0), Sent::Closed(closing)));
        }
        if !task.make || !is_missed(record) || number.1.is_empty() || !self.0.insert(number) {
            return None;
        }
        Some(("post", PATH.to_owned(), Sent::Made([made(record, settings)])))
    }
}

/// The task as it would be made when the call ended. Contact and task are called 0: their ids are
/// amoCRM's answers. Nobody is asked for the contact's owner.
fn made(record: &CallRecord, settings: &Settings) -> Task {
    let task = &settings.callback_task;
    let booked = who::configured(record, settings).user;
    let user = match task.responsible {
        Assignee::Owner | Assignee::Call => booked,
        Assignee::User(user) => Some(user),
    };
    Task {
        entity_id: 0,
        entity_type: "contacts".to_owned(),
        task_type_id: task.kind,
        text: tasks::text(task.text(language(record, settings)), record),
        complete_till: record.ended_at.to_host(0).after(task.deadline.duration()).seconds(),
        responsible_user_id: user,
        request_id: "0".to_owned(),
    }
}
