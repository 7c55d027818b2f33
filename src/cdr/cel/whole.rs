//! Pure: whether all that matters of a call is in its events. `cel.conf` chooses which are written, and a call
//! may have begun before the first that was read: rows tell such calls better than half of the events.

use crate::cdr::cel::Call;
use crate::cdr::cel::entry::{Entry, Kind};

/// Whether every channel began and ended, came to each bridge that it left, every channel of the rows is there, and
/// whoever talked by the rows was in a bridge.
pub fn is_whole(call: &Call<'_>) -> bool {
    !call.entries.is_empty()
        && channels_are_whole(call)
        && stays_are_whole(call)
        && rows_are_known(call)
        && talks_are_known(call)
}

fn channels_are_whole(call: &Call<'_>) -> bool {
    call.entries.iter().all(|entry| {
        let has = |kinds: &[Kind]| call.of(&entry.uniqueid).any(|other| kinds.contains(&other.kind));
        has(&[Kind::Start]) && has(&[Kind::Hangup, Kind::End])
    })
}

/// Whoever left a bridge has come there.
fn stays_are_whole(call: &Call<'_>) -> bool {
    let of_bridge = |kind: Kind, of: &Entry| {
        let same = call.of(&of.uniqueid).filter(|other| other.extra("bridge_id") == of.extra("bridge_id"));
        same.filter(|other| other.kind == kind).count()
    };
    let leaves = call.entries.iter().filter(|entry| entry.kind == Kind::Leave);
    leaves.into_iter().all(|leave| of_bridge(Kind::Enter, leave) >= of_bridge(Kind::Leave, leave))
}

fn rows_are_known(call: &Call<'_>) -> bool {
    let is_known = |name: &str| call.entries.iter().any(|entry| entry.channel == name);
    call.group.rows.iter().flat_map(|row| row.ends()).all(is_known)
}

fn talks_are_known(call: &Call<'_>) -> bool {
    let is_in_a_bridge =
        |name: &str| call.entries.iter().any(|entry| entry.kind == Kind::Enter && entry.channel == name);
    let talks = call.group.rows.iter().filter(|row| call.group.talk(row).is_some());
    talks.into_iter().all(|row| row.ends().all(is_in_a_bridge))
}
