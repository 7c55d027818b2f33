//! What is not needed now is given back.

use std::fs;
use std::ops::Range;
use std::time::Duration;

use tracing::debug;

/// A thousand pages come back in less than a millisecond.
const EVERY: Duration = Duration::from_secs(10);

/// Gives back again and again what was needed for a moment only: the start, a request, a recovery.
pub async fn keep_small() {
    loop {
        trim();
        tokio::time::sleep(EVERY).await;
    }
}

/// Unmaps the program's code: what runs from here on is mapped again page by page, from the system's cache. Some
/// megabytes of a daemon that runs for months are needed at its start, or once a day. Where it cannot be done
/// nothing changes.
fn trim() {
    let Ok(program) = std::env::current_exe() else { return };
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    for range in code_of(&maps, &program.to_string_lossy()) {
        if let Err(error) = unmap(&range) {
            debug!(%error, "the start's code stays mapped");
        }
    }
}

/// The addresses of the program's code: `55d0a000-55d1b000 r-xp 00001000 fd:00 42   /usr/bin/program`. Everything
/// else of it may have been written to when it was loaded.
fn code_of(maps: &str, program: &str) -> Vec<Range<usize>> {
    let range = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (addresses, rights) = (words.next()?, words.next()?);
        if rights != "r-xp" || !line.trim_end().ends_with(program) {
            return None;
        }
        let (from, to) = addresses.split_once('-')?;
        Some(usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?)
    };
    maps.lines().filter_map(range).collect()
}

#[expect(unsafe_code, reason = "madvise(2) has no safe form in std")]
fn unmap(range: &Range<usize>) -> std::io::Result<()> {
    let start = std::ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: the range is a private mapping of a file that is neither written to nor truncated while it runs; its
    // pages are clean, and come back from the file when they are touched.
    match unsafe { libc::madvise(start, range.len(), libc::MADV_DONTNEED) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_is_taken() {
        let maps = "1000-2000 r--p 00000000 fd:00 42 /usr/bin/a\n2000-5000 r-xp 00001000 fd:00 42 /usr/bin/a\n\
                    5000-6000 rw-p 00004000 fd:00 42 /usr/bin/a\n7000-8000 r-xp 00000000 fd:00 7 /usr/lib/libc.so.6\n\
                    9000-a000 r-xp 00000000 00:00 0 [vdso]\n";
        let code = 0x2000..0x5000;
        assert_eq!(code_of(maps, "/usr/bin/a"), [code]);
    }

    #[test]
    fn the_program_runs_on_without_its_start() {
        // Of the program's code alone: other threads take memory meanwhile.
        let resident = || -> usize {
            let program = std::env::current_exe().expect("it has a path");
            let maps = fs::read_to_string("/proc/self/smaps").expect("Linux tells");
            let is_code = |line: &str| !code_of(line, &program.to_string_lossy()).is_empty();
            let mut code = maps.lines().skip_while(|line| !is_code(line));
            let resident = code.find_map(|line| line.strip_prefix("Rss:")).expect("a mapping has a size");
            resident.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        let before = resident();
        trim();
        let after = resident();
        assert!(after < before, "{before} kB before, {after} kB after");
    }
}
