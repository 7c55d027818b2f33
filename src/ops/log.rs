//! Logging: to standard error, in the form that its reader wants. A terminal gets times and colours;
//! the journal has its own times and gets each line's priority; `json` is one object per line.
//!
//! Set up once by the command line, before any task runs.

use std::fmt;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::MetadataExt as _;

use serde::{Deserialize, Serialize};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, layer, time};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::{Layer, util::SubscriberInitExt as _};

/// The form of the lines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// For people: a terminal, a file or the journal, whichever standard error is
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{word:?} is no level: error, warn, info, debug, trace or off{}", hint(word))]
    Level { word: String },
    #[error("{filter:?} is no list of levels such as \"info,ami2amo::ami=debug\"")]
    Filter { filter: String },
    #[error("logging is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// The environment variable that sets the level, before the configuration.
pub const VARIABLE: &str = "AMI2AMO_LOG";

/// Sets up logging. `filter` is a level, or `target=level` lists.
///
/// # Errors
/// When `filter` is none, or logging was set up before.
pub fn init(filter: &str, format: Format) -> Result<(), Error> {
    let filter = parse(filter)?;
    let lines = layer().with_writer(io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match (format, io::stderr().is_terminal()) {
        (Format::Json, _) => lines.json().flatten_event(true).with_current_span(true).boxed(),
        (Format::Text, false) if is_journal() => lines.event_format(Journal::default()).boxed(),
        (Format::Text, terminal) => lines.with_ansi(terminal).with_target(false).boxed(),
    };
    tracing_subscriber::registry().with(lines).with(filter).try_init().map_err(Error::Twice)
}

/// Reads a filter. What no directive of a list speaks of is logged from errors up, unless the list
/// says otherwise: nobody who asks for more of one part wants to miss an alarm of another.
///
/// # Errors
/// When it is none. A word alone must be a level: [`Targets`] takes any other for the name of a
/// part, and would log nothing of all the rest.
pub fn parse(filter: &str) -> Result<Targets, Error> {
    let mut speaks_of_all = false;
    for directive in filter.split(',') {
        let (part, level) = directive.rsplit_once('=').unwrap_or(("", directive));
        if !is_level(level) {
            return Err(Error::Level { word: level.to_owned() });
        }
        if !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:-".contains(&byte)) {
            return Err(Error::Filter { filter: filter.to_owned() });
        }
        speaks_of_all |= part.is_empty();
    }
    let whole = if speaks_of_all { filter.to_owned() } else { format!("error,{filter}") };
    whole.parse().map_err(|_| Error::Filter { filter: filter.to_owned() })
}

fn is_level(word: &str) -> bool {
    ["error", "warn", "info", "debug", "trace", "off"].iter().any(|level| word.eq_ignore_ascii_case(level))
}

/// The level that is meant by a word of other programs.
fn hint(word: &str) -> &'static str {
    let meant = |words: &[&str]| words.iter().any(|known| word.trim().eq_ignore_ascii_case(known));
    if meant(&["warning", "warnings"]) {
        "; \"warn\" is meant"
    } else if meant(&["err", "critical", "crit", "fatal", "alert", "emerg"]) {
        "; \"error\" is meant"
    } else if meant(&["notice", "information", "verbose"]) {
        "; \"info\" is meant"
    } else if meant(&["none", "quiet", "silent"]) {
        "; \"off\" is meant, and with it no alarm is seen"
    } else {
        ""
    }
}

/// Whether standard error goes to the journal: systemd names the socket by device and inode.
fn is_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
    fs::metadata("/proc/self/fd/2")
        .is_ok_and(|meta| stream.to_str() == Some(&format!("{}:{}", meta.dev(), meta.ino())))
}

/// Lines for the journal: the priority in angle brackets (sd-daemon(3)), no time, no colour.
#[derive(Default)]
struct Journal {
    line: format::Format<format::Full, time::SystemTime>,
}

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        let line = self.line.clone().without_time().with_level(false).with_target(false).with_ansi(false);
        line.format_event(context, writer, event)
    }
}

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_level_is_a_word_or_a_list() {
        for good in ["info", "DEBUG", "off", "warn,ami2amo::ami=trace", "ami2amo::ami=trace,error"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for (bad, advice) in [
            ("warning", "\"warn\" is meant"),
            ("loud", "error, warn, info, debug, trace or off"),
            ("", "\"\" is no level"),
            ("info,", "\"\" is no level"),
            (" info", "\" info\" is no level"),
            ("3", "\"3\" is no level"),
            ("ami2amo=loud", "\"loud\" is no level"),
            ("ami2amo::ami,info", "\"ami2amo::ami\" is no level"),
            ("a=b=c", "\"c\" is no level"),
            ("a[=info", "is no list of levels"),
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains(advice), "{bad}: {error}");
        }
    }

    #[test]
    fn a_list_about_one_part_hides_no_alarm_of_another() {
        for (filter, expected) in [
            ("ami2amo::ami=trace", "alarm"),
            ("amo2ami=debug", "alarm"),
            ("info,ami2amo::ami=trace", "alarm news"),
            ("off", ""),
        ] {
            let paper = Paper::default();
            let writer = paper.clone();
            let lines = layer().without_time().with_level(false).with_target(false).with_ansi(false);
            let lines = lines.with_writer(move || writer.clone());
            let subscriber = tracing_subscriber::registry().with(lines).with(parse(filter).unwrap());
            tracing::subscriber::with_default(subscriber, || {
                tracing::error!("alarm");
                tracing::info!("news");
            });
            let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
            assert_eq!(text.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{filter}");
        }
    }

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_for_the_journal_starts_with_its_priority_and_has_no_time() {
        let paper = Paper::default();
        let writer = paper.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(Journal::default())
            .finish();
        tracing::subscriber::with_default(subscriber, || tracing::warn!(pause_s = 1, "odd"));
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "<4>odd pause_s=1\n");
    }
}
