//! Pure: what the dial plan says of a call goes before what we would say.

use crate::call::classify::Case;
use crate::call::facts::{CallFacts, Saying, Word};
use crate::call::name;
use crate::call::policy::Status;
use crate::call::why::Why;

impl Case<'_> {
    /// What was said last under this word, by any channel of the call; it is noted as a reason.
    pub(super) fn said(&mut self, word: Word) -> Option<String> {
        let value = last_said(self.facts, word)?.value.to_string();
        self.why.push(Why::DialPlan { word, value: value.clone() });
        Some(value)
    }

    /// Names every party of the call whose side rests on names alone.
    pub(super) fn explain_weak_sides(&mut self) {
        let mut weak: Vec<Why> = Vec::new();
        for channel in self.own().filter(|channel| channel.weak && channel.kind == name::Kind::Device) {
            let endpoint = name::endpoint(&channel.name).to_owned();
            let (side, evidence) = (channel.side, channel.evidence);
            let why = Why::Side { endpoint, side, evidence, weak: true };
            if !self.why.contains(&why) && !weak.contains(&why) {
                weak.push(why);
            }
        }
        self.why.extend(weak);
    }
}

/// What was said last under this word, by any channel of the call.
pub(super) fn last_said(facts: &CallFacts, word: Word) -> Option<&Saying> {
    let said = facts.channels.iter().filter(|channel| !channel.guest);
    let said = said.flat_map(|channel| &channel.extras.said);
    said.filter(|saying| saying.word == word).max_by_key(|saying| saying.at)
}

/// The dial plan says that the call is not sent.
pub(super) fn says_no_sending(facts: &CallFacts) -> bool {
    const NO: [&str; 5] = ["no", "0", "false", "off", "skip"];
    let said = last_said(facts, Word::Send);
    said.is_some_and(|said| NO.iter().any(|no| said.value.trim().eq_ignore_ascii_case(no)))
}

/// amoCRM's status, where the text is one.
pub(super) fn status(text: &str) -> Option<u8> {
    Status::try_from(text.trim().parse::<u8>().ok()?).ok().map(Status::get)
}
