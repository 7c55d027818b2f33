//! HTTP to amoCRM.
