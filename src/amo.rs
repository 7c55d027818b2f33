//! amoCRM / Kommo: requests, answers, tokens, pace. Knows no queue.
//!
//! A call becomes an [`calls::Entry`], [`client`] posts a batch of them, and [`answer`] says what
//! the reply means for each. When no reply came, [`notes`] looks for what was stored. For a number that
//! amoCRM does not know, an item of Incoming leads ([`unsorted`]), or a contact and a lead
//! ([`contacts`]) can be made; [`made`] reads the answer.

pub mod answer;
pub mod calls;
#[cfg(feature = "daemon")]
pub mod client;
pub mod contacts;
pub mod made;
pub mod notes;
pub mod pace;
pub mod settings;
pub mod token;
pub mod unsorted;
