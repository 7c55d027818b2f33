//! Pure: what a channel's name tells. `PJSIP/my-trunk-0000001a` is a device's channel,
//! `Local/101@from-queue-00000000;2` half of a pair, `Snoop/…` a helper that nobody talks into.

/// What stands behind a channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A phone, a trunk: somebody may be at its end.
    Device,
    /// A half of a Local pair; the other one is [`local_peer`].
    Local,
    /// Spies, announcers, external media: never a party.
    Helper,
}

/// Technologies whose channels carry no party (Asterisk's own names).
const HELPERS: [&str; 12] = [
    "Announcer",
    "AudioSocket",
    "Bridge",
    "CBAnn",
    "CBRec",
    "Console",
    "Message",
    "Recorder",
    "Snoop",
    "Surrogate",
    "UnicastRTP",
    "WebSocket",
];

pub fn kind(channel: &str) -> Kind {
    match technology(channel) {
        "Local" => Kind::Local,
        technology if HELPERS.contains(&technology) => Kind::Helper,
        _ => Kind::Device,
    }
}

/// `PJSIP` of `PJSIP/101-0000001a`.
pub fn technology(channel: &str) -> &str {
    channel.split_once('/').map_or(channel, |(technology, _)| technology)
}

/// `PJSIP/my-trunk` of `PJSIP/my-trunk-0000001a`: technology and endpoint, without the part that
/// counts channels. Endpoint names may hold dashes, so only the last part goes.
pub fn endpoint(channel: &str) -> &str {
    // Left over by a masquerade: `AsyncGoto/PJSIP/101-1`, `PJSIP/101-1<ZOMBIE>`.
    let channel = channel.strip_prefix("AsyncGoto/").unwrap_or(channel);
    let channel = channel.strip_suffix("<ZOMBIE>").unwrap_or(channel);
    match channel.rsplit_once('-') {
        Some((endpoint, counter)) if is_counter(counter) && endpoint.contains('/') => endpoint,
        Some(_) | None => channel,
    }
}

/// `my-trunk` of `PJSIP/my-trunk`; `i1` of `DAHDI/i1/79161234567` (the number there is the far end).
pub fn bare(endpoint: &str) -> &str {
    let name = endpoint.split_once('/').map_or(endpoint, |(_, name)| name);
    match (technology(endpoint), name.split_once('/')) {
        ("DAHDI", Some((span, _number))) => span,
        _ => name,
    }
}

/// The name of the other half of a Local pair.
pub fn local_peer(channel: &str) -> Option<String> {
    let (base, half) = channel.rsplit_once(';')?;
    match half {
        "1" => Some(format!("{base};2")),
        "2" => Some(format!("{base};1")),
        _ => None,
    }
}

/// The extension that a Local pair was made for: `101` of `Local/101@from-queue-00000000;1`, and of
/// the decorated forms of FreePBX: `FMPR-101` and `FMGL-101-79161234567` (follow-me of 101),
/// `RG-300-101` (member of group 300), `LC-101`.
pub fn local_extension(channel: &str) -> Option<&str> {
    let (exten, _context) = channel.strip_prefix("Local/")?.split_once('@')?;
    let exten = exten.trim_end_matches('#');
    let is_short = |text: &&str| crate::call::side::is_short(text);
    match exten.split_once('-') {
        None => Some(exten).filter(is_short),
        Some(("RG", member)) => member.split_once('-').map(|(_group, member)| member).filter(is_short),
        Some((_, rest)) => rest.split('-').find(is_short),
    }
}

fn is_counter(text: &str) -> bool {
    let digits = text.split([';', '<']).next().unwrap_or(text);
    !digits.is_empty() && digits.len() <= 16 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_loses_its_counter_only() {
        assert_eq!(endpoint("PJSIP/my-trunk-1-0000001a"), "PJSIP/my-trunk-1");
        assert_eq!(endpoint("SIP/1.2.3.4-0000abcd"), "SIP/1.2.3.4");
        assert_eq!(endpoint("IAX2/peer-1234"), "IAX2/peer");
        assert_eq!(endpoint("SIP/a-b"), "SIP/a"); // "b" reads as a counter: such a name cannot be told apart
        assert_eq!(endpoint("SIP/trunk-msk"), "SIP/trunk-msk");
        assert_eq!(endpoint("PJSIP/101-0000001a<ZOMBIE>"), "PJSIP/101");
        assert_eq!(bare("DAHDI/i1/79161234567"), "i1");
        assert_eq!(bare("PJSIP/my-trunk"), "my-trunk");
    }

    #[test]
    fn a_local_channel_has_a_peer_and_an_extension() {
        let name = "Local/101@from-queue-00000000;1";
        assert_eq!(kind(name), Kind::Local);
        assert_eq!(local_peer(name).as_deref(), Some("Local/101@from-queue-00000000;2"));
        assert_eq!(local_extension(name), Some("101"));
        for (exten, extension) in [
            ("FMPR-101", Some("101")),
            ("FMGL-101-79161234567", Some("101")),
            ("FMGL-101-79161234567#", Some("101")),
            ("RG-300-101", Some("101")),
            ("RG-300-79161234567#", None),
            ("LC-101", Some("101")),
            ("79161234567", None),
        ] {
            assert_eq!(local_extension(&format!("Local/{exten}@ctx-0000001a;2")), extension, "{exten}");
        }
        assert_eq!(local_peer("PJSIP/101-1"), None);
    }

    #[test]
    fn helpers_are_no_parties() {
        for name in ["Snoop/1.2-00000001", "UnicastRTP/127.0.0.1:9-0x7f", "CBAnn/600-00000001;1"] {
            assert_eq!(kind(name), Kind::Helper, "{name}");
        }
        assert_eq!(kind("Dongle/d0-0100000001"), Kind::Device);
    }
}
