//! Pure: which problems are news, so that a log has each once and not with every look.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ops::status::problem::Problem;
use crate::time::MonoTime;

/// A problem that goes on is told again this often.
pub const TELL_AGAIN: Duration = Duration::from_hours(1);

/// The problems that were told.
#[derive(Debug, Default)]
pub struct News {
    told: BTreeMap<Key, (Problem, MonoTime)>,
}

/// Its code and whom it is about: a problem that has other numbers a moment later is the same.
type Key = (&'static str, Option<String>, Option<String>);

/// What is to be told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Tidings {
    /// It is new, or goes on.
    Wrong(Problem),
    /// It is over.
    Mended(Problem),
}

impl News {
    /// What is news when these problems are there at `now`.
    pub fn take(&mut self, problems: &[Problem], now: MonoTime) -> Vec<Tidings> {
        let mut tidings = Vec::new();
        for problem in problems {
            let known = self.told.get(&key(problem));
            if known.is_none_or(|(_, told)| now.since(*told) >= TELL_AGAIN) {
                self.told.insert(key(problem), (problem.clone(), now));
                tidings.push(Tidings::Wrong(problem.clone()));
            }
        }
        let over = self.told.extract_if(.., |known, _| problems.iter().all(|problem| key(problem) != *known));
        tidings.extend(over.map(|(_, (problem, _))| Tidings::Mended(problem)));
        tidings
    }
}

fn key(problem: &Problem) -> Key {
    let owned = |name: Option<&str>| name.map(str::to_owned);
    (problem.code(), owned(problem.pbx()), owned(problem.account()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::id::PbxName;

    #[test]
    fn a_problem_is_told_once_an_hour_and_its_end_once() {
        let lag = |seconds| Problem::Lag { pbx: PbxName::default(), seconds };
        let at = |minutes| MonoTime::default().after(Duration::from_mins(minutes));
        let mut news = News::default();
        assert_eq!(news.take(&[], at(0)), []);
        assert_eq!(news.take(&[lag(11), Problem::Dead { calls: 1 }], at(0)).len(), 2);
        assert_eq!(news.take(&[lag(19), Problem::Dead { calls: 2 }], at(59)), []);
        let dead = Problem::Dead { calls: 1 };
        assert_eq!(news.take(&[lag(30)], at(60)), [Tidings::Wrong(lag(30)), Tidings::Mended(dead)]);
        let other = Problem::Lag { pbx: PbxName::new("msk").unwrap(), seconds: 30 };
        let [first, second] = [Tidings::Wrong(other.clone()), Tidings::Mended(lag(30))];
        assert_eq!(news.take(&[other], at(61)), [first, second]);
    }
}
