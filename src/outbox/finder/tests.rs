use std::os::unix::fs::symlink;

use super::*;

fn folder(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "sound").unwrap();
    }
    dir
}

fn search(root: &Path, names: &[&str], patterns: &[&str]) -> Search {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Search { root: root.to_owned(), names: texts(names), patterns: texts(patterns) }
}

#[track_caller]
fn check(root: &Path, names: &[&str], patterns: &[&str], expected: Option<&str>) {
    assert_eq!(look(&search(root, names, patterns)).as_deref(), expected, "{names:?} {patterns:?}");
}

#[test]
fn a_file_is_found_by_its_name_and_by_what_became_of_it() {
    let dir = folder(&[
        "2026/11/22/in-1.wav",
        "2026/11/22/in-1.mp3",
        "out-2.1.WAV",
        "msg0000.gsm",
        "plain",
        "b.wav",
    ]);
    let root = dir.path();
    check(root, &["in-1.wav", "2026/11/22/in-1.wav"], &[], Some("2026/11/22/in-1.mp3"));
    check(root, &["out-2.1"], &[], Some("out-2.1.WAV"));
    check(root, &["msg0000"], &[], Some("msg0000.gsm"));
    check(root, &["plain"], &[], Some("plain"));
    check(root, &["b.gsm"], &[], Some("b.wav"));
    check(root, &["none.wav", "2026"], &["*/none"], None);
}

#[test]
fn nothing_outside_of_the_folder_is_found() {
    let outside = folder(&["secret.wav", "in/secret.wav"]);
    let dir = folder(&["real/a.wav"]);
    let root = dir.path();
    symlink(outside.path().join("secret.wav"), root.join("link.wav")).unwrap();
    symlink(outside.path().join("in"), root.join("folder")).unwrap();
    symlink(root.join("real/a.wav"), root.join("own.wav")).unwrap();
    check(root, &["link.wav"], &["l*"], None);
    check(root, &["folder/secret.wav"], &["folder/*", "f*/s*"], None);
    let up = format!("../{}/secret.wav", outside.path().file_name().unwrap().to_str().unwrap());
    check(root, &[&up], &[&up], None);
    check(root, &["own.wav"], &[], Some("real/a.wav"));
    // The folder itself may be reached over a link.
    let door = folder(&[]);
    symlink(root, door.path().join("monitor")).unwrap();
    check(&door.path().join("monitor"), &["real/a.wav"], &[], Some("real/a.wav"));
}

#[test]
fn an_empty_file_is_not_there_yet() {
    let dir = folder(&[]);
    fs::write(dir.path().join("a.wav"), "").unwrap();
    check(dir.path(), &["a.wav"], &["a*"], None);
}

#[test]
fn a_path_that_has_no_room_beside_its_call_is_not_found() {
    let folders = format!("{}/", "f".repeat(FILE_MAX - 200));
    let name = |length: usize| format!("{folders}{}.wav", "n".repeat(length - folders.len() - 4));
    let (longest, longer) = (name(FILE_MAX), name(FILE_MAX + 1));
    let dir = folder(&[&longest, &longer]);
    check(dir.path(), &[&longest], &[], Some(&longest));
    check(dir.path(), &[&longer], &[], None);
}

#[test]
fn a_pattern_finds_the_longest_that_fits() {
    let dir = folder(&[
        "2026/11/22/q-1795337591.4-part.wav",
        "2026/11/22/x-1795337591.41.wav",
        "2026/11/23/.1795337591.4",
    ]);
    fs::write(dir.path().join("2026/11/22/q-1795337591.4.wav"), "longer sound").unwrap();
    let root = dir.path();
    check(root, &[], &["2026/11/22/*-1795337591.4*.wav"], Some("2026/11/22/q-1795337591.4.wav"));
    check(root, &[], &["*/*/2?/*1795337591.4-*"], Some("2026/11/22/q-1795337591.4-part.wav"));
    check(root, &[], &["2026/11/23/*1795337591.4*"], None);
}

#[test]
fn it_is_known_when_a_pattern_leads_through_too_many_folders() {
    let files: Vec<String> = (0..=FOLDERS_MAX).map(|folder| format!("{folder}/a.wav")).collect();
    let dir = folder(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let matched = |pattern: &str| {
        let (paths, is_cut) = matching(dir.path(), pattern, &mut Lists::default());
        (paths.len(), is_cut)
    };
    assert_eq!(matched("*/a.wav"), (FOLDERS_MAX, true));
    assert_eq!(matched("?/a.wav"), (10, false));
}

#[test]
fn stars_and_question_marks_stand_for_signs() {
    for (pattern, name, expected) in [
        ("*", "", true),
        ("a*c", "abbc", true),
        ("a*c", "abcd", false),
        ("*1.4*", "x-1.41.wav", true),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("**a", "ba", true),
        ("", "a", false),
        ("*a*b*a", "abba", true),
    ] {
        assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
    }
}

#[tokio::test]
async fn the_thread_answers_in_the_order_of_the_searches() {
    let dir = folder(&["a.wav", "c.wav"]);
    let finder = Finder::default();
    let searches = ["a.wav", "b.wav", "c.wav"].map(|name| search(dir.path(), &[name], &[]));
    for _ in 0..3 {
        let found = finder.find(searches.to_vec()).await;
        assert_eq!(found, [Some("a.wav".to_owned()), None, Some("c.wav".to_owned())]);
    }
    assert_eq!(finder.find(Vec::new()).await, Vec::<Option<String>>::new());
}

/// A pipe that nobody writes to stands for a share that hangs: opening it would never end. Looking at
/// it must not open it.
#[tokio::test]
async fn what_is_no_file_is_not_opened() {
    let dir = folder(&["b.wav"]);
    let pipe = dir.path().join("a.wav");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let searches = ["a.wav", "b.wav"].map(|name| search(dir.path(), &[name], &[]));
    let found = Finder::default().find(searches.to_vec()).await;
    assert_eq!(found, [None, Some("b.wav".to_owned())]);
}

/// The thread is held up: what it found before is taken, and the rest goes on without.
#[tokio::test]
async fn what_was_found_before_a_disk_hangs_is_not_thrown_away() {
    let finder = Finder::default();
    let (jobs, work) = mpsc::sync_channel::<Job>(1);
    *finder.0.lock().unwrap() = Some(jobs);
    let hangs = thread::spawn(move || {
        let job = work.recv().unwrap();
        job.found.try_send((1, "b.wav".to_owned())).unwrap();
        job
    });
    let searches = ["a.wav", "b.wav"].map(|name| search(Path::new("/"), &[name], &[]));
    assert_eq!(finder.find(searches.to_vec()).await, [None, Some("b.wav".to_owned())]);
    let job = hangs.join().unwrap();
    assert!(job.found.is_closed(), "nobody waits for the rest");
}
