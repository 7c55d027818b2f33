//! The stream of a manager port in files, as `replay` reads it, with or without the people in it.
//!
//! [`live`] logs in as the daemon does and writes down what comes, with the times at which it came; [`stored`]
//! takes the people out of captures that are there. No file holds a secret: what is sent is not recorded.

pub mod anonymize;
pub mod files;
pub mod live;
pub mod number;
pub mod recorder;
pub mod stored;

use std::fs::File;
use std::io::{self, Read as _};

/// A key for stand-ins that nobody knows and that is kept nowhere.
///
/// # Errors
/// When the system gives no random bytes.
pub fn key() -> io::Result<Vec<u8>> {
    let mut key = vec![0; 32];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}
