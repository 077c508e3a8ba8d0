//! Opens a core, whatever its format.
//!
//! ```text
//! file ─► chunks, if it is compressed ─► flattened form, if it is one ─► a reader by its magic
//! ```

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use vmcore_formats::kdump::flattened;
use vmcore_formats::zstd_frame;

use super::dump::Dump;
use super::opened::Vmcore;
use super::reader::flattened::FlattenedFile;
use super::reader::{ReadError, reader_of};
use crate::corefile::pack::{self, PackedCore, RestOfCore};
use crate::corefile::read::bytes::{Bytes, DataError, PlainFile, read_vec};
use crate::corefile::read::chunked::ChunkedFile;
use crate::corefile::read::frame_table;
use crate::metadata::core_record::{CORE_RECORD, CoreRecord, MAX_RECORD};
use crate::metadata::{CORE_FILE, PACK_FILE};
use crate::regular_file;

/// How many bytes at a file's start are compared with magics.
const MAGIC_BYTES: u64 = 64;

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
    /// A file that should be a triage pack.
    #[error("cannot use {} instead of the core: {source}", path.display())]
    Pack {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pack::OpenError,
    },
    /// It begins like a dump, and cannot be read as one.
    #[error("cannot open {} as {format}: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it seems to be, with its article.
        format: &'static str,
        /// What is wrong with it.
        source: ReadError,
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

impl Vmcore {
    /// Opens a core. Reads its head alone, whatever its size. Of an entry that has lost its core,
    /// this is what its triage pack has.
    ///
    /// A file that was cut off is opened as far as it goes; [`Self::findings`] says
    /// what is missing.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let wrong = |source| OpenError::Io { path: path.to_owned(), source };
        match regular_file::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Self::of_pack(pack_of(path).ok_or_else(|| wrong(error))?, path)
            }
            file => Self::of_file(file.map_err(wrong)?, path),
        }
    }

    /// Opens a core whose file is open already. `path` is where its metadata is looked
    /// for, and what messages call it.
    pub fn of_file(file: File, path: &Path) -> Result<Self, OpenError> {
        let plain = PlainFile::new(file);
        let plain = plain.map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Self::of_bytes(Arc::new(plain), path)
    }

    /// The same. Records the chunks that are read, if the core has any, from the first one on.
    pub fn of_bytes_recorded(file: Arc<dyn Bytes>, path: &Path) -> Result<Self, OpenError> {
        Self::open_bytes(file, path, ChunkedFile::record_use)
    }

    /// Opens what the triage pack in a file has of a core. `path` is where the core was.
    pub fn of_pack(pack: File, path: &Path) -> Result<Self, OpenError> {
        let wrong = |source| OpenError::Io { path: path.with_file_name(PACK_FILE), source };
        Self::of_pack_bytes(Arc::new(PlainFile::new(pack).map_err(wrong)?), path)
    }

    /// The same, of the bytes of the pack, wherever that is.
    pub fn of_pack_bytes(pack: Arc<dyn Bytes>, path: &Path) -> Result<Self, OpenError> {
        let gone = Arc::new(Gone { core: path.to_owned() });
        let packed = PackedCore::open(pack, gone)
            .map_err(|source| OpenError::Pack { path: path.with_file_name(PACK_FILE), source })?;
        Self::of_bytes(Arc::new(packed), path)
    }

    /// Opens a core by the bytes of its file, wherever that is.
    pub fn of_bytes(file: Arc<dyn Bytes>, path: &Path) -> Result<Self, OpenError> {
        Self::open_bytes(file, path, |_| ())
    }

    fn open_bytes(
        file: Arc<dyn Bytes>,
        path: &Path,
        prepare: impl FnOnce(&ChunkedFile),
    ) -> Result<Self, OpenError> {
        let file_bytes = file.length();
        if !magic(path, &*file)?.starts_with(&zstd_frame::MAGIC.to_le_bytes()) {
            let dump = open_bytes(path, file)?;
            return Ok(Self::new(path, file_bytes, None, dump));
        }
        let chunked = ChunkedFile::of_bytes(file)
            .map_err(|source| OpenError::Compressed { path: path.to_owned(), source })?;
        prepare(&chunked);
        let chunked = Arc::new(chunked);
        let mut dump = open_bytes(path, Arc::<ChunkedFile>::clone(&chunked))?;
        if let Some(at) = chunked.table().cut_off() {
            dump.findings.insert(
                0,
                format!("the file was cut off: it has no seek table, and its last whole chunk ends at byte {at:#x}"),
            );
        }
        Ok(Self::new(path, file_bytes, Some(chunked), dump))
    }
}

/// The triage pack of the entry that has a core at this path.
pub fn pack_of(core: &Path) -> Option<File> {
    let in_entry = core.file_name().is_some_and(|name| name == CORE_FILE);
    in_entry.then(|| regular_file::open(&core.with_file_name(PACK_FILE)).ok())?
}

/// A core that is not there any more.
#[derive(Debug)]
struct Gone {
    core: PathBuf,
}

impl RestOfCore for Gone {
    fn file(&self) -> Result<Arc<dyn Bytes>, String> {
        let record = regular_file::read_own(&self.core.with_file_name(CORE_RECORD), MAX_RECORD);
        let record = record.ok().and_then(|json| CoreRecord::parse(&json).ok());
        Err(record.map_or_else(
            || format!("{} is not there", self.core.display()),
            |record| format!("the core is not here: {record}"),
        ))
    }
}

fn magic(path: &Path, bytes: &dyn Bytes) -> Result<Vec<u8>, OpenError> {
    let length = bytes.length().min(MAGIC_BYTES);
    read_vec(bytes, 0, length).map_err(|source| OpenError::Data { path: path.to_owned(), source })
}

fn open_bytes(path: &Path, bytes: Arc<dyn Bytes>) -> Result<Dump, OpenError> {
    let wrong = |format| move |source| OpenError::Format { path: path.to_owned(), format, source };
    let mut first = magic(path, &*bytes)?;
    let mut file = bytes;
    let mut cut_off = None;
    let is_flattened = first.starts_with(&flattened::SIGNATURE);
    if is_flattened {
        let flattened =
            FlattenedFile::open(file).map_err(|error| wrong("a flattened dump")(error.into()))?;
        cut_off = flattened
            .cut_off()
            .map(|problem| format!("the flattened file is not whole: {problem}"));
        file = Arc::new(flattened);
        first = magic(path, &*file)?;
    }
    let Some(reader) = reader_of(&first) else {
        first.truncate(8);
        return Err(OpenError::Unknown { path: path.to_owned(), found: first });
    };
    let mut dump = (reader.open)(file).map_err(wrong(reader.format))?;
    if is_flattened {
        dump.format.push_str(", flattened");
        dump.findings.splice(0..0, cut_off);
    }
    Ok(dump)
}
