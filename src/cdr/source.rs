//! Reads call detail records where the PBX keeps them. Nothing is ever written there.
//!
//! Runs on whatever task asks; files are read on the blocking pool. Every step has a limit: a database
//! that hangs costs one repair its turn and nobody else anything.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ami::connection::Secret;
#[cfg(not(any(feature = "cdr-mysql", feature = "cdr-postgres", feature = "cdr-sqlite")))]
use crate::cdr::cel::entry;
use crate::cdr::column;
use crate::cdr::range::Range;
use crate::cdr::row::{Row, Rows};
use crate::time::PbxTime;

mod csv;
pub mod events;
mod log;
#[cfg(any(feature = "cdr-mysql", feature = "cdr-postgres", feature = "cdr-sqlite"))]
mod sql;

/// Where the records are.
#[derive(Clone, Debug)]
pub enum Source {
    /// `Master.csv` of `cdr_csv`.
    Csv {
        path: PathBuf,
    },
    Mysql(Server),
    Postgres(Server),
    Sqlite {
        path: PathBuf,
        table: String,
    },
}

/// A database that is asked over a socket. `Debug` does not show the password.
#[derive(Clone, Debug)]
pub struct Server {
    pub host: String,
    /// `None`: the port that such databases have.
    pub port: Option<u16>,
    /// A Unix socket, in place of host and port.
    pub socket: Option<PathBuf>,
    pub user: String,
    pub password: Option<Secret>,
    pub database: String,
    pub table: String,
}

/// What a look at a source found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Probe {
    /// When the newest record ends; `None` when there is none yet.
    pub newest: Option<PbxTime>,
    /// Records have linkedids: those of one call are surely found.
    pub linked: bool,
    /// How many of the newest cannot be read.
    pub unusable: u64,
}

/// What was read of a source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    pub rows: Vec<Row>,
    pub unread: Vec<Unread>,
    /// Records that were met and are none that can be read.
    pub unusable: u64,
}

/// A file or table that may have something of the time that is meant, and cannot be read to its end.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Unread {
    pub what: String,
    pub cause: String,
}

/// Why records cannot be read. No message has a password in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}: is cdr_csv loaded (module show like cdr_csv), and the file readable by this user?", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("cannot read {}: is cel_custom loaded (module show like cel_custom), and the file readable by this user?", path.display())]
    EventsFile { path: PathBuf, source: std::io::Error },
    #[error("this ami2amo was built without {0}: build it with --features {1}, or take kind = \"csv\"")]
    NotBuilt(&'static str, &'static str),
    #[error("cannot ask the database at {place}: {detail}")]
    Database { place: String, detail: String },
    #[error(
        "the table {table:?} at {place} has no column {column:?}: is it a table of CDR, and may the user read it?"
    )]
    Column { place: String, table: String, column: &'static str },
    #[error("{place} did not answer within {} s", PATIENCE.as_secs())]
    Patience { place: String },
    #[error("no calls could be made of the records: {0}; please report it")]
    Unmade(tokio::task::JoinError),
    #[error("there are more than {ROWS_MAX} events of calls of one hour")]
    TooManyEvents,
    #[error(
        "there are more than {ROWS_MAX} records around {at}: either their times are wrong, or this PBX is too large for \
         its records to be read"
    )]
    TooMany { at: PbxTime },
}

impl Error {
    /// Whether it is so whatever time is asked for.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Self::NotBuilt(..) | Self::Column { .. } => true,
            // An hour may lie in a large packed file, and others not.
            Self::File { source, .. } | Self::EventsFile { source, .. } => {
                !matches!(source.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
            }
            // A database may end a query because its hour has much.
            Self::Database { .. }
            | Self::Patience { .. }
            | Self::Unmade(_)
            | Self::TooManyEvents
            | Self::TooMany { .. } => false,
        }
    }
}

/// Does what takes long where nothing else waits for it: a busy hour's rows are seconds of work.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(Error::Unmade)
}

/// Longest wait for one reading. An index on the time makes it milliseconds; a table of ten million rows
/// without one takes some seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// December 1999, the month of the first Asterisk: what is earlier was written by a clock that was wrong.
const EARLIEST: PbxTime = PbxTime::from_micros(944_006_400_000_000);

/// Records that one reading may give. Hours are read one by one, and a very large PBX has 10,000 in one.
const ROWS_MAX: usize = 100_000;

/// Whether it is the same place, asked as the same user.
impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Mysql(a), Self::Mysql(b)) | (Self::Postgres(a), Self::Postgres(b)) => {
                let [password, other_password] = [a, b].map(|server| server.password.as_ref());
                let same = match (password, other_password) {
                    (Some(password), Some(other)) => password.is_same(other),
                    (password, other) => password.is_none() && other.is_none(),
                };
                same && self.place() == other.place()
            }
            (Self::Csv { .. }, Self::Csv { .. }) | (Self::Sqlite { .. }, Self::Sqlite { .. }) => {
                self.place() == other.place()
            }
            _ => false,
        }
    }
}

impl Unread {
    fn new(path: &Path, error: &std::io::Error) -> Self {
        Self { what: path.display().to_string(), cause: error.to_string() }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.cause)
    }
}

impl Source {
    /// The records that overlap `range`, by beginning. Records of calls that began up to
    /// [`Range::LEAD`] before it are among them, so that calls are whole. What was met on the way and could
    /// not be read is counted.
    ///
    /// # Errors
    /// When the source cannot be read: what to do.
    pub async fn read(&self, range: Range) -> Result<Found, Error> {
        let reading = async {
            match self {
                Self::Csv { path } => {
                    let text = log::read(path.clone(), range).await?;
                    let rows = aside(move || Rows::read(&text.lines, text.fallback)).await?;
                    Ok((rows, text.unread))
                }
                Self::Mysql(_) | Self::Postgres(_) | Self::Sqlite { .. } => {
                    Ok((self.read_table(range).await?, Vec::new()))
                }
            }
        };
        let (Rows { rows, unusable }, unread) = self.patiently(reading).await?;
        if rows.len() > ROWS_MAX {
            return Err(Error::TooMany { at: range.from });
        }
        let mut rows: Vec<Row> = rows.into_iter().filter(|row| range.overlaps(row)).collect();
        rows.sort_by_key(|row| (row.start, row.sequence));
        Ok(Found { rows, unread, unusable })
    }

    /// Looks whether records can be read.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn probe(&self) -> Result<Probe, Error> {
        let looking = async {
            match self {
                Self::Csv { path } => {
                    log::newest(path.clone()).await.map(|text| Rows::read(&text.lines, text.fallback))
                }
                Self::Mysql(_) | Self::Postgres(_) | Self::Sqlite { .. } => self.newest_rows().await,
            }
        };
        let Rows { rows, unusable } = self.patiently(looking).await?;
        Ok(Probe {
            unusable,
            newest: rows.iter().map(|row| row.end).max(),
            linked: rows.iter().any(|row| !row.linkedid.is_empty()),
        })
    }

    /// Since when there are records; `None` where none has a time that can be read.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn oldest(&self) -> Result<Option<PbxTime>, Error> {
        let looking = async {
            match self {
                Self::Csv { path } => log::oldest::<column::Raw>(path.clone()).await,
                Self::Mysql(_) | Self::Postgres(_) | Self::Sqlite { .. } => {
                    Ok(self.oldest_rows().await?.rows.iter().map(|row| row.start).min())
                }
            }
        };
        self.patiently(looking).await
    }

    async fn patiently<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = |_| Err(Error::Patience { place: self.place() });
        tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(late)
    }

    /// What and where it is, for people.
    pub fn place(&self) -> String {
        let at = |kind: &str, server: &Server, port: u16| {
            let Server { host, socket, user, database, table, .. } = server;
            let port = server.port.unwrap_or(port);
            let host = socket.as_ref().map_or(format!("{host}:{port}"), |path| path.display().to_string());
            format!("{kind} {user}@{host} {database}.{table}")
        };
        match self {
            Self::Csv { path } => path.display().to_string(),
            Self::Sqlite { path, table } => format!("{} {table}", path.display()),
            Self::Mysql(server) => at("MySQL", server, 3306),
            Self::Postgres(server) => at("PostgreSQL", server, 5432),
        }
    }

    #[cfg(not(any(feature = "cdr-mysql", feature = "cdr-postgres", feature = "cdr-sqlite")))]
    #[expect(clippy::unused_async, reason = "the drivers' is async")]
    async fn read_table(&self, _: Range) -> Result<Rows, Error> {
        Err(self.not_built())
    }

    #[cfg(not(any(feature = "cdr-mysql", feature = "cdr-postgres", feature = "cdr-sqlite")))]
    #[expect(clippy::unused_async, reason = "the drivers' is async")]
    async fn read_linked(&self, _: [String; 2]) -> Result<Vec<column::Raw<entry::Column>>, Error> {
        Err(self.not_built())
    }

    #[cfg(not(any(feature = "cdr-mysql", feature = "cdr-postgres", feature = "cdr-sqlite")))]
    #[expect(clippy::unused_async, reason = "the drivers' is async")]
    async fn newest_events(&self) -> Result<Vec<column::Raw<entry::Column>>, Error> {
        Err(self.not_built())
    }

    #[cfg(not(any(feature = "cdr-mysql", feature = "cdr-postgres", feature = "cdr-sqlite")))]
    #[expect(clippy::unused_async, reason = "the drivers' is async")]
    async fn newest_rows(&self) -> Result<Rows, Error> {
        Err(self.not_built())
    }

    #[cfg(not(any(feature = "cdr-mysql", feature = "cdr-postgres", feature = "cdr-sqlite")))]
    #[expect(clippy::unused_async, reason = "the drivers' is async")]
    async fn oldest_rows(&self) -> Result<Rows, Error> {
        Err(self.not_built())
    }

    #[cfg(not(all(feature = "cdr-mysql", feature = "cdr-postgres", feature = "cdr-sqlite")))]
    fn not_built(&self) -> Error {
        self.lacks_driver().unwrap_or(Error::NotBuilt("MySQL", "cdr-mysql"))
    }

    /// That this build cannot ask such a source, where it cannot.
    pub fn lacks_driver(&self) -> Option<Error> {
        let (is_built, name, feature) = match self {
            Self::Csv { .. } => return None,
            Self::Mysql(_) => (cfg!(feature = "cdr-mysql"), "MySQL", "cdr-mysql"),
            Self::Postgres(_) => (cfg!(feature = "cdr-postgres"), "PostgreSQL", "cdr-postgres"),
            Self::Sqlite { .. } => (cfg!(feature = "cdr-sqlite"), "SQLite", "cdr-sqlite"),
        };
        (!is_built).then_some(Error::NotBuilt(name, feature))
    }
}
