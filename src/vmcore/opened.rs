//! An open core: its notes, its memory, and what is wrong with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vmcore_formats::elf::note::Notes;
use vmcore_formats::elf::{Identity, Segment};
use vmcore_formats::page_class::LeftOut;
use vmcore_formats::page_class::left_out::MAX_STRETCHES;
use vmcore_formats::vmcoreinfo::VmcoreInfo;
use vmcore_formats::windows_dump::WindowsDump;

use super::dump::Dump;
use super::left_out::{self, LeftOutMemory};
use super::memory::PhysMemory;
use super::reader::windows;
use crate::corefile::read::bytes::Bytes;
use crate::corefile::read::chunked::ChunkedFile;
use crate::corefile::read::stored_metadata::{self, LocalNeighbours, Neighbours, StoredMetadata};
use crate::metadata::Metadata;

/// How many findings of a file are kept: a table of notes alone can have half a million.
const MAX_FINDINGS: usize = 100;

/// An open core.
#[derive(Debug)]
pub struct Vmcore {
    path: PathBuf,
    neighbours: Arc<dyn Neighbours>,
    file_bytes: u64,
    chunked: Option<Arc<ChunkedFile>>,
    dump: Dump,
    /// The pages that the core lacks by their class.
    left_out: Option<Arc<LeftOut>>,
}

impl Vmcore {
    /// The core of a dump that is in no file. `path` is what messages call it.
    pub fn without_file(path: &Path, dump: Dump) -> Self {
        Self::new(path, 0, None, dump)
    }

    /// The core of a dump in a file of so many bytes.
    pub(super) fn new(
        path: &Path,
        file_bytes: u64,
        chunked: Option<Arc<ChunkedFile>>,
        mut dump: Dump,
    ) -> Self {
        if let Some(more) = dump.findings.len().checked_sub(MAX_FINDINGS).filter(|more| *more > 0) {
            dump.findings.truncate(MAX_FINDINGS);
            dump.findings.push(format!("and {more} more of such findings"));
        }
        let record = left_out::in_notes(&dump.notes, dump.identity.endian);
        let record = record.and_then(|record| match record {
            Ok(record) => Some(Arc::new(record)),
            Err(error) => {
                dump.findings.push(error.to_string());
                None
            }
        });
        if let Some(record) = record.as_ref().filter(|record| !record.runs.is_empty()) {
            dump.memory = Arc::new(LeftOutMemory::new(dump.memory, Arc::clone(record)));
        }
        let neighbours = Arc::new(LocalNeighbours { core: path.to_owned() });
        Self { path: path.to_owned(), neighbours, file_bytes, chunked, dump, left_out: record }
    }

    /// The same core, whose neighbours are not on this machine.
    #[must_use]
    pub fn with_neighbours(self, neighbours: Arc<dyn Neighbours>) -> Self {
        Self { neighbours, ..self }
    }

    /// The same core, in whose file something else was found.
    #[must_use]
    pub fn with_finding(mut self, finding: Option<String>) -> Self {
        self.dump.findings.splice(0..0, finding);
        self
    }

    /// What is beside its file.
    pub fn neighbours(&self) -> &dyn Neighbours {
        &*self.neighbours
    }

    /// The file, or what takes its place in messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long the file is, in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// How the core is stored: for example `ELF`.
    pub fn format(&self) -> &str {
        &self.dump.format
    }

    /// What machine it is of.
    pub fn identity(&self) -> Identity {
        self.dump.identity
    }

    /// The guest's memory.
    pub fn memory(&self) -> &dyn PhysMemory {
        &*self.dump.memory
    }

    /// The guest's memory, to be kept longer than the core.
    pub fn shared_memory(&self) -> Arc<dyn PhysMemory> {
        Arc::clone(&self.dump.memory)
    }

    /// The memory segments of an ELF core, as its program headers have them.
    pub fn segments(&self) -> &[Segment] {
        &self.dump.segments
    }

    /// The compressed file, if it is in the seekable format.
    pub fn chunked(&self) -> Option<&ChunkedFile> {
        self.chunked.as_deref()
    }

    /// The ELF core as a file, unpacked; `None` if it is stored as something else.
    pub fn elf(&self) -> Option<&Arc<dyn Bytes>> {
        self.dump.elf.as_ref()
    }

    /// What is missing or wrong, as sentences.
    pub fn findings(&self) -> &[String] {
        &self.dump.findings
    }

    /// The notes, one after the other.
    pub fn notes(&self) -> Notes<'_> {
        Notes::new(&self.dump.notes, self.dump.identity.endian)
    }

    /// The notes as an ELF core has them.
    pub fn note_bytes(&self) -> &[u8] {
        &self.dump.notes
    }

    /// Lifts the bound on what may be read of the file, for one that describes far more than it
    /// holds, and for a command that reads on request only.
    pub fn read_without_limit(&self) {
        self.dump.memory.read_without_limit();
    }

    /// Replaces the notes. The core is no longer the ELF file that it was, if it was one.
    pub fn set_notes(&mut self, notes: Vec<u8>) {
        self.dump.notes = notes;
        self.dump.elf = None;
    }

    /// Replaces the memory. The core is no longer the ELF file that it was, if it was one.
    pub fn set_memory(&mut self, memory: Arc<dyn PhysMemory>) {
        self.dump.memory = memory;
        self.dump.elf = None;
    }

    /// The pages that the core lacks, or will lack, by their class.
    ///
    /// Returns `None` if it has no record of them.
    pub fn left_out(&self) -> Option<&LeftOut> {
        self.left_out.as_deref()
    }

    /// Leaves pages out, beside those that it lacks already. The core is no longer the ELF file
    /// that it was, if it was one.
    ///
    /// Returns whether the record of it fits into a note; if not, nothing is left out.
    pub fn leave_out(&mut self, left_out: &LeftOut) -> bool {
        let memory: Vec<_> =
            self.memory().ranges().iter().map(|range| (range.start, range.length)).collect();
        let mut record = left_out.within(&memory);
        if let Some(before) = &self.left_out {
            record = before.and_then(&record);
        }
        record.keep_short_stretches(MAX_STRETCHES);
        let endian = self.dump.identity.endian;
        let Some(notes) = left_out::with_record(&self.dump.notes, endian, &record) else {
            return false;
        };
        let record = Arc::new(record);
        self.set_notes(notes);
        let memory = LeftOutMemory::new(self.shared_memory(), Arc::clone(&record));
        self.set_memory(Arc::new(memory));
        self.left_out = Some(record);
        true
    }

    /// The metadata of its capture: what is in the core, else what is beside it.
    ///
    /// Returns `None` for a core that no capture wrote.
    pub fn metadata(&self) -> Option<Metadata> {
        self.stored_metadata().map(|stored| stored.metadata)
    }

    /// The same, with the text that it was read from.
    pub fn stored_metadata(&self) -> Option<StoredMetadata> {
        stored_metadata::find(self.chunked(), self.neighbours())
    }

    /// The VMCOREINFO note, if the core has one.
    pub fn vmcoreinfo_note(&self) -> Option<VmcoreInfo> {
        let note = self.notes().filter_map(Result::ok).find(|note| note.name == b"VMCOREINFO")?;
        Some(VmcoreInfo::parse(note.descriptor))
    }

    /// The header of the Windows crash dump that this is, or that it was imported from.
    pub fn windows_header(&self) -> Option<WindowsDump> {
        windows::header_in(self.notes())
    }
}
