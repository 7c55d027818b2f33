//! The rows that belong together, and who is whom in them.

use crate::cdr::{Channel, Direction, Disposition, Kind, Pbx, Row, is_number};

/// Rows that share an id, or a channel at the same time, and those that share one with them; in the
/// order of their beginnings.
#[derive(Debug)]
pub struct Conversation<'r> {
    pub rows: Vec<&'r Row>,
}

/// The outside party of a call: the provider's channels that carry it.
#[derive(Debug)]
pub struct Party<'r> {
    pub legs: Vec<&'r str>,
    pub direction: Direction,
    pub phone: String,
    /// The extension that dialled.
    pub dialler: Option<&'r str>,
}

/// Time in which somebody of ours had the party on the line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Talk<'r> {
    pub with: With<'r>,
    channel: &'r str,
    pub from: i64,
    pub to: i64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum With<'r> {
    Extension(&'r str),
    /// A channel that the PBX dialled outside on behalf of the party, through Dial.
    Outside,
    /// The same for a queue.
    OutsideMember,
}

/// Rows that follow each other on one channel touch within the second that they are rounded to.
const TOUCH_S: i64 = 1;

/// A Local channel leads to another, but no dial plan goes deeper.
const DEPTH_MAX: usize = 8;

/// Phone numbers are the same when their last digits are.
const PHONE_DIGITS: usize = 10;

pub fn split(rows: &[Row]) -> Vec<Conversation<'_>> {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let mut group = vec![row];
        let (linked, others) =
            groups.into_iter().partition(|group: &Vec<&Row>| group.iter().any(|other| linked(row, other)));
        groups = others;
        for other in linked {
            group.extend(other);
        }
        groups.push(group);
    }
    let mut conversations: Vec<_> = groups.into_iter().map(|rows| Conversation { rows }).collect();
    for conversation in &mut conversations {
        conversation.rows.sort_by_key(|row| (row.start, row.sequence));
    }
    conversations.sort_by_key(|conversation| conversation.rows.first().map(|row| (row.start, row.sequence)));
    conversations
}

fn linked(a: &Row, b: &Row) -> bool {
    let [ids, other_ids] = [a, b].map(|row| [&row.uniqueid, &row.linkedid]);
    let same_id = ids.iter().any(|id| other_ids.contains(id));
    // Names begin anew when Asterisk does.
    let touch = a.start <= b.end + TOUCH_S && b.start <= a.end + TOUCH_S;
    same_id || touch && ends(a).any(|channel| ends(b).any(|other| other.name == channel.name))
}

fn ends(row: &Row) -> impl Iterator<Item = &Channel> {
    std::iter::once(&row.channel).chain(&row.dstchannel)
}

impl<'r> Conversation<'r> {
    /// The outside parties: who called in, and whom the PBX called for one of ours or by itself.
    /// What it dialled on behalf of somebody outside (forwards, mobiles) is nobody's call of its own.
    pub fn parties(&self, pbx: &Pbx) -> Vec<Party<'r>> {
        let mut parties: Vec<Party<'r>> = Vec::new();
        for leg in self.legs() {
            let party = self.arrived(leg, pbx).or_else(|| self.dialled(leg, pbx));
            let Some(party) = party else { continue };
            let same = |other: &&mut Party<'_>| {
                let outbound = [other.direction, party.direction] == [Direction::Outbound; 2];
                outbound && same_phone(&other.phone, &party.phone)
            };
            match parties.iter_mut().find(same) {
                Some(earlier) => earlier.legs.push(leg),
                None => parties.push(party),
            }
        }
        parties
    }

    /// The rows in which one of these channels is.
    pub fn rows_of(&self, legs: &[&str]) -> impl Iterator<Item = &'r Row> {
        self.rows.iter().copied().filter(|row| ends(row).any(|channel| legs.contains(&channel.name.as_str())))
    }

    /// When a provider's channel began, as far as rows tell: in a conference those of others began
    /// before a caller came, and who is dialled has the row of the one who dials.
    pub fn start(&self, leg: &str) -> i64 {
        let is_own = |row: &&Row| self.is_dialled(leg) || row.channel.name == leg;
        self.rows_of(&[leg]).filter(is_own).map(|row| row.start).min().unwrap_or_default()
    }

    /// Who of ours talked with the party, in the order of time.
    pub fn talks(&self, party: &Party<'_>, parties: &[Party<'_>]) -> Vec<Talk<'r>> {
        let mut search = Search { conversation: self, parties, way: Vec::new(), found: Vec::new() };
        let end = self.rows_of(&party.legs).map(|row| row.end).max().unwrap_or(i64::MAX);
        for leg in &party.legs {
            search.from(leg, Line { from: self.start(leg), to: end, by_queue: false });
        }
        let mut talks = search.found;
        for talk in &mut talks {
            talk.to = self.held(talk).min(end);
        }
        talks.sort_by_key(|talk| (talk.from, talk.to));
        talks
    }

    /// Until when an extension had the party: who asks a colleague by feature code has a row for that.
    fn held(&self, talk: &Talk<'_>) -> i64 {
        let own = |row: &&&Row| row.channel.name == talk.channel && row.answer.is_some();
        self.rows
            .iter()
            .filter(own)
            .fold(talk.to, |to, row| if (talk.from..=to).contains(&row.start) { to.max(row.end) } else { to })
    }

    /// Whether another row takes this one's channel on at its end: a pickup, an attended transfer, a
    /// Local channel that was optimised away.
    pub fn goes_on(&self, row: &Row) -> bool {
        self.rows.iter().any(|next| follows(row, next))
    }

    /// Whether this row takes another one's channel on.
    pub fn is_continued(&self, row: &Row) -> bool {
        self.rows.iter().any(|earlier| follows(earlier, row))
    }

    /// When the two channels of a row had each other.
    fn talk(&self, row: &Row) -> Option<(i64, i64)> {
        let answer = row.answer.filter(|_| row.disposition == Disposition::Answered)?;
        let later = self.ceased_to_ring(row).chain(self.answered_itself(row));
        let from = later.filter(|time| (answer..=row.end).contains(time)).max().unwrap_or(answer);
        let is_empty = row.billsec == 0 && self.goes_on(row);
        (!is_empty).then_some((from, row.end))
    }

    /// A queue or menu has answered before anybody of ours; but where others rang too, they ceased
    /// when he answered.
    fn ceased_to_ring(&self, row: &Row) -> impl Iterator<Item = i64> {
        let rang_too = |other: &&&Row| {
            let same_step = [&other.channel.name, &other.lastapp, &other.lastdata]
                == [&row.channel.name, &row.lastapp, &row.lastdata];
            same_step && other.disposition != Disposition::Answered
        };
        self.rows.iter().filter(rang_too).map(|other| other.end)
    }

    /// Where the other channel has rung in a row of its own, that one has the time of its answer.
    fn answered_itself(&self, row: &Row) -> impl Iterator<Item = i64> {
        let own = |other: &&&Row| Some(&other.channel) == row.dstchannel.as_ref();
        let answers = self.rows.iter().filter(own).map(|other| (other.start, other.answer));
        answers.filter_map(|(start, answer)| answer.filter(|answer| *answer > start))
    }

    /// Every provider's channel, in the order of appearance.
    fn legs(&self) -> Vec<&'r str> {
        let mut legs = Vec::new();
        for channel in self.rows.iter().flat_map(|row| ends(row)) {
            let name = channel.name.as_str();
            if channel.kind == Kind::Trunk && !legs.contains(&name) {
                legs.push(name);
            }
        }
        legs
    }

    /// Whether somebody dialled this channel: it is in a row's second place, and no row began with it.
    fn is_dialled(&self, leg: &str) -> bool {
        let began = |row: &&'r Row| row.channel.name == leg && row.uniqueid == row.linkedid;
        self.rows.iter().any(|row| is_dst(row, leg)) && !self.rows.iter().any(began)
    }

    /// The party of a channel that began by itself: a caller, or somebody whom a program called.
    fn arrived(&self, leg: &'r str, pbx: &Pbx) -> Option<Party<'r>> {
        if self.is_dialled(leg) {
            return None;
        }
        let row = self.rows.iter().find(|row| row.channel.name == leg)?;
        let called = pbx.own.contains(&row.src.as_str());
        let (direction, phone) = if called {
            // The PBX's own number is where the caller's should be; the one called is in no column.
            (Direction::Outbound, String::new())
        } else {
            (Direction::Inbound, row.src.clone())
        };
        Some(Party { legs: vec![leg], direction, phone, dialler: None })
    }

    /// The party of a channel that one of ours dialled, or a program through a Local channel.
    fn dialled(&self, leg: &'r str, pbx: &Pbx) -> Option<Party<'r>> {
        let row = self.rows.iter().find(|row| is_dst(row, leg))?;
        let dialler = match self.origin(&row.channel, 0) {
            Some(Channel { kind: Kind::Trunk, .. }) => return None,
            Some(Channel { kind: Kind::Phone(number), .. }) => Some(number.as_str()),
            _ => None,
        };
        let outside = |number: &&str| is_number(number) && !pbx.own.contains(number);
        let columns = [row.dst.as_str(), row.src.as_str()];
        let phone = row.dialled().or_else(|| columns.into_iter().find(outside)).unwrap_or_default();
        Some(Party { legs: vec![leg], direction: Direction::Outbound, phone: phone.to_owned(), dialler })
    }

    /// Who dialled, behind a chain of Local channels. The first half (`;1`) is that of a program; if
    /// it dialled, the second has called the employee first.
    fn origin(&self, channel: &'r Channel, depth: usize) -> Option<&'r Channel> {
        let Some(half) = channel.other_half() else { return Some(channel) };
        let beyond =
            |row: &&'r Row| if half.ends_with(";1") { caller(row, &half) } else { opposite(row, &half) };
        let mut beyond = self.rows.iter().filter_map(beyond);
        if depth == DEPTH_MAX { None } else { beyond.find_map(|channel| self.origin(channel, depth + 1)) }
    }
}

/// Follows rows and Local channels from the party to people.
struct Search<'c, 'r> {
    conversation: &'c Conversation<'r>,
    parties: &'c [Party<'c>],
    /// Halves of Local channels on the way here.
    way: Vec<String>,
    found: Vec<Talk<'r>>,
}

/// What was open all along the way from the party.
#[derive(Clone, Copy)]
struct Line {
    from: i64,
    to: i64,
    by_queue: bool,
}

impl<'r> Search<'_, 'r> {
    fn from(&mut self, channel: &str, line: Line) {
        let conversation = self.conversation;
        for row in &conversation.rows {
            let Some(other) = opposite(row, channel) else { continue };
            let Some((from, to)) = conversation.talk(row) else { continue };
            let by_queue = line.by_queue || row.lastapp == "Queue";
            let line = Line { from: line.from.max(from), to: line.to.min(to), by_queue };
            if line.from <= line.to {
                self.reach(other, line);
            }
        }
    }

    fn reach(&mut self, channel: &'r Channel, line: Line) {
        let with = match &channel.kind {
            Kind::Phone(number) => With::Extension(number),
            Kind::Trunk if self.is_party(&channel.name) => return,
            Kind::Trunk if line.by_queue => With::OutsideMember,
            Kind::Trunk => With::Outside,
            Kind::Local { .. } => return self.pass(channel, line),
            Kind::Other => return,
        };
        self.found.push(Talk { with, channel: &channel.name, from: line.from, to: line.to });
    }

    fn pass(&mut self, local: &Channel, line: Line) {
        let Some(half) = local.other_half() else { return };
        if !self.way.contains(&half) {
            self.way.push(half.clone());
            self.from(&half, line);
            self.way.pop();
        }
    }

    fn is_party(&self, channel: &str) -> bool {
        self.parties.iter().any(|party| party.legs.contains(&channel))
    }
}

fn is_dst(row: &Row, channel: &str) -> bool {
    row.dstchannel.as_ref().is_some_and(|dst| dst.name == channel)
}

fn caller<'r>(row: &'r Row, dst: &str) -> Option<&'r Channel> {
    is_dst(row, dst).then_some(&row.channel)
}

fn opposite<'r>(row: &'r Row, channel: &str) -> Option<&'r Channel> {
    if row.channel.name == channel {
        return row.dstchannel.as_ref();
    }
    caller(row, channel)
}

fn follows(earlier: &Row, next: &Row) -> bool {
    let both = [earlier, next].iter().all(|row| row.disposition == Disposition::Answered);
    let same_step = [&earlier.channel.name, &earlier.lastapp, &earlier.lastdata]
        == [&next.channel.name, &next.lastapp, &next.lastdata];
    let other_end =
        next.dstchannel.is_some() && earlier.dstchannel.is_some() && earlier.dstchannel != next.dstchannel;
    let at_once = next.start == earlier.end || earlier.billsec == 0 && next.start > earlier.end;
    both && same_step && other_end && at_once
}

fn same_phone(a: &str, b: &str) -> bool {
    let [a, b] = [a, b].map(|phone| &phone[phone.len().saturating_sub(PHONE_DIGITS)..]);
    a == b
}
