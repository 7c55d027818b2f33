//! ami2amo: calls of an Asterisk PBX, delivered to amoCRM / Kommo.

pub mod call;
pub mod outbox;
pub mod time;
