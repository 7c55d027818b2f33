//! Pure: even spacing of requests.
