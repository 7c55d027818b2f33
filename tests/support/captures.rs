//! The bundled captures, and replaying them within the test process.

#![allow(clippy::allow_attributes, dead_code, reason = "each binary uses its own part of this")]

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ami2amo::call::policy::Policy;
use ami2amo::outbox;
use ami2amo::replay::{self, Args, End, Format, Surroundings};
use clap::Parser;

/// What a replay printed.
#[derive(Debug)]
pub struct Printed {
    pub end: End,
    pub output: String,
    pub messages: String,
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// The arguments of a command line, without `ami2amo replay`.
pub fn args<I: AsRef<std::ffi::OsStr>>(line: impl IntoIterator<Item = I>) -> Args {
    let line = line.into_iter().map(|part| part.as_ref().to_owned());
    Line::parse_from(std::iter::once("replay".into()).chain(line)).args
}

pub fn replay(args: &Args) -> Printed {
    replay_with(args, Policy::default(), &mut io::empty())
}

pub fn replay_with(args: &Args, policy: Policy, input: &mut (dyn Read + Send)) -> Printed {
    let (mut output, mut messages) = (Vec::new(), Vec::new());
    let end = replay_into(args, policy, input, &mut output, &mut messages).expect("memory takes everything");
    let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
    Printed { end, output: text(output), messages: text(messages) }
}

pub fn replay_into(
    args: &Args,
    policy: Policy,
    input: &mut (dyn Read + Send),
    output: &mut (dyn Write + Send),
    messages: &mut (dyn Write + Send),
) -> Result<End, replay::Error> {
    // The bodies are another module's; here it is enough to see which calls are in which request.
    let mut request = |calls: &[ami2amo::call::record::CallRecord]| {
        let ids: Vec<_> = calls.iter().map(|call| call.call_id.as_str()).collect();
        serde_json::to_vec(&ids).expect("strings are JSON")
    };
    let around = Surroundings {
        input,
        output,
        messages,
        columns: None,
        progress: false,
        batch_max: outbox::policy::BATCH_MAX,
        request: &mut request,
    };
    replay::run(args, Arc::new(policy), around)
}

/// The JSON lines of one capture.
pub fn jsonl(parts: &[PathBuf], policy: Policy) -> Printed {
    let mut args = args(parts);
    args.format = Format::Jsonl;
    replay_with(&args, policy, &mut io::empty())
}

/// The `[calls]` table of the `ami2amo.toml` that some folders have.
pub fn policy_beside(capture: &Path) -> Policy {
    let Ok(text) = std::fs::read_to_string(capture.with_file_name("ami2amo.toml")) else {
        return Policy::default();
    };
    let mut config: toml::Table = text.parse().expect("the configuration is TOML");
    match config.remove("calls") {
        Some(calls) => calls.try_into().expect("[calls] is a policy"),
        None => Policy::default(),
    }
}

pub fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

/// Every capture below `dir`, in the order of their paths.
pub fn below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(dir).unwrap_or_else(|err| panic!("{}: {err}", dir.display()));
    for entry in entries {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            found.extend(below(&path));
        } else if is_capture(&path) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// `in-answered` of `…/in-answered.ami.gz`.
pub fn scenario(capture: &Path) -> &str {
    let name = capture.file_name().and_then(|name| name.to_str()).expect("captures have plain names");
    name.split_once('.').map_or(name, |(scenario, _)| scenario)
}

/// `ast22-vanilla/in-answered` of `…/ast22-vanilla/in-answered.ami.gz`.
pub fn title(capture: &Path) -> String {
    let folder = capture.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    format!("{}/{}", folder.unwrap_or("?"), scenario(capture))
}

/// The bytes that the manager port sent.
pub fn text(capture: &Path) -> Vec<u8> {
    let bytes = std::fs::read(capture).unwrap_or_else(|err| panic!("{}: {err}", capture.display()));
    if capture.extension().is_none_or(|extension| extension != "gz") {
        return bytes;
    }
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text).expect("sound gzip");
    text
}

/// The capture and, after a lost connection, its further parts `NAME.2.ami`, `NAME.3.ami` ….
pub fn parts(capture: &Path) -> Vec<PathBuf> {
    let scenario = scenario(capture);
    let further = (2..=9).flat_map(|part| {
        ["ami", "ami.gz"].map(|suffix| capture.with_file_name(format!("{scenario}.{part}.{suffix}")))
    });
    std::iter::once(capture.to_owned()).chain(further.filter(|part| part.exists())).collect()
}

/// The bytes of all parts.
pub fn whole(capture: &Path) -> Vec<u8> {
    parts(capture).iter().flat_map(|part| text(part)).collect()
}

/// `NAME.ami` and `NAME.ami.gz`, but no further part (`NAME.2.ami`) of one.
fn is_capture(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((_, suffix)) = name.split_once('.') else { return false };
    suffix == "ami" || suffix == "ami.gz"
}
