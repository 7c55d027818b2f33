//! Logging, in the form that its reader wants. A terminal gets times and colours; the journal gets each line with its
//! fields, by which it can be searched (`journal`); `json` is one object per line.
//!
//! Set up once by the command line, before any task runs. In the daemon lines that repeat are counted (`repeats`), and
//! the level may be changed (`control`).

use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{MakeWriter, layer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, reload, util::SubscriberInitExt as _};

use crate::ops::log::control::{Control, Output};
use crate::ops::log::journal::Journal;
use crate::ops::log::levels::Levels;
use crate::ops::log::pipe::Pipe;
use crate::ops::log::repeats::Repeats;

pub mod control;
mod entry;
mod fields;
mod journal;
mod levels;
mod pipe;
mod repeats;
pub mod words;

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
    #[error("the system has no thread for the log")]
    Thread(#[source] io::Error),
    #[error("the level cannot be changed")]
    Fixed(#[source] reload::Error),
}

/// The environment variable that sets the level, before the configuration.
pub const VARIABLE: &str = "AMI2AMO_LOG";

/// Sets up logging for a command that ends by itself. `filter` is a level, or `target=level` lists.
///
/// # Errors
/// When `filter` is none, or logging was set up before.
pub fn init(filter: &str, format: Format) -> Result<(), Error> {
    let levels = Levels(parse(filter)?);
    let lines =
        if is_journal(format) { Journal::new(Arc::default()).boxed() } else { lines(format, io::stderr) };
    tracing_subscriber::registry().with(levels).with(lines).try_init().map_err(Error::Twice)
}

/// Sets up logging for the daemon, whose level may be changed while it runs, in which repeats are counted, and which no
/// reader holds up.
///
/// # Errors
/// As [`init`], and when the system has no thread.
pub fn init_daemon(filter: &str, format: Format) -> Result<Control, Error> {
    let stirred = Arc::default();
    let (levels, handle) = reload::Layer::new(Levels(parse(filter)?));
    let repeats = Repeats::new(Arc::clone(&stirred));
    let (lines, output) = if is_journal(format) {
        let journal = Journal::new(Arc::clone(&stirred)).patient();
        (journal.clone().boxed(), Output::Journal(journal))
    } else {
        let pipe = Pipe::start(io::stderr()).map_err(Error::Thread)?;
        let writer = pipe.clone();
        (lines(format, move || writer.clone()), Output::Pipe(pipe))
    };
    let layers = tracing_subscriber::registry().with(levels).with(lines).with(repeats.clone());
    layers.try_init().map_err(Error::Twice)?;
    Ok(Control::new(filter, handle, repeats, output, stirred))
}

/// The layer that writes lines.
fn lines<S, W>(format: Format, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = layer().with_writer(writer);
    match format {
        Format::Json => lines.json().flatten_event(true).with_current_span(true).boxed(),
        Format::Text => lines.with_ansi(io::stderr().is_terminal()).with_target(false).boxed(),
    }
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

/// Whether lines of this form go to the journal: systemd names the socket of standard error by device and inode.
fn is_journal(format: Format) -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM").filter(|_| format == Format::Text) else {
        return false;
    };
    fs::metadata("/proc/self/fd/2")
        .is_ok_and(|meta| stream.to_str() == Some(&format!("{}:{}", meta.dev(), meta.ino())))
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
}
