//! What the PBX's own manager.conf says of a user, where it lies on this host and may be read: the only place that
//! tells `writetimeout`, and the rights of a user while nothing happens.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The section of a user, as far as it matters here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::cli::check) struct User {
    /// The file that it was read from.
    pub path: PathBuf,
    /// There is a section of this name.
    pub is_there: bool,
    pub read: Vec<String>,
    pub write: Vec<String>,
    /// In milliseconds.
    pub write_timeout: u64,
    pub timestamps: bool,
}

/// Where Asterisk has it unless it was built otherwise.
pub(in crate::cli::check) const PATH: &str = "/etc/asterisk/manager.conf";

/// What Asterisk takes where nothing is said, in milliseconds.
const WRITE_TIMEOUT: u64 = 100;
/// Files that include one another deeper than this are a circle.
const DEPTH_MAX: usize = 8;
/// More of a file is not read.
const FILE_MAX: u64 = 1 << 20;

type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// Reads the section of `username`.
///
/// # Errors
/// When the file cannot be read; a file that it includes may be missing.
pub(in crate::cli::check) fn read(path: &Path, username: &str) -> io::Result<User> {
    let mut sections = Sections::new();
    let mut section = String::new();
    take(&text(path)?, path, &mut section, &mut sections, 0);
    let none = BTreeMap::new();
    let general = sections.get("general").unwrap_or(&none);
    let user = sections.get(username);
    let value = |key: &str| user.and_then(|user| user.get(key)).or_else(|| general.get(key));
    let list = |key: &str| -> Vec<String> {
        let words = value(key).into_iter().flat_map(|value| value.split(','));
        words.map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
    };
    Ok(User {
        path: path.to_owned(),
        is_there: user.is_some(),
        read: list("read"),
        write: list("write"),
        write_timeout: value("writetimeout").and_then(|text| text.parse().ok()).unwrap_or(WRITE_TIMEOUT),
        timestamps: general.get("timestampevents").is_some_and(|word| is_yes(word)),
    })
}

fn take(text: &str, path: &Path, section: &mut String, sections: &mut Sections, depth: usize) {
    for line in text.lines() {
        let line = line.split(';').next().unwrap_or_default().trim();
        if let Some(included) = line.strip_prefix("#include").or_else(|| line.strip_prefix("#tryinclude")) {
            if depth < DEPTH_MAX {
                include(included.trim().trim_matches(['"', '<', '>']), path, section, sections, depth);
            }
        } else if let Some((name, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            name.trim().clone_into(section);
            let templates = rest.trim().trim_matches(['(', ')']).split(',').map(str::trim);
            let taken: Vec<_> = templates.filter_map(|template| sections.get(template).cloned()).collect();
            sections.entry(section.clone()).or_default().extend(taken.into_iter().flatten());
        } else if let Some((key, value)) = line.split_once('=') {
            let keys = sections.entry(section.clone()).or_default();
            let value = value.strip_prefix('>').unwrap_or(value).trim();
            keys.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
}

/// Takes in the files that a line names; there may be one `*` in a name's last part.
fn include(named: &str, from: &Path, section: &mut String, sections: &mut Sections, depth: usize) {
    let folder = from.parent().unwrap_or(Path::new("/"));
    let path = folder.join(named);
    let mut files = match path.file_name().and_then(|name| name.to_str()?.split_once('*')) {
        None => vec![path.clone()],
        Some((head, tail)) => {
            let entries = path.parent().and_then(|folder| fs::read_dir(folder).ok());
            let paths = entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
            let fits = |path: &PathBuf| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
            };
            paths.filter(fits).collect()
        }
    };
    files.sort();
    for file in files {
        if let Ok(text) = text(&file) {
            take(&text, &file, section, sections, depth + 1);
        }
    }
}

fn text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// As Asterisk reads it.
fn is_yes(word: &str) -> bool {
    ["yes", "true", "y", "t", "1", "on"].iter().any(|yes| word.eq_ignore_ascii_case(yes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_from_included_files_and_templates() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        fs::create_dir(dir.path().join("manager.d")).unwrap();
        write(
            "manager.conf",
            "[general]\nenabled = yes ; as it should be\nwritetimeout=300\n[basic](!)\nread = system,call\n\
             #include manager_custom.conf\n#tryinclude \"manager.d/*.conf\"\n#include none.conf\n",
        );
        write("manager_custom.conf", "[general](+)\ntimestampevents => yes\n");
        write("manager.d/a.conf", "[ami2amo](basic)\nsecret = x\nwrite = reporting , config\n");
        write("manager.d/b.bak", "[ami2amo]\nread = all\n");
        let user = read(&dir.path().join("manager.conf"), "ami2amo").unwrap();
        assert_eq!((user.is_there, user.timestamps, user.write_timeout), (true, true, 300));
        assert_eq!(
            (user.read.join("+"), user.write.join("+")),
            ("system+call".to_owned(), "reporting+config".to_owned())
        );
        let other = read(&dir.path().join("manager.conf"), "other").unwrap();
        assert!(!other.is_there);
    }

    #[test]
    fn files_that_include_one_another_have_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manager.conf");
        fs::write(&path, "#include manager.conf\n[ami2amo]\nread = call\n").unwrap();
        let user = read(&path, "ami2amo").unwrap();
        assert_eq!((user.read, user.write_timeout, user.timestamps), (vec!["call".to_owned()], 100, false));
    }
}
