//! Pure: a capture without people in it. Numbers of seven digits and more, names and addresses are exchanged, the
//! same for the same; text that may say anything is struck out letter by letter. What calls are told by stays:
//! ids, times, order, endpoints, contexts, extensions, lengths and beginnings of numbers. So the anonymized
//! capture gives the same calls, with the stand-ins in them: `tests/anonymize.rs` holds it over every capture.

use memchr::memmem;

use crate::ami::event::presented;
use crate::ami::interest;
use crate::capture::anonymize::shape::{address, is_structure};
use crate::capture::number::{DIGITS, Numbers};

mod shape;

/// Exchanges what belongs to people, line by line.
#[derive(Debug)]
pub struct Anonymizer {
    numbers: Numbers,
    /// What a dial plan's own variables begin with.
    own: Vec<u8>,
    block: Block,
}

/// What the lines above have said of their block.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Block {
    is_reply: bool,
    is_user_event: bool,
    variable: Vec<u8>,
    application: Vec<u8>,
}

/// What becomes of a header's value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    /// It stays as it is: ids and times.
    Keep,
    /// Numbers and addresses in it are exchanged, words stay.
    Tokens,
    /// As `Tokens`; a number may be written with signs between its digits.
    Number,
    /// A person's name.
    Name,
    /// `"Name" <number>`
    NameAndNumber,
    /// `NAME=value`
    Assignment,
    /// The value of the block's variable.
    Variable,
    /// What the block's application was given.
    Arguments,
    /// Struck out.
    Strike,
}

/// Ends of keys, in lower case, whose values are ids and times.
const KEPT: [&str; 11] = [
    "uniqueid",
    "linkedid",
    "bridgeid",
    "timestamp",
    "actionid",
    "privilege",
    "channelstate",
    "channelstatedesc",
    "language",
    "priority",
    "bridgetype",
];
const KEPT_WHOLE: [&str; 6] = ["amiversion", "asteriskversion", "time", "lastcall", "logintime", "lastpause"];
/// Ends of keys whose values are names of people.
const NAMES: [&str; 4] = ["calleridname", "connectedlinename", "membername", "callername"];
/// Ends of keys whose values are made of numbers and of words of the dial plan.
const TOKENS: [&str; 14] = [
    "channel",
    "accountcode",
    "context",
    "interface",
    "dialstring",
    "queue",
    "bridgecreator",
    "bridgename",
    "bridgetechnology",
    "bridgenumchannels",
    "bridgevideosourcemode",
    "transfererchannel",
    "parkinglot",
    "parkingspace",
];
/// Keys whose values are words of Asterisk's, or numbers.
const WORDS: [&str; 70] = [
    "admin",
    "amaflags",
    "answertime",
    "aor",
    "appfile",
    "appfunction",
    "application",
    "cause",
    "cause-txt",
    "channeltype",
    "cid-callingpres",
    "class",
    "conference",
    "contact",
    "contactstatus",
    "control",
    "corereloaddate",
    "corereloadtime",
    "corestartupdate",
    "corestartuptime",
    "destapp",
    "destinationchannel",
    "desttype",
    "device",
    "dialstatus",
    "direction",
    "disposition",
    "endpoint",
    "endpointname",
    "endtime",
    "event",
    "eventlist",
    "feature",
    "file",
    "hint",
    "id",
    "isexternal",
    "lastapplication",
    "listitems",
    "localoptimization",
    "location",
    "mailbox",
    "membership",
    "mode",
    "module",
    "muted",
    "musicclass",
    "newstate",
    "oldstate",
    "peer",
    "peerstatus",
    "ping",
    "reason",
    "response",
    "responsible",
    "restart",
    "send",
    "shutdown",
    "starttime",
    "state",
    "status",
    "statustext",
    "success",
    "systemname",
    "techcause",
    "tenant",
    "type",
    "uri",
    "userevent",
    "variable",
];
/// Applications whose arguments are numbers, channels and options, and whose arguments calls can depend on.
const APPLICATIONS: [&[u8]; 7] =
    [b"AppDial", b"AppQueue", b"Dial", b"MixMonitor", b"Queue", b"ReceiveFAX", b"VoiceMail"];
/// Ends of keys whose values are secrets, however short.
const SECRETS: [&str; 4] = ["password", "secret", "digit", "pincode"];
/// Ends of keys whose values are numbers.
const NUMBERS: [&str; 8] =
    ["num", "exten", "extension", "source", "destination", "dnid", "dialled", "forward"];

impl Anonymizer {
    /// `key` decides the stand-ins; `own` is what a dial plan's own variables begin with.
    pub fn new(key: &[u8], own: &str) -> Self {
        Self { numbers: Numbers::new(key), own: own.as_bytes().to_vec(), block: Block::default() }
    }

    /// Notes the extensions in whole lines of a capture, by which employees' full numbers are known. To be called
    /// before the first line is taken: an extension that becomes known later changes stand-ins.
    pub fn learn(&mut self, text: &[u8]) {
        let mut is_hint = false;
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii_end();
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (key, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            match key {
                b"Event" => is_hint = value == b"ExtensionStatus",
                b"Exten" if is_hint => self.numbers.learn(value),
                _ if key.ends_with(b"CallerIDNum") => self.numbers.learn(value),
                _ if key.ends_with(b"Channel") => self.numbers.learn(endpoint(value)),
                _ => {}
            }
        }
    }

    /// As [`learn`](Self::learn), of an extension that the configuration has.
    pub fn learn_extension(&mut self, extension: &str) {
        self.numbers.learn(extension.as_bytes());
    }

    /// Takes whole lines of a capture; the last one may lack its end.
    pub fn take(&mut self, text: &[u8]) -> Vec<u8> {
        let mut output = Vec::with_capacity(text.len() + text.len() / 8);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let content = line.trim_ascii_end();
            self.line(content, &mut output);
            output.extend_from_slice(&line[content.len()..]);
        }
        output
    }

    /// Numbers and addresses in a text are exchanged, the rest stays.
    pub fn tokens(&mut self, text: &[u8]) -> Vec<u8> {
        let text = self.hosts(text);
        let mut output = Vec::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            if !text[at].is_ascii_digit() {
                output.push(text[at]);
                at += 1;
                continue;
            }
            if let Some(length) = address(&text, at) {
                let address = &text[at..at + length];
                // This host is nobody.
                let stand_in =
                    if address.starts_with(b"127.") { None } else { Some(self.numbers.address(address)) };
                output.extend_from_slice(stand_in.as_deref().map_or(address, str::as_bytes));
                at += length;
                continue;
            }
            let end = at + text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let begin = output.len();
            output.extend_from_slice(&text[at..end]);
            if !is_structure(&text, at, end) {
                self.numbers.exchange(&mut output[begin..]);
            }
            at = end;
        }
        output
    }

    /// Strikes out a text: its length and its signs stay, those that Asterisk escapes (`\"`) with them.
    pub fn strike(text: &[u8]) -> Vec<u8> {
        let mut is_escaped = false;
        let struck = |c: char| {
            let stays = is_escaped;
            is_escaped = c == '\\' && !stays;
            match c {
                c if stays || c == '\\' => c,
                c if c.is_ascii_digit() => '0',
                c if c.is_alphanumeric() || c == '\u{fffd}' => 'x',
                c => c,
            }
        };
        String::from_utf8_lossy(text).chars().map(struck).collect::<String>().into_bytes()
    }

    fn line(&mut self, line: &[u8], output: &mut Vec<u8>) {
        if line.is_empty() {
            self.block = Block::default();
            return;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            let is_greeting = line.starts_with(b"Asterisk Call Manager");
            output.extend(if is_greeting { line.to_vec() } else { Self::strike(line) });
            return;
        };
        let (key, rest) = line.split_at(colon);
        let value = rest[1..].trim_ascii_start();
        let gap = &rest[..rest.len() - value.len()];
        let name = String::from_utf8_lossy(key).to_ascii_lowercase();
        let way = self.way(&name, value);
        self.note(&name, value);
        output.extend(if key.contains(&b'(') { self.tokens(key) } else { key.to_vec() });
        output.extend_from_slice(gap);
        let exchanged = self.exchanged(way, value);
        output.extend_from_slice(&exchanged);
    }

    /// What later lines of the block depend on.
    fn note(&mut self, name: &str, value: &[u8]) {
        match name {
            "response" => self.block.is_reply = true,
            "event" => self.block.is_user_event = value == b"UserEvent",
            "variable" => self.block.variable = value.to_vec(),
            "application" | "lastapplication" => self.block.application = value.to_vec(),
            _ => {}
        }
    }

    fn way(&self, name: &str, value: &[u8]) -> Way {
        // `ChanVariable(PJSIP/101-00000001)`
        let name = name.split('(').next().unwrap_or_default();
        let ends = |with: &[&str]| with.iter().any(|end| name.ends_with(end));
        let is_short = value.len() < DIGITS && value.iter().all(u8::is_ascii_digit);
        match name {
            _ if ends(&SECRETS) => Way::Strike,
            "callerid" => Way::NameAndNumber,
            "value" => Way::Variable,
            "appdata" | "lastdata" | "data" | "applicationdata" => Way::Arguments,
            "result" if !self.block.is_user_event => Way::Tokens,
            "message" if self.block.is_reply => Way::Tokens,
            // Asterisk names a member by his interface where nobody has named him.
            "membername" if value.contains(&b'/') => Way::Tokens,
            _ if ends(&["chanvariable"]) => Way::Assignment,
            _ if ends(&NAMES) => Way::Name,
            _ if ends(&KEPT) || KEPT_WHOLE.contains(&name) => Way::Keep,
            _ if ends(&NUMBERS) => Way::Number,
            _ if ends(&TOKENS) || WORDS.contains(&name) || is_short => Way::Tokens,
            _ => Way::Strike,
        }
    }

    fn exchanged(&mut self, way: Way, value: &[u8]) -> Vec<u8> {
        match way {
            Way::Keep => value.to_vec(),
            Way::Tokens => self.tokens(value),
            Way::Number => self.number_or_tokens(value),
            Way::Name => self.name(value),
            Way::NameAndNumber => self.name_and_number(value),
            Way::Assignment => {
                let at = value.iter().position(|byte| *byte == b'=').map_or(value.len(), |at| at + 1);
                let (name, value) = value.split_at(at);
                let name = name.strip_suffix(b"=").unwrap_or(name);
                [name, &b"="[..at.min(1)], &self.variable(name, value)].concat()
            }
            Way::Variable => {
                let name = std::mem::take(&mut self.block.variable);
                self.variable(&name, value)
            }
            Way::Arguments if APPLICATIONS.contains(&self.block.application.as_slice()) => self.tokens(value),
            Way::Arguments | Way::Strike => Self::strike(value),
        }
    }

    fn variable(&mut self, name: &[u8], value: &[u8]) -> Vec<u8> {
        let says_anything = name.starts_with(&self.own) && name.ends_with(b"RESULT");
        if interest::wants_variable(name, &self.own) && !says_anything {
            self.tokens(value)
        } else {
            Self::strike(value)
        }
    }

    /// A number may be written with signs between its digits, which `tokens` takes for many numbers.
    fn number_or_tokens(&mut self, value: &[u8]) -> Vec<u8> {
        let is_number = value.iter().all(|byte| byte.is_ascii_digit() || b"+()- ".contains(byte));
        if !is_number {
            return self.tokens(value);
        }
        let mut number = value.to_vec();
        self.numbers.exchange(&mut number);
        number
    }

    fn name(&mut self, name: &[u8]) -> Vec<u8> {
        if presented(name).is_none() {
            return name.to_vec();
        }
        let has_letters = String::from_utf8_lossy(name).chars().any(|c| c.is_alphabetic() || c == '\u{fffd}');
        if has_letters {
            format!("Name {}", self.numbers.word(name)).into_bytes()
        } else {
            self.number_or_tokens(name)
        }
    }

    fn name_and_number(&mut self, value: &[u8]) -> Vec<u8> {
        let at = value.iter().rposition(|byte| *byte == b'<').unwrap_or(0);
        let (name, number) = value.split_at(at);
        let bare = name.trim_ascii().strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\""));
        let name = match bare {
            Some(bare) => [b"\"", self.name(bare).as_slice(), b"\" "].concat(),
            None => Self::strike(name),
        };
        [name, self.tokens(number)].concat()
    }

    /// The names of hosts in SIP addresses.
    fn hosts(&self, text: &[u8]) -> Vec<u8> {
        let mut output = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = memmem::find(rest, b"sip:").or_else(|| memmem::find(rest, b"sips:")) {
            let start = at + rest[at..].iter().position(|byte| *byte == b':').map_or(0, |colon| colon + 1);
            let length = rest[start..].iter().take_while(|byte| !b";>,& ".contains(byte)).count();
            let user =
                rest[start..start + length].iter().position(|byte| *byte == b'@').map_or(0, |sign| sign + 1);
            let host = start + user;
            let end =
                host + rest[host..start + length].iter().take_while(|byte| !b":/".contains(byte)).count();
            output.extend_from_slice(&rest[..host]);
            let name = &rest[host..end];
            if name.contains(&b'.') && name.iter().any(u8::is_ascii_alphabetic) {
                output.extend_from_slice(format!("{}.example", self.numbers.word(name)).as_bytes());
            } else {
                output.extend_from_slice(name);
            }
            rest = &rest[end..];
        }
        output.extend_from_slice(rest);
        output
    }
}

/// The endpoint in a channel's name: `101` of `PJSIP/101-0000001a`.
fn endpoint(channel: &[u8]) -> &[u8] {
    let start = channel.iter().position(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let end = channel.iter().rposition(|byte| *byte == b'-').filter(|dash| *dash >= start).unwrap_or(start);
    &channel[start..end]
}

#[cfg(test)]
mod tests;
