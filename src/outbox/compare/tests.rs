use proptest::prelude::*;

use super::*;
use crate::amo::notes::Kind;

fn ours(seq: u64, phone: &str, from: i64, to: i64) -> Ours {
    Ours {
        seq: Seq(seq),
        uniq: format!("default-{seq}.1"),
        phone: phone.to_owned(),
        inbound: true,
        from,
        to,
        duration: 10,
        status: Some(4),
        user: Some(504_141),
        has_link: false,
    }
}

pub(crate) fn note(id: u64, phone: &str, at: i64) -> FeedNote {
    FeedNote {
        id,
        kind: Kind::Contact,
        entity: Some(1),
        inbound: true,
        at,
        stored_at: at,
        phone: phone.to_owned(),
        duration: Some(10),
        status: Some(4),
        user: Some(504_141),
        source: "widget".to_owned(),
        uniq: None,
        has_link: false,
    }
}

const PHONE: &str = "+79161234567";

/// Which notes, by id, are of a call from 1000 to 1030.
#[track_caller]
fn check(notes: &[FeedNote], expected: &[u64]) {
    let pairs = pair(&[ours(1, PHONE, 1000, 1030)], notes);
    let found: Vec<u64> = pairs.of_call[0].iter().map(|place| notes[*place].id).collect();
    assert_eq!(found, expected, "{notes:?}");
    assert_eq!(pairs.strangers.len() + found.len(), notes.len());
}

#[test]
fn a_note_is_of_the_call_with_its_number_at_its_time() {
    check(&[note(7, PHONE, 1000)], &[7]);
    check(&[note(7, "8 (916) 123-45-67", 1031)], &[7]);
    check(&[note(7, "9161234567", 1015)], &[7]);
    check(&[note(7, PHONE, 940)], &[7]);
    check(&[note(7, PHONE, 939)], &[]);
    check(&[note(7, PHONE, 1150)], &[7]);
    check(&[note(7, PHONE, 1151)], &[]);
    check(&[note(7, "+79161234568", 1000)], &[]);
    check(&[note(7, "4567", 1000)], &[]);
    check(&[note(7, "", 1000)], &[]);
}

#[test]
fn the_nearest_comes_first_and_what_goes_the_other_way_last() {
    let other_way = FeedNote { inbound: false, ..note(5, PHONE, 1000) };
    check(&[other_way, note(6, PHONE, 1010), note(7, PHONE, 1001)], &[7, 6, 5]);
    // Written by us, whenever that was.
    let own = FeedNote { uniq: Some("default-1.1".to_owned()), ..note(9, PHONE, 5000) };
    check(&[note(7, PHONE, 1001), own], &[9, 7]);
}

#[test]
fn two_calls_of_one_number_have_a_note_each() {
    let calls = [ours(1, PHONE, 1000, 1010), ours(2, PHONE, 1020, 1040)];
    let notes = [note(7, PHONE, 1021), note(8, PHONE, 1024)];
    let pairs = pair(&calls, &notes);
    // The second one is nearer to both; the first one is not left without.
    assert_eq!(pairs.of_call, [vec![1], vec![0]]);
    let more = [note(7, PHONE, 1021), note(8, PHONE, 1000), note(9, PHONE, 1022)];
    assert_eq!(pair(&calls, &more).of_call, [vec![1], vec![0, 2]]);
}

#[test]
fn a_note_that_two_pages_have_is_one() {
    let notes = [note(7, PHONE, 1000), note(7, PHONE, 1000)];
    let pairs = pair(&[ours(1, PHONE, 1000, 1030)], &notes);
    assert_eq!((pairs.of_call, pairs.strangers), (vec![vec![0]], vec![]));
}

#[track_caller]
fn check_differences(change: impl Fn(&mut FeedNote), expected: &[Difference]) {
    let mut theirs = note(7, PHONE, 1000);
    change(&mut theirs);
    let compared = Compared::new(&ours(1, PHONE, 1000, 1030), &[&theirs], HostTime::default());
    assert_eq!(compared.differences, expected);
    let verdict = if expected.is_empty() { Verdict::Same } else { Verdict::Different };
    assert_eq!(compared.verdict(), verdict);
}

#[test]
fn what_differs_is_named() {
    check_differences(|_| {}, &[]);
    check_differences(|note| note.inbound = false, &[Difference::Direction { ours_inbound: true }]);
    check_differences(|note| note.duration = Some(12), &[]);
    check_differences(|note| note.duration = Some(13), &[Difference::Duration { ours: 10, theirs: 13 }]);
    check_differences(|note| note.duration = None, &[Difference::Duration { ours: 10, theirs: 0 }]);
    check_differences(|note| note.status = Some(6), &[Difference::Status { ours: 4, theirs: 6 }]);
    check_differences(|note| note.status = None, &[]);
    check_differences(|note| note.user = Some(7), &[Difference::Responsible { ours: 504_141, theirs: 7 }]);
    check_differences(|note| note.user = None, &[]);
    let forms = |theirs: &str| Difference::PhoneForm { ours: "+7".to_owned(), theirs: theirs.to_owned() };
    check_differences(|note| note.phone = "8 916 123-45-67".to_owned(), &[forms("8")]);
    check_differences(|note| note.phone = "9161234567".to_owned(), &[forms("")]);
    check_differences(|note| note.phone = "+7 (916) 123 45 67".to_owned(), &[]);
    check_differences(|note| note.has_link = true, &[Difference::Link { ours: false }]);
}

#[test]
fn several_notes_of_a_call_are_counted_and_a_few_are_kept() {
    let (call, notes) = (ours(1, PHONE, 1000, 1030), [1, 2, 3, 4, 5, 6].map(|id| note(id, PHONE, 1000)));
    let notes: Vec<&FeedNote> = notes.iter().collect();
    let compared = Compared::new(&call, &notes, HostTime::default());
    assert_eq!(compared.differences, [Difference::Doubled { notes: 6 }]);
    assert_eq!((compared.notes.len(), compared.more), (TWINS_MAX, 2));
    assert_eq!(Compared::new(&call, &[], HostTime::default()).verdict(), Verdict::Missing);
    let beside = Compared::beside(&notes, HostTime::default());
    assert_eq!((beside.notes, beside.differences), (compared.notes, vec![]));
}

#[test]
fn a_comparison_is_read_as_it_was_kept_and_later_words_are_stepped_over() {
    let compared = Compared::new(
        &ours(1, PHONE, 1000, 1030),
        &[&FeedNote { source: String::new(), status: Some(6), ..note(7, PHONE, 1000) }],
        HostTime::from_micros(5),
    );
    assert_eq!(compared.notes[0].source, UNNAMED);
    let kept = serde_json::to_string(&compared).unwrap();
    assert_eq!(serde_json::from_str::<Compared>(&kept).unwrap(), compared);
    let later = kept.replace(r#""field":"status""#, r#""field":"mood""#);
    assert_eq!(serde_json::from_str::<Compared>(&later).unwrap().differences, [Difference::Other]);
}

/// Few numbers and a short time, so that very much collides.
fn some() -> impl Strategy<Value = (Vec<Ours>, Vec<FeedNote>)> {
    let number = || (0..3_u8).prop_map(|last| format!("+7916123456{last}"));
    let call = (number(), 0..600_i64, 0..90_i64, any::<bool>());
    let calls = prop::collection::vec(call, 0..8).prop_map(|calls| {
        let call = |(seq, (phone, from, length, inbound)): (usize, (String, i64, i64, bool))| Ours {
            inbound,
            ..ours(seq as u64, &phone, from, from + length)
        };
        calls.into_iter().enumerate().map(call).collect::<Vec<_>>()
    });
    let notes = prop::collection::vec((number(), 0..900_i64, any::<bool>()), 0..12).prop_map(|notes| {
        let note = |(id, (phone, at, inbound)): (usize, (String, i64, bool))| FeedNote {
            inbound,
            ..note(id as u64, &phone, at)
        };
        notes.into_iter().enumerate().map(note).collect::<Vec<_>>()
    });
    (calls, notes)
}

/// The pairs by the names of calls and notes, whatever their places.
fn named(calls: &[Ours], notes: &[FeedNote]) -> BTreeMap<Seq, Vec<u64>> {
    let pairs = pair(calls, notes);
    let ids = |places: &Vec<usize>| places.iter().map(|place| notes[*place].id).collect();
    calls.iter().zip(&pairs.of_call).map(|(call, places)| (call.seq, ids(places))).collect()
}

proptest! {
    #[test]
    fn no_note_is_used_twice_or_lost((calls, notes) in some()) {
        let pairs = pair(&calls, &notes);
        let mut places: Vec<usize> = pairs.of_call.iter().flatten().copied().collect();
        places.extend(&pairs.strangers);
        places.sort_unstable();
        prop_assert_eq!(places, (0..notes.len()).collect::<Vec<_>>());
        for (call, places) in calls.iter().zip(&pairs.of_call) {
            for place in places {
                prop_assert!(distance(call, notes[*place].at).is_some());
                prop_assert_eq!(tail(&call.phone), tail(&notes[*place].phone));
            }
        }
    }

    #[test]
    fn a_stranger_fits_no_call((calls, notes) in some()) {
        for place in pair(&calls, &notes).strangers {
            let theirs = &notes[place];
            let fits = |call: &Ours| {
                tail(&call.phone) == tail(&theirs.phone) && distance(call, theirs.at).is_some()
            };
            prop_assert!(!calls.iter().any(fits));
        }
    }

    #[test]
    fn the_order_of_calls_and_notes_says_nothing(
        ((calls, notes), seed) in (some(), any::<u64>())
    ) {
        let expected = named(&calls, &notes);
        let (mut calls, mut notes) = (calls, notes);
        let mut random = fastrand::Rng::with_seed(seed);
        random.shuffle(&mut calls);
        random.shuffle(&mut notes);
        prop_assert_eq!(named(&calls, &notes), expected);
    }
}
