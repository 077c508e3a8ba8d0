//! Files that describe more than they hold: each command ends soon, and in little memory.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vmcore_formats::seekable::{FrameEntry, SeekTable};
use vmcorectl::vmcore::Vmcore;
use vmcorectl::vmcore::verify::verify;

use crate::setting::finish;
use crate::tool::{Ran, start_through};

/// A segment: its place in the file, its physical address, its lengths in file and memory.
type Segment = (u64, u64, u64, u64);

/// The head of an ELF core of x86-64, with these segments of memory.
pub(crate) fn elf_head(segments: &[Segment]) -> Vec<u8> {
    let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let count = u16::try_from(segments.len()).expect("few segments");
    for half in [4_u16, 62] {
        head.extend(half.to_le_bytes());
    }
    head.extend(1_u32.to_le_bytes());
    for word in [0_u64, 64, 0] {
        head.extend(word.to_le_bytes());
    }
    head.extend(0_u32.to_le_bytes());
    for half in [64, 56, count, 64, 0, 0] {
        head.extend(half.to_le_bytes());
    }
    for (offset, physical, in_file, in_memory) in segments {
        for half in [1_u32, 7] {
            head.extend(half.to_le_bytes());
        }
        for word in [*offset, 0, *physical, *in_file, *in_memory, 0] {
            head.extend(word.to_le_bytes());
        }
    }
    head
}

/// A file in the seekable format.
pub(crate) fn seekable(frames: &[Vec<u8>], entries: &[FrameEntry]) -> Vec<u8> {
    let mut file = frames.concat();
    let table: SeekTable = entries.iter().copied().collect();
    file.extend(table.encode().expect("a table"));
    file
}

/// A frame, and its entry. Its own checksum counts, if there is one.
pub(crate) fn frame(bytes: &[u8]) -> (Vec<u8>, FrameEntry) {
    let mut encoder = zstd::bulk::Compressor::new(1).expect("zstd");
    encoder.include_checksum(true).expect("zstd");
    let packed = encoder.compress(bytes).expect("zstd");
    let checksum = packed.last_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("short");
    let entry = FrameEntry { compressed: length(&packed), decompressed: length(bytes), checksum };
    (packed, entry)
}

pub(crate) struct Hostile {
    folder: TempDir,
}

impl Hostile {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.path("core");
        fs::write(&path, bytes).expect("written");
        path
    }

    /// Runs each command that reads all of a core, or much of it. None of them hangs or takes
    /// more than 512 MiB, and none is ended by a signal.
    pub(crate) fn all_commands(&self, core: &Path) {
        let core = core.to_str().expect("UTF-8");
        for command in ["info", "report", "bt", "ps", "mods", "dmesg", "regs", "verify"] {
            self.run(&[command, core]);
        }
        self.run(&["vtop", core, "ffffffff81000000"]);
        self.run(&["read", core, "1000", "64"]);
        self.run(&["search", core, "needle", "--count"]);
        self.run(&["search", core, "--hex", "0000", "--limit", "3"]);
        let output = self.path("output");
        let output = output.to_str().expect("UTF-8");
        for more in [&["--format", "elf"][..], &["--format", "kdump-zstd"]] {
            self.run(&[&["export", core, "-o", output], more].concat());
            let _ = fs::remove_file(output);
        }
        self.run(&["import", core, "--output", output, "--quiet"]);
    }

    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        // Data of 512 MiB: what a command may write to. What it prints may be more than a pipe has
        // room for.
        let script = "ulimit -d 524288; printed=$0; exec \"$@\" >\"$printed\"";
        let printed = self.path("printed");
        let limited = ["sh", "-c", script, printed.to_str().expect("UTF-8")];
        let ran = finish(start_through(&limited, arguments));
        assert!(ran.code.is_some(), "{arguments:?}: {ran:#?}");
        for text in ["panicked", "memory allocation"] {
            assert!(!ran.stderr.contains(text), "{arguments:?}: {ran:#?}");
        }
        let stdout = fs::read(&printed).expect("what it printed");
        Ran { stdout: String::from_utf8_lossy(&stdout).into_owned(), ..ran }
    }
}

#[test]
fn holes_larger_than_any_machine_are_passed_over() {
    let hostile = Hostile::new();
    hostile.all_commands(&hostile.file(&elf_head(&[(0, 0, 0, 1 << 63)])));
    // A page of memory between holes of 2^45 bytes, a hundred times.
    let segments: Vec<Segment> =
        (0..100).map(|number| (1 << 14, number << 46, 4096, 1 << 45)).collect();
    let mut bytes = elf_head(&segments);
    bytes.resize(1 << 14, 0);
    bytes.extend([0xee; 4096]);
    let core = hostile.file(&bytes);
    hostile.all_commands(&core);
    let ran = hostile.run(&["search", core.to_str().unwrap(), "--hex", "eeee", "--count"]);
    assert_eq!(ran.stdout, "409500\n");
}

#[test]
fn memory_that_a_file_should_have_and_does_not_is_one_gap() {
    let hostile = Hostile::new();
    let mut bytes = elf_head(&[(4096, 0, 1 << 62, 1 << 62)]);
    hostile.all_commands(&hostile.file(&bytes));
    bytes.resize(4096 + 100, 0);
    let core = hostile.file(&bytes);
    let ran = hostile.run(&["verify", core.to_str().unwrap(), "--json"]).expect(3);
    assert!(ran.stdout.contains("\"bytes\": 100,"), "{ran:#?}");
    hostile.run(&["search", core.to_str().unwrap(), "needle"]).expect(3);
}

#[test]
fn a_sparse_file_is_searched_where_it_has_data() {
    const LENGTH: u64 = 1 << 42;
    let hostile = Hostile::new();
    let path = hostile.file(&elf_head(&[(4096, 0, LENGTH, LENGTH)]));
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(4096 + LENGTH).unwrap();
    for at in [5, LENGTH / 2 + 4093, LENGTH - 6] {
        file.write_all_at(b"needle", 4096 + at).unwrap();
    }
    let core = path.to_str().unwrap();
    let ran = hostile.run(&["search", core, "needle"]).expect(0);
    let found: Vec<_> = ran.stdout.lines().map(|line| line.split_whitespace().next()).collect();
    assert_eq!(found.len(), 3, "{ran:#?}");
    let ran = hostile.run(&["search", core, "--hex", "0000", "--count"]).expect(0);
    let zeros: u64 = ran.stdout.trim().parse().unwrap();
    assert!(zeros > LENGTH - 100 && zeros < LENGTH, "{zeros}");
    hostile.run(&["verify", core]).expect(0);
    for command in ["report", "bt", "info"] {
        hostile.run(&[command, core]);
    }
}

#[test]
fn a_sparse_file_is_exported_sparse() {
    const LENGTH: u64 = 1 << 40;
    let hostile = Hostile::new();
    let path = hostile.file(&elf_head(&[(4096, 0, LENGTH, LENGTH)]));
    File::options().write(true).open(&path).unwrap().set_len(4096 + LENGTH).unwrap();
    let output = hostile.path("output");
    let arguments = ["export", path.to_str().unwrap(), "-o", output.to_str().unwrap()];
    hostile.run(&arguments).expect(0);
    assert_eq!(fs::metadata(output).unwrap().len(), 4096 + LENGTH);
}

#[test]
fn a_seek_table_of_empty_chunks_is_a_few_findings() {
    const COUNT: usize = 300_000;
    let mut head = elf_head(&[(4096, 0, 1 << 20, 1 << 20)]);
    head.resize(8192, 0);
    let (packed, entry) = frame(&head);
    let hostile = Hostile::new();
    for (decompressed, code) in [(4096, 1), (0, 3)] {
        let empty = FrameEntry { compressed: 0, decompressed, checksum: Some(0) };
        let entries = [&[entry][..], &vec![empty; COUNT]].concat();
        let core = hostile.file(&seekable(std::slice::from_ref(&packed), &entries));
        let core = core.to_str().unwrap();
        let ran = hostile.run(&["verify", core]).expect(code);
        assert!(ran.stdout.len() < 1 << 20, "{} bytes", ran.stdout.len());
        assert_eq!(ran.stdout.contains("and 299000 more places"), code == 1);
        let ran = hostile.run(&["verify", core, "--json"]).expect(code);
        assert!(ran.stdout.len() < 8 << 20, "{} bytes", ran.stdout.len());
        for command in ["report", "info", "bt"] {
            let ran = hostile.run(&[command, core]);
            assert!(ran.stdout.len() < 1 << 16, "{command}: {} bytes", ran.stdout.len());
        }
    }
}

#[test]
fn thousands_of_segments_over_each_other_are_a_thousand_findings() {
    let mut bytes = elf_head(&vec![(4096, 0, 1, 4096); 20_000]);
    bytes.resize(bytes.len() + 4096, 1);
    let hostile = Hostile::new();
    let core = hostile.file(&bytes);
    let ran = hostile.run(&["verify", core.to_str().unwrap()]).expect(1);
    assert!(ran.stdout.contains("and 18999 more places"), "{ran:#?}");
    hostile.all_commands(&core);
}

#[test]
fn a_small_file_of_large_chunks_of_zeros_is_whole_and_not_unpacked() {
    const CHUNK: usize = 64 << 20;
    const COUNT: u64 = 500;
    let length = COUNT * CHUNK as u64;
    let mut head = elf_head(&[(4096, 0, length - 4096, length - 4096)]);
    head.resize(CHUNK, 0);
    let (first, first_entry) = frame(&head);
    let (zeros, zeros_entry) = frame(&vec![0; CHUNK]);
    let more = usize::try_from(COUNT - 1).unwrap();
    let frames = [vec![first], vec![zeros; more]].concat();
    let entries = [vec![first_entry], vec![zeros_entry; more]].concat();
    let hostile = Hostile::new();
    let core = hostile.file(&seekable(&frames, &entries));
    let core = core.to_str().unwrap();
    hostile.run(&["verify", core]).expect(0);
    hostile.run(&["search", core, "needle"]).expect(0);
    hostile.run(&["info", core]).expect(0);
}

/// A page in which a thousand segments lie, each of them 64 MiB: 62 GiB in a file of 64 MiB.
#[test]
fn reading_ends_where_a_file_is_no_longer_worth_it_and_deep_reads_on() {
    let count = 1000;
    let segments: Vec<Segment> =
        (0..count).map(|number| (1 << 16, number << 26, 64 << 20, 64 << 20)).collect();
    let hostile = Hostile::new();
    let path = hostile.path("core");
    let mut file = File::create(&path).unwrap();
    let mut head = elf_head(&segments);
    head.resize(1 << 16, 0);
    file.write_all(&head).unwrap();
    file.write_all(&vec![0xab; 64 << 20]).unwrap();
    let core = Vmcore::open(&path).unwrap();
    let found = verify(&core, 2);
    assert!(found.damage.is_empty() && found.bytes < 9 << 30, "{} bytes", found.bytes);
    let [missing] = found.missing.as_slice() else { panic!("{:#?}", found.missing) };
    assert!(missing.contains("8.00 GiB") && missing.contains("--deep reads all"), "{missing}");
    core.read_without_limit();
    let found = verify(&core, 2);
    assert_eq!((found.bytes, found.missing.len()), (count << 26, 0));
}

/// What is asked for piece by piece is not counted: 62 GiB of the same 64 MiB.
#[test]
fn a_mounted_file_is_read_for_as_long_as_it_is_mounted() {
    let segments: Vec<Segment> =
        (0..1000).map(|number| (1 << 16, number << 26, 64 << 20, 64 << 20)).collect();
    let hostile = Hostile::new();
    let mut bytes = elf_head(&segments);
    bytes.resize((1 << 16) + (64 << 20), 0xab);
    let core = Vmcore::open(&hostile.file(&bytes)).unwrap();
    core.memory().spend((8 << 30) - (1 << 20)).unwrap();
    let (at, mut buffer) = (vmcore_formats::addr::PhysAddr(0), vec![0; 2 << 20]);
    assert!(core.memory().read(at, &mut buffer).unwrap_err().is_too_much());
    vmcorectl::mount::Contents::of(&core).unwrap();
    assert!(core.memory().read(at, &mut buffer).is_ok());
}
