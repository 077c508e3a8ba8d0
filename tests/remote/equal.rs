//! Each command answers for a remote core as for the same core on disk, byte for byte.

use std::fs;
use std::path::Path;

use crate::command::{Answer, run};
use crate::http_server::{HttpServer, Object};
use crate::offline::{BEYOND_PACK, IN_PACK};
use crate::{CORE, NAME, sample};

/// Compares the answers for an address with those for the file.
pub(crate) fn check(address: &str, variables: &[(&str, &str)]) {
    check_as(CORE, address, variables);
}

/// The same, for another file.
pub(crate) fn check_as(local: &str, address: &str, variables: &[(&str, &str)]) {
    check_commands(IN_PACK, local, address, variables);
    check_commands(BEYOND_PACK, local, address, variables);
}

/// The same, for these commands. The variables hold for both.
pub(crate) fn check_commands(
    commands: &[&[&str]],
    core: &str,
    address: &str,
    variables: &[(&str, &str)],
) {
    let folder = tempfile::tempdir().unwrap();
    for command in commands {
        let (local, file) = answer(command, core, &folder.path().join("local"), variables);
        let (remote, fetched) = answer(command, address, &folder.path().join("remote"), variables);
        assert!(local == remote, "{command:?}: {local:?}\n{remote:?}");
        assert!(file == fetched, "{command:?}: the files differ");
    }
}

/// The answer and the file that was written, with the entry's name taken out of the text.
fn answer(
    command: &[&str],
    entry: &str,
    output: &Path,
    variables: &[(&str, &str)],
) -> (Answer, Option<Vec<u8>>) {
    let file = output.to_str().unwrap();
    let words: Vec<_> = command
        .iter()
        .map(|word| match *word {
            "ENTRY" => entry,
            "OUT" => file,
            word => word,
        })
        .collect();
    let mut answer = run(&words, variables);
    answer.stderr = answer.stderr.replace(entry, "ENTRY").replace(file, "OUT");
    if let Ok(text) = str::from_utf8(&answer.stdout) {
        answer.stdout = text.replace(entry, "ENTRY").replace(file, "OUT").into_bytes();
    }
    let written = fs::read(output).ok();
    let _ = fs::remove_file(output);
    (answer, written)
}

#[test]
fn commands_answer_for_a_core_behind_http_as_for_the_file() {
    let server = HttpServer::of(NAME, Object::new(sample()));
    check(&server.url(NAME), &[]);
}

#[test]
fn a_core_of_this_machine_may_be_typed_as_an_address() {
    let path = crate::command::project().join(CORE);
    let answer = run(&["dmesg", &format!("file://{}", path.display())], &[]);
    assert_eq!(answer, run(&["dmesg", CORE], &[]));
}

#[test]
fn the_directory_of_an_entry_is_its_core() {
    let server = HttpServer::of("20260101T000000Z-aaaa0001/vmcore.elf.zst", Object::new(sample()));
    let answer = run(&["dmesg", &server.url("20260101T000000Z-aaaa0001")], &[]);
    assert_eq!(answer, run(&["dmesg", CORE], &[]));
}

/// The report takes a fraction of the core in few requests, and no byte twice: its threads wait for
/// each other.
#[test]
fn a_report_fetches_what_it_reads_once() {
    let core = sample();
    let length = core.len();
    let server = HttpServer::of(NAME, Object::new(core));
    let answer = run(&["report", &server.url(NAME)], &[]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let requests = server.requests.lock().unwrap();
    let of_core = requests.iter().filter(|request| request.path.ends_with(NAME));
    let mut ranges: Vec<_> = of_core.map(|request| request.range(length).unwrap()).collect();
    // Its end comes with the opening, and the blocks before it reach into it.
    let tail = ranges.remove(0);
    assert_eq!(tail.end, length);
    assert!(ranges.len() <= 40, "{} requests", ranges.len());
    ranges.sort_by_key(|range| range.start);
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "{ranges:?}");
    let of_version = |request: &&crate::http_server::Request| request.if_match.is_some();
    assert_eq!(requests.iter().filter(of_version).count(), ranges.len());
}
