//! A pipeline with a spool, into a sink that fails and waits as a test wants it.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::*;
use crate::corefile::read::bytes::{Bytes, DataError};

/// What a sink takes, and what it does.
#[derive(Debug)]
struct TestSink {
    bytes: Arc<Mutex<Vec<u8>>>,
    available: u64,
    can_reserve: bool,
    /// Each write after a reservation waits for one of these.
    after_reserve: Option<Receiver<()>>,
    reserved: Arc<Mutex<Option<(u64, u64)>>>,
}

impl Write for TestSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.reserved.lock().unwrap().is_some()
            && let Some(gate) = &self.after_reserve
        {
            let _ = gate.recv();
        }
        self.bytes.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl CoreSink for TestSink {
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.bytes.lock().unwrap().truncate(usize::try_from(length).unwrap());
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn available(&self) -> Option<u64> {
        Some(self.available)
    }

    fn reserve(&mut self, length: u64, more: u64) -> io::Result<bool> {
        self.reserved.lock().unwrap().get_or_insert((length, more));
        Ok(self.can_reserve)
    }

    fn trim(&mut self) {}
}

/// Memory of which a chunk in three is zeros, read by the workers as QEMU's is.
#[derive(Debug)]
struct Guest {
    chunks: usize,
    /// The chunk that cannot be read.
    bad: Option<usize>,
}

impl Bytes for Guest {
    fn length(&self) -> u64 {
        (self.chunks * CHUNK) as u64
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        let chunk = usize::try_from(offset).unwrap() / CHUNK;
        if self.bad == Some(chunk) {
            return Err(DataError::Underlying("bad memory".into()));
        }
        buffer.copy_from_slice(&chunk_of(chunk));
        Ok(())
    }
}

fn chunk_of(chunk: usize) -> Vec<u8> {
    static WORDS: OnceLock<Vec<u8>> = OnceLock::new();
    if chunk % 3 == 1 {
        return vec![0; CHUNK];
    }
    let words = WORDS.get_or_init(|| (0..CHUNK as u32 / 4).flat_map(u32::to_le_bytes).collect());
    let mut bytes = words.clone();
    for page in bytes.chunks_mut(4096) {
        page[0] = chunk as u8;
    }
    bytes
}

/// Has all of a guest read later.
struct Later(Arc<Guest>);

impl CoreSource for Later {
    type End = u64;

    fn run(&mut self, chunks: &mut Chunks) -> u64 {
        let reader: Arc<dyn Bytes> = Arc::<Guest>::clone(&self.0);
        for chunk in 0..self.0.chunks {
            if chunks.read_later(&reader, (chunk * CHUNK) as u64, CHUNK).is_err() {
                break;
            }
        }
        chunks.finish();
        chunks.shared().progress().bytes_read
    }
}

struct Run {
    pipeline: Pipeline<u64>,
    bytes: Arc<Mutex<Vec<u8>>>,
    reserved: Arc<Mutex<Option<(u64, u64)>>>,
}

fn start(guest: Guest, spool: u64, change: impl FnOnce(&mut TestSink)) -> Run {
    let (bytes, reserved) = <(Arc<Mutex<Vec<u8>>>, Arc<Mutex<_>>)>::default();
    let mut sink = TestSink {
        bytes: Arc::clone(&bytes),
        available: u64::MAX,
        can_reserve: true,
        after_reserve: None,
        reserved: Arc::clone(&reserved),
    };
    change(&mut sink);
    let spool = SpoolLimit::fixed(spool);
    let options = StreamOptions { level: 1, threads: 2, reserve: 0, memory: 0, spool };
    let pipeline = Pipeline::start(Later(Arc::new(guest)), Box::new(sink), options).unwrap();
    Run { pipeline, bytes, reserved }
}

impl Run {
    /// Waits for the end of the reading.
    fn read(&self) -> u64 {
        self.pipeline.stream.recv_timeout(LIMIT).expect("the source ends")
    }

    fn output(&self) -> Result<Written, OutputError> {
        self.pipeline.output.recv_timeout(LIMIT).expect("the writer ends")
    }

    fn await_room(&self) -> Room {
        let started = Instant::now();
        loop {
            match self.pipeline.room() {
                Room::Unknown => thread::sleep(Duration::from_millis(1)),
                room => return room,
            }
            assert!(started.elapsed() < LIMIT, "nothing decides whether there is room");
        }
    }

    fn check(&self, chunks: usize) {
        let bytes = self.bytes.lock().unwrap();
        let core =
            if bytes.is_empty() { Vec::new() } else { zstd::decode_all(&bytes[..]).unwrap() };
        let expected: Vec<u8> = (0..chunks).flat_map(chunk_of).collect();
        assert!(core == expected, "{} bytes of {}", core.len(), expected.len());
    }
}

const LIMIT: Duration = Duration::from_secs(300);

fn gate() -> (Sender<()>, Receiver<()>) {
    channel()
}

#[test]
fn what_is_read_has_room_before_it_is_written_and_the_core_is_whole_in_the_end() {
    // More than is in flight without a spool.
    const CHUNKS: usize = 110;
    let (open, closed) = gate();
    let guest = Guest { chunks: CHUNKS, bad: None };
    let run = start(guest, 200 << 20, |sink| sink.after_reserve = Some(closed));
    assert_eq!(run.read(), (CHUNKS * CHUNK) as u64);
    assert_eq!(run.await_room(), Room::Reserved);
    assert!(run.pipeline.take_ended().output.is_none(), "not all is written");
    drop(open);
    let written = run.output().unwrap();
    run.check(CHUNKS);
    assert!(written.lighter.is_empty());
    // All that came after it had room, whatever it compresses to.
    let (length, more) = run.reserved.lock().unwrap().unwrap();
    let rest = written.table.compressed_length() - length;
    assert!(more > rest, "{more} reserved for {rest}");
}

#[test]
fn without_a_spool_nothing_is_reserved_before_all_is_written() {
    let run = start(Guest { chunks: 9, bad: None }, 0, |_| {});
    let written = run.output().unwrap();
    run.check(9);
    assert_eq!(run.pipeline.room(), Room::Unknown);
    let (length, _) = run.reserved.lock().unwrap().unwrap();
    assert_eq!(length, written.table.compressed_length());
}

#[test]
fn a_sink_without_room_or_that_cannot_reserve_it_is_waited_for() {
    for (available, can_reserve) in [(1 << 20, true), (u64::MAX, false)] {
        let run = start(Guest { chunks: 9, bad: None }, 100 << 20, |sink| {
            (sink.available, sink.can_reserve) = (available, can_reserve);
        });
        assert_eq!(run.await_room(), Room::Refused);
        run.output().unwrap();
        run.check(9);
    }
}

#[test]
fn chunks_that_a_guest_waits_for_are_stored_as_they_are_and_are_known() {
    let (open, closed) = gate();
    let guest = Guest { chunks: 60, bad: None };
    let run = start(guest, 100 << 20, |sink| sink.after_reserve = Some(closed));
    run.pipeline.hurry(true);
    run.read();
    drop(open);
    let written = run.output().unwrap();
    run.check(60);
    assert!(!written.lighter.is_empty());
    let frames: Vec<_> = written.table.iter().collect();
    for number in &written.lighter {
        let frame = frames[usize::try_from(*number).unwrap()];
        assert!(number % 3 != 1 && frame.compressed > 4096, "{number}: {frame:?}");
    }
}

#[test]
fn a_spool_that_is_full_holds_the_source_and_loses_nothing() {
    let run = start(Guest { chunks: 120, bad: None }, 16 << 20, |_| {});
    run.output().unwrap();
    run.check(120);
}

#[test]
fn memory_that_cannot_be_read_fails_the_output_and_stops_the_source() {
    for spool in [0, 100 << 20] {
        let run = start(Guest { chunks: 300, bad: Some(5) }, spool, |_| {});
        match run.output() {
            Err(OutputError::Write { source, written }) => {
                assert!(source.to_string().contains("bad memory"), "{source}");
                assert_eq!(written.table.len(), 5);
            }
            other => panic!("{other:?}"),
        }
        run.read();
        run.check(5);
    }
}

#[test]
fn stopped_in_between_the_core_ends_with_what_was_read() {
    let (open, closed) = gate();
    let run = start(Guest { chunks: 400, bad: None }, 16 << 20, |sink| {
        sink.after_reserve = Some(closed);
        *sink.reserved.lock().unwrap() = Some((0, 0));
    });
    let started = Instant::now();
    while !run.pipeline.progress().waits_for_output {
        assert!(started.elapsed() < LIMIT, "the source never waits");
        thread::sleep(Duration::from_millis(1));
    }
    run.pipeline.abort();
    drop(open);
    let written = run.output().unwrap();
    let chunks = written.table.len();
    assert!(chunks < 400, "{chunks}");
    run.check(chunks);
}
