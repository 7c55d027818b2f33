//! The intakes' own thread: whatever HTTP, TLS or the store do, sockets to the PBXs are read.

use std::io;
use std::thread;

use anyhow::anyhow;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::intake::task::Intake;

/// The running thread.
#[derive(Debug)]
pub struct Crew {
    runtime: Handle,
    ended: oneshot::Receiver<Result<(), String>>,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Crew {
    /// Starts a thread that runs `intakes` until `stop`; `cut` ends their wait for the store.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn start(intakes: Vec<Intake>, stop: CancellationToken, cut: CancellationToken) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let handle = runtime.handle().clone();
        let (sender, ended) = oneshot::channel();
        let stop_all = stop.clone();
        thread::Builder::new().name("intake".to_owned()).spawn(move || {
            let outcome = work(&runtime, intakes, &stop_all);
            drop(sender.send(outcome)); // nobody listens when the process is ending already
        })?;
        Ok(Self { runtime: handle, ended, stop, cut })
    }

    /// The thread's runtime, to ask it for a sign of life.
    pub fn runtime(&self) -> Handle {
        self.runtime.clone()
    }

    /// Waits until every intake has ended. Cancel safe.
    ///
    /// # Errors
    /// When an intake panicked.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        match (&mut self.ended).await {
            Ok(outcome) => outcome.map_err(|words| anyhow!(words)),
            Err(_) => Err(anyhow!("the intake's thread is gone")),
        }
    }

    /// Stops the intakes and waits until they have handed over their calls. Dropped before its end,
    /// it lets them name what they still hold.
    ///
    /// # Errors
    /// When an intake panicked.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let _cut = self.cut.clone().drop_guard();
        self.stop.cancel();
        if self.ended.is_terminated() {
            return Ok(()); // it was told when it happened
        }
        self.ended().await
    }
}

/// Runs the intakes to their end. When one panics, the others stop in order: the process will end,
/// and their calls shall not be lost with it.
fn work(runtime: &Runtime, intakes: Vec<Intake>, stop: &CancellationToken) -> Result<(), String> {
    runtime.block_on(async {
        let mut outcome = Ok(());
        let mut tasks: JoinSet<Result<(), String>> = JoinSet::new();
        for intake in intakes {
            tasks.spawn(intake.run());
        }
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.unwrap_or_else(|panic| Err(panic.to_string()));
            if let Err(reason) = ended {
                error!(reason, "an intake failed: the others are stopped");
                outcome = Err(format!("an intake failed: {reason}"));
                stop.cancel();
            }
        }
        outcome
    })
}
