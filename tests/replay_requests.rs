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
fn a_recording_that_is_there_is_printed_with_its_link() {
    let folder = TempDir::new().unwrap();
    let printed = |config: &str| printed(config, &[], &["ast22-vanilla/in-answered.ami"])[0][0].clone();
    let url = "[amocrm]\nrecording-url = \"https://p/{file}\"\n";
    let told = printed(url)["link"].as_str().unwrap().to_owned();
    let name = told.strip_prefix("https://p/").unwrap();
    let root = format!("{url}recording-root = {:?}\n", folder.path());
    assert_eq!(printed(&root).get("link"), None, "there is no such file");
    std::fs::write(folder.path().join(name.replace(".wav", ".mp3")), "sound").unwrap();
    assert_eq!(printed(&root)["link"], json!(told.replace(".wav", ".mp3")));
    assert_eq!(
        printed("[amocrm]\nlanguage = \"en\"\nusers.101 = 8\n")["call_result"],
        "Answered by 101 after 2 s"
    );
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

/// One inbound call for which two phones rang in vain.
const MISSED: &str = "ast22-freepbx/in-ringgroup-noanswer.ami.gz";

#[test]
fn a_user_is_a_number_and_an_extension_without_one_a_text() {
    let call = |config: &str| printed(config, &[], &[CALL])[0][0].clone();
    let named = call("[amocrm]\ndefault-user = 7\nusers.101 = 8\n");
    assert_eq!((&named["call_responsible"], &named["responsible_user_id"]), (&json!(8), &json!(8)));
    assert_eq!(named["call_result"], "Ответил 101 через 2 с");
    let default = call("[amocrm]\ndefault-user = 7\nnames.101 = \"Иванов\"\n");
    assert_eq!((&default["call_responsible"], &default["created_by"]), (&json!(7), &json!(7)));
    assert_eq!(default["call_result"], "Ответил доб. 101 Иванов через 2 с");
    let text = call("[amocrm]\nnames.101 = \"Иванов\"\n");
    assert_eq!((&text["call_responsible"], text.get("created_by")), (&json!("доб. 101 Иванов"), None));
    let own = call("[amocrm]\nextension-text = \"{extension}?\"\n");
    assert_eq!(own["call_responsible"], "101?");
    let omitted = call("[amocrm]\nunmapped = \"omit\"\n");
    assert_eq!(
        (omitted.get("call_responsible"), &omitted["call_result"]),
        (None, &json!("Ответил 101 через 2 с"))
    );
}

/// 101 answered and handed the call to 102.
const PASSED_ON: &str = "ast22-vanilla/in-blind-transfer.ami.gz";

#[test]
fn the_text_of_an_extension_is_told_of_that_one_only() {
    let said = |users: &str| {
        let config = format!("[amocrm]\ndefault-user = 7\n[amocrm.users]\n{users}");
        printed(&config, &[], &[PASSED_ON])[0][0]["call_result"].as_str().unwrap().to_owned()
    };
    let both = said("101 = 8\n102 = 9\n");
    assert!(both.starts_with("Ответил 101 "), "{both}");
    let first = said("101 = 8\n");
    assert!(first.starts_with("Ответил 101 ") && first.contains("доб. 102"), "{first}");
}

#[test]
fn a_missed_call_is_booked_as_the_policy_says() {
    let users = "[amocrm]\ndefault-user = 7\n[amocrm.users]\n101 = 8\n102 = 9\n103 = 10\n";
    let booked = |missed: &str| {
        printed(&format!("{users}[calls]\n{missed}\n"), &[], &[MISSED])[0][0]["call_responsible"].clone()
    };
    let (first, last) = (booked("missed = \"first\""), booked("missed = \"last\""));
    assert!(first != last && first.is_u64() && last.is_u64(), "{first} {last}");
    assert_eq!(booked("missed-responsible = \"last-rang\""), last);
    assert_eq!(booked("missed-responsible = \"single-rang\""), 7);
    assert_eq!(booked("missed-responsible = { fixed = \"103\" }"), 10);
    // A replay asks nobody whose the number is.
    assert_eq!(booked("missed-responsible = \"entity-owner\""), 7);
}

#[test]
fn a_missed_call_makes_a_task_where_the_configuration_says_so() {
    let config = "[amocrm]\ndefault-user = 7\n[amocrm.callback-task]\nmake = true\ndeadline = \"30m\"\n";
    let lines = printed(config, &[], &[MISSED]);
    let phone = lines[0][0]["phone"].as_str().unwrap().to_owned();
    let till = lines[1]["body"][0]["complete_till"].clone();
    assert!(till.as_i64().unwrap() > lines[0][0]["created_at"].as_i64().unwrap() + 1800);
    let body = json!([{"entity_id": 0, "entity_type": "contacts", "task_type_id": 1,
        "text": format!("Перезвонить {phone}: пропущенный звонок"), "complete_till": till,
        "responsible_user_id": 7, "request_id": "0"}]);
    assert_eq!(lines[1..], [json!({"post": "/api/v4/tasks", "account": "default", "body": body})]);
    assert_eq!(printed(config, &[], &[CALL]).len(), 1, "a talk makes none");
    assert_eq!(printed("[amocrm]\ndefault-user = 7\n", &[], &[MISSED]).len(), 1);
}

#[test]
fn a_missed_call_of_a_new_contact_makes_a_task_too() {
    let posts = |policy: &str| {
        let config = format!("[amocrm.callback-task]\nmake = true\n[amocrm.unknown]\ninbound = {policy:?}\n");
        let lines = printed(&config, &["--unknown-numbers"], &[MISSED]);
        lines[1..].iter().map(|line| line["post"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(posts("contact"), ["/api/v4/contacts", "/api/v4/tasks"]);
    assert_eq!(posts("lead"), ["/api/v4/contacts", "/api/v4/leads", "/api/v4/tasks"]);
    // Its call is posted when a person has accepted the item.
    assert_eq!(posts("unsorted"), ["/api/v4/leads/unsorted/sip"]);
    assert_eq!(posts("park"), [""; 0]);
}
