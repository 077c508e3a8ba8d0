use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use super::*;
use crate::corefile::read::bytes::DataError;
use crate::corefile::write::{OutputError, Pipeline, Progress, SpoolLimit, StreamOptions, Written};

const OPTIONS: StreamOptions =
    StreamOptions { level: 1, threads: 3, reserve: 0, memory: 0, spool: SpoolLimit::NONE };

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

/// Three chunks and a half: numbers, zeros, zeros that are known in two runs, numbers.
fn source() -> Source {
    let mut bytes: Vec<u8> = (0..CHUNK * 7 / 2).map(|at| (at / 7) as u8).collect();
    bytes[CHUNK..CHUNK * 3].fill(0);
    let chunk = CHUNK as u64;
    let known_zeros = vec![(chunk * 2, chunk * 2 + 5), (chunk * 2 + 5, chunk * 3)];
    Source { bytes, known_zeros, damaged: None }
}

/// What became of a core, and how many of its bytes were in chunks of zeros.
fn store(
    source: impl Bytes + 'static,
    file: &File,
    watch: impl FnMut(Progress) -> bool,
) -> (Option<Result<Written, OutputError>>, u64) {
    let source = BytesSource(Arc::new(source));
    let sink = Box::new(file.try_clone().unwrap());
    let pipeline = Pipeline::start(source, sink, OPTIONS).unwrap();
    (pipeline.wait(watch), pipeline.zero_bytes())
}

/// Stores a core, and checks that it is unpacked as it was. Gives the sizes of its chunks.
fn stored(bytes: &[u8], source: Source) -> (Vec<usize>, u64) {
    let file = tempfile::tempfile().unwrap();
    let (written, zeros) = store(source, &file, |_| true);
    let table = written.unwrap().unwrap().table;
    let mut packed = vec![0; usize::try_from(table.compressed_length()).unwrap()];
    file.read_exact_at(&mut packed, 0).unwrap();
    assert!(zstd::decode_all(&packed[..]).unwrap() == bytes);
    (table.iter().map(|frame| frame.decompressed as usize).collect(), zeros)
}

#[test]
fn what_is_stored_is_unpacked_as_it_was() {
    let source = source();
    let (sizes, zeros) = stored(&source.bytes.clone(), source);
    assert_eq!(zeros, 2 * CHUNK as u64);
    assert_eq!(sizes, [CHUNK, CHUNK, CHUNK, CHUNK / 2]);
}

#[test]
fn more_chunks_than_buffers_come_in_order() {
    let bytes: Vec<u8> = (0..(IN_FLIGHT * 2 + 3) * CHUNK).map(|at| (at >> 20) as u8 + 1).collect();
    stored(&bytes.clone(), Source { bytes, ..Source::default() });
}

#[test]
fn bytes_that_cannot_be_read_are_an_error_and_not_zeros() {
    let source = Source { damaged: Some(CHUNK as u64 * 3 + 1), ..source() };
    match store(source, &tempfile::tempfile().unwrap(), |_| true).0 {
        Some(Err(OutputError::Write { source, .. })) => {
            assert!(source.downcast::<DataError>().is_ok());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_disk_ends_it() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    match store(source(), &full, |_| true).0 {
        Some(Err(OutputError::Write { source, .. })) => {
            assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        }
        other => panic!("{other:?}"),
    }
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
fn the_progress_callback_can_stop_it() {
    let mut heard = Vec::new();
    let (stopped, _) = store(Slow, &tempfile::tempfile().unwrap(), |progress| {
        heard.push(progress);
        heard.len() < 2
    });
    assert!(stopped.is_none(), "{stopped:?}");
    assert_eq!(heard[0].bytes_expected, 1 << 40);
    assert!(heard[1].bytes_read > 0, "{heard:?}");
}
