//! After a panic of the core: see `guard`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::error;

use crate::clock;
use crate::intake::revive;
use crate::intake::task::Intake;
use crate::intake::task::guard::{self, Kept, Poison};
use crate::time::MonoTime;

/// Longest wait for the disk here; the PBX's socket is closed meanwhile.
const DISK_WAIT: Duration = Duration::from_secs(10);

/// At the end the core may panic over so many calls.
const PANICS_MAX: usize = 100;

impl Intake {
    /// Waits until then; what the core breaks meanwhile is mended at once, for calls still come to their end.
    pub(super) async fn pause(&mut self, until: MonoTime) -> Option<()> {
        loop {
            let panicked = self.guard.news();
            let is_over = self.meanwhile(async move {
                tokio::select! {
                    () = clock::sleep_until(Some(until)) => true,
                    () = panicked.notified() => false,
                }
            });
            let is_over = is_over.await?;
            if let Some(poison) = self.guard.take() {
                self.mend(poison).await;
            }
            if is_over || self.failed.is_some() {
                return self.failed.is_none().then_some(());
            }
        }
    }

    /// Ends the calls in progress as they are. One over which the core panics is lost, and no other.
    pub(super) fn close_all(&mut self) {
        let Self { guard, reader, out, .. } = self;
        guard.run(&[], || reader.finish());
        for _ in 0..PANICS_MAX {
            guard.run(&[], || out.collect(reader));
            let Some(poison) = guard.take() else { return };
            error!(channels = ?reader.working_on(), "call lost: the core panicked over its end ({})", poison.words);
        }
    }

    /// Makes the reader anew without the call that was being worked on. What is lost is named.
    pub(super) async fn mend(&mut self, poison: Poison) {
        let mut channels: BTreeSet<String> = guard::named(&poison.block);
        channels.extend(self.reader.working_on());
        let (rest, gone) = guard::without(self.kept().await, &channels);
        self.out.forget(gone.iter().map(|(key, _)| key.clone()));
        let policy = Arc::clone(&self.way.policy.borrow());
        self.reader = revive::reader(&self.pbx, &policy, &rest);
        self.reader.bury(channels.iter().map(String::as_str));
        let words = poison.words.clone();
        let file = match self.keep_poison(poison, gone).await {
            Ok(file) => file,
            Err(error) => format!("none: {error}"),
        };
        error!(
            ?channels,
            file,
            "the core panicked ({words}): the call of these channels is lost, the others go on; please report it with the file"
        );
        if self.guard.is_again(clock::mono()) {
            self.failed = Some(format!("the core panicked twice within a minute, the last time: {words}"));
        }
    }

    async fn kept(&mut self) -> Kept {
        let kept = tokio::time::timeout(DISK_WAIT, self.out.kept()).await;
        let kept = kept.unwrap_or_else(|_| Err("the store does not answer".to_owned()));
        kept.unwrap_or_else(|error| {
            error!(error, "calls in progress are lost: they cannot be read from the store after a panic");
            Kept::new()
        })
    }

    async fn keep_poison(&mut self, poison: Poison, gone: Kept) -> Result<String, String> {
        let (dir, pbx, at) = (self.guard.dir(), self.pbx.clone(), clock::host());
        let writing = tokio::task::spawn_blocking(move || guard::write(&dir, &pbx, at, &poison, &gone));
        let written = tokio::time::timeout(DISK_WAIT, writing).await;
        let written = written.map_err(|_| "the disk does not answer".to_owned())?;
        let path = written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        Ok(path.display().to_string())
    }
}
