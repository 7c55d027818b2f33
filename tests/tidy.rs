//! Rules of the repository that no compiler holds. A rule that fails names each place.
//! Tests at the end of a file may import what they like.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use source::{code, is_word, macros, paths};

#[path = "tidy/source.rs"]
mod source;

/// Who may import whom: a room imports from its own level and the levels before it.
const LEVELS: &[&[&str]] = &[
    &["packing", "panics", "pseudonym", "time"],
    &["ami"],
    &["call"],
    &["cdr"],
    &["amo"],
    &["outbox"],
    &["config", "intake", "ops"],
    &["capture", "daemon", "replay"],
    &["cli"],
    &["main"],
];

/// Reads the clocks; the shell may import it anywhere, and it knows nothing but the types of time.
const CLOCK: &str = "clock";

/// A longer file has a room of its own for a part.
const FILE_LINES_MAX: usize = 450;

/// What a file that calls itself pure does not touch, as the beginnings of paths.
const IMPURE_PATHS: &[&str] = &[
    "tokio",
    "tokio_util",
    "sled",
    "reqwest",
    "std::env",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
    "jiff::Timestamp::now",
    "crate::clock",
];

/// Macros that a pure file does not call: it returns its news, and the caller logs.
const IMPURE_MACROS: &[&str] =
    &["debug", "info", "warn", "error", "print", "println", "eprint", "eprintln", "dbg"];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "manager", "mod"];

/// The corner cases of the AMI reader are numbered 1 to 30; these are no matter of bytes and events alone, so
/// no script of events can show them.
const CASES_ELSEWHERE: &[(u32, &str)] = &[
    (2, "end of stream before the banner: the connection"),
    (17, "a reply without ActionID, or none: the session"),
    (18, "lists that are interrupted or incomplete: the session"),
    (19, "authentication failed again and again: the connection's pauses"),
    (20, "login already in use: the connection's pauses"),
    (21, "MD5 challenge: the session"),
    (23, "a manager user without agent, cdr or dialplan: the session"),
    (24, "permission denied for an action: the session"),
    (27, "a blocked consumer at 500 events a second: the intake"),
    (29, "values that must never be sent: the session's types"),
    (30, "self-signed certificates: the connection"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository: its path from the root, and its text if it is text.
struct File {
    path: String,
    text: Option<String>,
}

impl File {
    fn has_extension(&self, extensions: &[&str]) -> bool {
        let extension = Path::new(&self.path).extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| extensions.contains(&extension))
    }

    fn is_rust_under(&self, folders: &[&str]) -> bool {
        self.has_extension(&["rs"]) && folders.iter().any(|folder| self.path.starts_with(folder))
    }

    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    fn is_pure(&self) -> bool {
        self.text().starts_with("//! Pure:")
    }
}

/// Every file of the repository, sorted; not what builds and tools leave behind.
fn files() -> Vec<File> {
    let mut folders = vec![root().to_path_buf()];
    let mut paths = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository can be read") {
            let path = entry.expect("a folder's entry can be read").path();
            let name =
                path.file_name().expect("an entry of a folder has a name").to_string_lossy().into_owned();
            if path.is_dir() && !["target", ".git", "__pycache__"].contains(&name.as_str()) {
                folders.push(path);
            } else if path.is_file() && name != ".git" {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| File { text: fs::read_to_string(&path).ok(), path: relative(&path) })
        .collect()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("found under the root").to_string_lossy().into_owned()
}

fn source_files() -> Vec<File> {
    files().into_iter().filter(|file| file.is_rust_under(&["src/"])).collect()
}

fn assert_none(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

// ---- the rules ------------------------------------------------------------------------------------

/// The room of a source file: `src/call/talk.rs` and `src/call.rs` are `call`.
fn room(path: &str) -> &str {
    path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default()
}

fn level(room: &str) -> Option<usize> {
    LEVELS.iter().position(|rooms| rooms.contains(&room))
}

/// The rooms that a file imports from.
fn imported_rooms(file: &File) -> BTreeSet<String> {
    let code = code(file.text());
    let depth = file.path.matches('/').count();
    let from_root = format!("{}::", vec!["super"; depth].join("::"));
    let crate_paths = paths(&code).into_iter().filter_map(|path| {
        ["crate::", "ami2amo::", &from_root]
            .iter()
            .find_map(|root| path.strip_prefix(root))
            .map(str::to_owned)
    });
    let rooms = crate_paths.map(|path| path.split("::").next().unwrap_or_default().to_owned());
    rooms.filter(|imported| imported != room(&file.path)).collect()
}

#[test]
fn pure_files_touch_no_clock_file_socket_or_log() {
    let mut faults = Vec::new();
    for file in source_files().iter().filter(|file| file.is_pure()) {
        let code = code(file.text());
        let begins =
            |path: &str, with: &str| path.strip_prefix(with).is_some_and(|rest| !rest.starts_with(is_word));
        for path in paths(&code) {
            if IMPURE_PATHS.iter().any(|impure| begins(&path, impure)) {
                faults.push(format!("{}: {path}", file.path));
            }
        }
        let called = macros(&code).into_iter().filter(|name| IMPURE_MACROS.contains(name));
        faults.extend(called.map(|name| format!("{}: {name}!", file.path)));
    }
    assert_none("a file that starts with `//! Pure:` takes bytes and times and returns values", &faults);
}

#[test]
fn every_room_has_a_level() {
    let rooms: BTreeSet<String> = source_files().iter().map(|file| room(&file.path).to_owned()).collect();
    let without =
        rooms.into_iter().filter(|room| !["lib", CLOCK].contains(&room.as_str()) && level(room).is_none());
    assert_none("a new room says in LEVELS whom it may import", &without.collect::<Vec<_>>());
}

#[test]
fn imports_run_one_way() {
    let mut faults = Vec::new();
    let mut sideways: BTreeMap<(String, String), String> = BTreeMap::new();
    for file in source_files().iter().filter(|file| room(&file.path) != "lib") {
        let from = room(&file.path).to_owned();
        for to in imported_rooms(file) {
            let allowed = if from == CLOCK {
                to == "time"
            } else if to == CLOCK {
                !file.is_pure()
            } else {
                level(&to).is_none_or(|to| Some(to) <= level(&from))
            };
            if !allowed {
                faults.push(format!("{}: `{from}` imports `{to}`", file.path));
            }
            if level(&from) == level(&to) && sideways.contains_key(&(to.clone(), from.clone())) {
                faults.push(format!("{}: `{from}` and `{to}` import each other", file.path));
            }
            sideways.insert((from.clone(), to), file.path.clone());
        }
    }
    assert_none("imports run one way, from the ground up", &faults);
}

#[test]
fn no_file_is_long() {
    let mut faults = Vec::new();
    for file in files().iter().filter(|file| file.is_rust_under(&["src/", "benches/", "examples/"])) {
        let lines = file.text().lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("{}: {lines} lines", file.path));
        }
    }
    assert_none("a file of more lines has a room of its own for a part", &faults);
}

#[test]
fn nothing_is_left_unfinished() {
    let marks =
        [concat!("to", "do!"), concat!("un", "implemented!"), concat!("FIX", "ME"), concat!("X", "XX")];
    let mut faults = Vec::new();
    for file in files().iter().filter(|file| file.has_extension(&["rs", "py", "sh", "toml"])) {
        for (number, line) in file.text().lines().enumerate() {
            let has = |mark: &&str| line.match_indices(*mark).any(|(at, mark)| stands_alone(line, at, mark));
            faults.extend(
                marks
                    .iter()
                    .find(|mark| has(mark))
                    .map(|mark| format!("{}:{}: {mark}", file.path, number + 1)),
            );
        }
    }
    assert_none("what is not done is in an issue, not in the code", &faults);
}

/// Whether no word goes on before or after the text found.
fn stands_alone(line: &str, at: usize, found: &str) -> bool {
    !line[..at].ends_with(is_word) && !line[at + found.len()..].starts_with(is_word)
}

#[test]
fn every_test_runs() {
    let mark = concat!("#[ign", "ore");
    let rust = files().into_iter().filter(|file| file.has_extension(&["rs"]) && file.text().contains(mark));
    assert_none("a test that does not run protects nobody", &rust.map(|file| file.path).collect::<Vec<_>>());
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    let places = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/")];
    let mut faults = Vec::new();
    for file in files() {
        for (number, line) in file.text().lines().enumerate() {
            let has = |place: &&str| line.match_indices(*place).any(|(at, _)| !line[..at].ends_with(is_word));
            faults.extend(
                places
                    .iter()
                    .find(|place| has(place))
                    .map(|place| format!("{}:{}: {place}", file.path, number + 1)),
            );
        }
    }
    assert_none("a path of one machine means nothing on another", &faults);
}

#[test]
fn names_say_what_is_inside() {
    let code = files().into_iter().filter(|file| file.has_extension(&["rs", "py"]));
    let empty = code.filter(|file| {
        let stem = file.path.rsplit_once('.').map_or(file.path.as_str(), |(stem, _)| stem);
        stem.split('/').any(|part| EMPTY_NAMES.contains(&part))
    });
    assert_none("a file is named after what is inside", &empty.map(|file| file.path).collect::<Vec<_>>());
}

#[test]
fn both_readmes_have_the_same_sections() {
    let files = files();
    let headings = |name: &str| {
        files.iter().find(|file| file.path == name).map(|file| {
            let mut fenced = false;
            let lines = file.text().lines().filter(|line| {
                fenced ^= line.starts_with("```");
                !fenced && line.starts_with('#')
            });
            lines.map(|line| line.chars().take_while(|&c| c == '#').count()).collect::<Vec<_>>()
        })
    };
    if let (Some(english), Some(russian)) = (headings("README.md"), headings("README.ru.md")) {
        assert_eq!(english, russian, "levels of the headings of README.md and README.ru.md");
    }
}

#[test]
fn every_corner_case_of_the_reader_has_a_script() {
    let Ok(folder) = fs::read_dir(root().join("tests/cases")) else { return };
    let names = folder
        .map(|entry| entry.expect("an entry can be read").file_name().into_string().expect("a plain name"));
    let scripts: BTreeSet<u32> = names.filter_map(|name| name.split('-').next()?.parse().ok()).collect();
    let (elsewhere, missing): (Vec<u32>, Vec<u32>) = (1..=30)
        .filter(|number| !scripts.contains(number))
        .partition(|number| CASES_ELSEWHERE.iter().any(|(other, _)| other == number));
    println!("corner cases 1 to 30 without a script: shown elsewhere {elsewhere:?}, missing {missing:?}");
    assert!(missing.is_empty(), "tests/cases has no NNN-name.txt for {missing:?}");
}
