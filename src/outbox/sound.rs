//! Pure: what becomes of a call whose recording is looked for. A missing recording holds no call up for
//! longer than the configuration says; a link that was missed is added to the note later.
//!
//! ```text
//!  leased ─► looked for ─┬─► found ──────────────► posted with the link
//!               ▲        ├─► missing ─► a second ─┐
//!               └────────┼────────────────────────┘
//!                        └─► waited long enough ─► posted without ─► owed
//!
//!  owed ─► looked for ─┬─► found ──► PATCH ─► added
//!            ▲         └─► missing ─┐
//!            └── longer and longer ─┴─► a day is over: given up
//! ```

use std::time::Duration;

use crate::amo::calls::Clocks;
use crate::amo::recording;
use crate::amo::settings::Settings;
use crate::outbox::errand::{Errand, Sound};
use crate::outbox::policy;
use crate::outbox::queue::{Item, Settlement, State};
use crate::time::HostTime;

/// Looks before a call is posted.
const LOOKS: u32 = 5;
/// The first look for a link that is owed comes after so many times the wait before the POST, the others
/// after twice as long each, up to an hour.
const OWED_AFTER: u32 = 3;
/// Where calls do not wait.
const OWED_FIRST: Duration = Duration::from_secs(15);
const OWED_MAX: Duration = Duration::from_hours(1);
/// After this many doublings the longest pause is reached.
const DOUBLINGS_MAX: u32 = 16;

/// Whether a file is looked for before this call is posted.
pub fn is_wanted(item: &Item, settings: &Settings) -> bool {
    let is_open = matches!(item.errand.sound, None | Some(Sound::Missing { .. }));
    is_open && recording::search(&item.call.record, settings, &Clocks::default()).is_some()
}

/// Whether the call, whose file is not there, still waits for it; then it is settled so.
pub fn wait(item: &Item, settings: &Settings, now: HostTime) -> Option<Settlement> {
    let until = item.enqueued_at.after(settings.recording_wait.duration());
    // A clock that was set back must not make the wait longer.
    if now >= until || now < item.enqueued_at {
        return None;
    }
    let state = policy::waiting(&item.state);
    let next_at = now.after(settings.recording_wait.duration() / LOOKS).min(until);
    Some(settled(item, state, next_at, missing(item, now)))
}

/// The call with what was found of its file.
pub fn with(item: Item, found: Option<String>, now: HostTime) -> Item {
    let sound = found.map_or_else(|| missing(&item, now), |file| Sound::Found { file });
    let said = item.errand.said.clone().filter(|_| matches!(item.state, State::Sent { .. }));
    let errand = Errand { sound: Some(sound), said, ..item.errand };
    Item { errand, ..item }
}

/// A call that was found before others of its lease: it is posted next, without another look.
pub fn ready(item: &Item, file: String, now: HostTime) -> Settlement {
    settled(item, policy::waiting(&item.state), now, Sound::Found { file })
}

/// A call that is about to be posted, with what will be said of it; nothing else changes.
pub fn noted(item: &Item) -> Settlement {
    Settlement {
        seq: item.seq,
        state: policy::waiting(&item.state),
        next_at: item.next_at,
        last_error: item.last_error.clone(),
        attempted: false,
        errand: item.errand.clone(),
    }
}

/// Whether a call that is posted like this is owed its link.
pub fn will_be_owed(item: &Item, settings: &Settings) -> bool {
    settings.recording_late.duration() > Duration::ZERO && is_wanted(item, settings)
}

/// Takes note of what is owed to a call that was just delivered.
pub fn delivered(item: &Item, settlement: Settlement, settings: &Settings, now: HostTime) -> Settlement {
    let is_sent = matches!(settlement.state, State::Sent { .. });
    // Without it the link may come in the POST, or not at all.
    let may_follow = settings.recording_late.duration() > Duration::ZERO;
    if !is_sent || !is_wanted(item, settings) {
        return settlement;
    }
    // A call may have been parked for days: what is owed is owed from here on.
    let sound = may_follow.then_some(Sound::Missing { since: now, tries: 0 });
    let errand = Errand { sound, ..settlement.errand };
    Settlement { next_at: now.after(first_pause(settings)), errand, ..settlement }
}

/// The link of a delivered call cannot be added now, for this reason: it is tried again, or given up.
pub fn later(item: &Item, settings: &Settings, reason: &str, now: HostTime) -> Settlement {
    let (since, tries) = match item.errand.sound {
        Some(Sound::Missing { since, tries }) => (since, tries),
        _ => (now, 0),
    };
    let late = settings.recording_late.duration();
    if now.since(since) >= late {
        return given_up(item, format!("{reason}, for {}", settings.recording_late), now);
    }
    let pause =
        first_pause(settings).saturating_mul(2_u32.saturating_pow(tries.min(DOUBLINGS_MAX))).min(OWED_MAX);
    let next_at = now.after(pause).min(since.after(late));
    settled(item, item.state.clone(), next_at, Sound::Missing { since, tries: tries.saturating_add(1) })
}

/// The link of a delivered call is in its note.
pub fn added(item: &Item, file: String, now: HostTime) -> Settlement {
    settled(item, item.state.clone(), now, Sound::Added { file })
}

/// The note of a delivered call stays as it is.
pub fn given_up(item: &Item, reason: String, now: HostTime) -> Settlement {
    settled(item, item.state.clone(), now, Sound::GivenUp { reason })
}

fn first_pause(settings: &Settings) -> Duration {
    let wait = settings.recording_wait.duration();
    if wait == Duration::ZERO { OWED_FIRST } else { wait.saturating_mul(OWED_AFTER).min(OWED_MAX) }
}

fn missing(item: &Item, now: HostTime) -> Sound {
    match item.errand.sound {
        Some(Sound::Missing { since, tries }) => Sound::Missing { since, tries },
        _ => Sound::Missing { since: now, tries: 0 },
    }
}

fn settled(item: &Item, state: State, next_at: HostTime, sound: Sound) -> Settlement {
    let is_owed = matches!(sound, Sound::Missing { .. });
    let said = item.errand.said.clone().filter(|_| is_owed);
    Settlement {
        seq: item.seq,
        state,
        next_at,
        last_error: item.last_error.clone(),
        attempted: false,
        errand: Errand { sound: Some(sound), said, ..item.errand.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::policy::tests::item;

    const NOW: HostTime = HostTime::from_micros(1_795_338_791_000_000);

    fn settings(more: &str) -> Settings {
        let keys = "recording-url = \"https://p/{file}\"\nrecording-root = \"/rec\"\n";
        toml::from_str(&format!("{keys}{more}")).unwrap()
    }

    fn call(sound: Option<Sound>) -> Item {
        let mut item = item(1);
        item.call.record.recording = Some("a.wav".to_owned());
        item.enqueued_at = NOW;
        item.state = State::Pending;
        item.errand.sound = sound;
        item
    }

    fn sent(sound: Option<Sound>) -> Item {
        Item { state: State::Sent { note_id: Some(1), entity: None, at: NOW }, ..call(sound) }
    }

    const MISSING: Option<Sound> = Some(Sound::Missing { since: NOW, tries: 0 });

    #[test]
    fn a_file_is_looked_for_until_it_is_found() {
        let check = |sound, expected| assert_eq!(is_wanted(&call(sound), &settings("")), expected);
        check(None, true);
        check(MISSING, true);
        check(Some(Sound::Found { file: "a.mp3".to_owned() }), false);
        check(Some(Sound::GivenUp { reason: String::new() }), false);
        assert!(!is_wanted(&call(None), &Settings::default()));
    }

    #[test]
    fn a_call_waits_for_its_file_for_five_seconds_at_most() {
        let next = |second: u64| {
            let now = NOW.after(Duration::from_secs(second));
            wait(&call(None), &settings(""), now).map(|settled| settled.next_at.since(NOW).as_secs())
        };
        assert_eq!([0, 3, 4, 5, 60].map(next), [Some(1), Some(4), Some(5), None, None]);
        let before = NOW.before(Duration::from_mins(1));
        assert_eq!(wait(&call(None), &settings(""), before), None, "the clock was set back");
        assert_eq!(wait(&call(None), &settings("recording-wait = \"0s\""), NOW), None);
        let parked = Item { state: State::Parked { since: NOW }, ..call(None) };
        assert_eq!(wait(&parked, &settings(""), NOW).unwrap().state, parked.state);
    }

    fn deliver(item: &Item, settings: &Settings) -> (Option<Sound>, u64) {
        let state = State::Sent { note_id: Some(1), entity: None, at: NOW };
        let settlement = settled(item, state, NOW, Sound::Other);
        let settlement = Settlement { errand: item.errand.clone(), ..settlement };
        let settled = delivered(item, settlement, settings, NOW);
        (settled.errand.sound, settled.next_at.since(NOW).as_secs())
    }

    #[test]
    fn a_call_that_was_delivered_without_its_link_is_owed_it() {
        assert_eq!(deliver(&call(None), &settings("")), (MISSING, 15));
        let found = Some(Sound::Found { file: "a.mp3".to_owned() });
        assert_eq!(deliver(&call(found.clone()), &settings("")), (found, 0));
        assert_eq!(deliver(&call(None), &settings("recording-late = \"0s\"")).0, None);
        assert_eq!(deliver(&call(None), &Settings::default()), (None, 0));
    }

    #[test]
    fn a_link_is_owed_for_a_day() {
        let (mut item, mut now, mut tries) = (sent(MISSING), NOW.after(OWED_FIRST), 0);
        loop {
            let settled = later(&item, &settings(""), "no file", now);
            item.errand = settled.errand;
            if let Some(Sound::GivenUp { reason }) = &item.errand.sound {
                assert_eq!(reason, "no file, for 24h");
                break;
            }
            assert!(settled.next_at > now && settled.next_at.since(now) <= OWED_MAX);
            assert_eq!(settled.state, item.state);
            (now, tries) = (settled.next_at, tries + 1);
        }
        assert_eq!(now.since(NOW), Duration::from_hours(24));
        assert!((24..40).contains(&tries), "{tries}");
    }
}
