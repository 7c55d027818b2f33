//! The queue on sled, owned by one thread.
