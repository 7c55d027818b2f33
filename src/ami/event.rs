//! Pure: frame to typed event that borrows.
