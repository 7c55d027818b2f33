//! The name of a certificate that nobody can give to another: the SHA-256 of its bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// SHA-256 over a certificate's DER bytes, written `sha256:` and 64 hex digits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is no fingerprint: \"sha256:\" and 64 hex digits, as \
     `openssl x509 -noout -fingerprint -sha256 -in asterisk.pem` prints them, colons or not"
)]
pub struct Error(String);

/// Longest text that is repeated in an error, in characters.
const SHOWN_MAX: usize = 120;

impl Fingerprint {
    /// Of the certificate whose DER bytes these are.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

/// Takes what this program prints and what `openssl x509 -fingerprint` does: upper or lower case, with
/// or without colons, behind `sha256:`, `sha256 Fingerprint=` or nothing.
impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let lower = text.trim().to_ascii_lowercase();
        let rest = lower.strip_prefix("sha256").map_or(lower.as_str(), |rest| {
            rest.trim_start_matches(" fingerprint").trim_start_matches([':', '='])
        });
        let digits: Vec<u8> = rest.bytes().filter(|byte| *byte != b':').collect();
        let mut bytes = [0; 32];
        let wrong = || Error(text.chars().take(SHOWN_MAX).collect());
        if digits.len() != 2 * bytes.len() {
            return Err(wrong());
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            let value = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
            *byte = value.ok_or_else(wrong)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn it_is_the_sha_256_of_the_bytes() {
        assert_eq!(Fingerprint::of(b"abc").to_string(), format!("sha256:{HEX}"));
    }

    #[test]
    fn every_usual_way_to_write_it_is_read() {
        let pairs: Vec<_> = HEX.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair)).collect();
        let colons = pairs.join(":").to_uppercase();
        for text in [
            format!("sha256:{HEX}"),
            format!("SHA256:{}", HEX.to_uppercase()),
            HEX.to_owned(),
            colons.clone(),
            format!("sha256 Fingerprint={colons}\n"),
            format!("SHA256 Fingerprint={colons}"),
        ] {
            assert_eq!(text.parse(), Ok(Fingerprint::of(b"abc")), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let short = HEX.trim_start_matches("ba");
        for text in
            ["", "sha256:", short, &format!("sha1:{HEX}"), &HEX.replace('b', "x"), &format!("{HEX}00")]
        {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
