//! amoCRM / Kommo: requests, answers, tokens, pace. Knows no queue.
//!
//! A call becomes an [`calls::Entry`], [`client`] posts a batch of them, and [`answer`] says what
//! the reply means for each. When no reply came, [`notes`] looks for what was stored. For a number that
//! amoCRM does not know, an item of Incoming leads ([`unsorted`]), or a contact and a lead
//! ([`contacts`]) can be made; [`made`] reads the answer. [`who`] says on whom a call is booked, by what
//! [`users`] is known; after a missed call there can be a task to call back ([`tasks`]).
//! What others wrote of calls is read from the [`feed`].

pub mod answer;
pub mod calls;
#[cfg(feature = "daemon")]
pub mod client;
pub mod contacts;
pub mod feed;
pub mod late_link;
pub mod limits;
pub mod made;
pub mod notes;
pub mod pace;
pub mod people;
pub mod recording;
pub mod result;
pub mod settings;
pub mod tasks;
pub mod template;
pub mod token;
pub mod unsorted;
pub mod users;
pub mod who;
