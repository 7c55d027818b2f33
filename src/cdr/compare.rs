//! Pure: calls of the records of the PBX beside those that are stored.
