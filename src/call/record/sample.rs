//! Pure: a call for tests to begin with: inbound, answered by 101, 4.2 seconds long.

use crate::call::id::{CallId, PbxName};
use crate::call::record::FinishedCall;

const SAMPLE: &str = include_str!("../../../tests/samples/call.json");

/// The sample as the call of the channel `uniqueid` on the PBX `default`.
pub(crate) fn call(uniqueid: &str) -> FinishedCall {
    let mut call: FinishedCall = serde_json::from_str(SAMPLE).unwrap();
    call.record.call_id = CallId::new(&PbxName::default(), uniqueid, 1);
    call.record.uniqueids = vec![uniqueid.to_owned()];
    call
}
