//! Pure: bytes to frames that borrow.

/// Cuts a byte stream into frames.
#[derive(Debug, Default)]
pub struct Splitter {}

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

impl Splitter {
    pub fn next<'b>(&mut self, _input: &'b [u8]) -> Step<'b> {
        Step::More
    }
}

impl<'b> Frame<'b> {
    /// The value of the first header named `key` (any case), without blanks around it.
    pub fn header(&self, _key: &str) -> Option<&'b [u8]> {
        None
    }

    /// All headers in order: key and value, the value without blanks around it.
    pub fn headers(&self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> + use<'b> {
        std::iter::empty()
    }
}
