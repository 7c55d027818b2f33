//! Pure: finished calls that the store had no room for yet, in their order, bounded by bytes.

use std::collections::VecDeque;
use std::io;

use crate::call::record::FinishedCall;

/// Calls wait here while the disk is slow or full, each with its weight in bytes.
#[derive(Debug)]
pub struct Backlog {
    calls: VecDeque<(usize, FinishedCall)>,
    bytes: usize,
    limit: usize,
}

/// There was no room for the offered calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused;

/// Most bytes in a backlog. The intake never waits for a disk, so this bridges a slow one: 64 MiB
/// are about 15,000 calls, hours of a large PBX. At the cap the intake stops reading; nothing that
/// ended is thrown away while the process lives.
pub const BYTES_MAX: usize = 64 << 20;

/// Most calls in one offer: enough to fill a group commit, and short to take back when refused.
const OFFER_MAX: usize = 256;

impl Backlog {
    /// A backlog that is full at `limit` bytes, usually [`BYTES_MAX`].
    pub fn new(limit: usize) -> Self {
        Self { calls: VecDeque::new(), bytes: 0, limit }
    }

    /// Puts calls back that were taken out, before those that came since.
    pub fn put_back(&mut self, calls: Vec<FinishedCall>) {
        for call in calls.into_iter().rev() {
            let weight = weight(&call);
            self.bytes += weight;
            self.calls.push_front((weight, call));
        }
    }

    pub fn push(&mut self, call: FinishedCall) {
        let weight = weight(&call);
        self.bytes += weight;
        self.calls.push_back((weight, call));
    }

    /// Gives the oldest calls to `offer`, and whether they are the last ones; it returns those it has no
    /// room for: all or none.
    ///
    /// # Errors
    /// When they were refused; then they stand in front again.
    pub fn offer(
        &mut self,
        offer: impl FnOnce(Vec<FinishedCall>, bool) -> Result<(), Vec<FinishedCall>>,
    ) -> Result<(), Refused> {
        let (weights, calls): (Vec<_>, Vec<_>) = self.calls.drain(..self.calls.len().min(OFFER_MAX)).unzip();
        let Err(refused) = offer(calls, self.calls.is_empty()) else {
            self.bytes -= weights.iter().sum::<usize>();
            return Ok(());
        };
        weights.into_iter().zip(refused).rev().for_each(|call| self.calls.push_front(call));
        Err(Refused)
    }

    /// Takes out everything.
    pub fn take(&mut self) -> Vec<FinishedCall> {
        self.bytes = 0;
        self.calls.drain(..).map(|(_, call)| call).collect()
    }

    pub fn len(&self) -> usize {
        self.calls.len()
    }

    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.bytes >= self.limit
    }
}

/// Estimated bytes of a call in memory: its fixed part and its text, which the JSON form has too.
fn weight(call: &FinishedCall) -> usize {
    let mut text = Length(0);
    // Writing to a counter cannot fail; a record that cannot be written as JSON weighs what it wrote.
    let _ = serde_json::to_writer(&mut text, call);
    size_of::<FinishedCall>() + text.0
}

struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::task::tests::call;

    fn taken(backlog: &mut Backlog) -> Vec<String> {
        let mut ids = Vec::new();
        while !backlog.is_empty() {
            let take = |calls: Vec<FinishedCall>, _last: bool| {
                ids.extend(calls.iter().map(|call| call.record.call_id.to_string()));
                Ok(())
            };
            backlog.offer(take).unwrap();
        }
        ids
    }

    #[test]
    fn refused_calls_keep_their_order() {
        let mut backlog = Backlog::new(10_000);
        (1..=3).for_each(|n| backlog.push(call(n)));
        assert_eq!(backlog.offer(|calls, _| Err(calls)), Err(Refused));
        backlog.push(call(4));
        assert_eq!(taken(&mut backlog), ["t-1", "t-2", "t-3", "t-4"]);
    }

    #[test]
    fn calls_that_come_back_stand_before_those_that_came_since() {
        let mut backlog = Backlog::new(10_000);
        (1..=3).for_each(|n| backlog.push(call(n)));
        let bytes = backlog.bytes;
        let gone = backlog.take();
        backlog.push(call(4));
        backlog.put_back(gone);
        assert_eq!(backlog.bytes, bytes / 3 * 4);
        assert_eq!(taken(&mut backlog), ["t-1", "t-2", "t-3", "t-4"]);
        assert_eq!(backlog.bytes, 0);
    }

    #[test]
    fn an_empty_backlog_weighs_nothing() {
        let mut backlog = Backlog::new(10_000);
        (0..1000).for_each(|n| backlog.push(call(n)));
        assert_eq!(backlog.offer(|calls, _| Err(calls)), Err(Refused));
        assert_eq!(taken(&mut backlog).len(), 1000);
        assert_eq!(backlog.bytes, 0);
    }

    #[test]
    fn a_backlog_is_full_by_its_bytes() {
        let mut backlog = Backlog::new(10_000);
        let mut large = call(1);
        large.record.phone = Some("7".repeat(5_000));
        backlog.push(large.clone());
        assert!(!backlog.is_full());
        backlog.push(large);
        assert!(backlog.is_full());
    }
}
