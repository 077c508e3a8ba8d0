//! Triage packs that somebody made to do harm: each is an error, or costs what is not true of it.
//! None takes more time or memory than a core may, and none gives bytes of another core.

use std::fs;
use std::path::PathBuf;

use crate::CORE;
use crate::tool::{Ran, run};
use crate::transcript::project;

/// Where the numbers of the head are: see `formats::triage_pack`.
const CORE_LENGTH: usize = 16;
const HASH: usize = 24;
const TAIL: usize = 56;
const REPORT: usize = 60;
const COUNT: usize = 64;
const FRAMES: usize = 68;
const ENTRY: usize = 12;

/// The sample as an entry without its core, and its pack.
fn entry_without_core() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let store = tempfile::tempdir().unwrap();
    let core = project().join(CORE);
    let words = ["import", core.to_str().unwrap(), "--store", store.path().to_str().unwrap()];
    let entry = run(words).expect(0).entry();
    fs::remove_file(entry.join("vmcore.elf.zst")).unwrap();
    let pack = fs::read(entry.join("triage.zst")).unwrap();
    (store, entry, pack)
}

fn u32_at(pack: &[u8], at: usize) -> usize {
    u32::from_le_bytes(pack[at..at + 4].try_into().unwrap()) as usize
}

fn set(pack: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut changed = pack.to_vec();
    changed[at..at + bytes.len()].copy_from_slice(bytes);
    changed
}

#[track_caller]
fn check_ended(what: &str, ran: &Ran) {
    assert!(matches!(ran.code, Some(0 | 1)), "{what}: {ran:?}");
    assert!(!ran.stderr.contains("panicked"), "{what}: {ran:?}");
}

#[test]
fn a_head_with_impossible_numbers_is_an_error() {
    let (_store, entry, pack) = entry_without_core();
    let offset = |frame: usize| FRAMES + frame * ENTRY + 4;
    let most = [0xff; 8];
    let frame = &pack[offset(0)..offset(0) + 8];
    let cases = [
        ("of a core of 16 EiB", set(&pack, CORE_LENGTH, &most)),
        ("of a core that is too short", set(&pack, CORE_LENGTH, &[0; 8])),
        ("of another core", set(&pack, HASH, &[7; 32])),
        ("a tail of 4 GiB", set(&pack, TAIL, &most[..4])),
        ("no tail", set(&pack, TAIL, &[0; 4])),
        ("more frames of the report than there are", set(&pack, REPORT, &most[..4])),
        ("four billion frames", set(&pack, COUNT, &most[..4])),
        ("one frame more than there is", {
            let count = u32_at(&pack, COUNT) as u32 + 1;
            set(&pack, COUNT, &count.to_le_bytes())
        }),
        ("a chunk that no core has", set(&pack, FRAMES, &most[..4])),
        ("frames that overlap", set(&pack, offset(1), frame)),
        ("a frame in the head", set(&pack, offset(0), &[0; 8])),
        ("a frame behind the end", set(&pack, offset(0), &most)),
    ];
    for (what, pack) in cases {
        fs::write(entry.join("triage.zst"), pack).unwrap();
        let ran = run(["report", entry.to_str().unwrap()]);
        check_ended(what, &ran);
        assert_eq!(ran.code, Some(1), "{what}");
        assert!(ran.stderr.contains("triage.zst instead of the core: "), "{what}: {}", ran.stderr);
    }
}

/// The seek table, whose hash the head has, says how long each chunk is: a frame that unpacks to more
/// is damaged, and nothing is allocated for it.
#[test]
fn frames_that_unpack_to_more_than_their_chunk_are_damage() {
    let (_store, entry, pack) = entry_without_core();
    let bomb = zstd::bulk::compress(&vec![0; 256 << 20], 19).unwrap();
    let count = u32_at(&pack, COUNT);
    let offset = |frame: usize| {
        let at = FRAMES + frame * ENTRY + 4;
        u64::from_le_bytes(pack[at..at + 8].try_into().unwrap()) as usize
    };
    let mut changed = pack.clone();
    let mut bombs = 0;
    for frame in 0..count - 1 {
        let (start, end) = (offset(frame), offset(frame + 1));
        if end - start > bomb.len() {
            changed[start..start + bomb.len()].copy_from_slice(&bomb);
            bombs += 1;
        }
    }
    assert!(bombs > 3, "{bombs} of {count}");
    fs::write(entry.join("triage.zst"), changed).unwrap();
    let name = entry.to_str().unwrap();
    for command in [&["report", name][..], &["dmesg", name], &["bt", name, "--all"]] {
        check_ended(command[0], &run(command));
    }
}

/// Bytes that are changed in the frames are never taken for the core's: the frames have checksums.
#[test]
fn changed_frames_are_never_read_as_memory() {
    let (_store, entry, pack) = entry_without_core();
    let read = || run(["read", entry.to_str().unwrap(), "-v", "ffffffff94df9b60", "0x1a0"]);
    let expected = read().expect(0).stdout;
    let start = FRAMES + u32_at(&pack, COUNT) * ENTRY + 8 + u32_at(&pack, TAIL);
    for step in 1..8 {
        let mut changed = pack.clone();
        for at in (start + step * 997..changed.len()).step_by(100_000) {
            changed[at] ^= 0x10;
        }
        fs::write(entry.join("triage.zst"), changed).unwrap();
        let ran = read();
        check_ended("changed", &ran);
        let is_whole = ran.code == Some(0);
        assert!(if is_whole { ran.stdout == expected } else { expected.starts_with(&ran.stdout) });
    }
}
