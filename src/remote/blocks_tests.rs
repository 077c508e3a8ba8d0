use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use super::*;

fn byte(at: u64) -> u8 {
    (at / 7 + at / 4096) as u8
}

fn bytes(range: Range<u64>) -> Vec<u8> {
    range.map(byte).collect()
}

/// Counts what is asked for, and what came.
#[derive(Default)]
struct Far {
    requests: AtomicUsize,
    fetched: AtomicU64,
    waited: AtomicUsize,
}

impl Source for Far {
    type Error = ();

    fn begin(&self, _: u64, length: u64) -> Result<u64, ()> {
        self.fetched.fetch_add(length, Ordering::Relaxed);
        Ok(self.requests.fetch_add(1, Ordering::Relaxed) as u64)
    }

    fn finish(&self, _: u64, offset: u64, length: u64) -> Result<Vec<u8>, ()> {
        self.waited.fetch_add(1, Ordering::Relaxed);
        thread::yield_now();
        Ok(bytes(offset..offset + length))
    }
}

impl Far {
    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }
}

#[track_caller]
fn check(blocks: &Blocks, far: &Far, range: Range<u64>) {
    let mut buffer = vec![0; (range.end - range.start) as usize];
    blocks.read(range.start, &mut buffer, far).unwrap();
    assert!(buffer == bytes(range));
}

#[test]
fn any_bytes_are_those_of_the_file_and_are_fetched_once() {
    const LENGTH: u64 = 3 * BLOCK + 100;
    let (blocks, far) = (Blocks::new(LENGTH), Far::default());
    for (offset, length) in
        [(0, 1), (BLOCK - 1, 2), (5, LENGTH - 5), (LENGTH - 1, 1), (BLOCK * 2, 77), (3, 0)]
    {
        check(&blocks, &far, offset..offset + length);
    }
    assert_eq!(far.fetched(), LENGTH);
}

#[test]
fn threads_that_want_the_same_bytes_fetch_them_once() {
    let (blocks, far) = (Blocks::new(4 * BLOCK), Far::default());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| check(&blocks, &far, 1000..1100));
        }
    });
    assert_eq!((far.requests(), far.waited.into_inner()), (1, 1));
}

#[test]
fn a_reader_that_goes_on_gets_more_at_a_time_and_memory_is_bounded() {
    const LENGTH: u64 = 4 * KEPT as u64 * BLOCK;
    let (blocks, far) = (Blocks::new(LENGTH), Far::default());
    let mut buffer = vec![0; 4096];
    for offset in (0..LENGTH).step_by(BLOCK as usize) {
        blocks.read(offset, &mut buffer, &far).unwrap();
        assert!(blocks.lock().blocks.len() <= KEPT + MOST as usize);
    }
    assert!((far.requests() as u64) < 4 * KEPT as u64 / MOST + 16, "{}", far.requests());
    assert_eq!(far.fetched(), LENGTH);
}

/// Frames of 250 KiB here and there are fetched as they are; the frames of a scan soon by more
/// than one at a time.
#[test]
fn nothing_is_added_to_frames_before_a_reader_goes_on_for_long() {
    const FRAME: u64 = 250_000;
    let (blocks, far) = (Blocks::new(1 << 30), Far::default());
    for place in [700, 3, 90, 91, 400] {
        let frame = place * FRAME..(place + 1) * FRAME;
        blocks.prefetch(std::slice::from_ref(&frame), &far);
        check(&blocks, &far, frame);
    }
    assert!(far.fetched() <= 5 * (FRAME + 2 * BLOCK), "{}", far.fetched());
    assert_eq!(far.requests(), 5);
    for place in 1000..1100 {
        let frame = place * FRAME..(place + 1) * FRAME;
        blocks.prefetch(std::slice::from_ref(&frame), &far);
        check(&blocks, &far, frame);
    }
    assert!(far.requests() < 30, "{}", far.requests());
}

#[test]
fn the_ends_that_came_when_a_file_was_opened_are_kept_as_far_as_blocks_are_whole() {
    const LENGTH: u64 = 9 * BLOCK + 100;
    let (blocks, far) = (Blocks::new(LENGTH), Far::default());
    blocks.keep_start(&bytes(0..2 * BLOCK + 7));
    blocks.keep_end(&bytes(5 * BLOCK - 3..LENGTH));
    check(&blocks, &far, 0..2 * BLOCK);
    check(&blocks, &far, 5 * BLOCK..LENGTH);
    assert_eq!(far.requests(), 0);
    check(&blocks, &far, 0..LENGTH);
    assert_eq!(far.fetched(), 3 * BLOCK);
    let blocks = Blocks::new(LENGTH);
    blocks.keep_end(&bytes(0..LENGTH));
    check(&blocks, &far, 0..LENGTH);
    assert_eq!(far.fetched(), 3 * BLOCK);
}

/// The first frame of an encrypted core ends in its second chunk.
#[test]
fn two_chunks_of_an_encrypted_file_come_with_its_header() {
    const HEADER: u64 = 4000;
    const CHUNK: u64 = (64 << 10) + 16;
    let (blocks, far) = (Blocks::new(1 << 30), Far::default());
    check(&blocks, &far, 0..100);
    check(&blocks, &far, HEADER..HEADER + CHUNK);
    check(&blocks, &far, HEADER + CHUNK..HEADER + 2 * CHUNK);
    assert_eq!(far.requests(), 1);
}

#[test]
fn what_is_known_to_be_read_is_asked_for_at_once_and_joined_where_it_is_near() {
    let (blocks, far) = (Blocks::new(1 << 30), Far::default());
    let ranges = [9_000_000..9_100_000, 100_000..200_000, 210_000..220_000, (1 << 30)..u64::MAX];
    blocks.prefetch(&ranges, &far);
    assert_eq!((far.requests(), far.waited.load(Ordering::Relaxed)), (2, 0));
    blocks.prefetch(&ranges, &far);
    check(&blocks, &far, 100_000..220_000);
    check(&blocks, &far, 9_000_000..9_100_000);
    assert_eq!((far.requests(), far.waited.load(Ordering::Relaxed)), (2, 2));
    // It is bounded, whatever a reader expects.
    blocks.prefetch(std::slice::from_ref(&(100_000_000..900_000_000)), &far);
    let most = (ASKED + 1) * BLOCK + 400_000;
    assert!(far.fetched() <= most, "{}", far.fetched());
}

#[test]
fn what_cannot_be_fetched_is_an_error_for_each_reader_and_is_tried_again() {
    struct Broken(Cell<u32>);
    impl Source for Broken {
        type Error = &'static str;
        fn begin(&self, _: u64, _: u64) -> Result<u64, Self::Error> {
            self.0.set(self.0.get() + 1);
            Ok(0)
        }
        fn finish(&self, _: u64, _: u64, _: u64) -> Result<Vec<u8>, Self::Error> {
            Err("gone")
        }
    }
    let (blocks, broken) = (Blocks::new(BLOCK), Broken(Cell::new(0)));
    blocks.prefetch(std::slice::from_ref(&(0..8)), &broken);
    let mut buffer = [0; 8];
    for _ in 0..2 {
        assert_eq!(blocks.read(0, &mut buffer, &broken), Err("gone"));
    }
    assert_eq!(broken.0.get(), 2);
    check(&blocks, &Far::default(), 0..8);
}
