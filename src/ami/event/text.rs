//! Pure: values of headers as text. AMI values are bytes: UTF-8, windows-1251 from old phones,
//! UTF-8 cut in the middle, C escapes in a few headers.

use std::borrow::Cow;

/// UTF-8 if it is; else windows-1251 where that gives letters, else what can be read. Control
/// characters are left out: a caller's name must not write into a log by itself.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().any(char::is_control) => Cow::Owned(printable(text.chars())),
        Ok(text) => Cow::Borrowed(text),
        Err(error) if error.error_len().is_none() => {
            // Cut in the middle of its last character.
            Cow::Owned(printable(String::from_utf8_lossy(&bytes[..error.valid_up_to()]).chars()))
        }
        Err(_) => Cow::Owned(printable(bytes.iter().map(|byte| windows_1251(*byte)))),
    }
}

/// Undoes the C escapes of `VarSet`'s `Value` and of names (Asterisk 13.5 and later).
pub fn unescape(bytes: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    let (mut plain, mut rest) = (Vec::with_capacity(bytes.len()), bytes.iter());
    while let Some(&byte) = rest.next() {
        plain.push(match (byte, byte == b'\\') {
            (_, true) => match rest.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(&other) => other,
                None => b'\\',
            },
            (byte, false) => byte,
        });
    }
    Cow::Owned(plain)
}

fn printable(chars: impl Iterator<Item = char>) -> String {
    chars.filter(|c| !c.is_control()).collect()
}

/// The Cyrillic letters of windows-1251; its other upper half is punctuation nobody dials.
fn windows_1251(byte: u8) -> char {
    match byte {
        0..=0x7F => char::from(byte),
        0xA8 => 'Ё',
        0xB8 => 'ё',
        0xB9 => '№',
        0xC0..=0xFF => char::from_u32(0x410 + u32::from(byte - 0xC0)).unwrap_or('\u{FFFD}'),
        _ => '\u{FFFD}',
    }
}
