//! Pure: login, ping, and the short list of actions that may be sent.
