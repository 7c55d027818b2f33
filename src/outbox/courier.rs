//! Carries calls from the outbox to amoCRM.
