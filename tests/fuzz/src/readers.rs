//! The readers of files: a file is opened, and everything is asked of it.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};
use vmcore_formats::addr::PhysAddr;
use vmcore_formats::{elf as elf_format, kdump as kdump_format, windows_dump, zstd_frame};
use vmcorectl::render::registers::RegistersJson;
use vmcorectl::render::{self, report::paint::Paint};
use vmcorectl::triage::report::Report;
use vmcorectl::vmcore::Vmcore;
use vmcorectl::vmcore::memory::held_ranges;
use vmcorectl::vmcore::registers::Registers;
use vmcorectl::vmcore::summary::Summary;
use vmcorectl::vmcore::verify::verify;

use crate::limits::{FILE, within};
use crate::{output, sparse};

/// How much a command may print of a small file.
const OUTPUT: usize = 4 << 20;
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
