//! Pure: request bodies of `POST /api/v4/calls`.
