//! The log while the daemon runs: its level, which may be changed for a while, and what is told later: how many lines
//! were held back, and what the journal did not take at once.
//!
//! [`Control::keep`] is one task of the main thread. It waits for what is due, and wakes up for nothing else.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{Level, error, info, warn};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;

use crate::clock;
use crate::ops::log::journal::Journal;
use crate::ops::log::levels::Levels;
use crate::ops::log::pipe::Pipe;
use crate::ops::log::repeats::Repeats;
use crate::ops::log::words::Now;
use crate::ops::log::{Error, parse};
use crate::time::{HostTime, MonoTime};

/// Whoever has it sees and changes the level.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

struct Inner {
    levels: reload::Handle<Levels, Registry>,
    set: Mutex<Set>,
    repeats: Repeats,
    output: Output,
    /// Told when something is due sooner.
    stirred: Arc<Notify>,
}

/// Where lines go.
pub(super) enum Output {
    Journal(Journal),
    Pipe(Pipe),
}

/// The level that is set.
#[derive(Clone, Debug)]
struct Set {
    /// That of the start.
    configured: String,
    level: String,
    /// When that of the start comes back.
    until: Option<(MonoTime, HostTime)>,
}

impl Control {
    pub(super) fn new(
        filter: &str,
        levels: reload::Handle<Levels, Registry>,
        repeats: Repeats,
        output: Output,
        stirred: Arc<Notify>,
    ) -> Self {
        let set = Set { configured: filter.to_owned(), level: filter.to_owned(), until: None };
        Self(Arc::new(Inner { levels, set: Mutex::new(set), repeats, output, stirred }))
    }

    /// One that no line obeys.
    #[cfg(test)]
    pub(crate) fn idle(filter: &str) -> Self {
        tests::control(filter).0
    }

    /// What is set.
    pub fn now(&self) -> Now {
        let Set { configured, level, until } = self.set().clone();
        Now { level, configured, until: until.map(|(_, at)| at) }
    }

    /// Sets the level, for a while or until the end of the process; without a level, that of the start.
    ///
    /// # Errors
    /// When `filter` is none.
    pub fn change(&self, filter: Option<&str>, lasts: Option<Duration>, by: &str) -> Result<Now, Error> {
        let level = filter.map_or_else(|| self.set().configured.clone(), str::to_owned);
        let levels = Levels(parse(&level)?);
        let lasts = lasts.filter(|_| filter.is_some());
        let for_s = lasts.map(|lasts| lasts.as_secs());
        let tell = || warn!(level, for_s, by, "the level of the log is changed");
        // On one side of the change it may be that nothing is told.
        let is_told = tracing::enabled!(Level::WARN);
        if is_told {
            tell();
        }
        self.0.levels.reload(levels).map_err(Error::Fixed)?;
        if !is_told {
            tell();
        }
        let until = lasts.map(|lasts| (clock::mono().after(lasts), clock::host().after(lasts)));
        let mut set = self.set();
        (set.level, set.until) = (level, until);
        drop(set);
        self.0.stirred.notify_one();
        Ok(self.now())
    }

    /// Does what is due, for ever. Cancel safe.
    pub async fn keep(self) {
        loop {
            let journal = match &self.0.output {
                Output::Journal(journal) => journal.due(),
                Output::Pipe(_) => None,
            };
            let level = self.set().until.map(|(at, _)| at);
            let due = [self.0.repeats.due(), journal, level].into_iter().flatten().min();
            tokio::select! {
                () = clock::sleep_until(due) => {}
                () = self.0.stirred.notified() => {}
            }
            self.work(clock::mono());
        }
    }

    /// Tells what is not told yet, at the end of the process.
    pub fn finish(&self) {
        self.0.repeats.tell(None);
        match &self.0.output {
            Output::Journal(journal) => journal.finish(),
            Output::Pipe(pipe) => pipe.finish(),
        }
    }

    fn work(&self, now: MonoTime) {
        self.0.repeats.tell(Some(now));
        if let Output::Journal(journal) = &self.0.output {
            journal.try_again(now);
        }
        if self.set().until.is_some_and(|(at, _)| at <= now) {
            self.go_back();
        }
    }

    fn go_back(&self) {
        let mut set = self.set();
        (set.level, set.until) = (set.configured.clone(), None);
        let level = set.level.clone();
        drop(set);
        // It was read once already.
        let Ok(targets) = parse(&level) else { return };
        match self.0.levels.reload(Levels(targets)) {
            Ok(()) => info!(level, "the level of the log is again that of the start"),
            Err(error) => error!(level, %error, "the level of the log cannot be changed back"),
        }
    }

    fn set(&self) -> MutexGuard<'_, Set> {
        self.0.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Control").field(&*self.set()).finish()
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::captured_log::Log;

    /// With the layer that obeys it.
    pub(super) fn control(filter: &str) -> (Control, reload::Layer<Levels, Registry>) {
        let stirred = Arc::default();
        let (layer, handle) = reload::Layer::new(Levels(parse(filter).unwrap()));
        let repeats = Repeats::new(Arc::clone(&stirred));
        (Control::new(filter, handle, repeats, Output::Pipe(Pipe::default()), stirred), layer)
    }

    #[tokio::test(start_paused = true)]
    async fn a_level_that_is_set_for_a_while_goes_back_by_itself() {
        let (control, layer) = control("error");
        let subscriber = tracing_subscriber::registry().with(layer);
        let _guard = tracing::subscriber::set_default(subscriber);
        assert!(!tracing::enabled!(Level::DEBUG));
        let now = control.change(Some("debug"), Some(Duration::from_mins(10)), "anna").unwrap();
        assert_eq!((now.level.as_str(), now.configured.as_str()), ("debug", "error"));
        assert!(now.until.is_some() && tracing::enabled!(Level::DEBUG));
        let keeping = control.clone().keep();
        let kept = tokio::time::timeout(Duration::from_secs(601), keeping).await;
        assert!(kept.is_err(), "it ends with its task only");
        assert_eq!((control.now().level.as_str(), control.now().until), ("error", None));
        assert!(!tracing::enabled!(Level::DEBUG));
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_of_the_minute_it_is_told_how_many_lines_were_held_back() {
        let (log, stirred) = (Log::default(), Arc::default());
        let (layer, handle) = reload::Layer::new(Levels(parse("info").unwrap()));
        let repeats = Repeats::new(Arc::clone(&stirred));
        let writer = log.clone();
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer).with(lines).with(repeats.clone());
        let _guard = tracing::subscriber::set_default(subscriber);
        let control = Control::new("info", handle, repeats, Output::Pipe(Pipe::default()), stirred);
        for call_id in ["a-1.1", "a-2.2"] {
            (0..12).for_each(|_| warn!(call_id, "odd"));
        }
        assert_eq!(log.text().matches("odd").count(), 20);
        let kept = tokio::time::timeout(Duration::from_secs(59), control.clone().keep()).await;
        assert!(kept.is_err() && log.text().matches("odd").count() == 20, "{}", log.text());
        let kept = tokio::time::timeout(Duration::from_secs(2), control.keep()).await;
        assert!(kept.is_err(), "it ends with its task only");
        let text = log.text();
        for call_id in ["a-1.1", "a-2.2"] {
            let line = format!("2 more like it within a minute: odd more=2 call_id=\"{call_id}\"");
            assert_eq!(text.matches(&line).count(), 1, "{text}");
        }
    }

    #[tokio::test]
    async fn a_level_that_is_none_changes_nothing() {
        let (control, _layer) = control("info");
        assert!(control.change(Some("loud"), None, "anna").is_err());
        assert_eq!(control.now().level, "info");
        control.change(Some("warn,ami2amo::ami=debug"), None, "anna").unwrap();
        assert_eq!(control.now().until, None);
        let back = control.change(None, Some(Duration::from_mins(1)), "anna").unwrap();
        assert_eq!((back.level.as_str(), back.until), ("info", None));
    }
}
