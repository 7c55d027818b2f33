//! Pure: a call as it lies in the trees `outbox`, `dead` and `history`.
//!
//! ```text
//! {"v":1, …the slip…}⏎{"record":{…},"timeline":{…}}
//! ```
//! The payload is two lines of JSON, so that a start with 100,000 waiting calls reads their slips
//! only. The call is carried along as text and what this version does not know of the slip is
//! kept: a rewrite loses nothing that a later version wrote.

use serde::{Deserialize, Serialize};

use crate::call::record::{FinishedCall, Timeline};
use crate::outbox::errand::Sound;
use crate::outbox::queue::{Item, State};
use crate::outbox::schedule::Slip;
use crate::outbox::store::fit::{self, Fitted};
use crate::outbox::store::frame::{self, Frame};

/// Version of the payload; keys are only ever added within one.
pub const VERSION: u32 = 1;

#[derive(Clone, Debug)]
pub struct Stored {
    /// The call's id, which is the key of the frame.
    pub id: String,
    head: Head,
    call: String,
}

/// How long the texts may be that were said of a call, in bytes, where longer ones find no room.
const SAID_MAX: [usize; 4] = [256, 128, 64, 16];

/// What was cut of a call whose party is forgotten.
const FORGOTTEN: &str = "number";

/// The first line.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Head {
    v: u32,
    #[serde(flatten)]
    pub slip: Slip,
    /// What was cut to make the call fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trimmed: Vec<String>,
    #[serde(flatten)]
    extra: serde_json::Map<String, serde_json::Value>,
}

/// Why a value cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Frame(#[from] frame::Error),
    #[error("the value is of version {0}, and this program knows {VERSION} only")]
    Version(u32),
    #[error("the value is no call: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the value has no call")]
    NoCall,
}

/// Just the version, which is read before anything else is believed.
#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

impl Head {
    /// Reads the slip of a value and its call's id, and leaves the call alone.
    ///
    /// # Errors
    /// When the value is damaged or of a later version.
    pub fn decode(bytes: &[u8]) -> Result<(&[u8], Self), Error> {
        let Frame { key, payload } = frame::decode(bytes)?;
        let (line, _) = lines(payload);
        Ok((key, Self::parse(line)?))
    }

    fn parse(line: &[u8]) -> Result<Self, Error> {
        match serde_json::from_slice(line) {
            Ok(Self { v, .. }) if v != VERSION => Err(Error::Version(v)),
            Ok(head) => Ok(head),
            // A later version may look quite different; say that rather than what it lacks.
            Err(e) => match serde_json::from_slice(line) {
                Ok(Versioned { v }) if v != VERSION => Err(Error::Version(v)),
                Ok(_) | Err(_) => Err(Error::Json(e)),
            },
        }
    }
}

impl Stored {
    pub fn new(slip: Slip, call: Fitted<'_>) -> Self {
        let id = call.call.record.call_id.as_str().to_owned();
        let head = Head { v: VERSION, slip, trimmed: call.trimmed, extra: serde_json::Map::new() };
        Self { id, head, call: call.json }
    }

    /// # Errors
    /// When the value is damaged, of a later version, or no call.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let Frame { key, payload } = frame::decode(bytes)?;
        let (line, call) = lines(payload);
        let head = Head::parse(line)?;
        let call = call.and_then(|call| std::str::from_utf8(call).ok()).ok_or(Error::NoCall)?;
        Ok(Self { id: String::from_utf8_lossy(key).into_owned(), head, call: call.to_owned() })
    }

    /// # Errors
    /// When there is no JSON for it, which cannot be for what was decoded or new.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let mut payload = serde_json::to_vec(&self.head)?;
        payload.push(b'\n');
        payload.extend_from_slice(self.call.as_bytes());
        Ok(frame::encode(self.id.as_bytes(), &payload))
    }

    pub fn slip(&self) -> &Slip {
        &self.head.slip
    }

    /// Takes another account of the same call in.
    pub fn set_call(&mut self, call: Fitted<'_>) {
        (self.head.trimmed, self.call) = (call.trimmed, call.json);
    }

    /// Takes the new slip in; its texts come from outside and are cut.
    pub fn set_slip(&mut self, mut slip: Slip) {
        if let Some(text) = &mut slip.last_error {
            fit::cut_text(text, fit::TEXT_MAX);
        }
        if let State::Dead { reason, .. } | State::Expired { reason, .. } = &mut slip.state {
            fit::cut_text(reason, fit::TEXT_MAX);
        }
        if let Some(Sound::GivenUp { reason }) = &mut slip.errand.sound {
            fit::cut_text(reason, fit::TEXT_MAX);
        }
        self.head.slip = slip;
        self.cut_said();
    }

    /// Cuts what was said of the call, where there is no room for it beside the call.
    fn cut_said(&mut self) {
        for limit in SAID_MAX {
            let errand = &self.head.slip.errand;
            let has_room = || self.encode().is_ok_and(|bytes| bytes.len() <= fit::VALUE_MAX);
            if (errand.said.is_none() && errand.booked.is_none()) || has_room() {
                return;
            }
            for text in self.head.slip.errand.texts() {
                fit::cut_text(text, limit);
            }
        }
    }

    /// Takes in what is left of a call whose party is forgotten.
    ///
    /// # Errors
    /// When it has no JSON, which no call of ours lacks.
    pub fn forget(&mut self, call: &FinishedCall) -> serde_json::Result<()> {
        self.call = serde_json::to_string(call)?;
        self.head.trimmed = vec![FORGOTTEN.to_owned()];
        // A later program may have written it there.
        self.head.extra.clear();
        Ok(())
    }

    /// Whether nobody knows any more whose call it is.
    pub fn is_forgotten(&self) -> bool {
        self.head.trimmed.iter().any(|name| name == FORGOTTEN)
    }

    /// Takes what explains the call away; one in other words stays as it is.
    pub fn strip(&mut self) {
        if self.is_forgotten() {
            return; // nothing explains it any more, and the mark stays
        }
        let Ok(mut call) = self.call() else { return };
        call.timeline = Timeline::default();
        call.record.why.clear();
        if let Ok(json) = serde_json::to_string(&call) {
            self.call = json;
            self.head.trimmed = ["timeline", "why"].map(str::to_owned).to_vec();
        }
    }

    /// # Errors
    /// When the call was written by a version with other words for it.
    pub fn call(&self) -> serde_json::Result<FinishedCall> {
        serde_json::from_str(&self.call)
    }

    /// The call's JSON.
    pub fn raw_call(&self) -> &str {
        &self.call
    }

    /// # Errors
    /// As [`Self::call`].
    pub fn into_item(self) -> serde_json::Result<Item> {
        let call = self.call()?;
        Ok(self.head.slip.into_item(call))
    }
}

/// The two lines; JSON has no line feed of its own.
fn lines(payload: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'\n', payload) {
        Some(end) => (&payload[..end], Some(&payload[end + 1..])),
        None => (payload, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amo::calls::Responsible;
    use crate::amo::who::{Blame, Who};
    use crate::outbox::errand::{Errand, Said};
    use crate::outbox::finder::FILE_MAX;
    use crate::outbox::queue::contract::{at, call};
    use crate::outbox::queue::{BatchId, Seq};

    fn stored() -> Stored {
        let call = call(1);
        Stored::new(Slip::new(Seq(3), &call.record, at(0)), fit::fit(&call).unwrap())
    }

    fn json(stored: &Stored) -> [serde_json::Value; 2] {
        let bytes = stored.encode().unwrap();
        let (head, call) = lines(frame::decode(&bytes).unwrap().payload);
        [head, call.unwrap()].map(|line| serde_json::from_slice(line).unwrap())
    }

    fn framed([head, call]: &[serde_json::Value; 2]) -> Vec<u8> {
        frame::encode(b"id", format!("{head}\n{call}").as_bytes())
    }

    #[test]
    fn a_value_gives_its_call_back() {
        let bytes = stored().encode().unwrap();
        let back = Stored::decode(&bytes).unwrap();
        assert_eq!(back.id, "default-1.1");
        let (id, head) = Head::decode(&bytes).unwrap();
        assert_eq!((id, &head.slip), (back.id.as_bytes(), back.slip()));
        let item = back.into_item().unwrap();
        assert_eq!((item.seq, item.enqueued_at, item.call), (Seq(3), at(0), call(1)));
    }

    #[test]
    fn keys_of_a_later_program_outlive_a_rewrite() {
        let mut later = json(&stored());
        later[0]["priority"] = 7.into();
        later[0]["weight"] = 1.795_339_64e134.into();
        later[1]["record"]["mood"] = "cheerful".into();
        let mut back = Stored::decode(&framed(&later)).unwrap();
        let slip = Slip { attempts: 5, ..back.slip().clone() };
        back.set_slip(slip);
        later[0]["attempts"] = 5.into();
        assert_eq!(json(&back), later);
        assert_eq!(back.into_item().unwrap().call, call(1));
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut later = json(&stored());
        later[0]["v"] = 2.into();
        assert!(matches!(Stored::decode(&framed(&later)), Err(Error::Version(2))));
        later[0].as_object_mut().unwrap().remove("state");
        assert!(matches!(Stored::decode(&framed(&later)), Err(Error::Version(2))));
        assert!(matches!(Stored::decode(&framed(&[1.into(), 1.into()])), Err(Error::Json(_))));
        assert!(matches!(Stored::decode(b"A2Q1"), Err(Error::Frame(_))));
        let head = frame::encode(b"id", json(&stored())[0].to_string().as_bytes());
        assert!(matches!(Stored::decode(&head), Err(Error::NoCall)));
    }

    #[test]
    fn a_value_stays_below_its_limit_whatever_amocrm_says() {
        let mut call = call(1);
        let moment = call.timeline.moments[0].clone();
        call.timeline.moments = vec![moment; 1000];
        let slip = Slip::new(Seq(u64::MAX), &call.record, at(0));
        let mut stored = Stored::new(slip.clone(), fit::fit(&call).unwrap());
        let text = "\"".repeat(10_000);
        let state = State::Dead { reason: text.clone(), at: at(0) };
        stored.set_slip(Slip { last_error: Some(text), state, ..slip });
        let bytes = stored.encode().unwrap();
        assert!(bytes.len() <= fit::VALUE_MAX, "{} bytes", bytes.len());
        assert_eq!(json(&stored)[0]["trimmed"], serde_json::json!(["timeline"]));
    }

    /// The longest that is said, of letters that are long in JSON.
    fn said() -> Said {
        let text = "я\"я".repeat(85);
        let shown = Some(Responsible::Name(text.clone()));
        let who = Who { user: Some(u64::MAX), shown, told: Some(text.clone()) };
        Said { who, result: Some(text.clone()), source: text, duration: u64::MAX }
    }

    #[test]
    fn a_value_stays_below_its_limit_whatever_was_said_of_its_call() {
        let mut long = call(1);
        long.record.why.clear();
        long.record.message = Some(String::new());
        let rest = fit::CALL_MAX - fit::fit(&long).unwrap().json.len();
        long.record.message = Some("x".repeat(rest));
        let fitted = fit::fit(&long).unwrap();
        assert_eq!((fitted.json.len(), fitted.trimmed.len()), (fit::CALL_MAX, 0));
        let file = "x".repeat(FILE_MAX);
        for sound in [Sound::GivenUp { reason: "\"".repeat(10_000) }, Sound::Found { file }] {
            let slip = Slip::new(Seq(u64::MAX), &long.record, at(0));
            let mut stored = Stored::new(slip.clone(), fitted.clone());
            let mut errand = Errand { said: Some(said()), booked: Some(said().who), ..Errand::default() };
            errand.sound = Some(sound);
            errand = (0..99).fold(errand, |errand, user| errand.without(Blame::User(u64::MAX - user)));
            let file = errand.file().map(str::to_owned);
            let state = State::Unknown { batch: BatchId(u64::MAX), since: at(0), looked: u32::MAX };
            stored.set_slip(Slip { last_error: Some("\"".repeat(10_000)), state, errand, ..slip });
            let bytes = stored.encode().unwrap();
            assert!(bytes.len() <= fit::VALUE_MAX, "{} bytes", bytes.len());
            let back = Stored::decode(&bytes).unwrap().into_item().unwrap();
            assert_eq!(back.errand.file(), file.as_deref(), "a part of it is another file");
            let kept = back.errand.said.unwrap();
            assert!(said().result.unwrap().starts_with(&kept.result.unwrap()) && !kept.source.is_empty());
            assert_eq!((kept.duration, kept.who.user, back.call), (u64::MAX, Some(u64::MAX), long.clone()));
        }
    }

    #[test]
    fn a_forgotten_call_stays_one_when_it_is_stripped() {
        let (mut stored, mut call) = (stored(), call(1));
        crate::outbox::forget::anonymize(&mut call, "79031112233");
        stored.forget(&call).unwrap();
        stored.strip();
        assert!(Stored::decode(&stored.encode().unwrap()).unwrap().is_forgotten());
    }

    #[test]
    fn what_was_said_is_kept_whole_where_there_is_room() {
        let (mut stored, call) = (stored(), call(1));
        let errand = Errand { said: Some(said()), ..Errand::default() };
        stored.set_slip(Slip { errand: errand.clone(), ..Slip::new(Seq(3), &call.record, at(0)) });
        assert_eq!(stored.slip().errand, errand);
    }
}
