//! Lines that repeat: the first ten within a minute are told, further ones are counted, and their number is told at
//! the end of the minute. A line is the same when the place in the program, the message, and the call, PBX, account
//! and problem that it is about are the same: what one of them suffers hides nothing of another.
//!
//! Only what is told at `info` and above is counted: whoever asks for more wants all of it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{Event, Level, Subscriber, debug, error, info, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::clock;
use crate::ops::log::fields::Fields;
use crate::time::MonoTime;

/// Lines of one kind that are told in a minute.
const TOLD: u32 = 10;

/// How long they are counted together.
const MINUTE: Duration = Duration::from_mins(1);

/// Kinds of lines that are known at once: 16 KiB. A kind that finds its place taken by one that has
/// something to tell is not held back.
const PLACES: usize = 512;

/// Bytes of the message that are said again.
const SAID: usize = 200;

/// What says which line it is, in this order.
const ABOUT: [&str; 4] = ["call_id", "pbx", "account", "code"];

/// The layer that lets repeats not pass.
#[derive(Clone, Debug)]
pub(super) struct Repeats {
    table: Arc<Mutex<Table>>,
    /// Told when lines are held back, so that somebody comes at the end of the minute.
    stirred: Arc<Notify>,
}

/// The lines of the last minute.
#[derive(Debug, Default)]
struct Table {
    places: Vec<Option<Kind>>,
}

#[derive(Debug)]
struct Kind {
    key: u64,
    since: MonoTime,
    count: u32,
    /// What was held back, once there is something.
    sample: Option<Box<Sample>>,
}

/// What is said again of lines that were held back.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Sample {
    level: Level,
    message: String,
    about: [Option<String>; ABOUT.len()],
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Told,
    /// It is the first of its minute that is.
    HeldBack,
    Counted,
}

impl Repeats {
    pub fn new(stirred: Arc<Notify>) -> Self {
        Self { table: Arc::default(), stirred }
    }

    /// When the next minute with lines that were held back ends.
    pub fn due(&self) -> Option<MonoTime> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).due()
    }

    /// Tells how many lines were held back in the minutes that are over at `now`; `None`: in all.
    pub fn tell(&self, now: Option<MonoTime>) {
        let over = self.table.lock().unwrap_or_else(PoisonError::into_inner).take_over(now);
        for (count, sample) in over {
            sample.tell(count);
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, context: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || metadata.target() == module_path!() {
            return true;
        }
        let fields = Fields::of(event, &context);
        let mut hasher = DefaultHasher::new();
        metadata.callsite().hash(&mut hasher);
        fields.message.hash(&mut hasher);
        ABOUT.map(|name| fields.get(name)).hash(&mut hasher);
        let sample = || Sample {
            level: *metadata.level(),
            message: fields.message.chars().take(SAID).collect(),
            about: ABOUT.map(|name| fields.get(name).map(str::to_owned)),
        };
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let fate = table.take(hasher.finish(), clock::mono(), sample);
        drop(table);
        if fate == Fate::HeldBack {
            self.stirred.notify_one();
        }
        fate == Fate::Told
    }
}

impl Table {
    fn take(&mut self, key: u64, now: MonoTime, sample: impl FnOnce() -> Sample) -> Fate {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let at = usize::try_from(key).unwrap_or_default() % PLACES;
        let Some(place) = self.places.get_mut(at) else { return Fate::Told };
        match place {
            Some(kind) if kind.sample.is_some() && kind.key != key => Fate::Told,
            // One whose minute is over is counted on until its number is told.
            Some(kind) if kind.key == key && (kind.sample.is_some() || now.since(kind.since) < MINUTE) => {
                kind.count = kind.count.saturating_add(1);
                if kind.count <= TOLD {
                    Fate::Told
                } else if kind.sample.is_none() {
                    kind.sample = Some(Box::new(sample()));
                    Fate::HeldBack
                } else {
                    Fate::Counted
                }
            }
            _ => {
                *place = Some(Kind { key, since: now, count: 1, sample: None });
                Fate::Told
            }
        }
    }

    fn due(&self) -> Option<MonoTime> {
        let held = self.places.iter().flatten().filter(|kind| kind.sample.is_some());
        held.map(|kind| kind.since.after(MINUTE)).min()
    }

    fn take_over(&mut self, now: Option<MonoTime>) -> Vec<(u32, Sample)> {
        let is_over =
            |kind: &mut Kind| kind.sample.is_some() && now.is_none_or(|now| now.since(kind.since) >= MINUTE);
        let over = self.places.iter_mut().filter_map(|place| place.take_if(is_over));
        over.filter_map(|kind| Some((kind.count.saturating_sub(TOLD), *kind.sample?))).collect()
    }
}

impl Sample {
    fn tell(&self, more: u32) {
        let Self { message, about: [call_id, pbx, account, code], .. } = self;
        let (call_id, pbx, account) = (call_id.as_deref(), pbx.as_deref(), account.as_deref());
        let code = code.as_deref();
        macro_rules! say {
            ($say:ident) => {
                $say!(more, call_id, pbx, account, code, "{more} more like it within a minute: {message}")
            };
        }
        match self.level {
            Level::ERROR => say!(error),
            Level::WARN => say!(warn),
            Level::INFO => say!(info),
            Level::DEBUG | Level::TRACE => say!(debug),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MonoTime {
        MonoTime::default().after(Duration::from_secs(seconds))
    }

    fn sample(message: &str) -> Sample {
        Sample { level: Level::WARN, message: message.to_owned(), about: [const { None }; ABOUT.len()] }
    }

    fn told(table: &mut Table, key: u64, now: MonoTime, count: usize) -> usize {
        (0..count).filter(|_| table.take(key, now, || sample("odd")) == Fate::Told).count()
    }

    #[test]
    fn ten_lines_of_a_kind_are_told_and_the_others_counted_until_the_minute_ends() {
        let mut table = Table::default();
        assert_eq!(told(&mut table, 7, at(0), 10), 10);
        assert_eq!(table.due(), None);
        assert_eq!(table.take(7, at(1), || sample("odd")), Fate::HeldBack);
        assert_eq!(table.take(7, at(1), || sample("odd")), Fate::Counted);
        assert_eq!(table.due(), Some(at(60)));
        assert_eq!(table.take_over(Some(at(59))), []);
        assert_eq!(table.take_over(Some(at(60))), [(2, sample("odd"))]);
        assert_eq!((table.due(), told(&mut table, 7, at(60), 99)), (None, 10));
        assert_eq!(table.take_over(None), [(89, sample("odd"))]);
    }

    #[test]
    fn lines_that_come_now_and_then_are_all_told() {
        let mut table = Table::default();
        let all: usize = (0..100).map(|minute| told(&mut table, 7, at(minute * 60), 9)).sum();
        assert_eq!(all, 900);
        assert_eq!(table.due(), None);
    }

    #[test]
    fn a_kind_hides_no_other_whichever_place_it_has() {
        let mut table = Table::default();
        let (one, same_place, other) = (7, 7 + PLACES as u64, 8);
        assert_eq!(told(&mut table, one, at(0), 20), 10);
        assert_eq!(told(&mut table, other, at(0), 20), 10);
        assert_eq!(told(&mut table, same_place, at(0), 20), 20);
        assert_eq!(table.take_over(None).len(), 2);
        assert!(table.places.len() == PLACES);
    }
}
