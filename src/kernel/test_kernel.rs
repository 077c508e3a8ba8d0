//! Memory for tests, written word by word, and a kernel that is in it.

use std::ops::Range;
use std::sync::Arc;

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::btf::Btf;
use vmcore_formats::endian::Endian;
use vmcore_formats::paging::{Paging, X86_64};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::types::Types;
use super::{AddressSpace, Kernel};
use crate::kernel::find::in_memory;
use crate::vmcore::memory::{MemoryRange, range_of};
use crate::vmcore::{MemoryError, PhysMemory};

#[path = "../../formats/src/btf/synthetic.rs"]
#[allow(dead_code, reason = "the crate that it belongs to tests more with it")]
pub(crate) mod btf;

/// Where a test's kernel maps the first 2 MiB of memory.
pub(super) const DIRECT: u64 = 0xffff_8880_0000_0000;
/// Where the topmost of its tables is.
pub(super) const ROOT: PhysAddr = PhysAddr(0x1000);

/// A range of memory that tests fill.
#[derive(Clone, Debug)]
pub(super) struct TestMemory {
    bytes: Vec<u8>,
    ranges: Vec<MemoryRange>,
    search_budget: u64,
}

impl TestMemory {
    /// Zeros at these physical addresses.
    pub(super) fn new(range: Range<u64>) -> Self {
        let length = range.end - range.start;
        Self {
            bytes: vec![0; length as usize],
            ranges: vec![MemoryRange { start: PhysAddr(range.start), length }],
            search_budget: u64::MAX,
        }
    }

    /// Tables for the direct map at [`ROOT`]: PGD 273, PUD 0, PMD 0 and a large page; or with
    /// `pages`, an entry for each 4 KiB.
    pub(super) fn mapped(pages: bool) -> Self {
        let memory = Self::new(0..0x20_0000)
            .word(0x1000 + 273 * 8, 0x2063)
            .word(0x2000, 0x3063)
            .word(0x3000, if pages { 0x4063 } else { 0x0e3 });
        (0..512).fold(memory, |memory, page| memory.word(0x4000 + page * 8, page << 12 | 0x163))
    }

    /// With a budget for searches.
    pub(super) fn search_budget(mut self, bytes: u64) -> Self {
        self.search_budget = bytes;
        self
    }

    /// With these bytes at a physical address.
    pub(super) fn bytes(mut self, at: u64, bytes: &[u8]) -> Self {
        self.write(at, bytes);
        self
    }

    /// With a little-endian word at a physical address.
    pub(super) fn word(self, at: u64, value: u64) -> Self {
        self.bytes(at, &value.to_le_bytes())
    }

    /// Writes bytes.
    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) {
        let start = (at - self.ranges[0].start.0) as usize;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }
}

impl PhysMemory for TestMemory {
    fn search_budget(&self) -> u64 {
        self.search_budget
    }

    fn ranges(&self) -> &[MemoryRange] {
        &self.ranges
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let range = range_of(&self.ranges, at).ok_or(MemoryError::Absent { at })?;
        let start = (at.0 - range.start.0) as usize;
        let found = self.bytes.get(start..start + buffer.len());
        buffer.copy_from_slice(found.ok_or(MemoryError::Absent { at: range.end() })?);
        Ok(())
    }
}

/// What a member of a test's structure is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Member {
    /// A number of this size in bytes, or a pointer.
    Number(u32),
    /// A text of this length.
    Text(u32),
    /// A structure, by what [`TestKernel::structure`] gave.
    Of(u32),
    /// An array: the type of its members, and their number.
    Array(u32, u32),
}

/// A kernel for tests: its symbols, its types, and its memory by its own addresses.
#[derive(Clone, Debug)]
pub(super) struct TestKernel {
    memory: TestMemory,
    symbols: String,
    types: btf::Builder,
    numbers: [u32; 9],
    letter: u32,
}

impl TestKernel {
    /// One whose memory is zero from `DIRECT + 0x5000` on.
    pub(super) fn new() -> Self {
        let mut types = btf::Builder::new();
        let mut numbers = [0; 9];
        for size in [1, 2, 4, 8] {
            numbers[size] = types.plain("number", 1, size as u32, &[size as u32 * 8]);
        }
        let letter = types.plain("char", 1, 1, &[8]);
        Self { memory: TestMemory::mapped(false), symbols: String::new(), types, numbers, letter }
    }

    /// Adds a structure: members by name, what each is, and its first byte. Gives its number.
    pub(super) fn structure(
        &mut self,
        name: &str,
        size: u32,
        members: &[(&str, Member, u32)],
    ) -> u32 {
        let members: Vec<_> = members
            .iter()
            .map(|(name, member, offset)| {
                let id = match *member {
                    Member::Number(size) => self.numbers[size as usize],
                    Member::Text(length) => {
                        self.types.plain("", 3, 0, &[self.letter, self.numbers[8], length])
                    }
                    Member::Of(id) => id,
                    Member::Array(id, count) => {
                        self.types.plain("", 3, 0, &[id, self.numbers[8], count])
                    }
                };
                (*name, id, offset * 8, 0)
            })
            .collect();
        self.types.aggregate(4, name, size, &members)
    }

    /// The types themselves, for what is no plain structure.
    pub(super) fn types(&mut self) -> &mut btf::Builder {
        &mut self.types
    }

    /// With a symbol.
    pub(super) fn symbol(mut self, name: &str, at: u64) -> Self {
        self.symbols += &format!("SYMBOL({name})={at:x}\n");
        self
    }

    /// Writes words at an address of its own.
    pub(super) fn words(mut self, at: u64, words: &[u64]) -> Self {
        let bytes: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write(at, &bytes);
        self
    }

    /// Writes bytes at an address of its own.
    pub(super) fn bytes(mut self, at: u64, bytes: &[u8]) -> Self {
        self.write(at, bytes);
        self
    }

    /// Writes bytes at an address of its own.
    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) {
        self.memory.write(at - DIRECT, bytes);
    }

    /// With a list of these nodes.
    pub(super) fn list(self, head: u64, nodes: &[u64]) -> Self {
        let all: Vec<_> = [head].iter().chain(nodes).copied().collect();
        let next = |index: usize| all[(index + 1) % all.len()];
        let before = |index: usize| all[(index + all.len() - 1) % all.len()];
        (0..all.len())
            .fold(self, |kernel, index| kernel.words(all[index], &[next(index), before(index)]))
    }

    pub(super) fn build(&self) -> Kernel {
        let memory: Arc<dyn PhysMemory> = Arc::new(self.memory.clone());
        let paging = Paging::X86_64(X86_64::default());
        let space = AddressSpace::new(memory, paging, ROOT, Endian::Little);
        let info = VmcoreInfo::parse(self.symbols.as_bytes());
        let kernel = Kernel::new(info, in_memory::Origin::Note, space);
        let btf = Btf::parse(self.types.build(), Endian::Little).unwrap();
        kernel.types.set(Ok(Types::new(btf))).unwrap();
        kernel
    }
}

/// Numbers that look random, and are the same in each run.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 8) % end
    }
}
