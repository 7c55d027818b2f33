//! What a PBX says beside what calls can depend on: nine tenths of its stream.

use std::fmt::Write as _;

/// `count` events about some channel, of some 200 bytes each.
pub fn noise(count: u64, text: &mut String) {
    for step in 0..count {
        let (name, rest) = match step % 3 {
            0 => ("VarSet", "Variable: MACRO_DEPTH\r\nValue: 1\r\n"),
            1 => ("Newexten", "Extension: s\r\nApplication: GotoIf\r\nAppData: 0?exten,1\r\n"),
            _ => ("RTCPSent", "To: 192.0.2.7:4001\r\nSSRC: 0x2a\r\nPT: 200(SR)\r\nReportCount: 1\r\n"),
        };
        write!(
            text,
            "Event: {name}\r\nPrivilege: dialplan,all\r\nTimestamp: 1795000000.000001\r\n\
             Channel: PJSIP/trunk-msk-000000aa\r\nUniqueid: 1795000000.170\r\nLinkedid: 1795000000.170\r\n\
             {rest}\r\n"
        )
        .expect("a string grows");
    }
}
