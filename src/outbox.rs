//! Finished calls on their way to amoCRM: durable, in order, each with a state.

pub mod callback;
pub mod compare;
pub mod courier;
pub mod errand;
pub mod filter;
#[cfg(feature = "daemon")]
pub mod finder;
pub mod forget;
pub mod hook;
pub mod memory;
pub mod parcel;
pub mod policy;
pub mod queue;
pub mod schedule;
pub mod search;
pub mod sound;
#[cfg(feature = "daemon")]
pub mod store;
pub mod unknown;
