//! Pure: whether all that matters of a call is in its events. `cel.conf` chooses which are written, and a call
//! may have begun before the first that was read: rows tell such calls better than half of the events.
//!
//! A room of a busy day is one call with tens of thousands of events: each is looked at once for each rule.

use std::collections::{BTreeMap, BTreeSet};

use crate::cdr::cel::Call;
use crate::cdr::cel::entry::{Entry, Kind};

/// Whether every channel began and ended, came to each bridge that it left, every channel of the rows is there, and
/// whoever talked by the rows was in a bridge.
pub fn is_whole(call: &Call<'_>) -> bool {
    !call.entries.is_empty()
        && call.channels().all(|own| is_channel_whole(own) && are_stays_whole(own))
        && rows_are_known(call)
        && talks_are_known(call)
}

fn is_channel_whole(own: &[&Entry]) -> bool {
    let has = |kinds: &[Kind]| own.iter().any(|entry| kinds.contains(&entry.kind));
    has(&[Kind::Start]) && has(&[Kind::Hangup, Kind::End])
}

/// Whether the channel has come to each bridge as often as it left it.
fn are_stays_whole(own: &[&Entry]) -> bool {
    let mut bridges: BTreeMap<Option<&str>, (usize, usize)> = BTreeMap::new();
    for entry in own.iter().filter(|entry| matches!(entry.kind, Kind::Enter | Kind::Leave)) {
        let (enters, leaves) = bridges.entry(entry.extra("bridge_id")).or_default();
        *if entry.kind == Kind::Enter { enters } else { leaves } += 1;
    }
    bridges.into_values().all(|(enters, leaves)| enters >= leaves)
}

fn rows_are_known(call: &Call<'_>) -> bool {
    let names = names(call, |_| true);
    call.group.rows.iter().flat_map(|row| row.ends()).all(|name| names.contains(name))
}

fn talks_are_known(call: &Call<'_>) -> bool {
    let in_a_bridge = names(call, |entry| entry.kind == Kind::Enter);
    let mut talks = call.group.rows.iter().filter(|row| call.group.talk(row).is_some());
    talks.all(|row| row.ends().all(|name| in_a_bridge.contains(name)))
}

/// Of the channels that have such an event.
fn names<'r>(call: &Call<'r>, is_meant: impl Fn(&Entry) -> bool) -> BTreeSet<&'r str> {
    call.entries.iter().filter(|entry| is_meant(entry)).map(|entry| entry.channel.as_str()).collect()
}
