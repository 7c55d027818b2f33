//! Which scenarios are of a kind.

/// Families in the order of the page; a scenario belongs to the longest beginning that fits.
const FAMILIES: &[(&str, &[&str])] = &[
    (
        "Calls in, to one phone",
        &[
            "in-",
            "plain-in",
            "plain-missed",
            "plain-anonymous",
            "announced-to-callee",
            "screened-",
            "option-g",
        ],
    ),
    ("Calls out", &["out-", "plain-out"]),
    (
        "Menus, voicemail, announcements, DISA",
        &[
            "in-ivr",
            "plain-ivr",
            "ivr-",
            "in-voicemail",
            "in-night",
            "in-dead-number",
            "announcement-",
            "fax-",
            "disa-",
        ],
    ),
    ("Ring groups and hunts", &["in-ringgroup", "in-hunt", "fpbx-group"]),
    (
        "Follow-me, forwards and mobiles",
        &[
            "in-followme",
            "followme-",
            "in-forward",
            "forward-",
            "desk-and-mobile",
            "two-mobiles",
            "trunk-to-trunk",
        ],
    ),
    ("Queues", &["in-queue", "plain-queue", "queue-"]),
    (
        "Blind transfers",
        &["in-blind", "out-blind", "xfer-blind", "xfer-redirect", "in-transfer", "xfer-outbound"],
    ),
    ("Attended transfers and consultations", &["in-attended", "xfer-attended", "xfer-blonde", "in-consult"]),
    ("Pickups and parking", &["in-pickup", "pickup-", "in-park", "park-"]),
    (
        "Conferences, paging, listening in",
        &["in-conference", "conference-", "paging", "spied-", "whispered-"],
    ),
    ("Click-to-call, robots, ARI", &["click-to-call", "ctc-", "robot-", "ari-"]),
    ("Calls inside", &["internal-", "plain-internal"]),
    ("Client or Asterisk away", &["attach-", "crash-", "restart-", "gap-", "module-reload"]),
    ("Many calls at once", &["busy-"]),
    ("Others", &[""]),
];

pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|(name, _)| *name)
}

pub fn of(scenario: &str) -> &'static str {
    let beginnings =
        FAMILIES.iter().flat_map(|(name, starts)| starts.iter().map(move |start| (*start, *name)));
    let fitting = beginnings.filter(|(start, _)| scenario.starts_with(start));
    fitting.max_by_key(|(start, _)| start.len()).map_or("Others", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::{names, of};

    #[test]
    fn the_longest_beginning_decides() {
        assert_eq!(of("in-busy"), "Calls in, to one phone");
        assert_eq!(of("in-queue-linear"), "Queues");
        assert_eq!(of("plain-internal"), "Calls inside");
        assert_eq!(of("something-else"), "Others");
    }

    #[test]
    fn every_family_is_named_once() {
        let mut all: Vec<_> = names().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), names().count());
    }
}
