//! Pure: a connection to the PBX begins, is whole, and is lost; Asterisk starts and stops.

use std::time::Duration;

use crate::call::facts::ChannelIndex;
use crate::call::tracker::Tracker;
use crate::call::tracker::groups::GroupEnd;
use crate::time::PbxTime;

impl Tracker {
    /// A connection to the PBX begins at `at`: the time of its first event, or of an answer, behind which
    /// events of before may wait. What happened since the last event was not seen; a call of which nothing
    /// more is heard ended then, as far as anybody knows.
    pub fn handle_begin(&mut self, at: PbxTime) {
        let first = self.begun.is_none();
        let last = self.alive.map_or(self.now, |alive| alive.max(self.now)).min(self.now.max(at));
        let at = self.now.max(at);
        self.handle_timeout(at);
        self.begun = Some(at);
        if first {
            return;
        }
        (self.lost, self.gap) = (Some(last), Some(last));
        self.silence_all(last);
        let uptime = self.uptime.take();
        self.booted(uptime);
    }

    /// From `at` on nothing is heard of any call.
    fn silence_all(&mut self, at: PbxTime) {
        let groups: Vec<_> = self.groups.iter().map(|(index, _)| index).collect();
        for group in groups {
            self.groups[group].silent_since.get_or_insert(at);
            self.call_changed(group);
        }
    }

    /// The connection to the PBX is lost.
    pub fn handle_lost(&mut self) {
        self.lost = None;
        self.uptime = None;
        self.roll.begin();
    }

    /// At `at` the connection was whole: no call of now was over unheard.
    pub fn handle_alive(&mut self, at: PbxTime) {
        if self.alive.is_none_or(|alive| at > alive) {
            self.alive = Some(at);
            if !self.groups.is_empty() {
                self.stream_changed();
            }
        }
    }

    /// The connection ended in order at `at`: until then it was whole.
    pub fn handle_end(&mut self, at: PbxTime) {
        self.handle_alive(at);
        // The next process shall know until when the PBX was watched.
        self.stream_changed();
    }

    /// The last time at which the connection was surely whole.
    pub fn last_word(&self) -> Option<PbxTime> {
        self.alive
    }

    /// Asterisk started `uptime` seconds ago: calls from before that are over. Names and counters
    /// begin anew with it, so nothing of the old ones may be taken for something new.
    pub(super) fn booted(&mut self, uptime: Option<u64>) {
        let Some(uptime) = uptime else { return };
        let Some(lost) = self.lost.take() else {
            self.uptime = Some(uptime);
            return;
        };
        let now = self.begun.map_or(self.now, |begun| begun.max(self.now));
        if now.since(lost) <= Duration::from_secs(uptime) {
            return; // it has been running since before we lost it
        }
        // The uptime is in whole seconds: what began in the first of them may be of this Asterisk.
        let uptime = Duration::from_secs(uptime.saturating_add(1));
        let is_older = |member: &ChannelIndex| now.since(self.channels[*member as usize].facts.born) > uptime;
        let silent = self.groups.iter().filter(|(_, group)| group.silent_since.is_some());
        let silent = silent.filter(|(_, group)| group.members.iter().any(is_older));
        let mut silent: Vec<_> =
            silent.map(|(index, group)| (group.seq, index, group.silent_since)).collect();
        silent.sort_unstable();
        for (_, group, since) in silent {
            // What was not heard of since an earlier loss was over by then, as far as anybody knows.
            self.end_group(group, since.unwrap_or(lost).min(lost), GroupEnd::Cut);
        }
    }

    /// Asterisk stops. It hangs up first; what it leaves open is over.
    pub(super) fn shut_down(&mut self, at: PbxTime) {
        self.silence_all(at);
    }
}
