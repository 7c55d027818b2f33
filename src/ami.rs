//! The Asterisk Manager Interface: bytes, frames, events, the session. Knows no call.

pub mod arrival;
pub mod banner;
#[cfg(feature = "daemon")]
pub mod codec;
#[cfg(feature = "daemon")]
pub mod connection;
pub mod event;
pub mod heard;
pub mod interest;
pub mod session;
pub mod wire;
