//! The metadata of a core: in the core, behind its last chunk, and in a file beside it.
//!
//! Both can be had as stored, byte by byte, to compare or to copy them.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;
use vmcore_formats::seekable::{METADATA_MAGIC, skippable_content};

use super::bytes::{Bytes, PlainFile, read_vec};
use super::chunked::ChunkedFile;
use crate::metadata::{METADATA_FILE, Metadata, PACK_FILE, SCHEMA, is_core_name};
use crate::regular_file;

/// The longest metadata that is read, in bytes.
pub const MAX_METADATA: u64 = 16 << 20;
/// What the schema of every version begins with; its number follows.
const SCHEMAS: &str = "vmcorectl/metadata/";

/// Why a core's metadata cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// No frame of metadata in the core.
    #[error("the core has no metadata in it")]
    None,
    /// Written by a version whose metadata this one does not know.
    #[error("the metadata has the schema {found}, and this version reads {SCHEMA}")]
    OtherSchema {
        /// Its schema.
        found: String,
    },
    /// It cannot be read, or is no metadata.
    #[error("the core's metadata is damaged: {problem}")]
    Damaged {
        /// What is wrong with it.
        problem: String,
    },
}

/// Metadata, and the JSON text that it was read from.
#[derive(Clone, Debug)]
pub struct StoredMetadata {
    /// What is stored, byte by byte.
    pub text: Vec<u8>,
    /// What it says.
    pub metadata: Metadata,
}

/// What is beside a core's file.
pub trait Neighbours: fmt::Debug + Send + Sync {
    /// The JSON text of its metadata.
    fn metadata(&self) -> io::Result<Vec<u8>>;

    /// Whether it has to be there: a core in a file of its own is complete without.
    fn has_metadata(&self) -> bool;

    /// Its triage pack.
    fn pack(&self) -> io::Result<Arc<dyn Bytes>>;
}

/// Beside a file of this machine.
#[derive(Clone, Debug)]
pub struct LocalNeighbours {
    /// The core's file.
    pub core: PathBuf,
}

impl Neighbours for LocalNeighbours {
    fn metadata(&self) -> io::Result<Vec<u8>> {
        regular_file::read_own(&path_beside(&self.core), MAX_METADATA)
    }

    fn has_metadata(&self) -> bool {
        is_core(&self.core)
    }

    fn pack(&self) -> io::Result<Arc<dyn Bytes>> {
        if !self.has_metadata() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = regular_file::open(&self.core.with_file_name(PACK_FILE))?;
        Ok(Arc::new(PlainFile::new(file)?))
    }
}

/// The metadata of a core: in it, or else beside it.
pub fn find(core: Option<&ChunkedFile>, beside: &dyn Neighbours) -> Option<StoredMetadata> {
    let parsed = |text: Vec<u8>| {
        let metadata = parse(&text).ok()?;
        Some(StoredMetadata { text, metadata })
    };
    let inside = core.and_then(|core| text_in_core(core).ok()).and_then(parsed);
    // An interrupted capture leaves none but the file beside the core.
    inside.or_else(|| beside.metadata().ok().and_then(parsed))
}

/// The JSON text in the frame behind the last chunk.
pub fn text_in_core(core: &ChunkedFile) -> Result<Vec<u8>, MetadataError> {
    let table = core.table();
    let from_end = (0..table.frames().len()).rev().map_while(|index| table.chunk(index));
    for chunk in from_end.take_while(|chunk| chunk.entry.decompressed == 0) {
        let length = u64::from(chunk.entry.compressed);
        if length > MAX_METADATA {
            continue;
        }
        let bytes = read_vec(core.file(), chunk.file_offset, length)
            .map_err(|error| MetadataError::Damaged { problem: error.to_string() })?;
        if let Some(json) = skippable_content(METADATA_MAGIC, &bytes) {
            return Ok(json.to_vec());
        }
    }
    Err(MetadataError::None)
}

/// Where the metadata of a core is beside it.
pub fn path_beside(core: &Path) -> PathBuf {
    if is_core(core) {
        return core.with_file_name(METADATA_FILE);
    }
    let mut name = OsString::from(core);
    name.push(".json");
    name.into()
}

/// Whether it has the name of an entry's core.
fn is_core(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(is_core_name)
}

/// What a JSON text says.
pub fn parse(text: &[u8]) -> Result<Metadata, MetadataError> {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    let damaged = |error: serde_json::Error| MetadataError::Damaged { problem: error.to_string() };
    let Head { schema: found } = serde_json::from_slice(text).map_err(damaged)?;
    if found == SCHEMA {
        return serde_json::from_slice(text).map_err(damaged);
    }
    let version = found.strip_prefix(SCHEMAS).and_then(|version| version.parse::<u32>().ok());
    Err(match version {
        Some(_) => MetadataError::OtherSchema { found },
        None => MetadataError::Damaged { problem: format!("it has the schema {found:?}") },
    })
}
