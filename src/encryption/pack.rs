//! The triage pack of an encrypted core: as secret as the core is.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::file::AgeFile;
use super::file_key::FileKey;
use super::sealed::SealedHeader;
use super::text::seal;
use crate::corefile::pack::{Pack, UsedChunks};
use crate::corefile::read::bytes::PlainFile;
use crate::corefile::read::chunked::ChunkedFile;
use crate::regular_file;

/// The encrypted pack of the core in a file, which has this key. It is made in memory: packs are
/// small, and no plain one is written.
///
/// # Errors
/// Fails if the core cannot be read, or is not whole.
pub fn seal_pack(
    core: &Path,
    key: &FileKey,
    header: &SealedHeader,
    used: &UsedChunks,
) -> io::Result<Vec<u8>> {
    let file = Arc::new(PlainFile::new(regular_file::open(core)?)?);
    let opened = Arc::new(AgeFile::with_key(file, key)?);
    let chunked = ChunkedFile::of_bytes(opened).map_err(io::Error::other)?;
    let pack = Pack::of(chunked, used).map_err(io::Error::other)?;
    let mut plain = Vec::new();
    pack.write(&mut plain)?;
    Ok(seal(header, &plain)?)
}
