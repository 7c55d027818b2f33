//! Records a PBX: one connection after the other, until somebody says stop.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::ami::connection::backoff::Backoff;
use crate::ami::connection::tap::{Copied, Tap};
use crate::ami::connection::{self, Connection, Settings};
use crate::ami::session::notice::Notice;
use crate::capture::anonymize::Anonymizer;
use crate::capture::files::{self, Files};
use crate::capture::recorder::Recorder;
use crate::clock;

/// How a capture is made.
#[derive(Debug)]
pub struct Order<'a> {
    pub settings: &'a Settings,
    pub output: &'a Path,
    /// Most bytes of one file.
    pub size_max: u64,
    /// Most files that are kept.
    pub keep: NonZeroUsize,
    /// Takes the people out.
    pub anonymizer: Option<Anonymizer>,
}

/// What was recorded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Recorded {
    pub bytes: u64,
    pub connections: usize,
    /// Empty, when it went to standard output.
    pub files: Vec<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Connection(#[from] connection::Error),
    #[error(transparent)]
    File(#[from] files::Error),
}

/// Records until `stop`. A connection that breaks is made anew, and has a file of its own; the first must come
/// about.
///
/// # Errors
/// When the PBX does not let us in, or the disk does not take what comes.
pub async fn record(
    order: Order<'_>,
    stop: &CancellationToken,
    messages: &mut dyn Write,
) -> Result<Recorded, Error> {
    let files = Files::create(order.output, order.size_max, order.keep)?;
    let mut recorder = Recorder::new(files, order.settings.secret.clone(), order.anonymizer);
    let mut backoff = Backoff::default();
    let mut connections = 0;
    loop {
        let mut logged_in = false;
        let ended = follow(order.settings, stop, &mut recorder, &mut logged_in, messages).await;
        connections += usize::from(logged_in);
        let error = match ended {
            Ok(()) => break,
            Err(Error::Connection(error)) if connections > 0 => error,
            Err(error) => return Err(error),
        };
        if logged_in {
            backoff.reset();
        }
        recorder.turn()?;
        let pause = backoff.pause(error.retry(), 0.0);
        say(messages, &format!("{}; the next try is in {} s", chain(&error), pause.as_secs()));
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    let bytes = recorder.taken;
    Ok(Recorded { bytes, connections, files: recorder.finish()? })
}

/// One connection.
async fn follow(
    settings: &Settings,
    stop: &CancellationToken,
    recorder: &mut Recorder,
    logged_in: &mut bool,
    messages: &mut dyn Write,
) -> Result<(), Error> {
    let reached = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        reached = connection::reach(&settings.host, settings.port, &settings.security) => reached,
    };
    let (stream, copied) = Tap::new(reached?);
    let mut connection = Connection::new(stream, settings);
    loop {
        let waited = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            waited = connection.wait() => waited,
        };
        let handled = waited.and_then(|()| connection.handle(|_| {}));
        write_down(&copied, recorder)?;
        while let Some(notice) = connection.poll_notice() {
            if notice == Notice::LoggedIn {
                *logged_in = true;
                say(messages, "logged in; recording until Ctrl-C");
            }
        }
        handled?;
    }
    connection.log_off(|_| {}).await;
    write_down(&copied, recorder)
}

fn write_down(copied: &Copied, recorder: &mut Recorder) -> Result<(), Error> {
    let bytes = copied.take();
    if bytes.is_empty() { Ok(()) } else { Ok(recorder.take(&bytes, clock::host())?) }
}

fn say(messages: &mut dyn Write, text: &str) {
    drop(writeln!(messages, "ami2amo: {text}")); // who closed standard error does not want to know
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
