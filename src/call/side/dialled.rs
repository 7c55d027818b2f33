//! Pure: what a `DialString` says of the endpoint that was dialled.

use crate::call::name;
use crate::call::side::{OUTSIDE_DIGITS_MIN, digits};

/// What a `DialString` says of the endpoint that was dialled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialled<'s> {
    /// This number, through the endpoint.
    Number(&'s str),
    /// This long number at an address (`trunk/sip:79161234567@host`): through the endpoint if it is
    /// what the caller dialled, else the number is the name of a phone's registration.
    Address(&'s str),
    /// The endpoint itself.
    Device,
    /// Neither can be told.
    Unclear,
}

/// Reads `DialString` (`number@endpoint`, `endpoint/number`, `endpoint`, `endpoint/sip:…`, with or
/// without the technology in front) for a channel of `endpoint` (`PJSIP/trunk-msk`).
pub fn dialled<'s>(dial_string: &'s str, endpoint: &str) -> Dialled<'s> {
    let (technology, bare) = (name::technology(endpoint), name::bare(endpoint));
    let rest =
        dial_string.strip_prefix(technology).and_then(|rest| rest.strip_prefix('/')).unwrap_or(dial_string);
    let rest = rest.split(['^', '?']).next().unwrap_or(rest);
    if rest == bare {
        return Dialled::Device;
    }
    if let Some(number) = rest.strip_suffix(bare).and_then(|rest| rest.strip_suffix('@')) {
        return number_at(number, bare);
    }
    // A user and a password may stand before an IAX2 peer.
    let peer = rest.rsplit_once('@').map_or(rest, |(_, peer)| peer);
    match rest.strip_prefix(bare).or_else(|| peer.strip_prefix(bare)).and_then(|rest| rest.strip_prefix('/'))
    {
        Some(address) if address.starts_with("sip:") || address.starts_with("sips:") => {
            at_address(address, bare)
        }
        // `SIP/peer/number/host` is chan_sip's.
        Some(number) => number_at(number.split('/').next().unwrap_or(number), bare),
        // Where peers have names, another name is a call that was picked up or sent on.
        None if matches!(technology, "SIP" | "PJSIP" | "IAX2") => Dialled::Unclear,
        // Groups and spans: `g1/79161234567` becomes a channel of some other name.
        None => match rest.split_once('/') {
            Some((group, number)) if !group.contains('@') => number_at(number, bare),
            _ => Dialled::Unclear,
        },
    }
}

fn number_at<'s>(number: &'s str, bare: &str) -> Dialled<'s> {
    let begins = number.starts_with(|c: char| c.is_ascii_digit() || "+*#".contains(c)) && digits(number) > 0;
    // Some providers want letters before the number.
    if number == bare {
        Dialled::Device
    } else if begins || digits(number) >= OUTSIDE_DIGITS_MIN {
        Dialled::Number(number)
    } else {
        Dialled::Unclear
    }
}

/// A phone's registration, or a number at a provider's host.
fn at_address<'s>(address: &'s str, bare: &str) -> Dialled<'s> {
    let user = address.split_once(':').and_then(|(_, rest)| rest.split_once('@')).map(|(user, _)| user);
    let user = user.map(|user| user.split([';', ':']).next().unwrap_or(user));
    match user {
        Some(user)
            if user != bare
                && digits(user) >= OUTSIDE_DIGITS_MIN
                && user.bytes().all(|b| b.is_ascii_digit() || b == b'+') =>
        {
            Dialled::Address(user)
        }
        Some(_) | None => Dialled::Device,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dial_string: &str, endpoint: &str, expected: Dialled<'_>) {
        assert_eq!(dialled(dial_string, endpoint), expected, "{dial_string} to {endpoint}");
    }

    #[test]
    fn a_dial_string_tells_a_trunk_from_a_device() {
        check("101", "PJSIP/101", Dialled::Device);
        check("PJSIP/101", "PJSIP/101", Dialled::Device);
        check("101/sip:101@127.0.0.1:5101", "PJSIP/101", Dialled::Device);
        check("101/sip:a1b2c3@127.0.0.1:5101;ob", "PJSIP/101", Dialled::Device);
        check("79161234567@trunk-msk", "PJSIP/trunk-msk", Dialled::Number("79161234567"));
        check("+79161234567@trunk-msk", "PJSIP/trunk-msk", Dialled::Number("+79161234567"));
        check("trunk-msk/79161234567", "SIP/trunk-msk", Dialled::Number("79161234567"));
        check("SIP/trunk-msk/79161234567", "SIP/trunk-msk", Dialled::Number("79161234567"));
        check("user:pass@peer/79161234567", "IAX2/peer", Dialled::Number("79161234567"));
        check("g1/79161234567", "DAHDI/i1/79161234567", Dialled::Number("79161234567"));
        check("79161234567@74951234567", "PJSIP/74951234567", Dialled::Number("79161234567"));
        check("tp79161234567@mango", "PJSIP/mango", Dialled::Number("tp79161234567"));
        check("", "PJSIP/101", Dialled::Unclear);
    }

    #[test]
    fn a_peer_dialled_at_its_own_name_is_a_device() {
        check("150010002/150010002/172.20.0.13!!201", "SIP/150010002", Dialled::Device);
        check("101/101", "SIP/101", Dialled::Device);
        check("101@101", "PJSIP/101", Dialled::Device);
        check("102/102/172.20.0.13!!201", "SIP/103", Dialled::Unclear);
        check("101/door@intercom", "SIP/101", Dialled::Unclear);
    }

    #[test]
    fn a_number_at_an_address_is_for_the_caller_to_tell() {
        check("mango/sip:79161234567@sip.example", "PJSIP/mango", Dialled::Address("79161234567"));
        check("mango/sip:79161234567;npdi@sip.example:5060", "PJSIP/mango", Dialled::Address("79161234567"));
        check("79161234567/sip:79161234567@10.0.0.7", "PJSIP/79161234567", Dialled::Device);
    }
}
