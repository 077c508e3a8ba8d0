//! `verify`: each kind of damage is found where it is.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vmcorectl::vmcore::Vmcore;

use crate::core_stream::MIB;
use crate::scripted_qemu::{DumpPlan, Script};
use crate::setting::Setting;
use crate::tool::run;

pub(crate) fn entry() -> (Setting, PathBuf) {
    let setting = Setting::new(Script::default());
    let entry = setting.capture(&["--resume"]).expect(0).entry();
    (setting, entry)
}

pub(crate) fn core_of(entry: &Path) -> PathBuf {
    entry.join("vmcore.elf.zst")
}

/// Changes one byte of a file.
pub(crate) fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

pub(crate) fn verify(path: &Path, code: i32) -> Value {
    let ran = run(["verify", "--json", path.to_str().unwrap()]).expect(code);
    serde_json::from_str(&ran.stdout).expect("JSON")
}

#[test]
fn a_core_as_it_was_captured_is_whole() {
    let (_setting, entry) = entry();
    let found = verify(&entry, 0);
    assert!(found["chunks"].as_u64().is_some_and(|chunks| chunks > 3), "{found}");
    assert!(found["damage"].as_array().unwrap().is_empty());
    let told = run(["verify", entry.to_str().unwrap()]).expect(0).stdout;
    assert!(told.contains(": whole ("), "{told}");
}

#[test]
fn a_damaged_chunk_is_reported_with_its_file_offset_and_guest_address() {
    let (_setting, entry) = entry();
    let path = core_of(&entry);
    let core = Vmcore::open(&path).unwrap();
    let chunks: Vec<_> = core.chunked().unwrap().table().chunks().collect();
    let hit = chunks.iter().filter(|chunk| chunk.entry.compressed > 1000).nth(1).unwrap();
    flip(&path, hit.file_offset + u64::from(hit.entry.compressed) / 2);

    let found = verify(&entry, 1);
    let damage = &found["damage"].as_array().unwrap()[0];
    assert_eq!(damage["file_offset"], hit.file_offset, "{found}");
    assert_eq!(damage["core_offset"], hit.offset);
    // The range of memory is the one that the program headers give for these bytes.
    let segment = core
        .segments()
        .iter()
        .find(|segment| (segment.offset..segment.offset + segment.file_size).contains(&hit.offset))
        .unwrap();
    let start = segment.physical.0 + (hit.offset - segment.offset);
    assert_eq!(damage["memory"][0]["start"], start);
    let told = run(["verify", entry.to_str().unwrap()]).expect(1).stdout;
    assert!(told.contains(&format!("guest memory {start:#x}..")), "{told}");
    // All else can still be read.
    run(["info", entry.to_str().unwrap()]).expect(0);
}

#[test]
fn a_checksum_in_the_seek_table_that_differs_is_found() {
    let (_setting, entry) = entry();
    let path = core_of(&entry);
    let length = fs::metadata(&path).unwrap().len();
    let frames = Vmcore::open(&path).unwrap().chunked().unwrap().table().frames().len() as u64;
    // The third number of the first entry.
    flip(&path, length - 9 - frames * 12 + 8);
    let found = verify(&entry, 1);
    let problems = found["damage"].to_string();
    assert!(problems.contains("and the seek table says"), "{problems}");
    // The hash in the metadata is over these entries, too.
    assert!(problems.contains("hash over the chunks"), "{problems}");
}

#[test]
fn a_part_is_undamaged_but_not_whole() {
    let script = Script { dump: DumpPlan::Killed(3 * MIB), ..Script::default() };
    let setting = Setting::new(script);
    setting.capture(&["--resume"]);
    let part = setting.listing().incomplete[0].clone();
    let found = verify(&part, 3);
    assert!(found["damage"].as_array().unwrap().is_empty(), "{found}");
    assert!(found["missing"].to_string().contains("bytes of memory are missing"), "{found}");
}

#[test]
fn a_file_that_was_cut_off_opens_as_far_as_it_goes() {
    let (_setting, entry) = entry();
    let whole = fs::read(core_of(&entry)).unwrap();
    let chunks: Vec<_> =
        Vmcore::open(&core_of(&entry)).unwrap().chunked().unwrap().table().chunks().collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.zst");
    let cut = chunks[2].file_offset + 5;
    fs::write(&path, &whole[..usize::try_from(cut).unwrap()]).unwrap();

    let told = run(["info", path.to_str().unwrap()]).expect(0).stdout;
    assert!(told.contains("the file was cut off"), "{told}");
    let found = verify(&path, 3);
    assert_eq!((found["chunks"].as_u64(), found["damage"].as_array().unwrap().len()), (Some(2), 0));

    // Nothing that is cut makes it panic, wherever it is cut.
    for length in (0..whole.len()).step_by(whole.len() / 97 + 1) {
        fs::write(&path, &whole[..length]).unwrap();
        let ran = run(["verify", path.to_str().unwrap()]);
        assert!(matches!(ran.code, Some(1 | 3)), "cut at {length}: {ran:?}");
    }
}
