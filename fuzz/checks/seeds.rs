//! The corpus's seeds, made of captures, of what the store writes and of amoCRM's answers.
//!
//! ```text
//! AMI2AMO_SEEDS=write cargo test --lib fuzzing::seeds
//! ```
//! writes them, and the blocks that scripts are made of. What a fuzzer found lies beside them and stays.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use crate::ami::event::Event;
use crate::ami::wire::{Frame, Kind};
use crate::call::record::FinishedCall;
use crate::outbox::queue::{BatchId, Seq, State};
use crate::outbox::schedule::Slip;
use crate::outbox::store::fit;
use crate::outbox::store::value::Stored;
use crate::time::HostTime;

use super::replay::Run;
use super::script::{BLOCKS, Op, RAW, SCRIPT, blocks, step};
use super::{TARGETS, corpus};

/// Captures whose blocks scripts are made of: every kind of event that calls depend on.
const CAPTURES: [&str; 13] = [
    "captures/ast22-vanilla/in-answered.ami",
    "captures/ast22-vanilla/out-answered.ami",
    "captures/ast22-vanilla/in-queue-answered.ami.gz",
    "captures/ast22-vanilla/in-attended-transfer-phone.ami.gz",
    "captures/ast22-vanilla/in-blind-transfer.ami.gz",
    "captures/ast22-vanilla/in-park-retrieved.ami.gz",
    "captures/ast22-vanilla/in-pickup-directed.ami.gz",
    "captures/ast22-vanilla/click-to-call-local-answered.ami.gz",
    "captures/ast22-vanilla/in-conference.ami.gz",
    "captures/ast22-freepbx/in-ringgroup-answered.ami.gz",
    "captures/ast16-sip/in-odd-names.ami.gz",
    "captures/ast16-sip/in-voicemail-noanswer.ami.gz",
    "lists/two-talks.ami.gz",
];

/// Longest block that is taken, in bytes: channel variables make some of 20 KiB.
const BLOCK_MAX: usize = 2048;

const NOW: HostTime = HostTime::from_micros(1_795_338_791_389_456);

struct Seed {
    target: &'static str,
    name: String,
    data: Vec<u8>,
}

fn writes() -> bool {
    std::env::var_os("AMI2AMO_SEEDS").is_some_and(|word| word == "write")
}

#[test]
fn the_blocks_are_those_of_the_captures() {
    let (path, text) = (root().join("fuzz/blocks.ami"), pool_text());
    let is_same = fs::read(&path).is_ok_and(|blocks| blocks == text);
    if writes() {
        fs::write(path, text).expect("the blocks can be written");
    }
    assert!(is_same, "fuzz/blocks.ami is not what its captures give; run again once it is written");
}

#[test]
fn the_seeds_pass_and_may_be_written() {
    let seeds = seeds();
    for Seed { target, name, data } in &seeds {
        println!("{target}/{name}"); // shown when the check fails
        super::check(target, data);
    }
    for target in TARGETS {
        assert!(seeds.iter().any(|seed| seed.target == target.name), "{} has no seed", target.name);
    }
    for Seed { target, name, data } in seeds.iter().filter(|_| writes()) {
        fs::create_dir_all(corpus(target)).expect("the corpus can be written");
        fs::write(corpus(target).join(format!("seed-{name}")), data).expect("the corpus can be written");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn capture(name: &str) -> Vec<u8> {
    let bytes = fs::read(root().join("tests").join(name)).expect("a bundled capture");
    if Path::new(name).extension().is_none_or(|extension| extension != "gz") {
        return bytes;
    }
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text).expect("sound gzip");
    text
}

/// The blocks of all captures, one stream.
fn pool_text() -> Vec<u8> {
    CAPTURES.iter().flat_map(|name| text_of(&useful(&capture(name)))).collect()
}

/// What calls depend on in a stream. A connection's first event is handed on whatever it is.
fn useful(stream: &[u8]) -> Vec<Vec<u8>> {
    let stream = [b"Event: Shutdown\r\nTimestamp: 1.0\r\n\r\n", stream].concat();
    let blocks = blocks(&stream).into_iter().skip(1).filter(|block| block.len() <= BLOCK_MAX);
    blocks.map(<[u8]>::to_vec).collect()
}

fn text_of(blocks: &[Vec<u8>]) -> Vec<u8> {
    blocks.iter().flat_map(|block| [block, &b"\r\n"[..]].concat()).collect()
}

fn seeds() -> Vec<Seed> {
    let targets = [wire(), event(), replay(), config(), amo_answers(), stored(), journal()];
    targets.into_iter().flatten().collect()
}

fn seed(target: &'static str, name: impl Into<String>, data: impl Into<Vec<u8>>) -> Seed {
    Seed { target, name: name.into(), data: data.into() }
}

/// `in-answered` of `ast22-vanilla/in-answered.ami.gz`, with its folder.
fn title(capture: &str) -> String {
    let capture = capture.trim_start_matches("captures/");
    capture.split('.').next().unwrap_or(capture).replace('/', "-")
}

fn wire() -> Vec<Seed> {
    let front = |name: &str, length: usize| {
        let text = capture(name);
        text[..text.len().min(length)].to_vec()
    };
    let text = front(CAPTURES[0], 6000);
    let without_returns: Vec<u8> = text.iter().copied().filter(|b| *b != b'\r').collect();
    let glued = [&text[..2000], &text[1000..3000]].concat();
    let reply = b"Response: Follows\r\nPrivilege: Command\r\nraw\r\n\r\ntext--END COMMAND--\r\n\r\n";
    let long =
        [&b"Event: VarSet\r\nVariable: X\r\nValue: "[..], &b"x".repeat(70_000)[..], b"\r\n\r\n"].concat();
    let many = [b"Event: Newchannel\r\n", &b"X: y\r\n".repeat(4100)[..]].concat();
    let mut seeds: Vec<_> =
        CAPTURES.iter().map(|name| seed("wire", title(name), front(name, 4000))).collect();
    seeds.extend([
        seed("wire", "no-returns", without_returns),
        seed("wire", "glued", glued),
        seed("wire", "reply-with-raw-text", reply),
        seed("wire", "long-line", long),
        seed("wire", "many-lines", many),
        seed("wire", "blank-lines", &b"\n\r\n\r\r\n\n: \n\nAsterisk Call Manager/2.10.6\n\n"[..]),
    ]);
    seeds
}

/// One block of each kind of event.
fn event() -> Vec<Seed> {
    let mut names = BTreeSet::new();
    let mut seeds = Vec::new();
    for block in CAPTURES.iter().flat_map(|name| useful(&capture(name))) {
        let frame = Frame { kind: Kind::Event, block: &block };
        let name = frame.header("Event").unwrap_or_default();
        let name = String::from_utf8_lossy(name).to_lowercase();
        if Event::parse(&frame).is_some() && names.insert(name.clone()) {
            seeds.push(seed("event", name, block));
        }
    }
    let rare = [
        "Event: AttendedTransfer\r\nResult: Success\r\nOrigTransfererChannel: PJSIP/101-1\r\n\
         OrigTransfererUniqueid: 1.1\r\nTransfereeUniqueid: 1.2\r\nTransferTargetUniqueid: 1.3\r\n",
        "Event: UserEvent\r\nUserEvent: ami2amo\r\nUniqueid: 1.1\r\nStatus: 2\r\nResult: call back\r\nSend: no\r\n",
        "Event: Cdr\r\nUniqueID: pbx-a-1529936141.21\r\nStartTime: 2018-06-25 17:15:43\r\n\
         EndTime: 2018-06-25 17:16:11\r\nLastApplication: Dial\r\nLastData: SIP/101,20,tT\r\n",
        "Event: UnParkedCall\r\nParkeeUniqueid: 1.1\r\nRetrieverUniqueid: 1.2\r\n",
        "Event: ChanSpyStart\r\nSpyerUniqueid: 1.1\r\nSpyeeUniqueid: 1.2\r\n",
        "Event: VarSet\r\nVariable: __AMI2AMO_STATUS\r\nValue: 2\r\nUniqueid: 1.1\r\n",
    ];
    seeds.extend(rare.iter().zip(1..).map(|(text, n)| seed("event", format!("rare-{n}"), *text)));
    seeds
}

/// Where the blocks of each capture lie among all.
fn ranges() -> Vec<(String, usize, usize)> {
    let mut begin = 0;
    let range = |name: &&str| {
        let count = useful(&capture(name)).len();
        begin += count;
        (title(name), begin - count, count)
    };
    CAPTURES.iter().map(range).collect()
}

fn replay() -> Vec<Seed> {
    let script = |steps: Vec<[u8; 4]>| [&[SCRIPT][..], &steps.concat()].concat();
    let mut seeds = Vec::new();
    for (title, begin, count) in ranges() {
        let pieces = || (begin..begin + count).step_by(8).map(move |at| (at, 8.min(begin + count - at)));
        let plain = pieces().map(|(at, count)| step(Op::Copy, at, count - 1)).collect();
        let restarts =
            pieces().flat_map(|(at, count)| [step(Op::Copy, at, count - 1), step(Op::Restart, 0, 0)]);
        let doubled =
            (begin..begin + count.min(100)).flat_map(|at| [step(Op::Copy, at, 0), step(Op::Double, 0, 0)]);
        let swapped = (begin + 1..begin + count.min(100)).step_by(2).map(|at| step(Op::Swap, at, 0));
        seeds.extend([
            seed("replay", format!("{title}-plain"), script(plain)),
            seed("replay", format!("{title}-restarts"), script(restarts.collect())),
            seed("replay", format!("{title}-doubled"), script(doubled.collect())),
            seed("replay", format!("{title}-swapped"), script(swapped.collect())),
        ]);
    }
    let mut all = vec![step(Op::Lose, 0, 3), step(Op::Clock, 100, 1)];
    for (_, begin, count) in ranges() {
        let half = count.min(200) / 2;
        all.extend([
            step(Op::Thin, begin, half),
            step(Op::Mix, begin + half, 9),
            step(Op::Cut, begin + half, 128),
            step(Op::Connect, 0, 0),
            step(Op::Copy, begin + half, half),
            step(Op::Wait, 600, 0),
            step(Op::Bytes, 0x0a0d, 0x0a),
        ]);
    }
    seeds.push(seed("replay", "every-step", script(all.clone())));
    seeds.push(seed("replay", "every-step-live", [&[SCRIPT | 2][..], &all.concat()].concat()));
    for name in &CAPTURES[..2] {
        let text = text_of(&useful(&capture(name)));
        seeds.push(seed("replay", format!("{}-raw", title(name)), [&[RAW][..], &text].concat()));
    }
    seeds
}

fn config() -> Vec<Seed> {
    let example = include_str!("../../config/ami2amo.toml");
    let uncommented: String = example.lines().map(|line| line.strip_prefix('#').unwrap_or(line)).fold(
        String::new(),
        |mut text, line| {
            let is_key = line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(" = ");
            if is_key || line.starts_with('[') {
                writeln!(text, "{line}").expect("a string takes everything");
            }
            text
        },
    );
    let texts = [
        ("example", example),
        ("uncommented", &uncommented),
        ("wrong-key", "[store]\ndri = \"/x\"\n"),
        ("wrong-value", "[[pbx]]\nport = 70000\n"),
        ("not-closed", "#\n[[pbx]\nname = \"x\n"),
        ("twice", "[store]\ndir = \"/x\"\ndir = \"/y\"\n"),
        ("table-twice", "[store]\n[store]\n"),
        ("inline", "pbx = [{ secret = 12345, host = \"x\" }]\n"),
        ("users", "#\n[amocrm.users]\n101 = 504141\n\"1 2\" = 1\n"),
        ("words", "[amocrm.results]\nanswered = \"ok\"\n[calls.numbers]\nlocal = 7\n"),
        ("long-text", "[store]\ndir = \"\"\"\nsecret\n\\q\n\"\"\"\n"),
        ("dates", "[daemon]\nstop-timeout = 1979-05-27T07:32:00Z\n"),
    ];
    texts.into_iter().map(|(name, text)| seed("config", name, text)).collect()
}

fn amo_answers() -> Vec<Seed> {
    let answers: [(u8, &str); 17] = [
        (
            0,
            r#"{"_embedded":{"calls":[{"id":1,"entity_id":2,"entity_type":"contact","request_id":"default-1.4"},{"id":3,"request_id":"default-1.5"},{"id":4,"request_id":6}]}}"#,
        ),
        (
            0,
            r#"{"_total_items":2,"errors":[{"request_id":"default-1.5","status":263,"title":"Entity not found","detail":"x"}],"_embedded":{"calls":[{"id":1,"request_id":"default-1.4","_embedded":{"entity":{"id":"9"}},"entity_type":"lead"}]}}"#,
        ),
        (
            7,
            r#"{"validation-errors":[{"request_id":"default-1.4","errors":[{"code":"NotBlank","path":"phone","detail":"This value should not be blank."}]}],"title":"Bad Request","type":"x","status":400,"detail":"Request validation failed"}"#,
        ),
        (
            7,
            r#"{"validation-errors":[{"request_id":"0","errors":[{"code":"FieldMissing","path":"duration"}]}]}"#,
        ),
        (7, r#"{"title":"Bad Request","detail":"Payment required 244"}"#),
        (
            7,
            r#"{"errors":[{"status":263,"title":"Entity not found"},{"status":263,"title":"Entity not found"},{"status":263,"title":"Entity not found"}],"_embedded":{"calls":{}}}"#,
        ),
        (
            7,
            r#"{"errors":{"0":{"request_id":"default-1.4","code":263}},"_embedded":{"calls":{"0":{"request_id":"default-1.5"}}}}"#,
        ),
        (8, r#"{"title":"Unauthorized","status":"401","detail":"x"}"#),
        (9, r#"{"hint":"Payment required"}"#),
        (10, "<html><h1>403 Forbidden</h1></html>"),
        (10, r#"{"title":"Forbidden"}"#),
        (15, r#"{"detail":"\u0007\u001b[31m","title":"Too long"}"#),
        (16, r#"{"retry_after":"5"}"#),
        (17, "<html>502 Bad Gateway</html>"),
        (
            0,
            r#"{"_links":{"next":{"href":"x"}},"_embedded":{"notes":[{"id":7,"entity_id":70,"params":{"uniq":"default-1.4"}},null]}}"#,
        ),
        (0, r#"{"id":1,"customers_mode":"segments"}"#),
        (3, ""),
    ];
    let answer = |(n, (status, body)): (usize, &(u8, &str))| {
        seed("amo_answers", format!("{n:02}"), [&[*status, 3][..], body.as_bytes()].concat())
    };
    answers.iter().enumerate().map(answer).collect()
}

/// Calls of captures.
fn calls() -> Vec<FinishedCall> {
    let mut run = Run::new(Vec::new());
    BLOCKS.iter().for_each(|block| run.event(block));
    run.finish()
}

/// Every phase once.
fn states() -> Vec<State> {
    let (batch, at, since) = (BatchId(3), NOW, NOW);
    vec![
        State::Pending,
        State::Sending { batch, since },
        State::Sent { note_id: Some(7), entity: None, at },
        State::Unknown { batch, since, looked: 1 },
        State::Parked { since },
        State::Unsorted { uid: Some("x".to_owned()), at },
        State::Expired { reason: "too old".to_owned(), at },
        State::Dead { reason: "refused".to_owned(), at },
    ]
}

fn stored() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (n, (call, state)) in calls().iter().zip(states().into_iter().cycle()).enumerate() {
        let slip = Slip { state, ..Slip::new(Seq(n as u64), &call.record, NOW) };
        let phase = format!("{n}-{:?}", slip.state.phase()).to_lowercase();
        let value = Stored::new(slip, fit::fit(call).expect("a call has a JSON form"));
        let bytes = value.encode().expect("a call has a JSON form");
        if n < states().len() {
            let (slip, call) = json_lines(&bytes);
            let later = slip.replacen('{', "{\"later\":[1.5,{\"x\":null}],", 1);
            seeds.push(seed("stored", format!("lines-{phase}"), format!("\u{1}id\n{later}\n{call}")));
            seeds.push(seed("stored", format!("value-{phase}"), [&[0][..], &bytes].concat()));
        }
    }
    seeds.extend(ranges().into_iter().map(|(title, begin, count)| checkpoint(&title, begin, count)));
    seeds
}

fn json_lines(value: &[u8]) -> (String, String) {
    let payload = crate::outbox::store::frame::decode(value).expect("it was written just now").payload;
    let text = String::from_utf8(payload.to_vec()).expect("JSON is text");
    let (slip, call) = text.split_once('\n').expect("a payload has two lines");
    (slip.to_owned(), call.to_owned())
}

/// What is written down when two thirds of a capture's events are over, and the events after that.
fn checkpoint(title: &str, begin: usize, count: usize) -> Seed {
    let half = begin + count * 2 / 3;
    let mut run = Run::new(Vec::new());
    BLOCKS[begin..half].iter().for_each(|block| run.event(block));
    let [a, b] = u16::try_from(half).expect("there are fewer blocks").to_le_bytes();
    let mut data = vec![2, a, b, u8::try_from((begin + count - half).min(255)).expect("it is at most 255")];
    for (key, json) in run.values() {
        data.extend([key.as_bytes(), b"\t", json, b"\n"].concat());
    }
    seed("stored", format!("checkpoint-{title}"), data)
}

fn journal() -> Vec<Seed> {
    let call = |n: usize| {
        format!(
            "{{\"E\":\"default-1.{n}\",\"seq\":{n},\"at\":{},\"crc\":{},\"call\":{}}}\n",
            NOW.micros(),
            crc(n),
            text(n)
        )
    };
    let (one, two, intent, done) = (
        call(1),
        call(2),
        "{\"I\":\"default-1.1\",\"batch\":3,\"at\":1795338792000000}\n",
        "{\"D\":\"default-1.1\"}\n",
    );
    let whole = format!("\u{3}{one}{two}{intent}{done}");
    let texts = [
        ("whole", whole.clone()),
        ("one-day", format!("\0{one}{intent}{two}")),
        ("torn", whole.trim_end_matches("1.1\"}\n").to_owned()),
        ("marked", format!("\u{1}{}#torn\n{two}", one.split("at").next().unwrap_or_default())),
        ("quoted", "\0{\"E\":\"a \\\"b\\\" \\u0441\",\"seq\":1,\"at\":1,\"crc\":0,\"call\":{}}\n{\"D\":\"a \\\"b\\\" с\"}\n".to_owned()),
        ("wrong-sum", format!("\u{2}{}", one.replace("\"of\"", "\"fo\""))),
        ("damage", format!("\u{2}\n\n{{}}\n{{\"E\":\"\n{{\"I\"}}\n{two}")),
        ("overlong", format!("\u{1}{one}{}\n{two}", "x".repeat(66_000))),
    ];
    texts.into_iter().map(|(name, text)| seed("journal", name, text)).collect()
}

fn text(n: usize) -> String {
    format!("{{\"of\":{n}}}")
}

fn crc(n: usize) -> u32 {
    crc32fast::hash(text(n).as_bytes())
}
