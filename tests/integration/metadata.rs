//! The story that a capture leaves, and where it can be read.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use vmcore_formats::seekable::{METADATA_MAGIC, skippable_content};
use vmcorectl::metadata::{CaptureResult, Metadata};
use vmcorectl::vmcore::Vmcore;

use crate::core_stream::MIB;
use crate::scripted_qemu::{DumpPlan, PANICKED, Script};
use crate::setting::{Setting, printed_by, unpack};
use crate::tool::{metadata_file, run};

#[test]
fn the_metadata_has_what_qemu_reported() {
    let script = Script::default();
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    let socket = setting.qemu.socket();
    let printed = printed_by(&setting.capture(&["--then", "resume", "--json"]).expect(0));
    let metadata = setting.whole_entry(&stream);
    assert_eq!(printed, metadata);

    let guest = &metadata.guest;
    assert_eq!(guest.monitor, socket.to_str().unwrap());
    assert_eq!(guest.name.as_deref(), Some("web-3"));
    assert_eq!(guest.uuid.as_deref(), Some("c0ffee00-0000-4000-8000-000000000003"));
    assert_eq!(guest.qemu_version.as_deref(), Some("7.2.22"));
    assert_eq!(guest.machine.as_deref(), Some("pc-i440fx-7.2"));
    assert_eq!(guest.architecture.as_deref(), Some("x86_64"));
    assert_eq!(guest.accelerator.as_deref(), Some("kvm"));
    assert_eq!(guest.memory_bytes, Some(stream.memory_bytes() as u64));
    assert_eq!(guest.cpus, Some(2));
    assert_eq!(guest.memory_encrypted, None);
    // That a dump forbids migration is our own doing.
    assert_eq!(guest.migration_blocked.as_deref(), Some(&[][..]));
    let formats = ["elf", "kdump-zlib"].map(str::to_owned);
    assert_eq!(guest.dump_formats.as_deref(), Some(&formats[..]));

    assert_eq!(metadata.state_found.as_deref(), Some(PANICKED));
    assert_eq!((metadata.request.then.as_str(), metadata.request.wait), ("resume", false));
    let release = metadata.release.as_ref().unwrap();
    assert_eq!(release.state_before.as_deref(), Some(PANICKED));
    assert_eq!(release.state_after.as_deref(), Some("running"));
    let steps: Vec<_> = metadata.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(steps, ["connect", "learn", "prepare", "dump", "release", "watch", "write", "sync"]);
    let core = metadata.core.as_ref().unwrap();
    assert_eq!((core.cpus, core.vmcoreinfo, core.segments), (Some(2), Some(true), Some(2)));
    assert_eq!((core.machine.as_deref(), core.elf_class), (Some("x86_64"), Some(64)));
    assert!(core.zero_bytes > 0 && core.bytes_written < core.bytes_core);
}

#[test]
fn the_core_carries_the_same_bytes_and_each_chunk_opens_alone() {
    let setting = Setting::new(Script::default());
    let entry = setting.capture(&[]).expect(0).entry();
    let bytes = fs::read(entry.join("vmcore.elf.zst")).unwrap();
    let core = Vmcore::open(&entry.join("vmcore.elf.zst")).unwrap();
    let whole = unpack(&entry.join("vmcore.elf.zst"));
    let (mut at, mut unpacked_at, mut carried) = (0, 0, None);
    for frame in core.chunked().unwrap().table().frames().iter() {
        let end = at + frame.compressed as usize;
        let frame_bytes = &bytes[at..end];
        if frame.decompressed == 0 {
            carried = skippable_content(METADATA_MAGIC, frame_bytes);
        } else {
            let mut chunk = Vec::new();
            zstd::Decoder::new(frame_bytes).unwrap().read_to_end(&mut chunk).unwrap();
            assert_eq!(chunk.len(), frame.decompressed as usize);
            assert!(whole[unpacked_at..].starts_with(&chunk), "chunk at {unpacked_at}");
            unpacked_at += chunk.len();
        }
        at = end;
    }
    assert_eq!(unpacked_at, whole.len());
    assert_eq!(carried, Some(&fs::read(entry.join("metadata.json")).unwrap()[..]));
}

#[test]
fn two_captures_make_two_entries_and_info_finds_both() {
    let setting = Setting::new(Script::default());
    let one = setting.capture(&[]).expect(0).entry();
    let other = setting.capture(&[]).expect(0).entry();
    assert_ne!(one, other);
    assert_eq!(setting.listing().entries.len(), 2);
    let store = setting.store.to_str().unwrap();
    for entry in [&one, &other] {
        let id = entry.file_name().unwrap().to_str().unwrap();
        for name in [id, entry.to_str().unwrap()] {
            let told = run(["info", name, "--store", store]).expect(0).stdout;
            assert!(told.starts_with(&format!("web-3  {id}  complete\n")), "{told}");
            assert!(
                told.contains("x86_64, 2 vCPUs") && told.contains("noticed by query"),
                "{told}"
            );
        }
        let told = printed_by(&run(["info", id, "--store", store, "--json"]).expect(0));
        assert_eq!(told, metadata_file(&entry.join("metadata.json")));
    }
}

#[test]
fn an_incomplete_core_says_so_and_is_not_found_by_its_id() {
    let dump = DumpPlan::Killed(3 * MIB);
    let setting = Setting::new(Script { dump, ..Script::default() });
    setting.capture(&[]).expect(3);
    let folder = setting.listing().incomplete.remove(0);
    let told = run(["info", folder.to_str().unwrap()]).expect(0).stdout;
    assert!(told.contains("  incomplete\n"), "{told}");
    assert!(told.contains("QEMU ended during the dump"), "{told}");
    let store = setting.store.to_str().unwrap();
    run(["info", "latest", "--store", store]).expect(1).says("no entry \"latest\"");
}

fn files(folder: &Path) -> Vec<String> {
    let found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = found.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_core_in_a_file_has_its_metadata_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("core.zst");
    let script = Script::default();
    let stream = script.stream.clone();
    let setting = Setting::new(script);
    let ran = setting.capture(&["--resume", "--output", path.to_str().unwrap()]).expect(0);
    assert_eq!(ran.entry(), path);
    assert_eq!(files(folder.path()), ["core.zst", "core.zst.json", "core.zst.report.json"]);
    for name in files(folder.path()) {
        let mode = folder.path().join(&name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let metadata: Metadata = metadata_file(&folder.path().join("core.zst.json"));
    assert_eq!(metadata.result, CaptureResult::Complete);
    assert_eq!(metadata.core.as_ref().unwrap().file, "core.zst");
    assert_eq!(Vmcore::open(&path).unwrap().metadata().unwrap(), metadata);
    assert_eq!(stream.check_memory_of(&unpack(&path)), stream.memory_bytes());
    run(["info", path.to_str().unwrap()]).expect(0);
    setting.nothing_is_stored();
}

#[test]
fn a_file_that_is_there_is_not_overwritten_nor_is_the_guest_touched() {
    for taken in ["core.zst", "core.zst.json", "core.zst.incomplete"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(taken), "mine").unwrap();
        let path = folder.path().join("core.zst");
        let setting = Setting::new(Script::default());
        setting
            .capture(&["--resume", "--output", path.to_str().unwrap()])
            .expect(1)
            .says(&format!("{taken} exists already, and nothing is overwritten"));
        assert_eq!(files(folder.path()), [taken]);
        assert_eq!(fs::read(folder.path().join(taken)).unwrap(), b"mine");
        assert_eq!(setting.qemu.run_state(), PANICKED);
        assert!(setting.qemu.actions().is_empty());
    }
}

#[test]
fn an_incomplete_core_in_a_file_has_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("core.zst");
    let script = Script { dump: DumpPlan::Killed(3 * MIB), ..Script::default() };
    let setting = Setting::new(script);
    setting.capture(&["--output", path.to_str().unwrap()]).expect(3).says("core.zst.incomplete");
    assert_eq!(files(folder.path()), ["core.zst.incomplete", "core.zst.json.incomplete"]);
    let metadata = metadata_file(&folder.path().join("core.zst.json.incomplete"));
    assert_eq!(metadata.result, CaptureResult::Incomplete);
}
