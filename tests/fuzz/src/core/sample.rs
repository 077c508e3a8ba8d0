//! The sample core in memory, and the same with edits.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::elf::Identity;
use vmcorectl::metadata::Metadata;
use vmcorectl::vmcore::memory::range_of;
use vmcorectl::vmcore::{Dump, MemoryError, MemoryRange, PhysMemory, Vmcore};

use super::edits::{Edits, PAGE};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/core/linux-6.1.zst");
/// What messages call a core that is in no file.
const NO_FILE: &str = "/nonexistent/core";

/// All memory of the sample.
#[derive(Debug)]
struct Image {
    ranges: Vec<MemoryRange>,
    bytes: Vec<Vec<u8>>,
}

/// The sample: its memory, notes and metadata.
pub(super) struct Sample {
    image: Arc<Image>,
    identity: Identity,
    notes: Vec<u8>,
    metadata: Option<Metadata>,
}

/// Counts the bytes that are read.
#[derive(Debug, Default)]
pub(super) struct Reads {
    bytes: AtomicU64,
}

/// The sample's memory with edits.
#[derive(Debug)]
struct Edited {
    image: Arc<Image>,
    edits: Edits,
    reads: Arc<Reads>,
}

impl Sample {
    /// Unpacks the sample.
    pub(super) fn load() -> Self {
        let core = Vmcore::open(Path::new(PATH)).expect("samples/core");
        let ranges = core.memory().ranges().to_vec();
        let read = |range: &MemoryRange| {
            let mut bytes = vec![0; usize::try_from(range.length).expect("a small core")];
            core.memory().read(range.start, &mut bytes).expect("the sample is whole");
            bytes
        };
        let bytes = ranges.iter().map(read).collect();
        Self {
            image: Arc::new(Image { ranges, bytes }),
            identity: core.identity(),
            notes: core.note_bytes().to_vec(),
            metadata: core.metadata(),
        }
    }

    pub(super) fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    pub(super) fn notes(&self) -> &[u8] {
        &self.notes
    }

    /// The core with edits, and what will be read of it.
    pub(super) fn edited(&self, edits: &Edits) -> (Vmcore, Arc<Reads>) {
        let reads = Arc::new(Reads::default());
        let (image, edits) = (Arc::clone(&self.image), edits.clone());
        let notes = edits.notes().map_or_else(|| self.notes.clone(), <[u8]>::to_vec);
        let memory = Arc::new(Edited { image, edits, reads: Arc::clone(&reads) });
        (self.core(notes, memory), reads)
    }

    /// The core with another memory in front of the sample's.
    pub(super) fn behind(
        &self,
        wrap: impl FnOnce(Arc<dyn PhysMemory>) -> Arc<dyn PhysMemory>,
    ) -> Vmcore {
        self.core(self.notes.clone(), wrap(Arc::clone(&self.image) as Arc<dyn PhysMemory>))
    }

    fn core(&self, notes: Vec<u8>, memory: Arc<dyn PhysMemory>) -> Vmcore {
        let dump = Dump {
            format: "ELF".to_owned(),
            identity: self.identity,
            notes,
            memory,
            segments: Vec::new(),
            elf: None,
            findings: Vec::new(),
        };
        Vmcore::without_file(Path::new(NO_FILE), dump)
    }

    /// The word of eight bytes at an address. 0 where there is none.
    pub(super) fn word(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        let read = self.image.read(PhysAddr(at), &mut bytes);
        read.map_or(0, |()| u64::from_le_bytes(bytes))
    }
}

impl Reads {
    /// How many bytes were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl PhysMemory for Image {
    fn ranges(&self) -> &[MemoryRange] {
        &self.ranges
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let absent = MemoryError::Absent { at };
        let range = range_of(&self.ranges, at).ok_or(absent.clone())?;
        let index = self.ranges.iter().position(|other| other == range);
        let start = usize::try_from(at.0.saturating_sub(range.start.0)).unwrap_or(usize::MAX);
        let end = start.saturating_add(buffer.len());
        let bytes = index.and_then(|index| self.bytes.get(index)?.get(start..end));
        buffer.copy_from_slice(bytes.ok_or(absent)?);
        Ok(())
    }
}

impl PhysMemory for Edited {
    fn ranges(&self) -> &[MemoryRange] {
        &self.image.ranges
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        if let Some(missing) = self.edits.missing(at.0, buffer.len()) {
            return Err(MemoryError::unreadable(PhysAddr(missing), "it is damaged".to_owned()));
        }
        self.image.read(at, buffer)?;
        // What a file cannot give, its reader remembers.
        self.reads.bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.edits.apply(at.0, buffer);
        Ok(())
    }

    fn piece_end(&self, at: PhysAddr) -> PhysAddr {
        PhysAddr((at.0 / PAGE + 1).saturating_mul(PAGE))
    }
}
