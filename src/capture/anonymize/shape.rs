//! Pure: what digits in a text are, by what stands around them.

/// Whether the digits are no number of anybody's: `1795337591.4`, `-20261122-`, `-00000012`.
pub(super) fn is_structure(text: &[u8], at: usize, end: usize) -> bool {
    is_uniqueid(text, at, end) || is_date(text, at, end) || is_counter(text, at)
}

/// Seconds since 1970, a dot and a counter.
fn is_uniqueid(text: &[u8], at: usize, end: usize) -> bool {
    let has_counter = text.get(end) == Some(&b'.') && text.get(end + 1).is_some_and(u8::is_ascii_digit);
    (9..=11).contains(&(end - at)) && has_counter
}

/// Eight digits between two marks, or fourteen, that can be a day.
fn is_date(text: &[u8], at: usize, end: usize) -> bool {
    let is_mark = |byte: Option<&u8>| byte.is_some_and(|byte| b"-_./".contains(byte));
    let digits = &text[at..end];
    let is_day = digits.starts_with(b"20")
        && matches!(digits.get(4..6), Some([b'0', _] | [b'1', b'0'..=b'2']))
        && matches!(digits.get(6..8), Some([b'0'..=b'2', _] | [b'3', b'0' | b'1']));
    let is_between = at > 0 && is_mark(text.get(at - 1)) && is_mark(text.get(end));
    is_day && is_between && matches!(digits.len(), 8 | 14)
}

/// The eight digits, to the base of sixteen, at the end of a channel's name.
fn is_counter(text: &[u8], at: usize) -> bool {
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let start = at - text[..at].iter().rev().take_while(|byte| is_hex(byte)).count();
    let length = text[start..].iter().take_while(|byte| is_hex(byte)).count();
    length == 8 && start > 0 && text[start - 1] == b'-' && text[start] == b'0'
}

/// The length of the IPv4 address that begins there.
pub(super) fn address(text: &[u8], at: usize) -> Option<usize> {
    if at > 0 && (text[at - 1] == b'.' || text[at - 1].is_ascii_digit()) {
        return None;
    }
    let length = text[at..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let found = std::str::from_utf8(&text[at..at + length]).ok()?.trim_end_matches('.');
    found.parse::<std::net::Ipv4Addr>().is_ok().then_some(found.len())
}
