//! Pure: which stored calls a person wants to see.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::call::id::{AccountId, PbxName};
use crate::call::record::CallRecord;
use crate::call::side::{is_short, same_number};
use crate::outbox::queue::Phase;
use crate::outbox::schedule::Slip;
use crate::outbox::search::{Wanted, digits, has_extension};
use crate::time::PbxTime;

/// All that is given must hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    /// Those in which a call may be; all, when there are none.
    pub states: BTreeSet<Phase>,
    pub account: Option<AccountId>,
    pub pbx: Option<PbxName>,
    /// The outside party's number in any form, or its last digits.
    pub phone: Option<String>,
    /// An extension that rang, talked, or is responsible.
    pub extension: Option<String>,
    /// The label of a line, one of our numbers, or a trunk.
    pub line: Option<String>,
    /// It began then or later.
    pub from: Option<PbxTime>,
    /// It began before.
    pub to: Option<PbxTime>,
    /// What `explain` asks for.
    pub wanted: Option<Wanted>,
}

/// Fewer last digits of a number are no way to name one.
const TAIL_MIN: usize = 3;

/// The clocks of a PBX and of this host may differ by so much.
const CLOCKS: Duration = Duration::from_hours(24);

impl Filter {
    /// Whether a call in this phase can be meant.
    pub fn has_phase(&self, phase: Phase) -> bool {
        self.states.is_empty() || self.states.contains(&phase)
    }

    /// What can be told without the call itself.
    pub fn fits_slip(&self, slip: &Slip) -> bool {
        let is_account = self.account.as_ref().is_none_or(|account| *account == slip.account);
        let is_pbx = self.pbx.as_ref().is_none_or(|pbx| *pbx == slip.pbx);
        is_account && is_pbx && self.has_phase(slip.state.phase())
    }

    /// Whether the call began too early, whatever its record says: it came after its beginning.
    pub fn is_past(&self, slip: &Slip) -> bool {
        let from = self.from.map(|from| from.to_host(0).before(CLOCKS));
        from.is_some_and(|from| slip.enqueued_at < from)
    }

    pub fn fits(&self, record: &CallRecord) -> bool {
        self.phone.as_ref().is_none_or(|phone| has_phone(record, phone))
            && self.extension.as_ref().is_none_or(|extension| has_extension(record, extension))
            && self.line.as_ref().is_none_or(|line| is_on_line(record, line))
            && self.from.is_none_or(|from| record.started_at >= from)
            && self.to.is_none_or(|to| record.started_at < to)
            && self.wanted.as_ref().is_none_or(|wanted| wanted.fits(record))
    }

    /// The last digits that an outside number of every call that is meant has.
    pub fn number(&self) -> Option<String> {
        let wanted = self.wanted.as_ref().and_then(|wanted| match wanted {
            // A short one may be an extension.
            Wanted::Number(number) if !is_short(number) => Some(number.clone()),
            Wanted::Number(_) | Wanted::Named(_) | Wanted::Ended { .. } => None,
        });
        wanted.or_else(|| self.phone.as_deref().map(digits)).filter(|digits| digits.len() >= TAIL_MIN)
    }

    /// A piece of text that the JSON of every call that is meant has in it.
    pub fn mark(&self) -> Option<String> {
        let phone = self.phone.as_deref().map(Wanted::number);
        let mark = |wanted: &Wanted| wanted.mark().to_owned();
        self.wanted.as_ref().or(phone.as_ref()).map(mark).or_else(|| self.extension.clone())
    }
}

fn has_phone(record: &CallRecord, phone: &str) -> bool {
    let wanted = digits(phone);
    let known = [&record.phone, &record.phone_e164, &record.phone_raw].into_iter().flatten();
    known.into_iter().any(|known| {
        let is_tail = wanted.len() >= TAIL_MIN && digits(known).ends_with(&wanted);
        is_tail || same_number(known, phone)
    })
}

fn is_on_line(record: &CallRecord, line: &str) -> bool {
    let is_ours = record.did.as_ref().is_some_and(|did| same_number(did, line) || did == line);
    let names = [&record.line.label, &record.trunk].into_iter().flatten();
    is_ours || names.into_iter().any(|name| name == line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::sample;
    use crate::outbox::queue::{Seq, State};
    use crate::time::HostTime;

    fn record() -> CallRecord {
        let mut record = sample::call("1795337591.4").record;
        record.line.label = Some("Sales".to_owned());
        record
    }

    #[track_caller]
    fn check(filter: &Filter, expected: bool) {
        let record = record();
        assert_eq!(filter.fits(&record), expected, "{filter:?}");
        let json = serde_json::to_string(&record).unwrap();
        assert!(!expected || filter.mark().is_none_or(|mark| json.contains(&mark)), "{filter:?}: {json}");
    }

    fn phone(phone: &str) -> Filter {
        Filter { phone: Some(phone.to_owned()), ..Filter::default() }
    }

    #[test]
    fn a_call_is_found_by_its_number_or_its_last_digits() {
        for number in ["+7 (916) 123-45-68", "89161234568", "4568", "…4568"] {
            check(&phone(number), true);
        }
        for number in ["79161234567", "68", "4567", "", "101"] {
            check(&phone(number), false);
        }
    }

    #[test]
    fn a_call_is_found_by_extension_line_and_time() {
        let record = record();
        let extension =
            |extension: &str| Filter { extension: Some(extension.to_owned()), ..Filter::default() };
        check(&extension("101"), true);
        check(&extension("102"), true);
        check(&extension("10"), false);
        let line = |line: &str| Filter { line: Some(line.to_owned()), ..Filter::default() };
        for ours in ["Sales", record.did.as_deref().unwrap(), record.trunk.as_deref().unwrap()] {
            check(&line(ours), true);
        }
        check(&line("sales department"), false);
        let later = record.started_at.after(Duration::from_micros(1));
        let between = |from, to| Filter { from: Some(from), to: Some(to), ..Filter::default() };
        check(&between(record.started_at, later), true);
        check(&between(later, later.after(CLOCKS)), false);
        check(&between(PbxTime::from_micros(0), record.started_at), false);
        check(&Filter { wanted: Some(Wanted::parse("101")), ..Filter::default() }, true);
    }

    #[test]
    fn the_state_is_told_without_the_call() {
        let slip = Slip::new(Seq(1), &record(), record().started_at.to_host(0));
        let states =
            |states: &[Phase]| Filter { states: states.iter().copied().collect(), ..Filter::default() };
        assert!(states(&[]).fits_slip(&slip) && states(&[Phase::Dead, Phase::Pending]).fits_slip(&slip));
        assert!(!states(&[Phase::Dead]).fits_slip(&slip));
        let dead = State::Dead { reason: String::new(), at: HostTime::default() };
        assert!(states(&[Phase::Dead]).fits_slip(&Slip { state: dead, ..slip.clone() }));
        let account = |name: &str| Filter { account: AccountId::new(name).ok(), ..Filter::default() };
        assert!(account("default").fits_slip(&slip) && !account("other").fits_slip(&slip));
        let from = |from: PbxTime| Filter { from: Some(from), ..Filter::default() };
        assert!(!from(record().started_at).is_past(&slip), "it came after it began");
        assert!(from(record().started_at.after(CLOCKS + CLOCKS)).is_past(&slip));
    }
}
