//! What files a mounted core has.
//!
//! ```text
//! vmcore           the ELF core, unpacked
//! metadata.json    the metadata of its capture, if the core has any
//! vmcoreinfo.txt   what the kernel says of itself, if the core has the note
//! ```

use std::sync::Arc;
use std::time::SystemTime;

use crate::corefile::read::bytes::Bytes;
use crate::metadata::METADATA_FILE;
use crate::vmcore::Vmcore;
use crate::vmcore::elf_image::{ElfImage, ElfImageError};

/// Name of the unpacked core.
pub const VMCORE_FILE: &str = "vmcore";

/// The files of a core.
#[derive(Debug)]
pub struct Contents {
    /// Each file, in the order of a listing.
    pub(super) files: Vec<FileContent>,
    /// When the core was written.
    pub(super) modified: SystemTime,
}

/// A file, and where its bytes come from.
#[derive(Debug)]
pub(super) struct FileContent {
    pub(super) name: &'static str,
    pub(super) bytes: Arc<dyn Bytes>,
    /// How many bytes it takes on disk.
    pub(super) stored: u64,
}

impl Contents {
    /// The files of an open core.
    pub fn of(core: &Vmcore) -> Result<Self, ElfImageError> {
        // It is read on request, for as long as it is mounted.
        core.read_without_limit();
        let elf = Arc::new(ElfImage::new(core)?);
        let vmcore = FileContent { name: VMCORE_FILE, bytes: elf, stored: core.file_bytes() };
        let metadata = core.stored_metadata().map(|stored| in_memory(METADATA_FILE, stored.text));
        let info = core
            .vmcoreinfo_note()
            .map(|info| in_memory("vmcoreinfo.txt", info.text().as_bytes().to_vec()));
        let modified = std::fs::metadata(core.path()).and_then(|file| file.modified());
        Ok(Self {
            files: [Some(vmcore), metadata, info].into_iter().flatten().collect(),
            modified: modified.unwrap_or(SystemTime::UNIX_EPOCH),
        })
    }
}

fn in_memory(name: &'static str, bytes: Vec<u8>) -> FileContent {
    let stored = bytes.len() as u64;
    FileContent { name, bytes: Arc::new(bytes), stored }
}
