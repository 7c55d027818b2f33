//! What `replay --format amocrm` says would be posted, by the real binary, for every policy.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

/// The lines that are printed for a capture of one inbound answered call, with this configuration.
fn printed(config: &str, arguments: &[&str], captures: &[&str]) -> Vec<Value> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ami2amo.toml");
    std::fs::write(&path, config).unwrap();
    let captures =
        captures.iter().map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(name));
    let output = Command::new(env!("CARGO_BIN_EXE_ami2amo"))
        .arg("--config")
        .arg(&path)
        .args(["replay", "--dry-run", "--format", "amocrm"])
        .args(arguments)
        .args(captures)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const CALL: &str = "ast22-vanilla/in-answered.ami";

fn unknown(policy: &str, rest: &str) -> Vec<Value> {
    let config = format!("[amocrm]\nusers.101 = 7\n[amocrm.unknown]\ninbound = {policy:?}\n{rest}");
    printed(&config, &["--unknown-numbers"], &[CALL])
}

#[test]
fn without_the_flag_every_number_is_known() {
    let lines = printed("[amocrm.unknown]\ninbound = \"lead\"\n", &[], &[CALL]);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0][0]["phone"], "+79161001137");
}

#[test]
fn every_policy_is_printed_as_it_would_be_posted() {
    for policy in ["park", "drop"] {
        assert_eq!(unknown(policy, "").len(), 1, "{policy}");
    }
    let phone = |enum_code: Option<&str>| {
        let mut value = json!({"value": "+79161001137"});
        if let Some(code) = enum_code {
            value["enum_code"] = json!(code);
        }
        json!([{"field_code": "PHONE", "values": [value]}])
    };
    let lines = unknown("unsorted", "pipeline = 5\ntag = \"ats\"");
    let call = lines[0][0].clone();
    let expected = json!({"post": "/api/v4/leads/unsorted/sip", "account": "default", "body": [{
        "request_id": "0", "source_name": "ami2amo", "source_uid": call["uniq"], "pipeline_id": 5,
        "created_at": call["created_at"],
        "metadata": {"is_call_event_needed": true, "uniq": call["uniq"], "duration": call["duration"],
            "service_code": "ami2amo", "phone": "79161001137", "from": "79161001137",
            "called_at": call["created_at"], "call_responsible": 7},
        "_embedded": {"leads": [{"name": "Звонок +79161001137", "_embedded": {"tags": [{"name": "ats"}]}}],
            "contacts": [{"name": "+79161001137", "custom_fields_values": phone(None)}]}}]});
    assert_eq!(lines[1..], [expected]);
    let contact = json!({"post": "/api/v4/contacts", "account": "default", "body": [{"name": "+79161001137",
        "responsible_user_id": 7, "custom_fields_values": phone(Some("WORK")), "request_id": "0"}]});
    assert_eq!(unknown("contact", "")[1..], *std::slice::from_ref(&contact));
    let lead = json!({"post": "/api/v4/leads", "account": "default", "body": [{"name": "Звонок +79161001137",
        "pipeline_id": 5, "status_id": 6, "responsible_user_id": 7, "request_id": "0",
        "_embedded": {"contacts": [{"id": 0}]}}]});
    assert_eq!(unknown("lead", "pipeline = 5\nstage = 6")[1..], [contact, lead]);
}

#[test]
fn a_blacklisted_number_gets_nothing() {
    assert_eq!(unknown("lead", "blacklist = [\"8 916 100-11-37\"]").len(), 1);
}

#[test]
fn calls_of_two_accounts_are_in_requests_of_their_own() {
    let config = "[amocrm]\ndefault-user = 1\n[[account]]\nname = \"spb\"\ndefault-user = 2\n\
                  source = \"Петербург\"\n[[line]]\ndid = \"74957000101\"\naccount = \"spb\"\n";
    let lines = printed(config, &["--separate"], &[CALL, "ast22-vanilla/out-answered.ami"]);
    let said: Vec<_> = lines
        .iter()
        .map(|batch| {
            assert_eq!(batch.as_array().unwrap().len(), 1, "{batch}");
            (batch[0]["created_by"].clone(), batch[0]["source"].clone())
        })
        .collect();
    assert_eq!(said, [(json!(1), json!("ami2amo")), (json!(2), json!("Петербург"))]);
}
