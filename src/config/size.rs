//! Pure: sizes of files as people write them: `500K`, `100M`, `1G`, or `off`.

use serde::{Deserialize, Deserializer, de};

/// A smaller file is a mistake.
const SIZE_MIN: u64 = 256 << 10;

/// Most bytes of a file; `None` when it has no bound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SizeMax(pub Option<u64>);

/// The bytes that are meant.
///
/// # Errors
/// What may stand there, when it is none.
pub fn bytes(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (text.get(..at), 10),
        Some((at, 'M' | 'm')) => (text.get(..at), 20),
        Some((at, 'G' | 'g')) => (text.get(..at), 30),
        _ => (Some(text), 0),
    };
    let number = digits.and_then(|digits| digits.parse::<u64>().ok());
    let bytes = number.and_then(|number| number.checked_mul(1 << factor)).filter(|bytes| *bytes >= SIZE_MIN);
    bytes.ok_or_else(|| "a size is 256K or more, such as 500K, 100M or 1G".to_owned())
}

impl<'de> Deserialize<'de> for SizeMax {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "off" {
            return Ok(Self(None));
        }
        bytes(&text)
            .map(|bytes| Self(Some(bytes)))
            .map_err(|words| de::Error::custom(format!("{words}, or off, and not \"{text}\"")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        assert_eq!(bytes("500K"), Ok(500 << 10));
        assert_eq!(bytes("1g"), Ok(1 << 30));
        assert_eq!(bytes("300000"), Ok(300_000));
        for wrong in ["", "M", "1K", "-1M", "1T", "99999999999999G", "1.5M"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
