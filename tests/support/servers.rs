//! Database servers in folders of their own, on loopback; killed when dropped.

#![allow(clippy::allow_attributes, dead_code, reason = "each feature uses a part")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// `mariadbd`, with an empty database `asteriskcdrdb`.
pub struct Maria {
    dir: TempDir,
    child: Child,
    pub port: u16,
}

/// `postgres`, with its own database `postgres`.
pub struct Postgres {
    dir: TempDir,
    bin: PathBuf,
    child: Child,
    pub port: u16,
}

/// Tries of a server that starts, a tenth of a second each.
const TRIES: usize = 300;

fn named(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        println!("{variable} is not set: this database is not tried");
    }
    path
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn done(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl Maria {
    pub fn start() -> Option<Self> {
        let program = named("AMI2AMO_MARIADB")?;
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let user = format!("--user={}", whoami());
        let mut install = Command::new("mariadb-install-db");
        install.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db", &user]);
        assert!(done(&mut install), "mariadb-install-db works");
        let port = free_port();
        let mut server = Command::new(program);
        server.arg("--no-defaults").arg(format!("--datadir={}", data.display())).arg(user);
        server.arg(format!("--socket={}", dir.path().join("sock").display()));
        server.args(["--bind-address=127.0.0.1", &format!("--port={port}"), "--innodb-buffer-pool-size=16M"]);
        let child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let maria = Self { dir, child, port };
        let up = (0..TRIES).any(|_| {
            let is_up = done(&mut maria.client(&["-e", "CREATE DATABASE IF NOT EXISTS asteriskcdrdb"]));
            is_up || pause()
        });
        assert!(up, "the server starts");
        Some(maria)
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut client = Command::new("mariadb");
        client.arg("--no-defaults").arg(format!("--socket={}", self.socket().display())).arg("--user=root");
        client.args(arguments);
        client
    }

    pub fn run(&self, sql: &str) {
        assert!(done(&mut self.client(&["asteriskcdrdb", "-e", sql])), "{sql}");
    }

    pub fn stop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Maria {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Postgres {
    pub fn start() -> Option<Self> {
        let bin = named("AMI2AMO_POSTGRES")?;
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        // It refuses to be root.
        assert!(whoami() != "root" || done(Command::new("chown").arg("postgres").arg(dir.path())));
        let mut init = as_postgres(&bin.join("initdb"));
        init.arg("-D").arg(&data).args(["-A", "trust", "-N", "-E", "UTF8"]);
        assert!(done(&mut init), "initdb works");
        let port = free_port();
        let mut server = as_postgres(&bin.join("postgres"));
        server
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-F", "-k"])
            .arg(dir.path());
        let child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let postgres = Self { dir, bin, child, port };
        assert!((0..TRIES).any(|_| done(&mut postgres.client("SELECT 1")) || pause()), "the server starts");
        Some(postgres)
    }

    fn client(&self, sql: &str) -> Command {
        let mut client = as_postgres(&self.bin.join("psql"));
        client.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-v", "ON_ERROR_STOP=1"]);
        client.args(["-d", "postgres", "-c", sql]);
        client
    }

    pub fn run(&self, sql: &str) {
        assert!(done(&mut self.client(sql)), "{sql}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = as_postgres(&self.bin.join("pg_ctl"));
        done(stop.arg("-D").arg(self.dir.path().join("data")).args(["-m", "immediate", "stop"]));
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn as_postgres(program: &Path) -> Command {
    if whoami() != "root" {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=KILL"]).arg(program);
    command
}

fn whoami() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A tenth of a second for a server that starts; says `false`, to go on asking.
fn pause() -> bool {
    assert!(done(Command::new("sleep").arg("0.1")));
    false
}

/// A file with these statements done.
#[cfg(feature = "cdr-sqlite")]
pub async fn sqlite(path: &Path, statements: &[String]) {
    use sqlx::{AssertSqlSafe, Connection as _};
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}
