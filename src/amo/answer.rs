//! Pure: what an answer of amoCRM means.
