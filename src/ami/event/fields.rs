//! Pure: one pass over the headers of an event.

use crate::ami::event::{AttendedTransfer, Bridge, Cdr, Channel, List, ListPart, Listed, Said, What, number};
use crate::ami::wire::Frame;

/// The headers of the frequent events; rare ones are read by [`Channel::prefixed`] passes of
/// their own. Absent values are empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'b> {
    event: &'b [u8],
    pub(super) timestamp: &'b [u8],
    channel: Channel<'b>,
    dest: Channel<'b>,
    bridge: Bridge<'b>,
    swap: &'b [u8],
    cause: &'b [u8],
    status: &'b [u8],
    dial_string: &'b [u8],
    forward: &'b [u8],
    queue: &'b [u8],
    interface: &'b [u8],
    variable: &'b [u8],
    value: &'b [u8],
    extension: &'b [u8],
    result: &'b [u8],
    other: Other<'b>,
}

/// Headers of one event each.
#[derive(Clone, Copy, Debug, Default)]
struct Other<'b> {
    hint: &'b [u8],
    mailbox: &'b [u8],
    new: &'b [u8],
    uptime: &'b [u8],
    user_event: &'b [u8],
}

impl<'b> Fields<'b> {
    pub(super) fn read(frame: &Frame<'b>) -> Self {
        let mut fields = Self::default();
        for (key, value) in frame.headers() {
            fields.take(key, value);
        }
        fields
    }

    #[inline]
    fn take(&mut self, key: &[u8], value: &'b [u8]) {
        match self.slot(key) {
            Slot::Text(slot) => {
                if slot.is_empty() {
                    *slot = value;
                }
            }
            Slot::State(slot) => *slot = slot.or_else(|| number(value)),
            Slot::Unneeded => {}
            Slot::Foreign => self.take_in_any_case(key, value),
        }
    }

    #[inline]
    fn slot(&mut self, key: &[u8]) -> Slot<'_, 'b> {
        Slot::Text(match key {
            b"Channel" => &mut self.channel.name,
            b"Uniqueid" => &mut self.channel.uniqueid,
            b"Linkedid" => &mut self.channel.linkedid,
            b"CallerIDNum" => &mut self.channel.number,
            b"Context" => &mut self.channel.context,
            b"Exten" => &mut self.channel.exten,
            b"AccountCode" => &mut self.channel.account,
            b"Priority" => &mut self.channel.priority,
            b"ChannelState" => return Slot::State(&mut self.channel.state),
            b"DestChannel" => &mut self.dest.name,
            b"DestUniqueid" => &mut self.dest.uniqueid,
            b"DestLinkedid" => &mut self.dest.linkedid,
            b"DestCallerIDNum" => &mut self.dest.number,
            b"DestContext" => &mut self.dest.context,
            b"DestExten" => &mut self.dest.exten,
            b"DestAccountCode" => &mut self.dest.account,
            b"DestPriority" => &mut self.dest.priority,
            b"DestChannelState" => return Slot::State(&mut self.dest.state),
            b"BridgeUniqueid" => &mut self.bridge.uniqueid,
            b"BridgeType" => &mut self.bridge.kind,
            b"BridgeTechnology" => &mut self.bridge.technology,
            b"BridgeCreator" => &mut self.bridge.creator,
            b"SwapUniqueid" => &mut self.swap,
            b"Event" => &mut self.event,
            b"Timestamp" => &mut self.timestamp,
            b"Cause" => &mut self.cause,
            b"DialStatus" => &mut self.status,
            b"DialString" => &mut self.dial_string,
            b"Forward" => &mut self.forward,
            b"Queue" => &mut self.queue,
            b"Interface" => &mut self.interface,
            b"Variable" => &mut self.variable,
            b"Value" => &mut self.value,
            b"Extension" => &mut self.extension,
            b"Result" => &mut self.result,
            b"Hint" => &mut self.other.hint,
            b"Mailbox" => &mut self.other.mailbox,
            b"New" => &mut self.other.new,
            b"Uptime" => &mut self.other.uptime,
            b"UserEvent" => &mut self.other.user_event,
            b"Privilege"
            | b"ChannelStateDesc"
            | b"CallerIDName"
            | b"ConnectedLineNum"
            | b"ConnectedLineName"
            | b"Language"
            | b"DestChannelStateDesc"
            | b"DestCallerIDName"
            | b"DestConnectedLineNum"
            | b"DestConnectedLineName"
            | b"DestLanguage"
            | b"BridgeName"
            | b"BridgeNumChannels"
            | b"BridgeVideoSourceMode"
            | b"Cause-txt"
            | b"TechCause"
            | b"CID-CallingPres" => return Slot::Unneeded,
            _ => return Slot::Foreign,
        })
    }

    /// Asterisk writes some keys differently from version to version (`UniqueID`, `BridgeId`).
    #[cold]
    fn take_in_any_case(&mut self, key: &[u8], value: &'b [u8]) {
        const KNOWN: [&[u8]; 40] = [
            b"Channel",
            b"Uniqueid",
            b"Linkedid",
            b"CallerIDNum",
            b"Context",
            b"Exten",
            b"AccountCode",
            b"Priority",
            b"ChannelState",
            b"DestChannel",
            b"DestUniqueid",
            b"DestLinkedid",
            b"DestCallerIDNum",
            b"DestContext",
            b"DestExten",
            b"DestAccountCode",
            b"DestPriority",
            b"DestChannelState",
            b"BridgeUniqueid",
            b"BridgeType",
            b"BridgeTechnology",
            b"BridgeCreator",
            b"SwapUniqueid",
            b"Event",
            b"Timestamp",
            b"Cause",
            b"DialStatus",
            b"DialString",
            b"Forward",
            b"Queue",
            b"Interface",
            b"Variable",
            b"Value",
            b"Extension",
            b"Result",
            b"Hint",
            b"Mailbox",
            b"New",
            b"Uptime",
            b"UserEvent",
        ];
        let known = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(key));
        if let Some(known) = known.filter(|known| **known != key) {
            self.take(known, value);
        }
    }

    /// The typed event; `frame` is read again for the snapshots of rare events.
    pub(super) fn what(&self, frame: &Frame<'b>) -> Option<What<'b>> {
        let channel = || self.channel.known();
        Some(match self.event {
            b"Newchannel" => What::NewChannel(channel()?),
            b"Newstate" | b"NewCallerid" | b"NewAccountCode" => What::ChannelChanged(channel()?),
            b"Hangup" => What::Hangup { channel: channel()?, cause: number(self.cause) },
            b"HangupRequest" => What::HangupRequest { channel: channel()?, cause: number(self.cause) },
            b"DialBegin" => {
                What::DialBegin { caller: channel(), dest: self.dest.known()?, dial_string: self.dial_string }
            }
            b"DialEnd" => What::DialEnd {
                caller: channel(),
                dest: self.dest.known()?,
                status: self.status,
                forward: self.forward,
            },
            // Of a channel that takes another one's place in a conference nothing else is told.
            b"BridgeEnter" | b"ConfbridgeJoin" => {
                What::BridgeEnter { bridge: self.bridge()?, channel: channel()?, swap: self.swap }
            }
            b"BridgeLeave" | b"ConfbridgeLeave" => {
                What::BridgeLeave { bridge: self.bridge()?, channel: channel()? }
            }
            b"BridgeDestroy" => What::BridgeDestroy { bridge: self.bridge()? },
            b"Hold" => What::Hold(channel()?),
            b"Unhold" => What::Unhold(channel()?),
            b"QueueCallerJoin" => What::QueueJoin { channel: channel()?, queue: self.queue },
            b"QueueCallerAbandon" => What::QueueAbandon { channel: channel()?, queue: self.queue },
            b"AgentCalled" | b"AgentConnect" => {
                What::Agent { caller: channel(), dest: self.dest.known(), interface: self.interface }
            }
            b"VarSet" => What::Variable { channel: channel()?, name: self.variable, value: self.value },
            b"MessageWaiting" => {
                What::Message { channel: channel(), mailbox: self.other.mailbox, new: number(self.other.new) }
            }
            b"MixMonitorStop" | b"MonitorStop" => What::RecordingStopped(channel()?),
            b"ReceiveFAX" | b"SendFAX" | b"FAXStatus" => What::Fax(channel()?),
            b"ExtensionStatus" => What::Hint { exten: self.channel.exten, device: self.other.hint },
            b"UserEvent" => What::User { channel: channel(), name: self.other.user_event, said: said(frame) },
            b"FullyBooted" => What::FullyBooted { uptime: number(self.other.uptime) },
            b"Shutdown" => What::Shutdown,
            _ => return self.rare(frame),
        })
    }

    fn rare(&self, frame: &Frame<'b>) -> Option<What<'b>> {
        let named = |prefix: &str| Channel::prefixed(frame, prefix.as_bytes());
        Some(match self.event {
            b"LocalBridge" => What::LocalBridge { one: named("LocalOne")?, two: named("LocalTwo")? },
            b"BlindTransfer" => What::BlindTransfer {
                transferer: named("Transferer")?,
                transferee: named("Transferee"),
                extension: self.extension,
                done: self.result.eq_ignore_ascii_case(b"Success"),
            },
            b"AttendedTransfer" => What::AttendedTransfer(AttendedTransfer {
                first: named("OrigTransferer"),
                second: named("SecondTransferer"),
                transferee: named("Transferee"),
                target: named("TransferTarget"),
                local_one: named("LocalOne"),
                local_two: named("LocalTwo"),
                done: self.result.eq_ignore_ascii_case(b"Success"),
            }),
            b"Pickup" => What::Pickup { picker: self.channel.known()?, target: named("Target")? },
            b"ParkedCall" => What::Parked { parkee: named("Parkee")? },
            b"UnParkedCall" => What::Unparked { parkee: named("Parkee")?, retriever: named("Retriever") },
            b"ParkedCallTimeOut" | b"ParkedCallGiveUp" => What::ParkingEnded { parkee: named("Parkee")? },
            b"Cdr" => What::Cdr(cdr(frame)?),
            b"Status" => What::List(ListPart::Channel(self.listed(List::Channels, frame)?)),
            b"CoreShowChannel" => What::List(ListPart::Channel(self.listed(List::Remembered, frame)?)),
            b"BridgeListItem" => What::List(ListPart::Bridge(self.bridge()?)),
            b"StatusComplete" => list_end(List::Channels, frame),
            b"CoreShowChannelsComplete" => list_end(List::Remembered, frame),
            b"BridgeListComplete" => list_end(List::Bridges, frame),
            b"ChanSpyStart" => What::Spy { spyer: named("Spyer")? },
            _ => return None,
        })
    }

    fn listed(&self, list: List, frame: &Frame<'b>) -> Option<Listed<'b>> {
        let application = frame.header("Application").unwrap_or_default();
        Some(Listed { list, channel: self.channel.known()?, bridge: frame.header("BridgeId"), application })
    }

    fn bridge(&self) -> Option<Bridge<'b>> {
        const BRIDGE_ID_MAX: usize = 150; // a UUID has 36
        (1..=BRIDGE_ID_MAX).contains(&self.bridge.uniqueid.len()).then_some(self.bridge)
    }
}

fn list_end<'b>(list: List, frame: &Frame<'b>) -> What<'b> {
    let items = frame.header("ListItems").or_else(|| frame.header("Items"));
    let complete = frame.header("EventList").is_none_or(|word| word.eq_ignore_ascii_case(b"Complete"));
    What::List(ListPart::End { list, items: items.and_then(number), complete })
}

fn said<'b>(frame: &Frame<'b>) -> Said<'b> {
    let word = |key| frame.header(key).unwrap_or_default();
    Said {
        status: word("status"),
        result: word("result"),
        responsible: word("responsible"),
        send: word("send"),
        tenant: word("tenant"),
    }
}

fn cdr<'b>(frame: &Frame<'b>) -> Option<Cdr<'b>> {
    let word = |key| frame.header(key).unwrap_or_default();
    let cdr = Cdr {
        uniqueid: word("UniqueID"),
        destination_channel: word("DestinationChannel"),
        application: word("LastApplication"),
        data: word("LastData"),
        started: word("StartTime"),
        ended: word("EndTime"),
    };
    (!cdr.uniqueid.is_empty()).then_some(cdr)
}

/// Where a header's value goes.
enum Slot<'f, 'b> {
    Text(&'f mut &'b [u8]),
    State(&'f mut Option<u8>),
    /// Known and of no use.
    Unneeded,
    /// Not known in this spelling.
    Foreign,
}
