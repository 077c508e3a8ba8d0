//! Opens a core, whoever wrote it.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use vmcore_formats::elf::core_head::{CoreHeader, CoreTable, FileRange, HEADER_LENGTH};
use vmcore_formats::elf::dump_head::DumpHeadError;
use vmcore_formats::elf::note::Notes;
use vmcore_formats::elf::{Identity, Segment};
use vmcore_formats::kdump::{self, flattened};
use vmcore_formats::vmcoreinfo::VmcoreInfo;
use vmcore_formats::windows_dump::{MAGIC_32, MAGIC_64};
use vmcore_formats::zstd_frame;

use super::memory::PhysMemory;
use crate::corefile::read::bytes::{Bytes, DataError, PlainFile, read_vec};
use crate::corefile::read::chunked::ChunkedFile;
use crate::corefile::read::frame_table;
use crate::corefile::read::stored_metadata::{self, StoredMetadata};
use crate::metadata::Metadata;
use crate::vmcore::reader::elf_memory::ElfMemory;
use crate::vmcore::reader::flattened::{FlattenedFile, FlattenedFileError};
use crate::vmcore::reader::open_kdump;
use crate::vmcore::reader::open_kdump::{KdumpFileError, KdumpFormat};
use crate::vmcore::reader::open_windows;

/// The most bytes of notes that are read.
pub(super) const MAX_NOTES: u64 = 32 << 20;

/// Why a file is no core that can be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system refused.
    #[error("cannot open {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DataError,
    },
    /// Compressed in a way that cannot be opened.
    #[error("cannot open {} in place: {source}", path.display())]
    Compressed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: frame_table::Error,
    },
    /// An ELF file, but no core.
    #[error("{} is no core that can be read: {source}", path.display())]
    Elf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DumpHeadError,
    },
    /// A kdump-compressed file that cannot be opened.
    #[error("cannot open {} as a kdump-compressed file: {source}", path.display())]
    Kdump {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KdumpFileError,
    },
    /// A file of the flattened form that cannot be opened.
    #[error("cannot open {} as a flattened dump: {source}", path.display())]
    Flattened {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FlattenedFileError,
    },
    /// A dump of a Windows guest that cannot be opened.
    #[error("cannot open {} as a Windows crash dump: {problem}", path.display())]
    Windows {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No core at all.
    #[error("{} is no core: it begins with {found:02x?}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: Vec<u8>,
    },
}

/// How a core is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// An ELF core.
    Elf,
    /// An ELF core that was written through a pipe by makedumpfile, and never rearranged.
    FlattenedElf,
    /// A kdump-compressed file.
    Kdump(KdumpFormat),
    /// A crash dump of Windows.
    Windows,
    /// Not stored at all: the memory of a guest that stands still.
    HeldGuest,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elf => f.write_str("ELF"),
            Self::FlattenedElf => f.write_str("ELF, flattened"),
            Self::Kdump(kdump) => kdump.fmt(f),
            Self::Windows => f.write_str("Windows crash dump"),
            Self::HeldGuest => f.write_str("held guest"),
        }
    }
}

/// An open core.
#[derive(Debug)]
pub struct Vmcore {
    /// The file.
    pub path: PathBuf,
    /// How long the file is, in bytes.
    pub file_bytes: u64,
    /// How it is stored.
    pub format: Format,
    /// What machine it is of.
    pub identity: Identity,
    /// The notes, as an ELF core has them.
    pub notes: Vec<u8>,
    /// The guest's memory.
    pub memory: Arc<dyn PhysMemory>,
    /// The memory segments of an ELF core, as its program headers have them.
    pub segments: Vec<Segment>,
    /// The compressed file, if it is in the seekable format.
    pub chunked: Option<Arc<ChunkedFile>>,
    /// The ELF core as a file, unpacked; `None` if it is stored as something else.
    pub elf: Option<Arc<dyn Bytes>>,
    /// What is missing or wrong, as sentences.
    pub findings: Vec<String>,
}

impl Vmcore {
    /// Opens a core. Reads its head alone, whatever its size.
    ///
    /// A file that was cut off is opened as far as it goes; [`Self::findings`] says
    /// what is missing.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or is no core.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let plain = PlainFile::new(file.try_clone().map_err(io)?).map_err(io)?;
        if !first_bytes(path, &plain)?.starts_with(&zstd_frame::MAGIC.to_le_bytes()) {
            return open_bytes(path, Arc::new(plain), None);
        }
        let chunked = ChunkedFile::open(file)
            .map_err(|source| OpenError::Compressed { path: path.to_owned(), source })?;
        let chunked = Arc::new(chunked);
        let cut_off = chunked.table().cut_off();
        let mut core = open_bytes(path, Arc::<ChunkedFile>::clone(&chunked), Some(chunked))?;
        if let Some(at) = cut_off {
            core.findings.insert(
                0,
                format!("the file was cut off: it has no seek table, and its last whole chunk ends at byte {at:#x}"),
            );
        }
        Ok(core)
    }

    /// The notes, one after the other.
    #[must_use]
    pub fn notes(&self) -> Notes<'_> {
        Notes::new(&self.notes, self.identity.endian)
    }

    /// The metadata of its capture: what is in the core, else what is beside it.
    ///
    /// Returns `None` for a core that no capture wrote.
    #[must_use]
    pub fn metadata(&self) -> Option<Metadata> {
        self.stored_metadata().map(|stored| stored.metadata)
    }

    /// The same, with the text that it was read from.
    #[must_use]
    pub fn stored_metadata(&self) -> Option<StoredMetadata> {
        stored_metadata::find(self.chunked.as_deref(), &self.path)
    }

    /// The VMCOREINFO note, if the core has one.
    #[must_use]
    pub fn vmcoreinfo_note(&self) -> Option<VmcoreInfo> {
        let note = self.notes().filter_map(Result::ok).find(|note| note.name == b"VMCOREINFO")?;
        Some(VmcoreInfo::parse(note.descriptor))
    }
}

fn first_bytes(path: &Path, bytes: &dyn Bytes) -> Result<Vec<u8>, OpenError> {
    let length = bytes.length().min(HEADER_LENGTH as u64);
    read_vec(bytes, 0, length).map_err(|source| OpenError::Data { path: path.to_owned(), source })
}

fn open_bytes(
    path: &Path,
    bytes: Arc<dyn Bytes>,
    chunked: Option<Arc<ChunkedFile>>,
) -> Result<Vmcore, OpenError> {
    let first = first_bytes(path, &*bytes)?;
    let length = chunked.as_ref().map_or(bytes.length(), |chunked| chunked.file().length());
    if !first.starts_with(&flattened::SIGNATURE) {
        return open_dump(path, bytes, chunked, &first, false);
    }
    let file = FlattenedFile::open(bytes)
        .map_err(|source| OpenError::Flattened { path: path.to_owned(), source })?;
    let cut_off =
        file.cut_off().map(|problem| format!("the flattened file is not whole: {problem}"));
    let file: Arc<dyn Bytes> = Arc::new(file);
    let first = first_bytes(path, &*file)?;
    let mut core = open_dump(path, file, chunked, &first, true)?;
    core.file_bytes = length;
    core.findings.splice(0..0, cut_off);
    Ok(core)
}

fn open_dump(
    path: &Path,
    bytes: Arc<dyn Bytes>,
    chunked: Option<Arc<ChunkedFile>>,
    first: &[u8],
    flattened: bool,
) -> Result<Vmcore, OpenError> {
    if first.starts_with(vmcore_formats::elf::MAGIC) {
        let mut core = open_elf(path, bytes, chunked, first)?;
        if flattened {
            core.format = Format::FlattenedElf;
        }
        return Ok(core);
    }
    if first.starts_with(&kdump::SIGNATURE) {
        return open_kdump::open(path, bytes, chunked, flattened);
    }
    // Of 64 and of 32 bits. QEMU writes the first for a guest with Windows drivers.
    if first.starts_with(MAGIC_64) || first.starts_with(MAGIC_32) {
        return open_windows::open(path, bytes, chunked);
    }
    let found = first.get(..8).unwrap_or(first).to_vec();
    Err(OpenError::Unknown { path: path.to_owned(), found })
}

fn open_elf(
    path: &Path,
    bytes: Arc<dyn Bytes>,
    chunked: Option<Arc<ChunkedFile>>,
    first: &[u8],
) -> Result<Vmcore, OpenError> {
    let elf = |source| OpenError::Elf { path: path.to_owned(), source };
    let data = |source| OpenError::Data { path: path.to_owned(), source };
    let part = |range: FileRange| read_vec(&*bytes, range.offset, range.length).map_err(data);

    let header = CoreHeader::decode(first).map_err(elf)?;
    let section = header.extended_count().map(part).transpose()?;
    let table = part(header.table(section.as_deref()).map_err(elf)?)?;
    let table = CoreTable::decode(&table, header.identity).map_err(elf)?;

    let mut findings = Vec::new();
    let mut notes = Vec::new();
    for range in &table.notes {
        if (notes.len() as u64).saturating_add(range.length) > MAX_NOTES {
            findings.push(format!("notes of {:#x} bytes were not read: too long", range.length));
            continue;
        }
        match read_vec(&*bytes, range.offset, range.length) {
            Ok(bytes) => notes.extend(bytes),
            Err(error) => findings.push(format!("notes cannot be read: {error}")),
        }
    }
    let memory = ElfMemory::new(Arc::clone(&bytes), &table.segments);
    if memory.ranges().is_empty() {
        return Err(elf(DumpHeadError::NoMemory));
    }
    let (truncated, excluded) = (memory.truncated(), memory.excluded());
    if truncated > 0 {
        findings.push(format!("{truncated} bytes of memory are missing at the end of the file"));
    }
    if excluded > 0 {
        findings.push(format!(
            "{excluded} bytes of memory were left out when the core was written: zero pages, or what was filtered"
        ));
    }
    Ok(Vmcore {
        path: path.to_owned(),
        file_bytes: chunked.as_ref().map_or(bytes.length(), |chunked| chunked.file().length()),
        format: Format::Elf,
        identity: header.identity,
        notes,
        memory: Arc::new(memory),
        segments: table.segments,
        chunked,
        elf: Some(bytes),
        findings,
    })
}
