//! The metadata of an import.

use jiff::Timestamp;
use vmcore_formats::addr::PhysAddr;
use vmcore_formats::elf::Class;
use vmcore_formats::seekable::SeekTable;

use super::ImportRequest;
use crate::corefile::chunk_hash::chunk_hash;
use crate::corefile::read::bytes::Bytes;
use crate::corefile::write::CHUNK;
use crate::kernel::find::note::VmcoreInfoNote;
use crate::metadata::{CaptureResult, Core, Failure, Imported, Metadata, Request};
use crate::store::staging::Staging;
use crate::vmcore::Vmcore;
use crate::vmcore::elf_image::ElfImage;
use crate::vmcore::memory::{MemoryError, PhysMemory, held_ranges};
use crate::vmcore::summary::Summary;

/// Memory of the guest that a file does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// What was left out when it was written, in bytes.
    pub(super) left_out: u64,
    /// What it lost at its end, in bytes.
    pub(super) cut_off: u64,
}

impl Missing {
    /// What the ranges of `memory` have, and the file does not.
    pub(super) fn of(memory: &dyn PhysMemory) -> Self {
        let mut missing = Self::default();
        let mut held = held_ranges(memory).peekable();
        for range in memory.ranges() {
            let mut at = range.start;
            while at < range.end() {
                while held.next_if(|held| held.end() <= at).is_some() {}
                match held.peek() {
                    Some(held) if held.contains(at) => at = held.end(),
                    next => {
                        let end = next.map_or(range.end(), |next| next.start.min(range.end()));
                        missing.add(memory, at, end.0.saturating_sub(at.0));
                        at = end;
                    }
                }
            }
        }
        missing
    }

    fn add(&mut self, memory: &dyn PhysMemory, at: PhysAddr, length: u64) {
        let sum = match memory.read(at, &mut [0]) {
            Err(MemoryError::Truncated { .. }) => &mut self.cut_off,
            // The core's own record of pages left out has it.
            Err(MemoryError::LeftOut { .. }) => return,
            _ => &mut self.left_out,
        };
        *sum = sum.saturating_add(length);
    }
}

/// The metadata before anything is read: the file's own, or one with every guest field
/// unknown.
pub(super) fn begin(
    request: &ImportRequest,
    core: &Vmcore,
    missing: &Missing,
    info: &VmcoreInfoNote,
) -> Metadata {
    let now = Timestamp::now();
    let mut metadata = core.metadata().unwrap_or_else(|| {
        // How many threads there were is filled in when it is known.
        Metadata::new(Request { level: request.level, ..Request::to_read() }, now)
    });
    if request.guest.is_some() {
        metadata.guest.name.clone_from(&request.guest);
    }
    metadata.id.clear();
    metadata.core = None;
    metadata.result = CaptureResult::Capturing;
    let name = request.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    metadata.warnings.extend(core.findings().iter().cloned());
    if !request.pages.is_empty() {
        metadata.request.pages = Some(request.pages.to_string());
    }
    if let Some(record) = core.left_out() {
        metadata.set_left_out(record);
    }
    if missing.left_out > 0 && metadata.pages_dropped.is_empty() {
        metadata.pages_dropped.push("unknown".to_owned());
    }
    match info {
        VmcoreInfoNote::Present => {}
        VmcoreInfoNote::Added(note) => metadata.warnings.push(note.clone()),
        VmcoreInfoNote::Missing(why) => {
            metadata
                .warnings
                .push(format!("{why}; crash, drgn and makedumpfile may not know its kernel"));
        }
    }
    metadata.imported = Some(Imported {
        file: name,
        format: core.format().to_string(),
        bytes: core.file_bytes(),
        at: now,
        vmcoreinfo_found: matches!(info, VmcoreInfoNote::Added(_)),
    });
    metadata.failure = (missing.cut_off > 0).then(|| Failure {
        stage: "import".to_owned(),
        message: format!("the imported file was cut off: {} bytes are missing", missing.cut_off),
        qemu_error: None,
    });
    metadata
}

/// What was written.
pub(super) struct Packed<'a> {
    pub(super) table: &'a SeekTable,
    pub(super) zero_bytes: u64,
    pub(super) threads: usize,
}

/// Adds what describes the stored core.
pub(super) fn end(
    metadata: &mut Metadata,
    core: &Vmcore,
    image: &ElfImage,
    packed: &Packed<'_>,
    staging: &Staging,
) {
    let whole = metadata.failure.is_none();
    metadata.result = if whole { CaptureResult::Complete } else { CaptureResult::Incomplete };
    let table = packed.table;
    let info = core.vmcoreinfo_note();
    let value = |key| info.as_ref().and_then(|info| info.value(key)).map(str::to_owned);
    metadata.core = Some(Core {
        file: staging.core_file().file_name().unwrap_or_default().to_string_lossy().into_owned(),
        format: "elf+zstd-seekable".to_owned(),
        machine: core.identity().machine_name().map(str::to_owned),
        endianness: Some(core.identity().endian.name().to_owned()),
        elf_class: Some(match core.identity().class {
            Class::Elf32 => 32,
            Class::Elf64 => 64,
        }),
        bytes_read: core.file_bytes(),
        bytes_expected: None,
        bytes_core: image.length(),
        bytes_written: table.compressed_length(),
        zero_bytes: packed.zero_bytes,
        chunk_bytes: CHUNK as u64,
        chunks: table.len() as u64,
        segments: image.built_segments(),
        cpus: Some(Summary::of(core).cpus),
        vmcoreinfo: Some(info.is_some()),
        kernel_release: value("OSRELEASE"),
        kernel_build_id: value("BUILD-ID"),
        chunks_sha256: chunk_hash(table),
    });
    if metadata.request.threads == 0 {
        metadata.request.threads = packed.threads;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmcore::memory::MemoryRange;

    /// Two ranges, of which the first lost its middle and the second its end.
    #[derive(Debug)]
    struct Memory([MemoryRange; 2], [MemoryRange; 3]);

    impl PhysMemory for Memory {
        fn ranges(&self) -> &[MemoryRange] {
            &self.0
        }

        fn read(&self, at: PhysAddr, _: &mut [u8]) -> Result<(), MemoryError> {
            if at >= self.0[1].start {
                return Err(MemoryError::Truncated { at, offset: 0 });
            }
            Err(MemoryError::Excluded { at })
        }

        fn next_held(&self, from: PhysAddr) -> Option<MemoryRange> {
            crate::vmcore::memory::next_range(&self.1, from)
        }
    }

    #[test]
    fn what_was_left_out_is_distinct_from_what_was_cut_off() {
        let range = |start, end| MemoryRange { start: PhysAddr(start), length: end - start };
        let memory = Memory(
            [range(0x1000, 0x9000), range(0x10000, 0x20000)],
            [range(0x1000, 0x3000), range(0x5000, 0x9000), range(0x10000, 0x18000)],
        );
        assert_eq!(Missing::of(&memory), Missing { left_out: 0x2000, cut_off: 0x8000 });
        let nothing = Memory(memory.0, [range(0x30000, 0x30001); 3]);
        assert_eq!(Missing::of(&nothing), Missing { left_out: 0x8000, cut_off: 0x10000 });
    }
}
