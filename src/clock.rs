//! The only place that reads the clocks.
