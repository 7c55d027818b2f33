//! Calls in progress of a process that must end while its store takes nothing: the next one goes on with them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use super::turn;
use crate::call::checkpoint::Change;
use crate::call::id::PbxName;
use crate::outbox::store::handle::Handle;
use crate::outbox::store::journal::end_torn_line;
use crate::outbox::store::{Error, Store};
use crate::time::HostTime;

/// One line: what changed of one key of `inflight`.
#[derive(Debug, Deserialize, Serialize)]
struct Line {
    pbx: PbxName,
    key: String,
    /// Absent when it is to be kept no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl Handle {
    /// Writes what is to be kept of the calls in progress of `pbx` to a file, of which the next start takes it. It blocks.
    ///
    /// # Errors
    /// When it cannot be written; then nothing of it is there.
    pub fn spill_values(&self, pbx: &PbxName, changes: &[Change]) -> io::Result<()> {
        append(self.dir(), pbx, changes)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("emergency.jsonl.values")
}

pub(super) fn append(dir: &Path, pbx: &PbxName, changes: &[Change]) -> io::Result<()> {
    let _turn = turn();
    let mut text = Vec::new();
    for Change { key, value } in changes {
        let value = value.clone().map(String::from_utf8).transpose().map_err(io::Error::other)?;
        serde_json::to_writer(&mut text, &Line { pbx: pbx.clone(), key: key.clone(), value })?;
        text.push(b'\n');
    }
    let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path(dir))?;
    end_torn_line(&mut file)?;
    let length = file.metadata()?.len();
    let written = file.write_all(&text).and_then(|()| file.sync_all());
    // Calls of which a part alone was written are closed as they are: they must not go on.
    written.inspect_err(|_| drop(file.set_len(length)))?;
    File::open(dir)?.sync_all()
}

impl Store {
    /// Takes over what an earlier process wrote of its calls in progress. A line that cannot be read is told and left.
    pub(super) fn take_emergency_values(&mut self, now: HostTime) -> Result<(), Error> {
        let path = path(&self.ground.dir);
        let io = |error| Error::io(&path, error);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            text => text.map_err(io)?,
        };
        self.now = now;
        let (mut draft, mut values) = (self.draft(), 0);
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Line>(line) {
                Ok(Line { pbx, key, value }) => {
                    let value = value.map(String::into_bytes);
                    draft.change.keep(&pbx, &[Change { key, value }]);
                    values += 1;
                }
                Err(error) => {
                    error!(%error, "a part of a call in progress is lost: a line of an emergency file cannot be read");
                }
            }
        }
        let kept = self.commit(draft).and_then(|()| self.persist());
        kept.map_err(|error| Error::damaged(&self.ground.dir, error.to_string()))?;
        fs::remove_file(&path).map_err(io)?;
        warn!(values, "calls in progress that an earlier process could not keep are kept now");
        Ok(())
    }
}
