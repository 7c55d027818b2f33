//! What must hold of any bytes that come from outside: one function a fuzz target, each of which panics
//! where something does not hold.
//!
//! The crate compiles this for its own tests, which try the corpus, and for `cargo fuzz`
//! (`cfg(fuzzing)`); no build that is shipped has it. `docs/fuzzing.md` says how they are run.

#[path = "checks/amo_answers.rs"]
mod amo_answers;
#[path = "checks/calls.rs"]
mod calls;
#[path = "checks/config.rs"]
mod config;
#[path = "checks/event.rs"]
mod event;
#[path = "checks/journal.rs"]
mod journal;
#[path = "checks/replay.rs"]
mod replay;
#[path = "checks/script.rs"]
mod script;
#[cfg(test)]
#[path = "checks/seeds.rs"]
mod seeds;
#[path = "checks/stored.rs"]
mod stored;
#[path = "checks/wire.rs"]
mod wire;

/// A fuzz target: its name, which is that of its folder in the corpus, and what it checks.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    pub check: fn(&[u8]),
}

pub const TARGETS: [Target; 7] = [
    Target { name: "wire", check: wire::check },
    Target { name: "event", check: event::check },
    Target { name: "replay", check: replay::check },
    Target { name: "config", check: config::check },
    Target { name: "amo_answers", check: amo_answers::check },
    Target { name: "stored", check: stored::check },
    Target { name: "journal", check: journal::check },
];

/// Checks one input of the target `name`.
pub fn check(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of that name");
    (target.check)(data);
}

/// Where the inputs of a target lie.
#[cfg(test)]
fn corpus(target: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn inputs(target: Target) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = fs::read_dir(corpus(target.name)).expect("every target has a corpus");
        let mut paths: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
        paths.sort_unstable();
        paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    #[test]
    fn every_input_of_the_corpus_passes() {
        for target in TARGETS {
            let inputs = inputs(target);
            assert!(inputs.len() >= 8, "{}: {} inputs", target.name, inputs.len());
            for (path, data) in inputs {
                println!("{}", path.display()); // shown when the check fails
                (target.check)(&data);
            }
        }
    }

    #[test]
    fn the_corpus_is_small() {
        let sizes = TARGETS.iter().flat_map(|target| inputs(*target)).map(|(_, data)| data.len());
        let bytes: usize = sizes.sum();
        assert!(bytes < 1_500_000, "{bytes} bytes");
    }
}
