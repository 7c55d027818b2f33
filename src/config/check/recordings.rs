//! Where the sounds of calls are: the keys of an account that go together.

use std::path::Path;

use crate::amo::settings::Settings as Amo;
use crate::config::check::{Report, is_absolute};
use crate::config::surroundings::{Folder, Surroundings};

pub(super) fn table(place: &str, amo: &Amo, surroundings: &impl Surroundings, report: &mut Report) {
    let pairs = [
        ("recording-root", &amo.recording_root, "recording-url", amo.recording_url.is_some()),
        ("voicemail-root", &amo.voicemail_root, "voicemail-url", amo.voicemail_url.is_some()),
    ];
    for (key, root, url, has_url) in pairs {
        let Some(root) = root else { continue };
        if !has_url {
            let advice = format!("add {url}: it is the address under which what lies there is heard");
            report.fail(place, format!("{key} is set, and {url} is not"), advice);
        }
        folder(place, key, root, surroundings, report);
    }
    if amo.recording_search.is_some() && amo.recording_root.is_none() {
        let advice = "add recording-root: the folder below which is searched";
        report.fail(place, "recording-search is set, and recording-root is not", advice);
    }
}

fn folder(place: &str, key: &str, root: &Path, surroundings: &impl Surroundings, report: &mut Report) {
    if !is_absolute(place, key, root, report) {
        return;
    }
    // The folder of each PBX has a name of its own.
    if root.to_str().is_none_or(|text| text.contains('{')) {
        let is_known = root.to_str().is_some_and(|text| !text.replace("{pbx}", "").contains(['{', '}']));
        if !is_known {
            let text = format!("{key} {}: there is no such place", root.display());
            report.fail(place, text, "only {pbx} can stand in it");
        }
        return;
    }
    match surroundings.folder(root) {
        // It is only read.
        Folder::Writable | Folder::Forbidden | Folder::ReadOnly => {}
        Folder::Makeable => {
            let text = format!("{key} {} is not there", root.display());
            let advice = "calls are posted without links until it is: mount it, or mend the path";
            report.warn(place, text, advice);
        }
        Folder::NotAFolder | Folder::Kernels => {
            report.fail(place, format!("{key} {} is no folder", root.display()), "mend the path");
        }
    }
}
