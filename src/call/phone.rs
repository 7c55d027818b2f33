//! Pure: what a number looks like in a record.

use crate::call::record::Skip;

/// Fewest digits of a number that a subscriber can have; service numbers are shorter.
const DIGITS_MIN: usize = 5;

/// The number as records carry it: its digits. `Err` says why there is none to send.
///
/// # Errors
/// [`Skip::Anonymous`] without a number, [`Skip::ShortNumber`] under five digits.
pub fn subscriber(raw: Option<&str>) -> Result<String, Skip> {
    let Some(raw) = raw else { return Err(Skip::Anonymous) };
    let digits: String = raw.chars().filter(char::is_ascii_digit).collect();
    match digits.len() {
        0 => Err(Skip::Anonymous),
        length if length < DIGITS_MIN => Err(Skip::ShortNumber),
        _ => Ok(digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_its_digits() {
        assert_eq!(subscriber(Some("+7 (916) 123-45-67")), Ok("79161234567".to_owned()));
        assert_eq!(subscriber(Some("89161234567")), Ok("89161234567".to_owned()));
    }

    #[test]
    fn service_numbers_and_nameless_callers_are_told_apart() {
        assert_eq!(subscriber(Some("112")), Err(Skip::ShortNumber));
        assert_eq!(subscriber(Some("anonymous")), Err(Skip::Anonymous));
        assert_eq!(subscriber(None), Err(Skip::Anonymous));
    }
}
