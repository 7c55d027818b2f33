//! Pure: inside or outside? Nobody tells us which endpoints are trunks and which are extensions'
//! devices, so what the stream shows is weighed. Facts beat names: an endpoint through which a
//! number was dialled is a trunk, whatever it is called. The configuration goes before all of it.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::call::checkpoint::Unknown;
use crate::call::name;
use crate::call::record::Side;
use crate::call::side::evidence::{Evidence, Seen, WEAK_BELOW};

pub mod dialled;
pub mod evidence;
mod keep;
pub mod rules;
mod words;

/// An extension has at most this many digits, an outside number at least
/// [`OUTSIDE_DIGITS_MIN`].
pub const EXTENSION_DIGITS_MAX: usize = 6;
pub const OUTSIDE_DIGITS_MIN: usize = 7;

/// Endpoints remembered. A PBX has some thousands; a stream with more is hostile, and the sides of
/// its further endpoints stay unknown.
const ENDPOINTS_MAX: usize = 1 << 16;

/// Everything seen of every endpoint.
#[derive(Clone, Debug, Default)]
pub struct Sides {
    /// Digits of a number that is dialled without an area code, where the configuration names the area.
    local_digits: Option<usize>,
    endpoints: Vec<Endpoint>,
    by_name: HashTable<u32>,
    hasher: RandomState,
    /// Endpoints of which more is known than was written down, each once.
    changed: VecDeque<u32>,
}

/// Index of an endpoint in [`Sides`]; of none when there were too many.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct EndpointIndex(u32);

impl EndpointIndex {
    const FORGOTTEN: Self = Self(u32::MAX);
}

#[derive(Clone, Debug)]
struct Endpoint {
    /// `PJSIP/101`.
    name: Box<str>,
    seen: Seen,
    /// The extension that a hint gives it.
    hint: Option<Box<str>>,
    /// A short number with which it called.
    number: Option<Box<str>>,
    /// The first number with which it called.
    caller: Option<Box<str>>,
    /// It stands in `changed`.
    dirty: bool,
    /// What a later program wrote of it.
    unknown: Option<Box<Unknown>>,
}

/// A side and what speaks for it most.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verdict {
    pub side: Side,
    pub evidence: Evidence,
    /// Names alone could turn it over.
    pub weak: bool,
}

/// All that was seen of one endpoint, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Portrait {
    /// `PJSIP/101`.
    pub endpoint: String,
    pub verdict: Verdict,
    /// Of an inside endpoint.
    pub extension: Option<String>,
    pub seen: Vec<Evidence>,
}

impl Verdict {
    /// A verdict that no evidence can turn over.
    pub const fn certain(side: Side, evidence: Evidence) -> Self {
        Self { side, evidence, weak: false }
    }

    const UNKNOWN: Self = Self { side: Side::Unknown, evidence: Evidence::None, weak: true };
}

impl Sides {
    /// Finds or adds the endpoint of a channel.
    pub fn intern(&mut self, channel: &str) -> EndpointIndex {
        self.intern_endpoint(name::endpoint(channel))
    }

    /// Finds or adds an endpoint by its own name, which may end as a channel's counter would:
    /// `PJSIP/dect-11`.
    pub fn intern_endpoint(&mut self, name: &str) -> EndpointIndex {
        if let Some(found) = self.find(name) {
            return EndpointIndex(found);
        }
        if self.endpoints.len() >= ENDPOINTS_MAX {
            return EndpointIndex::FORGOTTEN;
        }
        let index = u32::try_from(self.endpoints.len()).expect("ENDPOINTS_MAX fits");
        self.endpoints.push(Endpoint::new(name));
        let (endpoints, hasher) = (&self.endpoints, &self.hasher);
        let hash = hasher.hash_one(name);
        self.by_name.insert_unique(hash, index, |i| hasher.hash_one(&*endpoints[*i as usize].name));
        self.changed.push_back(index);
        EndpointIndex(index)
    }

    fn find(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        self.by_name.find(hash, |i| &*self.endpoints[*i as usize].name == name).copied()
    }

    pub fn add(&mut self, endpoint: EndpointIndex, evidence: Evidence) {
        self.change(endpoint, |endpoint| endpoint.seen.add(evidence));
    }

    /// Numbers of the city have so many digits; others are extensions'.
    pub fn set_local_digits(&mut self, digits: Option<usize>) {
        self.local_digits = digits;
    }

    /// Whether it can only be an outside number.
    fn is_outside(&self, number: &str) -> bool {
        let digits = digits(number);
        digits >= OUTSIDE_DIGITS_MIN || Some(digits) == self.local_digits
    }

    /// The device called the PBX with `number` as caller, dialling `exten` in `context`.
    pub fn called_in(&mut self, index: EndpointIndex, number: Option<&str>, exten: &str, context: &str) {
        let (from_outside, to_outside) = (number.is_some_and(|n| self.is_outside(n)), self.is_outside(exten));
        self.change(index, |endpoint| {
            let kind = number.map(|number| endpoint.caller_kind(number, from_outside));
            match kind {
                Some(Caller::Own) => endpoint.seen.add(Evidence::OwnNumber),
                Some(Caller::Direct) => endpoint.seen.add(Evidence::OwnDirectNumber),
                Some(Caller::Foreign) => endpoint.seen.add(Evidence::ForeignCaller),
                Some(Caller::Inside) => endpoint.has_number(number),
                Some(Caller::Unclear) => {}
                None if to_outside => endpoint.seen.add(Evidence::NamelessCaller),
                None => {}
            }
            endpoint.is_called_from(number);
            if exten == "s" {
                endpoint.seen.add(Evidence::NamelessCaller);
            }
            endpoint.lives_in(words::of_home(context));
        });
    }

    /// The PBX made a channel to the device, whose own number and context these are.
    pub fn called(&mut self, index: EndpointIndex, number: Option<&str>, context: &str) {
        self.change(index, |endpoint| {
            endpoint.has_number(number);
            endpoint.lives_in(words::of_home(context));
        });
    }

    /// The device had called before we looked, and runs `context` now; the number may have been
    /// rewritten on the way, so only its own is believed.
    pub fn met_running(&mut self, index: EndpointIndex, number: Option<&str>, context: &str) {
        self.change(index, |endpoint| {
            if number == Some(name::bare(&endpoint.name)) {
                endpoint.seen.add(Evidence::OwnNumber);
            }
            endpoint.lives_in(words::of_running(context));
        });
    }

    /// The dial plan's hint: `device` (`PJSIP/101&Custom:DND101`) is extension `exten`.
    pub fn hint(&mut self, exten: &str, device: &str) {
        // Hints name some devices each; a longer name than Asterisk's own is none.
        const DEVICE_MAX: usize = 80;
        let devices = device.split(['&', ',']).filter(|d| d.contains('/') && d.len() <= DEVICE_MAX);
        for device in devices {
            let index = self.intern_endpoint(device);
            self.change(index, |endpoint| {
                endpoint.seen.add(Evidence::Hint);
                if endpoint.hint.as_deref() != Some(exten) {
                    endpoint.hint = Some(exten.into());
                }
            });
        }
    }

    /// The side by evidence alone.
    pub fn verdict(&self, endpoint: EndpointIndex) -> Verdict {
        let endpoint = self.endpoints.get(endpoint.0 as usize);
        endpoint.map_or(Verdict::UNKNOWN, Endpoint::verdict)
    }

    /// The extension that an inside endpoint belongs to: its hint, the extension whose second device
    /// it is, its name where that is a number, the number with which it calls, or its name. `number`
    /// is that of the channel itself.
    pub fn extension<'s>(&'s self, index: EndpointIndex, number: Option<&'s str>) -> &'s str {
        let Some(endpoint) = self.endpoints.get(index.0 as usize) else { return "" };
        if let Some(hint) = &endpoint.hint {
            return hint;
        }
        let bare = name::bare(&endpoint.name);
        let own = number.filter(|number| is_short(number)).or(endpoint.number.as_deref());
        // The name of an analogue port is its place on the card.
        if !is_short(bare) || name::technology(&endpoint.name) == "DAHDI" {
            return own.unwrap_or(bare);
        }
        let is_first =
            |first: &&str| own == Some(*first) || self.knows(name::technology(&endpoint.name), first);
        second_device_of(bare, own).filter(is_first).unwrap_or(bare)
    }

    /// Whether there is an endpoint of that name.
    fn knows(&self, technology: &str, bare: &str) -> bool {
        self.find(&format!("{technology}/{bare}")).is_some()
    }

    /// Every endpoint that was seen, in the order of its first event.
    pub fn portraits(&self) -> impl Iterator<Item = Portrait> {
        self.endpoints.iter().enumerate().filter(|(_, endpoint)| is_party(&endpoint.name)).map(
            |(index, endpoint)| {
                let index = EndpointIndex(u32::try_from(index).expect("ENDPOINTS_MAX fits"));
                let verdict = endpoint.verdict();
                let is_inside = verdict.side == Side::Inside;
                Portrait {
                    endpoint: endpoint.name.to_string(),
                    verdict,
                    extension: is_inside.then(|| self.extension(index, None).to_owned()),
                    seen: endpoint.seen.iter().collect(),
                }
            },
        )
    }

    /// Changes what is known of an endpoint, and notes it if that is news.
    fn change(&mut self, index: EndpointIndex, change: impl FnOnce(&mut Endpoint)) {
        let Some(endpoint) = self.endpoints.get_mut(index.0 as usize) else { return };
        let before = endpoint.state();
        change(endpoint);
        if endpoint.state() != before && !std::mem::replace(&mut endpoint.dirty, true) {
            self.changed.push_back(index.0);
        }
    }
}

/// What a caller's number says of the endpoint through which he calls.
enum Caller {
    /// It is the endpoint's name.
    Own,
    /// It is the direct outside number of the extension that the endpoint is named after.
    Direct,
    /// It is somebody else's outside number.
    Foreign,
    /// It is an extension's.
    Inside,
    /// It is the endpoint's name in another form: a line that shows its own number, or a phone.
    Unclear,
}

impl Endpoint {
    fn new(name: &str) -> Self {
        let mut seen = Seen::default();
        if is_short(name::bare(name)) {
            seen.add(Evidence::ShortName);
        }
        Self { name: name.into(), seen, hint: None, number: None, caller: None, dirty: true, unknown: None }
    }

    /// Differs whenever something new is known: texts are set once, or replaced by others.
    fn state(&self) -> (Seen, Option<*const u8>, bool, bool) {
        let hint = self.hint.as_deref().map(str::as_ptr);
        (self.seen, hint, self.number.is_some(), self.caller.is_some())
    }

    fn caller_kind(&self, number: &str, from_outside: bool) -> Caller {
        let bare = name::bare(&self.name);
        match number {
            own if own == bare => Caller::Own,
            same if from_outside && same_number(same, bare) => Caller::Unclear,
            direct if from_outside && is_direct_number_of(direct, bare) => Caller::Direct,
            _ if from_outside => Caller::Foreign,
            _ => Caller::Inside,
        }
    }

    /// A short number is the device's own, and that of an extension.
    fn has_number(&mut self, number: Option<&str>) {
        let Some(number) = number.filter(|number| is_short(number)) else { return };
        let is_own = number == name::bare(&self.name);
        self.seen.add(if is_own { Evidence::OwnNumber } else { Evidence::ShortNumber });
        if self.number.is_none() {
            self.number = Some(number.into());
        }
    }

    /// A phone has one number; whoever calls with another one calls through a trunk.
    fn is_called_from(&mut self, number: Option<&str>) {
        let Some(number) = number else { return };
        match &self.caller {
            Some(first) if **first != *number => self.seen.add(Evidence::ManyCallers),
            Some(_) => {}
            None => self.caller = Some(number.into()),
        }
    }

    fn lives_in(&mut self, side: Option<Side>) {
        match side {
            Some(Side::Outside) => self.seen.add(Evidence::TrunkContext),
            Some(Side::Inside) => self.seen.add(Evidence::InsideContext),
            Some(Side::Helper | Side::Unknown) | None => {}
        }
    }

    fn verdict(&self) -> Verdict {
        let (outside, inside) = (self.seen.sum(Side::Outside), self.seen.sum(Side::Inside));
        let weak = outside.0.abs_diff(inside.0) < WEAK_BELOW;
        match outside.0.cmp(&inside.0) {
            std::cmp::Ordering::Greater => Verdict { side: Side::Outside, evidence: outside.1, weak },
            std::cmp::Ordering::Less => Verdict { side: Side::Inside, evidence: inside.1, weak },
            std::cmp::Ordering::Equal => Verdict::UNKNOWN,
        }
    }
}

fn is_party(endpoint: &str) -> bool {
    name::kind(endpoint) == name::Kind::Device && endpoint.contains('/')
}

/// `101` of `99101`: FreePBX gives an extension's browser and softphone devices names of their own,
/// with 90, 98 or 99 in front. Two digits are an extension only where the device calls with them.
fn second_device_of<'s>(bare: &'s str, own: Option<&str>) -> Option<&'s str> {
    const EXTENSION_MIN: usize = 3;
    let rest = ["90", "98", "99"].iter().find_map(|prefix| bare.strip_prefix(prefix))?;
    (rest.len() >= EXTENSION_MIN || (is_short(rest) && own == Some(rest))).then_some(rest)
}

/// Whether `number` is the direct outside number of the extension `bare`: it ends with it.
fn is_direct_number_of(number: &str, bare: &str) -> bool {
    const SUFFIX_MIN: usize = 3;
    bare.len() >= SUFFIX_MIN && is_short(bare) && number.ends_with(bare)
}

/// Whether a name or number is as short as an extension's.
pub fn is_short(number: &str) -> bool {
    (2..=EXTENSION_DIGITS_MAX).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
}

/// How many digits a text has.
pub fn digits(number: &str) -> usize {
    number.bytes().filter(u8::is_ascii_digit).count()
}

/// Whether what was sent to the network is what was dialled: the dial plan puts prefixes and codes
/// before it, or takes them away.
pub fn same_dialled(sent: &str, dialled: &str) -> bool {
    let tail = |text: &str| {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).collect();
        digits.len().checked_sub(OUTSIDE_DIGITS_MIN).map(|at| digits[at..].to_vec())
    };
    tail(sent).is_some_and(|sent| tail(dialled) == Some(sent))
}

/// Equal in their last ten digits.
pub fn same_number(a: &str, b: &str) -> bool {
    const TAIL: usize = 10;
    let tail = |text: &'_ str| -> [u8; TAIL] {
        let mut tail = [0; TAIL];
        let digits = text.bytes().rev().filter(u8::is_ascii_digit);
        tail.iter_mut().zip(digits).for_each(|(place, digit)| *place = digit);
        tail
    };
    tail(a) == tail(b)
}

#[cfg(test)]
mod tests;
