//! Pure: what a stretch of the stream shows of the rights of the user that reads it: events come with their
//! classes in `Privilege`, and with a `Timestamp` where manager.conf says so.

use std::collections::BTreeSet;

/// What was heard so far.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Heard {
    /// Classes of the events that came: the user may read them.
    pub classes: BTreeSet<String>,
    /// Events that Asterisk stamps when it stamps any.
    pub events: u64,
    /// Those with a `Timestamp`.
    pub timed: u64,
    /// A line whose end has not come yet.
    rest: Vec<u8>,
    block: Block,
}

/// The block that is being read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Block {
    is_event: bool,
    has_class: bool,
    has_time: bool,
}

/// A longer line is no header that is looked for.
const LINE_MAX: usize = 4 << 10;

impl Heard {
    /// Takes in what came next.
    pub fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.rest);
                self.line(line.trim_ascii_end());
            } else if self.rest.len() < LINE_MAX {
                self.rest.push(*byte);
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        if line.is_empty() {
            let Block { is_event, has_class, has_time } = std::mem::take(&mut self.block);
            // Items of lists have no class, and no time in any case.
            self.events += u64::from(is_event && has_class);
            self.timed += u64::from(is_event && has_class && has_time);
            return;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let value = line[colon + 1..].trim_ascii();
        match &line[..colon] {
            // The login sends this one itself, without a time.
            b"Event" if value == b"FullyBooted" => self.class(b"system"),
            b"Event" => self.block.is_event = true,
            b"Privilege" if self.block.is_event => {
                self.block.has_class = true;
                value.split(|byte| *byte == b',').for_each(|class| self.class(class));
            }
            b"Timestamp" => self.block.has_time = true,
            _ => {}
        }
    }

    fn class(&mut self, class: &[u8]) {
        // Every event is said to be of the class "all".
        if class != b"all" {
            self.classes.insert(String::from_utf8_lossy(class).into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "Asterisk Call Manager/11.0.0\r\nResponse: Success\r\nActionID: 1\r\n\r\n\
        Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\n\r\n\
        Event: CoreShowChannel\r\nActionID: 4\r\nChannel: PJSIP/1-1\r\n\r\n\
        Event: Newchannel\r\nPrivilege: call,all\r\nTimestamp: 1.5\r\nChannel: a\r\n\r\n\
        Event: VarSet\r\nPrivilege: dialplan,all\r\nTimestamp: 1.6\r\nVariable: a\r\n\r\n";

    fn heard(text: &str, piece: usize) -> Heard {
        let mut heard = Heard::default();
        text.as_bytes().chunks(piece).for_each(|piece| heard.take(piece));
        heard
    }

    #[test]
    fn classes_and_times_are_heard_however_the_stream_is_cut() {
        for piece in [1, 7, 4096] {
            let heard = heard(STREAM, piece);
            assert_eq!((heard.events, heard.timed), (2, 2));
            assert_eq!(
                heard.classes.iter().map(String::as_str).collect::<Vec<_>>(),
                ["call", "dialplan", "system"]
            );
        }
    }

    #[test]
    fn events_without_a_time_are_told_from_none() {
        let heard = heard(&STREAM.replace("Timestamp", "Time"), 4096);
        assert_eq!((heard.events, heard.timed), (2, 0));
    }
}
