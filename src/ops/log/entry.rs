//! Pure: one line as journald takes it from a program: the native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).
//!
//! ```text
//! PRIORITY=6\n
//! MESSAGE\n  8 bytes: the length, little endian  the text, with line breaks\n
//! ```

/// Bytes of one value: journald itself cuts lines at 48 KiB.
const VALUE_MAX: usize = 32 << 10;

/// Bytes of an entry. A datagram may have some 200 KiB (`net.core.wmem_default`); what is longer would need a file in
/// memory in its place, and no line of ours is.
const ENTRY_MAX: usize = 96 << 10;

/// journald drops a field with a longer name.
const NAME_MAX: usize = 64;

/// What stands behind a value that was cut.
const CUT: &str = "… (cut)";

/// The bytes of an entry, made field by field.
#[derive(Debug, Default)]
pub(super) struct Entry(Vec<u8>);

impl Entry {
    /// Adds a field under its name in capitals; one whose name journald does not take, or for which there is no room, is
    /// left out.
    pub fn add(&mut self, name: &str, value: &str) {
        let Some(name) = field_name(name) else { return };
        let (value, cut) = fitting(value);
        if self.0.len() + name.len() + value.len() + cut.len() + 10 > ENTRY_MAX {
            return;
        }
        self.0.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            self.0.push(b'\n');
            self.0.extend_from_slice(&((value.len() + cut.len()) as u64).to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        for part in [value, cut, "\n"] {
            self.0.extend_from_slice(part.as_bytes());
        }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// What of a value fits, and the mark that something is missing.
fn fitting(value: &str) -> (&str, &'static str) {
    if value.len() <= VALUE_MAX {
        return (value, "");
    }
    let end = value.floor_char_boundary(VALUE_MAX - CUT.len());
    (value.get(..end).unwrap_or_default(), CUT)
}

/// Capitals, digits and underscores, no underscore and no digit first: others are journald's own.
fn field_name(name: &str) -> Option<String> {
    let name = name.trim_start_matches('_').to_ascii_uppercase().replace(['.', '-'], "_");
    let fits = (1..=NAME_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    fits.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut entry = Entry::default();
        for (name, value) in fields {
            entry.add(name, value);
        }
        entry.into_bytes()
    }

    #[test]
    fn a_field_is_a_line_and_one_of_several_lines_has_its_length() {
        assert_eq!(
            entry(&[("PRIORITY", "6"), ("call_id", "default-1.4")]),
            b"PRIORITY=6\nCALL_ID=default-1.4\n"
        );
        assert_eq!(entry(&[("message", "a\nb=c")]), b"MESSAGE\n\x05\0\0\0\0\0\0\0a\nb=c\n");
    }

    #[test]
    fn names_are_those_that_journald_takes() {
        for (name, expected) in [
            ("what_to_do", Some("WHAT_TO_DO")),
            ("otel.name", Some("OTEL_NAME")),
            ("r#type", None),
            ("_PID", Some("PID")),
            ("4th", None),
            ("", None),
            (&"x".repeat(65), None),
        ] {
            assert_eq!(field_name(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_with_a_mark() {
        let long = "я".repeat(1 << 20);
        let bytes = entry(&[("message", &long), ("priority", "3")]);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.len() < VALUE_MAX + 40, "{}", text.len());
        assert!(text.ends_with("я… (cut)\nPRIORITY=3\n"));
    }

    #[test]
    fn an_entry_fits_into_a_datagram() {
        let long = "x".repeat(VALUE_MAX);
        let bytes = entry(&[("a", &long), ("b", &long), ("c", &long), ("d", "1")]);
        assert!(bytes.len() <= ENTRY_MAX && bytes.ends_with(b"D=1\n"), "{}", bytes.len());
    }
}
