//! The readers of files: a file is opened, and everything is asked of it.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, memfd_create};
use vmcore_formats::addr::PhysAddr;
use vmcore_formats::triage_pack::HEAD_MAGIC;
use vmcore_formats::{elf as elf_format, kdump as kdump_format, windows_dump, zstd_frame};
use vmcorectl::corefile::pack::{Pack, PackedCore, RestOfCore, UsedChunks};
use vmcorectl::corefile::read::bytes::Bytes;
use vmcorectl::corefile::read::chunked::ChunkedFile;
use vmcorectl::encryption::identities::{Ask, Nobody};
use vmcorectl::encryption::{AgeFile, FileKey, Identities};
use vmcorectl::render::registers::RegistersJson;
use vmcorectl::render::{self, report::paint::Paint};
use vmcorectl::triage::report::Report;
use vmcorectl::vmcore::Vmcore;
use vmcorectl::vmcore::memory::held_ranges;
use vmcorectl::vmcore::registers::Registers;
use vmcorectl::vmcore::summary::Summary;
use vmcorectl::vmcore::verify::verify;

use crate::limits::{FILE, SMALL, within};
use crate::{output, sparse};

/// How much a command may print of a small file.
const OUTPUT: usize = 4 << 20;
/// What an age file begins with.
const AGE_START: &[u8] = b"age-encryption.org/v1\n";
/// How many ranges of memory are read.
const RANGES: usize = 64;

/// An ELF core.
pub(crate) fn elf(input: &[u8]) {
    open(&with_magic(input.to_vec(), elf_format::MAGIC));
}

/// A compressed core.
pub(crate) fn chunked(input: &[u8]) {
    open(&with_magic(input.to_vec(), &zstd_frame::MAGIC.to_le_bytes()));
}

/// A triage pack, whose core is not there.
pub(crate) fn pack(input: &[u8]) {
    let file = with_magic(input.to_vec(), &HEAD_MAGIC.to_le_bytes());
    within(FILE, || {
        let path = Path::new("/nonexistent/vmcore.elf.zst");
        if let Ok(core) = Vmcore::of_pack_bytes(Arc::new(file.clone()), path) {
            read(&core);
        }
    });
    packed(input);
}

/// The pack of a core, with all of its chunks: it gives the core's bytes.
fn packed(input: &[u8]) {
    within(FILE, || {
        let core = with_magic(input.to_vec(), &zstd_frame::MAGIC.to_le_bytes());
        let file: Arc<dyn Bytes> = Arc::new(core.clone());
        let Ok(chunked) = ChunkedFile::of_bytes(file) else { return };
        let chunks = u32::try_from(chunked.table().frames().len()).unwrap_or(u32::MAX);
        let used = UsedChunks { report: (0..chunks).rev().collect(), stacks: vec![0, u32::MAX] };
        let Ok(pack) = Pack::of(chunked, &used) else { return };
        let mut bytes = Vec::new();
        pack.write(&mut bytes).expect("memory");
        assert_eq!(bytes.len() as u64, pack.length(), "another length than it says");
        let gone: Arc<dyn RestOfCore> = Arc::new(Gone);
        let opened = PackedCore::open(Arc::new(bytes), gone).expect("its own pack");
        let mut found = vec![0; core.len()];
        if opened.read(0, &mut found).is_ok() {
            assert!(found == core, "other bytes than the core's");
        }
    });
}

#[derive(Debug)]
struct Gone;

impl RestOfCore for Gone {
    fn file(&self) -> Result<Arc<dyn Bytes>, String> {
        Err("the core is gone".to_owned())
    }
}

/// An age file, as far as that goes without the key of a recipient; and with a key that is not its.
pub(crate) fn age(input: &[u8]) {
    within(SMALL, || {
        let file: Arc<dyn Bytes> = Arc::new(with_magic(input.to_vec(), AGE_START));
        let _ = AgeFile::length_of(&*file);
        let nobody: Arc<dyn Ask> = Arc::new(Nobody);
        let identities = Identities::read(&[], &nobody).expect("no file");
        let error = AgeFile::open(file.clone(), &identities).expect_err("without a key");
        output::text(OUTPUT, |out| write!(out, "{error}"));
        let key: FileKey =
            serde_json::from_str("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]").expect("a key");
        assert!(AgeFile::with_key(file, &key).is_err(), "by another key");
    });
}

/// A kdump-compressed file.
pub(crate) fn kdump(input: &[u8]) {
    open(&with_magic(sparse::file(input), &kdump_format::SIGNATURE));
}

/// The same, or an ELF core, in the flattened form.
pub(crate) fn flattened(input: &[u8]) {
    let mut file = kdump_format::flattened::encode_start();
    file.extend_from_slice(input);
    open(&file);
}

/// A Windows crash dump.
pub(crate) fn windows(input: &[u8]) {
    open(&with_magic(sparse::file(input), windows_dump::MAGIC_64));
}

/// The file with the first bytes that lead to its reader.
fn with_magic(mut file: Vec<u8>, magic: &[u8]) -> Vec<u8> {
    if file.len() < magic.len() {
        file.resize(magic.len(), 0);
    }
    for (to, from) in file.iter_mut().zip(magic) {
        *to = *from;
    }
    file
}

fn open(bytes: &[u8]) {
    within(FILE, || {
        let mut file = File::from(memfd_create("core", MemfdFlags::CLOEXEC).expect("a memfd"));
        file.write_all(bytes).expect("the memfd");
        if let Ok(core) = Vmcore::of_file(file, Path::new("/nonexistent/core")) {
            read(&core);
        }
    });
}

fn read(core: &Vmcore) {
    let summary = Summary::of(core);
    output::text(OUTPUT, |out| render::info::bare(core.path(), &summary, out));
    output::json(OUTPUT, |out| render::json::pretty(&summary, out));
    if let Some(metadata) = core.metadata() {
        output::text(OUTPUT, |out| render::info::text(&metadata, Some(&summary), out));
    }
    registers(core);
    let found = verify(core, 1);
    output::text(OUTPUT, |out| render::verify::text(core.path(), &found, out));
    output::json(OUTPUT, |out| render::json::pretty(&found, out));
    memory(core);
    let report = Report::of(core);
    output::report_json(OUTPUT, &report);
    output::text(OUTPUT, |out| render::report::text::text(&report, Paint { colours: false }, out));
}

fn registers(core: &Vmcore) {
    let Registers { cpus, findings } = Registers::of(core.notes(), core.identity());
    let all: Vec<_> = cpus.iter().collect();
    output::text(OUTPUT, |out| render::registers::text(&all, &findings, out));
    let registers = RegistersJson::new(core.identity().machine_name(), &all, &findings);
    output::json(OUTPUT, |out| render::json::pretty(&registers, out));
}

/// Reads the ends of ranges that the core has, and what is around them.
fn memory(core: &Vmcore) {
    let memory = core.memory();
    let mut buffer = vec![0; 4096];
    for range in
        held_ranges(memory).take(RANGES).chain(memory.ranges().iter().copied().take(RANGES))
    {
        assert!(range.length > 0, "an empty range");
        assert!(memory.piece_end(range.start) > range.start, "a piece without an end");
        for at in [range.start, PhysAddr(range.end().0.saturating_sub(4096)), range.end()] {
            let _ = memory.read(at, &mut buffer);
            let _ = memory.zeros(at);
        }
    }
}
