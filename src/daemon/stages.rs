//! The stages of a shutdown under one deadline.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use anyhow::anyhow;
use tracing::warn;

use crate::clock;
use crate::time::MonoTime;

/// Each stage may use the time up to its quarter of the whole, what earlier ones left over included.
#[derive(Clone, Copy, Debug)]
pub struct Stages {
    start: MonoTime,
    limit: Duration,
}

/// How often a stage that is not done is told.
const TELL_EVERY: Duration = Duration::from_secs(3);

impl Stages {
    /// The deadline counts from here.
    pub fn new(limit: Duration) -> Self {
        Self { start: clock::mono(), limit }
    }

    /// Waits for `work` until `quarters` of the whole time are over, saying every few seconds what
    /// is waited for.
    ///
    /// # Errors
    /// When it is not done by then. Later stages take their turn all the same.
    pub async fn run<F: Future>(&self, what: &str, quarters: u32, work: F) -> anyhow::Result<F::Output> {
        let mut work = pin!(work);
        let end = self.start.after(self.limit * quarters / 4);
        loop {
            let now = clock::mono();
            let next = now.after(TELL_EVERY).min(end);
            tokio::select! {
                biased;
                output = &mut work => return Ok(output),
                () = clock::sleep_until(Some(next)) => {}
            }
            if next >= end {
                return Err(anyhow!("waited in vain for {what}"));
            }
            let waited_s = next.since(self.start).as_secs();
            warn!(waited_s, "still waiting for {what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_is_done_costs_no_time() {
        let start = clock::mono();
        let output = Stages::new(Duration::from_secs(20)).run("x", 1, async { 7 }).await.unwrap();
        assert_eq!((output, clock::mono()), (7, start));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_hangs_leaves_time_for_the_next() {
        let start = clock::mono();
        let stages = Stages::new(Duration::from_secs(20));
        let hangs = stages.run("the intake", 2, std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(hangs.to_string(), "waited in vain for the intake");
        assert!(clock::mono().since(start).as_secs() <= 10);
        let three_seconds = tokio::time::sleep(Duration::from_secs(3));
        assert!(stages.run("the courier", 3, three_seconds).await.is_ok());
        assert!(stages.run("the store", 4, std::future::pending::<()>()).await.is_err());
        assert!(clock::mono().since(start).as_secs() <= 20);
    }
}
