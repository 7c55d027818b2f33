use super::*;
use crate::ami::wire::Kind;

fn parse(block: &str) -> Option<Event<'_>> {
    Event::parse(&Frame { kind: Kind::Event, block: block.as_bytes() })
}

#[test]
fn a_channel_event_carries_its_snapshot() {
    let event = parse(
        "Event: Newchannel\r\nPrivilege: call,all\r\nTimestamp: 1795339565.437709\r\nChannel: PJSIP/trunk-00000000\r\n\
         ChannelState: 4\r\nCallerIDNum: 79161001137\r\nContext: from-trunk\r\nExten: 74957000101\r\n\
         Uniqueid: 1795339565.0\r\nLinkedid: 1795339565.0\r\n",
    );
    let channel = Channel {
        name: b"PJSIP/trunk-00000000",
        uniqueid: b"1795339565.0",
        linkedid: b"1795339565.0",
        state: Some(4),
        number: b"79161001137",
        context: b"from-trunk",
        exten: b"74957000101",
        account: b"",
        priority: b"",
    };
    let at = Some(PbxTime::from_micros(1_795_339_565_437_709));
    assert_eq!(event, Some(Event { at, what: What::NewChannel(channel) }));
}

#[test]
fn keys_match_in_any_case_and_order() {
    let event = parse("CHANNEL: a\r\nuniqueID: 1.2\r\ncause: 17\r\nEvent: Hangup\r\n");
    let Some(Event { what: What::Hangup { channel, cause }, .. }) = event else { panic!("{event:?}") };
    assert_eq!((channel.name, channel.uniqueid, cause), (&b"a"[..], &b"1.2"[..], Some(17)));
}

#[test]
fn keys_of_every_event_match_in_any_case() {
    for block in [
        "Event: FullyBooted\nUptime: 7\n",
        "Event: ExtensionStatus\nExten: 101\nHint: PJSIP/101\n",
        "Event: MessageWaiting\nMailbox: 101@default\nNew: 1\n",
        "Event: UserEvent\nUserEvent: ami2amo\nUniqueid: 1.1\nSend: no\n",
        "Event: Newstate\nUniqueid: 1.1\nPriority: 2\nChannelState: 6\n",
        "Event: DialBegin\nDestUniqueid: 1.1\nDestPriority: 2\nDestChannelState: 5\n",
    ] {
        let shout = |line: &str| {
            line.split_once(": ").map(|(key, value)| format!("{}: {value}\n", key.to_uppercase()))
        };
        let loud: String = block.lines().filter_map(shout).collect();
        assert!(parse(block).is_some(), "{block}");
        assert_eq!(parse(&loud), parse(block), "{block}");
    }
}

#[test]
fn the_first_of_two_equal_headers_wins() {
    let event = parse("Event: Hangup\r\nUniqueid: 1.1\r\nUniqueid: 1.2\r\nEvent: Newchannel\r\n");
    let Some(Event { what: What::Hangup { channel, .. }, .. }) = event else { panic!("{event:?}") };
    assert_eq!(channel.uniqueid, b"1.1");
}

#[test]
fn a_dial_without_a_caller_is_the_pbx_dialling() {
    let event =
        parse("Event: DialBegin\r\nDestUniqueid: 1.1\r\nDestChannel: PJSIP/101-1\r\nDialString: 101\r\n");
    let Some(Event { what: What::DialBegin { caller, dest, dial_string }, .. }) = event else {
        panic!("{event:?}")
    };
    assert_eq!((caller, dest.uniqueid, dial_string), (None, &b"1.1"[..], &b"101"[..]));
}

#[test]
fn a_transfer_may_leave_parties_out() {
    let event = parse(
        "Event: BlindTransfer\r\nResult: Success\r\nTransfererUniqueid: 1.1\r\nTransfererChannel: PJSIP/101-1\r\n\
         Extension: 102\r\n",
    );
    let Some(Event { what: What::BlindTransfer { transferer, transferee, extension, done }, .. }) = event
    else {
        panic!("{event:?}")
    };
    assert_eq!((transferer.uniqueid, transferee, extension, done), (&b"1.1"[..], None, &b"102"[..], true));
}

#[test]
fn the_pbx_itself_is_no_channel() {
    assert_eq!(
        parse("Event: VarSet\r\nChannel: none\r\nUniqueid: none\r\nVariable: X\r\nValue: 1\r\n"),
        None
    );
}

#[test]
fn an_unknown_event_is_none() {
    assert_eq!(parse("Event: Whatever\r\nUniqueid: 1.1\r\n"), None);
    assert_eq!(parse("no colon here"), None);
}

#[test]
fn a_number_that_is_none_is_none() {
    for none in ["", "<unknown>", "Anonymous", "unavailable", "anonymous"] {
        assert_eq!(presented(none.as_bytes()), None, "{none}");
    }
    assert_eq!(presented(b"+79161234567").as_deref(), Some("+79161234567"));
}

#[test]
fn values_decode_whatever_they_are() {
    assert_eq!(text::decode(b"\xc2\xe8\xf2\xe0\xeb\xe8\xe9"), "Виталий");
    assert_eq!(text::decode("Дел".as_bytes()), "Дел");
    assert_eq!(text::decode(b"K129\xd0"), "K129");
    assert_eq!(text::decode(b"a\x1b[31mb"), "a[31mb");
    assert_eq!(text::unescape(br#"a\"b\\c\n"#).as_ref(), b"a\"b\\c\n");
}
