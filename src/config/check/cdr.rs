//! The `[pbx.cdr]` tables: where calls are found that nobody followed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::call::id::PbxName;
use crate::cdr::source::events::Events;
use crate::cdr::source::{Server, Source};
use crate::config::Cdr;
use crate::config::check::tls::is_loopback;
use crate::config::check::{Report, is_absolute, pbx};
use crate::config::file::{CdrKind, CdrTable};
use crate::config::surroundings::Surroundings;

/// More would bring calls of weeks ago into a CRM at once; `repair` does that when a person wants it.
const LOOK_BACK_MAX: Duration = Duration::from_hours(168);
/// A call may wait so long for its records.
const BATCH_TIME_MAX: Duration = Duration::from_hours(1);

/// FreePBX, Issabel and the modules of Asterisk call it so.
const DATABASE: &str = "asteriskcdrdb";
const TABLE: &str = "cdr";
/// `MikoPBX` calls it so.
const MIKO_TABLE: &str = "cdr_general";

/// Checks a table; `None` when something of it is wrong, or this build has no driver for it.
pub(super) fn table(
    name: &PbxName,
    table: &CdrTable,
    surroundings: &impl Surroundings,
    report: &mut Report,
) -> Option<Cdr> {
    let cdr = described(name, table, surroundings, report)?;
    match cdr.source.lacks_driver() {
        Some(error) => {
            report.fail(&format!("[pbx.cdr] of \"{name}\""), error.to_string(), "");
            None
        }
        None => Some(cdr),
    }
}

/// What a table says, whatever this build can read.
fn described(
    name: &PbxName,
    table: &CdrTable,
    surroundings: &impl Surroundings,
    report: &mut Report,
) -> Option<Cdr> {
    let place = format!("[pbx.cdr] of \"{name}\"");
    let look_back = table.look_back.duration();
    if look_back.is_zero() || look_back > LOOK_BACK_MAX {
        let advice = "leave it out, or take \"24h\"; ami2amo repair fetches older calls";
        report.fail(&place, "look-back is not within 1s to 168h", advice);
        return None;
    }
    let batch_time = table.batch_time.duration();
    if batch_time > BATCH_TIME_MAX {
        let advice = "take what cdr.conf has as its time, \"0s\" where it has batch = no; calls that a gap cut short wait so long";
        report.fail(&place, "batch-time is above 1h", advice);
        return None;
    }
    misplaced(&place, table, report)?;
    let source = match table.kind {
        CdrKind::Csv => Source::Csv { path: path(&place, table, report)? },
        CdrKind::Sqlite => Source::Sqlite {
            path: path(&place, table, report)?,
            table: word(&place, "table", table.table.as_deref().unwrap_or(MIKO_TABLE), report)?,
        },
        CdrKind::Mysql => Source::Mysql(server(&place, table, surroundings, report)?),
        CdrKind::Postgres => Source::Postgres(server(&place, table, surroundings, report)?),
    };
    let cel = match &table.cel {
        Some(cel) => Some(events(&place, table.kind, cel, report)?),
        None => None,
    };
    report.ok(&place, format!("{}, up to {} h back", source.place(), look_back.as_secs().div_ceil(3600)));
    if let Some(cel) = &cel {
        report.ok(&place, format!("channel events: {}", source.events_place(cel)));
    }
    Some(Cdr { source, cel, look_back, batch_time })
}

/// Channel events are where the records are: in a file beside a file, in a table beside a table.
fn events(place: &str, kind: CdrKind, cel: &str, report: &mut Report) -> Option<Events> {
    match kind {
        CdrKind::Csv => {
            let path = PathBuf::from(cel);
            if !path.is_absolute() {
                let advice =
                    "beside a file they are in one: cel = \"/var/log/asterisk/cel-custom/Master.csv\"";
                report.fail(place, format!("cel {cel:?} is no absolute path"), advice);
                return None;
            }
            Some(Events::Csv { path })
        }
        CdrKind::Sqlite | CdrKind::Mysql | CdrKind::Postgres => {
            let name = word(place, "cel", cel, report)?;
            Some(Events::Table { name })
        }
    }
}

/// Refuses keys that this kind has no use for: who wrote them meant something.
fn misplaced(place: &str, table: &CdrTable, report: &mut Report) -> Option<()> {
    let CdrTable { path, host, port, socket, user, password, password_file, database, .. } = table;
    let of_server = [
        ("host", host.is_some()),
        ("port", port.is_some()),
        ("socket", socket.is_some()),
        ("user", user.is_some()),
        ("password", password.is_some()),
        ("password-file", password_file.is_some()),
        ("database", database.is_some()),
    ];
    let is_file = matches!(table.kind, CdrKind::Csv | CdrKind::Sqlite);
    let wrong = if is_file {
        of_server.into_iter().find_map(|(key, is_set)| is_set.then_some(key))
    } else {
        path.is_some().then_some("path")
    };
    let wrong = wrong.or((table.kind == CdrKind::Csv && table.table.is_some()).then_some("table"));
    let Some(key) = wrong else { return Some(()) };
    let advice =
        "files have a path (and sqlite a table), databases host, user, password-file, database and table";
    report.fail(place, format!("{key} has no meaning for this kind"), advice);
    None
}

fn path(place: &str, table: &CdrTable, report: &mut Report) -> Option<PathBuf> {
    let Some(path) = &table.path else {
        let advice = "for example path = \"/var/log/asterisk/cdr-csv/Master.csv\"";
        report.fail(place, "path is missing", advice);
        return None;
    };
    is_absolute(place, "path", path, report).then(|| path.clone())
}

fn server(
    place: &str,
    table: &CdrTable,
    surroundings: &impl Surroundings,
    report: &mut Report,
) -> Option<Server> {
    let Some(user) = table.user.clone().filter(|user| !user.is_empty()) else {
        report.fail(place, "user is missing", "a database user who may read this one table, see docs/cdr.md");
        return None;
    };
    let password = match (&table.password, &table.password_file) {
        (Some(_), Some(_)) => {
            let advice = "keep one, better password-file";
            report.fail(place, "password and password-file are both set", advice);
            return None;
        }
        (Some(password), None) => Some(password.clone()),
        (None, Some(path)) => Some(pbx::file_secret(place, "password-file", path, surroundings, report)?),
        (None, None) => None,
    };
    let host = table.host.clone().unwrap_or_else(|| "127.0.0.1".to_owned());
    if table.socket.is_none() && !is_loopback(&host) {
        let advice = "records go over the network as the database sends them; a tunnel hides them from everybody between";
        report.warn(place, format!("the database is on another host, {host}"), advice);
    }
    let absolute = |path: &Path, report: &mut Report| is_absolute(place, "socket", path, report);
    if let Some(socket) = &table.socket {
        absolute(socket, report).then_some(())?;
    }
    Some(Server {
        host,
        port: table.port,
        socket: table.socket.clone(),
        user,
        password,
        database: word(place, "database", table.database.as_deref().unwrap_or(DATABASE), report)?,
        table: word(place, "table", table.table.as_deref().unwrap_or(TABLE), report)?,
    })
}

/// A name that a database can have: it becomes part of what is asked.
fn word(place: &str, key: &str, name: &str, report: &mut Report) -> Option<String> {
    const NAME_MAX: usize = 64;
    let is_one = (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-$".contains(&byte));
    if !is_one {
        report.fail(place, format!("{key} {name:?} is no name"), "letters, digits, '_', '-' and '$'");
    }
    is_one.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::Grade;
    use crate::config::surroundings::Host;

    /// What is found wrong with a table, and where its channel events are.
    fn checked(keys: &str) -> (Vec<String>, Option<Events>) {
        let mut report = Report::default();
        let cdr = described(&PbxName::default(), &toml::from_str(keys).unwrap(), &Host::Look, &mut report);
        let failed = report.findings.iter().filter(|finding| finding.grade == Grade::Fail);
        (failed.map(|finding| finding.text.clone()).collect(), cdr.and_then(|cdr| cdr.cel))
    }

    #[track_caller]
    fn refused(keys: &str, why: &str) {
        let (failed, cel) = checked(keys);
        assert!(failed.len() == 1 && failed[0].contains(why) && cel.is_none(), "{keys}: {failed:?}");
    }

    #[test]
    fn channel_events_are_a_file_beside_a_file_and_a_table_beside_a_table() {
        let file = "kind = \"csv\"\npath = \"/log/cdr-csv/Master.csv\"\n";
        let cel = Events::Csv { path: "/log/cel-custom/Master.csv".into() };
        assert_eq!(checked(&format!("{file}cel = \"/log/cel-custom/Master.csv\"")), (vec![], Some(cel)));
        refused(&format!("{file}cel = \"cel\""), "\"cel\" is no absolute path");
        for kind in [
            "kind = \"mysql\"\nuser = \"u\"",
            "kind = \"postgres\"\nuser = \"u\"",
            "kind = \"sqlite\"\npath = \"/a\"",
        ] {
            let cel = Events::Table { name: "cel".to_owned() };
            assert_eq!(checked(&format!("{kind}\ncel = \"cel\"")), (vec![], Some(cel)));
            refused(&format!("{kind}\ncel = \"/log/cel-custom/Master.csv\""), "is no name");
        }
        assert_eq!(checked(file), (vec![], None));
    }

    #[test]
    fn times_that_would_hold_calls_up_are_refused() {
        let file = "kind = \"csv\"\npath = \"/log/cdr-csv/Master.csv\"\n";
        for (key, right, wrong) in
            [("look-back", ["1s", "168h"], ["0s", "169h"]), ("batch-time", ["0s", "1h"], ["61m", "2h"])]
        {
            for time in right {
                assert_eq!(checked(&format!("{file}{key} = {time:?}")).0, Vec::<String>::new(), "{time}");
            }
            for time in wrong {
                refused(&format!("{file}{key} = {time:?}"), key);
            }
        }
    }
}
