//! Pure: the first line of a manager port. Asterisk 12 brought AMI 2.0 and with it the events that calls
//! are followed by; what an older one sends looks alike and means less.

/// Why an older Asterisk is not followed, and what to do instead.
pub const OLD: &str = "Asterisk 11 or older, whose events do not tell who talks with whom; calls are followed on \
    Asterisk 12 to 23 (AMI 2.0 and newer): take the calls of this PBX from its CDR, or upgrade it";

/// The version behind the slash of `Asterisk Call Manager/11.0.0`, fit for a log.
pub fn version(line: &[u8]) -> String {
    let version = memchr::memrchr(b'/', line).map_or(&[][..], |slash| &line[slash + 1..]);
    version
        .trim_ascii()
        .iter()
        .take(VERSION_MAX)
        .filter(|b| b.is_ascii_graphic())
        .map(|b| char::from(*b))
        .collect()
}

/// The version of an AMI that is too old: 1.x, Asterisk 1.4 to 11.
pub fn too_old(line: &[u8]) -> Option<String> {
    let version = version(line);
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok())?;
    (major < 2).then_some(version)
}

/// Longest version that is shown, in bytes.
const VERSION_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_before_two_are_too_old() {
        for (line, expected) in [
            ("Asterisk Call Manager/1.1", Some("1.1")),
            ("Asterisk Call Manager/1.3\r", Some("1.3")),
            ("Asterisk Call Manager/1.0", Some("1.0")),
            ("Asterisk Call Manager/2.10.6", None),
            ("Asterisk Call Manager/11.0.0", None),
            ("Asterisk Call Manager Proxy/x", None),
            ("Asterisk Call Manager", None),
        ] {
            assert_eq!(too_old(line.as_bytes()).as_deref(), expected, "{line}");
        }
    }
}
