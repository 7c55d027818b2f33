//! amoCRM / Kommo: requests, answers, tokens, pace. Knows no queue.
//!
//! A call becomes an [`calls::Entry`], [`client`] posts a batch of them, and [`answer`] says what
//! the reply means for each. When no reply came, [`notes`] looks for what was stored.

pub mod answer;
pub mod calls;
#[cfg(feature = "daemon")]
pub mod client;
pub mod notes;
pub mod pace;
pub mod settings;
pub mod token;
