//! What every [`Queue`] must do, as tests: [`tests`] runs all of them on one implementation.

use crate::call::id::AccountId;
use crate::call::record::{FinishedCall, Skip, sample};
use crate::outbox::errand::Errand;
use crate::outbox::queue::{BatchId, Enqueued, Item, Phase, Queue, Seq, Settlement, State, Stats};
use crate::time::HostTime;

pub mod leasing;
pub mod ledger;
pub mod owing;
pub mod settling;
pub mod taking;

/// Makes a `#[test]` of every function of the contract; the expression gives a new queue and
/// whatever must outlive it.
macro_rules! tests {
    ($make:expr) => {
        contract::tests! { $make;
            taking {
                a_new_call_waits_and_is_found,
                a_known_call_adds_nothing,
                a_call_is_known_for_ever_once_it_is_sent,
                the_same_call_twice_in_one_list_is_taken_once,
                two_conversations_of_one_channel_are_two_calls,
                calls_that_share_a_helper_channel_are_different_calls,
                a_call_that_policy_skips_is_at_its_end_at_once,
            }
            leasing {
                calls_leave_in_the_order_in_which_they_came,
                a_lease_changes_nothing,
                a_lease_is_of_one_account,
                a_lease_is_of_fresh_calls_or_of_parked_ones,
                a_call_is_leased_when_it_is_due_and_not_before,
                a_clock_that_is_set_back_makes_due_calls_wait_again,
                the_next_due_time_is_that_of_the_first_call_which_waits,
                an_unknown_outcome_is_looked_up_when_it_is_due,
            }
            settling {
                an_intent_hides_its_calls_from_the_next_lease,
                every_intent_has_a_batch_of_its_own,
                an_intent_is_made_for_all_of_its_calls_or_for_none,
                every_step_of_the_table_is_taken_and_no_other,
                a_settlement_records_what_was_learned,
                settlements_are_applied_together_or_not_at_all,
                two_settlements_of_one_call_follow_one_another,
                an_absent_call_is_refused_by_its_number,
                intents_of_a_process_that_is_gone_become_unknown,
                the_moment_of_parking_is_kept,
                whoever_settles_revives_no_call,
            }
            owing {
                what_is_owed_is_taken_up_when_it_is_due,
                what_was_given_is_owed_no_more,
                a_call_that_waits_for_its_file_is_leased_later,
            }
            ledger {
                the_ledger_balances_after_every_step,
                the_oldest_call_that_waits_is_known,
            }
        }
    };
    ($make:expr; $($theme:ident { $($name:ident,)+ })+) => {
        $($(#[test]
        fn $name() {
            let (mut queue, _guard) = $make;
            contract::$theme::$name(&mut queue);
        })+)+
    };
}
pub(crate) use tests;

/// A call of the PBX `default` whose channels are `n.1` and `n.2`.
pub fn call(n: u32) -> FinishedCall {
    let mut call = sample::call(&format!("{n}.1"));
    call.record.uniqueids.push(format!("{n}.2"));
    call
}

pub fn at(seconds: i64) -> HostTime {
    HostTime::from_micros((1_795_337_600 + seconds) * 1_000_000)
}

pub fn account() -> AccountId {
    AccountId::default()
}

pub fn enqueue(queue: &mut impl Queue, calls: Vec<FinishedCall>, now: HostTime) -> Vec<Seq> {
    let taken = queue.enqueue(calls, now).unwrap();
    taken.into_iter().map(new_seq).collect()
}

fn new_seq(enqueued: Enqueued) -> Seq {
    match enqueued {
        Enqueued::New(seq) => seq,
        Enqueued::Known => panic!("the call is known"),
    }
}

pub fn settlement(seq: Seq, state: State, next_at: HostTime) -> Settlement {
    Settlement { seq, state, next_at, last_error: None, attempted: false, errand: Errand::default() }
}

pub fn sent(now: HostTime) -> State {
    State::Sent { note_id: Some(7), entity: None, at: now }
}

fn settle(queue: &mut impl Queue, seq: Seq, state: State, next_at: HostTime) {
    queue.settle(vec![settlement(seq, state, next_at)], at(0)).unwrap();
}

fn lease(queue: &mut impl Queue, now: HostTime) -> Vec<Seq> {
    queue.lease(&account(), 50, now).unwrap().iter().map(|item| item.seq).collect()
}

fn find(queue: &mut impl Queue, n: u32) -> Item {
    queue.find(&call(n).record.call_id).unwrap().expect("the call is there")
}

/// Whether the ledger of DESIGN 4 balances: no call is unaccounted for.
pub fn balances(stats: &Stats) -> bool {
    stats.ended == stats.by_phase.values().sum::<u64>()
}

/// Brings a new call into `phase` on allowed ways.
fn reach(queue: &mut impl Queue, n: u32, phase: Phase) -> Seq {
    let mut new = call(n);
    new.record.skip = (phase == Phase::Skipped).then_some(Skip::Policy);
    let seqs = enqueue(queue, vec![new], at(0));
    if phase == Phase::Pending || phase == Phase::Skipped {
        return seqs[0];
    }
    queue.intend(&seqs, at(0)).unwrap();
    if phase != Phase::Sending {
        settle(queue, seqs[0], state(phase), at(1));
    }
    seqs[0]
}

fn phases() -> [Phase; 9] {
    [
        Phase::Pending,
        Phase::Sending,
        Phase::Sent,
        Phase::Unknown,
        Phase::Parked,
        Phase::Unsorted,
        Phase::Skipped,
        Phase::Expired,
        Phase::Dead,
    ]
}

fn state(phase: Phase) -> State {
    let (batch, since, at) = (BatchId(77), at(1), at(1));
    match phase {
        Phase::Pending => State::Pending,
        Phase::Sending => State::Sending { batch, since },
        Phase::Sent => sent(at),
        Phase::Unknown => State::Unknown { batch, since, looked: 1 },
        Phase::Parked => State::Parked { since },
        Phase::Unsorted => State::Unsorted { uid: Some("u".into()), at },
        Phase::Skipped => State::Skipped { reason: Skip::Policy, at },
        Phase::Expired => State::Expired { reason: "too old".into(), at },
        Phase::Dead => State::Dead { reason: "no such user".into(), at },
    }
}
