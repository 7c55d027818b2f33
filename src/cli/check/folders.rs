//! Whether the folders of recordings can be read: calls go without links where they cannot.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::amo::settings::Settings;
use crate::cli::check::account;
use crate::config::Config;
use crate::config::check::{Finding, Grade};
use crate::ops::words::Language;

/// Longest look into one folder: a server that is gone answers never, and nobody can end the look.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Looks into each folder that calls may have a sound in.
pub(super) fn look(config: &Config, language: Language) -> Vec<Finding> {
    let accounts = config.policy.all_accounts();
    accounts
        .flat_map(|amo| roots(amo, config).into_iter().map(|(key, root)| look_at(amo, key, root, language)))
        .collect()
}

/// The folders of an account; where each PBX has its own, each of them.
fn roots(amo: &Settings, config: &Config) -> Vec<(&'static str, PathBuf)> {
    const PBX: &str = "{pbx}";
    let named = [("recording-root", &amo.recording_root), ("voicemail-root", &amo.voicemail_root)];
    let named = named.into_iter().filter_map(|(key, root)| Some((key, root.as_ref()?)));
    let of = |(key, root): (&'static str, &PathBuf)| -> Vec<(&'static str, PathBuf)> {
        match root.to_str().filter(|text| text.contains(PBX)) {
            None => vec![(key, root.clone())],
            Some(text) => {
                let pbxs = config.setup.pbxs.iter();
                pbxs.map(|pbx| (key, PathBuf::from(text.replace(PBX, pbx.name.as_str())))).collect()
            }
        }
    };
    named.flat_map(of).collect()
}

fn look_at(amo: &Settings, key: &str, root: PathBuf, language: Language) -> Finding {
    let place = account::place(amo);
    let shown = root.display().to_string();
    let (sender, receiver) = mpsc::sync_channel(1);
    let looking = thread::Builder::new().spawn(move || drop(sender.send(first(&root))));
    let seen = match looking {
        Ok(_) => {
            receiver.recv_timeout(LOOK_MAX).unwrap_or_else(|_| Err("no answer from its disk".to_owned()))
        }
        Err(error) => Err(error.to_string()),
    };
    match seen {
        Ok(()) => {
            let text =
                language.pick(format!("{key} {shown} can be read"), format!("{key} {shown}: читается"));
            Finding { grade: Grade::Ok, place, text, advice: String::new() }
        }
        Err(words) => {
            let text = language.pick(
                format!("{key} {shown} cannot be read: {words}"),
                format!("{key} {shown}: не читается: {words}"),
            );
            let advice = language.pick(
                "calls go without links: let ami2amo's user read it, `usermod -aG asterisk ami2amo`, or mend the path",
                "звонки уходят без ссылок: дайте пользователю ami2amo читать, `usermod -aG asterisk ami2amo`, или \
                 исправьте путь",
            );
            Finding { grade: Grade::Warn, place, text, advice: advice.to_owned() }
        }
    }
}

/// Whether the folder's list can be had, and what is first in it.
fn first(root: &Path) -> Result<(), String> {
    let mut entries = fs::read_dir(root).map_err(|error| error.to_string())?;
    match entries.next() {
        None => Ok(()),
        Some(entry) => entry.and_then(|entry| entry.metadata()).map(drop).map_err(|error| error.to_string()),
    }
}
