//! Pure: inside or outside? Nobody tells us which endpoints are trunks and which are extensions'
//! devices, so what the stream shows is weighed. Facts beat names: an endpoint through which a
//! number was dialled is a trunk, whatever it is called.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use crate::call::name;
use crate::call::record::Side;

/// What was seen of an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Nothing.
    None,
    /// A Local half, a spy, external media.
    Helper,
    /// A number was dialled through it (`PJSIP/79161234567@trunk`, `SIP/trunk/79161234567`).
    NumberDialled,
    /// It called in with numbers that are not its own.
    ForeignCaller,
    /// It called a long number and reached an extension: that number is ours.
    DirectNumber,
    /// It called in with no number, or to `s`.
    NamelessCaller,
    /// Its calls come into a context that is named for trunks.
    TrunkContext,
    /// A hint of the dial plan names it.
    Hint,
    /// A queue called it as a member.
    QueueMember,
    /// It was dialled by its name alone.
    DialledByName,
    /// It called with its own name as number.
    OwnNumber,
    /// Its calls come into a context that is named for extensions.
    InsideContext,
    /// Its name is a short number.
    ShortName,
}

/// How much each piece weighs, and for which side. A strong fact outweighs all names together.
const WEIGHTS: [(Evidence, Side, u32); 11] = [
    (Evidence::NumberDialled, Side::Outside, 16),
    (Evidence::ForeignCaller, Side::Outside, 4),
    (Evidence::DirectNumber, Side::Outside, 8),
    (Evidence::NamelessCaller, Side::Outside, 2),
    (Evidence::TrunkContext, Side::Outside, 3),
    (Evidence::Hint, Side::Inside, 16),
    (Evidence::QueueMember, Side::Inside, 12),
    (Evidence::DialledByName, Side::Inside, 10),
    (Evidence::OwnNumber, Side::Inside, 8),
    (Evidence::InsideContext, Side::Inside, 3),
    (Evidence::ShortName, Side::Inside, 1),
];

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
    endpoints: Vec<Endpoint>,
    by_name: HashTable<u32>,
    hasher: RandomState,
}

/// Index of an endpoint in [`Sides`]; of none when there were too many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EndpointIndex(u32);

impl EndpointIndex {
    const FORGOTTEN: Self = Self(u32::MAX);
}

#[derive(Clone, Debug)]
struct Endpoint {
    /// `PJSIP/101`.
    name: Box<str>,
    /// One bit for each of [`Evidence`].
    seen: u16,
    /// The extension that a hint gives it.
    hint: Option<Box<str>>,
    /// A short number with which it called.
    number: Option<Box<str>>,
}

/// A side and what speaks for it most.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verdict {
    pub side: Side,
    pub evidence: Evidence,
}

impl Sides {
    /// Finds or adds the endpoint of a channel.
    pub fn intern(&mut self, channel: &str) -> EndpointIndex {
        let name = name::endpoint(channel);
        let hash = self.hasher.hash_one(name);
        if let Some(&found) = self.by_name.find(hash, |i| &*self.endpoints[*i as usize].name == name) {
            return EndpointIndex(found);
        }
        if self.endpoints.len() >= ENDPOINTS_MAX {
            return EndpointIndex::FORGOTTEN;
        }
        let index = u32::try_from(self.endpoints.len()).expect("ENDPOINTS_MAX fits");
        let mut endpoint = Endpoint { name: name.into(), seen: 0, hint: None, number: None };
        if is_short(name::bare(name)) {
            endpoint.add(Evidence::ShortName);
        }
        self.endpoints.push(endpoint);
        let (endpoints, hasher) = (&self.endpoints, &self.hasher);
        self.by_name.insert_unique(hash, index, |i| hasher.hash_one(&*endpoints[*i as usize].name));
        EndpointIndex(index)
    }

    pub fn add(&mut self, endpoint: EndpointIndex, evidence: Evidence) {
        if let Some(endpoint) = self.endpoint(endpoint) {
            endpoint.add(evidence);
        }
    }

    /// The device called the PBX with `number` as caller, dialling `exten` in `context`.
    pub fn called_in(&mut self, index: EndpointIndex, number: Option<&str>, exten: &str, context: &str) {
        let Some(endpoint) = self.endpoint(index) else { return };
        let bare = name::bare(&endpoint.name);
        match number {
            Some(number) if is_short(number) => {
                if number == bare {
                    endpoint.add(Evidence::OwnNumber);
                }
                if endpoint.number.is_none() {
                    endpoint.number = Some(number.into());
                }
            }
            Some(number) if digits(number) >= OUTSIDE_DIGITS_MIN && !same_number(number, bare) => {
                endpoint.add(Evidence::ForeignCaller);
            }
            Some(_) => {}
            None if exten == "s" || digits(exten) >= OUTSIDE_DIGITS_MIN => {
                endpoint.add(Evidence::NamelessCaller);
            }
            None => {}
        }
        if exten == "s" {
            endpoint.add(Evidence::NamelessCaller);
        }
        match context_side(context) {
            Some(Side::Outside) => endpoint.add(Evidence::TrunkContext),
            Some(_) => endpoint.add(Evidence::InsideContext),
            None => {}
        }
    }

    /// The dial plan's hint: `device` (`PJSIP/101&Custom:DND101`) is extension `exten`.
    pub fn hint(&mut self, exten: &str, device: &str) {
        for device in device.split(['&', ',']).filter(|d| d.contains('/')) {
            let index = self.intern(device);
            if let Some(endpoint) = self.endpoint(index) {
                endpoint.add(Evidence::Hint);
                endpoint.hint = Some(exten.into());
            }
        }
    }

    pub fn verdict(&self, endpoint: EndpointIndex) -> Verdict {
        let unknown = Verdict { side: Side::Unknown, evidence: Evidence::None };
        let Some(seen) = self.endpoints.get(endpoint.0 as usize) else { return unknown };
        let weigh = |wanted: Side| {
            let found = WEIGHTS.iter().filter(|(evidence, side, _)| *side == wanted && seen.has(*evidence));
            let heaviest = found.clone().max_by_key(|(_, _, weight)| *weight).map(|(evidence, ..)| *evidence);
            (found.map(|(_, _, weight)| weight).sum::<u32>(), heaviest.unwrap_or(Evidence::None))
        };
        let (outside, inside) = (weigh(Side::Outside), weigh(Side::Inside));
        match outside.0.cmp(&inside.0) {
            std::cmp::Ordering::Greater => Verdict { side: Side::Outside, evidence: outside.1 },
            std::cmp::Ordering::Less => Verdict { side: Side::Inside, evidence: inside.1 },
            std::cmp::Ordering::Equal => unknown,
        }
    }

    /// The extension that an inside endpoint belongs to: its hint, its name where that is a
    /// number, the number with which it calls, or its name.
    pub fn extension(&self, index: EndpointIndex) -> &str {
        let Some(endpoint) = self.endpoints.get(index.0 as usize) else { return "" };
        let bare = name::bare(&endpoint.name);
        if let Some(hint) = &endpoint.hint {
            return hint;
        }
        match &endpoint.number {
            Some(number) if !is_short(bare) => number,
            Some(_) | None => bare,
        }
    }

    fn endpoint(&mut self, index: EndpointIndex) -> Option<&mut Endpoint> {
        self.endpoints.get_mut(index.0 as usize)
    }
}

impl Endpoint {
    fn add(&mut self, evidence: Evidence) {
        self.seen |= 1 << (evidence as u16);
    }

    fn has(&self, evidence: Evidence) -> bool {
        self.seen & (1 << (evidence as u16)) != 0
    }
}

/// What a `DialString` says of the endpoint that was dialled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialled<'s> {
    /// This number, through the endpoint.
    Number(&'s str),
    /// The endpoint itself.
    Device,
    /// Neither can be told.
    Unclear,
}

/// Reads `DialString` (`number@endpoint`, `endpoint/number`, `endpoint`, `endpoint/sip:…`, with or
/// without the technology in front) for a channel of `endpoint` (`PJSIP/trunk-msk`).
pub fn dialled<'s>(dial_string: &'s str, endpoint: &str) -> Dialled<'s> {
    let (technology, bare) = (name::technology(endpoint), name::bare(endpoint));
    let rest =
        dial_string.strip_prefix(technology).and_then(|rest| rest.strip_prefix('/')).unwrap_or(dial_string);
    let rest = rest.split(['^', '?']).next().unwrap_or(rest);
    if rest == bare {
        return Dialled::Device;
    }
    if let Some(number) = rest.strip_suffix(bare).and_then(|rest| rest.strip_suffix('@')) {
        return if number == bare { Dialled::Device } else { number_or_unclear(number) };
    }
    // A user and a password may stand before an IAX2 peer.
    let peer = rest.rsplit_once('@').map_or(rest, |(_, peer)| peer);
    match rest.strip_prefix(bare).or_else(|| peer.strip_prefix(bare)).and_then(|rest| rest.strip_prefix('/'))
    {
        Some(address) if address.starts_with("sip:") || address.starts_with("sips:") => Dialled::Device,
        Some(number) => number_or_unclear(number.split('/').next().unwrap_or(number)),
        // Groups and spans: `g1/79161234567` becomes a channel of some other name.
        None => match rest.split_once('/') {
            Some((group, number)) if !group.contains('@') => number_or_unclear(number),
            _ => Dialled::Unclear,
        },
    }
}

fn number_or_unclear(number: &str) -> Dialled<'_> {
    if digits(number) > 0 { Dialled::Number(number) } else { Dialled::Unclear }
}

/// Which side a context's name speaks of, where it speaks at all.
fn context_side(context: &str) -> Option<Side> {
    const OUTSIDE: [&str; 9] = [
        "trunk",
        "pstn",
        "from-did",
        "incoming",
        "inbound",
        "external",
        "provider",
        "from-outside",
        "ext-did",
    ];
    const INSIDE: [&str; 8] =
        ["internal", "from-inside", "users", "phones", "extensions", "local-", "office", "outgoing"];
    let lower = context.to_ascii_lowercase();
    let speaks = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match (speaks(&OUTSIDE), speaks(&INSIDE)) {
        (true, false) => Some(Side::Outside),
        (false, true) => Some(Side::Inside),
        _ => None,
    }
}

/// Whether a name or number is as short as an extension's.
pub fn is_short(number: &str) -> bool {
    (2..=EXTENSION_DIGITS_MAX).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
}

fn digits(number: &str) -> usize {
    number.bytes().filter(u8::is_ascii_digit).count()
}

/// Equal in their last ten digits.
fn same_number(a: &str, b: &str) -> bool {
    let tail = |text: &str| {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).collect();
        digits[digits.len().saturating_sub(10)..].to_vec()
    };
    tail(a) == tail(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dial_string: &str, endpoint: &str, expected: Dialled<'_>) {
        assert_eq!(dialled(dial_string, endpoint), expected, "{dial_string} to {endpoint}");
    }

    #[test]
    fn a_dial_string_tells_a_trunk_from_a_device() {
        check("101", "PJSIP/101", Dialled::Device);
        check("PJSIP/101", "PJSIP/101", Dialled::Device);
        check("101/sip:101@127.0.0.1:5101", "PJSIP/101", Dialled::Device);
        check("79161234567@trunk-msk", "PJSIP/trunk-msk", Dialled::Number("79161234567"));
        check("trunk-msk/79161234567", "SIP/trunk-msk", Dialled::Number("79161234567"));
        check("SIP/trunk-msk/79161234567", "SIP/trunk-msk", Dialled::Number("79161234567"));
        check("user:pass@peer/79161234567", "IAX2/peer", Dialled::Number("79161234567"));
        check("g1/79161234567", "DAHDI/i1/79161234567", Dialled::Number("79161234567"));
        check("79161234567@74951234567", "PJSIP/74951234567", Dialled::Number("79161234567"));
        check("", "PJSIP/101", Dialled::Unclear);
    }

    #[test]
    fn facts_beat_the_shape_of_a_name() {
        let mut sides = Sides::default();
        let numeric_trunk = sides.intern("PJSIP/100234-00000001");
        assert_eq!(sides.verdict(numeric_trunk).side, Side::Inside);
        sides.called_in(numeric_trunk, Some("79161234567"), "74957000101", "ctx");
        assert_eq!(
            sides.verdict(numeric_trunk),
            Verdict { side: Side::Outside, evidence: Evidence::ForeignCaller }
        );
    }

    #[test]
    fn a_device_that_calls_with_its_own_number_is_inside() {
        let mut sides = Sides::default();
        let phone = sides.intern("PJSIP/101-00000001");
        sides.called_in(phone, Some("101"), "89161234567", "whatever");
        assert_eq!(sides.verdict(phone), Verdict { side: Side::Inside, evidence: Evidence::OwnNumber });
    }

    #[test]
    fn nothing_seen_is_unknown() {
        let mut sides = Sides::default();
        let endpoint = sides.intern("PJSIP/alice-00000001");
        assert_eq!(sides.verdict(endpoint).side, Side::Unknown);
    }

    #[test]
    fn one_endpoint_too_many_is_unknown_and_spoils_no_other() {
        let mut sides = Sides::default();
        for number in 0..ENDPOINTS_MAX {
            sides.intern(&format!("PJSIP/peer{number}x"));
        }
        let (first, over) = (sides.intern("PJSIP/peer0x"), sides.intern("PJSIP/101-00000001"));
        sides.add(over, Evidence::NumberDialled);
        sides.called_in(over, Some("79161234567"), "s", "from-trunk");
        assert_eq!(sides.verdict(over).side, Side::Unknown);
        assert_eq!(sides.verdict(first).side, Side::Unknown);
    }

    #[test]
    fn a_hint_names_the_extension() {
        let mut sides = Sides::default();
        sides.hint("101", "PJSIP/alice&Custom:DND101");
        let endpoint = sides.intern("PJSIP/alice-00000001");
        assert_eq!((sides.verdict(endpoint).side, sides.extension(endpoint)), (Side::Inside, "101"));
    }
}
