//! Pure: a group of rows as the events that Asterisk would have sent.
//!
//! A row tells of one channel, and of another that it reached. It does not tell the other's uniqueid, so
//! channels that have no row of their own get names for ids, which [`is_made_up`] knows again.

use crate::ami::event::{Bridge, What};
use crate::call::name;
use crate::call::side::dialled::{Dialled, dialled};
use crate::call::side::{OUTSIDE_DIGITS_MIN, digits, is_short};
use crate::cdr::group::Group;
use crate::cdr::leg::Face;
use crate::cdr::row::{Disposition, Row};
use crate::time::PbxTime;

/// What happened, and when, in the order in which it is to be told.
#[derive(Clone, Debug)]
pub struct Step {
    pub at: PbxTime,
    phase: Phase,
    leg: usize,
    act: Act,
}

/// A channel of the rows.
#[derive(Clone, Debug)]
pub struct Leg {
    face: Face,
    born: PbxTime,
    gone: PbxTime,
    cause: Option<u16>,
}

/// The order of what happens within one second, in which rows count.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Phase {
    Born,
    Begin,
    Left,
    End,
    Joined,
    Noted,
    Gone,
}

#[derive(Clone, Debug)]
enum Act {
    New,
    Dial {
        by: Option<usize>,
        string: String,
    },
    DialEnd {
        by: Option<usize>,
        status: &'static str,
    },
    /// A queue calls this leg for that one.
    Member {
        by: usize,
    },
    QueueJoin {
        queue: String,
    },
    QueueAbandon,
    Enter {
        bridge: String,
        conference: bool,
    },
    Leave {
        bridge: String,
        conference: bool,
    },
    Variable {
        name: &'static str,
        value: String,
    },
    Message,
    Fax,
    Spy,
    Hangup,
}

/// The channels of a group and what they did.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub legs: Vec<Leg>,
    pub steps: Vec<Step>,
}

/// `app_dial` and others cut `lastdata` to this many bytes: its last target may not be whole.
const LASTDATA_MAX: usize = 79;

/// An answered row of no length was a talk of less than a second: half of one.
const SHORTEST: std::time::Duration = std::time::Duration::from_millis(500);

/// Whether no channel of Asterisk has this id.
pub fn is_made_up(id: &str) -> bool {
    id.contains('/')
}

/// Tells a group.
pub fn tell(group: &Group<'_>) -> Told {
    let mut told = Told::default();
    told.find_legs(group);
    for (number, row) in group.rows.iter().enumerate() {
        told.row(group, row, number);
    }
    told.last_words(group);
    for leg in 0..told.legs.len() {
        let Leg { born, gone, .. } = told.legs[leg];
        told.push(born, Phase::Born, leg, Act::New);
        told.push(gone, Phase::Gone, leg, Act::Hangup);
    }
    told.steps.sort_by_key(|step| (step.at, step.phase));
    told
}

impl Told {
    fn push(&mut self, at: PbxTime, phase: Phase, leg: usize, act: Act) {
        self.steps.push(Step { at, phase, leg, act });
    }

    fn leg(&self, name: &str) -> Option<usize> {
        self.legs.iter().position(|leg| leg.face.name == name)
    }

    fn find_legs(&mut self, group: &Group<'_>) {
        // Names begin anew with Asterisk, so they are told apart by the call's first id, or its second.
        let start = group.start().map_or(0, |start| start.micros() / 1_000_000);
        let discriminator = group.ids().first().map_or_else(|| start.to_string(), |id| (*id).to_owned());
        for row in &group.rows {
            for name in row.ends() {
                let called = group.is_dialled(name);
                let is_own = row.channel == name;
                let at = self.leg(name).unwrap_or_else(|| {
                    self.legs.push(Leg::new(name, &discriminator, row, called));
                    self.legs.len() - 1
                });
                let leg = &mut self.legs[at];
                if is_own && is_made_up(&leg.face.id) && !row.uniqueid.is_empty() {
                    leg.face.id.clone_from(&row.uniqueid);
                }
                if is_own && !called && leg.face.exten.is_empty() {
                    leg.dials_as(row);
                }
                // In a conference the rows of others begin before a caller came.
                let counts = called || is_own;
                leg.born = if counts { leg.born.min(row.start) } else { leg.born };
                leg.gone = leg.gone.max(row.end);
            }
        }
    }

    fn row(&mut self, group: &Group<'_>, row: &Row, number: usize) {
        let Some(caller) = self.leg(&row.channel) else { return };
        let callee = self.leg(&row.dstchannel);
        let app = row.lastapp.to_ascii_lowercase();
        match app.as_str() {
            "queue" => {
                let queue = row.lastdata.split(',').next().unwrap_or_default().to_owned();
                self.push(row.start, Phase::Begin, caller, Act::QueueJoin { queue });
            }
            "chanspy" | "extenspy" => self.push(row.start, Phase::Noted, caller, Act::Spy),
            "receivefax" | "sendfax" | "rxfax" | "txfax" => {
                self.push(row.start, Phase::Noted, caller, Act::Fax);
            }
            "hangup" => self.legs[caller].cause = row.lastdata.trim().parse().ok(),
            _ => {}
        }
        if !row.recording.is_empty() {
            let value = row.recording.clone();
            self.push(row.start, Phase::Noted, caller, Act::Variable { name: "MIXMONITOR_FILENAME", value });
        }
        let Some(callee) = callee else { return };
        self.dial(group, row, caller, callee);
        let Some((from, to)) = group.talk(row) else { return };
        self.talk(row, &app, number, (from, to), [caller, callee]);
    }

    fn dial(&mut self, group: &Group<'_>, row: &Row, caller: usize, callee: usize) {
        // Up before anybody answered at the other end: a program called this phone first.
        let up_first = row.answer.filter(|_| row.disposition != Disposition::Answered);
        if let Some(up) = up_first.filter(|_| name::kind(&row.channel) == name::Kind::Device)
            && row.lastapp.eq_ignore_ascii_case("Dial")
            && self.legs[caller].is_phone()
        {
            self.legs[caller].face.called = true;
            let by = None;
            self.push(row.start, Phase::Begin, caller, Act::Dial { by, string: String::new() });
            self.push(up, Phase::End, caller, Act::DialEnd { by, status: "ANSWER" });
        }
        let Some(string) = dial_string(group, row) else { return };
        let by = Some(caller);
        let end = match row.disposition {
            Disposition::Answered => row.answer.unwrap_or(row.end),
            Disposition::Busy | Disposition::Congestion | Disposition::Failed | Disposition::NoAnswer => {
                row.end
            }
        };
        if row.lastapp.eq_ignore_ascii_case("Queue") {
            self.push(row.start, Phase::Begin, callee, Act::Member { by: caller });
        }
        self.push(row.start, Phase::Begin, callee, Act::Dial { by, string });
        self.push(end, Phase::End, callee, Act::DialEnd { by, status: status(group, row) });
    }

    fn talk(
        &mut self,
        row: &Row,
        app: &str,
        number: usize,
        (from, to): (PbxTime, PbxTime),
        legs: [usize; 2],
    ) {
        let conference = matches!(app, "confbridge" | "meetme");
        let room = row.lastdata.split(',').next().unwrap_or_default();
        let bridge =
            if conference { format!("room-{room}") } else { format!("row-{}-{number}", row.linkedid) };
        let to = to.max(from.after(SHORTEST));
        for leg in legs {
            self.legs[leg].gone = self.legs[leg].gone.max(to);
            self.push(from, Phase::Joined, leg, Act::Enter { bridge: bridge.clone(), conference });
            self.push(to, Phase::Left, leg, Act::Leave { bridge: bridge.clone(), conference });
        }
    }

    /// What the last row of a channel that called us tells of its end.
    fn last_words(&mut self, group: &Group<'_>) {
        let nobody_reached = group
            .rows
            .iter()
            .all(|row| row.dstchannel.is_empty() && row.disposition != Disposition::Answered);
        let mut cause = group.rows.iter().filter(|row| row.lastapp.eq_ignore_ascii_case("Hangup"));
        let cause: Option<u16> = cause.find_map(|row| row.lastdata.trim().parse().ok());
        for leg in 0..self.legs.len() {
            if self.legs[leg].face.called {
                self.legs[leg].cause = self.legs[leg].cause.or(cause);
            }
            let own = group.rows.iter().filter(|row| row.channel == self.legs[leg].face.name);
            let Some(last) = own.max_by_key(|row| (row.end, row.start)) else { continue };
            let end = last.end;
            match last.lastapp.to_ascii_lowercase().as_str() {
                "voicemail" => self.push(end, Phase::Noted, leg, Act::Message),
                "queue" if group.rows.iter().all(|row| group.talk(row).is_none()) => {
                    self.push(end, Phase::Noted, leg, Act::QueueAbandon);
                }
                "dial" if nobody_reached => {
                    let unavailable = Act::Variable { name: "DIALSTATUS", value: "CHANUNAVAIL".to_owned() };
                    self.push(end, Phase::Noted, leg, unavailable);
                    let meant =
                        last.lastdata.split([',', '&']).next().and_then(|target| target.split('/').nth(1));
                    if let Some(meant) = meant.filter(|meant| is_short(meant)) {
                        let meant = Act::Variable { name: "EXTTOCALL", value: meant.to_owned() };
                        self.push(end, Phase::Noted, leg, meant);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Leg {
    fn new(name: &str, discriminator: &str, row: &Row, called: bool) -> Self {
        let linkedid = if row.linkedid.is_empty() { &row.uniqueid } else { &row.linkedid };
        Self {
            face: Face {
                name: name.to_owned(),
                id: format!("{name}@{discriminator}"),
                linkedid: linkedid.clone(),
                called,
                ..Face::default()
            },
            born: row.start,
            gone: row.end,
            cause: None,
        }
    }

    /// It called the PBX, as the first of its own rows tells.
    fn dials_as(&mut self, row: &Row) {
        self.face.number.clone_from(&row.src);
        self.face.exten.clone_from(if row.did.is_empty() { &row.dst } else { &row.did });
        self.face.context.clone_from(&row.context);
        self.face.account.clone_from(&row.account);
        self.face.linkedid.clone_from(if row.linkedid.is_empty() { &row.uniqueid } else { &row.linkedid });
    }

    fn is_phone(&self) -> bool {
        is_short(name::bare(name::endpoint(&self.face.name)))
    }
}

impl Step {
    /// The event that tells it.
    pub fn event<'l>(&'l self, legs: &'l [Leg]) -> What<'l> {
        let leg = &legs[self.leg];
        let channel = leg.face.snapshot();
        let caller = |by: Option<usize>| by.map(|by| legs[by].face.snapshot());
        match &self.act {
            Act::New => What::NewChannel(channel),
            Act::Dial { by, string } => {
                What::DialBegin { caller: caller(*by), dest: channel, dial_string: string.as_bytes() }
            }
            Act::DialEnd { by, status } => {
                What::DialEnd { caller: caller(*by), dest: channel, status: status.as_bytes(), forward: b"" }
            }
            Act::Member { by } => {
                let interface = name::endpoint(&leg.face.name).as_bytes();
                What::Agent { caller: caller(Some(*by)), dest: Some(channel), interface }
            }
            Act::QueueJoin { queue } => What::QueueJoin { channel, queue: queue.as_bytes() },
            Act::QueueAbandon => What::QueueAbandon { channel, queue: b"" },
            Act::Enter { bridge, conference } => {
                What::BridgeEnter { bridge: room(bridge, *conference), channel, swap: b"" }
            }
            Act::Leave { bridge, conference } => {
                What::BridgeLeave { bridge: room(bridge, *conference), channel }
            }
            Act::Variable { name, value } => {
                What::Variable { channel, name: name.as_bytes(), value: value.as_bytes() }
            }
            Act::Message => What::Message { channel: Some(channel), mailbox: b"", new: Some(1) },
            Act::Fax => What::Fax(channel),
            Act::Spy => What::Spy { spyer: channel },
            Act::Hangup => What::Hangup { channel, cause: leg.cause },
        }
    }
}

fn room(id: &str, conference: bool) -> Bridge<'_> {
    let (kind, creator): (&[u8], &[u8]) = if conference { (b"base", b"ConfBridge") } else { (b"basic", b"") };
    Bridge { uniqueid: id.as_bytes(), kind, technology: b"", creator }
}

/// What of the row's application was for this channel; `None` when it was not dialled by this row: it was
/// picked up, transferred to, or met in a room.
pub(super) fn dial_string(group: &Group<'_>, row: &Row) -> Option<String> {
    let app = row.lastapp.to_ascii_lowercase();
    let is_local = name::kind(&row.dstchannel) == name::Kind::Local;
    match app.as_str() {
        "confbridge" | "meetme" | "bridge" | "pickup" | "parkedcall" => None,
        "dial" => {
            let endpoint = name::endpoint(&row.dstchannel);
            let targets = row.lastdata.split(',').next().unwrap_or_default().split('&');
            let target = targets.clone().find(|target| dialled(target, endpoint) != Dialled::Unclear);
            match target {
                Some(target) => Some(target.to_owned()),
                None if is_local => Some(String::new()),
                // Names of a list that was cut, or of a number that the dial plan turned into another one.
                None if row.lastdata.len() >= LASTDATA_MAX => (!group.is_continued(row)).then(String::new),
                None => through_another_trunk(targets, endpoint),
            }
        }
        // A table without applications: the number is that of the channel which was reached.
        "" => Some(reached(row)),
        _ => (!group.is_continued(row)).then(String::new),
    }
}

/// The trunk that was dialled first failed, and the row has kept its name: the number went out through this
/// one.
fn through_another_trunk<'s>(mut targets: impl Iterator<Item = &'s str>, endpoint: &str) -> Option<String> {
    let bare = name::bare(endpoint);
    if is_short(bare) {
        return None; // a phone that took the call
    }
    targets.find_map(|target| {
        let named = target.split_once('/').and_then(|(technology, rest)| {
            let peer = rest.rsplit_once('@').map(|(_, peer)| peer).or_else(|| rest.split('/').next())?;
            Some(format!("{technology}/{peer}"))
        })?;
        match dialled(target, &named) {
            Dialled::Number(number) if digits(number) >= OUTSIDE_DIGITS_MIN => {
                Some(format!("{number}@{bare}"))
            }
            Dialled::Number(_) | Dialled::Address(_) | Dialled::Device | Dialled::Unclear => None,
        }
    })
}

/// `101` for a phone of that name, `79161234567@trunk` for what was reached through a trunk.
fn reached(row: &Row) -> String {
    let bare = name::bare(name::endpoint(&row.dstchannel));
    if row.dst == bare || is_short(&row.dst) { row.dst.clone() } else { format!("{}@{bare}", row.dst) }
}

pub(super) fn status(group: &Group<'_>, row: &Row) -> &'static str {
    let another = |other: &&&Row| {
        other.channel == row.channel && other.disposition == Disposition::Answered && other.end >= row.end
    };
    match row.disposition {
        Disposition::Answered => "ANSWER",
        Disposition::Busy => "BUSY",
        Disposition::Congestion => "CONGESTION",
        Disposition::Failed => "CHANUNAVAIL",
        Disposition::NoAnswer if group.rows.iter().any(|other| another(&other)) => "CANCEL",
        Disposition::NoAnswer => "NOANSWER",
    }
}
