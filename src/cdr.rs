//! Call detail records to calls: what the PBX itself wrote of calls that nobody followed.
//!
//! ```text
//! a source ─► column::Raw ─► row::Row ─► group::Group ─► events ─► call/tracker ─► call/classify
//! ```
//!
//! Rows are told to a tracker as the events that made them, so sides, numbers, policy and reasons are
//! those of the live stream. [`source`] is the shell that reads files and databases; all else is pure.

pub mod calls;
pub mod cel;
pub mod column;
pub mod compare;
pub mod csv;
mod events;
#[cfg(feature = "daemon")]
pub mod fetch;
mod group;
mod leg;
pub mod range;
pub mod row;
#[cfg(feature = "daemon")]
pub mod source;
pub mod truth;
