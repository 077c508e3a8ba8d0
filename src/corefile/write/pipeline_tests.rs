use std::fs::{File, OpenOptions};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use vmcore_formats::elf::dump_head::{self, DumpHead};
use vmcore_formats::page_class::{ClassRun, LeftOut, PageClass, PageClasses};

use super::*;

const OPTIONS: StreamOptions =
    StreamOptions { level: 1, threads: 2, reserve: 0, memory: 0, spool: SpoolLimit::NONE };
const PAGE: usize = 4096;

/// A core as QEMU before 7.2 wrote it: headers, no notes, one block of memory.
fn stream(memory: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    bytes.resize(16, 0);
    let mut put = |value: u64, size: usize| bytes.extend(&value.to_le_bytes()[..size]);
    for (value, size) in [(4, 2), (62, 2), (1, 4), (0, 8), (64, 8), (0, 8), (0, 4)] {
        put(value, size);
    }
    for value in [64, 56, 1, 64, 0, 0] {
        put(value, 2);
    }
    put(1, 4);
    put(0, 4);
    let length = memory.len() as u64;
    for value in [120, 0, 0, length, length, 0] {
        put(value, 8);
    }
    bytes.extend(memory);
    bytes
}

/// Memory in which every word tells where it is, but for chunks of zeros.
fn memory(chunks: usize) -> Vec<u8> {
    let words = (0..chunks * CHUNK / 8).map(|at| at as u64);
    words.flat_map(|at| if at * 8 / CHUNK as u64 % 4 > 1 { 0 } else { at }.to_le_bytes()).collect()
}

/// Waits for what a pipeline gives in the end.
fn wait<T>(take: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = take() {
            return value;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the pipeline hangs");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until both ends of a pipeline have come, asleep until it wakes.
fn wait_ended(pipeline: &Pipeline) -> (StreamEnd, Result<Written, OutputError>) {
    let mut all = Ended::default();
    loop {
        let ended = pipeline.take_ended();
        all.stream = all.stream.or(ended.stream);
        all.output = all.output.or(ended.output);
        all = match all {
            Ended { stream: Some(stream), output: Some(output) } => return (stream, output),
            all => all,
        };
        let mut fds = [PollFd::from_borrowed_fd(pipeline.waker(), PollFlags::IN)];
        let limit = Timespec { tv_sec: 60, tv_nsec: 0 };
        assert_eq!(poll(&mut fds, Some(&limit)).unwrap(), 1, "nothing wakes any more");
    }
}

fn start(file: &File) -> (Pipeline, File) {
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let sink = Box::new(file.try_clone().unwrap());
    (Pipeline::start(PipeSource::new(read_end), sink, OPTIONS).unwrap(), File::from(write_end))
}

/// Sends as a QEMU would, which minds no broken pipe.
fn send(mut pipe: &File, bytes: &[u8]) -> io::Result<()> {
    bytes.chunks(PAGE).try_for_each(|page| io::Write::write_all(&mut pipe, page))
}

fn unpack(file: &File) -> Vec<u8> {
    let mut file = file.try_clone().unwrap();
    io::Seek::rewind(&mut file).unwrap();
    zstd::decode_all(file).unwrap()
}

#[test]
fn memory_comes_out_as_it_went_in_and_zeros_are_counted() {
    let memory = memory(8);
    let bytes = stream(&memory);
    let file = tempfile::tempfile().unwrap();
    let (pipeline, pipe) = start(&file);
    send(&pipe, &bytes).unwrap();
    drop(pipe);
    let (end, written) = wait_ended(&pipeline);
    let written = written.unwrap();
    assert!(end.outcome.is_ok(), "{end:?}");
    assert_eq!(end.bytes_read, bytes.len() as u64);
    let core = unpack(&file);
    assert!(core.ends_with(&memory));
    assert_eq!(written.table.decompressed_length(), core.len() as u64);
    assert_eq!(written.table.compressed_length(), pipeline.progress().bytes_written);
    assert!(pipeline.zero_bytes() >= CHUNK as u64);
    let again = pipeline.take_ended();
    assert!(again.stream.is_none() && again.output.is_none());
}

#[test]
fn pages_that_are_left_out_are_read_and_not_stored() {
    let memory = memory(8);
    let bytes = stream(&memory);
    let file = tempfile::tempfile().unwrap();
    let (read_end, pipe) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let pipe = File::from(pipe);
    let page = PAGE as u64;
    // The first page, some in the middle, and the end.
    let length = memory.len() as u64;
    let runs = [(0, page), (5 * page, 300 * page), (length - page, page)];
    let Ok(dump_head::Progress::Complete(head)) = DumpHead::decode(&bytes) else { panic!() };
    let first = head.segments[0].physical;
    let run = |(start, length)| ClassRun {
        start: first.saturating_add(start),
        length,
        class: PageClass::User,
    };
    let plan = LeftOut { classes: PageClasses::kernel(), runs: runs.map(run).to_vec() };
    let source = PipeSource::new(read_end).without(Some(plan.clone()));
    let pipeline = Pipeline::start(source, Box::new(file.try_clone().unwrap()), OPTIONS).unwrap();
    send(&pipe, &bytes).unwrap();
    drop(pipe);
    let (end, written) = wait_ended(&pipeline);
    written.unwrap();
    assert!(end.outcome.is_ok(), "{end:?}");
    assert_eq!(end.bytes_read, bytes.len() as u64);
    let summary = end.summary.unwrap();
    assert_eq!((summary.segments, summary.left_out), (2, Some(plan)));
    let kept = [&memory[PAGE..5 * PAGE], &memory[305 * PAGE..memory.len() - PAGE]].concat();
    assert!(unpack(&file).ends_with(&kept));
}

#[test]
fn runs_of_zeros_of_any_length_keep_their_place() {
    // Longer than a message tells of, one chunk, and one at the very end.
    let runs = [1300, 1, 2];
    let mut memory = Vec::new();
    for (number, chunks) in runs.into_iter().enumerate() {
        memory.resize(memory.len() + CHUNK, u8::try_from(number + 1).unwrap());
        memory.resize(memory.len() + chunks * CHUNK, 0);
    }
    let file = tempfile::tempfile().unwrap();
    let (pipeline, pipe) = start(&file);
    send(&pipe, &stream(&memory)).unwrap();
    drop(pipe);
    let (end, written) = wait_ended(&pipeline);
    let written = written.unwrap();
    assert!(end.outcome.is_ok());
    // The head's page shifts each run by a page into the next chunk.
    let zeros: usize = runs.iter().map(|chunks| chunks - 1).sum();
    assert_eq!(pipeline.zero_bytes(), (zeros * CHUNK) as u64);
    assert_eq!(written.table.len(), memory.len() / CHUNK + 1);
    let core = unpack(&file);
    assert!(core.ends_with(&memory));
}

#[test]
fn an_output_that_fails_closes_the_pipe_and_tells_why() {
    let (pipeline, pipe) = start(&OpenOptions::new().write(true).open("/dev/full").unwrap());
    let bytes = stream(&memory(256));
    let sent = send(&pipe, &bytes);
    assert_eq!(sent.map_err(|error| error.kind()), Err(io::ErrorKind::BrokenPipe));
    let (end, output) = wait_ended(&pipeline);
    match output {
        Err(OutputError::Write { source, written }) => {
            assert_eq!(source.kind(), io::ErrorKind::StorageFull);
            assert!(written.table.is_empty());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(end.outcome, Err(StreamError::Aborted { .. })), "{end:?}");
}

#[test]
fn a_reserve_that_is_not_there_fails_the_output_with_what_is_in_it() {
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let options = StreamOptions { reserve: u64::MAX, ..OPTIONS };
    let file = tempfile::tempfile().unwrap();
    let sink = Box::new(file.try_clone().unwrap());
    let pipeline = Pipeline::start(PipeSource::new(read_end), sink, options).unwrap();
    let memory = memory(3);
    send(&File::from(write_end), &stream(&memory)).unwrap();
    match wait_ended(&pipeline).1 {
        Err(OutputError::Reserve { .. }) => {
            assert!(unpack(&file).ends_with(&memory));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_aborted_stream_keeps_what_was_read_and_closes_the_pipe() {
    let memory = memory(4);
    let bytes = stream(&memory);
    let file = tempfile::tempfile().unwrap();
    let (pipeline, pipe) = start(&file);
    let sent = bytes.len() - CHUNK / 2;
    send(&pipe, &bytes[..sent]).unwrap();
    wait(|| (pipeline.progress().bytes_read == sent as u64).then_some(()));
    pipeline.abort();
    let (end, written) = wait_ended(&pipeline);
    let found = sent as u64;
    assert!(matches!(end.outcome, Err(StreamError::Aborted { found: at }) if at == found));
    assert!(send(&pipe, &bytes[sent..]).is_err(), "the pipe is closed");
    written.unwrap();
    let core = unpack(&file);
    let head = core.len() - (memory.len() - CHUNK / 2);
    assert!(core[head..] == memory[..memory.len() - CHUNK / 2]);
}

#[test]
fn why_a_stream_was_not_read_on_is_known_when_its_pipe_closes() {
    for _ in 0..200 {
        let (pipeline, pipe) = start(&tempfile::tempfile().unwrap());
        let junk = vec![b'x'; 4 << 20];
        assert!(send(&pipe, &junk).is_err(), "the pipe is closed");
        let end = pipeline.take_ended().stream.expect("the stream's end");
        assert!(matches!(end.outcome, Err(StreamError::Head(_))), "{end:?}");
    }
}

#[test]
fn the_end_of_the_stream_and_of_the_file_both_wake() {
    // Either may come while the other is taken.
    for _ in 0..300 {
        let (pipeline, pipe) = start(&tempfile::tempfile().unwrap());
        send(&pipe, &stream(&[1; PAGE])).unwrap();
        drop(pipe);
        let started = Instant::now();
        let (end, written) = wait_ended(&pipeline);
        assert!(end.outcome.is_ok() && written.is_ok());
        assert!(started.elapsed() < Duration::from_secs(30), "a wake was lost");
    }
}

#[test]
fn a_large_guests_seek_table_is_paid_for_with_buffers() {
    const TIB: u64 = 1 << 40;
    for (memory, buffers) in
        [(0, 96), (64 << 30, 95), (TIB, 84), (4 * TIB, 48), (64 * TIB, 32), (u64::MAX, 32)]
    {
        assert_eq!(buffer_count(memory), buffers, "{memory:#x}");
    }
}

#[test]
fn a_core_with_more_chunks_than_the_format_allows_is_refused_before_its_memory_is_read() {
    let mut bytes = stream(&[]);
    // p_filesz and p_memsz: 128 TiB.
    for at in [96, 104] {
        bytes[at..at + 8].copy_from_slice(&(1_u64 << 47).to_le_bytes());
    }
    let (pipeline, pipe) = start(&tempfile::tempfile().unwrap());
    send(&pipe, &bytes).unwrap();
    let (end, _) = wait_ended(&pipeline);
    assert!(matches!(end.outcome, Err(StreamError::TooLarge { .. })), "{end:?}");
    assert_eq!(end.bytes_read, bytes.len() as u64);
}
