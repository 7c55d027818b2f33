//! The channels that there are on the simulated PBX, and its lists of them.

use std::collections::BTreeMap;

use ami2amo::ami::wire::{Frame, Kind};

/// Headers of a channel's snapshot.
const SNAPSHOT: [&str; 7] =
    ["Channel", "ChannelState", "CallerIDNum", "Context", "Exten", "Priority", "Linkedid"];

/// By uniqueid.
#[derive(Debug, Default)]
pub struct Channels(BTreeMap<String, Channel>);

#[derive(Debug, Default)]
struct Channel {
    snapshot: [String; SNAPSHOT.len()],
    bridge: String,
}

impl Channels {
    /// An event, whether or not anybody hears of it.
    pub fn happened(&mut self, block: &[u8]) {
        let frame = Frame { kind: Kind::Event, block };
        let header = |key: &str| frame.header(key).map(|value| String::from_utf8_lossy(value).into_owned());
        let (Some(name), Some(uniqueid)) = (header("Event"), header("Uniqueid")) else { return };
        if name == "Newchannel" {
            self.0.entry(uniqueid.clone()).or_default();
        }
        let Some(channel) = self.0.get_mut(&uniqueid) else { return };
        for (known, key) in channel.snapshot.iter_mut().zip(SNAPSHOT) {
            if let Some(told) = header(key) {
                *known = told;
            }
        }
        match name.as_str() {
            "BridgeEnter" => channel.bridge = header("BridgeUniqueid").unwrap_or_default(),
            "BridgeLeave" => channel.bridge.clear(),
            "Hangup" => drop(self.0.remove(&uniqueid)),
            _ => {}
        }
    }

    /// The answer to `CoreShowChannels`.
    pub fn list(&self) -> Vec<u8> {
        let mut text = String::new();
        for (uniqueid, channel) in &self.0 {
            let headers =
                SNAPSHOT.iter().zip(&channel.snapshot).map(|(key, value)| format!("{key}: {value}\r\n"));
            let (headers, bridge) = (headers.collect::<String>(), &channel.bridge);
            text += &format!(
                "Event: CoreShowChannel\r\nActionID: 3\r\n{headers}Uniqueid: {uniqueid}\r\nBridgeId: {bridge}\r\n\r\n"
            );
        }
        let count = self.0.len();
        text += &format!(
            "Event: CoreShowChannelsComplete\r\nActionID: 3\r\nEventList: Complete\r\nListItems: {count}\r\n\r\n"
        );
        text.into_bytes()
    }
}
