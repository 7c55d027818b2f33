//! Pure: which side a context's name speaks of. Names decide only where nothing else was seen.

use crate::call::record::Side;

/// Where calls of trunks arrive, in the dial plans that are around (plain, FreePBX, Issabel, MikoPBX).
const OUTSIDE: [&str; 10] = [
    "trunk",
    "pstn",
    "from-did",
    "incoming",
    "inbound",
    "external",
    "provider",
    "from-outside",
    "ext-did",
    "from-public",
];

/// Where calls of extensions arrive.
const INSIDE: [&str; 9] =
    ["internal", "from-inside", "users", "phones", "extensions", "local-", "office", "outgoing", "all_peers"];

/// Where extensions' calls go on their way out: a channel that runs there called out.
const ON_THE_WAY_OUT: [&str; 7] =
    ["outgoing", "outbound", "dial-out", "dialout", "out-route", "outrt", "from-internal"];

/// The side of an endpoint whose calls come into `context`; `None` where the name does not speak.
pub fn of_home(context: &str) -> Option<Side> {
    let lower = context.to_ascii_lowercase();
    let speaks = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match (speaks(&OUTSIDE), speaks(&INSIDE)) {
        (true, false) => Some(Side::Outside),
        (false, true) => Some(Side::Inside),
        (true, true) | (false, false) => None,
    }
}

/// The side of a channel that is met while it runs `context`. Subroutines (`macro-…`, `sub-…`) are
/// run for everybody, but those that dial out are run by extensions.
pub fn of_running(context: &str) -> Option<Side> {
    let lower = context.to_ascii_lowercase();
    if ON_THE_WAY_OUT.iter().any(|word| lower.contains(word)) {
        return Some(Side::Inside);
    }
    let is_subroutine = ["macro-", "sub-", "func-", "app-"].iter().any(|word| lower.starts_with(word));
    if is_subroutine { None } else { of_home(context) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_speaks_of_one_side_or_of_none() {
        assert_eq!(of_home("from-trunk"), Some(Side::Outside));
        assert_eq!(of_home("from-pstn-toheader"), Some(Side::Outside));
        assert_eq!(of_home("SIP-TRUNK-1-incoming"), Some(Side::Outside));
        assert_eq!(of_home("from-internal"), Some(Side::Inside));
        assert_eq!(of_home("default"), None);
        assert_eq!(of_home("internal-trunk"), None);
    }

    #[test]
    fn who_runs_a_way_out_called_from_inside() {
        assert_eq!(of_running("macro-dialout-trunk"), Some(Side::Inside));
        assert_eq!(of_running("dial-out"), Some(Side::Inside));
        assert_eq!(of_running("macro-trunk-prep"), None);
        assert_eq!(of_running("ext-did-0002"), Some(Side::Outside));
    }
}
