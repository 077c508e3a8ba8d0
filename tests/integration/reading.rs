//! `read`, `search` and `regs` on cores whose every byte is known.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vmcorectl::vmcore::Vmcore;

use crate::core_stream::{CoreStream, MIB};
use crate::scripted_qemu::{DumpPlan, Script};
use crate::setting::Setting;
use crate::tool::{command, run};

/// An entry, and the stream that it was made of.
fn entry() -> (Setting, PathBuf, CoreStream) {
    let script = Script::default();
    let stream = CoreStream::clone(&script.stream);
    let setting = Setting::new(script);
    let entry = setting.capture(&["--resume"]).expect(0).entry();
    (setting, entry, stream)
}

fn raw(entry: &Path, at: u64, length: usize) -> (Vec<u8>, Option<i32>, String) {
    let arguments = ["read", entry.to_str().unwrap(), &format!("{at:x}"), &length.to_string()];
    let output = command(arguments).arg("--raw").output().expect("the program starts");
    let said = String::from_utf8(output.stderr).unwrap();
    (output.stdout, output.status.code(), said)
}

/// Bytes of the stream by their physical address.
fn known(stream: &CoreStream, at: u64, length: usize) -> &[u8] {
    let (start, range) = stream
        .blocks
        .iter()
        .find(|(start, range)| (*start..start + range.len() as u64).contains(&at))
        .expect("memory");
    let from = range.start + usize::try_from(at - start).unwrap();
    &stream.bytes[from..from + length]
}

#[test]
fn memory_is_read_as_it_was_wherever_chunks_end() {
    let (_setting, entry, stream) = entry();
    let mib = MIB as u64;
    for (at, length) in [
        (0, 640 << 10),
        (0x9ffff, 1),
        (mib, 2 * MIB),
        (2 * mib - 7, 19),
        // A chunk is a MiB of the file, whose head is not a MiB.
        (mib + 0x5_fff3, 3 * MIB + 5),
    ] {
        let (bytes, code, said) = raw(&entry, at, length);
        assert_eq!((code, &*said), (Some(0), ""));
        assert!(bytes == known(&stream, at, length), "{length} bytes at {at:#x} differ");
    }
}

#[test]
fn what_is_before_missing_memory_is_printed_and_the_first_missing_byte_named() {
    let (_setting, entry, stream) = entry();
    let (bytes, code, said) = raw(&entry, 0x9fff5, 100);
    assert_eq!((bytes.as_slice(), code), (known(&stream, 0x9fff5, 11), Some(1)));
    assert_eq!(said, "error: 0xb of 0x64 bytes read: no memory at 0xa0000 in the core\n");
    let ran = run(["read", entry.to_str().unwrap(), "9fff5", "100", "--json"]).expect(1);
    let json: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((&json["read"], &json["missing"]["address"]), (&11.into(), &"0xa0000".into()));
    let ran = run(["read", entry.to_str().unwrap(), "fffffffffffffff0", "0x100"]).expect(1);
    assert_eq!(ran.stdout, "");
}

#[test]
fn bytes_are_found_across_the_borders_of_chunks_and_pieces() {
    let (_setting, entry, stream) = entry();
    let core = Vmcore::open(&entry.join("vmcore.elf.zst")).unwrap();
    // Where the chunks of the file end, as physical addresses.
    let borders: Vec<u64> = core
        .segments()
        .iter()
        .flat_map(|segment| {
            let mib = MIB as u64;
            let first = segment.offset.next_multiple_of(mib);
            let last = segment.offset + segment.file_size;
            (first..last).step_by(MIB).map(move |at| segment.physical.0 + (at - segment.offset))
        })
        .collect();
    let mut searched = 0;
    for border in borders {
        let Some(at) = border.checked_sub(12) else { continue };
        let bytes = known(&stream, at, 24);
        // Only the noise is nowhere else.
        if bytes.iter().filter(|byte| **byte == 0).count() > 4 || bytes[..8] == bytes[8..16] {
            continue;
        }
        searched += 1;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let ran = run(["search", entry.to_str().unwrap(), "--hex", &hex, "--json"]).expect(0);
        let place: Value = serde_json::from_str(&ran.stdout).expect("one place");
        assert_eq!(place["address"], format!("{at:#x}"));
        let bounded = |from: u64, to: u64| {
            let (from, to) = (format!("--from={from:x}"), format!("--to={to:#x}"));
            let core = entry.to_str().unwrap();
            run(["search", core, "--hex", &hex, "--count", &from, &to]).expect(0).stdout
        };
        assert_eq!(bounded(at, at + 24), "1\n");
        assert_eq!((bounded(at + 1, u64::MAX), bounded(0, at + 23)), ("0\n".into(), "0\n".into()));
    }
    assert!(searched > 0, "no border lies in the noise");
}

#[test]
fn a_number_is_searched_for_as_the_processor_stores_it() {
    let (_setting, entry, stream) = entry();
    let at = MIB as u64 + 0x1234;
    let value = u64::from_le_bytes(known(&stream, at, 8).try_into().unwrap());
    let core = entry.to_str().unwrap();
    let ran = run(["search", core, &format!("{value:#x}"), "--word", "--json"]).expect(0);
    assert!(ran.stdout.contains(&format!("\"address\":\"{at:#x}\"")), "{ran:?}");
    run(["search", core, "100000000", "--word=4"]).expect(2).says("more than 4 bytes");
    run(["search", core, "xyz", "--hex"]).expect(2).says("neither a byte in hexadecimal");
    run(["search", core, ""]).expect(2).says("nothing to search for");
    let ran = run(["search", core, "00", "--hex", "--limit", "2"]).expect(0);
    assert_eq!(ran.stdout.lines().count(), 2);
    ran.says("more than 2 places");
}

#[test]
fn what_was_not_searched_of_a_partial_core_is_reported() {
    let script = Script { dump: DumpPlan::Killed(3 * MIB), ..Script::default() };
    let setting = Setting::new(script);
    setting.capture(&["--resume"]);
    let part = setting.listing().incomplete[0].clone();
    let ran = run(["search", part.to_str().unwrap(), "text that is nowhere"]).expect(3);
    assert_eq!(ran.stdout, "");
    ran.says("of memory could not be searched: ").says("which was cut off before");
}

#[test]
fn a_damaged_note_costs_a_finding_and_not_the_command() {
    let (setting, entry, stream) = entry();
    let whole = run(["regs", entry.to_str().unwrap(), "--json"]).expect(0);
    let whole: Value = serde_json::from_str(&whole.stdout).expect("JSON");
    assert_eq!(whole["cpus"][1]["registers"]["rip"], "0x909090909090909");
    assert_eq!(whole["cpus"].as_array().unwrap().len(), 2);
    assert!(whole["findings"].as_array().unwrap().is_empty());
    // The second note's descriptor says that it is longer than the notes are.
    let notes = stream.bytes.windows(5).position(|bytes| bytes == b"CORE\0").unwrap() - 12;
    let mut bytes = stream.bytes.clone();
    let second = notes + 12 + 8 + 336;
    bytes[second + 4..second + 8].copy_from_slice(&0xffff_u32.to_le_bytes());
    let path = setting.store.join("damaged.elf");
    fs::write(&path, bytes).unwrap();
    let ran = run(["regs", path.to_str().unwrap()]).expect(0);
    assert!(ran.stdout.starts_with("vCPU 0\n"), "{ran:?}");
    assert!(ran.stdout.contains("finding  the notes are damaged: "), "{ran:?}");
}
