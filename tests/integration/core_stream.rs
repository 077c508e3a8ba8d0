//! What `dump-guest-memory` would send: an ELF core in the layout of QEMU 7.2.
//!
//! Put together by hand, so that neither the program's decoder nor its encoder
//! has a say in what is expected of them.

use std::ops::Range;

/// A mebibyte, which is also the size of a chunk.
pub(crate) const MIB: usize = 1 << 20;
const VMCOREINFO: &[u8] = b"OSRELEASE=6.1.0-test\nPAGESIZE=4096\n";
const STRINGS: &[u8] = b"\0.shstrtab\0";
const EHDR: usize = 64;
const SHDR: usize = 64;
const PHDR: usize = 56;

/// A dump as QEMU sends it.
#[derive(Clone, Debug)]
pub(crate) struct CoreStream {
    /// All bytes, in the order of the stream.
    pub(crate) bytes: Vec<u8>,
    /// Each block of memory: its physical address, and where it is in the stream.
    pub(crate) blocks: Vec<(u64, Range<usize>)>,
}

impl CoreStream {
    /// A guest whose memory has this size in MiB: the first 640 KiB, and all from 1 MiB on.
    ///
    /// Of four MiB in a row, one compresses, one does not, and two are zero.
    pub(crate) fn of_guest(mebibytes: usize) -> Self {
        Self::with_notes(mebibytes, &notes(&[(b"VMCOREINFO\0", 0, VMCOREINFO)]))
    }

    /// The same of a guest whose kernel has this release.
    pub(crate) fn of_release(mebibytes: usize, release: &str) -> Self {
        let info = format!("OSRELEASE={release}\nPAGESIZE=4096\n");
        Self::with_notes(mebibytes, &notes(&[(b"VMCOREINFO\0", 0, info.as_bytes())]))
    }

    /// The same of a guest that told QEMU nothing of its kernel.
    pub(crate) fn without_vmcoreinfo(mebibytes: usize) -> Self {
        Self::with_notes(mebibytes, &notes(&[]))
    }

    /// The core of an ELF file.
    pub(crate) fn of_core(bytes: Vec<u8>) -> Self {
        let blocks = loads(&bytes);
        Self { bytes, blocks }
    }

    fn with_notes(mebibytes: usize, notes: &[u8]) -> Self {
        let memory = memory(mebibytes * MIB);
        let head = EHDR + 2 * SHDR + 3 * PHDR;
        let low = 0..640 << 10;
        let high = MIB..memory.len();
        let memory_at = head + notes.len();
        let high_at = memory_at + low.len();
        let end = high_at + high.len();

        let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
        bytes.resize(16, 0);
        // e_type CORE, e_machine x86-64, and QEMU's e_ehsize of 8.
        for (value, size) in [
            (4, 2),
            (62, 2),
            (1, 4),
            (0, 8),
            (EHDR + 2 * SHDR, 8),
            (EHDR, 8),
            (0, 4),
            (8, 2),
            (PHDR, 2),
            (3, 2),
            (SHDR, 2),
            (2, 2),
            (1, 2),
        ] {
            put(&mut bytes, value, size);
        }
        bytes.resize(EHDR + SHDR, 0);
        for (value, size) in
            [(0, 4), (3, 4), (0, 8), (0, 8), (end, 8), (STRINGS.len(), 8), (0, 8), (0, 8), (0, 8)]
        {
            put(&mut bytes, value, size);
        }
        for (kind, offset, physical, size) in [
            (4, head, 0, notes.len()),
            (1, memory_at, low.start, low.len()),
            (1, high_at, high.start, high.len()),
        ] {
            put(&mut bytes, kind, 4);
            put(&mut bytes, 0, 4);
            for value in [offset, physical, physical, size, size, 0] {
                put(&mut bytes, value, 8);
            }
        }
        assert_eq!(bytes.len(), head, "the head is as long as it says");
        bytes.extend(notes);
        bytes.extend(&memory[low.clone()]);
        bytes.extend(&memory[high.clone()]);
        bytes.extend(STRINGS);
        let blocks =
            vec![(low.start as u64, memory_at..high_at), (high.start as u64, high_at..end)];
        Self { bytes, blocks }
    }

    /// Checks that an unpacked core has this memory, or the beginning of it.
    ///
    /// Gives how many bytes of memory it has.
    #[track_caller]
    pub(crate) fn check_memory_of(&self, elf: &[u8]) -> usize {
        let mut found = 0;
        for (physical, range) in &self.blocks {
            let (_, at) = loads(elf)
                .into_iter()
                .find(|(address, _)| address == physical)
                .unwrap_or_else(|| panic!("no memory at {physical:#x}"));
            let expected = &self.bytes[range.clone()];
            let stored = elf.get(at.start..at.end.min(elf.len())).unwrap_or_default();
            assert!(expected.starts_with(stored), "memory at {physical:#x} differs");
            assert_eq!(at.len(), expected.len());
            found += stored.len();
        }
        found
    }

    /// Bytes of memory from an address on; zeros where the guest has none.
    pub(crate) fn physical(&self, at: u64, length: u32) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        let end = at + u64::from(length);
        for (start, range) in &self.blocks {
            let block = &self.bytes[range.clone()];
            let (from, to) = (at.max(*start), end.min(start + block.len() as u64));
            if from < to {
                let place = |from: u64, to: u64| {
                    usize::try_from(from).unwrap()..usize::try_from(to).unwrap()
                };
                bytes[place(from - at, to - at)]
                    .copy_from_slice(&block[place(from - start, to - start)]);
            }
        }
        bytes
    }

    /// The dump of a range alone, in the layout of QEMU before 7.2.
    pub(crate) fn part(&self, at: u64, length: usize) -> Vec<u8> {
        let notes = notes(&[]);
        let head = EHDR + 2 * PHDR;
        let memory_at = head + notes.len();
        let mut bytes = self.bytes[..EHDR].to_vec();
        for (field, value, size) in [
            (32, EHDR, 8),
            (40, 0, 8),
            (52, EHDR, 2),
            (56, 2, 2),
            (58, 0, 2),
            (60, 0, 2),
            (62, 0, 2),
        ] {
            bytes[field..field + size].copy_from_slice(&value.to_le_bytes()[..size]);
        }
        let physical = usize::try_from(at).unwrap();
        for (kind, offset, physical, size) in
            [(4, head, 0, notes.len()), (1, memory_at, physical, length)]
        {
            put(&mut bytes, kind, 4);
            put(&mut bytes, 0, 4);
            for value in [offset, physical, physical, size, size, 0] {
                put(&mut bytes, value, 8);
            }
        }
        bytes.extend(notes);
        bytes.extend(self.physical(at, u32::try_from(length).unwrap()));
        bytes
    }

    /// How many bytes of memory it has.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.blocks.iter().map(|(_, range)| range.len()).sum()
    }
}

/// The `PT_LOAD`s of an ELF file: physical address, and where the bytes are.
fn loads(elf: &[u8]) -> Vec<(u64, Range<usize>)> {
    let number = |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().unwrap());
    let table = usize::try_from(number(32)).unwrap();
    let count = usize::from(u16::from_le_bytes(elf[56..58].try_into().unwrap()));
    let headers = (0..count).map(|index| table + index * PHDR);
    headers
        .filter(|at| elf[*at..at + 4] == [1, 0, 0, 0])
        .map(|at| {
            let offset = usize::try_from(number(at + 8)).unwrap();
            (number(at + 24), offset..offset + usize::try_from(number(at + 32)).unwrap())
        })
        .collect()
}

fn memory(length: usize) -> Vec<u8> {
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let word = match (bytes.len() / MIB) % 4 {
            0 => 0x0102_0304_0506_0708 ^ (bytes.len() as u64 >> 12),
            1 => {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise
            }
            _ => 0,
        };
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

type Note<'a> = (&'a [u8], usize, &'a [u8]);

/// The notes of two vCPUs, and more.
fn notes(more: &[Note<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let cpus: [Note<'_>; 4] = [
        (b"CORE\0", 1, &[7; 336]),
        (b"CORE\0", 1, &[8; 336]),
        (b"QEMU\0", 0, &[9; 440]),
        (b"QEMU\0", 0, &[9; 440]),
    ];
    for (name, kind, descriptor) in cpus.iter().chain(more).copied() {
        for value in [name.len(), descriptor.len(), kind] {
            put(&mut bytes, value, 4);
        }
        for part in [name, descriptor] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, value: usize, size: usize) {
    bytes.extend(&value.to_le_bytes()[..size]);
}
