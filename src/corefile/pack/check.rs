//! Compares a triage pack with the core that it is of.

use std::sync::Arc;

use super::read::{PackedCore, RestOfCore};
use crate::corefile::chunk_hash::digest_of_chunks;
use crate::corefile::read::bytes::{Bytes, read_vec};
use crate::corefile::read::chunked::ChunkedFile;

/// No core: what is compared has to be in the pack.
#[derive(Debug)]
struct PackAlone;

impl RestOfCore for PackAlone {
    fn file(&self) -> Result<Arc<dyn Bytes>, String> {
        Err("the core is not asked".to_owned())
    }
}

/// What is wrong with the pack of a core, if anything is: the first of it.
pub fn check(core: &ChunkedFile, pack: Arc<dyn Bytes>) -> Option<String> {
    let packed = match PackedCore::open(pack, Arc::new(PackAlone)) {
        Ok(packed) => packed,
        Err(error) => return Some(error.to_string()),
    };
    let head = packed.head();
    let hash = digest_of_chunks(core.table().frames());
    if head.core_length != core.file().length() || head.chunks_hash != hash {
        return Some("it is of another core".to_owned());
    }
    let same = |offset, length| -> Result<bool, String> {
        let of = |bytes: &dyn Bytes| read_vec(bytes, offset, length).map_err(|e| e.to_string());
        Ok(of(&packed)? == of(core.file())?)
    };
    let tail = u64::from(head.tail_length);
    let mut differ = match same(head.core_length.saturating_sub(tail), tail) {
        Ok(true) => None,
        Ok(false) => Some("its copy of the core's metadata differs".to_owned()),
        Err(error) => Some(error),
    };
    for frame in &head.frames {
        let chunk = usize::try_from(frame.chunk).ok().and_then(|index| core.table().chunk(index));
        let Some(chunk) = chunk.filter(|_| differ.is_none()) else { break };
        differ = match same(chunk.file_offset, chunk.entry.compressed.into()) {
            Ok(true) => None,
            Ok(false) => Some(format!("its copy of chunk {} differs", frame.chunk)),
            Err(error) => Some(error),
        };
    }
    differ
}
