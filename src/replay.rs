//! Captures instead of the socket.
