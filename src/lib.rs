//! ami2amo: calls of an Asterisk PBX, delivered to amoCRM / Kommo.

pub mod ami;
pub mod amo;
pub mod call;
#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod clock;
#[cfg(feature = "daemon")]
pub mod config;
#[cfg(feature = "daemon")]
pub mod daemon;
pub mod intake;
#[cfg(feature = "daemon")]
pub mod ops;
pub mod outbox;
#[cfg(feature = "daemon")]
pub mod replay;
pub mod time;
