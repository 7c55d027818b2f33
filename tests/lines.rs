//! Which line a call is on, from real streams, and what that decides when the call ends.

#[path = "support/captures.rs"]
mod captures;

use std::fs;

use ami2amo::call::policy::Policy;
use ami2amo::config::file::File;
use serde_json::{Value, json};

use captures::{bundled, jsonl};

/// The only call of a capture, with these lines and dial plan in the configuration.
fn call(capture: &str, config: &str) -> Value {
    let file: File = toml::from_str(config).expect("the configuration's form is right");
    let printed = jsonl(&[bundled().join(capture)], file.judgement());
    let mut lines = printed.output.lines();
    let call = serde_json::from_str(lines.next().expect("there is a call")).expect("a line is JSON");
    assert_eq!(lines.next(), None);
    call
}

const ANSWERED: &str = "ast22-vanilla/in-answered.ami";

#[test]
fn the_line_of_a_call_decides_its_account_and_is_a_reason() {
    let config = "[[line]]\ndid = \"1\"\n[[line]]\ndid = \"+7 495 700-01-01\"\ntrunk = \"trunk-msk\"\n\
                  label = \"Moscow\"\naccount = \"msk\"\nsource = \"Site\"\nunknown.inbound = \"lead\"\n\
                  unknown.outbound = \"drop\"\npipeline = 5\nstage = 6\n";
    let call = call(ANSWERED, config);
    assert_eq!(call["account"], "msk");
    let terms = json!({"label": "Moscow", "source": "Site", "unknown": "lead", "pipeline": 5, "stage": 6});
    assert_eq!(call["line"], terms);
    let why = call["why"].as_array().unwrap();
    assert!(why.contains(&json!({"code": "line", "number": 2, "label": "Moscow"})), "{why:#?}");
}

#[test]
fn a_call_on_no_line_is_the_default_accounts_and_says_nothing_of_lines() {
    let call = call(ANSWERED, "[[line]]\ntrunk = \"other\"\naccount = \"msk\"\n");
    assert_eq!(call["account"], "default");
    assert_eq!(call["line"], Value::Null);
    assert!(!call["why"].to_string().contains("\"line\""), "{call}");
}

#[test]
fn a_line_may_keep_its_calls_back() {
    let call = call(ANSWERED, "[[line]]\ncontext = \"from-trunk\"\nsend = false\n");
    assert_eq!(call["skip"], "policy");
    assert!(call["why"].as_array().unwrap().contains(&json!({"code": "filtered", "by": "line"})));
}

#[test]
fn the_dial_plan_says_the_tenant_by_variable_or_event() {
    let text = fs::read_to_string(bundled().join(ANSWERED)).unwrap();
    let first = text.find("Event: Newchannel").unwrap();
    let end = first + text[first..].find("\r\n\r\n").unwrap() + 4;
    let header = |name: &str| text[first..end].lines().find(|line| line.starts_with(name)).unwrap();
    let channel = ["Timestamp", "Channel:", "Uniqueid", "Linkedid"].map(header).join("\r\n");
    let folder = tempfile::tempdir().unwrap();
    for event in [
        "VarSet\r\nVariable: AMI2AMO_TENANT\r\nValue: acme",
        "UserEvent\r\nUserEvent: ami2amo\r\ntenant: acme",
    ] {
        let said = format!("Event: {event}\r\n{channel}\r\n\r\n");
        let capture = folder.path().join("said.ami");
        fs::write(&capture, format!("{}{said}{}", &text[..end], &text[end..])).unwrap();
        let call = call(capture.to_str().unwrap(), "[[line]]\ntenant = \"acme\"\naccount = \"a\"\n");
        assert_eq!(call["account"], "a", "{event}");
    }
}

#[test]
fn a_missed_call_is_booked_as_its_line_says() {
    let rest = "[[line]]\nmissed = \"last\"\n";
    let missed = several_called();
    let [usual, by_line] = ["", rest].map(|config| call(&missed, config));
    assert_eq!(usual["responsible"], Value::Null);
    assert_eq!(by_line["responsible"], by_line["rang"].as_array().unwrap().last().unwrap().clone());
}

/// A capture of one call that several extensions were called for and nobody answered.
fn several_called() -> String {
    let captures = captures::below(&bundled().join("ast22-vanilla"));
    let is_it = |capture: &std::path::PathBuf| {
        let printed = jsonl(std::slice::from_ref(capture), Policy::default());
        let calls: Vec<Value> =
            printed.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        matches!(&calls[..], [call] if call["direction"] == "inbound" && call["answered"] == false
            && call["responsible"].is_null() && call["rang"].as_array().unwrap().len() > 1)
    };
    let found = captures.into_iter().find(is_it).expect("there is such a capture");
    found.to_str().unwrap().to_owned()
}
