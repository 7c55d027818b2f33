//! Pure: numbers that stand for numbers. The last seven digits are exchanged, what stands before them is kept:
//! so a number has the same stand-in with and without a trunk prefix, a country code or an area code, its length
//! stays, and what depends on prefixes goes on as before. An employee's full number ends with his extension, and
//! is known by that, so a number that ends with one keeps that end, and no other gets it. No two numbers have one
//! stand-in.

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest as _, Sha256};

/// Digits that are exchanged. Shorter numbers are extensions and services, and stay.
pub const DIGITS: usize = 7;
const DIGITS_OF_NUMBER: u32 = 7;
/// Digits of an extension.
const EXTENSION_DIGITS: std::ops::RangeInclusive<u32> = 2..=6;
/// Rounds of the exchange: a Feistel network of four is hard to see through, and eight cost nothing here.
const ROUNDS: u8 = 8;
/// Stand-ins that are remembered; more are made anew, and are the same.
const REMEMBERED_MAX: usize = 100_000;

/// Makes stand-ins by a key; without the key nobody finds the way back.
#[derive(Debug)]
pub struct Numbers {
    key: Vec<u8>,
    /// As numbers, by their digits.
    extensions: BTreeSet<(u32, u64)>,
    remembered: HashMap<u64, u64>,
}

impl Numbers {
    pub fn new(key: &[u8]) -> Self {
        Self { key: key.to_vec(), extensions: BTreeSet::new(), remembered: HashMap::new() }
    }

    /// Numbers that end with these digits keep them from here on.
    pub fn learn(&mut self, extension: &[u8]) {
        let digits = u32::try_from(extension.len()).unwrap_or(u32::MAX);
        if !EXTENSION_DIGITS.contains(&digits) || !extension.iter().all(u8::is_ascii_digit) {
            return;
        }
        let number = extension.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
        if self.extensions.insert((digits, number)) {
            self.remembered.clear();
        }
    }

    /// Exchanges the last seven of the digits in `text`, wherever they stand in it; fewer stay.
    pub fn exchange(&mut self, text: &mut [u8]) {
        let places: Vec<usize> =
            (0..text.len()).rev().filter(|at| text[*at].is_ascii_digit()).take(DIGITS).collect();
        if places.len() < DIGITS {
            return;
        }
        let number = places.iter().rev().fold(0, |number, at| number * 10 + u64::from(text[*at] - b'0'));
        let mut stand_in = self.stand_in(number);
        for at in places {
            text[at] = b'0' + u8::try_from(stand_in % 10).unwrap_or(0);
            stand_in /= 10;
        }
    }

    /// A word of letters that stands for a text.
    pub fn word(&self, text: &[u8]) -> String {
        let mut hash = self.hash(b'w', text);
        let mut letter = |_| {
            let letter = b'a' + u8::try_from(hash % 26).unwrap_or(0);
            hash /= 26;
            char::from(letter)
        };
        (0..6).map(&mut letter).collect()
    }

    /// An address in 10.0.0.0/8 that stands for another.
    pub fn address(&self, text: &[u8]) -> String {
        let [a, b, c, ..] = self.hash(b'a', text).to_be_bytes();
        format!("10.{a}.{b}.{c}")
    }

    fn stand_in(&mut self, number: u64) -> u64 {
        if let Some(known) = self.remembered.get(&number) {
            return *known;
        }
        if self.remembered.len() >= REMEMBERED_MAX {
            self.remembered.clear();
        }
        let kept = self.kept(number);
        let end = 10_u64.pow(kept);
        let mut made = number;
        loop {
            made = self.shuffle(made / end, made % end, DIGITS_OF_NUMBER - kept) * end + number % end;
            // What would end with another extension goes on to the next place.
            if self.kept(made) == kept {
                break;
            }
        }
        self.remembered.insert(number, made);
        made
    }

    /// Digits at the end of a number that are those of an extension.
    fn kept(&self, number: u64) -> u32 {
        let digits = EXTENSION_DIGITS.rev();
        digits
            .into_iter()
            .find(|digits| self.extensions.contains(&(*digits, number % 10_u64.pow(*digits))))
            .unwrap_or(0)
    }

    /// Another number of so many `digits`; no two give one.
    fn shuffle(&self, number: u64, end: u64, digits: u32) -> u64 {
        let (left, right) = (10_u64.pow(digits / 2), 10_u64.pow(digits - digits / 2));
        let (mut high, mut low) = (number / right, number % right);
        let hash = |round: u8, half: u64| {
            let text = [half.to_be_bytes(), end.to_be_bytes(), u64::from(digits).to_be_bytes()].concat();
            self.hash(round, &text)
        };
        for round in 0..ROUNDS {
            high = (high + hash(round, low)) % left;
            low = (low + hash(round | 0x40, high)) % right;
        }
        high * right + low
    }

    /// A number below 2^63, so that another can be added.
    fn hash(&self, purpose: u8, text: &[u8]) -> u64 {
        let digest =
            Sha256::new().chain_update(&self.key).chain_update([purpose]).chain_update(text).finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(first) >> 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn exchanged(numbers: &mut Numbers, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        numbers.exchange(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_number_has_one_stand_in_in_all_its_forms() {
        let mut numbers = Numbers::new(b"key");
        let plain = exchanged(&mut numbers, "9161234567");
        assert!(plain.starts_with("916") && plain != "9161234567", "{plain}");
        for (form, prefix) in
            [("79161234567", "7"), ("89161234567", "8"), ("989161234567", "98"), ("81079161234567", "8107")]
        {
            assert_eq!(exchanged(&mut numbers, form), format!("{prefix}{plain}"));
        }
        let formed = exchanged(&mut numbers, "+7 (916) 123-45-67");
        assert_eq!(formed.replace(['+', ' ', '(', ')', '-'], ""), format!("7{plain}"));
        assert_eq!(exchanged(&mut numbers, "+7 (916)").as_str(), "+7 (916)");
        assert_eq!(exchanged(&mut numbers, "101101"), "101101");
    }

    #[test]
    fn no_two_numbers_have_one_stand_in() {
        let mut numbers = Numbers::new(b"key");
        let all: HashSet<_> = (0..20_000).map(|number| numbers.stand_in(number * 499)).collect();
        assert_eq!(all.len(), 20_000);
        assert!(all.iter().all(|stand_in| *stand_in < 10_000_000));
    }

    #[test]
    fn a_number_that_ends_with_an_extension_keeps_it_and_no_other_gets_it() {
        let mut numbers = Numbers::new(b"key");
        for extension in [&b"101"[..], b"5101", b"42", b"", b"1234567"] {
            numbers.learn(extension);
        }
        let all: HashSet<_> = (0..30_000).map(|number| numbers.stand_in(7_000_000 + number)).collect();
        assert_eq!(all.len(), 30_000);
        for number in 7_000_000..7_030_000 {
            let (kept, made) = (numbers.kept(number), numbers.stand_in(number));
            let end = 10_u64.pow(kept);
            assert!(numbers.kept(made) == kept && made % end == number % end, "{number} {made}");
        }
        assert_ne!(numbers.stand_in(7_000_101), 7_000_101);
    }

    #[test]
    fn another_key_gives_other_stand_ins() {
        let of = |key: &[u8]| exchanged(&mut Numbers::new(key), "79161234567");
        assert_ne!(of(b"one"), of(b"two"));
        assert_ne!(Numbers::new(b"one").word(b"Anna"), Numbers::new(b"two").word(b"Anna"));
    }
}
