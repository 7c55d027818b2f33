//! ami2amo: calls of an Asterisk PBX, delivered to amoCRM / Kommo.

// What the product keeps and its tests need not; the lints of all targets stand in Cargo.toml.
#![warn(
    // The methods listed in clippy.toml: clocks, queues without a bound, sleeps.
    clippy::disallowed_methods,
    // No panic without a word why it cannot happen.
    clippy::panic,
    clippy::unwrap_used,
    // A number or a name may be cut inside a character.
    clippy::string_slice,
    // The order of a hash map is nobody's: what is iterated is ordered.
    clippy::iter_over_hash_type,
    // A new variant of our own enums must not compile until every place has an answer.
    clippy::wildcard_enum_match_arm,
    // Output is a writer that the caller hands in: it can be tested, and a closed pipe is an error, no panic.
    clippy::exit,
    clippy::print_stderr,
    clippy::print_stdout
)]

pub mod ami;
pub mod amo;
pub mod call;
#[cfg(feature = "daemon")]
pub mod capture;
pub mod cdr;
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
pub mod packing;
pub mod panics;
#[cfg(feature = "daemon")]
pub mod pseudonym;
#[cfg(feature = "daemon")]
pub mod replay;
pub mod time;

#[cfg(all(test, feature = "daemon"))]
#[path = "../tests/support/captured_log.rs"]
mod captured_log;

#[cfg(all(test, feature = "daemon"))]
#[path = "../tests/support/folder.rs"]
mod folder;

/// What must hold of any bytes from outside: the fuzz targets, which the tests try on their corpus.
#[cfg(any(fuzzing, all(test, feature = "daemon")))]
#[doc(hidden)]
#[path = "../fuzz/checks.rs"]
pub mod fuzzing;
