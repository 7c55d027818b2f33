//! The name that a telephone number has in the log: a keyed hash, the same in every line and over restarts, so that
//! all lines of a number are found without the number being in any.
//!
//! The key is the process's, set once at its start; without one there are no such names. Whoever has the key can try
//! numbers out: it is kept where the store is, for its owner alone.

use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Bytes of the hash that are kept: two of a million numbers share a name once in 30 million keys.
const NAME_BYTES: usize = 8;

/// The block of SHA-256, in bytes.
const BLOCK: usize = 64;

static KEY: OnceLock<Key> = OnceLock::new();

/// What names depend on.
#[derive(Clone)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The name of a number: 16 hexadecimal digits, of its digits alone; `None` where it has none.
    pub fn name(&self, number: &str) -> Option<String> {
        let digits: Vec<u8> = number.bytes().filter(u8::is_ascii_digit).collect();
        let name = |hash: [u8; 32]| {
            let digits: Vec<String> =
                hash.iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect();
            digits.concat()
        };
        (!digits.is_empty()).then(|| name(self.hash(&digits)))
    }

    /// HMAC-SHA-256 (RFC 2104).
    fn hash(&self, message: &[u8]) -> [u8; 32] {
        let padded = |with: u8| {
            let mut block = [with; BLOCK];
            block.iter_mut().zip(self.0).for_each(|(place, byte)| *place ^= byte);
            block
        };
        let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
        Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Gives the process its key; a second one changes nothing.
pub fn set(key: Key) {
    drop(KEY.set(key));
}

/// The name of a number in this process's log; `None` without a key.
pub fn of(number: &str) -> Option<String> {
    KEY.get()?.name(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_hmac_sha_256() {
        // RFC 4231, test case 2, with the key filled up by zeros, which is what HMAC does to a short one.
        let mut bytes = [0; KEY_BYTES];
        bytes[..4].copy_from_slice(b"Jefe");
        let hash = Key::new(bytes).hash(b"what do ya want for nothing?");
        assert_eq!(hash[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
    }

    #[test]
    fn a_number_has_one_name_however_it_is_written() {
        let key = Key::new([7; KEY_BYTES]);
        let name = key.name("79161234568").unwrap();
        assert_eq!(name.len(), 16);
        assert_eq!(key.name("+7 916 123-45-68"), Some(name.clone()));
        assert_ne!(key.name("79161234567"), Some(name.clone()));
        assert_ne!(Key::new([8; KEY_BYTES]).name("79161234568"), Some(name));
        assert_eq!(key.name("anonymous"), None);
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", Key::new([7; KEY_BYTES])), "Key(…)");
    }
}
