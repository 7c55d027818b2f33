//! Pure: answer to verdict, attempt to delay.
