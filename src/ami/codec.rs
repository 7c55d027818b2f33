//! The `tokio_util` decoder over `ami::wire`.
