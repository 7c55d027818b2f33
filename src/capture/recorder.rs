//! What comes from a PBX on its way into files: cut at blocks, with the times at which it came, without secrets
//! and, where that is wanted, without people.

use std::time::Duration;

use memchr::memmem;

use crate::ami::arrival::{self, Blocks};
use crate::ami::connection::Secret;
use crate::capture::anonymize::Anonymizer;
use crate::capture::files::{Error, Files};
use crate::time::HostTime;

/// Writes the stream of one PBX.
#[derive(Debug)]
pub struct Recorder {
    files: Files,
    blocks: Blocks,
    secret: Secret,
    people: Option<People>,
    /// Bytes that came.
    pub taken: u64,
}

/// How people are taken out.
#[derive(Debug)]
struct People {
    anonymizer: Anonymizer,
    /// What waits until the extensions are known.
    held: Option<Held>,
}

#[derive(Debug, Default)]
struct Held {
    since: Option<HostTime>,
    pieces: Vec<(HostTime, Vec<u8>)>,
    bytes: usize,
}

/// The PBX lists its extensions within this time, or not at all.
const HOLD_MAX: Duration = Duration::from_secs(5);
/// More is not held back.
const HELD_MAX: usize = 4 << 20;
/// A shorter secret would be found in everything.
const SECRET_MIN: usize = 6;
/// The key under which Asterisk tells new passwords of mailboxes.
const PASSWORD: &[u8] = b"NewPassword:";

impl Recorder {
    pub fn new(files: Files, secret: Secret, anonymizer: Option<Anonymizer>) -> Self {
        let people = anonymizer.map(|anonymizer| People { anonymizer, held: Some(Held::default()) });
        Self { files, blocks: Blocks::default(), secret, people, taken: 0 }
    }

    /// Takes what came at `at`.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn take(&mut self, bytes: &[u8], at: HostTime) -> Result<(), Error> {
        self.taken += bytes.len() as u64;
        let whole = self.blocks.take(bytes);
        if !whole.greeting.is_empty() {
            self.files.write(&whole.greeting)?;
        }
        if whole.blocks.is_empty() { Ok(()) } else { self.piece(whole.blocks, at) }
    }

    /// The connection is over: what it left unfinished goes, and another file begins.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn turn(&mut self) -> Result<(), Error> {
        self.blocks.finish();
        self.release()?;
        self.files.turn()
    }

    /// Ends the capture.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn finish(mut self) -> Result<Vec<std::path::PathBuf>, Error> {
        self.release()?;
        self.files.finish()
    }

    fn piece(&mut self, mut blocks: Vec<u8>, at: HostTime) -> Result<(), Error> {
        scrub(&mut blocks, self.secret.expose());
        let Some(People { anonymizer, held }) = &mut self.people else {
            return write(&mut self.files, None, &blocks, at);
        };
        let Some(waiting) = held else { return write(&mut self.files, Some(anonymizer), &blocks, at) };
        anonymizer.learn(&blocks);
        let since = *waiting.since.get_or_insert(at);
        waiting.bytes += blocks.len();
        let is_listed = memmem::find(&blocks, b"Event: ExtensionStateListComplete").is_some();
        let is_over = is_listed || at.since(since) > HOLD_MAX || waiting.bytes > HELD_MAX;
        waiting.pieces.push((at, blocks));
        if is_over { self.release() } else { Ok(()) }
    }

    /// Writes what waited.
    fn release(&mut self) -> Result<(), Error> {
        let Some(People { anonymizer, held }) = &mut self.people else { return Ok(()) };
        let held = held.take().unwrap_or_default();
        held.pieces
            .into_iter()
            .try_for_each(|(at, blocks)| write(&mut self.files, Some(anonymizer), &blocks, at))
    }
}

fn write(
    files: &mut Files,
    anonymizer: Option<&mut Anonymizer>,
    blocks: &[u8],
    at: HostTime,
) -> Result<(), Error> {
    let mut text = arrival::note(at);
    match anonymizer {
        Some(anonymizer) => text.extend(anonymizer.take(blocks)),
        None => text.extend_from_slice(blocks),
    }
    files.write(&text)
}

/// Asterisk does not repeat a login's secret, but a dial plan may say anything.
fn scrub(text: &mut [u8], secret: &[u8]) {
    let found: Vec<usize> =
        if secret.len() < SECRET_MIN { Vec::new() } else { memmem::find_iter(text, secret).collect() };
    for at in found {
        text[at..at + secret.len()].fill(b'*');
    }
    let found: Vec<usize> = memmem::find_iter(text, PASSWORD).collect();
    for at in found {
        let value = text[at + PASSWORD.len()..].iter_mut().take_while(|byte| !matches!(byte, b'\r' | b'\n'));
        value.filter(|byte| !byte.is_ascii_whitespace()).for_each(|byte| *byte = b'*');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::num::NonZeroUsize;
    use std::path::Path;

    fn recorder(base: &Path, anonymizer: Option<Anonymizer>) -> Recorder {
        let files = Files::create(base, 1 << 20, NonZeroUsize::new(2).unwrap()).unwrap();
        Recorder::new(files, Secret::new(b"s3cret".to_vec()), anonymizer)
    }

    fn at(seconds: i64) -> HostTime {
        HostTime::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn blocks_stand_behind_the_time_of_their_last_byte() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("a.ami");
        let mut recorder = recorder(&base, None);
        recorder.take(b"Asterisk Call Manager/11.0.0\r\nEvent: A\r\n", at(1)).unwrap();
        recorder
            .take(b"\r\nEvent: VarSet\r\nValue: s3cret\r\nNewPassword: 12\r\n\r\nEvent: C\r\n", at(2))
            .unwrap();
        recorder.turn().unwrap();
        assert_eq!(
            fs::read_to_string(&base).unwrap(),
            "Asterisk Call Manager/11.0.0\r\nResponse: Arrived\r\nTime: 2.000000\r\n\r\nEvent: A\r\n\r\nEvent: VarSet\r\n\
             Value: ******\r\nNewPassword: **\r\n\r\n"
        );
    }

    #[test]
    fn what_is_anonymized_waits_until_the_extensions_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("a.ami");
        let mut recorder = recorder(&base, Some(Anonymizer::new(b"key", "")));
        recorder.take(b"Event: A\r\nExten: 74957000101\r\n\r\n", at(1)).unwrap();
        assert_eq!(fs::read_to_string(&base).unwrap(), "");
        recorder
            .take(
                b"Event: ExtensionStatus\r\nExten: 101\r\n\r\nEvent: ExtensionStateListComplete\r\n\r\n",
                at(2),
            )
            .unwrap();
        let text = fs::read_to_string(&base).unwrap();
        assert!(
            text.contains("101\r\n\r\nResponse: Arrived\r\nTime: 2.") && !text.contains("74957000101"),
            "{text}"
        );
    }
}
