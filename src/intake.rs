//! One PBX: its stream in, its finished calls out.

pub mod clock;
pub mod gap;
pub mod reader;
#[cfg(feature = "daemon")]
pub mod revive;
#[cfg(feature = "daemon")]
pub mod task;
