//! Lines in, lines out.

use super::*;

fn anonymized(text: &str) -> String {
    String::from_utf8(Anonymizer::new(b"key", "AMI2AMO_").take(text.as_bytes())).unwrap()
}

/// The stand-in of this number.
fn stand_in(number: &str) -> String {
    String::from_utf8(Anonymizer::new(b"key", "").tokens(number.as_bytes())).unwrap()
}

#[test]
fn numbers_names_and_addresses_are_exchanged_and_the_rest_stays() {
    let text = "Event: Newchannel\r\nTimestamp: 1795339565.437709\r\nChannel: PJSIP/74951234567-00000012\r\n\
        CallerIDNum: 79161234567\r\nCallerIDName: Иван Петров\r\nConnectedLineName: <unknown>\r\n\
        Exten: 101\r\nUniqueid: pbx-1795339565.7\r\nX-Note: Иван, 5\r\n\r\n";
    let number = stand_in("79161234567");
    let told = anonymized(text);
    assert!(number.starts_with("7916") && number != "79161234567");
    for line in [
        "Timestamp: 1795339565.437709\r\n".to_owned(),
        format!("Channel: PJSIP/{}-00000012\r\n", stand_in("74951234567")),
        format!("CallerIDNum: {number}\r\n"),
        "ConnectedLineName: <unknown>\r\nExten: 101\r\nUniqueid: pbx-1795339565.7\r\nX-Note: xxxx, 0\r\n\r\n"
            .to_owned(),
    ] {
        assert!(told.contains(&line), "{line}\n{told}");
    }
    assert!(told.contains("CallerIDName: Name ") && !told.contains("Иван"), "{told}");
}

#[test]
fn a_recordings_name_keeps_its_day_and_its_id() {
    let name = "in-74957000101-79161234568-20261122-091311-1795337591.4.wav";
    let told = anonymized(&format!("Event: VarSet\r\nVariable: __CALLFILENAME\r\nValue: {name}\r\n\r\n"));
    let (did, number) = (stand_in("74957000101"), stand_in("79161234568"));
    assert!(
        told.contains(&format!("Value: in-{did}-{number}-20261122-091311-1795337591.4.wav\r\n")),
        "{told}"
    );
    let told = anonymized("Event: VarSet\r\nVariable: CUSTOMER\r\nValue: Ivan 7\r\n\r\n");
    assert!(told.contains("Value: xxxx 0\r\n"), "{told}");
}

#[test]
fn addresses_of_hosts_are_exchanged() {
    let told = anonymized(
        "Event: PeerStatus\r\nURI: sip:79161234567@sip.example.org:5060;x=1\r\nPeer: SIP/203.0.113.9\r\n\r\n",
    );
    assert!(!told.contains("example.org") && !told.contains("203.0"), "{told}");
    assert!(told.contains(".example:5060;x=1\r\n") && told.contains("Peer: SIP/10."), "{told}");
    assert!(anonymized("Contact: sip:101@127.0.0.1:5060\r\n").ends_with("127.0.0.1:5060\r\n"));
}

#[test]
fn secrets_are_struck_out_however_short() {
    let told =
        anonymized("Event: VoicemailPasswordChange\r\nMailbox: 101\r\nNewPassword: 4711\r\n\r\nDigit: 5\r\n");
    assert!(told.contains("NewPassword: 0000\r\n") && told.contains("Digit: 0\r\n"), "{told}");
}

#[test]
fn records_of_the_pbx_are_exchanged_like_its_events() {
    let told = anonymized(
        "Event: Cdr\r\nCallerID: \"Ivan\" <79161234567>\r\nLastApplication: Dial\r\n\
         LastData: PJSIP/79161234567@trunk,20,tT\r\n\r\nEvent: Cdr\r\nLastApplication: Set\r\nLastData: N=Ivan\r\n\r\n",
    );
    let number = stand_in("79161234567");
    assert!(
        told.contains(&format!("\" <{number}>\r\n")) && told.contains(&format!("PJSIP/{number}@trunk,20")),
        "{told}"
    );
    assert!(told.contains("LastData: x=xxxx\r\n") && !told.contains("Ivan"), "{told}");
}

#[test]
fn what_the_pbx_says_of_itself_stays() {
    let text = "Response: Success\r\nPing: Pong\r\nTimestamp: 1795904749.979637\r\nCoreStartupDate: 2026-11-28\r\n\
                AsteriskVersion: 22.10.1+dfsg+~cs6.17.60671434-1\r\n\r\n";
    assert_eq!(anonymized(text), text);
}

#[test]
fn a_number_is_exchanged_whatever_its_form() {
    let told = anonymized("CallerIDNum: +7 (916) 123-45-67\r\n");
    let digits: String = told.chars().filter(char::is_ascii_digit).collect();
    assert_eq!(digits, stand_in("79161234567"));
}
