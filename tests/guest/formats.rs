//! The formats of other tools, read and written: one held guest, in each of them.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vmcorectl::vmcore::memory::{MemoryError, held_ranges, pieces};
use vmcorectl::vmcore::{MemoryRange, Vmcore};

use crate::judges;
use crate::machine::Machine;
use crate::same_memory::{Core, unpack};
use crate::tool::{command, run};

#[test]
fn what_others_write_is_read_and_what_is_exported_others_read() {
    let machine = Machine::panicked(&["--memory", "256M"]);
    let by_qemu = machine.kdump_by_qemu();
    let entry = run(["capture", &machine.monitor(), "--store", &machine.store()]).expect(0).entry();
    let stored = entry.join("vmcore.elf.zst");
    let unpacked = unpack(&machine, &stored);
    let reference = Core::open(&unpacked);
    let all: u64 = reference.segments().values().map(|segment| segment.p_filesz).sum();

    // What QEMU writes is flattened, as it could go into a pipe.
    assert_eq!(same_where_held(&by_qemu, &reference), all);
    let rearranged = machine.space("qemu.rearranged");
    makedumpfile(&["-R"], Stdio::from(File::open(&by_qemu).unwrap()), &[&rearranged]);
    assert_eq!(same_where_held(&rearranged, &reference), all);
    foreign_dumps(&machine, &unpacked, &reference, all);
    elf_exports(&machine, &stored, &unpacked);
    kdump_exports(&machine, &stored, &reference, all);
}

/// Dumps of every kind that this makedumpfile can make.
fn foreign_dumps(machine: &Machine, unpacked: &Path, reference: &Core, all: u64) {
    // The firmware's last 256 KiB are in no memory map of the kernel's.
    let of_kernel = all - (256 << 10);
    for options in [&["-c"][..], &["-l"], &["-E"]] {
        let dump = dumped(machine, options, unpacked);
        assert!(same_where_held(&dump, reference) >= of_kernel, "{options:?}");
        let flattened = machine.space("flattened");
        let mut command = Command::new("makedumpfile");
        command.arg("-F").args(options).arg(unpacked).stdout(File::create(&flattened).unwrap());
        assert!(command.stderr(Stdio::null()).status().unwrap().success(), "{options:?}");
        assert!(same_where_held(&flattened, reference) >= of_kernel, "{options:?} -F");
    }
    // Not -E: it writes pages that it filtered as zeros if they are few in a row.
    for options in [&["-c", "-d", "31"][..], &["-l", "-d", "31"]] {
        let dump = dumped(machine, options, unpacked);
        let held = same_where_held(&dump, reference);
        assert!(held > 8 << 20 && held < all / 2, "{options:?}: {held}");
        let core = Vmcore::open(&dump).unwrap();
        assert!(core.findings().iter().any(|finding| finding.contains("left out")), "{options:?}");
        assert!(is_excluded(&core), "{options:?}");
    }
    let whole = held_in(&dumped(machine, &["-l", "-d", "1"], unpacked));
    let parts = [machine.space("part-1"), machine.space("part-2")];
    let split = ["-l", "-d", "1", "--split", unpacked.to_str().unwrap()];
    makedumpfile(&split, Stdio::null(), &[&parts[0], &parts[1]]);
    let mut joined = Vec::new();
    for part in &parts {
        same_where_held(part, reference);
        let core = Vmcore::open(part).unwrap();
        assert!(core.findings().iter().any(|finding| finding.contains("one part of a dump")));
        joined.extend(held_in(part));
    }
    assert_eq!(merged(joined), whole);
}

fn elf_exports(machine: &Machine, stored: &Path, unpacked: &Path) {
    let exported = machine.space("exported.elf");
    export(stored, "elf", &exported);
    same_bytes(&exported, unpacked);
    let length = exported.metadata().unwrap();
    assert!(length.blocks() * 512 < length.len() / 2, "written sparse");
    assert_eq!(judges::gdb_threads(&exported), 2);
    let piped = machine.space("piped.elf");
    pipe(stored, "elf", &piped);
    same_bytes(&piped, unpacked);
    // A core that was cut off is exported as far as it goes, and says so.
    let cut = machine.space("cut.elf.zst");
    fs::copy(stored, &cut).unwrap();
    let file = File::options().write(true).open(&cut).unwrap();
    file.set_len(stored.metadata().unwrap().len() * 2 / 3).unwrap();
    let rest = machine.space("rest.elf");
    run(["export".as_ref(), cut.as_os_str(), "-o".as_ref(), rest.as_os_str()])
        .expect(3)
        .says("was cut off");
    let held = same_where_held(&rest, &Core::open(unpacked));
    assert!(held > 8 << 20 && held < unpacked.metadata().unwrap().len(), "{held}");
    run(["export", stored.to_str().unwrap(), "--flattened", "-o", "-"])
        .expect(2)
        .says("an ELF core is not flattened");
    // Nothing is overwritten.
    let before = fs::read(&rest).unwrap();
    run(["export".as_ref(), stored.as_os_str(), "-o".as_ref(), rest.as_os_str()])
        .expect(1)
        .says("exists already");
    assert!(fs::read(&rest).unwrap() == before);
}

fn kdump_exports(machine: &Machine, stored: &Path, reference: &Core, all: u64) {
    let at = kernel_data(&unpacked_path(machine));
    let expected = reference.physical(at, 64);
    // LZO is slow to write, so it gets what is left of the memory when it is filtered.
    let filtered = dumped(machine, &["-c", "-d", "31"], &unpacked_path(machine));
    for (codec, from) in
        [("zlib", stored), ("lzo", &*filtered), ("snappy", stored), ("zstd", stored)]
    {
        let format = format!("kdump-{codec}");
        let exported = machine.space(&format);
        export(from, &format, &exported);
        let held = same_where_held(&exported, reference);
        assert_eq!(held, if from == stored { all } else { length(&held_in(from)) }, "{format}");
        judges::drgn_reads(&exported, at, &expected);
        // Debian's makedumpfile is built without the other two.
        if ["zlib", "lzo"].contains(&codec) {
            judges::makedumpfile(machine, &exported);
        }
        if env::var_os("VMCORECTL_TEST_FULL").is_some() {
            judges::crash(&exported);
        }
    }
    // Rearranged by the tool itself, the flattened form is the plain one.
    let (plain, flattened) = (machine.space("kdump-zlib"), machine.space("flattened-zlib"));
    pipe(stored, "kdump-zlib", &flattened);
    let rearranged = machine.space("rearranged-zlib");
    makedumpfile(&["-R"], Stdio::from(File::open(&flattened).unwrap()), &[&rearranged]);
    same_bytes(&rearranged, &plain);
    let again = machine.space("flattened-again");
    run([
        "export".as_ref(),
        stored.as_os_str(),
        "--format=kdump-zlib".as_ref(),
        "--flattened".as_ref(),
    ]
    .into_iter()
    .chain(["-o".as_ref(), again.as_os_str()]))
    .expect(0);
    same_bytes(&again, &flattened);
    // makedumpfile cannot filter a kdump-compressed file with firmware in it, QEMU's
    // own neither. So it is taken from what makedumpfile itself made.
    let filtered = machine.space("filtered-by-us");
    export(&dumped(machine, &["-l"], &unpacked_path(machine)), "kdump-zlib", &filtered);
    let refiltered = dumped(machine, &["-l", "-d", "31"], &filtered);
    assert_eq!(
        held_in(&refiltered),
        held_in(&dumped(machine, &["-l", "-d", "31"], &unpacked_path(machine)))
    );
    same_where_held(&refiltered, reference);
}

fn unpacked_path(machine: &Machine) -> PathBuf {
    machine.space("unpacked.elf")
}

/// Compares all memory that a core holds with the reference. Gives how much it is.
#[track_caller]
fn same_where_held(path: &Path, reference: &Core) -> u64 {
    let core = Vmcore::open(path).unwrap_or_else(|error| panic!("{error}"));
    assert!(core.note_bytes() == reference.notes(), "{}: the notes differ", path.display());
    let held: Vec<_> = held_ranges(core.memory()).collect();
    let mut total = 0;
    for piece in pieces(core.memory(), &held) {
        let mut bytes = vec![0xee; usize::try_from(piece.length).unwrap()];
        core.memory().read(piece.start, &mut bytes).unwrap_or_else(|error| panic!("{error}"));
        let same = bytes == reference.physical(piece.start.0, piece.length);
        assert!(same, "{}: memory differs at {piece}", path.display());
        total += piece.length;
    }
    total
}

fn held_in(path: &Path) -> Vec<MemoryRange> {
    merged(held_ranges(Vmcore::open(path).unwrap().memory()).collect())
}

fn length(ranges: &[MemoryRange]) -> u64 {
    ranges.iter().map(|range| range.length).sum()
}

/// Where the kernel's name is: on a page that no filter takes out.
fn kernel_data(core: &Path) -> u64 {
    let core = Vmcore::open(core).unwrap();
    let info = core.vmcoreinfo_note().expect("VMCOREINFO");
    let symbol = info.symbol("init_uts_ns").expect("its address").0;
    let image = symbol.wrapping_sub(0xffff_ffff_8000_0000);
    image.wrapping_add(info.number("phys_base").expect("phys_base"))
}

fn merged(mut ranges: Vec<MemoryRange>) -> Vec<MemoryRange> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<MemoryRange> = Vec::new();
    for range in ranges {
        match merged.last_mut().filter(|last| last.end() == range.start) {
            Some(last) => last.length += range.length,
            None => merged.push(range),
        }
    }
    merged
}

/// Whether what was left out is said to be.
fn is_excluded(core: &Vmcore) -> bool {
    let end = held_ranges(core.memory()).next().expect("memory").end();
    let read = core.memory().read(end, &mut [0; 8]);
    matches!(read, Err(MemoryError::Excluded { at }) if at == end)
}

fn dumped(machine: &Machine, options: &[&str], from: &Path) -> PathBuf {
    let dump = machine.space("dump");
    let _ = fs::remove_file(&dump);
    let mut all = options.to_vec();
    all.push(from.to_str().unwrap());
    makedumpfile(&all, Stdio::null(), &[&dump]);
    dump
}

#[track_caller]
fn makedumpfile(options: &[&str], input: Stdio, to: &[&Path]) {
    let mut command = Command::new("makedumpfile");
    let output = command.args(options).args(to).stdin(input).output().expect("makedumpfile");
    assert!(output.status.success(), "{options:?}: {output:?}");
}

#[track_caller]
fn export(core: &Path, format: &str, to: &Path) {
    let arguments: [&std::ffi::OsStr; 6] = [
        "export".as_ref(),
        core.as_os_str(),
        "--format".as_ref(),
        format.as_ref(),
        "-o".as_ref(),
        to.as_os_str(),
    ];
    assert_eq!(run(arguments).expect(0).entry(), to);
}

/// Exports into a pipe, and what comes out of it into a file.
#[track_caller]
fn pipe(core: &Path, format: &str, to: &Path) {
    let mut export = command(["export", core.to_str().unwrap(), "--format", format, "-o", "-"]);
    let output = export.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    File::create(to).unwrap().write_all(&output.stdout).unwrap();
}

#[track_caller]
fn same_bytes(ours: &Path, theirs: &Path) {
    let status = Command::new("cmp").arg(ours).arg(theirs).status().expect("cmp");
    assert!(status.success(), "{} and {} differ", ours.display(), theirs.display());
}
