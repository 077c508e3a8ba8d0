//! Reads bytes of a core by their offset, unpacking only the chunks that hold them.

pub mod bytes;
mod chunk_cache;
pub mod chunked;
mod failed_chunks;
pub mod frame_table;
pub mod stored_metadata;
mod used_chunks;
pub mod work;
mod zero_checksums;
