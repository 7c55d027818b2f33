//! Finished calls on their way to amoCRM: durable, in order, each with a state.

pub mod courier;
pub mod errand;
pub mod memory;
pub mod parcel;
pub mod policy;
pub mod queue;
pub mod schedule;
pub mod search;
#[cfg(feature = "daemon")]
pub mod store;
pub mod unknown;
