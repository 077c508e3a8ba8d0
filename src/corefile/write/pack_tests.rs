use std::os::unix::fs::FileExt;

use vmcore_formats::seekable::SeekTable;

use super::*;

const OPTIONS: StreamOptions = StreamOptions { level: 1, threads: 3, reserve: 0, memory: 0 };

/// Bytes that are known to be zeros here and there, and cannot be read at one place.
#[derive(Debug, Default)]
struct Source {
    bytes: Vec<u8>,
    known_zeros: Vec<(u64, u64)>,
    damaged: Option<u64>,
}

impl Bytes for Source {
    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        let end = offset + buffer.len() as u64;
        if self.damaged.is_some_and(|at| (offset..end).contains(&at)) {
            return Err(DataError::PastEnd { offset, length: 0 });
        }
        let start = usize::try_from(offset).unwrap();
        buffer.copy_from_slice(&self.bytes[start..start + buffer.len()]);
        Ok(())
    }

    fn zeros(&self, offset: u64) -> u64 {
        let known = self.known_zeros.iter().find(|(start, end)| (*start..*end).contains(&offset));
        known.map_or(0, |(_, end)| end - offset)
    }
}

/// Three chunks and a half: numbers, zeros, zeros that are known in two parts, numbers.
fn source() -> Source {
    let mut bytes: Vec<u8> = (0..CHUNK * 7 / 2).map(|at| (at / 7) as u8).collect();
    bytes[CHUNK..CHUNK * 3].fill(0);
    let chunk = CHUNK as u64;
    let known_zeros = vec![(chunk * 2, chunk * 2 + 5), (chunk * 2 + 5, chunk * 3)];
    Source { bytes, known_zeros, damaged: None }
}

fn unpack(file: &File, table: &SeekTable) -> Vec<u8> {
    let mut packed = vec![0; usize::try_from(table.compressed_length()).unwrap()];
    file.read_exact_at(&mut packed, 0).unwrap();
    zstd::decode_all(&packed[..]).unwrap()
}

#[test]
fn what_is_packed_is_unpacked_as_it_was() {
    let source = source();
    let packed = pack(&source, tempfile::tempfile().unwrap(), OPTIONS, |_| true).unwrap();
    assert!(unpack(&packed.written.file, &packed.written.table) == source.bytes);
    assert_eq!(packed.zero_bytes, 2 * CHUNK as u64);
    let sizes: Vec<_> =
        packed.written.table.iter().map(|frame| frame.decompressed as usize).collect();
    assert_eq!(sizes, [CHUNK, CHUNK, CHUNK, CHUNK / 2]);
}

#[test]
fn more_chunks_than_buffers_come_in_order() {
    let bytes: Vec<u8> = (0..(IN_FLIGHT * 2 + 3) * CHUNK).map(|at| (at >> 20) as u8 + 1).collect();
    let source = Source { bytes, ..Source::default() };
    let packed = pack(&source, tempfile::tempfile().unwrap(), OPTIONS, |_| true).unwrap();
    assert!(unpack(&packed.written.file, &packed.written.table) == source.bytes);
}

#[test]
fn bytes_that_cannot_be_read_are_an_error_and_not_zeros() {
    let source = Source { damaged: Some(CHUNK as u64 * 3 + 1), ..source() };
    let error = pack(&source, tempfile::tempfile().unwrap(), OPTIONS, |_| true).unwrap_err();
    assert!(matches!(error, PackError::Source(_)), "{error:?}");
}

#[test]
fn a_full_disk_ends_it() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let error = pack(&source(), full, OPTIONS, |_| true).unwrap_err();
    assert!(matches!(error, PackError::Output(OutputError::Write { .. })), "{error:?}");
}

/// Bytes of a disk that takes its time.
#[derive(Debug)]
struct Slow;

impl Bytes for Slow {
    fn length(&self) -> u64 {
        1 << 40
    }

    fn read(&self, _: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        thread::sleep(Duration::from_millis(20));
        buffer.fill(7);
        Ok(())
    }
}

#[test]
fn whoever_watches_can_stop_it() {
    let mut heard = Vec::new();
    let stopped = pack(&Slow, tempfile::tempfile().unwrap(), OPTIONS, |progress| {
        heard.push(progress);
        heard.len() < 2
    });
    assert!(matches!(stopped, Err(PackError::Stopped)), "{stopped:?}");
    assert_eq!(heard[0].bytes_expected, 1 << 40);
    assert!(heard[1].bytes_read > 0, "{heard:?}");
}
