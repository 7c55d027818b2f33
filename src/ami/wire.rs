//! Pure: bytes to frames that borrow.
//!
//! AMI is lines of `Key: value`, an empty line ends a block. Real streams bend that: `\n` without
//! `\r`, three newlines in a row, blocks that were cut and glued to the next one, replies with raw
//! text in them, values of megabytes. [`Splitter`] takes all of it and stays in step:
//!
//! ```text
//!  Banner | blank line | block ─┬─ wanted ──────────► Step::Frame
//!                               ├─ unwanted ────────► Step::Skip
//!                               ├─ Event: in mid-block ► Step::Skip (damage), then the new block
//!                               └─ over a limit ────► Step::Skip …, until its empty line
//! ```

use memchr::{memchr, memmem};

use crate::ami::interest;

/// Longest line, in bytes. Asterisk itself has no limit; the longest honest lines are `AppData`
/// and variables of some KiB.
pub const LINE_MAX: usize = 64 << 10;
/// Longest block, in bytes: an event with hundreds of channel variables has some 20 KiB.
pub const BLOCK_MAX: usize = 1 << 20;
/// Most lines in one block.
pub const LINES_MAX: usize = 4096;

/// Cuts a byte stream into frames. Give [`Splitter::next`] the unused bytes of one connection or
/// file, always from the front; a new connection needs a new splitter.
#[derive(Debug, Default)]
pub struct Splitter {
    scan: Scan,
    mode: Mode,
    damage: Damage,
    /// Variables whose names begin so are handed on, too.
    own_variables: OwnVariables,
    /// An event with a `Timestamp` was handed on: from then on what nobody needs is stepped over.
    /// The first one tells when the connection began, whatever it is.
    timed: bool,
}

/// What the names of a dial plan's own variables begin with.
#[derive(Clone, Debug)]
struct OwnVariables(Box<[u8]>);

impl Default for OwnVariables {
    fn default() -> Self {
        Self(Box::from(&b"AMI2AMO_"[..]))
    }
}

/// What lies at the front of the input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step<'b> {
    /// A whole frame; the next one starts `used` bytes on.
    Frame { frame: Frame<'b>, used: usize },
    /// `used` (> 0) bytes to step over: a frame that nobody needs, blank lines, damage.
    Skip { used: usize },
    /// More input is needed; call again with the same bytes and more behind them.
    More,
}

/// One block of AMI text without the empty line that ends it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame<'b> {
    pub kind: Kind,
    pub block: &'b [u8],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `Asterisk Call Manager/…`, a line of its own.
    Banner,
    Event,
    /// A reply to an action.
    Response,
}

/// What had to be dropped since the stream began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Damage {
    /// Blocks that were cut and glued to the next one.
    pub glued: u64,
    /// Blocks over a limit.
    pub oversize: u64,
    /// Blocks that are neither event nor reply.
    pub headless: u64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Mode {
    #[default]
    Blocks,
    /// In a block over a limit: drop lines until its end; `mid_line` says that the front of the
    /// input is inside a line.
    Discard { mid_line: bool },
}

/// How far the block at the front is scanned; kept so that a block which arrives in many pieces
/// is looked at once.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    /// Start of the first line that is not complete yet.
    line: usize,
    /// Where to look on for that line's end.
    searched: usize,
    lines: usize,
    head: Head,
    privileges: u8,
    /// The line before `line`.
    previous: usize,
    /// `Variable:` was seen and is one that calls depend on.
    variable: bool,
    /// `Timestamp:` was seen.
    timed: bool,
}

/// What the block at the front turned out to be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Head {
    /// No `Event:` or `Response:` line yet.
    #[default]
    Open,
    /// An event to hand on.
    Wanted,
    /// An event to step over.
    Unwanted,
    /// To hand on if its variable is wanted.
    VarSet,
    Response,
    /// A reply whose raw text ends with `--END COMMAND--`.
    Follows,
}

/// The end of the block at the front.
enum End {
    /// The block ends at `block`, the next one begins at `next`.
    Whole {
        block: usize,
        next: usize,
    },
    /// Another block begins inside this one.
    Glued {
        next: usize,
    },
    Oversize,
    Unknown,
}

impl Splitter {
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands on variables whose names begin with `prefix`, in place of `AMI2AMO_`.
    pub fn set_own_variables(&mut self, prefix: &str) {
        self.own_variables = OwnVariables(prefix.as_bytes().into());
    }

    /// Takes the next step over `input`. Never fails: what is no AMI is stepped over and counted
    /// in [`Splitter::damage`].
    pub fn next<'b>(&mut self, input: &'b [u8]) -> Step<'b> {
        if let Mode::Discard { mid_line } = self.mode {
            return self.discard(input, mid_line);
        }
        if self.scan.line == 0
            && let Some(used) = blank(input)
        {
            self.scan = Scan::default();
            return Step::Skip { used };
        }
        match self.find_end(input) {
            End::Whole { block, next } => self.whole(&input[..block], next),
            End::Glued { next } => {
                self.damage.glued += 1;
                self.scan = Scan::default();
                Step::Skip { used: next }
            }
            End::Oversize => {
                self.damage.oversize += 1;
                let used = self.scan.line;
                self.scan = Scan::default();
                self.mode = Mode::Discard { mid_line: true };
                if used > 0 { Step::Skip { used } } else { self.discard(input, true) }
            }
            End::Unknown => Step::More,
        }
    }

    pub fn damage(&self) -> Damage {
        self.damage
    }

    /// A complete block, or the banner's line.
    fn whole<'b>(&mut self, block: &'b [u8], used: usize) -> Step<'b> {
        let Scan { head, variable, lines, timed, .. } = std::mem::take(&mut self.scan);
        let is_first = timed && !self.timed;
        self.timed |= timed;
        let kind = match head {
            Head::Unwanted | Head::VarSet if is_first => Kind::Event,
            Head::Wanted => Kind::Event,
            Head::VarSet if variable => Kind::Event,
            Head::Response | Head::Follows => Kind::Response,
            Head::Unwanted | Head::VarSet => return Step::Skip { used },
            Head::Open if lines == 1 && is_banner(block) => Kind::Banner,
            Head::Open => {
                self.damage.headless += 1;
                return Step::Skip { used };
            }
        };
        Step::Frame { frame: Frame { kind, block }, used }
    }

    /// Reads on line by line from where the last call stopped.
    fn find_end(&mut self, input: &[u8]) -> End {
        let scan = &mut self.scan;
        loop {
            let Some(found) = memchr(b'\n', &input[scan.searched..]) else {
                scan.searched = input.len();
                // The same verdict as below, as soon as the unfinished line allows it.
                let rest = scan.searched - scan.line;
                let over = rest > LINE_MAX + 1 || (scan.line > BLOCK_MAX && rest > 1);
                return if over { End::Oversize } else { End::Unknown };
            };
            let (start, newline) = (scan.line, scan.searched + found);
            let mut line = &input[start..newline];
            if let [head @ .., b'\r'] = line {
                line = head;
            }
            let next = newline + 1;
            if line.is_empty() && scan.head != Head::Follows {
                return End::Whole { block: start, next };
            }
            if line.len() > LINE_MAX || start > BLOCK_MAX || scan.lines == LINES_MAX {
                return End::Oversize;
            }
            if let Some(end) = scan.take_line(input, line, start, next, &self.own_variables) {
                return end;
            }
            (scan.previous, scan.line, scan.searched) = (start, next, next);
            scan.lines += 1;
        }
    }

    /// Steps over an oversize block, keeping nothing of it.
    fn discard<'b>(&mut self, input: &'b [u8], mut mid_line: bool) -> Step<'b> {
        let mut at = 0;
        while let Some(found) = memchr(b'\n', &input[at..]) {
            let line = &input[at..at + found];
            if !mid_line && is_head(line) {
                // Another block begins without an empty line between.
                self.mode = Mode::Blocks;
                return if at > 0 { Step::Skip { used: at } } else { self.next(input) };
            }
            at += found + 1;
            if !mid_line && (line.is_empty() || line == b"\r") {
                self.mode = Mode::Blocks;
                return Step::Skip { used: at };
            }
            mid_line = false;
        }
        // The unfinished line at the end is kept until it can be told from a head.
        let rest = input.len() - at;
        if mid_line || rest > LINE_MAX + 1 {
            self.mode = Mode::Discard { mid_line: true };
            at = input.len();
        } else {
            self.mode = Mode::Discard { mid_line: false };
        }
        if at > 0 { Step::Skip { used: at } } else { Step::More }
    }
}

impl Scan {
    /// Looks at one complete line; returns the block's end when the line decides it.
    fn take_line(
        &mut self,
        input: &[u8],
        line: &[u8],
        start: usize,
        next: usize,
        own_variables: &OwnVariables,
    ) -> Option<End> {
        if self.head == Head::Follows {
            if !line.ends_with(b"--END COMMAND--") {
                return None;
            }
            // From here on an empty line ends the block, as in any other.
            self.head = Head::Response;
            return None;
        }
        match line.first() {
            // `OriginateResponse` and others have a header `Response` of their own.
            Some(b'R' | b'r') if self.head.is_event() => {}
            Some(b'E' | b'e' | b'R' | b'r') if is_head(line) => {
                if self.head != Head::Open {
                    return Some(End::Glued { next: start });
                }
                self.head = Head::of(line);
            }
            Some(b'P' | b'p') if starts_with(line, b"Privilege:") => {
                self.privileges = self.privileges.saturating_add(1);
                // A second one: the line before is the cut end of one event and the head of another.
                if self.privileges > 1 && self.head != Head::Open {
                    let line = &input[self.previous..start];
                    let at =
                        memmem::rfind(line, b"Event: ").or_else(|| memmem::rfind(line, b"Response: "))?;
                    return Some(End::Glued { next: self.previous + at });
                }
            }
            Some(b'V' | b'v') if self.head == Head::VarSet && starts_with(line, b"Variable:") => {
                // Of two it is the event's business which one counts.
                self.variable |=
                    interest::wants_variable(line[b"Variable:".len()..].trim_ascii(), &own_variables.0);
            }
            Some(b'T' | b't') if starts_with(line, b"Timestamp:") => self.timed = true,
            Some(b'A' | b'a') if self.lines == 0 && is_banner(line) => {
                self.lines = 1;
                return Some(End::Whole { block: start + line.len(), next });
            }
            _ => {}
        }
        None
    }
}

impl Head {
    fn is_event(self) -> bool {
        match self {
            Self::Wanted | Self::Unwanted | Self::VarSet => true,
            Self::Open | Self::Response | Self::Follows => false,
        }
    }

    /// The meaning of a line for which [`is_head`] holds.
    fn of(line: &[u8]) -> Self {
        let colon = memchr(b':', line).unwrap_or(line.len());
        let value = line[colon..].strip_prefix(b":").unwrap_or_default().trim_ascii();
        if line[0].eq_ignore_ascii_case(&b'R') {
            return if value.eq_ignore_ascii_case(b"Follows") { Self::Follows } else { Self::Response };
        }
        match value {
            b"VarSet" => Self::VarSet,
            name if interest::wants_event(name) => Self::Wanted,
            _ => Self::Unwanted,
        }
    }
}

impl<'b> Frame<'b> {
    /// The value of the first header named `key` (any case), without blanks around it.
    pub fn header(&self, key: &str) -> Option<&'b [u8]> {
        self.headers().find(|(k, _)| k.eq_ignore_ascii_case(key.as_bytes())).map(|(_, value)| value)
    }

    /// All headers in order: key and value, the value without blanks around it. Lines without a
    /// colon are left out.
    pub fn headers(&self) -> Headers<'b> {
        Headers { rest: self.block }
    }
}

/// Iterator over the headers of a block.
#[derive(Clone, Debug)]
pub struct Headers<'b> {
    rest: &'b [u8],
}

impl<'b> Iterator for Headers<'b> {
    type Item = (&'b [u8], &'b [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = memchr(b'\n', self.rest).unwrap_or(self.rest.len());
            let line = &self.rest[..end];
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if let Some(colon) = line.iter().position(|b| *b == b':') {
                return Some((&line[..colon], line[colon + 1..].trim_ascii()));
            }
        }
        None
    }
}

/// How many bytes of empty lines stand at the front, if any do.
fn blank(input: &[u8]) -> Option<usize> {
    match input {
        [b'\r', b'\n', ..] => Some(2),
        [b'\n', ..] => Some(1),
        _ => None,
    }
}

/// Whether a line opens a block.
#[inline]
fn is_head(line: &[u8]) -> bool {
    starts_with(line, b"Event:") || starts_with(line, b"Response:")
}

/// `Asterisk Call Manager/11.0.0`; proxies and forks put other words around `Call Manager`.
fn is_banner(line: &[u8]) -> bool {
    starts_with(line, b"Asterisk Call Manager")
}

#[inline]
fn starts_with(line: &[u8], key: &[u8]) -> bool {
    line.len() >= key.len() && line[..key.len()].eq_ignore_ascii_case(key)
}

#[cfg(test)]
mod tests;
