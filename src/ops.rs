//! The side entrance: what people and machines see of the running daemon.

pub mod log;
