//! A whole core: the sample, damaged where a clean run reads it.
//!
//! ```text
//! samples/core ──► clean run of each command ──► regions: symbols, types, log, ... (what is read)
//! input ──► command, edits ──► the same memory with some words overwritten ──► command
//! ```
//!
//! Needs: the sample core. Checks that a command costs little more on the damaged core than on the
//! clean one: time, memory, reads of memory, and what it prints.

mod commands;
mod edits;
mod regions;
mod sample;

use std::sync::OnceLock;
use std::time::Duration;

use self::commands::{COMMANDS, Command};
use self::edits::Edits;
use self::regions::Regions;
use self::sample::Sample;
use crate::input::Input;
use crate::limits::{Cost, measured};

/// What a damaged core may cost, as a multiple of the clean one, and beyond that.
const TIMES: u32 = 3;
const MORE: Cost = Cost { time: Duration::from_millis(250), memory: 64 << 20 };
/// What a command may print, and read of memory, beyond eight times what it does of the clean core. A
/// search for the kernel may read all of its 80 MiB several times.
const MORE_OUTPUT: usize = 2 << 20;
const MORE_READ: u64 = 640 << 20;
/// What reading takes: a page at a time, in a program that is little optimised. A search for the kernel
/// or its symbols reads far more than a clean run, and does little else.
const TIME_OF_KIB: Duration = Duration::from_micros(2);
/// How often a run that took too long is repeated, and the clean one beside it.
const REPEATS: usize = 3;

/// What a command costs.
#[derive(Clone, Copy, Debug)]
struct Run {
    cost: Cost,
    printed: usize,
    read: u64,
}

struct Clean {
    sample: Sample,
    regions: Regions,
    runs: Vec<Run>,
}

impl Clean {
    fn new() -> Self {
        let sample = Sample::load();
        let regions = Regions::of(&sample);
        let mut clean = Self { sample, regions, runs: Vec::new() };
        let none = Edits::none();
        for command in COMMANDS {
            // The first run has what is initialised once.
            clean.run(command, &none, usize::MAX);
            clean.runs.push(clean.run(command, &none, usize::MAX));
        }
        clean
    }

    fn run(&self, command: &Command, edits: &Edits, most: usize) -> Run {
        let (core, reads) = self.sample.edited(edits);
        let (printed, cost) = measured(|| (command.run)(&core, self.sample.metadata(), most));
        Run { cost, printed, read: reads.bytes() }
    }
}

/// A command's number, and edits.
pub(crate) fn run(input: &[u8]) {
    static CLEAN: OnceLock<Clean> = OnceLock::new();
    let clean = CLEAN.get_or_init(Clean::new);
    let mut input = Input::new(input);
    let number = usize::from(input.u8()) % COMMANDS.len();
    let edits = Edits::decode(&mut input, &clean.regions, &clean.sample);
    let (Some(command), Some(whole)) = (COMMANDS.get(number), clean.runs.get(number)) else {
        return;
    };
    let most = whole.printed.saturating_mul(8).saturating_add(MORE_OUTPUT);
    let damaged = clean.run(command, &edits, most);
    let name = command.name;
    let memory = whole.cost.memory.saturating_mul(3).saturating_add(MORE.memory);
    assert!(
        damaged.cost.memory <= memory,
        "{name}, memory: {damaged:?}, of the whole core {whole:?}"
    );
    let read = whole.read.saturating_mul(8).saturating_add(MORE_READ);
    assert!(damaged.read <= read, "{name}, reads: {damaged:?}, of the whole core {whole:?}");
    check_time(clean, command, whole, &edits, damaged);
}

/// Every command may take what a report of the whole core takes, or the command itself, and the time for what it reads: where
/// a damaged core leads to no kernel, each searches for it. All are run again if the damaged core took too long, for the
/// machine may have become slower.
fn check_time(clean: &Clean, command: &Command, own: &Run, edits: &Edits, damaged: Run) {
    let (Some(report), Some(whole)) = (COMMANDS.first(), clean.runs.first()) else { return };
    let kib = u32::try_from(damaged.read >> 10).unwrap_or(u32::MAX);
    let more = MORE.time.saturating_add(TIME_OF_KIB.saturating_mul(kib));
    let (mut least, mut most) = (damaged.cost.time, whole.cost.time.max(own.cost.time));
    for _ in 0..REPEATS {
        if least <= most.saturating_mul(TIMES).saturating_add(more) {
            return;
        }
        least = least.min(clean.run(command, edits, usize::MAX).cost.time);
        for whole in [report, command] {
            most = most.max(clean.run(whole, &Edits::none(), usize::MAX).cost.time);
        }
    }
    panic!(
        "{}, time: {least:?}, of a report or of itself of the whole core {most:?}",
        command.name
    );
}
