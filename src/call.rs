//! From events to calls: who talked with whom, for how long, and why we say so.
//!
//! ```text
//! event ─► tracker ─► facts ─► conversation ─► talk ─► classify ─► record
//!          (edges)    (a call  (outside legs)  (media   (policy)
//!          side        that                    graph)
//!          (evidence)  ended)
//! ```

pub mod checkpoint;
pub mod classify;
pub mod conversation;
pub mod facts;
pub mod id;
pub mod line;
pub mod name;
pub mod pattern;
pub mod phone;
pub mod policy;
pub mod record;
pub mod side;
pub mod talk;
pub mod timeline;
pub mod tracker;
pub mod why;
