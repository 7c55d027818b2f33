//! Pure: which events and variables can change a call. Everything else is stepped over unread:
//! on a busy PBX nine tenths of the stream are `VarSet`, `Newexten`, RTCP and test events.

/// Whether calls can depend on the event `name` (the value of `Event:`).
pub fn wants_event(name: &[u8]) -> bool {
    matches!(
        name,
        b"AgentCalled"
            | b"AgentConnect"
            | b"AttendedTransfer"
            | b"BlindTransfer"
            | b"BridgeDestroy"
            | b"BridgeEnter"
            | b"BridgeLeave"
            | b"BridgeListComplete"
            | b"BridgeListItem"
            | b"Cdr"
            | b"ChanSpyStart"
            | b"ConfbridgeJoin"
            | b"ConfbridgeLeave"
            | b"CoreShowChannel"
            | b"CoreShowChannelsComplete"
            | b"DialBegin"
            | b"DialEnd"
            | b"ExtensionStatus"
            | b"FAXStatus"
            | b"FullyBooted"
            | b"Hangup"
            | b"HangupRequest"
            | b"Hold"
            | b"LocalBridge"
            | b"MessageWaiting"
            | b"MixMonitorStop"
            | b"MonitorStop"
            | b"NewAccountCode"
            | b"NewCallerid"
            | b"Newchannel"
            | b"Newstate"
            | b"ParkedCall"
            | b"ParkedCallGiveUp"
            | b"ParkedCallTimeOut"
            | b"Pickup"
            | b"QueueCallerAbandon"
            | b"QueueCallerJoin"
            | b"ReceiveFAX"
            | b"SendFAX"
            | b"Shutdown"
            | b"Status"
            | b"StatusComplete"
            | b"UnParkedCall"
            | b"Unhold"
            | b"UserEvent"
            | b"VarSet"
    )
}

/// Whether calls can depend on the variable `name` of a `VarSet`: those that Asterisk and the usual
/// dial plans set, and those that begin with `own`, by which a dial plan speaks to us. Leading
/// underscores only say that channels inherit it.
pub fn wants_variable(name: &[u8], own: &[u8]) -> bool {
    let name = match name {
        [b'_', b'_', rest @ ..] | [b'_', rest @ ..] => rest,
        plain => plain,
    };
    matches!(
        name,
        b"ANSWEREDTIME"
            | b"ANSWEREDTIME_MS"
            | b"CALLFILENAME"
            | b"CDR(recordingfile)"
            | b"DIALSTATUS"
            | b"EXTTOCALL"
            | b"FORWARDEDBY"
            | b"FROM_DID"
            | b"MIXMONITOR_FILENAME"
            | b"MONITOR_FILENAME"
            | b"VMSTATUS"
            | b"VM_MESSAGEFILE"
            | b"recordingfile"
    ) || name.starts_with(own)
}
