//! The drill: what goes wrong at night, one thing at a time, and what whoever is woken is told of it. In each case
//! `ami2amo status` and the log name the cause and the remedy, a metric shows it, and the health checks answer what
//! `docs/operate.md` says. The real binary, a scripted Asterisk in front of it, a strict amoCRM behind.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use ami2amo::clock;
use ami2amo::ops::status::problem::Problem;
use tokio::net::{TcpStream, UnixStream};

use daemon::{Daemon, Host, LIMIT};
use fake_ami::{Clock, FakeAmi, Script, Step};
use fake_amo::{FakeAmo, Known, On, Options, What};
use prompt::{ask, missed_now};

#[path = "support/crowd.rs"]
mod crowd;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/fake_ami.rs"]
mod fake_ami;
#[path = "support/fake_amo.rs"]
mod fake_amo;
#[path = "support/prompt.rs"]
mod prompt;

/// What must be told of one trouble.
struct Told {
    code: &'static str,
    /// In the page of `status`, words without line breaks.
    cause: &'static str,
    remedy: &'static str,
    cause_in_russian: &'static str,
    remedy_in_russian: &'static str,
    /// The beginning of a line of `/metrics`.
    metric: &'static str,
    /// Of `status`, for monitoring.
    exit: i32,
    /// What `/readyz` says; `/healthz` says that the daemon lives in all of them.
    ready: u16,
}

/// The daemon with its surroundings.
struct Drill {
    _ami: Option<FakeAmi>,
    amo: FakeAmo,
    host: Host,
    daemon: Daemon,
}

/// What a drill begins with; each changes a part.
struct Plan {
    script: Script,
    options: Options,
    is_ami_there: bool,
    /// A line of the configuration, and what stands for it.
    edit: Option<(String, String)>,
    spoil: fn(&FakeAmo),
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            script: prompt::script(Vec::new()),
            options: Options::default(),
            is_ami_there: true,
            edit: None,
            spoil: |_| {},
        }
    }
}

impl Plan {
    async fn start(self) -> Drill {
        let amo = fake_amo::start(self.options).await;
        (self.spoil)(&amo);
        let ami = FakeAmi::start(self.script).await;
        let host = Host::with_amo(ami.port(), "", &amo.base_url(), &Options::default().token);
        if let Some((from, to)) = &self.edit {
            host.edit(from, to);
        }
        // Where it is dropped nobody listens on its port.
        let ami = Some(ami).filter(|_| self.is_ami_there);
        let daemon = host.start();
        Drill { _ami: ami, amo, host, daemon }
    }
}

impl Drill {
    /// All of what must be told; then the daemon is stopped in order.
    async fn tells(self, told: Told) {
        self.keeps_telling(told).await.ends().await;
    }

    async fn ends(self) {
        self.daemon.stopped().await;
    }

    /// All of what must be told; the trouble goes on.
    async fn keeps_telling(mut self, told: Told) -> Self {
        let line = self.daemon.logs(&format!("code=\"{}\"", told.code)).await.replace("\\\"", "\"");
        assert!(line.contains(told.remedy) && line.contains(told.cause), "{line}");
        // What was logged is the status of a moment ago; amoCRM may be asked a first time after it.
        let (code, page) = self.until_status(told.cause).await;
        assert!(page.contains(told.remedy), "{page}");
        assert_eq!(code, told.exit, "{page}");
        let (_, russian) = self.status("ru").await;
        assert!(
            russian.contains(told.cause_in_russian) && russian.contains(told.remedy_in_russian),
            "{russian}"
        );
        let metrics = self.get("/metrics").await;
        let problem = format!("ami2amo_problem{{code=\"{}\"}} 1", told.code);
        for wanted in [problem.as_str(), told.metric] {
            assert!(metrics.lines().any(|line| line.starts_with(wanted)), "{wanted}: {metrics}");
        }
        assert!(self.get("/healthz").await.starts_with("HTTP/1.1 200 "));
        let readiness = self.get("/readyz").await;
        assert!(readiness.starts_with(&format!("HTTP/1.1 {} ", told.ready)), "{readiness}");
        assert!(readiness.contains(told.code) && readiness.contains(told.remedy), "{readiness}");
        self
    }

    async fn until_status(&self, wanted: &str) -> (i32, String) {
        let heard = async {
            loop {
                let (code, page) = self.status("en").await;
                if page.contains(wanted) {
                    return (code, page);
                }
            }
        };
        let heard = tokio::time::timeout(LIMIT, heard).await;
        heard.unwrap_or_else(|_| panic!("status never says {wanted:?}"))
    }

    /// The exit code and the page in one line.
    async fn status(&self, language: &str) -> (i32, String) {
        let said = prompt::run(&self.host, &format!("status --language {language}"), "").await;
        (said.code, said.words())
    }

    async fn get(&self, place: &str) -> String {
        ask(UnixStream::connect(self.host.path("ctl.sock")).await.unwrap(), "GET", place, "").await
    }
}

/// A missed call that ends now.
fn missed(count: u32) -> String {
    String::from_utf8(missed_now(count).1).unwrap()
}

/// A call that extension 105 answered, and that ends now.
fn answered_now() -> String {
    let mut text = String::new();
    crowd::begin(5, &mut text);
    crowd::end(5, &mut text);
    text.replace("1795000000", &(clock::host().seconds() - 2).to_string())
}

fn script(text: String) -> Script {
    prompt::script(vec![Step::Send(text.into_bytes())])
}

/// A change of the `[amocrm]` table.
fn amocrm(lines: &str) -> (String, String) {
    ("default-user = 1\n".to_owned(), format!("default-user = 1\n{lines}\n"))
}

#[tokio::test]
async fn a_wrong_ami_secret() {
    let script = Script { secret: b"another".to_vec(), ..Script::default() };
    let told = Told {
        code: "pbx-refused",
        cause: "PBX default answers and does not let ami2amo in",
        remedy: "the username and secret of [[pbx]] \"default\" must be those of the user in manager.conf",
        cause_in_russian: "АТС default отвечает, но не пускает ami2amo",
        remedy_in_russian: "manager reload",
        metric: "ami2amo_pbx_login_refused{pbx=\"default\"} 1",
        exit: 2,
        ready: 503,
    };
    Plan { script, ..Plan::default() }.start().await.tells(told).await;
}

#[tokio::test]
async fn ami_is_down() {
    let told = Told {
        code: "pbx-down",
        cause: "PBX default is not connected: cannot connect to 127.0.0.1:",
        remedy: "on the PBX: asterisk -rx 'manager show settings' must say enabled",
        cause_in_russian: "нет связи с АТС default",
        remedy_in_russian: "manager show settings",
        metric: "ami2amo_pbx_up{pbx=\"default\"} 0",
        exit: 2,
        ready: 503,
    };
    Plan { is_ami_there: false, ..Plan::default() }.start().await.tells(told).await;
}

#[tokio::test]
async fn the_token_was_revoked() {
    let told = Told {
        code: "account-held",
        cause: "amoCRM account default takes nothing (unauthorized)",
        remedy: "make a new long-lived token",
        cause_in_russian: "аккаунт amoCRM default ничего не принимает (unauthorized)",
        remedy_in_russian: "создайте новый долгосрочный токен",
        metric: "ami2amo_account_held{account=\"default\",why=\"unauthorized\"} 1",
        exit: 2,
        ready: 200,
    };
    Plan { spoil: |amo| amo.set_token("another"), ..Plan::default() }.start().await.tells(told).await;
}

#[tokio::test]
async fn amocrm_answers_500() {
    let told = Told {
        code: "account-troubled",
        cause: "amoCRM account default does not answer well",
        remedy: "calls wait on the disk and are sent later",
        cause_in_russian: "аккаунт amoCRM default не отвечает как надо",
        remedy_in_russian: "звонки ждут на диске и уйдут позже",
        metric: "ami2amo_account_up{account=\"default\"} 0",
        exit: 1,
        ready: 200,
    };
    let spoil = |amo: &FakeAmo| amo.fault(On::Any, u32::MAX, What::Status(500));
    Plan { spoil, ..Plan::default() }.start().await.tells(told).await;
}

#[tokio::test]
async fn amocrm_bans_this_address() {
    let told = Told {
        code: "account-held",
        cause: "amoCRM account default takes nothing (banned)",
        remedy: "write to amoCRM's support",
        cause_in_russian: "аккаунт amoCRM default ничего не принимает (banned)",
        remedy_in_russian: "напишите в поддержку amoCRM",
        metric: "ami2amo_account_held{account=\"default\",why=\"banned\"} 1",
        exit: 2,
        ready: 200,
    };
    let spoil = |amo: &FakeAmo| amo.fault(On::Any, u32::MAX, What::Page(403));
    Plan { spoil, ..Plan::default() }.start().await.tells(told).await;
}

#[tokio::test]
async fn numbers_that_amocrm_does_not_know_pile_up() {
    let told = Told {
        code: "unknown-numbers",
        cause: "calls for account default that wait, because amoCRM does not know the number:",
        remedy: "make contacts with the numbers of ami2amo queue list --state parked --account default",
        cause_in_russian: "с номерами, которых amoCRM не знает",
        remedy_in_russian: "ami2amo queue list --state parked",
        metric: "ami2amo_account_waiting{account=\"default\",state=\"parked\"} 3",
        exit: 0,
        ready: 200,
    };
    let script = script((1..=3).map(missed).collect());
    let options = Options { known: Known::Only(Vec::new()), ..Options::default() };
    let edit = Some(amocrm("unknown = { inbound = \"park\" }"));
    let drill = Plan { script, options, edit, ..Plan::default() }.start().await;
    drill.until_status("3 parked").await;
    drill.tells(told).await;
}

#[tokio::test]
async fn an_extension_has_no_user() {
    let told = Told {
        code: "unmapped",
        cause: "extensions without a user in account default: 105",
        remedy: "add a line for each under [amocrm.users], such as \"105\" = USER",
        cause_in_russian: "с внутренних номеров без пользователя в amoCRM: 1 (105)",
        remedy_in_russian: "добавьте для каждого строку в [amocrm.users]",
        metric: "ami2amo_unmapped_extensions{account=\"default\"} 1",
        exit: 0,
        ready: 200,
    };
    let drill = Plan { script: script(answered_now()), ..Plan::default() }.start().await;
    drill.amo.wait_for(|state| state.notes.len() == 1).await;
    drill.tells(told).await;
}

#[tokio::test]
async fn the_clock_of_the_pbx_is_five_minutes_off() {
    let told = Told {
        code: "clock-off",
        cause: "the clocks differ: this host is 300 s ahead of PBX default",
        remedy: "set both clocks by NTP: timedatectl set-ntp true",
        cause_in_russian: "часы расходятся: этот сервер впереди АТС default на 300 с",
        remedy_in_russian: "выставьте часы по NTP",
        metric: "ami2amo_clock_ahead_seconds{pbx=\"default\"} 300.",
        exit: 1,
        ready: 200,
    };
    // Half a second less: the answer is on its way for a moment.
    let script = Script { clock: Clock::Off(-300.5), ..Script::default() };
    Plan { script, ..Plan::default() }.start().await.tells(told).await;
}

#[tokio::test]
async fn a_stock_freepbx_without_timestampevents() {
    let told = Told {
        code: "no-timestamps",
        cause: "events of PBX default carry no Timestamp",
        remedy: "/etc/asterisk/manager_custom.conf) add the lines [general](+) and timestampevents = yes",
        cause_in_russian: "события АТС default не несут Timestamp",
        remedy_in_russian: "добавьте строки [general](+) и timestampevents = yes",
        metric: "ami2amo_pbx_timestamps{pbx=\"default\"} 0",
        exit: 1,
        ready: 200,
    };
    let is_kept = |line: &&str| !line.starts_with("Timestamp: ");
    let text = missed(1).split_inclusive("\r\n").filter(is_kept).collect();
    Plan { script: script(text), ..Plan::default() }.start().await.tells(told).await;
}

/// A small file system, gone when dropped.
struct Disk(tempfile::TempDir);

/// Set where this test must be able to mount a small tmpfs.
const MUST_MOUNT: &str = "AMI2AMO_MUST_MOUNT";

impl Disk {
    /// `None`, loudly, where nothing may be mounted.
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        assert!(std::env::var_os(MUST_MOUNT).is_none(), "{MUST_MOUNT} is set, and no tmpfs can be mounted");
        eprintln!("NOT TESTED: a small disk needs a tmpfs, which this user may not mount");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// The store elsewhere.
fn store_at(folder: &Path) -> (String, String) {
    ("[store]\ndir = \"".to_owned(), format!("[store]\ndir = \"{}\"\n#\"", folder.display()))
}

#[tokio::test]
async fn the_disk_is_nearly_full() {
    let Some(disk) = Disk::mount("40m") else { return };
    let told = Told {
        code: "disk-low",
        cause: "MiB are left on the store's disk",
        remedy: "make room on it: du -xh / | sort -h | tail",
        cause_in_russian: "на диске хранилища осталось",
        remedy_in_russian: "освободите место",
        metric: "ami2amo_store_free_bytes ",
        exit: 1,
        ready: 200,
    };
    let edit = Some(store_at(&disk.0.path().join("store")));
    Plan { edit, ..Plan::default() }.start().await.tells(told).await;
}

#[tokio::test]
async fn the_disk_is_full() {
    let Some(disk) = Disk::mount("20m") else { return };
    let filler = disk.0.path().join("filler");
    let mut full = Command::new("dd");
    full.args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", filler.display()));
    assert!(!full.output().unwrap().status.success(), "the disk was to be full");
    let told = Told {
        code: "store-failed",
        cause: "the store takes no calls, they wait in memory: ",
        remedy: "make room on its disk",
        cause_in_russian: "хранилище не принимает звонки, они ждут в памяти",
        remedy_in_russian: "освободите место на его диске",
        metric: "ami2amo_store_up 0",
        exit: 2,
        ready: 503,
    };
    let edit = Some(store_at(&disk.0.path().join("store")));
    let drill = Plan { script: script(answered_now()), edit, ..Plan::default() }.start().await;
    let drill = drill.keeps_telling(told).await;
    // What the remedy promises: with room, the call that waited is delivered.
    std::fs::remove_file(filler).unwrap();
    drill.amo.wait_for(|state| state.notes.len() == 1).await;
    drill.ends().await;
}

/// Names of metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("ami2amo_")).map(str::to_owned).collect()
}

#[tokio::test]
async fn alerts_dashboard_and_documents_know_the_metrics_that_there_are() {
    let edit = Some(("[admin]\n".to_owned(), "[admin]\nlisten = \"127.0.0.1:0\"\n".to_owned()));
    let mut drill = Plan { script: script(answered_now()), edit, ..Plan::default() }.start().await;
    let line = drill.daemon.logs("metrics and health checks are served").await;
    let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
    drill.amo.wait_for(|state| state.notes.len() == 1).await;
    drill.until_status("1 sent").await;
    let stream = || async { TcpStream::connect(address).await.unwrap() };
    // What gives orders or names calls is not there.
    for place in ["/v1/status", "/v1/calls", "/v1/explain?call=1.1"] {
        let answer = ask(stream().await, "GET", place, "").await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{place}: {answer}");
    }
    assert!(ask(stream().await, "GET", "/readyz", "").await.starts_with("HTTP/1.1 200 "));
    assert!(ask(stream().await, "GET", "/healthz", "").await.starts_with("HTTP/1.1 200 "));
    let answer = ask(stream().await, "GET", "/metrics", "").await;
    let (_, page) = answer.split_once("\r\n\r\n").unwrap();
    // For Prometheus's own tool, where there is one.
    if let Some(file) = std::env::var_os("AMI2AMO_METRICS_PAGE") {
        std::fs::write(file, page).unwrap();
    }
    let typed = |line: &str| Some(line.strip_prefix("# TYPE ")?.split(' ').next()?.to_owned());
    let exported: BTreeSet<String> = page.lines().filter_map(typed).collect();
    assert!(exported.len() > 30, "{exported:?}");
    for (file, text) in [
        ("rules", include_str!("../config/prometheus/ami2amo.rules.yml")),
        ("dashboard", include_str!("../config/grafana/ami2amo.json")),
    ] {
        let used = metrics_in(text);
        assert!(used.len() > 10, "{file}: {used:?}");
        let unknown: Vec<_> = used.difference(&exported).collect();
        assert!(unknown.is_empty(), "{file}: no such metrics: {unknown:?}");
    }
    let docs = [include_str!("../docs/operate.md"), include_str!("../docs/operate.ru.md")];
    for text in docs {
        assert_eq!(metrics_in(text), exported);
    }
    let codes = Problem::CODES.map(|code| format!("| `{code}` |"));
    let missing: Vec<_> = codes.iter().filter(|code| docs.iter().any(|text| !text.contains(*code))).collect();
    assert!(missing.is_empty(), "not in the documents: {missing:?}");
    drill.daemon.stopped().await;
}
