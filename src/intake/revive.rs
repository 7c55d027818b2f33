//! Calls in progress at the last end of the process: what the store kept of them, back into a reader.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use tracing::{error, info, warn};

use crate::call::checkpoint::{Error, Value};
use crate::call::id::PbxName;
use crate::call::policy::Policy;
use crate::call::record::Source;
use crate::intake::reader::Reader;
use crate::panics;

/// A reader for `pbx` that goes on with the calls in `kept`. What it cannot use stays in the store, and
/// is told.
pub fn reader(pbx: &PbxName, policy: &Arc<Policy>, kept: &[(String, Vec<u8>)]) -> Reader {
    let new = || {
        let mut reader = Reader::new(pbx.clone(), Source::Ami, Arc::clone(policy));
        reader.keep_changes();
        reader
    };
    let mut reader = new();
    let values: Vec<Value> = kept.iter().filter_map(|(key, json)| value(pbx, key, json)).collect();
    if !values.is_empty() {
        // It would panic at the next start as well.
        match panic::catch_unwind(AssertUnwindSafe(|| reader.restore(values))) {
            Ok(calls) => info!(%pbx, calls, "calls that were in progress at the last end go on"),
            Err(panic) => {
                let words = panics::text(&*panic);
                error!(%pbx, "calls in progress are lost: the core panicked over what was kept of them ({words}); please report it");
                return new();
            }
        }
    }
    reader
}

fn value(pbx: &PbxName, key: &str, json: &[u8]) -> Option<Value> {
    match Value::read(key, json) {
        Ok(value) => Some(value),
        Err(Error::Later(version)) => {
            warn!(%pbx, key, version, "what a later ami2amo kept of a call in progress is left alone");
            None
        }
        Err(error) => {
            warn!(%pbx, key, %error, "what was kept of a call in progress cannot be used");
            None
        }
    }
}
