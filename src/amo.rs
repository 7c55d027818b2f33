//! amoCRM / Kommo: requests, answers, tokens, pace. Knows no queue.

pub mod answer;
pub mod calls;
#[cfg(feature = "daemon")]
pub mod client;
pub mod pace;
pub mod token;
