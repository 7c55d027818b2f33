//! Pure: the events of a call, and what its rows add to them, as Asterisk would have sent them.

use std::collections::BTreeMap;

use crate::ami::event::Event;
use crate::call::name::{self, Kind as NameKind};
use crate::cdr::cel::Call;
use crate::cdr::cel::entry::{Entry, Kind};
use crate::cdr::cel::tell::act::{Act, Room};
use crate::cdr::cel::tell::dial::Dial;
use crate::cdr::leg::Face;
use crate::time::PbxTime;

mod act;
mod dial;

/// The channels of a call and what they did.
#[derive(Clone, Debug, Default)]
pub struct Told {
    legs: Vec<Leg>,
    /// Places in it, by uniqueid.
    places: BTreeMap<String, usize>,
    steps: Vec<Step>,
    /// Whether times are finer than seconds.
    pub exact: bool,
}

#[derive(Clone, Debug)]
struct Step {
    at: PbxTime,
    leg: usize,
    act: Act,
}

/// A channel as it was when it began.
#[derive(Clone, Debug)]
struct Leg {
    face: Face,
    dial: Option<Dial>,
    answered: bool,
    gone: bool,
}

/// Tells a call.
pub fn tell(call: &Call<'_>) -> Told {
    let mut told = Told { exact: is_exact(call), ..Told::default() };
    let starts = call.entries.iter().filter(|entry| entry.kind == Kind::Start);
    told.legs = starts.map(|start| Leg::new(call, start)).collect();
    for (place, leg) in told.legs.iter().enumerate() {
        told.places.entry(leg.face.id.clone()).or_insert(place);
    }
    for entry in &call.entries {
        if let Some(leg) = told.leg(&entry.uniqueid) {
            told.entry(call, entry, leg);
        }
    }
    told.recordings(call);
    told.steps.sort_by_key(|step| step.at);
    told
}

fn is_exact(call: &Call<'_>) -> bool {
    const SECOND: i64 = 1_000_000;
    call.entries.iter().any(|entry| entry.at.micros() % SECOND != 0)
}

impl Leg {
    fn new(call: &Call<'_>, start: &Entry) -> Self {
        Self {
            face: Face {
                name: start.channel.clone(),
                id: start.uniqueid.clone(),
                linkedid: start.linkedid.clone(),
                number: start.number.clone(),
                exten: start.exten.clone(),
                context: start.context.clone(),
                account: start.account.clone(),
                called: dial::is_called(call, start),
            },
            dial: None,
            answered: false,
            gone: false,
        }
    }
}

impl Told {
    /// The time of the last step.
    pub fn end(&self) -> Option<PbxTime> {
        self.steps.last().map(|step| step.at)
    }

    /// Hands out the events in their order.
    pub fn each(&self, mut take: impl FnMut(&Event<'_>, PbxTime)) {
        for step in &self.steps {
            take(
                &Event { at: Some(step.at), what: step.act.what(&self.legs[step.leg], &self.legs) },
                step.at,
            );
        }
    }

    fn leg(&self, uniqueid: &str) -> Option<usize> {
        self.places.get(uniqueid).copied()
    }

    fn leg_of(&self, entry: &Entry, key: &str) -> Option<usize> {
        entry.extra(key).and_then(|uniqueid| self.leg(uniqueid))
    }

    /// The last channel of this name that had begun.
    fn named(&self, name: &str) -> Option<usize> {
        self.legs.iter().rposition(|leg| leg.face.name == name)
    }

    fn push(&mut self, entry: &Entry, leg: usize, act: Act) {
        self.steps.push(Step { at: entry.at, leg, act });
    }

    fn entry(&mut self, call: &Call<'_>, entry: &Entry, leg: usize) {
        match entry.kind {
            Kind::Start => self.began(call, entry, leg),
            Kind::Answer => self.answered(entry, leg),
            Kind::AppStart => self.runs(entry, leg),
            Kind::AppEnd => self.ran(call, entry, leg),
            Kind::Enter => {
                let room = Room::of(entry);
                if room != Room::Holding {
                    self.answered(entry, leg);
                }
                self.push(entry, leg, Act::Enter { bridge: bridge(entry), room });
            }
            Kind::Leave => self.push(entry, leg, Act::Leave { bridge: bridge(entry), room: Room::of(entry) }),
            Kind::Blind => {
                let transferee = self.leg_of(entry, "transferee_channel_uniqueid");
                let extension = entry.extra("extension").unwrap_or_default().to_owned();
                self.push(entry, leg, Act::Blind { transferee, extension });
            }
            Kind::Attended => {
                let keys =
                    ["channel2_uniqueid", "transferee_channel_uniqueid", "transfer_target_channel_uniqueid"];
                let others = keys.iter().filter_map(|key| self.leg_of(entry, key)).collect();
                self.push(entry, leg, Act::Attended { others });
            }
            Kind::Pickup => {
                if let Some(by) = self.leg_of(entry, "pickup_channel_uniqueid") {
                    self.push(entry, leg, Act::PickedUp { by });
                }
            }
            Kind::Parked => self.push(entry, leg, Act::Parked),
            Kind::Unparked => {
                let by = entry.extra("retriever").and_then(|name| self.named(name));
                self.push(entry, leg, Act::Unparked { by });
            }
            Kind::Forward => self.forwarded(entry, leg),
            Kind::Hangup | Kind::End => self.hung_up(call, entry, leg),
            Kind::Other => {}
        }
    }

    fn began(&mut self, call: &Call<'_>, entry: &Entry, leg: usize) {
        self.push(entry, leg, Act::New);
        if !self.legs[leg].face.called {
            return;
        }
        let Some(dial) = dial::of(call, entry) else { return };
        let by = dial.by.as_deref().and_then(|by| self.leg(by));
        if let Some(by) = by.filter(|_| dial.is_queue) {
            self.push(entry, leg, Act::Member { by });
        }
        self.push(entry, leg, Act::Dial { by, string: dial.string.clone() });
        self.legs[leg].dial = Some(dial);
    }

    fn dialled_by(&self, leg: usize) -> Option<usize> {
        self.legs[leg].dial.as_ref().and_then(|dial| dial.by.as_deref()).and_then(|by| self.leg(by))
    }

    fn answered(&mut self, entry: &Entry, leg: usize) {
        if !std::mem::replace(&mut self.legs[leg].answered, true) && self.legs[leg].dial.is_some() {
            let by = self.dialled_by(leg);
            self.push(entry, leg, Act::DialEnd { by, status: "ANSWER", forward: String::new() });
        }
    }

    /// The phone that the channel called last sends the call on.
    fn forwarded(&mut self, entry: &Entry, caller: usize) {
        let ringing = |leg: &usize| !self.legs[*leg].answered && self.dialled_by(*leg) == Some(caller);
        let is_here = |leg: &usize| self.steps.iter().any(|step| step.leg == *leg);
        let Some(leg) = (0..self.legs.len()).rev().filter(is_here).find(ringing) else { return };
        self.legs[leg].answered = true;
        let forward = entry.extra("forward").unwrap_or_default().to_owned();
        self.push(entry, leg, Act::DialEnd { by: Some(caller), status: "CANCEL", forward });
    }

    fn runs(&mut self, entry: &Entry, leg: usize) {
        match entry.app.to_ascii_lowercase().as_str() {
            "queue" => {
                let queue = entry.data.split(',').next().unwrap_or_default().to_owned();
                self.push(entry, leg, Act::QueueJoin { queue });
            }
            "chanspy" | "extenspy" => self.push(entry, leg, Act::Spy),
            "receivefax" | "sendfax" | "rxfax" | "txfax" => self.push(entry, leg, Act::Fax),
            _ => {}
        }
    }

    /// An application came to its end, with the channel's own or not.
    fn ran(&mut self, call: &Call<'_>, entry: &Entry, leg: usize) {
        const AT_ONCE: std::time::Duration = std::time::Duration::from_millis(50);
        let hangup = call.of(&entry.uniqueid).find(|other| other.kind == Kind::Hangup);
        if hangup.is_none_or(|hangup| hangup.at > entry.at.after(AT_ONCE)) {
            return;
        }
        let began = |other: &&Entry| other.kind == Kind::AppStart && other.app == entry.app;
        let since = call.of(&entry.uniqueid).filter(began).map(|start| start.at).max();
        let had_somebody = call.of(&entry.uniqueid).any(|other| {
            other.kind == Kind::Enter && Room::of(other) == Room::Talk && Some(other.at) >= since
        });
        match entry.app.to_ascii_lowercase().as_str() {
            "voicemail" => self.push(entry, leg, Act::Message),
            "queue" if !had_somebody => self.push(entry, leg, Act::QueueAbandon),
            _ => {}
        }
    }

    fn hung_up(&mut self, call: &Call<'_>, entry: &Entry, leg: usize) {
        if std::mem::replace(&mut self.legs[leg].gone, true) {
            return;
        }
        let cause = entry.extra("hangupcause").and_then(|cause| cause.parse().ok());
        if !self.legs[leg].answered && self.legs[leg].dial.is_some() {
            let by = self.dialled_by(leg);
            let status = dial::status(call, entry, cause);
            self.push(entry, leg, Act::DialEnd { by, status, forward: String::new() });
        }
        if !call.of(&entry.uniqueid).any(|other| other.kind == Kind::AppStart) && ends_in_mailbox(call, entry)
        {
            self.push(entry, leg, Act::Message);
        }
        self.last_words(call, entry, leg);
        if entry.extra("hangupsource") == Some(&*self.legs[leg].face.name) {
            self.push(entry, leg, Act::HangupRequest { cause });
        }
        self.push(entry, leg, Act::Hangup { cause });
    }

    /// Of a caller for whom no phone could be made to ring.
    fn last_words(&mut self, call: &Call<'_>, entry: &Entry, leg: usize) {
        let tried = dial::last_tried(call, &entry.uniqueid);
        let Some(status) = entry.extra("dialstatus").filter(|_| !self.legs[leg].face.called) else { return };
        let value = status.to_owned();
        self.push(entry, leg, Act::Variable { name: "DIALSTATUS", value });
        if let Some(value) = tried.filter(|_| self.legs.iter().all(|other| other.dial.is_none())) {
            self.push(entry, leg, Act::Variable { name: "EXTTOCALL", value });
        }
    }

    fn recordings(&mut self, call: &Call<'_>) {
        for row in call.group.rows.iter().filter(|row| !row.recording.is_empty()) {
            if let Some(leg) = self.named(&row.channel) {
                let act = Act::Variable { name: "MIXMONITOR_FILENAME", value: row.recording.clone() };
                self.steps.push(Step { at: row.start.max(self.born(leg)), leg, act });
            }
        }
    }

    fn born(&self, leg: usize) -> PbxTime {
        self.steps.iter().find(|step| step.leg == leg).map_or(PbxTime::from_micros(0), |step| step.at)
    }
}

/// By the channel's last row: `cel.conf` need not ask for applications.
fn ends_in_mailbox(call: &Call<'_>, entry: &Entry) -> bool {
    let own = call.group.rows.iter().filter(|row| row.channel == entry.channel);
    own.max_by_key(|row| (row.end, row.start))
        .is_some_and(|row| row.lastapp.eq_ignore_ascii_case("VoiceMail"))
}

fn bridge(entry: &Entry) -> String {
    entry.extra("bridge_id").unwrap_or_default().to_owned()
}

/// Whether the name is that of the end of a Local pair by which it is called, or of a device.
fn can_be_called(channel: &str) -> bool {
    match name::kind(channel) {
        NameKind::Device => true,
        NameKind::Local => channel.ends_with(";1"),
        NameKind::Helper => false,
    }
}
