use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use vmcore_formats::seekable::{FrameEntry, METADATA_MAGIC, SeekTable, skippable_frame};
use xxhash_rust::xxh64::xxh64;

use super::*;
use crate::corefile::read::bytes::{Bytes, DataError};
use crate::corefile::read::chunked::ChunkedFile;
use std::sync::Arc;

const CHUNK: usize = 4096;

/// The bytes of a chunk: every third one is zeros.
fn chunk(number: u32) -> Vec<u8> {
    let mut random = u64::from(number);
    let byte = |_| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 59) as u8
    };
    if number % 3 == 2 { vec![0; CHUNK] } else { (0..CHUNK).map(byte).collect() }
}

/// The file of a core of so many chunks, and what it unpacks to.
fn core(chunks: u32) -> (Vec<u8>, Vec<u8>) {
    let (mut file, mut unpacked, mut table) = (Vec::new(), Vec::new(), SeekTable::default());
    for number in 0..chunks {
        let bytes = chunk(number);
        let mut zstd = zstd::bulk::Compressor::new(1).unwrap();
        zstd.include_checksum(true).unwrap();
        let packed = zstd.compress(&bytes).unwrap();
        table.push(FrameEntry {
            compressed: packed.len() as u32,
            decompressed: CHUNK as u32,
            checksum: Some(xxh64(&bytes, 0) as u32),
        });
        file.extend(packed);
        unpacked.extend(bytes);
    }
    let metadata = skippable_frame(METADATA_MAGIC, b"{\"a\": 1}").unwrap();
    let checksum = Some(0x51d8_e999);
    table.push(FrameEntry { compressed: metadata.len() as u32, decompressed: 0, checksum });
    file.extend(metadata);
    file.extend(table.encode().unwrap());
    (file, unpacked)
}

fn opened(bytes: &[u8]) -> ChunkedFile {
    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    ChunkedFile::open(file).unwrap()
}

fn pack(core: &[u8], report: &[u32], stacks: &[u32]) -> Vec<u8> {
    let used = UsedChunks { report: report.to_vec(), stacks: stacks.to_vec() };
    let pack = Pack::of(opened(core), &used).unwrap();
    let mut bytes = Vec::new();
    pack.write(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, pack.length());
    bytes
}

/// The core, which counts how often it is asked for; or a reason.
#[derive(Debug)]
struct Rest(Option<Arc<dyn Bytes>>, Mutex<u32>);

impl RestOfCore for Rest {
    fn file(&self) -> Result<Arc<dyn Bytes>, String> {
        *self.1.lock().unwrap() += 1;
        self.0.clone().ok_or_else(|| "the core is gone".to_owned())
    }
}

fn rest(core: Option<&[u8]>) -> Arc<Rest> {
    let bytes = core.map(|core| Arc::new(core.to_vec()) as Arc<dyn Bytes>);
    Arc::new(Rest(bytes, Mutex::default()))
}

#[test]
fn what_was_used_is_read_from_the_pack_and_the_rest_from_the_core() {
    let (file, unpacked) = core(12);
    let pack = pack(&file, &[6, 0, 3, 6], &[4, 0, 900]);
    let rest = rest(Some(&file));
    let packed = PackedCore::open(Arc::new(pack), Arc::<Rest>::clone(&rest) as _).unwrap();
    assert!(packed.is_of(file.len() as u64, &file[file.len() - 300..]));
    assert!(packed.is_of(file.len() as u64, &[]));
    assert!(packed.is_of(file.len() as u64, &file), "a core that is shorter than what was read");
    assert!(!packed.is_of(file.len() as u64, &[0; 300]));
    assert!(!packed.is_of(file.len() as u64 + 1, &file[file.len() - 300..]));
    let core = ChunkedFile::of_bytes(Arc::new(packed)).unwrap();
    let mut bytes = vec![0; CHUNK];
    // Chunk 2 has zeros, and is not fetched.
    for number in [0_usize, 3, 4, 6, 2] {
        core.read((number * CHUNK) as u64, &mut bytes).unwrap();
        assert!(bytes == unpacked[number * CHUNK..][..CHUNK], "{number}");
    }
    assert_eq!(*rest.1.lock().unwrap(), 0);
    let mut all = vec![0; unpacked.len()];
    core.read(0, &mut all).unwrap();
    assert!(all == unpacked);
    assert!(*rest.1.lock().unwrap() > 0);
}

#[test]
fn what_is_not_there_is_an_error_and_never_zeros() {
    let (file, unpacked) = core(12);
    let pack = pack(&file, &[0], &[1]);
    let packed = PackedCore::open(Arc::new(pack), rest(None)).unwrap();
    let core = ChunkedFile::of_bytes(Arc::new(packed)).unwrap();
    let mut bytes = vec![0; 64];
    core.read(100, &mut bytes).unwrap();
    assert!(bytes == unpacked[100..164]);
    // Zeros are what they are: the seek table describes them.
    core.read(2 * CHUNK as u64, &mut bytes).unwrap();
    assert_eq!((bytes == [0; 64], core.zeros(2 * CHUNK as u64)), (true, CHUNK as u64));
    for offset in [3 * CHUNK as u64, 11 * CHUNK as u64 - 65] {
        let error = core.read(offset, &mut bytes).unwrap_err();
        assert!(matches!(error, DataError::NotInPack { .. }), "{error}");
        assert!(error.to_string().ends_with("triage pack, and the core is gone"), "{error}");
        assert_eq!(core.zeros(offset), 0);
    }
}

#[test]
fn zstd_takes_the_pack_and_unpacks_its_chunks() {
    let (file, unpacked) = core(9);
    let pack = pack(&file, &[7, 1], &[3]);
    let Ok(mut zstd) = Command::new("zstd")
        .args(["-q", "-d", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    else {
        return;
    };
    zstd.stdin.take().unwrap().write_all(&pack).unwrap();
    let output = zstd.wait_with_output().unwrap();
    assert!(output.status.success());
    let expected = [7, 1, 3].map(|number| &unpacked[number * CHUNK..][..CHUNK]).concat();
    assert!(output.stdout == expected);
    // As does our own reader of the format.
    let mut bytes = vec![0; 3 * CHUNK];
    opened(&pack).read(0, &mut bytes).unwrap();
    assert!(bytes == expected);
}

#[test]
fn what_has_no_room_is_left_out() {
    let (file, _) = core(12);
    let numbers: Vec<u32> = (0..12).chain(0..12).collect();
    let used = UsedChunks { report: numbers.clone(), stacks: numbers };
    let pack = Pack::of(opened(&file), &used).unwrap();
    let mut bytes = Vec::new();
    pack.write(&mut bytes).unwrap();
    let packed = PackedCore::open(Arc::new(bytes), rest(None)).unwrap();
    assert_eq!((packed.head().frames.len(), packed.head().report_frames), (12, 12));
}

#[test]
fn every_truncation_and_every_other_core_is_an_error() {
    let (file, _) = core(6);
    let pack = pack(&file, &[0, 1], &[3]);
    let open = |bytes: &[u8]| PackedCore::open(Arc::new(bytes.to_vec()), rest(None));
    let table = 8 + 5 * 12 + 9;
    for len in 0..pack.len() - table {
        assert!(open(&pack[..len]).is_err(), "cut at {len}");
    }
    let core = opened(&file);
    assert_eq!(check(&core, Arc::new(pack.clone())), None);
    // The magic, the hash, the seek table in the tail, a frame.
    for at in [0, 25, 200 + 36, 500] {
        let mut damaged = pack.clone();
        damaged[at] ^= 1;
        assert!(check(&core, Arc::new(damaged)).is_some(), "{at}");
    }
    let other = opened(&self::core(7).0);
    assert_eq!(check(&other, Arc::new(pack)).as_deref(), Some("it is of another core"));
}

#[test]
fn a_core_that_was_cut_off_has_no_pack() {
    let (file, _) = core(6);
    let cut = opened(&file[..file.len() - 30]);
    assert!(matches!(Pack::of(cut, &UsedChunks::default()), Err(WriteError::CutOff)));
}

#[test]
fn the_chunks_that_are_read_are_recorded_in_their_order() {
    let (file, _) = core(12);
    let core = opened(&file);
    let mut bytes = [0; 10];
    core.read(0, &mut bytes).unwrap();
    assert_eq!(core.used(), (Vec::new(), 0));
    core.record_use();
    for number in [9_u64, 3, 2, 9, 7] {
        core.read(number * CHUNK as u64, &mut bytes).unwrap();
    }
    let (used, packed) = core.used();
    assert_eq!(used, [9, 3, 7], "zeros need not be in a pack");
    assert_eq!(packed, core.used_bytes());
    assert!(packed > 3000);
}
