//! Pure: who takes part: the legs of a call as people, each with a place in the ladder.

use crate::call::name;
use crate::call::record::{Leg, Role, Side, Timeline};
use crate::ops::screen::{columns, fit};
use crate::ops::words::Language;

/// The people of a call, in order of appearance.
#[derive(Debug)]
pub struct Cast {
    pub people: Vec<Person>,
    /// The person of each leg.
    of_leg: Vec<usize>,
    pub places: Vec<Place>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Person {
    /// In headings and sentences; what of it may be shown, cut.
    pub name: String,
    /// Under the name: the trunk, the device, whose phone it is.
    pub note: String,
    pub is_outside: bool,
    /// Index into [`Cast::places`]; many share the last one when there are too many.
    pub place: usize,
}

/// A column of the ladder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    pub title: String,
    pub note: String,
    pub width: usize,
}

/// Longest name in a sentence.
const NAME_MAX: usize = 20;
/// Places side by side; whoever comes later shares the last one.
const PLACES_MAX: usize = 7;
/// Columns for all places, so that thirty are left for the text.
const WIDTH_MAX: usize = 42;
/// Narrowest place: the line, four digits and a gap.
const PLACE_MIN: usize = 6;
/// A longer note under a name is cut: the text needs the room.
const NOTE_MAX: usize = 12;
/// Blanks between two places at least.
const GAP: usize = 2;

impl Cast {
    pub fn of(timeline: &Timeline, language: Language) -> Self {
        let mut keys: Vec<Key> = Vec::new();
        let mut people: Vec<Person> = Vec::new();
        let mut of_leg = Vec::with_capacity(timeline.legs.len());
        for leg in &timeline.legs {
            let key = Key::of(leg);
            let known = keys.iter().position(|known| *known == key);
            of_leg.push(known.unwrap_or(keys.len()));
            if known.is_none() {
                people.push(person(leg, &key, language));
                keys.push(key);
            }
        }
        let places = places(&mut people);
        Self { people, of_leg, places }
    }

    /// The person behind a leg; `None` for a leg that is not in the list.
    pub fn person(&self, leg: u16) -> Option<usize> {
        self.of_leg.get(usize::from(leg)).copied()
    }

    /// Where the line of a place stands, counted from the left of the first place.
    pub fn line_at(&self, place: usize) -> usize {
        self.places.iter().take(place).map(|place| place.width).sum()
    }

    pub fn width(&self) -> usize {
        self.places.iter().map(|place| place.width).sum()
    }
}

/// What makes two legs those of one person.
#[derive(Debug, Eq, PartialEq)]
enum Key {
    Party,
    Proxy(Option<String>),
    Extension(String),
    Number(String),
    Endpoint(String),
}

impl Key {
    fn of(leg: &Leg) -> Self {
        let endpoint = || Self::Endpoint(name::endpoint(&leg.channel).to_owned());
        match (&leg.role, leg.side, &leg.party) {
            (Some(Role::Party), _, _) => Self::Party,
            (Some(Role::Proxy(_)), _, number) => Self::Proxy(number.clone()),
            (None, Side::Inside, Some(extension)) => Self::Extension(extension.clone()),
            (None, Side::Outside, Some(number)) => Self::Number(number.clone()),
            (None, Side::Unknown | Side::Helper, _) | (None, _, None) => endpoint(),
        }
    }
}

fn person(leg: &Leg, key: &Key, language: Language) -> Person {
    let endpoint = name::endpoint(&leg.channel);
    let bare = name::bare(endpoint);
    let number = || match &leg.party {
        Some(number) => number.clone(),
        None => language.pick("anonymous", "аноним").to_owned(),
    };
    let (name, note) = match key {
        Key::Party | Key::Number(_) => (number(), bare.to_owned()),
        Key::Proxy(_) => match &leg.role {
            Some(Role::Proxy(Some(extension))) => {
                (number(), language.pick("of ", "тел. ").to_owned() + extension)
            }
            Some(Role::Proxy(None) | Role::Party) | None => (number(), bare.to_owned()),
        },
        Key::Extension(extension) if extension == bare => (extension.clone(), String::new()),
        Key::Extension(extension) => (extension.clone(), bare.to_owned()),
        Key::Endpoint(_) if leg.side == Side::Unknown => (bare.to_owned(), "?".to_owned()),
        Key::Endpoint(_) => (bare.to_owned(), String::new()),
    };
    let is_outside = match leg.side {
        Side::Outside => !matches!(key, Key::Proxy(_)),
        Side::Inside | Side::Helper | Side::Unknown => false,
    };
    Person { name: fit(&name, NAME_MAX), note: fit(&note, NAME_MAX), is_outside, place: 0 }
}

/// Gives each person a place, and each place a width.
fn places(people: &mut [Person]) -> Vec<Place> {
    let is_crowd = people.len() > PLACES_MAX;
    let alone = if is_crowd { PLACES_MAX - 1 } else { people.len() };
    let mut places: Vec<Place> = Vec::new();
    for (number, person) in people.iter_mut().enumerate() {
        person.place = number.min(alone);
        if number < alone {
            places.push(Place { title: person.name.clone(), note: person.note.clone(), width: 0 });
        }
    }
    if is_crowd {
        places.push(Place { title: format!("+{}", people.len() - alone), note: String::new(), width: 0 });
    }
    let mut longest = WIDTH_MAX;
    loop {
        for place in &mut places {
            let text = columns(&place.title).max(columns(&place.note).min(NOTE_MAX)).min(longest);
            place.width = (text + GAP).max(PLACE_MIN);
        }
        let all: usize = places.iter().map(|place| place.width).sum();
        if all <= WIDTH_MAX || longest == 0 {
            return places;
        }
        longest -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(channel: &str, side: Side, party: Option<&str>, role: Option<Role>) -> Leg {
        let (uniqueid, channel) = ("1.1".to_owned(), channel.to_owned());
        Leg { uniqueid, channel, side, party: party.map(str::to_owned), role, configured: false }
    }

    fn cast(legs: Vec<Leg>) -> Cast {
        Cast::of(&Timeline { legs, ..Timeline::default() }, Language::En)
    }

    #[test]
    fn legs_of_one_extension_and_of_one_customer_are_one_person() {
        let cast = cast(vec![
            leg("PJSIP/trunk-msk-00000001", Side::Outside, Some("79161234567"), Some(Role::Party)),
            leg("PJSIP/101-00000002", Side::Inside, Some("101"), None),
            leg("PJSIP/99101-00000003", Side::Inside, Some("101"), None),
            leg("PJSIP/trunk-spb-00000004", Side::Outside, Some("79161234567"), Some(Role::Party)),
            leg(
                "PJSIP/trunk-msk-00000005",
                Side::Outside,
                Some("79990000101"),
                Some(Role::Proxy(Some("101".into()))),
            ),
        ]);
        let names: Vec<_> = cast.people.iter().map(|person| (&*person.name, &*person.note)).collect();
        assert_eq!(names, [("79161234567", "trunk-msk"), ("101", ""), ("79990000101", "of 101")]);
        assert_eq!([0, 1, 2, 3, 4].map(|leg| cast.person(leg)), [0, 1, 1, 0, 2].map(Some));
        assert_eq!(cast.person(5), None);
    }

    #[test]
    fn the_places_leave_room_for_the_text_whatever_the_names() {
        for count in [1, 2, 5, 7, 8, 40] {
            let name = "営業".repeat(30);
            let legs = (0..count)
                .map(|number| leg("PJSIP/x-00000001", Side::Inside, Some(&format!("{number}{name}")), None));
            let cast = cast(legs.collect());
            assert!(cast.width() <= WIDTH_MAX && cast.places.len() <= PLACES_MAX, "{count}: {cast:?}");
            assert!(cast.people.iter().all(|person| person.place < cast.places.len()));
        }
    }
}
