//! From events to calls: who talked with whom, for how long, and why we say so.

pub mod id;
pub mod policy;
pub mod record;
pub mod why;
