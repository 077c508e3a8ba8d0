//! What a clean run reads, by what it is read for.
//!
//! Each step of a report is taken for itself, and what it reads that no step before did is its
//! region. Page tables are those that the kernel's root leads to.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::paging::Entry;
use vmcorectl::kernel::backtrace;
use vmcorectl::kernel::cpus::Cpus;
use vmcorectl::kernel::identity::Identity;
use vmcorectl::kernel::log::Log;
use vmcorectl::kernel::memory_usage::MemoryUsage;
use vmcorectl::kernel::mounts::Mounts;
use vmcorectl::kernel::{AddressSpace, Kernel};
use vmcorectl::triage::report::Report;
use vmcorectl::vmcore::{MemoryError, MemoryRange, PhysMemory, Vmcore};

use super::sample::Sample;

/// The unit of regions, in bytes.
const WORD: u64 = 8;
/// The most tables that are followed.
const MAX_TABLES: usize = 4096;

/// Words that were read for one thing.
#[derive(Debug)]
pub(super) struct Region {
    /// The addresses of its words.
    words: Vec<u64>,
}

impl Region {
    /// One of its words.
    pub(super) fn word(&self, pick: u32) -> Option<u64> {
        let count = u64::try_from(self.words.len()).ok().filter(|count| *count > 0)?;
        self.words.get(usize::try_from(u64::from(pick) % count).ok()?).copied()
    }

    /// Its words, beginning at one of them.
    pub(super) fn from(&self, pick: u32) -> impl Iterator<Item = u64> + '_ {
        let start = usize::try_from(pick).unwrap_or_default() % self.words.len().max(1);
        self.words.iter().skip(start).copied()
    }
}

/// All regions.
#[derive(Debug)]
pub(super) struct Regions(Vec<Region>);

impl Regions {
    /// One of them.
    pub(super) fn get(&self, pick: u8) -> Option<&Region> {
        self.0.get(usize::from(pick) % self.0.len().max(1))
    }

    /// Reads the sample step by step.
    pub(super) fn of(sample: &Sample) -> Self {
        let recorder = Arc::new(Recorder::default());
        let core =
            sample.behind(|below| Arc::new(Recorded { below, recorder: Arc::clone(&recorder) }));
        let kernel = Kernel::find(&core).expect("the sample's kernel");
        let mut seen = HashSet::new();
        let tables = tables(&kernel.space);
        let mut regions = Vec::new();
        let mut step = |read: &dyn Fn()| {
            read();
            let mut words = recorder.take();
            words.retain(|word| seen.insert(*word));
            regions.push(words);
        };
        step(&|| {});
        step(&|| assert!(kernel.symbols().is_ok()));
        step(&|| assert!(kernel.types().is_ok()));
        step(&|| drop(Log::read(&kernel.space, &kernel.info)));
        step(&|| drop(kernel.modules().findings.clone()));
        step(&|| drop(kernel.tasks().findings.clone()));
        step(&|| drop(Mounts::of(&kernel)));
        step(&|| drop(MemoryUsage::of(&kernel)));
        step(&|| drop((Identity::of(&kernel), Cpus::of(&kernel, &core))));
        step(&|| stacks(&kernel, &core));
        step(&|| drop(Report::of(&core)));
        let in_tables = |word: &u64| tables.contains(&(word / 4096));
        let of_tables = regions.iter().flatten().copied().filter(in_tables).collect();
        for words in &mut regions {
            words.retain(|word| !in_tables(word));
        }
        regions.push(of_tables);
        regions.retain(|words| !words.is_empty());
        Self(regions.into_iter().map(|words| Region { words }).collect())
    }
}

fn stacks(kernel: &Kernel, core: &Vmcore) {
    let tasks: Vec<_> = kernel.tasks().tasks.iter().collect();
    drop(backtrace::of_all(kernel, core, &Cpus::of(kernel, core), &tasks));
}

/// The pages of all tables below the kernel's root.
fn tables(space: &AddressSpace) -> BTreeSet<u64> {
    let mut found = BTreeSet::from([space.root().0 / 4096]);
    let mut level = vec![space.root()];
    for form in space.paging().levels() {
        let mut next = Vec::new();
        for table in level {
            for index in 0..512 {
                let mut entry = [0; 8];
                let at = PhysAddr(table.0.saturating_add(index * WORD));
                let read = space.memory().read(at, &mut entry);
                if let Ok(Entry::Table(below)) =
                    read.map(|()| space.paging().decode(form, u64::from_le_bytes(entry)))
                    && found.len() < MAX_TABLES
                    && found.insert(below.0 / 4096)
                {
                    next.push(below);
                }
            }
        }
        level = next;
    }
    found
}

/// Keeps what was read, as addresses and lengths.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<(u64, usize)>>);

impl Recorder {
    fn reads(&self) -> MutexGuard<'_, Vec<(u64, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The words that were read since the last time: sorted, each once.
    fn take(&self) -> Vec<u64> {
        let mut words = Vec::new();
        for (at, length) in std::mem::take(&mut *self.reads()) {
            let end = at.saturating_add(length as u64).div_ceil(WORD);
            words.extend((at / WORD..end).map(|word| word.saturating_mul(WORD)));
        }
        words.sort_unstable();
        words.dedup();
        words
    }
}

/// Memory whose reads are kept.
#[derive(Debug)]
struct Recorded {
    below: Arc<dyn PhysMemory>,
    recorder: Arc<Recorder>,
}

impl PhysMemory for Recorded {
    fn ranges(&self) -> &[MemoryRange] {
        self.below.ranges()
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        self.recorder.reads().push((at.0, buffer.len()));
        self.below.read(at, buffer)
    }
}
