//! Pure: the configuration file.
