//! What a manager user with the rights of `config/manager.conf` gets to see of a capture.

#![cfg(test)]

use std::collections::BTreeSet;

use regex_lite::Regex;

/// The `[ami2amo]` section.
pub struct Stanza {
    classes: BTreeSet<String>,
    filters: Vec<Regex>,
}

impl Stanza {
    pub fn shipped() -> Self {
        let text = include_str!("../../config/manager.conf");
        let value = |line: &'static str, key: &str| line.strip_prefix(key)?.trim_start().strip_prefix('=');
        let classes = text.lines().find_map(|line| value(line, "read")).expect("a line read = …");
        // Asterisk compiles them without REG_NEWLINE: a dot matches a line break, too.
        let filters = text.lines().filter_map(|line| value(line, "eventfilter"));
        let filters = filters.map(|filter| Regex::new(&format!("(?s){}", filter.trim())).expect("a filter"));
        Self {
            classes: classes.split(',').map(|class| class.trim().to_owned()).collect(),
            filters: filters.collect(),
        }
    }

    /// The capture as such a user sees it: banner and replies pass, and events of his classes that a
    /// filter lets through.
    pub fn seen(&self, capture: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(capture);
        let mut seen = String::new();
        for block in text.split_inclusive("\r\n\r\n") {
            let event = block.find("Event: ").filter(|at| *at == 0 || block[..*at].ends_with('\n'));
            let passes = event.is_none_or(|at| self.passes(&block[at..]));
            let kept = if passes { block } else { &block[..event.unwrap_or(0)] };
            seen.push_str(kept);
        }
        seen.into_bytes()
    }

    /// The session must have all classes of the event, and `FullyBooted` comes past the filters.
    fn passes(&self, event: &str) -> bool {
        let privilege = event.lines().find_map(|line| line.strip_prefix("Privilege: ")).unwrap_or_default();
        let mut classes = privilege.split(',').filter(|class| *class != "all" && !class.is_empty());
        let allowed = classes.all(|class| self.classes.contains(class));
        allowed && self.filters.iter().any(|filter| filter.is_match(event))
    }
}

#[test]
fn a_filter_keeps_what_it_names() {
    let stanza = Stanza::shipped();
    let event = |name: &str, rest: &str| format!("Event: {name}\r\nPrivilege: call,all\r\n{rest}\r\n");
    let sees = |event: String| !stanza.seen(event.as_bytes()).is_empty();
    assert!(sees(event("Newchannel", "")) && sees(event("HangupRequest", "")));
    assert!(!sees(event("RTCPSent", "")) && !sees(event("Newexten", "")));
    assert!(sees(event("VarSet", "Channel: x\r\nVariable: __FROM_DID\r\n")));
    assert!(!sees(event("VarSet", "Channel: x\r\nVariable: DIALEDTIME\r\n")));
    assert!(!sees("Event: Newchannel\r\nPrivilege: reporting,all\r\n\r\n".to_owned()));
}
