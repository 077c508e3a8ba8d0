//! Dumps that other tools wrote, imported into the store.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::judges;
use crate::machine::Machine;
use crate::same_memory::{Core, assert_same, unpack};
use crate::tool::{self, Ran, listing, metadata_file, metadata_of, run};
use vmcorectl::metadata::CaptureResult;

#[test]
fn a_dump_of_qemu_is_imported_with_all_its_memory() {
    let machine = Machine::panicked(&["--name", "web"]);
    let by_qemu = machine.dump_by_qemu();
    let store = machine.store();
    let file = by_qemu.to_str().unwrap();

    let entry = run(["import", file, "--guest", "a/b", "--store", &store]).expect(0).entry();
    assert_eq!(entry.parent().unwrap().file_name().unwrap(), "a%2Fb");
    let stored = entry.join("vmcore.elf.zst");
    let unpacked = machine.space("whole.elf");
    fs::rename(assert_same(&machine, &stored, &by_qemu), &unpacked).unwrap();
    let metadata = metadata_of(&entry);
    assert_eq!(metadata.guest.name.as_deref(), Some("a/b"));
    assert_eq!((&metadata.panic, &metadata.release), (&None, &None));
    let imported = metadata.imported.unwrap();
    assert_eq!((imported.file.as_str(), imported.vmcoreinfo_found), ("qemu.elf", false));
    assert_eq!(imported.bytes, fs::metadata(&by_qemu).unwrap().len());
    let core = metadata.core.unwrap();
    assert!(core.zero_bytes > 256 << 20, "most of a fresh guest's memory: {}", core.zero_bytes);
    run(["verify", stored.to_str().unwrap()]).expect(0);

    a_captures_metadata_is_kept(&machine, &store);
    a_dump_that_was_cut_off_is_incomplete(&machine, &by_qemu);
    what_is_left_out_stays_absent(&machine, &unpacked);
    without_its_vmcoreinfo_note(&machine, &unpacked);
    let refused = run(["import", "/bin/ls", "--store", &store]).expect(1);
    assert!(refused.stdout.is_empty(), "{refused:?}");
    let listing = listing(Path::new(&store));
    assert_eq!((listing.entries.len(), listing.incomplete.len()), (2, 0), "{listing:?}");
}

/// A captured core comes from another store: its story is that of its capture.
fn a_captures_metadata_is_kept(machine: &Machine, store: &str) {
    let core = machine.space("captured.elf.zst");
    let path = core.to_str().unwrap();
    run(["capture", &machine.monitor(), "--output", path]).expect(0);
    let captured = metadata_file(&machine.space("captured.elf.zst.json"));
    let entry = run(["import", path, "--store", store]).expect(0).entry();
    let metadata = metadata_of(&entry);
    assert_eq!(metadata.guest, captured.guest);
    assert_eq!((&metadata.panic, &metadata.phases), (&captured.panic, &captured.phases));
    assert_ne!(metadata.id, captured.id);
    let chunks = |core: Option<vmcorectl::metadata::Core>| core.unwrap().chunks_sha256;
    assert_eq!(chunks(metadata.core), chunks(captured.core), "the same bytes in the same chunks");
}

fn a_dump_that_was_cut_off_is_incomplete(machine: &Machine, by_qemu: &Path) {
    let cut = machine.space("cut.elf");
    fs::copy(by_qemu, &cut).unwrap();
    File::options().write(true).open(&cut).unwrap().set_len(200 << 20).unwrap();
    let output = machine.space("cut.elf.zst");
    let arguments = ["import", cut.to_str().unwrap(), "--output", output.to_str().unwrap()];
    run(arguments).expect(3).says("missing at the end");
    let metadata = metadata_file(&machine.space("cut.elf.zst.json"));
    assert_eq!(metadata.result, CaptureResult::Incomplete);
    assert!(metadata.failure.unwrap().message.contains("cut off"));
    // What there is of it is undamaged, and not all.
    let verified = run(["verify", output.to_str().unwrap()]).expect(3).stdout;
    assert!(verified.contains("undamaged as far as it goes"), "{verified}");
}

/// Where a 64-bit core of ours has its program headers, and how long each is.
const HEADERS: u64 = 64;
const HEADER: u64 = 56;

/// A core whose first segment has lost its second half, although it has the memory.
fn what_is_left_out_stays_absent(machine: &Machine, unpacked: &Path) {
    let path = machine.space("filtered.elf");
    fs::copy(unpacked, &path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    let core = Core::open(unpacked);
    let segment = core.segments()[&0].p_filesz;
    // p_filesz of the header behind that of the notes.
    file.write_all_at(&(segment / 2).to_le_bytes(), HEADERS + HEADER + 32).unwrap();
    let output = machine.space("filtered.elf.zst");
    let arguments = ["import", path.to_str().unwrap(), "--output", output.to_str().unwrap()];
    run(arguments).expect(0).says("left out");
    let imported = Core::open(&unpack(machine, &output));
    let sizes = imported.segments()[&0];
    assert_eq!((sizes.p_filesz, sizes.p_memsz), (segment / 2, segment / 2));
    let metadata = metadata_file(&machine.space("filtered.elf.zst.json"));
    assert_eq!(metadata.pages_dropped, ["unknown"]);
}

/// What a guest without QEMU's vmcoreinfo device leaves: no note of that name.
fn without_note(machine: &Machine, unpacked: &Path) -> PathBuf {
    let path = machine.space("no-note.elf");
    fs::copy(unpacked, &path).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    // The header of the notes is the first: p_offset is at 8, p_filesz at 32, p_memsz at 40.
    let number = |at: u64| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_le_bytes(bytes)
    };
    let (start, size) = (number(HEADERS + 8), number(HEADERS + 32));
    let mut notes = vec![0; usize::try_from(size).unwrap()];
    file.read_exact_at(&mut notes, start).unwrap();
    // The guest's own note is the last one; 12 bytes of sizes stand before the name.
    let name = b"VMCOREINFO\0";
    let at = notes.windows(name.len()).rposition(|part| part == name).expect("the note") - 12;
    file.write_all_at(&(at as u64).to_le_bytes(), HEADERS + 32).unwrap();
    file.write_all_at(&(at as u64).to_le_bytes(), HEADERS + 40).unwrap();
    path
}

fn without_its_vmcoreinfo_note(machine: &Machine, unpacked: &Path) {
    let file = without_note(machine, unpacked);
    let log = machine.space("no-log");
    let mut command = Command::new("makedumpfile");
    let refused = command.arg("--dump-dmesg").arg(&file).arg(&log).output().expect("makedumpfile");
    assert!(!refused.status.success(), "without the note there is nothing to mend: {refused:?}");

    let script = machine.space("script.py");
    fs::write(&script, "import drgn\nassert prog.flags & drgn.ProgramFlags.IS_LINUX_KERNEL\n")
        .unwrap();
    let drgn = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/drgn-venv/bin");
    let arguments = ["debug", file.to_str().unwrap(), "--with", "drgn", "--"];
    let mut command = tool::command(arguments.iter().copied().chain(script.to_str()));
    let ran: Ran = command.env("PATH", drgn).output().expect("the program starts").into();
    ran.expect(0).says("note: the core had no VMCOREINFO note; it was found in memory at");

    let stored = machine.space("mended.elf.zst");
    let arguments = ["import", file.to_str().unwrap(), "--output", stored.to_str().unwrap()];
    run(arguments).expect(0).says("found in memory at");
    let metadata = metadata_file(&machine.space("mended.elf.zst.json"));
    assert!(metadata.imported.unwrap().vmcoreinfo_found);
    assert_eq!(metadata.core.unwrap().vmcoreinfo, Some(true));
    let mended = unpack(machine, &stored);
    assert!(vmcoreinfo(&mended) == vmcoreinfo(unpacked), "another note than the guest's own");
    judges::makedumpfile(machine, &mended);
    judges::drgn(&mended, 16 << 20);
    if env::var_os("VMCORECTL_TEST_FULL").is_some() {
        judges::crash(&mended);
    }
}

/// The text of the note, as readelf gives it.
fn vmcoreinfo(core: &Path) -> String {
    let output = Command::new("readelf").args(["-n", "-W"]).arg(core).output().expect("readelf");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let start = text.find("VMCOREINFO").expect("the note");
    text[start..].to_owned()
}
