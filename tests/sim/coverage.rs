//! What the worlds have been through, as a table: state × answer × crash point.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::answers::{Answer, ODD_POSTS, ODD_READS, USUAL_POSTS};
use crate::disk::{LEFT, Left};

/// What the calls of an exchange were in when it began.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum State {
    /// Never posted before.
    Fresh,
    /// Posted before, without success.
    Again,
    Parked,
    /// Their outcome is unknown: they are looked for.
    Unknown,
}

/// How far an exchange came before the process died.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Point {
    /// It did not die.
    #[default]
    None,
    /// Before the intent.
    Leased,
    /// The intent's group is open.
    IntentOpen,
    /// The intent is durable, the request not sent.
    Intended,
    /// The request is out.
    Flying,
    /// The answer was read.
    Answered,
    /// The group with the outcome is open.
    SettleOpen,
    /// The outcome is durable, and nobody has heard.
    Settled,
}

/// What came of an exchange.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Came {
    /// It did not come to a request.
    NoRequest,
    /// A POST.
    Posted(Answer),
    /// A search that found all.
    Found,
    /// A search that found some.
    FoundSome,
    /// A search that found nothing.
    FoundNone,
    /// A search that was not answered as it should.
    Looked(Answer),
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Moment {
    NotBegun,
    Ringing,
    Talking,
    Ended,
    OnItsWay,
    Durable,
}

const MOMENTS: [Moment; 6] =
    [Moment::NotBegun, Moment::Ringing, Moment::Talking, Moment::Ended, Moment::OnItsWay, Moment::Durable];
const POSTING: [State; 3] = [State::Fresh, State::Again, State::Parked];
const EARLY: [Point; 3] = [Point::Leased, Point::IntentOpen, Point::Intended];
const LATE: [Point; 5] = [Point::None, Point::Flying, Point::Answered, Point::SettleOpen, Point::Settled];

/// Cells that cannot be, and why not.
const UNREACHABLE: &[(State, Answer, &str)] = &[
    (
        State::Parked,
        Answer::Validation,
        "a number that amoCRM refuses is refused before it is looked up: it never parks",
    ),
    (State::Parked, Answer::ValidationUnnamed, "the same"),
];

#[derive(Clone, Debug, Default)]
pub struct Coverage {
    exchanges: BTreeMap<(State, Came, Point), u64>,
    crashes: BTreeMap<(Moment, Left), u64>,
}

impl Coverage {
    pub fn exchanged(&mut self, state: State, came: Came, point: Point) {
        *self.exchanges.entry((state, came, point)).or_default() += 1;
    }

    pub fn crashed(&mut self, moment: Moment, left: Left) {
        *self.crashes.entry((moment, left)).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (cell, count) in &other.exchanges {
            *self.exchanges.entry(*cell).or_default() += count;
        }
        for (cell, count) in &other.crashes {
            *self.crashes.entry(*cell).or_default() += count;
        }
    }

    fn count(&self, state: State, came: Came, point: Point) -> u64 {
        self.exchanges.get(&(state, came, point)).copied().unwrap_or(0)
    }

    /// Cells that no world has been in, though it can be.
    pub fn holes(&self) -> Vec<String> {
        let mut holes = Vec::new();
        for (state, came, points) in rows() {
            let missing = points.iter().filter(|point| self.count(state, came, **point) == 0);
            holes.extend(missing.map(|point| format!("{state:?} × {came:?} × {point:?}")));
        }
        for moment in MOMENTS {
            let missing = LEFT.iter().filter(|left| !self.crashes.contains_key(&(moment, **left)));
            holes.extend(missing.map(|left| format!("call {moment:?} × disk {left:?}")));
        }
        holes
    }

    /// Rows that no world has been in, wherever it died.
    pub fn empty_rows(&self) -> Vec<String> {
        let is_empty = |(state, came, points): &(State, Came, &[Point])| {
            points.iter().all(|point| self.count(*state, *came, *point) == 0)
        };
        rows().into_iter().filter(is_empty).map(|(state, came, _)| format!("{state:?} × {came:?}")).collect()
    }

    pub fn table(&self) -> String {
        let mut table = format!("{:9} {:28}", "state", "answer");
        for point in EARLY.iter().chain(&LATE) {
            write!(table, "{:>11}", format!("{point:?}")).expect("a string grows");
        }
        for (state, came, points) in rows() {
            write!(table, "\n{:9} {:28}", format!("{state:?}"), format!("{came:?}")).expect("a string grows");
            for point in EARLY.iter().chain(&LATE) {
                let cell = if points.contains(point) {
                    self.count(state, came, *point).to_string()
                } else {
                    "-".to_owned()
                };
                write!(table, "{cell:>11}").expect("a string grows");
            }
        }
        write!(table, "\n\n{:38}", "call at the crash, and what its group left on disk")
            .expect("a string grows");
        for left in LEFT {
            write!(table, "{:>14}", format!("{left:?}")).expect("a string grows");
        }
        for moment in MOMENTS {
            write!(table, "\n{:50}", format!("{moment:?}")).expect("a string grows");
            for left in LEFT {
                write!(table, "{:>14}", self.crashes.get(&(moment, left)).unwrap_or(&0))
                    .expect("a string grows");
            }
        }
        table.push_str("\n\nnot reachable:\n");
        for (state, answer, why) in UNREACHABLE {
            writeln!(table, "  {state:?} × {answer:?}: {why}").expect("a string grows");
        }
        table.push_str("  - : nothing is asked before the intent is durable, and a search has no intent\n");
        table
    }
}

/// Every row that is reachable, with its columns.
fn rows() -> Vec<(State, Came, &'static [Point])> {
    let mut rows = Vec::new();
    for state in POSTING {
        rows.push((state, Came::NoRequest, &EARLY[..]));
        let reachable =
            |answer: &&Answer| !UNREACHABLE.iter().any(|(of, not, _)| *of == state && not == *answer);
        let answers = USUAL_POSTS.iter().chain(ODD_POSTS).filter(reachable);
        rows.extend(answers.map(|answer| (state, Came::Posted(*answer), &LATE[..])));
    }
    let found = [Came::Found, Came::FoundSome, Came::FoundNone].into_iter();
    let looked = found.chain(ODD_READS.iter().map(|answer| Came::Looked(*answer)));
    rows.extend(looked.map(|came| (State::Unknown, came, &LATE[..])));
    rows
}
