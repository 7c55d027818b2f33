//! What of `ami2amo check` is asked over networks: every PBX and every account at the same time, each within
//! its own limit, so that a dead one holds nobody up.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Builder;

use crate::ami::connection::is_loopback;
use crate::cli::check::account::{self, Seen};
use crate::cli::check::pbx::{self, manager_conf};
use crate::config::check::{Finding, Grade};
use crate::config::{Config, Pbx};
use crate::ops::words::Language;

/// How the look is to be.
pub(super) struct Manner<'a> {
    /// How long is listened for events.
    pub listen: Duration,
    /// The PBX's manager.conf, where it was named.
    pub manager_conf: Option<&'a Path>,
    pub language: Language,
}

/// Asks every PBX and every account.
///
/// # Errors
/// When the system has no event queue to give.
pub(super) fn look(config: &Config, manner: &Manner<'_>) -> anyhow::Result<Vec<Finding>> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let (pbxs, accounts) = runtime.block_on(async {
        let pbxs = config.setup.pbxs.iter().map(|pbx| look_at(pbx, manner));
        let accounts = config.policy.all_accounts();
        let accounts = accounts.map(|amo| account::look(amo, &config.setup.store_dir, manner.language));
        tokio::join!(all(pbxs), all(accounts))
    });
    // A name that is still looked up is waited for by a thread that nobody can end.
    runtime.shutdown_background();
    let mut findings = Vec::new();
    let mut extensions = BTreeSet::new();
    for pbx in pbxs {
        findings.extend(pbx.findings);
        extensions.extend(pbx.extensions);
    }
    for mut account in accounts {
        let account: &mut Seen<'_> = &mut account;
        account.compare(&extensions);
        findings.append(&mut account.findings);
    }
    Ok(findings)
}

async fn look_at(pbx: &Pbx, manner: &Manner<'_>) -> pbx::Looked {
    let username = &pbx.connection.session.username;
    let is_here = pbx.connection.host == "localhost" || pbx.connection.host.parse().is_ok_and(is_loopback);
    let file = match manner.manager_conf {
        Some(path) => {
            manager_conf::read(path, username).map_err(|error| format!("{}: {error}", path.display()))
        }
        None if is_here => {
            manager_conf::read(Path::new(manager_conf::PATH), username).map_err(|_| String::new())
        }
        None => Err(String::new()),
    };
    let mut looked = pbx::look(pbx, manner.listen, file.as_ref().ok(), manner.language).await;
    if let Err(text) = file
        && !text.is_empty()
    {
        let place = "--manager-conf".to_owned();
        looked.findings.push(Finding { grade: Grade::Warn, place, text, advice: String::new() });
    }
    looked
}

/// Waits for all of them, one beside the other.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, output) in waiting.iter_mut().zip(&mut done) {
            if output.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *output = Some(ready);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
