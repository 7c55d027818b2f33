//! Pure: which problems are news, so that a log has each once and not with every look, and one that comes and goes
//! all the time does not fill it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ops::status::problem::Problem;
use crate::time::MonoTime;

/// A problem that goes on is told again this often.
pub const TELL_AGAIN: Duration = Duration::from_hours(1);

/// So often a problem that comes and goes is told at once, both times.
pub const TOLD_AT_ONCE: u32 = 3;

/// After that it is told this often at most; and it is over when it stayed away for so long.
pub const RESTLESS: Duration = Duration::from_mins(10);

/// The problems that were told, and those that came and went a moment ago.
#[derive(Debug, Default)]
pub struct News {
    known: BTreeMap<Key, Known>,
}

/// Its code and whom it is about: a problem that has other numbers a moment later is the same.
type Key = (&'static str, Option<String>, Option<String>);

#[derive(Debug)]
struct Known {
    /// As it was told.
    problem: Problem,
    told: MonoTime,
    /// Since when it is away; `None` while it is there.
    away: Option<MonoTime>,
    /// How often it came, without staying away for long in between.
    came: u32,
    /// As often of these it was not told.
    untold: u32,
}

/// What is to be told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Tidings {
    /// It is new, or goes on.
    Wrong(Problem),
    /// It is over.
    Mended(Problem),
    /// It came so often within the time, and went as often but for the last time if it `is_there`.
    Restless { problem: Problem, times: u32, within: Duration, is_there: bool },
}

impl News {
    /// What is news when these problems are there at `now`.
    pub fn take(&mut self, problems: &[Problem], now: MonoTime) -> Vec<Tidings> {
        let mut tidings = Vec::new();
        for problem in problems {
            if let Some(known) = self.known.get_mut(&key(problem)) {
                tidings.extend(known.is_there(problem, now));
            } else {
                let known = Known { problem: problem.clone(), told: now, away: None, came: 1, untold: 0 };
                self.known.insert(key(problem), known);
                tidings.push(Tidings::Wrong(problem.clone()));
            }
        }
        let gone = |known: &Key| problems.iter().all(|problem| key(problem) != *known);
        for (_, known) in self.known.iter_mut().filter(|(key, _)| gone(key)) {
            tidings.extend(known.is_away(now));
        }
        self.known.retain(|_, known| known.away.is_none_or(|away| now.since(away) < RESTLESS));
        tidings
    }
}

impl Known {
    fn is_there(&mut self, problem: &Problem, now: MonoTime) -> Option<Tidings> {
        if self.away.take().is_some() {
            self.came += 1;
            self.untold += 1;
        }
        if self.untold > 0 && self.is_restless() {
            self.problem = problem.clone();
            return self.restless(now);
        }
        let is_due = self.untold > 0 || now.since(self.told) >= TELL_AGAIN;
        is_due.then(|| {
            (self.problem, self.told, self.untold) = (problem.clone(), now, 0);
            Tidings::Wrong(problem.clone())
        })
    }

    fn is_away(&mut self, now: MonoTime) -> Option<Tidings> {
        let away = *self.away.get_or_insert(now);
        let mended = || Tidings::Mended(self.problem.clone());
        if self.is_restless() {
            // Its end is told when it has stayed away.
            return if now.since(away) >= RESTLESS { Some(mended()) } else { self.restless(now) };
        }
        (away == now).then(mended)
    }

    fn is_restless(&self) -> bool {
        self.came > TOLD_AT_ONCE
    }

    fn restless(&mut self, now: MonoTime) -> Option<Tidings> {
        let within = now.since(self.told);
        if self.untold == 0 || within < RESTLESS {
            return None;
        }
        let times = std::mem::take(&mut self.untold);
        self.told = now;
        let (problem, is_there) = (self.problem.clone(), self.away.is_none());
        Some(Tidings::Restless { problem, times, within, is_there })
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

    fn lag(seconds: i64) -> Problem {
        Problem::Lag { pbx: PbxName::default(), seconds }
    }

    fn at(minutes: u64) -> MonoTime {
        MonoTime::default().after(Duration::from_mins(minutes))
    }

    #[test]
    fn a_problem_is_told_once_an_hour_and_its_end_once() {
        let mut news = News::default();
        assert_eq!(news.take(&[], at(0)), []);
        assert_eq!(news.take(&[lag(11), Problem::Dead { calls: 1 }], at(0)).len(), 2);
        assert_eq!(news.take(&[lag(19), Problem::Dead { calls: 2 }], at(59)), []);
        let dead = Problem::Dead { calls: 1 };
        assert_eq!(news.take(&[lag(30)], at(60)), [Tidings::Wrong(lag(30)), Tidings::Mended(dead)]);
        let other = Problem::Lag { pbx: PbxName::new("msk").unwrap(), seconds: 30 };
        let [first, second] = [Tidings::Wrong(other.clone()), Tidings::Mended(lag(30))];
        assert_eq!(news.take(std::slice::from_ref(&other), at(61)), [first, second]);
        assert_eq!(news.take(&[other], at(62)), []);
    }

    #[test]
    fn one_that_comes_and_goes_is_told_thrice_and_then_every_ten_minutes() {
        let mut news = News::default();
        let half = |halves: u64| MonoTime::default().after(Duration::from_secs(30 * halves));
        let mut told = Vec::new();
        // There for half a minute, away for half a minute, for half an hour.
        for minute in 0..30 {
            told.extend(news.take(&[lag(11)], half(2 * minute)).into_iter().map(|news| (minute, news)));
            told.extend(news.take(&[], half(2 * minute + 1)).into_iter().map(|news| (minute, news)));
        }
        let (wrong, mended) = (|| Tidings::Wrong(lag(11)), || Tidings::Mended(lag(11)));
        let restless = |times| Tidings::Restless {
            problem: lag(11),
            times,
            within: Duration::from_mins(10),
            is_there: true,
        };
        let at_once = (0..3).flat_map(|minute| [(minute, wrong()), (minute, mended())]);
        let later = [(12, restless(10)), (22, restless(10))];
        assert_eq!(told, at_once.chain(later).collect::<Vec<_>>());
        // It stays away: how often it came is told, then that it is over, and then it is a new one.
        let Some(Tidings::Restless { times: 7, is_there: false, .. }) = news.take(&[], at(32)).pop() else {
            panic!("the last times are told");
        };
        assert_eq!(news.take(&[], at(39)), []);
        assert_eq!(news.take(&[], at(40)), [mended()]);
        assert_eq!(news.take(&[lag(11)], at(41)), [wrong()]);
        assert_eq!(news.take(&[], at(42)), [mended()]);
    }

    #[test]
    fn one_that_stays_after_much_coming_and_going_is_told_within_ten_minutes() {
        let mut news = News::default();
        for minute in 0..5 {
            news.take(&[lag(11)], at(2 * minute));
            news.take(&[], at(2 * minute + 1));
        }
        let told: Vec<_> = (10..80).filter(|minute| !news.take(&[lag(12)], at(*minute)).is_empty()).collect();
        assert_eq!(told, [14, 74], "as one that goes on, it is told again after an hour");
    }
}
