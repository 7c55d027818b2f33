//! Pure: which sound file holds the conversation.

use std::time::Duration;

use crate::call::classify::Case;
use crate::call::facts::{Channel, Recording};
use crate::call::record::Outcome;
use crate::call::talk;
use crate::time::PbxTime;

impl Case<'_> {
    /// Of all recordings the one that covers most of the talk; of equals the one made nearest to
    /// the outside party, then the earliest. Its name below the monitor folder.
    pub(super) fn recording(&self) -> Option<String> {
        let (from, to) = talk::span(&self.talks)?;
        let covers = |channel: &Channel, recording: &Recording| -> Duration {
            let end = recording.to.unwrap_or_else(|| channel.end(self.facts.ended));
            end.min(to).since(recording.at.max(from))
        };
        let own = self.facts.channels.iter().enumerate();
        let own = own.filter(|(index, channel)| !channel.guest && !self.others.contains(index));
        let found = own.flat_map(|(index, channel)| {
            let distance = self.distance(index);
            channel.extras.recordings.iter().map(move |recording| Found {
                covered: covers(channel, recording),
                distance,
                at: recording.at,
                path: &recording.path,
            })
        });
        found.reduce(Found::better).map(|best| below_monitor(best.path).to_owned())
    }

    /// Names that the dial plan had ready, where no recording is known to have begun.
    pub(super) fn recording_hints(&self) -> Vec<String> {
        let mut hints: Vec<String> = Vec::new();
        if self.recording().is_some() {
            return hints;
        }
        for hint in self.own().filter(|channel| !channel.guest).flat_map(|channel| &channel.extras.hints) {
            let hint = below_monitor(hint);
            if hints.len() < HINTS_MAX && !hints.iter().any(|known| known == hint) {
                hints.push(hint.to_owned());
            }
        }
        hints
    }

    /// The message that the caller left, below the voicemail folder.
    pub(super) fn message(&self, outcome: Outcome) -> Option<String> {
        let path = self.own().find_map(|channel| channel.extras.message.as_deref());
        let path = path.filter(|_| outcome == Outcome::Voicemail)?;
        // Mailboxes that are in no files have a word in place of a path.
        let (folder, name) = path.rsplit_once("/voicemail/").unwrap_or(("", path));
        (!folder.is_empty() || name.contains('/')).then(|| name.trim_start_matches('/').to_owned())
    }

    /// 0: the outside party's own leg; 1: together with it in a bridge; 2: behind a Local pair.
    fn distance(&self, channel: usize) -> u8 {
        let legs = &self.conversation.legs;
        if legs.contains(&channel) {
            return 0;
        }
        let met = legs.iter().flat_map(|leg| &self.channel(*leg).stays);
        let together = |bridge: u32| self.channel(channel).stays.iter().any(|stay| stay.bridge == bridge);
        if met.map(|stay| stay.bridge).any(together) { 1 } else { 2 }
    }
}

/// A recording and what speaks for it.
#[derive(Clone, Copy)]
struct Found<'f> {
    covered: Duration,
    distance: u8,
    at: PbxTime,
    path: &'f str,
}

/// Names that are kept; a dial plan has one for each leg at most.
const HINTS_MAX: usize = 4;

/// Channels of one call end within moments of each other.
const ROUNDING: Duration = Duration::from_millis(500);

impl Found<'_> {
    fn better(self, other: Self) -> Self {
        let longer = self.covered.abs_diff(other.covered) > ROUNDING;
        let keep = if longer {
            self.covered > other.covered
        } else {
            (self.distance, self.at) <= (other.distance, other.at)
        };
        if keep { self } else { other }
    }
}

/// `2026/11/22/in-1.wav` of `/var/spool/asterisk/monitor/2026/11/22/in-1.wav`.
fn below_monitor(path: &str) -> &str {
    match path.rsplit_once("/monitor/") {
        Some((_, name)) => name,
        None => path.rsplit_once('/').map_or(path, |(_, name)| name),
    }
}
