//! Pure: who called whom, and who took over whose call.

use crate::ami::event::{self, AttendedTransfer, text};
use crate::call::facts::{Channel, ChannelIndex, Dial, DialEnd, DialStatus, Origin, Transfer};
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
    /// `exten_now` is where the caller is in the dial plan.
    pub(super) fn learn_from_dial(
        &mut self,
        by: Option<ChannelIndex>,
        dest: ChannelIndex,
        dial_string: &str,
        exten_now: &str,
    ) -> Option<Box<str>> {
        let Tracked { facts, endpoint, .. } = &self.channels[dest as usize];
        if facts.kind != name::Kind::Device {
            return None;
        }
        let caller = by.map(|by| &self.channels[by as usize]);
        let extens = [caller.map_or("", |caller| &*caller.facts.exten), exten_now];
        let is_asked_for = |number| extens.iter().any(|exten| same_dialled(number, exten));
        let number = match dialled(dial_string, name::endpoint(&facts.name)) {
            Dialled::Number(number) => Some(number),
            Dialled::Address(number) if is_asked_for(number) => Some(number),
            // A speed dial or somebody's mobile, or a phone whose registration is called so.
            Dialled::Address(number) if caller.is_some() => return Some(cut(number).into()),
            Dialled::Device => None,
            Dialled::Address(_) | Dialled::Unclear => return None,
        };
        let of_dest = if number.is_some() { Evidence::NumberDialled } else { Evidence::DialledByName };
        let of_caller = match (number, caller.filter(|caller| caller.facts.kind == name::Kind::Device)) {
            (_, None) => [None, None],
            (Some(number), Some(_)) => [is_asked_for(number).then_some(Evidence::DialledOut), None],
            (None, Some(caller)) => shown_to_a_phone(&caller.facts),
        };
        let number = number.map(|number| cut(number).into());
        let (dest, caller) = (*endpoint, caller.map(|caller| caller.endpoint));
        self.sides.add(dest, of_dest);
        for (caller, evidence) in caller.into_iter().flat_map(|c| of_caller.map(|evidence| (c, evidence))) {
            if let Some(evidence) = evidence {
                self.sides.add(caller, evidence);
            }
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

/// What a caller shows of its side by reaching an employee's phone: it called a long number, which is
/// then ours, or it was there before we looked and the phone is about to show its long number.
fn shown_to_a_phone(caller: &Channel) -> [Option<Evidence>; 2] {
    let is_long = |number: &str| digits(number) >= OUTSIDE_DIGITS_MIN;
    let direct = caller.origin == Origin::Incoming && is_long(&caller.exten);
    let foreign = !caller.announced && caller.number.as_deref().is_some_and(is_long);
    [direct.then_some(Evidence::DirectNumber), foreign.then_some(Evidence::ForeignCaller)]
}
