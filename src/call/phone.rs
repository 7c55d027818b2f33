//! Pure: what a number looks like in a record.

use crate::call::record::Skip;

/// Digits of a number that are shown where not all of it may be.
const DIGITS_SHOWN: usize = 4;
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

/// `…4567`, as logs above `debug` show a number: enough to find the call, too little to ring the
/// person. Of a short number at most half is shown.
pub fn masked(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let shown = DIGITS_SHOWN.min(digits.len() / 2);
    let tail: String = digits.into_iter().rev().take(shown).rev().collect();
    format!("…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_number_shows_its_last_digits_and_never_all_of_them() {
        let pairs = [
            ("79161234568", "…4568"),
            ("+7 916 123-45-68", "…4568"),
            ("7916123\r\n\u{1b}[8", "…1238"),
            ("1234567", "…567"),
            ("12", "…2"),
            ("", "…"),
        ];
        for (number, shown) in pairs {
            assert_eq!(masked(number), shown);
        }
    }

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
