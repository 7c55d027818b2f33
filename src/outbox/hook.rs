//! Pure: the hook `before-send`: what a program is told of a call before it is sent, and what it may change of it.
//!
//! A call is decided on once, before it is first leased, and the decision is stored with it: whatever happens
//! after that, what is posted of the call stays the same.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::amo::calls::{self, Manner};
use crate::amo::settings::{Settings, TEXT_MAX};
use crate::call::phone::{self, DIGITS_MIN};
use crate::call::record::{CallRecord, FinishedCall, Skip};
use crate::call::why::{HookEffect, Why};
use crate::outbox::queue::{Item, State};

/// Bytes of an answer; what it may say takes less than one of them.
pub const ANSWER_MAX: usize = 64 << 10;

/// Digits of a telephone number. A shorter one is an extension's or a service's, and never posted.
const DIGITS: std::ops::RangeInclusive<usize> = DIGITS_MIN..=20;

/// Characters of an extension.
const EXTENSION_MAX: usize = 32;

/// Characters of a reason: it stands in every list.
const REASON_MAX: usize = 200;

/// What the program reads.
#[derive(Debug, Serialize)]
struct Question<'q> {
    v: u32,
    /// As the JSON lines have it.
    record: &'q CallRecord,
    /// What would be posted by the configuration alone; none where amoCRM would refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    post: Option<serde_json::Value>,
}

/// What the program answers: what shall be otherwise.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    pub phone: Option<String>,
    pub responsible: Option<String>,
    pub responsible_user: Option<u64>,
    pub call_result: Option<String>,
    pub source: Option<String>,
    pub send: Option<bool>,
    /// Why it is not sent.
    pub reason: Option<String>,
}

/// Whether the call waits for the hook: nothing was sent of it, and nothing is decided.
pub fn awaits(item: &Item) -> bool {
    item.state == State::Pending && item.attempts == 0 && !item.hooked
}

/// What the program is told of a call, on a line.
pub fn question(record: &CallRecord, settings: &Settings) -> Vec<u8> {
    let post = calls::entry(record, "", settings, &Manner::default()).ok();
    let mut post = post.and_then(|entry| serde_json::to_value(entry).ok());
    if let Some(fields) = post.as_mut().and_then(serde_json::Value::as_object_mut) {
        fields.remove("request_id"); // its place in a request that is not made yet
    }
    let mut line = serde_json::to_vec(&Question { v: 1, record, post }).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads what the program printed. Nothing at all means: as it is.
///
/// # Errors
/// What is wrong with it.
pub fn answer(printed: &[u8]) -> Result<Answer, String> {
    if printed.len() > ANSWER_MAX {
        return Err(format!("it printed more than {} KiB", ANSWER_MAX >> 10));
    }
    if printed.trim_ascii().is_empty() {
        return Ok(Answer::default());
    }
    if printed.trim_ascii_start().first() != Some(&b'{') {
        return Err("its answer is no JSON object".to_owned());
    }
    let answer: Answer = serde_json::from_slice(printed)
        .map_err(|error| format!("its answer: {}", without_numbers(&error.to_string())))?;
    answer.judged()
}

impl Answer {
    /// With texts as amoCRM takes them.
    fn judged(mut self) -> Result<Self, String> {
        self.phone = self.phone.map(|phone| self::phone(&phone)).transpose()?;
        let extension = |text: String| text_of("responsible", &text, EXTENSION_MAX);
        self.responsible = self.responsible.map(extension).transpose()?;
        if self.responsible_user == Some(0) {
            return Err("its answer: responsible_user is 0, which is nobody's id".to_owned());
        }
        self.call_result =
            self.call_result.map(|text| text_of("call_result", &text, TEXT_MAX)).transpose()?;
        self.source = self.source.map(|text| text_of("source", &text, TEXT_MAX)).transpose()?;
        self.reason = self.reason.map(|text| calls::cut(&clean(&text), REASON_MAX));
        if self.reason.is_some() && self.send != Some(false) {
            return Err("its answer: reason goes with \"send\": false".to_owned());
        }
        Ok(self)
    }

    /// The call as it is after that, and what was done to it.
    pub fn apply(self, call: &FinishedCall) -> (FinishedCall, HookEffect) {
        let mut call = call.clone();
        let record = &mut call.record;
        if self.send == Some(false) {
            record.skip = Some(Skip::Policy);
            return (call, HookEffect::Withheld { reason: self.reason });
        }
        let mut fields = Vec::new();
        if let Some(phone) = self.phone {
            let digits = phone.trim_start_matches('+').to_owned();
            record.phone_e164 = (digits != phone).then_some(phone);
            record.phone = Some(digits);
            fields.push("phone".to_owned());
        }
        let mut set = |name: &str, value: Option<String>, place: &mut Option<String>| {
            if value.is_some() {
                *place = value;
                fields.push(name.to_owned());
            }
        };
        set("responsible", self.responsible, &mut record.responsible);
        set("call_result", self.call_result, &mut record.call_result);
        set("source", self.source, &mut record.line.source);
        if self.responsible_user.is_some() {
            record.responsible_user = self.responsible_user;
            fields.push("responsible_user".to_owned());
        }
        let effect = if fields.is_empty() { HookEffect::Unchanged } else { HookEffect::Changed { fields } };
        (call, effect)
    }
}

/// What is said of a program that failed: what it printed may be long, and have anything in it.
pub fn failed(reason: &str) -> HookEffect {
    HookEffect::Failed { reason: calls::cut(&clean(reason), REASON_MAX) }
}

/// Leaves the reason with the call.
pub fn explain(call: &mut FinishedCall, effect: HookEffect) {
    call.record.why.push(Why::Hook(effect));
}

fn phone(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let is_known = |c: char| c.is_ascii_digit() || matches!(c, '+' | ' ' | '(' | ')' | '-');
    if !text.chars().all(is_known) || !DIGITS.contains(&digits.len()) || text.rfind('+').unwrap_or(0) > 0 {
        return Err("its answer: phone is no telephone number".to_owned());
    }
    Ok(if text.starts_with('+') { format!("+{digits}") } else { digits })
}

/// Words that go to the log: they may say what the program printed, and that is a number most of the time.
fn without_numbers(words: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(words.len()), words);
    let is_part = |c: char| c.is_ascii_digit() || " +-().".contains(c);
    while let Some(from) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(from);
        let (number, after) = number.split_at(number.find(|c| !is_part(c)).unwrap_or(number.len()));
        let digits = number.bytes().filter(u8::is_ascii_digit).count();
        text += before;
        text +=
            if digits < DIGITS_MIN { Cow::Borrowed(number) } else { phone::masked(number).into() }.as_ref();
        rest = after;
    }
    text + rest
}

fn text_of(name: &str, text: &str, max: usize) -> Result<String, String> {
    let clean = calls::cut(&clean(text), max);
    if clean.is_empty() {
        return Err(format!("its answer: {name} is empty; leave it out where it shall stay as it is"));
    }
    Ok(clean)
}

/// On one line.
fn clean(text: &str) -> String {
    let plain: Cow<'_, str> = text.replace(|c: char| c.is_control(), " ").into();
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::sample;

    #[test]
    fn the_program_is_told_the_record_and_what_would_be_posted() {
        let call = sample::call("1.1");
        let line = question(&call.record, &Settings::default());
        let asked: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(asked["record"], serde_json::to_value(&call.record).unwrap());
        assert_eq!(asked["post"]["uniq"], "default-1.1");
        assert!(asked["post"].get("request_id").is_none(), "{asked}");
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
    }

    #[track_caller]
    fn check(printed: &str, expected: Result<&[&str], &str>) {
        let call = sample::call("1.1");
        let outcome = answer(printed.as_bytes());
        match expected {
            Ok([]) => {
                let (told, effect) = outcome.unwrap().apply(&call);
                assert_eq!((told, effect), (call, HookEffect::Unchanged), "{printed}");
            }
            Ok(names) => {
                let fields = names.iter().map(|name| (*name).to_owned()).collect();
                assert_eq!(outcome.unwrap().apply(&call).1, HookEffect::Changed { fields }, "{printed}");
            }
            Err(words) => {
                let error = outcome.unwrap_err();
                assert!(error.contains(words), "{printed}: {error}");
            }
        }
    }

    #[test]
    fn an_answer_changes_what_it_names_and_nothing_else() {
        for nothing in ["", " \n", "{}", r#"{"send":true}"#, r#"{"phone":null}"#] {
            check(nothing, Ok(&[]));
        }
        check(r#"{"phone":"+7 (916) 000-11-22"}"#, Ok(&["phone"]));
        check(
            r#"{"phone":"100200","responsible":"105","responsible_user":7,"call_result":"a","source":"b"}"#,
            Ok(&["phone", "responsible", "call_result", "source", "responsible_user"]),
        );
        let (told, _) = answer(r#"{"phone":"+7 (916) 000-11-22","source":"x"}"#.as_bytes())
            .unwrap()
            .apply(&sample::call("1.1"));
        assert_eq!(told.record.phone.as_deref(), Some("79160001122"));
        assert_eq!(told.record.phone_e164.as_deref(), Some("+79160001122"));
        assert_eq!(told.record.line.source.as_deref(), Some("x"));
        assert_eq!(
            told.record.phone_raw,
            sample::call("1.1").record.phone_raw,
            "what the network said stays"
        );
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_told_and_changes_nothing() {
        check("hello", Err("no JSON object"));
        check(r#"{"phon":"1"}"#, Err("unknown field `phon`"));
        check("{} {}", Err("trailing characters"));
        check("[]", Err("no JSON object"));
        check("{\"phone\"", Err("its answer: EOF"));
        for phone in ["12", "102", "+7 91", "79161234568x", "7+916123456", "123456789012345678901", "", "+"] {
            check(&format!(r#"{{"phone":"{phone}"}}"#), Err("no telephone number"));
        }
        check(r#"{"responsible":" "}"#, Err("responsible is empty"));
        check(r#"{"responsible_user":0}"#, Err("nobody's id"));
        check(r#"{"responsible_user":"7"}"#, Err("expected u64"));
        check(r#"{"reason":"x"}"#, Err("goes with \"send\": false"));
        check(&format!("{{}}{}", " ".repeat(ANSWER_MAX)), Err("more than 64 KiB"));
    }

    #[test]
    fn what_is_wrong_with_an_answer_tells_no_number() {
        for (printed, said) in [
            (
                r#"{"phone":79161234568}"#,
                "invalid type: integer `…4568`, expected a string at line 1 column 20",
            ),
            (r#"{"+7 916 123-45-68":1}"#, "unknown field `+…4568`, expected one of"),
            (r#"{"responsible_user":"7(916)1234568"}"#, "string \"…4568\", expected u64"),
        ] {
            let error = answer(printed.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_call_that_is_withheld_says_why_and_changes_nothing_else() {
        let call = sample::call("1.1");
        let answer = answer(br#"{"send":false,"reason":"a test\ncall","phone":"12345"}"#).unwrap();
        let (mut told, effect) = answer.apply(&call);
        assert_eq!(effect, HookEffect::Withheld { reason: Some("a test call".to_owned()) });
        assert_eq!((told.record.skip, &told.record.phone), (Some(Skip::Policy), &call.record.phone));
        explain(&mut told, effect);
        let why = serde_json::to_value(told.record.why.last().unwrap()).unwrap();
        assert_eq!(why, serde_json::json!({"code": "hook", "effect": "withheld", "reason": "a test call"}));
    }

    #[test]
    fn what_is_said_of_a_failure_is_short_and_of_one_line() {
        let long = answer(format!("{{\"{}\\n\":1}}", "x".repeat(9000)).as_bytes()).unwrap_err();
        let HookEffect::Failed { reason } = failed(&long) else { panic!("it failed") };
        assert_eq!(reason.chars().count(), REASON_MAX);
        assert_eq!(failed("a\nb"), HookEffect::Failed { reason: "a b".to_owned() });
    }

    #[test]
    fn long_texts_are_cut_as_amocrm_takes_them() {
        let long = "я".repeat(1000);
        let answer =
            answer(format!(r#"{{"call_result":"{long}","responsible":"{long}"}}"#).as_bytes()).unwrap();
        assert_eq!(answer.call_result.unwrap().chars().count(), TEXT_MAX);
        assert_eq!(answer.responsible.unwrap().chars().count(), EXTENSION_MAX);
    }
}
