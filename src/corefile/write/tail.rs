//! What follows the chunks of a core.
//!
//! ```text
//! chunk, chunk, ... | metadata in a skippable frame | seek table
//! ```
//!
//! The seek table of a large guest is large itself, so it goes to the file in
//! pieces, and there is never a second copy of it.

use std::io::{self, BufWriter, Write};

use vmcore_formats::seekable::{Footer, FrameEntry, METADATA_MAGIC, SeekTable, skippable_frame};

use crate::corefile::chunk_hash::CHECKSUM_OF_NOTHING;
use crate::corefile::write::Written;

/// How much of the newest chunks is dropped where a full disk leaves no room for a seek
/// table, in bytes.
const GIVEN_UP: u64 = 1 << 20;
/// How much of a seek table is written at once, in bytes.
const PIECE: usize = 64 << 10;

/// Writes metadata and seek table behind the frames, over whatever is there.
pub(crate) fn append(written: &mut Written, json: &[u8]) -> io::Result<()> {
    written.sink.truncate(written.table.compressed_length())?;
    write(&mut written.sink, &written.table, json)?;
    written.sink.finish()?;
    written.sink.trim();
    Ok(())
}

/// Drops the newest chunks to make room for what has to follow them.
pub(crate) fn give_up_chunks(written: &mut Written) {
    let mut freed = 0_u64;
    while freed < GIVEN_UP
        && let Some(frame) = written.table.pop()
    {
        freed = freed.saturating_add(u64::from(frame.compressed));
    }
    let _ = written.sink.truncate(written.table.compressed_length());
}

fn write(out: &mut impl Write, table: &SeekTable, json: &[u8]) -> io::Result<()> {
    let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
    let metadata = skippable_frame(METADATA_MAGIC, json).ok_or_else(too_large)?;
    let entry = FrameEntry {
        compressed: u32::try_from(metadata.len()).map_err(|_| too_large())?,
        decompressed: 0,
        checksum: Some(CHECKSUM_OF_NOTHING),
    };
    let count = table.len().saturating_add(1);
    let footer = Footer::of_frames(count).ok_or_else(too_large)?;
    out.write_all(&metadata)?;
    let mut out = BufWriter::with_capacity(PIECE, out);
    out.write_all(&footer.encode_header())?;
    for frame in table.iter().chain([entry]) {
        let no_checksum = || io::Error::other("a frame has no checksum");
        out.write_all(&frame.encode().ok_or_else(no_checksum)?)?;
    }
    out.write_all(&footer.encode())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what is written, and the length of the longest write.
    #[derive(Default)]
    struct Sink {
        bytes: Vec<u8>,
        longest: usize,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.longest = self.longest.max(bytes.len());
            self.bytes.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The table of a guest of so many MiB.
    fn table(chunks: u32) -> SeekTable {
        let frame = |number| FrameEntry {
            compressed: number,
            decompressed: 1 << 20,
            checksum: Some(!number),
        };
        (0..chunks).map(frame).collect()
    }

    #[test]
    fn the_table_of_a_large_guest_is_written_in_pieces() {
        let table = table(300_000);
        let mut out = Sink::default();
        write(&mut out, &table, b"{}").unwrap();
        assert!(out.longest <= PIECE, "{} bytes at once", out.longest);
        let seek_table = out.bytes.split_off(10);
        let mut found = SeekTable::decode(&seek_table).unwrap();
        let metadata = found.pop().unwrap();
        assert_eq!((metadata.compressed, metadata.decompressed), (10, 0));
        assert!(found == table);
    }
}
