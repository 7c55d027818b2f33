//! A finished call to begin with: answered, inbound, 4.2 seconds long.

use ami2amo::call::id::{CallId, PbxName};
use ami2amo::call::record::FinishedCall;

/// The call of the channel `uniqueid` on the PBX `default`.
pub fn call(uniqueid: &str) -> FinishedCall {
    let mut call: FinishedCall =
        serde_json::from_str(include_str!("../samples/call.json")).expect("the sample is a call");
    call.record.call_id = id(uniqueid);
    call.record.uniqueids = vec![uniqueid.to_owned()];
    call
}

pub fn id(uniqueid: &str) -> CallId {
    CallId::new(&PbxName::default(), uniqueid, 1)
}
