//! Pure: who called whom, and who took over whose call.

use crate::ami::event::{self, AttendedTransfer, text};
use crate::call::facts::{ChannelIndex, Dial, DialEnd, DialStatus, Origin, Transfer};
use crate::call::name;
use crate::call::side::dialled::{Dialled, dialled};
use crate::call::side::evidence::Evidence;
use crate::call::side::{OUTSIDE_DIGITS_MIN, digits, same_dialled};
use crate::call::tracker::channels::{LIST_MAX, cut, kept};
use crate::call::tracker::{Tracked, Tracker};
use crate::time::PbxTime;

impl Tracker {
    pub(super) fn dial_begin(
        &mut self,
        caller: Option<&event::Channel<'_>>,
        dest: &event::Channel<'_>,
        dial_string: &[u8],
        at: PbxTime,
    ) {
        let by = caller.map(|caller| self.see(caller, at));
        let dest = self.see(dest, at);
        if let Some(by) = by {
            self.unite(by, dest);
        }
        let exten = caller.map(|caller| text::decode(caller.exten)).unwrap_or_default();
        let number = self.learn_from_dial(by, dest, &text::decode(dial_string), &exten);
        let facts = &mut self.channels[dest as usize].facts;
        // Queues and repeated streams tell of one dial twice.
        let same = facts.dials.iter_mut().rev().find(|dial| dial.by == by && dial.end.is_none());
        if let Some(dial) = same {
            dial.number = dial.number.take().or(number);
        } else if facts.dials.len() < LIST_MAX {
            facts.dials.push(Dial { by, at, number, end: None });
        }
    }

    pub(super) fn dial_end(
        &mut self,
        caller: Option<&event::Channel<'_>>,
        dest: &event::Channel<'_>,
        status: &[u8],
        forward: &[u8],
        at: PbxTime,
    ) {
        let by = caller.map(|caller| self.see(caller, at));
        let dest = self.see(dest, at);
        if let Some(by) = by {
            self.unite(by, dest);
        }
        let end = DialEnd { at, status: DialStatus::parse(status), forward: kept(forward) };
        let facts = &mut self.channels[dest as usize].facts;
        let open = facts.dials.iter().rposition(|dial| dial.end.is_none() && (dial.by == by || by.is_none()));
        match open {
            Some(open) => facts.dials[open].end = Some(end),
            // This repeats an end that was seen, or says what became of a forward that was not allowed.
            None if facts.dials.iter().any(|dial| dial.by == by) => {
                let last = facts.dials.iter_mut().rev().find(|dial| dial.by == by);
                if let Some(known) = last.and_then(|dial| dial.end.as_mut())
                    && known.forward.is_some()
                    && end.forward.is_none()
                {
                    known.status = end.status;
                }
            }
            None if facts.dials.len() >= LIST_MAX => {}
            None => facts.dials.push(Dial { by, at, number: None, end: Some(end) }),
        }
    }

    /// What the dial shows of the endpoints' sides; returns the number sent through a trunk.
    pub(super) fn learn_from_dial(
        &mut self,
        by: Option<ChannelIndex>,
        dest: ChannelIndex,
        dial_string: &str,
        exten_now: &str,
    ) -> Option<Box<str>> {
        let tracked = &self.channels[dest as usize];
        if tracked.facts.kind != name::Kind::Device {
            return None;
        }
        let endpoint = tracked.endpoint;
        let caller = by.map(|by| &self.channels[by as usize]);
        let exten = caller.map_or("", |c| &*c.facts.exten);
        // What its device dialled first, or what it was sent on to.
        let is_asked_for = |number| same_dialled(number, exten) || same_dialled(number, exten_now);
        let number = match dialled(dial_string, name::endpoint(&tracked.facts.name)) {
            Dialled::Number(number) => Some(number),
            Dialled::Address(number) if is_asked_for(number) => Some(number),
            Dialled::Address(_) if caller.is_some() => None,
            Dialled::Device => None,
            Dialled::Address(_) | Dialled::Unclear => return None,
        };
        let is_phone =
            |c: &&Tracked| c.facts.origin == Origin::Incoming && c.facts.kind == name::Kind::Device;
        // Who was there before we looked, and whose long number an employee's phone is about to show.
        let is_foreign = |c: &&Tracked| {
            let number = c.facts.number.as_deref().unwrap_or_default();
            c.facts.kind == name::Kind::Device && digits(number) >= OUTSIDE_DIGITS_MIN
        };
        let foreign = caller.filter(|c| !c.facts.announced).filter(is_foreign).map(|c| c.endpoint);
        let is_device = |c: &&Tracked| c.facts.kind == name::Kind::Device;
        let asked = if number.is_some() { caller.filter(is_device) } else { caller.filter(is_phone) };
        let asked = asked.map(|c| c.endpoint);
        let (of_dest, of_caller) = if let Some(number) = number {
            (Evidence::NumberDialled, is_asked_for(number).then_some(Evidence::DialledOut))
        } else {
            let is_long = digits(exten) >= OUTSIDE_DIGITS_MIN;
            (Evidence::DialledByName, is_long.then_some(Evidence::DirectNumber))
        };
        let number = number.map(|number| cut(number).into());
        self.sides.add(endpoint, of_dest);
        if let Some(caller) = foreign.filter(|_| of_dest == Evidence::DialledByName) {
            self.sides.add(caller, Evidence::ForeignCaller);
        }
        if let Some((caller, evidence)) = asked.zip(of_caller) {
            self.sides.add(caller, evidence);
        }
        number
    }

    pub(super) fn blind_transfer(
        &mut self,
        transferer: &event::Channel<'_>,
        transferee: Option<&event::Channel<'_>>,
        extension: &[u8],
        at: PbxTime,
    ) {
        let by = self.see(transferer, at);
        let Some(transferee) = transferee.map(|transferee| self.see(transferee, at)) else { return };
        self.unite(by, transferee);
        let extras = &mut self.channels[transferee as usize].facts.extras;
        if extras.transfers.len() < LIST_MAX && extras.transfers.last().is_none_or(|last| last.at != at) {
            extras.transfers.push(Transfer { at, by, to: kept(extension) });
        }
    }

    /// Two calls become one, whichever of the parties Asterisk names.
    pub(super) fn attended_transfer(&mut self, transfer: &AttendedTransfer<'_>, at: PbxTime) {
        let AttendedTransfer { first, second, transferee, target, local_one, local_two, .. } = transfer;
        let named = [first, second, transferee, target, local_one, local_two];
        let mut seen = named.into_iter().flatten().map(|channel| channel.uniqueid);
        let Some(anchor) = seen.next().and_then(|uniqueid| self.find_uniqueid(uniqueid)) else {
            for channel in named.into_iter().flatten() {
                self.touch(channel, at);
            }
            return;
        };
        for channel in named.into_iter().flatten() {
            let index = self.see(channel, at);
            self.unite(anchor, index);
        }
    }

    pub(super) fn pickup(&mut self, picker: &event::Channel<'_>, target: &event::Channel<'_>, at: PbxTime) {
        let (picker, target) = (self.see(picker, at), self.see(target, at));
        self.unite(picker, target);
        self.channels[picker as usize].facts.extras.picked_up.get_or_insert(at);
    }

    pub(super) fn parked(&mut self, parkee: &event::Channel<'_>, at: PbxTime) {
        self.mark(parkee, at, |extras| {
            extras.parked.get_or_insert(at);
        });
    }

    pub(super) fn unparked(
        &mut self,
        parkee: &event::Channel<'_>,
        retriever: Option<&event::Channel<'_>>,
        at: PbxTime,
    ) {
        let parkee = self.see(parkee, at);
        if let Some(retriever) = retriever {
            let retriever = self.see(retriever, at);
            self.unite(parkee, retriever);
        }
    }
}
