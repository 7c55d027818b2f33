//! Pure: who heard whom, and who gave the outside party to whom.
//!
//! Asterisk tells of an attended transfer with half of its parties missing, and of one that the
//! phones make by themselves not at all. What it comes to is told by who heard whom: an employee
//! called a colleague, and from the moment in which he is gone the colleague has the outside party.

use crate::call::facts::{BridgeKind, CallFacts, Channel};
use crate::call::record::{Exchange, Moment, Side, What};
use crate::call::talk::{self, Talk};
use crate::call::timeline::{Findings, Legs, caller};
use crate::time::PbxTime;

/// Exchanges that are kept of one call.
const EXCHANGES_MAX: usize = 32;
/// Employees of one call among whom exchanges are looked for; a call with more is a conference.
const COLLEAGUES_MAX: usize = 12;

/// An exchange and whose it is.
pub(super) struct Told {
    pub(super) exchange: Exchange,
    channel: usize,
    /// With the outside party; else among colleagues.
    with_party: bool,
}

/// Everybody's time with the outside party, and that of colleagues with one another.
pub(super) fn exchanges(facts: &CallFacts, findings: Findings<'_>, legs: &Legs) -> Vec<Told> {
    let told = |talk: &Talk, with: usize, with_party: bool| {
        let exchange = Exchange {
            leg: legs.number(talk.channel)?,
            with: legs.number(with)?,
            from: talk.from,
            to: talk.to,
        };
        Some(Told { exchange, channel: talk.channel, with_party })
    };
    let party = findings.talks.iter().filter_map(|talk| {
        let with = findings.party.iter().rfind(|leg| was_bridged(&facts.channels[**leg], talk));
        told(talk, *with.or(findings.party.first())?, true)
    });
    let mut all: Vec<Told> = party.collect();
    let colleagues = colleagues(facts, findings.party);
    for (place, first) in colleagues.iter().enumerate() {
        let others = &colleagues[place + 1..];
        let talks = talk::talks(facts, &[*first], |channel| others.contains(&channel));
        all.extend(talks.iter().filter_map(|talk| told(talk, *first, false)));
    }
    all.sort_by_key(|told| (told.exchange.from, !told.with_party, told.exchange.leg));
    all.truncate(EXCHANGES_MAX);
    all
}

/// Where an employee's time with the outside party ends and that of a colleague whom he had called
/// goes on or follows.
pub(super) fn handovers(facts: &CallFacts, told: &[Told], legs: &Legs) -> Vec<Moment> {
    let with_party = || told.iter().filter(|told| told.with_party);
    let handover = |from: &Told| {
        let end = from.exchange.to;
        let last = with_party().filter(|other| same_person(facts, other.channel, from.channel));
        if last.map(|other| other.exchange.to).max() != Some(end) {
            return None; // he comes back
        }
        let to = with_party().find(|to| {
            to.exchange.to > end
                && !same_person(facts, to.channel, from.channel)
                && called_by(facts, to.channel, from.channel, end)
        })?;
        let leg = legs.number(from.channel)?;
        Some(Moment { at: end, leg, with: legs.number(to.channel), what: What::HandedOver })
    };
    with_party().filter_map(handover).collect()
}

/// Real inside channels besides `party` that met somebody, when there are two of them or more.
fn colleagues(facts: &CallFacts, party: &[usize]) -> Vec<usize> {
    let met = |channel: &Channel| channel.stays.iter().any(|stay| stay.kind == BridgeKind::Mixing);
    let inside = facts.channels.iter().enumerate().filter(|(at, channel)| {
        channel.side == Side::Inside && !channel.guest && met(channel) && !party.contains(at)
    });
    let colleagues: Vec<usize> = inside.map(|(at, _)| at).take(COLLEAGUES_MAX).collect();
    if colleagues.len() < 2 { Vec::new() } else { colleagues }
}

fn was_bridged(leg: &Channel, talk: &Talk) -> bool {
    leg.stays.iter().any(|stay| stay.from <= talk.from && stay.to.is_none_or(|to| to >= talk.from))
}

fn same_person(facts: &CallFacts, a: usize, b: usize) -> bool {
    let extension = |channel: usize| facts.channels[channel].extension.as_deref();
    a == b || (extension(a).is_some() && extension(a) == extension(b))
}

/// Whether the person on `person` had called `channel` before `end`.
fn called_by(facts: &CallFacts, channel: usize, person: usize, end: PbxTime) -> bool {
    let mut dials = facts.channels[channel].dials.iter().filter(|dial| dial.at <= end);
    dials.any(|dial| caller(facts, dial).is_some_and(|by| same_person(facts, by, person)))
}
