//! `config/asterisk/`: the manager user that an administrator is asked to make. Calls are the same through
//! it as without it, what its filters leave out is really left out, and `docs/ami.md` says what each class is for.

#[path = "support/captures.rs"]
mod captures;
#[path = "support/stanza.rs"]
mod stanza;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ami2amo::ami::interest;
use ami2amo::call::policy::Policy;
use ami2amo::replay::End;
use serde_json::Value;
use stanza::{BY_NAME, SHIPPED, Stanza};

/// Both pages have the table of the classes; only the words around it differ.
const PAGES: [(&str, &str); 2] = [
    ("docs/ami.md", "The filters let {share} of the bytes through."),
    ("docs/ami.ru.md", "Фильтры пропускают {share} байтов."),
];

/// The table stands between these lines.
const TABLE: (&str, &str) = ("<!-- measured by tests/recipe.rs -->\n", "<!-- end -->\n");

/// What a class that is not needed is asked about.
const OPTIONAL: [&str; 5] = ["dialplan", "cdr", "agent", "user", "system"];

/// It passes the one file and not the other: it begins with the name of another event.
const LONGER_NAME: &str = "ParkedCallSwap";

/// A field of a record; a call that is missing or extra counts as one, too.
const CALL: &str = "call";

#[test]
fn every_call_is_the_same_through_the_shipped_files() {
    let by_name = Stanza::of(&stanza::text(BY_NAME));
    let (mut all, mut passing) = (0, 0);
    for capture in captured() {
        let seen = capture.seen(|block| block.passes);
        assert_eq!(calls(&seen), capture.calls, "{} through {SHIPPED}", capture.title);
        let differ = capture.blocks.iter().filter(|block| by_name.passes(block.event()) != block.passes);
        let names: BTreeSet<_> = differ.filter_map(|block| stanza::header(block.event(), "Event")).collect();
        assert!(names.is_empty() || names == BTreeSet::from([LONGER_NAME]), "{}: {names:?}", capture.title);
        (all, passing) = (all + capture.text.len(), passing + seen.len());
    }
    println!("recipe: {passing} of {all} bytes pass, {} % are left out", 100 - 100 * passing / all);
    assert!(passing * 3 < all, "two thirds of all are left out: {passing} of {all} pass");
}

#[test]
fn the_filters_let_through_what_the_daemon_reads_and_hardly_more() {
    let (mut lost, mut more) = (BTreeMap::new(), BTreeSet::new());
    for block in
        captured().iter().flat_map(|capture| &capture.blocks).filter(|block| block.privilege().is_some())
    {
        let event = block.event();
        let name = stanza::header(event, "Event").expect("an event has a name");
        match (is_read(name, event), block.passes) {
            (true, false) => {
                lost.insert(name, event);
            }
            (false, true) => {
                more.insert(stanza::header(event, "Variable").unwrap_or(name));
            }
            (true, true) | (false, false) => {}
        }
    }
    assert!(lost.is_empty(), "the daemon reads them: {lost:?}");
    // Names that begin with one that is read.
    assert_eq!(more.into_iter().collect::<Vec<_>>(), ["DIALSTATUS_CW", LONGER_NAME]);
}

#[test]
fn every_event_that_the_daemon_reads_is_in_both_files() {
    let of_newer = stanza::text(BY_NAME);
    let by_name = Stanza::of(&of_newer);
    let shipped = Stanza::shipped();
    let keys = stanza::settings(&of_newer, "ami2amo").into_iter().map(|(key, _)| key);
    let names: BTreeSet<_> =
        keys.filter_map(|key| key.strip_prefix("eventfilter(name(")?.split(')').next()).collect();
    assert!(names.len() > 30 && names.iter().all(|name| interest::wants_event(name.as_bytes())));
    for name in names.iter().filter(|name| !["UserEvent", "VarSet"].contains(name)) {
        let event = format!("Event: {name}\r\nPrivilege: call,all\r\n\r\n");
        assert!(by_name.passes(&event) && shipped.passes(&event), "{name}");
    }
}

/// Where `channelvars` is set, as on MikoPBX, every event carries variables.
#[test]
fn a_variable_that_every_event_carries_lets_no_other_through() {
    for stanza in [SHIPPED, BY_NAME].map(|file| Stanza::of(&stanza::text(file))) {
        let event = |variable: &str| {
            format!(
                "Event: VarSet\r\nPrivilege: dialplan,all\r\nChannel: PJSIP/101-00000001\r\n\
                 ChanVariable: FROM_DID=74957000101\r\nVariable: {variable}\r\nValue: x\r\n\r\n"
            )
        };
        assert!(stanza.passes(&event("FROM_DID")) && stanza.passes(&event("__AMI2AMO_SEND")));
        assert!(!stanza.passes(&event("DIALEDTIME")));
    }
}

/// The captures have not all of them.
#[test]
fn every_variable_that_is_read_passes_both_filters() {
    let read = [
        "ANSWEREDTIME",
        "ANSWEREDTIME_MS",
        "__CALLFILENAME",
        "CDR(recordingfile)",
        "DIALSTATUS",
        "EXTTOCALL",
        "FORWARDEDBY",
        "_FROM_DID",
        "MIXMONITOR_FILENAME",
        "MONITOR_FILENAME",
        "VMSTATUS",
        "VM_MESSAGEFILE",
        "recordingfile",
        "AMI2AMO_STATUS",
    ];
    for stanza in [SHIPPED, BY_NAME].map(|file| Stanza::of(&stanza::text(file))) {
        for variable in read {
            let event = format!(
                "Event: VarSet\r\nPrivilege: dialplan,all\r\nChannel: PJSIP/101-00000001\r\n\
                 Variable: {variable}\r\nValue: x\r\n\r\n"
            );
            assert!(stanza.passes(&event) && is_read("VarSet", &event), "{variable}");
        }
    }
}

/// MikoPBX gives a user that is made on its pages three filters of its own, and no others.
#[test]
fn with_the_filters_of_mikopbx_calls_are_the_same() {
    let rights = "[ami2amo]\nread=call,cdr,agent,dialplan,system,user\n";
    let filters =
        "eventfilter=!UserEvent: CdrConnector\neventfilter=!UserEvent: Ping_\neventfilter=!Event: Newexten\n";
    let stanza = Stanza::of(&format!("{rights}{filters}"));
    for capture in captured() {
        assert_eq!(calls(&stanza.seen(capture.text.as_bytes())), capture.calls, "{}", capture.title);
    }
}

#[test]
fn both_files_make_the_same_user() {
    let user = |file: &str| -> Vec<(String, String)> {
        let text = stanza::text(file);
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let rights =
            stanza::settings(&text, "ami2amo").into_iter().filter(|(key, _)| !key.starts_with("eventfilter"));
        stanza::settings(&text, "general").into_iter().chain(rights).map(owned).collect()
    };
    assert_eq!(user(SHIPPED), user(BY_NAME));
    let expected = ["read", "write", "deny", "permit", "writetimeout", "timestampevents"];
    let keys: Vec<_> = user(SHIPPED).into_iter().map(|(key, _)| key).collect();
    assert!(expected.iter().all(|key| keys.iter().any(|has| has == key)), "{keys:?}");
}

/// The lab's PBX has no manager user but that of the shipped file.
#[test]
fn the_lab_runs_with_the_shipped_file() {
    let read = |path: &str| std::fs::read_to_string(root(path)).expect("the lab has it");
    let conf = read("tests/lab/conf/manager.conf");
    let lines = || conf.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(';'));
    let sections: Vec<_> = lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(sections, ["[general]"], "users come from the shipped file");
    assert_eq!(lines().next_back(), Some("#include manager-ami2amo.conf"));
    assert!(!conf.contains("timestampevents"), "that, too");
    let copies = "sed \"s|CHANGE-ME|$secret|\" \"$here/../../config/asterisk/$lab_stanza\" \
                  >\"$pbx_dir/etc/manager-ami2amo.conf\"";
    assert!(read("tests/lab/start").contains(copies), "with a secret and otherwise as it is");
    assert!(read("tests/lab/paths.sh").contains(&format!("lab_stanza=${{AMI2AMO_LAB_STANZA:-{SHIPPED}}}")));
}

/// `UPDATE_DOCS=1 cargo test --test recipe` writes the table anew.
#[test]
fn the_pages_say_what_each_class_is_for() {
    let table = table();
    for (page, words) in PAGES {
        let table = format!("{}\n\n{table}", words.replace("{share}", &share()));
        let path = root(page);
        let text = std::fs::read_to_string(&path).expect("the page is there");
        let (before, rest) = text.split_once(TABLE.0).expect("the table begins");
        let (has, after) = rest.split_once(TABLE.1).expect("the table ends");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, format!("{before}{}{table}{}{after}", TABLE.0, TABLE.1)).expect("a page");
        } else {
            assert!(has == table, "{page} is not what is measured: UPDATE_DOCS=1 writes it anew\n{table}");
        }
    }
}

/// For each class that is not needed, what it costs and what is lost without it.
fn table() -> String {
    let mut table = String::from(
        "| `read` without | of the stream | with the filters | calls that differ | in |\n|---|--:|--:|--:|---|\n",
    );
    let blocks = || captured().iter().flat_map(|capture| &capture.blocks);
    for class in OPTIONAL {
        let of_class = |block: &&Block| block.privilege().is_some_and(|classes| classes.starts_with(class));
        let bytes = |passing: bool| {
            let in_question = || blocks().filter(|block| block.read && (block.passes || !passing));
            let length = |blocks: &mut dyn Iterator<Item = &Block>| {
                blocks.map(|block| block.text.len()).sum::<usize>()
            };
            tenths(length(&mut in_question().filter(of_class)), length(&mut in_question()))
        };
        let mut lost = Lost::default();
        for capture in captured() {
            lost.count(&capture.calls, &calls(&capture.seen(|block| block.passes && !of_class(&block))));
        }
        writeln!(table, "| `{class}` | {} | {} | {lost} |", bytes(false), bytes(true)).expect("memory");
    }
    table
}

/// What the filters let through of all.
fn share() -> String {
    let sum = |passing: bool| -> usize {
        let blocks = captured().iter().flat_map(|capture| &capture.blocks);
        blocks.filter(|block| block.passes || !passing).map(|block| block.text.len()).sum()
    };
    tenths(sum(true), sum(false))
}

/// In per cent.
fn tenths(part: usize, whole: usize) -> String {
    let promille = (1000 * part).div_ceil(whole);
    format!("{}.{} %", promille / 10, promille % 10)
}

/// How calls differ that were seen with less.
#[derive(Debug, Default)]
struct Lost {
    calls: usize,
    differ: usize,
    fields: BTreeMap<String, usize>,
}

impl Lost {
    fn count(&mut self, whole: &[Value], seen: &[Value]) {
        let by_id = |calls: &[Value]| -> BTreeMap<String, Value> {
            calls.iter().map(|call| (call["call_id"].to_string(), call.clone())).collect()
        };
        let (whole, seen) = (by_id(whole), by_id(seen));
        for id in whole.keys().chain(seen.keys()).collect::<BTreeSet<_>>() {
            self.calls += 1;
            let fields = match (whole.get(id), seen.get(id)) {
                (Some(whole), Some(seen)) => differing(whole, seen),
                _ => BTreeSet::from([CALL.to_owned()]),
            };
            self.differ += usize::from(!fields.is_empty());
            for field in fields {
                *self.fields.entry(field).or_default() += 1;
            }
        }
    }
}

impl std::fmt::Display for Lost {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields: Vec<_> = self.fields.iter().collect();
        fields.sort_by_key(|(field, count)| (std::cmp::Reverse(*count), *field));
        let fields: Vec<_> = fields.iter().map(|(field, count)| format!("`{field}` {count}")).collect();
        write!(to, "{} of {} | {}", self.differ, self.calls, fields.join(", "))
    }
}

/// The reasons change with whatever they are reasons of.
fn differing(whole: &Value, seen: &Value) -> BTreeSet<String> {
    let fields = whole.as_object().expect("a record").keys().filter(|key| *key != "why");
    fields.filter(|key| whole[key.as_str()] != seen[key.as_str()]).cloned().collect()
}

fn is_read(name: &str, event: &str) -> bool {
    match name {
        "VarSet" => {
            let variable = stanza::header(event, "Variable").unwrap_or_default();
            interest::wants_variable(variable.as_bytes(), b"AMI2AMO_")
        }
        "UserEvent" => stanza::header(event, "UserEvent").is_some_and(|name| name.starts_with("ami2amo")),
        other => interest::wants_event(other.as_bytes()),
    }
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A bundled capture, its blocks as the shipped user gets them or not, and its calls when all is seen.
struct Capture {
    title: String,
    text: String,
    blocks: Vec<Block>,
    calls: Vec<Value>,
}

struct Block {
    text: String,
    /// Where the event begins, if there is one.
    event: Option<usize>,
    /// The shipped user has its classes.
    read: bool,
    /// It gets the event, or the block is none.
    passes: bool,
}

impl Capture {
    fn seen(&self, passes: impl Fn(&Block) -> bool) -> Vec<u8> {
        let kept = self.blocks.iter().map(|block| {
            let end = if passes(block) { block.text.len() } else { block.event.unwrap_or(0) };
            &block.text[..end]
        });
        kept.collect::<String>().into_bytes()
    }
}

impl Block {
    fn of(text: &str, stanza: &Stanza) -> Self {
        let event = stanza::event_in(text);
        let block = Self { text: text.to_owned(), event, read: true, passes: true };
        let read = block.privilege().is_none_or(|classes| stanza.reads(classes));
        let passes = event.is_none() || stanza.passes(block.event());
        Self { read, passes, ..block }
    }

    /// The event, or a reply.
    fn event(&self) -> &str {
        &self.text[self.event.unwrap_or(0)..]
    }

    /// The classes of the event; a reply has none.
    fn privilege(&self) -> Option<&str> {
        stanza::header(self.event(), "Privilege").filter(|_| self.event.is_some())
    }
}

/// Every bundled capture, read once.
fn captured() -> &'static [Capture] {
    static CAPTURED: OnceLock<Vec<Capture>> = OnceLock::new();
    CAPTURED.get_or_init(|| {
        let stanza = Stanza::shipped();
        let paths = captures::below(&captures::bundled());
        assert!(paths.len() > 300, "there are captures: {}", paths.len());
        let read = |path: &PathBuf| {
            let text = String::from_utf8_lossy(&captures::whole(path)).into_owned();
            let blocks = text.split_inclusive("\r\n\r\n").map(|block| Block::of(block, &stanza)).collect();
            let calls = calls(text.as_bytes());
            Capture { title: captures::title(path), text, blocks, calls }
        };
        paths.iter().map(read).collect()
    })
}

fn calls(text: &[u8]) -> Vec<Value> {
    let args = captures::args(["--format", "jsonl", "-"]);
    let printed = captures::replay_with(&args, Policy::default(), &mut &text[..]);
    assert_eq!(printed.end, End::AllRead, "{}", printed.messages);
    printed.output.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}
