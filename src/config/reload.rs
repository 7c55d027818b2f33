//! Pure: what of a configuration that was read again counts at once, and what only from the next
//! start on.

use std::sync::Arc;

use crate::call::policy::Policy as Calls;
use crate::config::{Config, Pbx, Policy, Setup};

/// What a configuration that was read again means for the daemon that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Reload {
    /// Judges calls from here on; the connection to amoCRM is that of the start.
    pub policy: Arc<Policy>,
    /// The tables in which it differs: `[calls]`.
    pub changed: Vec<String>,
    /// What differs and needs a restart: `[store] dir`.
    pub restart: Vec<String>,
}

/// Compares `read` with what runs.
pub fn reload(running: &Config, read: &Config) -> Reload {
    let mut restart = setup_differences(&running.setup, &read.setup);
    let amocrm = read.policy.amocrm.connection_differences(&running.policy.amocrm);
    restart.extend(amocrm.into_iter().map(|key| format!("[amocrm] {key}")));
    restart.extend(account_differences(&running.policy, &read.policy));
    let new = Policy::clone(&read.policy);
    let amocrm = new.amocrm.with_connection_of(&running.policy.amocrm);
    let accounts = running.policy.accounts.iter().map(|old| match read.policy.account(&old.name) {
        Some(read) => read.clone().with_connection_of(old),
        // Its calls are delivered until the restart.
        None => old.clone(),
    });
    let policy = Policy { amocrm, accounts: accounts.collect(), ..new };
    let changed = policy_differences(&running.policy, &policy);
    Reload { policy: Arc::new(policy), changed, restart }
}

/// The tables in which the policies differ.
fn policy_differences(old: &Policy, new: &Policy) -> Vec<String> {
    let without_lines = |policy: &Policy| Calls { lines: Vec::new(), ..Calls::clone(&policy.calls) };
    let tables = [
        ("[calls]", without_lines(old) != without_lines(new)),
        ("[[line]]", old.calls.lines != new.calls.lines),
        ("[amocrm]", old.amocrm != new.amocrm),
        ("[delivery]", old.delivery != new.delivery),
    ];
    let of_accounts = new.accounts.iter().filter(|new| old.account(&new.name) != Some(*new));
    let of_accounts = of_accounts.map(|new| format!("[[account]] \"{}\"", new.name));
    let differing = tables.into_iter().filter(|(_, differs)| *differs).map(|(table, _)| table.to_owned());
    differing.chain(of_accounts).collect()
}

fn account_differences(running: &Policy, read: &Policy) -> Vec<String> {
    let differing = read.accounts.iter().flat_map(|new| match running.account(&new.name) {
        None => vec![format!("[[account]] \"{}\", which is new", new.name)],
        Some(old) => {
            let keys = new.connection_differences(old).into_iter();
            keys.map(|key| format!("[[account]] \"{}\" {key}", new.name)).collect()
        }
    });
    let gone = running.accounts.iter().filter(|old| read.account(&old.name).is_none());
    differing.chain(gone.map(|old| format!("[[account]] \"{}\", which is gone", old.name))).collect()
}

fn setup_differences(old: &Setup, new: &Setup) -> Vec<String> {
    let keys = [
        ("[store] dir", old.store_dir != new.store_dir),
        ("[store] hung-after", old.store_hung_after != new.store_hung_after),
        ("[admin] socket", old.admin_socket != new.admin_socket),
        ("[admin] listen", old.admin_listen != new.admin_listen),
        ("[log] level", old.log.filter != new.log.filter),
        ("[log] format", old.log.format != new.log.format),
        ("[hook]", old.hook != new.hook),
        ("[records]", old.records != new.records),
        ("[daemon] stop-timeout", old.stop_timeout != new.stop_timeout),
    ];
    let of_pbx = |pbx: &Pbx| match old.pbxs.iter().find(|old| old.name == pbx.name) {
        Some(old) => pbx_differences(old, pbx),
        None => vec![format!("[[pbx]] \"{}\", which is new", pbx.name)],
    };
    let gone = old.pbxs.iter().filter(|old| new.pbxs.iter().all(|pbx| pbx.name != old.name));
    let gone = gone.map(|pbx| format!("[[pbx]] \"{}\", which is gone", pbx.name));
    let differing = keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned());
    new.pbxs.iter().flat_map(of_pbx).chain(gone).chain(differing).collect()
}

fn pbx_differences(old: &Pbx, new: &Pbx) -> Vec<String> {
    let (before, after) = (&old.connection, &new.connection);
    let keys = [
        ("host", before.host != after.host),
        ("port", before.port != after.port),
        ("tls", !before.security.is_same(&after.security)),
        ("username", before.session.username != after.session.username),
        ("secret", !before.secret.is_same(&after.secret)),
        ("login", before.session.login != after.session.login),
        ("ping-interval", before.session.ping_interval != after.session.ping_interval),
        ("cdr", old.cdr != new.cdr),
    ];
    let differing = keys.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(key, _)| format!("[[pbx]] \"{}\" {key}", new.name)).collect()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::config::check;
    use crate::config::surroundings::{Folder, Surroundings};

    /// A host on which everything is in its place.
    struct Ideal;

    impl Surroundings for Ideal {
        fn variable(&self, _name: &str) -> Option<String> {
            None
        }

        fn read(&self, _path: &Path) -> io::Result<Vec<u8>> {
            Ok(b"abc".to_vec())
        }

        fn folder(&self, _path: &Path) -> Folder {
            Folder::Writable
        }

        fn has_credentials(&self) -> bool {
            true
        }
    }

    fn config(pbx: &str, rest: &str) -> Config {
        let text = format!(
            "[[pbx]]\nname = \"a\"\nhost = \"localhost\"\nusername = \"u\"\nsecret = \"s\"\n{pbx}\n\
             [amocrm]\nbase-url = \"https://a.amocrm.ru\"\ntoken = \"t\"\n{rest}"
        );
        let (findings, config) = check::examine(toml::from_str(&text).unwrap(), &Ideal);
        config.unwrap_or_else(|| panic!("{findings:#?}"))
    }

    #[test]
    fn what_is_the_same_changes_nothing() {
        let running = config("", "default-user = 1");
        let reload = reload(&running, &running);
        assert_eq!(reload, Reload { policy: running.policy, changed: Vec::new(), restart: Vec::new() });
    }

    #[test]
    fn a_policy_counts_at_once() {
        let running = config("", "default-user = 1");
        let read =
            config("", "default-user = 2\n[calls]\nresponsible = \"first\"\n[delivery]\nbatch-size = 7");
        let reload = reload(&running, &read);
        let changed = ["[calls]", "[amocrm]", "[delivery]"].map(str::to_owned).to_vec();
        assert_eq!(reload, Reload { policy: read.policy, changed, restart: Vec::new() });
    }

    #[test]
    fn what_is_read_once_is_named_and_does_not_count() {
        let running = config("", "request-timeout = \"30s\"");
        let other = "[[pbx]]\nname = \"b\"\nhost = \"localhost\"\nusername = \"u\"\nsecret = \"s\"";
        let read = config(
            &format!("port = 1\nlogin = \"plain\"\n{other}"),
            "request-timeout = \"3s\"\n[store]\ndir = \"/other\"\n[log]\nlevel = \"debug\"",
        );
        let forth = reload(&running, &read);
        let expected = [
            "[[pbx]] \"a\" port",
            "[[pbx]] \"a\" login",
            "[[pbx]] \"b\", which is new",
            "[store] dir",
            "[log] level",
            "[amocrm] request-timeout",
        ];
        assert_eq!(forth.restart, expected);
        assert_eq!(forth.policy.amocrm.request_timeout, running.policy.amocrm.request_timeout);
        let back = reload(&read, &running);
        assert!(back.restart.contains(&"[[pbx]] \"b\", which is gone".to_owned()), "{back:?}");
    }

    #[test]
    fn another_way_to_know_the_pbx_is_named() {
        let running = config("", "");
        let pinned = |digit: &str| {
            let pin = digit.repeat(64);
            config(&format!("tls = \"pin\"\ntls-fingerprint = \"{pin}\"\nport = 5038"), "")
        };
        assert_eq!(reload(&running, &pinned("a")).restart, ["[[pbx]] \"a\" tls"]);
        assert_eq!(reload(&pinned("a"), &pinned("b")).restart, ["[[pbx]] \"a\" tls"]);
        assert_eq!(reload(&pinned("a"), &pinned("a")).restart, Vec::<String>::new());
        assert_eq!(reload(&running, &config("allow-plaintext = true", "")).restart, ["[[pbx]] \"a\" tls"]);
    }

    #[test]
    fn users_of_an_account_count_at_once_and_accounts_from_the_next_start_on() {
        let account = |rest: &str| {
            format!("[[account]]\nname = \"b\"\nbase-url = \"https://b.amocrm.ru\"\ntoken = \"t\"\n{rest}")
        };
        let running = config("", &account("users.101 = 1"));
        let read = config("", &account("users.101 = 2\nrequests-per-second = 3").replace("b.amo", "c.amo"));
        let again = reload(&running, &read);
        assert_eq!(again.restart, ["[[account]] \"b\" base-url", "[[account]] \"b\" requests-per-second"]);
        let now = &again.policy.accounts[0];
        assert_eq!((now.users["101"], now.requests_per_second), (2, 5));
        assert_eq!(again.changed, ["[[account]] \"b\""]);
        let gone = reload(&running, &config("", ""));
        assert_eq!((gone.restart.len(), gone.policy.accounts.len()), (1, 1));
        let new = reload(&config("", ""), &running);
        assert_eq!(new.restart, ["[[account]] \"b\", which is new"]);
        assert!(new.policy.accounts.is_empty());
    }

    #[test]
    fn another_secret_is_named_and_not_shown() {
        let running = config("", "");
        let mut read = running.clone();
        read.setup.pbxs[0].connection.secret = crate::ami::connection::Secret::new(b"other".to_vec());
        let reload = reload(&running, &read);
        assert_eq!(reload.restart, ["[[pbx]] \"a\" secret"]);
    }
}
