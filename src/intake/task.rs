//! The task that follows one PBX.
