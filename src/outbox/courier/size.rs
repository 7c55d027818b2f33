//! Pure: how many calls a POST may hold at the moment.
//!
//! amoCRM gives up on batches that take it too long (504), and may have stored a part of one. So the
//! size is halved by each that went lost, and grows by half with each full one that was answered.

use crate::outbox::courier::Courier;
use crate::outbox::courier::effect::Posted;
use crate::outbox::policy::BATCH_MAX;

/// The size of the next batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Size(usize);

impl Size {
    pub const fn new() -> Self {
        Self(BATCH_MAX)
    }

    pub const fn get(self) -> usize {
        self.0
    }

    /// A batch of so many calls went lost. One call alone says nothing of the size.
    pub fn shrink(&mut self, calls: usize) {
        if calls > 1 {
            self.0 = self.0.min(calls / 2);
        }
    }

    /// A batch of so many calls was answered.
    pub fn grow(&mut self, calls: usize) {
        if calls >= self.0 {
            self.0 = (self.0 + (self.0 / 2).max(1)).min(BATCH_MAX);
        }
    }
}

impl Courier {
    pub(super) fn resize(&mut self, posted: &Posted, calls: usize) {
        match posted {
            Posted::Answered { status: 504, .. } | Posted::Lost(_) => self.size.shrink(calls),
            Posted::Answered { status: 200..=299, .. } => self.size.grow(calls),
            Posted::Answered { .. } | Posted::NotSent(_) | Posted::NoToken(_) | Posted::Quiet => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_halved_by_what_goes_lost_and_grows_back() {
        let mut size = Size::new();
        let mut sizes = Vec::new();
        for _ in 0..7 {
            size.shrink(size.get());
            sizes.push(size.get());
        }
        assert_eq!(sizes, [25, 12, 6, 3, 1, 1, 1]);
        sizes.clear();
        for _ in 0..11 {
            size.grow(size.get());
            sizes.push(size.get());
        }
        assert_eq!(sizes, [2, 3, 4, 6, 9, 13, 19, 28, 42, 50, 50]);
    }

    #[test]
    fn a_small_batch_says_nothing_of_large_ones() {
        let mut size = Size::new();
        size.shrink(20);
        size.grow(9);
        assert_eq!(size.get(), 10);
        size.shrink(1);
        assert_eq!(size.get(), 10, "it was alone");
        size.shrink(50);
        assert_eq!(size.get(), 10, "one that was sent before the size shrank");
    }
}
