//! Pure: what came of the POST of a task.

use super::{
    Bookings, Callbacks, Complaint, Created, Fate, Hold, Made, Now, Rules, Signal, Stage, Who, policy,
    unclear, who,
};
use crate::amo::calls::Responsible;

impl Callbacks {
    pub(super) fn made(
        &mut self,
        number: String,
        created: Created,
        rules: &Rules,
        bookings: &mut Bookings,
        jitter: f64,
        now: Now,
    ) -> Option<Signal> {
        let (fate, words, signal) = read(created);
        let live = self.answered(&number)?;
        let Stage::Making { since } = live.row.stage else { return signal };
        match fate {
            Fate::Made(task) => match task.parse() {
                Ok(task) => {
                    live.failures = 0;
                    live.row.made(task, now.host);
                }
                Err(_) => live.row.stage = Stage::Doubt { since, looked: 0 },
            },
            Fate::Refused => {
                if let Some(user) = blamed(&words, live.assignee(rules, bookings)) {
                    // He is left out the next time.
                    bookings.refuse(who::Blame::User(user), now.mono);
                    live.row.stage = Stage::Wanted;
                } else {
                    bookings.complain(Complaint::TaskRefused(words));
                    self.rows.remove(&number);
                }
            }
            Fate::Untouched => {
                live.row.stage = Stage::Wanted;
                live.pause(rules, jitter, now);
            }
            Fate::Unclear => {
                live.row.stage = Stage::Doubt { since, looked: 0 };
                live.next_at = now.mono.after(policy::first_look(&rules.delivery));
            }
        }
        self.dirty.insert(number);
        signal
    }
}

/// The user that a refusal speaks of.
fn blamed(words: &str, user: Option<u64>) -> Option<u64> {
    let who = Who { user, shown: user.map(Responsible::User), told: None };
    match who::blamed_in_words(&who, words)? {
        who::Blame::User(user) => Some(user),
        who::Blame::Text => None,
    }
}

fn read(created: Created) -> (Fate, String, Option<Signal>) {
    match created {
        Created::Answered(Made { account, fates, words }) => {
            let fate = fates.into_iter().next().unwrap_or(Fate::Unclear);
            let signal = match &fate {
                // That amoCRM refuses a task says nothing of the account.
                Fate::Made(_) | Fate::Refused => None,
                Fate::Untouched | Fate::Unclear => Some(unclear(account, words.clone())),
            };
            (fate, words, signal)
        }
        Created::Quiet => (Fate::Untouched, String::new(), None),
        Created::NotSent(words) => (Fate::Untouched, words.clone(), Some(Signal::Trouble(words))),
        Created::Lost(words) => (Fate::Unclear, words.clone(), Some(Signal::Trouble(words))),
        Created::NoToken(words) => {
            (Fate::Untouched, words.clone(), Some(Signal::Hold(Hold::Unauthorized, words)))
        }
    }
}
