//! Writes AMI text as Asterisk does, from short lines: keeps what is known of each channel and
//! fills in the rest. `tests/cases/README.md` describes the lines.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The second at which all scripts begin: 2026-11-18 11:06:40 UTC.
pub const EPOCH: i64 = 1_795_000_000;

/// The PBX of one script.
#[derive(Debug, Default)]
pub struct Stage {
    pub bytes: Vec<u8>,
    pub now_micros: i64,
    pub bare_newlines: bool,
    pub no_timestamps: bool,
    /// What happens is not sent.
    pub unseen: bool,
    channels: BTreeMap<String, Channel>,
    bridges: BTreeMap<String, Bridge>,
}

#[derive(Clone, Debug)]
struct Channel {
    name: String,
    uniqueid: String,
    linkedid: String,
    state: String,
    number: String,
    caller_name: String,
    connected: String,
    account: String,
    context: String,
    exten: String,
    priority: String,
}

#[derive(Clone, Debug)]
struct Bridge {
    kind: String,
    technology: String,
    creator: String,
    channels: usize,
}

/// The words of one line: plain ones, `option=value` and `Header=value`.
#[derive(Debug)]
pub struct Words {
    plain: Vec<String>,
    options: BTreeMap<String, String>,
    headers: Vec<(String, String)>,
}

/// `Exten` of a channel that the PBX makes, until it is dialled.
const CALLED: &str = "s";

const OPTIONS: &[&str] = &[
    "account",
    "cause",
    "channel",
    "connected",
    "context",
    "creator",
    "exten",
    "forward",
    "from",
    "linkedid",
    "name",
    "optimize",
    "priority",
    "state",
    "string",
    "tech",
    "type",
];

impl Words {
    /// Words that a small letter and `=` begin are options, a capital one headers.
    pub fn new(words: Vec<String>) -> Self {
        let mut sorted = Self { plain: Vec::new(), options: BTreeMap::new(), headers: Vec::new() };
        for word in words {
            match word.split_once('=') {
                Some((key, value)) if key.starts_with(|c: char| c.is_ascii_lowercase()) => {
                    assert!(OPTIONS.contains(&key), "there is no option {key}=");
                    sorted.options.insert(key.to_owned(), value.to_owned());
                }
                Some((key, value)) => sorted.headers.push((key.to_owned(), value.to_owned())),
                None => sorted.plain.push(word),
            }
        }
        sorted
    }

    fn plain(&self, at: usize, what: &str) -> &str {
        self.plain.get(at).unwrap_or_else(|| panic!("{what} is missing in {self:?}"))
    }

    fn option(&self, key: &str, default: &str) -> String {
        self.options.get(key).map_or(default, String::as_str).to_owned()
    }

    fn header(&self, key: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// `A > B rest…`, or `> B rest…` where nobody calls.
    fn dial(&self) -> (Option<&str>, &str, Option<&str>) {
        let arrow = self.plain.iter().position(|word| word == ">").expect("a dial has a '>'");
        let caller = self.plain[..arrow].last().map(String::as_str);
        (
            caller,
            self.plain(arrow + 1, "the channel that is called"),
            self.plain.get(arrow + 2).map(String::as_str),
        )
    }
}

impl Stage {
    /// Carries out one line.
    pub fn act(&mut self, verb: &str, words: &Words) {
        match verb {
            "newchannel" => self.new_channel(words),
            "pair" => self.pair(words),
            "set" => self.set(words),
            "newstate" => {
                words.plain(1, "the state").clone_into(&mut self.channel(words.plain(0, "a channel")).state);
                self.event("Newstate", &words.plain[..1], words, &[]);
            }
            "dial" => self.dial(words),
            "dialend" => self.dial_end(words),
            "answer" => self.answer(words),
            "bridge" => self.enter(words),
            "leave" => self.leave(words),
            "destroy" => self.event("BridgeDestroy", &words.plain[..1], words, &[]),
            "bye" => self.bye(words),
            "hold" => self.event("Hold", &words.plain[..1], words, &[("MusicClass", "default")]),
            "unhold" => self.event("Unhold", &words.plain[..1], words, &[]),
            "local" => self.local(words),
            "var" => self.variable(words),
            "hanguprequest" => {
                let cause = words.plain(1, "the cause").to_owned();
                self.event("HangupRequest", &words.plain[..1], words, &[("Cause", &cause)]);
            }
            "hangup" => self.hangup(words),
            "event" => {
                let name = words.plain(0, "the event's name").to_owned();
                self.event(&name, &words.plain[1..], words, &[]);
                if name == "BlindTransfer" {
                    self.send_on(words);
                }
            }
            _ => panic!("there is no line '{verb} …'"),
        }
    }

    /// A line as it stands.
    pub fn raw(&mut self, line: &str) {
        if self.unseen {
            return;
        }
        self.bytes.extend_from_slice(line.as_bytes());
        self.bytes.extend_from_slice(if self.bare_newlines { b"\n" } else { b"\r\n" });
    }

    fn new_channel(&mut self, words: &Words) {
        let (name, uniqueid) = (words.plain(0, "the channel's name"), words.plain(1, "its uniqueid"));
        // A channel with a number to dial calls the PBX; one without is called by it, and Asterisk calls
        // its extension `s` until it is dialled.
        let exten = words.option("exten", CALLED);
        let context = if name.contains("trunk") { "from-trunk" } else { "from-internal" };
        let channel = Channel {
            name: name.to_owned(),
            uniqueid: uniqueid.to_owned(),
            linkedid: words.option("linkedid", uniqueid),
            state: words.option("state", if words.options.contains_key("exten") { "Ring" } else { "Down" }),
            number: words.option("from", "<unknown>"),
            caller_name: words.option("name", "<unknown>"),
            connected: words.option("connected", "<unknown>"),
            account: words.option("account", ""),
            context: words.option("context", context),
            exten,
            priority: words.option("priority", "1"),
        };
        self.channels.insert(uniqueid.to_owned(), channel);
        self.event("Newchannel", &words.plain[1..2], words, &[]);
    }

    /// `pair NAME UID UID …`: both halves of a Local channel.
    fn pair(&mut self, words: &Words) {
        let name = words.plain(0, "the name without ';1'").to_owned();
        let (one, two) = (words.plain(1, "half ;1").to_owned(), words.plain(2, "half ;2").to_owned());
        let linkedid = words.option("linkedid", &one);
        let (exten, context) =
            name.strip_prefix("Local/").and_then(|rest| rest.split_once('@')).expect("Local/EXTEN@CONTEXT-N");
        let context = context.rsplit_once('-').map_or(context, |(context, _)| context);
        let common = format!("exten={exten} context={context} linkedid={linkedid}");
        self.line(&format!("newchannel {name};1 {one} {common} state=Down"));
        self.line(&format!("newchannel {name};2 {two} {common}"));
        self.line(&format!("local {one} {two} optimize={}", words.option("optimize", "No")));
    }

    /// Changes what later events say of a channel, without an event.
    fn set(&mut self, words: &Words) {
        let channel = self.channel(words.plain(0, "a channel"));
        for (key, value) in &words.options {
            let field = match key.as_str() {
                "linkedid" => &mut channel.linkedid,
                "state" => &mut channel.state,
                "from" => &mut channel.number,
                "name" => &mut channel.caller_name,
                "connected" => &mut channel.connected,
                "account" => &mut channel.account,
                "context" => &mut channel.context,
                "exten" => &mut channel.exten,
                "priority" => &mut channel.priority,
                "channel" => &mut channel.name,
                other => panic!("a channel has no '{other}'"),
            };
            field.clone_from(value);
        }
    }

    fn dial(&mut self, words: &Words) {
        let (caller, dest, _) = words.dial();
        if let Some(caller) = caller {
            self.show_caller(caller, dest);
        }
        let string = words.option("string", &self.endpoint(dest));
        self.dial_event("DialBegin", caller, dest, words, &[("DialString", &string)]);
    }

    /// Whoever was transferred runs the dial plan where he was sent.
    fn send_on(&mut self, words: &Words) {
        let transferee = words.plain.iter().find_map(|part| part.strip_prefix("Transferee:"));
        let (Some("Success"), Some(transferee)) = (words.header("Result"), transferee) else { return };
        let transferee = self.channel(transferee);
        words.header("Extension").unwrap_or_default().clone_into(&mut transferee.exten);
        words.header("Context").unwrap_or_default().clone_into(&mut transferee.context);
    }

    /// The channel that is called takes over what the caller dialled, and shows his number.
    fn show_caller(&mut self, caller: &str, dest: &str) {
        let caller = self.channel(caller);
        if caller.priority == "1" {
            "4".clone_into(&mut caller.priority);
        }
        let (exten, number) = (caller.exten.clone(), caller.number.clone());
        let dest = self.channel(dest);
        if dest.exten == CALLED {
            // A trunk has no number of its own.
            if dest.number == "<unknown>" {
                dest.number.clone_from(&exten);
            }
            dest.exten = exten;
        }
        if dest.connected == "<unknown>" {
            dest.connected = number;
        }
    }

    fn dial_end(&mut self, words: &Words) {
        let (caller, dest, status) = words.dial();
        if status == Some("ANSWER") && self.channel(dest).state == "Up" {
            self.channel(dest).exten.clear();
        }
        let mut headers = vec![("DialStatus", status.expect("the dial status is missing"))];
        let forward = words.option("forward", "");
        if !forward.is_empty() {
            headers.push(("Forward", &forward));
        }
        self.dial_event("DialEnd", caller, dest, words, &headers);
    }

    fn dial_event(
        &mut self,
        name: &str,
        caller: Option<&str>,
        dest: &str,
        words: &Words,
        headers: &[(&str, &str)],
    ) {
        let caller = caller.map(str::to_owned);
        let parts: Vec<String> = caller.into_iter().chain([format!("Dest:{dest}")]).collect();
        self.event(name, &parts, words, headers);
    }

    /// `answer BRIDGE A > B`: B picks up and both are joined.
    fn answer(&mut self, words: &Words) {
        let (caller, dest, _) = words.dial();
        let caller = caller.expect("the caller is missing");
        let bridge = words.plain(0, "the bridge");
        self.line(&format!("newstate {dest} Up"));
        self.line(&format!("dialend {caller} > {dest} ANSWER"));
        self.line(&format!("newstate {caller} Up"));
        self.line(&format!("bridge {bridge} {dest} {caller}"));
    }

    fn enter(&mut self, words: &Words) {
        let name = words.plain(0, "the bridge").to_owned();
        let kind = words.option("type", "basic");
        let technology = match kind.as_str() {
            "parking" | "holding" => "holding_bridge",
            "base" => "softmix",
            _ => "simple_bridge",
        };
        let bridge = Bridge {
            kind,
            technology: words.option("tech", technology),
            creator: words.option("creator", "<unknown>"),
            channels: 0,
        };
        if !self.bridges.contains_key(&name) {
            self.bridges.insert(name.clone(), bridge);
            self.event("BridgeCreate", std::slice::from_ref(&name), &Words::new(Vec::new()), &[]);
        }
        for channel in &words.plain[1..] {
            self.bridge(&name).channels += 1;
            self.event("BridgeEnter", &[name.clone(), channel.clone()], words, &[]);
        }
    }

    fn leave(&mut self, words: &Words) {
        let name = words.plain(0, "the bridge").to_owned();
        for channel in &words.plain[1..] {
            let bridge = self.bridge(&name);
            bridge.channels = bridge.channels.saturating_sub(1);
            self.event("BridgeLeave", &[name.clone(), channel.clone()], words, &[]);
        }
    }

    /// `bye BRIDGE A B …`: A asks to hang up, all leave, A first, and hang up.
    fn bye(&mut self, words: &Words) {
        self.line(&format!("hanguprequest {} 16", words.plain(1, "who ends it")));
        self.leave(words);
        self.event("BridgeDestroy", &words.plain[..1], words, &[]);
        let cause = words.option("cause", "16");
        for channel in &words.plain[1..] {
            self.line(&format!("hangup {channel} {cause}"));
        }
    }

    fn local(&mut self, words: &Words) {
        let (one, two) = (words.plain(0, "half ;1"), words.plain(1, "half ;2"));
        let exten = self.channel(two).exten.clone();
        let context = self.channel(two).context.clone();
        let parts = [format!("LocalOne:{one}"), format!("LocalTwo:{two}")];
        let optimized = words.option("optimize", "No");
        let headers = [("Context", context.as_str()), ("Exten", &exten), ("LocalOptimization", &optimized)];
        self.event("LocalBridge", &parts, words, &headers);
    }

    /// `var UID NAME value`.
    fn variable(&mut self, words: &Words) {
        let name = words.plain(1, "the variable").to_owned();
        let value = words.plain.get(2).cloned().unwrap_or_default();
        self.event("VarSet", &words.plain[..1], words, &[("Variable", &name), ("Value", &value)]);
    }

    fn hangup(&mut self, words: &Words) {
        let cause = words.plain.get(1).cloned().unwrap_or_else(|| "16".to_owned());
        let headers = [("Cause", cause.as_str()), ("Cause-txt", cause_text(&cause))];
        self.event("Hangup", &words.plain[..1], words, &headers);
    }

    fn line(&mut self, line: &str) {
        let mut words = line.split(' ').map(str::to_owned);
        let verb = words.next().expect("a line has a verb");
        self.act(&verb, &Words::new(words.collect()));
    }

    /// Writes one block: the parts, `headers`, and what the line added.
    fn event(&mut self, name: &str, parts: &[String], words: &Words, headers: &[(&str, &str)]) {
        let mut text = format!("Event: {name}\nPrivilege: call,all\n");
        // The one that a login is answered with has none.
        if !self.no_timestamps && name != "FullyBooted" {
            let (seconds, micros) = (self.now_micros / 1_000_000, self.now_micros % 1_000_000);
            writeln!(text, "Timestamp: {}.{micros:06}", EPOCH + seconds).expect("a string takes everything");
        }
        for part in parts {
            text += &self.part(part);
        }
        let added = words.headers.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in headers.iter().copied().chain(added) {
            writeln!(text, "{key}: {value}").expect("a string takes everything");
        }
        for line in text.lines() {
            self.raw(line);
        }
        self.raw("");
    }

    /// `UID` or `Prefix:UID` as a channel's headers, `BRIDGE` or `Prefix:BRIDGE` as a bridge's.
    fn part(&self, part: &str) -> String {
        let (prefix, thing) = part.split_once(':').unwrap_or(("", part));
        if let Some(channel) = self.channels.get(thing) {
            return channel.headers(prefix);
        }
        let bridge = self.bridges.get(thing).unwrap_or_else(|| panic!("neither channel nor bridge: {part}"));
        bridge.headers(prefix, thing)
    }

    fn channel(&mut self, uniqueid: &str) -> &mut Channel {
        self.channels.get_mut(uniqueid).unwrap_or_else(|| panic!("there is no channel {uniqueid} yet"))
    }

    fn bridge(&mut self, name: &str) -> &mut Bridge {
        self.bridges.get_mut(name).unwrap_or_else(|| panic!("there is no bridge {name} yet"))
    }

    /// `101` of `PJSIP/101-00000002`.
    fn endpoint(&mut self, uniqueid: &str) -> String {
        let name = &self.channel(uniqueid).name;
        let peer = name.split_once('/').map_or(name.as_str(), |(_, peer)| peer);
        peer.rsplit_once('-').map_or(peer, |(endpoint, _)| endpoint).to_owned()
    }
}

impl Channel {
    fn headers(&self, prefix: &str) -> String {
        let headers = [
            ("Channel", self.name.as_str()),
            ("ChannelState", state_number(&self.state)),
            ("ChannelStateDesc", &self.state),
            ("CallerIDNum", &self.number),
            ("CallerIDName", &self.caller_name),
            ("ConnectedLineNum", &self.connected),
            ("ConnectedLineName", "<unknown>"),
            ("Language", "en"),
            ("AccountCode", &self.account),
            ("Context", &self.context),
            ("Exten", &self.exten),
            ("Priority", &self.priority),
            ("Uniqueid", &self.uniqueid),
            ("Linkedid", &self.linkedid),
        ];
        lines(prefix, &headers)
    }
}

impl Bridge {
    fn headers(&self, prefix: &str, name: &str) -> String {
        let channels = self.channels.to_string();
        let headers = [
            ("Uniqueid", name),
            ("Type", &self.kind),
            ("Technology", &self.technology),
            ("Creator", &self.creator),
            ("Name", "<unknown>"),
            ("NumChannels", &channels),
            ("VideoSourceMode", "none"),
        ];
        lines(&format!("{prefix}Bridge"), &headers)
    }
}

fn lines(prefix: &str, headers: &[(&str, &str)]) -> String {
    headers.iter().fold(String::new(), |text, (key, value)| text + prefix + key + ": " + value + "\n")
}

fn state_number(state: &str) -> &'static str {
    match state {
        "Down" => "0",
        "Ring" => "4",
        "Ringing" => "5",
        "Up" => "6",
        "Busy" => "7",
        other => panic!("a channel is not {other}: Down, Ring, Ringing, Up, Busy"),
    }
}

fn cause_text(cause: &str) -> &'static str {
    match cause {
        "1" => "Unallocated (unassigned) number",
        "16" => "Normal Clearing",
        "17" => "User busy",
        "19" => "User alerting, no answer",
        "20" => "Subscriber absent",
        "21" => "Call Rejected",
        "26" => "Answered elsewhere",
        "34" => "Circuit/channel congestion",
        _ => "Unknown",
    }
}
