//! Pure: who called a channel. Events do not say it: rows do, and what a caller runs at that moment.

use crate::call::name;
use crate::call::side::dialled::{Dialled, dialled};
use crate::call::side::is_short;
use crate::cdr::cel::Call;
use crate::cdr::cel::entry::{Entry, Kind};
use crate::cdr::cel::tell::can_be_called;
use crate::cdr::events;
use crate::cdr::row::Row;
use crate::time::PbxTime;

/// A call to a channel.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    /// Uniqueid of the caller; `None`: the PBX by itself.
    pub by: Option<String>,
    /// What of the application's arguments was for this channel.
    pub string: String,
    pub is_queue: bool,
}

/// What the PBX runs on channels that it made.
const CALLED: [&str; 3] = ["AppDial", "AppDial2", "AppQueue"];
/// … because a program asked for it.
const ORIGINATED: &str = "AppDial2";

/// Whether the PBX made this channel: what calls the PBX opens a call of its own.
pub(super) fn is_called(call: &Call<'_>, start: &Entry) -> bool {
    can_be_called(&start.channel)
        && (start.uniqueid != start.linkedid
            || name::kind(&start.channel) == name::Kind::Local
            || call.of(&start.uniqueid).any(|entry| CALLED.contains(&&*entry.app)))
}

/// Who called the channel that begins with `start`.
pub(super) fn of(call: &Call<'_>, start: &Entry) -> Option<Dial> {
    let by = by_row(call, start).or_else(|| by_application(call, start)).or_else(|| by_forward(call, start));
    by.or_else(|| {
        let is_originated = start.uniqueid == start.linkedid
            && (name::kind(&start.channel) == name::Kind::Local
                || call.of(&start.uniqueid).any(|entry| entry.app == ORIGINATED));
        is_originated.then(|| Dial { by: None, string: String::new(), is_queue: false })
    })
}

/// The first row whose second channel it is, if its application called it.
fn by_row(call: &Call<'_>, start: &Entry) -> Option<Dial> {
    let row = rows_of(call, start).next()?;
    let caller = caller_of(call, row, start.at)?;
    let string = string_of(&caller.data, &start.channel).or_else(|| events::dial_string(&call.group, row))?;
    let is_queue = row.lastapp.eq_ignore_ascii_case("Queue");
    Some(Dial { by: Some(caller.uniqueid.clone()), string, is_queue })
}

fn rows_of<'c>(call: &'c Call<'_>, start: &'c Entry) -> impl Iterator<Item = &'c Row> {
    call.group.rows.iter().copied().filter(|row| row.dstchannel == start.channel)
}

/// The row's first channel with what it ran last before `at`.
fn caller_of<'c>(call: &'c Call<'_>, row: &Row, at: PbxTime) -> Option<&'c Entry> {
    let mut own = call.entries.iter().copied().filter(|entry| entry.channel == row.channel && entry.at <= at);
    own.rfind(|entry| matches!(entry.kind, Kind::Start | Kind::AppStart))
}

/// The channel that runs what names this one; of applications that nobody asked to be told of, and of two
/// of a kind one after the other, only later events say so.
fn by_application(call: &Call<'_>, start: &Entry) -> Option<Dial> {
    let before = call.entries.iter().rev().filter(|entry| entry.at <= start.at);
    let running = before.filter(|entry| entry.kind == Kind::AppStart && !is_over(call, entry, start.at));
    let later = call.entries.iter().filter(|entry| entry.at > start.at && entry.kind != Kind::AppStart);
    let of_queue = |entry: &Entry| entry.app.eq_ignore_ascii_case("Queue");
    running.chain(later).find_map(|entry| {
        let is_queue = of_queue(entry);
        let string = string_of(&entry.data, &start.channel).or(is_queue.then(String::new))?;
        let is_another = entry.uniqueid != start.uniqueid && entry.linkedid == start.linkedid;
        is_another.then(|| Dial { by: Some(entry.uniqueid.clone()), string, is_queue })
    })
}

fn is_over(call: &Call<'_>, app: &Entry, at: PbxTime) -> bool {
    let ended = |entry: &Entry| {
        let is_same = (&entry.app, &entry.data) == (&app.app, &app.data) && entry.at >= app.at;
        entry.kind == Kind::Hangup || entry.kind == Kind::AppEnd && is_same
    };
    call.of(&app.uniqueid).any(|entry| entry.at < at && ended(entry))
}

/// A phone sent the call on, and the PBX calls where to.
fn by_forward(call: &Call<'_>, start: &Entry) -> Option<Dial> {
    let to = start.channel.strip_prefix("Local/")?.split('@').next()?;
    let is_sent = |entry: &&&Entry| {
        entry.kind == Kind::Forward
            && entry.extra("forward").is_some_and(|forward| forward.split('@').next() == Some(to))
    };
    // The PBX says so before or after it made the channel.
    let by = call.entries.iter().filter(is_sent).min_by_key(|entry| entry.at.since(start.at))?;
    Some(Dial { by: Some(by.uniqueid.clone()), string: String::new(), is_queue: false })
}

/// What of `data` was for this channel.
fn string_of(data: &str, channel: &str) -> Option<String> {
    let endpoint = name::endpoint(channel);
    let mut targets = data.split(',').next().unwrap_or_default().split('&');
    if name::kind(channel) == name::Kind::Local {
        return targets.any(|target| target.starts_with(endpoint)).then(String::new);
    }
    targets.find(|target| dialled(target, endpoint) != Dialled::Unclear).map(str::to_owned)
}

/// How the call to a channel ended that nobody answered.
pub(super) fn status(call: &Call<'_>, hangup: &Entry, cause: Option<u16>) -> &'static str {
    if let Some(row) = rows_of(call, hangup).last() {
        return events::status(&call.group, row);
    }
    match cause {
        Some(17) => "BUSY",
        Some(34 | 42) => "CONGESTION",
        Some(1 | 3 | 18 | 20 | 27) => "CHANUNAVAIL",
        Some(26) => "CANCEL",
        Some(_) | None => "NOANSWER",
    }
}

/// The extension that the channel's last `Dial` was for.
pub(super) fn last_tried(call: &Call<'_>, uniqueid: &str) -> Option<String> {
    let is_dial = |entry: &&Entry| entry.app.eq_ignore_ascii_case("Dial") && !entry.data.is_empty();
    let last = call.of(uniqueid).rfind(is_dial)?;
    let tried = last.data.split([',', '&']).next().and_then(|target| target.split('/').nth(1))?;
    is_short(tried).then(|| tried.to_owned())
}
