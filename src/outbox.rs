//! Finished calls on their way to amoCRM: durable, in order, each with a state.

pub mod queue;
