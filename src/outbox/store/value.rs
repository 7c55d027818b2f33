//! Pure: a call as it lies in the trees `outbox`, `dead` and `history`.
//!
//! The payload is `{"v":1, …the slip…, "call":{…}}`. The call is carried along as text and what
//! this version does not know is kept, so a rewrite loses nothing that a later version wrote.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::call::record::FinishedCall;
use crate::outbox::queue::{Item, State};
use crate::outbox::schedule::Slip;
use crate::outbox::store::fit::{self, Fitted};
use crate::outbox::store::frame::{self, Frame};

/// Version of the payload; keys are only ever added within one.
pub const VERSION: u32 = 1;

#[derive(Debug, Deserialize, Serialize)]
pub struct Stored {
    /// The call's id, which is the key of the frame.
    #[serde(skip)]
    pub id: String,
    v: u32,
    #[serde(flatten)]
    pub slip: Slip,
    /// What was cut to make the call fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trimmed: Vec<String>,
    call: Box<RawValue>,
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
}

/// Just the version, which is read before anything else is believed.
#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

impl Stored {
    /// # Errors
    /// When the call's JSON is none.
    pub fn new(slip: Slip, call: Fitted<'_>) -> serde_json::Result<Self> {
        let id = call.call.record.call_id.as_str().to_owned();
        let (trimmed, call) = (call.trimmed, RawValue::from_string(call.json)?);
        Ok(Self { id, v: VERSION, slip, trimmed, call, extra: serde_json::Map::new() })
    }

    /// # Errors
    /// When the value is damaged, of a later version, or no call.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let Frame { key, payload } = frame::decode(bytes)?;
        match serde_json::from_slice(payload) {
            Ok(Self { v, .. }) if v != VERSION => Err(Error::Version(v)),
            Ok(stored) => Ok(Self { id: String::from_utf8_lossy(key).into_owned(), ..stored }),
            // A later version may look quite different; say that rather than what it lacks.
            Err(e) => match serde_json::from_slice(payload) {
                Ok(Versioned { v }) if v != VERSION => Err(Error::Version(v)),
                Ok(_) | Err(_) => Err(Error::Json(e)),
            },
        }
    }

    /// # Errors
    /// When there is no JSON for it, which cannot be for what was decoded or new.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        Ok(frame::encode(self.id.as_bytes(), &serde_json::to_vec(self)?))
    }

    /// Takes the new slip in; its texts come from outside and are cut.
    pub fn set_slip(&mut self, mut slip: Slip) {
        if let Some(text) = &mut slip.last_error {
            fit::cut_text(text, fit::TEXT_MAX);
        }
        if let State::Dead { reason, .. } | State::Expired { reason, .. } = &mut slip.state {
            fit::cut_text(reason, fit::TEXT_MAX);
        }
        self.slip = slip;
    }

    /// # Errors
    /// When the call was written by a version with other words for it.
    pub fn call(&self) -> serde_json::Result<FinishedCall> {
        serde_json::from_str(self.call.get())
    }

    /// The call as text.
    pub fn raw_call(&self) -> &RawValue {
        &self.call
    }

    /// # Errors
    /// As [`Self::call`].
    pub fn into_item(self) -> serde_json::Result<Item> {
        let call = self.call()?;
        Ok(self.slip.into_item(call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::queue::Seq;
    use crate::outbox::queue::contract::{at, call};

    fn stored() -> Stored {
        let call = call(1);
        let slip = Slip::new(Seq(3), &call.record, at(0));
        Stored::new(slip, fit::fit(&call).unwrap()).unwrap()
    }

    fn json(stored: &Stored) -> serde_json::Value {
        serde_json::from_slice(frame::decode(&stored.encode().unwrap()).unwrap().payload).unwrap()
    }

    fn framed(json: &serde_json::Value) -> Vec<u8> {
        frame::encode(b"id", json.to_string().as_bytes())
    }

    #[test]
    fn a_value_gives_its_call_back() {
        let back = Stored::decode(&stored().encode().unwrap()).unwrap();
        assert_eq!(back.id, "default-1.1");
        let item = back.into_item().unwrap();
        assert_eq!((item.seq, item.enqueued_at, item.call), (Seq(3), at(0), call(1)));
    }

    #[test]
    fn keys_of_a_later_program_outlive_a_rewrite() {
        let mut later = json(&stored());
        later["priority"] = 7.into();
        later["call"]["record"]["mood"] = "cheerful".into();
        let mut back = Stored::decode(&framed(&later)).unwrap();
        let mut slip = back.slip.clone();
        slip.attempts = 5;
        back.set_slip(slip);
        later["attempts"] = 5.into();
        assert_eq!(json(&back), later);
        assert_eq!(back.into_item().unwrap().call, call(1));
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut later = json(&stored());
        later["v"] = 2.into();
        assert!(matches!(Stored::decode(&framed(&later)), Err(Error::Version(2))));
        later.as_object_mut().unwrap().remove("state");
        assert!(matches!(Stored::decode(&framed(&later)), Err(Error::Version(2))));
        assert!(matches!(Stored::decode(&framed(&1.into())), Err(Error::Json(_))));
        assert!(matches!(Stored::decode(b"A2Q1"), Err(Error::Frame(_))));
    }

    #[test]
    fn a_value_stays_below_its_limit_whatever_amocrm_says() {
        let mut call = call(1);
        let moment = call.timeline.moments[0].clone();
        call.timeline.moments = vec![moment; 1000];
        let slip = Slip::new(Seq(u64::MAX), &call.record, at(0));
        let mut stored = Stored::new(slip.clone(), fit::fit(&call).unwrap()).unwrap();
        let text = "\"".repeat(10_000);
        let state = State::Dead { reason: text.clone(), at: at(0) };
        stored.set_slip(Slip { last_error: Some(text), state, ..slip });
        let bytes = stored.encode().unwrap();
        assert!(bytes.len() <= fit::VALUE_MAX, "{} bytes", bytes.len());
        assert_eq!(json(&stored)["trimmed"], serde_json::json!(["timeline"]));
    }
}
