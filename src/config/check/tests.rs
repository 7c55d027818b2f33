//! Configurations as text, and what is found wrong with them.

use std::collections::BTreeMap;
use std::io;

use super::*;
use crate::amo::client::TOKEN_VARIABLE;

mod users;

/// A host with files, variables and one writable folder.
#[derive(Default)]
struct Desk {
    files: BTreeMap<&'static str, &'static [u8]>,
    variables: BTreeMap<&'static str, &'static str>,
    folder: Option<Folder>,
    in_service: bool,
}

impl Surroundings for Desk {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|value| (*value).to_owned())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = path.to_str().and_then(|path| self.files.get(path));
        bytes.map(|bytes| bytes.to_vec()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn folder(&self, _path: &Path) -> Folder {
        self.folder.unwrap_or(Folder::Writable)
    }

    fn has_credentials(&self) -> bool {
        self.in_service
    }
}

const AMO: &str = "[amocrm]\nbase-url = \"https://example.amocrm.ru\"\ntoken = \"t0k\"\ndefault-user = 7\n";

fn desk() -> Desk {
    let files = [("/s", &b"hidden\n"[..]), ("/t", b"t0k\n"), ("/empty", b"\n"), ("/two", b"a\nb\n")];
    Desk { files: files.into(), ..Desk::default() }
}

fn pbx(keys: &str) -> String {
    format!("[[pbx]]\n{keys}\n{AMO}")
}

fn examine_text(text: &str, desk: &Desk) -> (Vec<Finding>, Option<Config>) {
    examine(toml::from_str(text).unwrap(), desk)
}

/// The places and texts of what failed.
fn failures(text: &str, desk: &Desk) -> Vec<String> {
    let (findings, config) = examine_text(text, desk);
    let failed: Vec<_> = findings
        .iter()
        .filter(|finding| finding.grade == Grade::Fail)
        .map(|finding| format!("{}: {}", finding.place, finding.text))
        .collect();
    assert_eq!(failed.is_empty(), config.is_some());
    failed
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let found = failures(text, &desk());
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found}");
    }
}

const GOOD: &str = "host = \"127.0.0.1\"\nusername = \"u\"\nsecret-file = \"/s\"";

#[test]
fn a_word_that_is_no_level_is_refused_wherever_it_stands() {
    check(&format!("{}[log]\nlevel = \"warning\"\n", pbx(GOOD)), &["\"warn\" is meant"]);
    check(&format!("{}[log]\nlevel = \"\"\n", pbx(GOOD)), &["is no level"]);
    let mut desk = desk();
    desk.variables.insert(log::VARIABLE, "loud");
    assert_eq!(failures(&pbx(GOOD), &desk).len(), 1);
}

#[test]
fn a_good_configuration_has_no_failures() {
    check(&pbx(GOOD), &[]);
    let (_, config) = examine_text(&pbx(GOOD), &desk());
    let setup = config.unwrap().setup;
    assert_eq!((setup.pbxs[0].connection.port, setup.pbxs[0].name.as_str()), (5038, "default"));
    assert_eq!(setup.store_dir, Path::new("/var/lib/ami2amo"));
}

#[test]
fn every_problem_is_told_at_once() {
    let text = "[[pbx]]\nport = 0\n[amocrm]\nrequests-per-second = 9\nbase-url = \"https://a.amocrm.ru\"\n\
                [amocrm.users]\n101 = 0\n[store]\ndir = \"store\"\n[admin]\nsocket = \"ctl\"\n\
                [log]\nlevel = \"a=b=c\"\n[daemon]\nstop-timeout = \"0s\"\n";
    check(
        text,
        &[
            "host is missing",
            "username is missing",
            "secret is missing",
            "port is 0",
            "requests-per-second",
            "token is missing",
            "extension 101 has the user 0",
            "dir store is a relative path",
            "socket ctl is a relative path",
            "is no level",
            "stop-timeout is 0s",
        ],
    );
}

#[test]
fn metrics_are_for_this_host_alone() {
    for (address, failures) in [
        ("127.0.0.1:9095", &[][..]),
        ("[::1]:9095", &[]),
        ("0.0.0.0:9095", &["listen 0.0.0.0:9095 can be reached from other hosts"]),
        ("10.0.0.1:9095", &["can be reached from other hosts"]),
    ] {
        check(&format!("{}[admin]\nlisten = \"{address}\"\n", pbx(GOOD)), failures);
    }
}

#[test]
fn no_pbx_is_no_configuration() {
    check(AMO, &["there is no PBX"]);
}

#[test]
fn a_host_is_a_host() {
    for host in ["", "a b", "http://pbx", "10.0.0.1:5038", "pbx/x"] {
        let keys = format!("host = \"{host}\"\nusername = \"u\"\nsecret = \"s\"\nallow-plaintext = true");
        check(&pbx(&keys), &["is no host"]);
    }
    for host in ["127.0.0.1", "::1", "localhost", "127.1.2.3"] {
        check(&pbx(&format!("host = \"{host}\"\nusername = \"u\"\nsecret = \"s\"")), &[]);
    }
}

#[test]
fn plaintext_to_another_host_must_be_allowed() {
    let keys = "host = \"10.0.0.1\"\nusername = \"u\"\nsecret = \"s\"";
    check(&pbx(keys), &["would not be encrypted"]);
    let allowed = pbx(&format!("{keys}\nallow-plaintext = true"));
    check(&allowed, &[]);
    let (findings, _) = examine_text(&allowed, &desk());
    assert!(findings.iter().any(|f| f.grade == Grade::Warn && f.text.contains("not encrypted")));
}

#[test]
fn this_host_has_many_addresses_and_no_name_but_one() {
    let keys = |host: &str| pbx(&format!("host = \"{host}\"\nusername = \"u\"\nsecret = \"s\""));
    for host in ["::ffff:127.0.0.1", "LOCALHOST", "127.255.0.9"] {
        let (_, config) = examine_text(&keys(host), &desk());
        let security = config.unwrap().setup.pbxs.remove(0).connection.security;
        assert!(matches!(security, Security::Loopback), "{host}");
    }
    for host in ["::ffff:10.0.0.1", "localhost.example.org", "0.0.0.0", "::"] {
        check(&keys(host), &["would not be encrypted"]);
    }
}

const PIN: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn far(keys: &str) -> String {
    pbx(&format!("host = \"pbx.example.org\"\nusername = \"u\"\nsecret = \"s\"\n{keys}"))
}

#[test]
fn tls_has_a_port_of_its_own() {
    for (keys, port) in [("", 5039), ("port = 5038", 5038)] {
        let text = far(&format!("tls = \"pin\"\ntls-fingerprint = \"{PIN}\"\n{keys}"));
        check(&text, &[]);
        let (findings, config) = examine_text(&text, &desk());
        assert!(findings.iter().all(|finding| finding.grade == Grade::Ok), "{findings:#?}");
        let connection = config.unwrap().setup.pbxs.remove(0).connection;
        assert_eq!(connection.port, port);
        assert!(matches!(connection.security, Security::Tls(_)));
    }
}

#[test]
fn a_pin_may_be_missing_but_not_unnoticed() {
    let (findings, config) = examine_text(&far("tls = \"pin\""), &desk());
    assert!(config.is_some());
    let warned = findings.iter().any(|f| f.grade == Grade::Warn && f.text.contains("no tls-fingerprint"));
    assert!(warned, "{findings:#?}");
}

#[test]
fn a_key_of_tls_that_would_do_nothing_is_refused() {
    let pin = format!("tls-fingerprint = [\"{PIN}\"]");
    check(&far(&format!("allow-plaintext = true\n{pin}")), &["tls-fingerprint is set, and counts only"]);
    check(&far("allow-plaintext = true\ntls-ca-file = \"/ca\""), &["tls-ca-file is set"]);
    check(&far("tls = \"pin\"\ntls-name = \"x\""), &["tls-name is set"]);
    check(&far(&format!("tls = \"ca\"\n{pin}")), &["tls-fingerprint is set"]);
}

#[test]
fn an_authority_s_file_must_hold_a_certificate() {
    let mut desk = desk();
    desk.files.insert("/ca", include_bytes!("../../../tests/samples/tls/ca.pem"));
    let ca = |keys: &str| failures(&far(&format!("tls = \"ca\"\n{keys}")), &desk);
    assert_eq!(ca(""), Vec::<String>::new());
    assert_eq!(ca("tls-ca-file = \"/ca\"\ntls-name = \"pbx\""), Vec::<String>::new());
    for (keys, expected) in [
        ("tls-ca-file = \"/none\"", "cannot read tls-ca-file /none"),
        ("tls-ca-file = \"ca\"", "relative path"),
        ("tls-ca-file = \"/s\"", "tls-ca-file /s is of no use"),
        ("tls-name = \"a b\"", "can be no name"),
    ] {
        assert!(ca(keys)[0].contains(expected), "{:?}", ca(keys));
    }
}

#[test]
fn one_secret_is_needed_and_only_one() {
    let base = "host = \"localhost\"\nusername = \"u\"\n";
    check(&pbx(&format!("{base}secret = \"a\"\nsecret-file = \"/s\"")), &["both set"]);
    check(&pbx(&format!("{base}secret-file = \"/none\"")), &["cannot read secret-file /none"]);
    check(&pbx(&format!("{base}secret-file = \"s\"")), &["relative path"]);
    check(&pbx(&format!("{base}secret-file = \"/empty\"")), &["is empty"]);
    check(&pbx(&format!("{base}secret-file = \"/two\"")), &["line break"]);
    check(&pbx(&format!("{base}secret = \"\"")), &["is empty"]);
    let mut desk = desk();
    desk.variables.insert(SECRET_VARIABLE, "from-env");
    assert_eq!(failures(&pbx(base), &desk), Vec::<String>::new());
}

#[test]
fn two_pbxs_need_two_names() {
    let text = format!("[[pbx]]\n{GOOD}\n[[pbx]]\n{GOOD}\n{AMO}");
    check(&text, &["two PBXs have this name"]);
    let text = format!("[[pbx]]\n{GOOD}\n[[pbx]]\nname = \"spb\"\n{GOOD}\n{AMO}");
    check(&text, &[]);
}

#[test]
fn an_account_has_a_name_of_its_own() {
    let account =
        |keys: &str| format!("[[account]]\nbase-url = \"https://b.amocrm.ru\"\ndefault-user = 7\n{keys}\n");
    let spb = account("name = \"spb\"\ntoken = \"t\"");
    check(&(pbx(GOOD) + &spb), &[]);
    check(&(pbx(GOOD) + &spb + &spb), &["[[account]] \"spb\": two accounts have this name"]);
    check(&(pbx(GOOD) + &account("token = \"t\"")), &["it has no name, or that of [amocrm]"]);
    check(&(pbx(GOOD) + "name = \"msk\"\n"), &["[amocrm]: its name is always \"default\""]);
}

#[test]
fn a_line_and_what_is_done_for_unknown_numbers_must_make_sense() {
    let line = |keys: &str| format!("{}[[line]]\n{keys}\n", pbx(GOOD));
    check(&line("did = \"1\"\nlabel = \"a\"\nunknown.inbound = \"lead\"\npipeline = 1\nstage = 2"), &[]);
    check(&line("account = \"spb\""), &["[[line]] number 1: there is no account \"spb\""]);
    check(&line("label = \"a\"\npbx = \"b\""), &["[[line]] number 1 \"a\": there is no [[pbx]] \"b\""]);
    check(&line("unknown.outbound = \"unsorted\""), &["unknown.outbound is \"unsorted\""]);
    check(&line("stage = 1"), &["stage without pipeline"]);
    check(&line("source = \" \"\npipeline = 0"), &["source is blank", "pipeline or stage is 0"]);
    let account = |keys: &str| format!("{}[amocrm.unknown]\n{keys}\n", pbx(GOOD));
    check(&account("outbound = \"unsorted\""), &["outbound of unknown"]);
    check(&account("without-unsorted = \"unsorted\""), &["without-unsorted of unknown"]);
    check(&account("stage = 1"), &["a stage without a pipeline"]);
    check(&account("pipeline = 0"), &["pipeline or stage of unknown is 0"]);
    let (findings, _) = examine_text(&(line("label = \"all\"") + "[[line]]\ndid = \"1\"\n"), &desk());
    let warned =
        findings.iter().any(|finding| finding.grade == Grade::Warn && finding.text.contains("every call"));
    assert!(warned, "{findings:#?}");
}

#[test]
fn the_token_of_the_environment_is_that_of_the_default_account() {
    let mut desk = desk();
    desk.variables.insert(TOKEN_VARIABLE, "t0k");
    let text = pbx(GOOD) + "[[account]]\nname = \"b\"\nbase-url = \"https://b.amocrm.ru\"\n";
    let failed = failures(&text.replace("token = \"t0k\"\n", ""), &desk);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].starts_with("[[account]] \"b\": the token is missing"), "{failed:?}");
}

#[test]
fn no_pbx_is_named_as_another_and_more() {
    let two = |one: &str, two: &str| {
        format!("[[pbx]]\nname = \"{one}\"\n{GOOD}\n[[pbx]]\nname = \"{two}\"\n{GOOD}\n{AMO}")
    };
    check(&two("msk", "msk-x"), &["could be those of [[pbx]] \"msk\""]);
    check(&two("msk-x", "msk"), &["could be those of [[pbx]] \"msk-x\""]);
    for (one, other) in [("msk", "mskx"), ("msk", "msk_x"), ("msk-a", "msk-b"), ("a-b", "a-bc")] {
        check(&two(one, other), &[]);
    }
}

#[test]
fn a_username_fits_a_line() {
    let keys = "host = \"localhost\"\nusername = \"u\\r\\nAction: Originate\"\nsecret = \"s\"";
    check(&pbx(keys), &["cannot be a section"]);
}

#[test]
fn a_ping_is_neither_a_flood_nor_a_rarity() {
    for (interval, expected) in [("500ms", &["ping-interval"][..]), ("5s", &[]), ("2m", &["ping-interval"])] {
        check(&pbx(&format!("{GOOD}\nping-interval = \"{interval}\"")), expected);
    }
}

#[test]
fn a_fast_pace_is_for_loopback_only() {
    let amo = |url: &str| {
        format!("[[pbx]]\n{GOOD}\n[amocrm]\nbase-url = \"{url}\"\ntoken = \"t\"\nrequests-per-second = 100\n")
    };
    check(&amo("https://example.amocrm.ru"), &["requests-per-second"]);
    check(&amo("http://127.0.0.1:8080"), &[]);
}

#[test]
fn a_malformed_token_is_told_once_with_its_reason_and_never_shown() {
    for (token, expected) in [("SECRET TOK", "spaces"), ("", "the token is empty")] {
        let text = pbx(GOOD).replace("t0k", token);
        check(&text, &[expected]);
        let (findings, _) = examine_text(&text, &desk());
        let of_token: Vec<_> =
            findings.iter().filter(|finding| finding.text.contains("token from")).collect();
        assert_eq!(of_token.len(), 1, "{findings:#?}");
        assert!(!of_token[0].advice.is_empty() && !format!("{findings:?}").contains("TOK"), "{findings:#?}");
        let mut desk = desk();
        desk.variables.insert(TOKEN_VARIABLE, "good");
        assert_eq!(failures(&text, &desk).len(), 1, "the client refuses it all the same");
    }
}

#[test]
fn a_token_file_must_hold_a_token() {
    let amo = |file: &str| {
        format!("[[pbx]]\n{GOOD}\n[amocrm]\nbase-url = \"https://a.kommo.com\"\ntoken-file = \"{file}\"\n")
    };
    check(&amo("/t"), &[]);
    check(&amo("/empty"), &["the token is empty"]);
    check(&amo("/none"), &["cannot read token-file /none"]);
    check(&amo("t"), &["relative path"]);
}

#[test]
fn a_store_needs_a_folder() {
    for (folder, expected) in [
        (Folder::Writable, 0),
        (Folder::Makeable, 0),
        (Folder::Forbidden, 1),
        (Folder::Kernels, 1),
        (Folder::NotAFolder, 1),
    ] {
        let desk = Desk { folder: Some(folder), ..desk() };
        assert_eq!(failures(&pbx(GOOD), &desk).len(), expected, "{folder:?}");
    }
}

#[test]
fn a_disk_that_is_read_only_is_no_fault_of_the_configuration() {
    let desk = Desk { folder: Some(Folder::ReadOnly), ..desk() };
    let (findings, config) = examine_text(&pbx(GOOD), &desk);
    let worst = findings.iter().max_by_key(|finding| finding.grade).unwrap();
    assert!(worst.grade == Grade::Down && worst.text.contains("mounted read-only"), "{worst}");
    assert!(config.is_some(), "the store itself says it when the daemon starts");
}

#[test]
fn what_only_the_service_has_is_missed_inside_it_only() {
    let credential = "/run/credentials/ami2amo.service/x";
    let keys = format!("host = \"localhost\"\nusername = \"u\"\nsecret-file = \"{credential}\"");
    let text = format!(
        "[[pbx]]\n{keys}\n[amocrm]\nbase-url = \"https://a.amocrm.ru\"\ntoken-file = \"{credential}\"\ndefault-user = 7\n"
    );
    let (findings, config) = examine_text(&text, &desk());
    let warned: Vec<_> = findings.iter().filter(|finding| finding.grade == Grade::Warn).collect();
    assert_eq!(warned.len(), 2, "{findings:#?}");
    assert!(warned.iter().all(|finding| finding.text.contains("exists only inside the service")));
    assert!(warned.iter().all(|finding| finding.advice.contains("LoadCredential=")));
    assert!(findings.iter().all(|finding| finding.grade <= Grade::Warn) && config.is_none());
    let service = Desk { in_service: true, ..desk() };
    assert_eq!(failures(&text, &service).len(), 2);
    let elsewhere = text.replace(credential, "/etc/none");
    assert_eq!(failures(&elsewhere, &desk()).len(), 2);
}

#[test]
fn calls_without_users_are_a_warning() {
    let text = format!("[[pbx]]\n{GOOD}\n[amocrm]\nbase-url = \"https://a.amocrm.ru\"\ntoken = \"t\"\n");
    let (findings, config) = examine_text(&text, &desk());
    assert!(config.is_some());
    assert!(findings.iter().any(|f| f.grade == Grade::Warn && f.text.contains("no extension has a user")));
}

#[test]
fn no_finding_and_no_debug_output_shows_a_secret() {
    let text = pbx("host = \"localhost\"\nusername = \"u\"\nsecret = \"s3cret\"").replace("t0k", "s3cret");
    let (findings, config) = examine_text(&text, &desk());
    assert!(!format!("{findings:?} {config:?}").contains("s3cret"));
    let file: File = toml::from_str(&pbx("secret = \"s3cret\"")).unwrap();
    assert!(!format!("{file:?}").contains("s3cret"));
}

#[test]
fn an_integration_has_a_secret_key_and_a_ca_file_has_certificates() {
    let pbx = format!("[[pbx]]\n{GOOD}\n");
    let amo =
        |keys: &str| format!("{pbx}[amocrm]\nbase-url = \"https://a.amocrm.ru\"\ndefault-user = 7\n{keys}\n");
    let oauth = |secret: &str| {
        amo(&format!("oauth = {{ client-id = \"id\", redirect-uri = \"https://e.org\", {secret} }}"))
    };
    check(&oauth("client-secret-file = \"/s\""), &[]);
    check(&oauth("client-secret-file = \"s\""), &["relative path"]);
    check(&oauth("client-secret-file = \"/none\""), &["cannot read client-secret-file /none"]);
    check(&oauth("client-secret = \"a b\""), &["the secret key from the configuration"]);
    check(&amo("token = \"t\"\nca-file = \"/s\""), &["ca-file /s: it holds no certificate"]);
    check(&amo("token = \"t\"\nca-file = \"/none\""), &["cannot read ca-file /none"]);
}

#[test]
fn a_folder_of_recordings_goes_with_the_address_under_which_it_is_heard() {
    let failed = |keys: &str| failures(&format!("{}{keys}\n", pbx(GOOD)), &desk());
    let url = "recording-url = \"https://p/{file}\"";
    assert_eq!(failed(&format!("{url}\nrecording-root = \"/rec/{{pbx}}\"")), [""; 0]);
    let [alone] = &failed("voicemail-root = \"/vm\"")[..] else { panic!("one failure") };
    assert_eq!(alone, "[amocrm]: voicemail-root is set, and voicemail-url is not");
    let [search] = &failed(&format!("{url}\nrecording-search = \"*{{uniqueid}}*\""))[..] else {
        panic!("one failure")
    };
    assert!(search.contains("recording-root is not"), "{search}");
    let [odd] = &failed(&format!("{url}\nrecording-root = \"/rec/{{day}}\""))[..] else {
        panic!("one failure")
    };
    assert!(odd.contains("/rec/{day}"), "{odd}");
    assert_eq!(failed(&format!("{url}\nrecording-root = \"rec\"")).len(), 1);
    let gone = Desk { folder: Some(Folder::Makeable), ..desk() };
    let (findings, _) = examine_text(&format!("{AMO}{url}\nrecording-root = \"/rec\"\n"), &gone);
    let warned =
        findings.iter().find(|finding| finding.grade == Grade::Warn && finding.text.contains("/rec"));
    assert!(warned.is_some_and(|finding| finding.text.contains("is not there")), "{findings:#?}");
}
