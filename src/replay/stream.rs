//! The text of one or more captures as the stream of one PBX: bytes in, finished calls out.
//!
//! One buffer is reused for everything; frames and events borrow from it, and nothing is copied
//! but the part of a block that is left over at the end of a piece.

use std::io::{self, Read};

use memchr::memmem;

use crate::ami::arrival;
use crate::ami::wire::{Damage, Frame, Kind, Splitter, Step};
use crate::call::record::FinishedCall;
use crate::call::side::Portrait;
use crate::intake::reader::Reader;
use crate::replay::source::{Fault, Opened};
use crate::time::{HostTime, PbxTime};

/// Follows one PBX through one or more captures.
pub struct Stream {
    reader: Reader,
    splitter: Splitter,
    buffer: Vec<u8>,
    /// `buffer[start..end]` is read and not yet stepped over.
    start: usize,
    end: usize,
    /// Something in the current file looked like AMI.
    ami_seen: bool,
    arrivals: Arrivals,
}

/// When the bytes came, where the capture tells it.
#[derive(Clone, Copy, Debug, Default)]
struct Arrivals {
    /// By the clock of the host that recorded it.
    at: Option<HostTime>,
    /// How far that was ahead of the PBX's clock, in microseconds, by the last answer to a ping.
    host_ahead: i64,
}

impl Arrivals {
    fn reply(&mut self, frame: &Frame<'_>) {
        if let Some(at) = arrival::read(frame) {
            self.at = Some(at);
        } else if let (Some(at), Some(_), Some(pong)) =
            (self.at, frame.header("Ping"), frame.header("Timestamp").and_then(PbxTime::parse))
        {
            self.host_ahead = at.micros().saturating_sub(pong.micros());
        }
    }

    fn by_the_pbx(self) -> Option<PbxTime> {
        self.at.map(|at| PbxTime::from_micros(at.micros().saturating_sub(self.host_ahead)))
    }
}

/// Where finished calls go, in order of finish. An error ends the replay.
pub trait Receiver {
    /// # Errors
    /// When the output cannot be written.
    fn receive(&mut self, call: FinishedCall) -> io::Result<()>;
}

/// What reading one file came to.
#[derive(Debug)]
pub struct FileRead {
    pub gave: Yield,
    pub faults: Vec<Fault>,
    /// What the connection before this file turned out to lack, when one ended there.
    pub faults_before: Vec<Fault>,
}

/// How much a file gave.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Yield {
    /// There was no AMI text in it.
    #[default]
    Nothing,
    /// It could not be read to its end.
    Part,
    Whole,
}

/// Bytes read at once: some 400 events, and room in a second-level cache.
const PIECE: usize = 256 << 10;

/// The buffer's size at most: a block as long as the splitter's cap of 1 MiB, and a piece.
const BUFFER_MAX: usize = (1 << 20) + PIECE;

/// Begins a connection. A file without it is the rest of the capture before it.
const BANNER: &[u8] = b"Asterisk Call Manager";

impl Stream {
    pub fn new(reader: Reader) -> Self {
        let buffer = vec![0; PIECE];
        let splitter = splitter_for(&reader);
        Self { reader, splitter, buffer, start: 0, end: 0, ami_seen: false, arrivals: Arrivals::default() }
    }

    /// What was seen of every endpoint so far.
    pub fn portraits(&self) -> impl Iterator<Item = Portrait> {
        self.reader.portraits()
    }

    /// Forgets everything but the memory it has: a new PBX begins.
    pub fn restart(&mut self, reader: Reader) {
        self.reader = reader;
        self.arrivals = Arrivals::default();
        self.forget_tail();
    }

    /// Reads a file to its end and hands its finished calls to `receiver`.
    ///
    /// # Errors
    /// Those of `receiver`; what is wrong with the file is part of the result.
    pub fn read(
        &mut self,
        opened: Result<Opened<'_>, Fault>,
        receiver: &mut dyn Receiver,
    ) -> io::Result<FileRead> {
        let mut opened = match opened {
            Ok(opened) => opened,
            Err(fault) => {
                let faults_before = self.end_connection(receiver)?;
                return Ok(FileRead { gave: Yield::Nothing, faults: vec![fault], faults_before });
            }
        };
        self.ami_seen = false;
        let out_of_order = self.reader.stats().out_of_order;
        let mut head = Vec::with_capacity(BANNER.len());
        let head_read = opened.text.by_ref().take(BANNER.len() as u64).read_to_end(&mut head);
        let faults_before =
            if head.starts_with(BANNER) { self.end_connection(receiver)? } else { Vec::new() };
        self.push(&head, receiver)?;
        let mut text = head.len() as u64;
        let read = match head_read {
            Ok(_) => self.read_rest(&mut *opened.text, &mut text, receiver)?,
            Err(err) => Err(err),
        };
        let old = self.reader.too_old().map(str::to_owned);
        let useful = old.is_none() && (self.ami_seen || looks_like_ami(self.tail()));
        let gave = match (useful, &read) {
            (false, _) => Yield::Nothing,
            (true, Err(_)) => Yield::Part,
            (true, Ok(())) => Yield::Whole,
        };
        let fault = match read {
            Err(err) => Some(opened.fault(err, text)),
            Ok(()) if let Some(version) = old => Some(Fault::OldAsterisk(version)),
            Ok(()) if text == 0 => Some(Fault::Empty),
            Ok(()) if !useful => Some(Fault::NoAmi),
            Ok(()) => None,
        };
        if fault.is_some() {
            // What follows is not the rest of this block.
            self.forget_tail();
        }
        let earlier = (self.reader.stats().out_of_order > out_of_order).then_some(Fault::OutOfOrder);
        Ok(FileRead { gave, faults: fault.into_iter().chain(earlier).collect(), faults_before })
    }

    /// Reads to the end, or to where the file cannot be read (the inner error); `text` counts.
    fn read_rest(
        &mut self,
        source: &mut dyn Read,
        text: &mut u64,
        receiver: &mut dyn Receiver,
    ) -> io::Result<io::Result<()>> {
        loop {
            match source.read(self.room()) {
                Ok(0) => return Ok(Ok(())),
                Ok(read) => {
                    *text += read as u64;
                    self.end += read;
                    self.drain(receiver)?;
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Ok(Err(err)),
            }
        }
    }

    /// The input is at its end: hands out what is still open, too.
    ///
    /// # Errors
    /// Those of `receiver`.
    pub fn finish(&mut self, receiver: &mut dyn Receiver) -> io::Result<Vec<Fault>> {
        let faults = self.end_connection(receiver)?;
        self.reader.finish();
        self.hand_out(receiver)?;
        Ok(faults)
    }

    /// Nothing follows what was read so far. An editor that saved a capture may have taken the
    /// last empty line away, so an event whose lines are whole counts; one cut inside a line does
    /// not, for half a uniqueid is another channel's.
    fn end_connection(&mut self, receiver: &mut dyn Receiver) -> io::Result<Vec<Fault>> {
        if self.tail().ends_with(b"\n") {
            self.push(b"\r\n", receiver)?;
        }
        let damage = self.splitter.damage();
        let left = self.tail().trim_ascii_start().len();
        self.forget_tail();
        let damaged = (damage != Damage::default()).then_some(Fault::DamagedBlocks(damage));
        let cut = (left > 0).then_some(Fault::CutEvent(left));
        Ok(damaged.into_iter().chain(cut).collect())
    }

    fn push(&mut self, bytes: &[u8], receiver: &mut dyn Receiver) -> io::Result<()> {
        self.room()[..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
        self.drain(receiver)
    }

    /// Steps over everything that is whole.
    fn drain(&mut self, receiver: &mut dyn Receiver) -> io::Result<()> {
        loop {
            let input = &self.buffer[self.start..self.end];
            match self.splitter.next(input) {
                Step::Frame { frame, used } => {
                    self.ami_seen = true;
                    match frame.kind {
                        Kind::Banner | Kind::Event => {
                            self.reader.handle_frame(&frame, self.arrivals.by_the_pbx());
                        }
                        Kind::Response => self.arrivals.reply(&frame),
                    }
                    self.start += used;
                    self.hand_out(receiver)?;
                }
                Step::Skip { used } => {
                    self.ami_seen = self.ami_seen || looks_like_ami(&input[..used]);
                    self.start += used;
                }
                Step::More => return Ok(()),
            }
        }
    }

    fn hand_out(&mut self, receiver: &mut dyn Receiver) -> io::Result<()> {
        while let Some(call) = self.reader.poll_finished() {
            receiver.receive(call)?;
        }
        Ok(())
    }

    /// Free bytes behind the tail, which is moved to the front for it; never empty.
    fn room(&mut self) -> &mut [u8] {
        if self.end - self.start >= BUFFER_MAX {
            // The splitter gives up a block at its cap, so it has lost its place: start afresh.
            self.forget_tail();
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        // A long block must not make the reads behind it short.
        let wanted = (self.end + PIECE / 2).min(BUFFER_MAX).max(self.end + 1);
        if self.buffer.len() < wanted {
            self.buffer.resize((self.buffer.len() * 2).clamp(wanted, BUFFER_MAX), 0);
        }
        &mut self.buffer[self.end..]
    }

    fn tail(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn forget_tail(&mut self) {
        self.splitter = splitter_for(&self.reader);
        (self.start, self.end) = (0, 0);
    }
}

fn splitter_for(reader: &Reader) -> Splitter {
    let mut splitter = Splitter::new();
    splitter.set_own_variables(reader.own_variables());
    splitter
}

fn looks_like_ami(text: &[u8]) -> bool {
    [&b"Event:"[..], b"Response:", BANNER].iter().any(|mark| memmem::find(text, mark).is_some())
}
