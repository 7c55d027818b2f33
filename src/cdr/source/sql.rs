//! Tables of databases. What is asked is a range of the column with the time, which has an index where
//! there are many rows, and only of columns that are there.

use std::time::Duration;

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use crate::cdr::cel::entry::{self, Column as Event};
use crate::cdr::column::{Column, Named, Raw};
use crate::cdr::range::Range;
use crate::cdr::row::Rows;
use crate::cdr::source::{EARLIEST, Error, ROWS_MAX, Server, Source, aside};
use crate::time::{PbxTime, local};

/// Rows that tell the clock's offset.
const WITNESSES: usize = 20;

/// The local time may jump by an hour within the range, or have jumped since.
const JUMP: Duration = Duration::from_hours(1);

/// A call that lasts longer is looked for by hand.
const LONG: Duration = Duration::from_hours(24);

/// Columns without which no call can be made of rows.
const NEEDED: &[(Column, &str)] =
    &[(Column::Start, "calldate"), (Column::Channel, "channel"), (Column::Disposition, "disposition")];

/// … and of channel events.
const NEEDED_OF_EVENTS: &[(Event, &str)] = &[
    (Event::Kind, "eventtype"),
    (Event::Time, "eventtime"),
    (Event::Channel, "channame"),
    (Event::Uniqueid, "uniqueid"),
    (Event::Linkedid, "linkedid"),
];

enum Link {
    #[cfg(feature = "cdr-mysql")]
    Mysql(sqlx::MySqlConnection),
    #[cfg(feature = "cdr-postgres")]
    Postgres(sqlx::PgConnection),
    #[cfg(feature = "cdr-sqlite")]
    Sqlite(sqlx::SqliteConnection),
}

/// Columns of a table that are of use, and what it calls them.
struct Shape<C> {
    table: String,
    columns: Vec<(C, String)>,
    quote: char,
    text: &'static str,
    number: &'static str,
    /// Parameters have numbers, and types of their own.
    numbered: bool,
}

type Texts = Vec<Vec<Option<String>>>;

impl Source {
    pub(super) async fn read_table(&self, range: Range) -> Result<Rows, Error> {
        let (mut link, shape) = self.open(NEEDED).await?;
        let newest = self.ask(&mut link, shape.newest(), &[]).await?;
        let newest = shape.raws(newest);
        let Some(offset) = offset_of(&newest) else { return Ok(Rows::default()) };
        let local = |at: PbxTime, by: i64| local::text(at.micros() + offset + by);
        let lead = micros(Range::LEAD + JUMP + JUMP);
        let bounds = [-micros(LONG), -lead].map(|by| local(range.from, by));
        let [long, near] = bounds;
        let until = local(range.to, micros(JUMP));
        let bounds = if shape.has_duration() { vec![long, until, near] } else { vec![near, until] };
        let rows = self.ask(&mut link, shape.between(), &bounds).await?;
        link.close().await;
        aside(move || Rows::read(&shape.raws(rows), Some(offset))).await
    }

    pub(super) async fn newest_rows(&self) -> Result<Rows, Error> {
        let (mut link, shape) = self.open(NEEDED).await?;
        let newest = self.ask(&mut link, shape.newest(), &[]).await?;
        link.close().await;
        Ok(Rows::read(&shape.raws(newest), None))
    }

    pub(super) async fn oldest_rows(&self) -> Result<Rows, Error> {
        let (mut link, shape) = self.open(NEEDED).await?;
        let oldest = self.ask(&mut link, shape.oldest(), &[local::text(EARLIEST.micros())]).await?;
        link.close().await;
        Ok(Rows::read(&shape.raws(oldest), None))
    }

    /// Channel events of calls whose linkedids are within these, by time.
    pub(super) async fn read_linked(&self, bounds: [String; 2]) -> Result<Vec<Raw<Event>>, Error> {
        let (mut link, shape) = self.open(NEEDED_OF_EVENTS).await?;
        let events = self.ask(&mut link, shape.linked(), &bounds).await?;
        link.close().await;
        if events.len() > ROWS_MAX {
            return Err(Error::TooManyEvents);
        }
        aside(move || shape.raws(events).into_iter().filter(entry::is_of_use).collect()).await
    }

    pub(super) async fn newest_events(&self) -> Result<Vec<Raw<Event>>, Error> {
        let (mut link, shape) = self.open(NEEDED_OF_EVENTS).await?;
        let newest = self.ask(&mut link, shape.newest_by(&shape.order()), &[]).await?;
        link.close().await;
        Ok(shape.raws(newest).into_iter().rev().collect())
    }

    async fn open<C: Named>(&self, needed: &[(C, &'static str)]) -> Result<(Link, Shape<C>), Error> {
        let mut link = self.connect().await?;
        let (columns, bounds) = self.columns_query();
        let names = self.ask(&mut link, columns, &bounds).await?;
        let names = names.into_iter().filter_map(|mut row| row.pop().flatten());
        let columns: Vec<_> = names.filter_map(|name| Some((C::of_name(&name)?, name))).collect();
        let table = self.table().to_owned();
        for (column, named) in needed.iter().copied() {
            if !columns.iter().any(|(known, _)| *known == column) {
                return Err(Error::Column { place: self.place(), table, column: named });
            }
        }
        let (quote, text, number) = match self {
            Self::Postgres(_) | Self::Sqlite { .. } => ('"', "TEXT", "NUMERIC"),
            Self::Mysql(_) | Self::Csv { .. } => ('`', "CHAR", "SIGNED"),
        };
        let numbered = matches!(self, Self::Postgres(_));
        Ok((link, Shape { table, columns, quote, text, number, numbered }))
    }

    fn table(&self) -> &str {
        match self {
            Self::Csv { .. } => "",
            Self::Mysql(server) | Self::Postgres(server) => &server.table,
            Self::Sqlite { table, .. } => table,
        }
    }

    fn columns_query(&self) -> (String, Vec<String>) {
        let query = match self {
            Self::Sqlite { .. } | Self::Csv { .. } => "SELECT name FROM pragma_table_info(?)",
            Self::Mysql(_) => {
                "SELECT CAST(column_name AS CHAR) FROM information_schema.columns \
                 WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position"
            }
            Self::Postgres(_) => {
                "SELECT CAST(column_name AS TEXT) FROM information_schema.columns \
                 WHERE table_schema = ANY (current_schemas(false)) AND table_name = $1 ORDER BY ordinal_position"
            }
        };
        (query.to_owned(), vec![self.table().to_owned()])
    }

    async fn ask(&self, link: &mut Link, query: String, bounds: &[String]) -> Result<Texts, Error> {
        link.texts(query, bounds).await.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &sqlx::Error) -> Error {
        Error::Database { place: self.place(), detail: error.to_string() }
    }

    async fn connect(&self) -> Result<Link, Error> {
        match self {
            #[cfg(feature = "cdr-mysql")]
            Self::Mysql(server) => mysql(server).await.map_err(|error| self.failed(&error)),
            #[cfg(feature = "cdr-postgres")]
            Self::Postgres(server) => postgres(server).await.map_err(|error| self.failed(&error)),
            #[cfg(feature = "cdr-sqlite")]
            Self::Sqlite { path, .. } => sqlite(path).await.map_err(|error| self.failed(&error)),
            #[cfg(not(all(feature = "cdr-mysql", feature = "cdr-postgres", feature = "cdr-sqlite")))]
            _ => Err(self.not_built()),
            #[cfg(all(feature = "cdr-mysql", feature = "cdr-postgres", feature = "cdr-sqlite"))]
            Self::Csv { .. } => Err(Error::NotBuilt("a driver for files", "cdr-sqlite")),
        }
    }
}

#[cfg(any(feature = "cdr-mysql", feature = "cdr-postgres"))]
fn password(server: &Server) -> Option<String> {
    server.password.as_ref().map(|password| String::from_utf8_lossy(password.expose()).into_owned())
}

#[cfg(feature = "cdr-mysql")]
async fn mysql(server: &Server) -> Result<Link, sqlx::Error> {
    use sqlx::mysql::MySqlConnectOptions;
    let mut options = MySqlConnectOptions::new()
        .host(&server.host)
        .username(&server.user)
        .database(&server.database)
        // Old servers know nothing of what these set, and rows are only read.
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .disable_statement_logging();
    if let Some(port) = server.port {
        options = options.port(port);
    }
    if let Some(socket) = &server.socket {
        options = options.socket(socket);
    }
    if let Some(password) = password(server) {
        options = options.password(&password);
    }
    let mut connection = sqlx::MySqlConnection::connect_with(&options).await?;
    // MariaDB's word for it, then MySQL's; one of the two is not known, and neither is needed.
    for limit in ["SET SESSION max_statement_time = 15", "SET SESSION max_execution_time = 15000"] {
        let _ = sqlx::query(limit).execute(&mut connection).await;
    }
    let _ = sqlx::query("SET SESSION TRANSACTION READ ONLY").execute(&mut connection).await;
    Ok(Link::Mysql(connection))
}

#[cfg(feature = "cdr-postgres")]
async fn postgres(server: &Server) -> Result<Link, sqlx::Error> {
    use sqlx::postgres::PgConnectOptions;
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&server.host)
        .port(server.port.unwrap_or(5432))
        .username(&server.user)
        .database(&server.database)
        .options([("statement_timeout", "15s"), ("default_transaction_read_only", "on"), ("TimeZone", "UTC")])
        .disable_statement_logging();
    if let Some(socket) = &server.socket {
        options = options.socket(socket);
    }
    if let Some(password) = password(server) {
        options = options.password(&password);
    }
    Ok(Link::Postgres(sqlx::PgConnection::connect_with(&options).await?))
}

#[cfg(feature = "cdr-sqlite")]
async fn sqlite(path: &std::path::Path) -> Result<Link, sqlx::Error> {
    use sqlx::sqlite::SqliteConnectOptions;
    /// Whoever writes has the file for milliseconds.
    const BUSY: Duration = Duration::from_secs(5);
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .create_if_missing(false)
        .busy_timeout(BUSY)
        .disable_statement_logging();
    Ok(Link::Sqlite(sqlx::SqliteConnection::connect_with(&options).await?))
}

macro_rules! texts {
    ($connection:expr, $query:expr, $bounds:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($query));
        for bound in $bounds {
            query = query.bind(bound.clone());
        }
        let mut texts = Vec::new();
        for row in query.fetch_all($connection).await? {
            let values = (0..row.len()).map(|at| row.try_get_unchecked::<Option<String>, usize>(at));
            texts.push(values.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(texts)
    }};
}

impl Link {
    async fn texts(&mut self, query: String, bounds: &[String]) -> Result<Texts, sqlx::Error> {
        match self {
            #[cfg(feature = "cdr-mysql")]
            Self::Mysql(connection) => texts!(connection, query, bounds),
            #[cfg(feature = "cdr-postgres")]
            Self::Postgres(connection) => texts!(connection, query, bounds),
            #[cfg(feature = "cdr-sqlite")]
            Self::Sqlite(connection) => texts!(connection, query, bounds),
        }
    }

    /// Says good-bye; a link that is only dropped is the server's to find.
    async fn close(self) {
        let _ = match self {
            #[cfg(feature = "cdr-mysql")]
            Self::Mysql(connection) => connection.close().await,
            #[cfg(feature = "cdr-postgres")]
            Self::Postgres(connection) => connection.close().await,
            #[cfg(feature = "cdr-sqlite")]
            Self::Sqlite(connection) => connection.close().await,
        };
    }
}

impl<C: Named> Shape<C> {
    fn select(&self) -> String {
        let column = |(_, name): &(C, String)| format!("CAST({} AS {})", self.quoted(name), self.text);
        let columns: Vec<_> = self.columns.iter().map(column).collect();
        format!("SELECT {} FROM {}", columns.join(", "), self.quoted(&self.table))
    }

    /// What the table calls a column.
    fn name(&self, column: C) -> Option<String> {
        self.columns.iter().find(|(known, _)| *known == column).map(|(_, name)| self.quoted(name))
    }

    fn newest_by(&self, column: &str) -> String {
        format!("{} ORDER BY {column} DESC LIMIT {WITNESSES}", self.select())
    }

    fn parameter(&self, at: usize) -> String {
        if self.numbered { format!("${at}") } else { "?".to_owned() }
    }

    fn time(&self, at: usize) -> String {
        let parameter = self.parameter(at);
        if self.numbered { format!("CAST({parameter} AS TIMESTAMP)") } else { parameter }
    }

    fn quoted(&self, name: &str) -> String {
        let quote = self.quote;
        format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))
    }

    fn raws(&self, rows: Texts) -> Vec<Raw<C>> {
        let raw = |row: Vec<Option<String>>| {
            let values = self.columns.iter().zip(row);
            values.filter_map(|((column, _), value)| Some((*column, value?))).collect()
        };
        rows.into_iter().map(raw).collect()
    }
}

impl Shape<Column> {
    fn start(&self) -> String {
        self.name(Column::Start).unwrap_or_default()
    }

    fn newest(&self) -> String {
        self.newest_by(&self.start())
    }

    fn oldest(&self) -> String {
        let (select, start, from) = (self.select(), self.start(), self.time(1));
        format!("{select} WHERE {start} >= {from} ORDER BY {start} LIMIT {WITNESSES}")
    }

    /// Rows by their beginning, which has the index. Those that began long before are of use only when they
    /// lasted: the others would be a day's for each hour that is read.
    fn between(&self) -> String {
        let (select, start) = (self.select(), self.start());
        let [from, to, near] = [1, 2, 3].map(|at| self.time(at));
        let lasted = self.name(Column::Duration).map(|name| {
            let seconds = JUMP.as_secs();
            format!(" AND ({start} >= {near} OR CAST({name} AS {}) >= {seconds})", self.number)
        });
        let (lasted, limit) = (lasted.unwrap_or_default(), ROWS_MAX + 1);
        format!("{select} WHERE {start} BETWEEN {from} AND {to}{lasted} ORDER BY {start} LIMIT {limit}")
    }

    fn has_duration(&self) -> bool {
        self.name(Column::Duration).is_some()
    }
}

impl Shape<Event> {
    /// In which order events were written, by an index.
    fn order(&self) -> String {
        self.name(Event::Place).or_else(|| self.name(Event::Linkedid)).unwrap_or_default()
    }

    fn linked(&self) -> String {
        let [linkedid, time] =
            [Event::Linkedid, Event::Time].map(|column| self.name(column).unwrap_or_default());
        let [from, to] = [1, 2].map(|at| self.parameter(at));
        let order = self.name(Event::Place).map_or(time.clone(), |place| format!("{time}, {place}"));
        let limit = ROWS_MAX + 1;
        format!("{} WHERE {linkedid} BETWEEN {from} AND {to} ORDER BY {order} LIMIT {limit}", self.select())
    }
}

/// How far the clock of the newest rows is ahead of UTC.
fn offset_of(newest: &[Raw]) -> Option<i64> {
    let read = Rows::read(newest, None);
    let shown = newest.iter().filter_map(|raw| raw.get(Column::Start).and_then(local::parse)).max()?;
    let at = read.rows.iter().map(|row| row.start.micros()).max()?;
    Some(shown - at)
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
