use super::*;

/// Memory in ranges, cut into pieces of so many bytes; zero pieces are known for such.
#[derive(Debug)]
struct Cut {
    ranges: Vec<MemoryRange>,
    bytes: Vec<u8>,
    piece: u64,
    missing: Option<u64>,
}

impl Cut {
    /// `bytes` are memory from 0 on; of it, `ranges` are there.
    fn new(bytes: &[u8], ranges: &[(u64, u64)], piece: u64) -> Self {
        let range = |(start, end): &(u64, u64)| MemoryRange {
            start: PhysAddr(*start),
            length: end - start,
        };
        let ranges = ranges.iter().map(range).collect();
        Self { ranges, bytes: bytes.to_vec(), piece, missing: None }
    }
}

impl PhysMemory for Cut {
    fn ranges(&self) -> &[MemoryRange] {
        &self.ranges
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let start = at.0 as usize;
        if let Some(missing) = self.missing
            && (at.0..at.0 + buffer.len() as u64).contains(&missing)
        {
            return Err(MemoryError::Truncated { at: PhysAddr(missing), offset: missing });
        }
        buffer.copy_from_slice(&self.bytes[start..start + buffer.len()]);
        Ok(())
    }

    fn piece_end(&self, at: PhysAddr) -> PhysAddr {
        PhysAddr((at.0 + 1).next_multiple_of(self.piece))
    }

    fn zeros(&self, at: PhysAddr) -> u64 {
        let end = self.piece_end(at).0.min(self.bytes.len() as u64);
        let piece = &self.bytes[at.0 as usize..end as usize];
        if piece.iter().all(|byte| *byte == 0) { piece.len() as u64 } else { 0 }
    }
}

fn first(memory: &Cut, pattern: &str, limit: u64) -> (Vec<u64>, Searched) {
    let pattern = Pattern::hex(pattern).unwrap();
    let mut found = Vec::new();
    let searched = search(memory, memory.ranges(), &pattern, 2, Wanted::First(limit), |at| {
        found.push(at.0);
        ControlFlow::Continue(())
    });
    assert_eq!(searched.found, found.len() as u64);
    (found, searched)
}

fn count(memory: &Cut, pattern: &str) -> u64 {
    let pattern = Pattern::hex(pattern).unwrap();
    let never = |_| ControlFlow::Break(());
    search(memory, memory.ranges(), &pattern, 2, Wanted::Count, never).found
}

/// What a search of one buffer would find.
fn expected(bytes: &[u8], ranges: &[(u64, u64)], pattern: &[u8]) -> Vec<u64> {
    (0..bytes.len() as u64)
        .filter(|at| {
            let end = at + pattern.len() as u64;
            ranges.iter().any(|(start, stop)| at >= start && end <= *stop)
                && bytes[*at as usize..end as usize] == *pattern
        })
        .collect()
}

#[test]
fn what_is_found_does_not_depend_on_where_pieces_end() {
    let bytes = b"abcabcab\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0abcababcabc\0\0aaaaaaaaaaaaabc";
    let ranges = [(0, bytes.len() as u64)];
    for pattern in
        ["61", "616263", "6200", "0000", "00000000000000000061", "6161616161", "63616261626361"]
    {
        let raw: Vec<u8> = (0..pattern.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&pattern[at..at + 2], 16).unwrap())
            .collect();
        let expected = expected(bytes, &ranges, &raw);
        assert!(!expected.is_empty());
        for piece in 1..40 {
            let memory = Cut::new(bytes, &ranges, piece);
            assert_eq!(first(&memory, pattern, 1000).0, expected, "{pattern} in pieces of {piece}");
            assert_eq!(count(&memory, pattern), expected.len() as u64);
        }
    }
}

#[test]
fn ranges_that_are_apart_do_not_continue_each_other() {
    let bytes = b"..abcdef..";
    for piece in 1..12 {
        let apart = Cut::new(bytes, &[(0, 4), (6, 10)], piece);
        assert!(first(&apart, "6263", 9).0 == [] as [u64; 0]);
        let touching = Cut::new(bytes, &[(0, 4), (4, 10)], piece);
        assert_eq!(first(&touching, "6162636465", 9).0, [2]);
    }
}

#[test]
fn any_bytes_may_be_on_both_sides_of_a_border() {
    let memory = Cut::new(b"..ab..cd..", &[(0, 10)], 4);
    assert_eq!(first(&memory, "61 ?? ?? ?? 63", 9).0, [2]);
}

#[test]
fn zeros_are_counted_without_being_read() {
    let memory = Cut::new(&[0; 64], &[(0, 64)], 16);
    assert_eq!(count(&memory, "00"), 64);
    assert_eq!(count(&memory, "00000000"), 61);
    let (found, searched) = first(&memory, "0000", 5);
    assert_eq!((found, searched.more), (vec![0, 1, 2, 3, 4], true));
}

#[test]
fn it_is_known_whether_there_are_more_than_were_wanted() {
    let memory = Cut::new(b"xaxaxa", &[(0, 6)], 6);
    assert!(!first(&memory, "61", 3).1.more);
    assert!(first(&memory, "61", 2).1.more);
    assert_eq!(first(&memory, "61", 0).0, [] as [u64; 0]);
}

#[test]
fn an_unreadable_range_is_reported_and_never_joined_over() {
    let mut memory = Cut::new(b"abcdefghijkl", &[(0, 12)], 4);
    memory.missing = Some(5);
    let (found, searched) = first(&memory, "6c", 9);
    assert_eq!(found, [11]);
    assert_eq!((searched.missing, searched.damaged), (4, true));
    // `d` and `i` are apart.
    assert!(first(&memory, "6469", 9).0.is_empty());
}
