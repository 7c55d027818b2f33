//! What is not needed now is given back.

use std::fs;
use std::ops::Range;
use std::time::Duration;

use tracing::debug;

use crate::time::MonoTime;

/// A thousand pages come back in less than a millisecond.
const EVERY: Duration = Duration::from_secs(10);

/// What of the program is as it is in its file, to be unmapped: some megabytes of a daemon that runs for months are needed
/// at its start, or for a request, a recovery, a look at itself; of a replay, before its first event.
#[derive(Debug)]
pub struct Unwritten {
    program: Vec<Range<usize>>,
    trimmed: Option<MonoTime>,
}

impl Unwritten {
    /// The loader mapped and wrote what it will before the program's first step, so this stays true.
    pub fn find() -> Self {
        Self { program: as_in_its_file(), trimmed: None }
    }

    /// Unmaps it: where much goes on every ten seconds at most, else at once.
    pub fn trim(&mut self, is_busy: bool, now: MonoTime) {
        if is_busy && self.trimmed.is_some_and(|trimmed| now.since(trimmed) < EVERY) {
            return;
        }
        self.program.iter().for_each(trim);
        self.trimmed = Some(now);
    }
}

/// Unmaps code or constants of the program: what is used from here on is mapped again page by page, from the system's
/// cache. Where it cannot be done nothing changes.
fn trim(range: &Range<usize>) {
    if let Err(error) = unmap(range) {
        debug!(%error, "what the start needed stays mapped");
    }
}

/// The addresses of what of the program is as it is in its file. Nothing, where the system does not tell.
fn as_in_its_file() -> Vec<Range<usize>> {
    let Ok(program) = std::env::current_exe() else { return vec![] };
    fs::read_to_string("/proc/self/smaps")
        .map_or(vec![], |smaps| unwritten(&smaps, &program.to_string_lossy()))
}

/// The mappings of `program` that may not be written and were not: none of their pages is a copy, in memory or in swap,
/// as the loader makes one where it writes addresses before it takes the right away (`proc_pid_smaps(5)`).
fn unwritten(smaps: &str, program: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut lines = smaps.lines().peekable();
    while let Some(line) = lines.next() {
        let (mut resident, mut copied, mut swapped) = (None, None, None);
        while let Some(field) = lines.next_if(|line| is_field(line)) {
            resident = resident.or(field.strip_prefix("Rss:"));
            copied = copied.or(field.strip_prefix("Anonymous:"));
            swapped = swapped.or(field.strip_prefix("Swap:"));
        }
        // An emulator may say so of everything; of what runs, it is not true.
        let is_told = resident.is_some_and(|size| size.trim() != "0 kB");
        let is_none = |size: Option<&str>| size.is_some_and(|size| size.trim() == "0 kB");
        if is_told && is_none(copied) && is_none(swapped) {
            found.extend(read_only(line, program));
        }
    }
    found
}

/// `Rss:   8 kB`, of the mapping whose line stands before.
fn is_field(line: &str) -> bool {
    line.split_ascii_whitespace().next().is_some_and(|word| word.ends_with(':'))
}

/// The addresses of a private mapping of `program` that may not be written:
/// `55d0a000-55d1b000 r-xp 00001000 fd:00 42   /usr/bin/program`.
fn read_only(line: &str, program: &str) -> Option<Range<usize>> {
    let mut words = line.split_ascii_whitespace();
    let (addresses, rights) = (words.next()?, words.next()?);
    if !matches!(rights, "r--p" | "r-xp") || !line.trim_end().ends_with(program) {
        return None;
    }
    let (from, to) = addresses.split_once('-')?;
    Some(usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?)
}

#[expect(unsafe_code, reason = "madvise(2) has no safe form in std")]
fn unmap(range: &Range<usize>) -> std::io::Result<()> {
    let start = std::ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: the range is a private mapping of the program's file, mapped before its first step, that may not be written
    // and was not; its pages come back from the file when they are touched.
    match unsafe { libc::madvise(start, range.len(), libc::MADV_DONTNEED) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn mapping(line: &str, own_pages: usize, swapped: usize) -> String {
        format!(
            "{line}\nRss:  8 kB\nAnonymous:  {own_pages} kB\nSwap:  {swapped} kB\nSwapPss:  0 kB\nVmFlags: rd mr mw me\n"
        )
    }

    #[test]
    fn only_what_is_as_in_the_programs_file_is_taken() {
        let taken = [
            mapping("1000-2000 r--p 00000000 fd:00 42 /usr/bin/a", 0, 0),
            mapping("2000-5000 r-xp 00001000 fd:00 42 /usr/bin/a", 0, 0),
        ];
        assert_eq!(unwritten(&taken.concat(), "/usr/bin/a"), [0x1000..0x2000, 0x2000..0x5000]);
        let left = [
            // The loader wrote addresses into it; the second one was swapped out since.
            mapping("3000-4000 r--p 00002000 fd:00 42 /usr/bin/a", 4, 0),
            mapping("3000-4000 r--p 00002000 fd:00 42 /usr/bin/a", 0, 4),
            mapping("5000-6000 rw-p 00004000 fd:00 42 /usr/bin/a", 0, 0),
            // A library may still be loaded by another thread.
            mapping("7000-8000 r-xp 00000000 fd:00 7 /usr/lib/libc.so.6", 0, 0),
            mapping("8000-9000 rw-p 00000000 00:00 0", 0, 0),
            mapping("9000-a000 r-xp 00000000 00:00 0 [vdso]", 0, 0),
            // Systems that do not tell.
            "a000-b000 r-xp 00001000 fd:00 42 /usr/bin/a\nRss:  8 kB\n".to_owned(),
            mapping("b000-c000 r--p 00002000 fd:00 42 /usr/bin/a", 0, 0).replace("8 kB", "0 kB"),
        ];
        assert_eq!(unwritten(&left.concat(), "/usr/bin/a"), []);
    }

    #[test]
    fn the_program_runs_on_without_its_start() {
        let mut unwritten = Unwritten::find();
        let program = unwritten.program.clone();
        // Of these alone: other threads take memory meanwhile.
        let resident = || -> usize {
            let smaps = fs::read_to_string("/proc/self/smaps").expect("Linux tells");
            let of_one = |range: &Range<usize>| -> usize {
                let head = format!("{:x}-{:x} ", range.start, range.end);
                let mut lines = smaps.lines().skip_while(|line| !line.starts_with(&head));
                let size = lines.find_map(|line| line.strip_prefix("Rss:")).expect("a mapping has a size");
                size.trim().trim_end_matches(" kB").parse().expect("a number")
            };
            program.iter().map(of_one).sum()
        };
        assert!(!program.is_empty(), "Linux tells");
        let before = resident();
        unwritten.trim(false, clock::mono());
        let after = resident();
        assert!(after < before, "{before} kB before, {after} kB after");
    }
}
