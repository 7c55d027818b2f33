//! The side entrance: what people and machines see of the running daemon.

pub mod calls;
pub mod explain;
pub mod forget;
pub mod hook;
pub mod live;
pub mod log;
pub mod number;
pub mod records;
pub mod reload;
pub mod repair;
pub mod screen;
pub mod shadow;
pub mod sides;
pub mod status;
pub mod transfer;
pub mod words;
