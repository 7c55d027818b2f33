//! Pure: the queue in memory, for tests and dry runs.
