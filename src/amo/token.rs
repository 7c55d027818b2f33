//! Pure: the life of an access token.
