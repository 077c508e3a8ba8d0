//! Callers in x86-64 stacks: by ORC tables, else by frame pointers.

mod calls;
mod frame_pointer;
mod ftrace;
mod orc;
mod orc_tables;

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::orc::OrcEntry;

use self::orc_tables::OrcTables;
use crate::kernel::Kernel;
use crate::kernel::unwind::{Callers, Failure, Guest, Method, Position, Step, scan};

/// How callers are found in this kernel's stacks.
pub(super) fn callers(kernel: &Kernel, findings: &mut Vec<String>) -> Box<dyn Callers> {
    match OrcTables::of(kernel, findings) {
        Some(tables) => Box::new(tables),
        None => Box::new(FramePointers),
    }
}

impl Callers for OrcTables {
    fn method<'k>(&'k self, kernel: &'k Kernel) -> Box<dyn Method + 'k> {
        Box::new(Orc { entry: move |ip| self.find(kernel, ip) })
    }
}

/// By ORC. `entry` looks up the entry of an instruction.
struct Orc<F> {
    entry: F,
}

impl<F: Fn(VirtAddr) -> Option<OrcEntry>> Method for Orc<F> {
    fn step(&self, guest: &dyn Guest, from: &Position) -> Result<Step, Failure> {
        orc::step(guest, &self.entry, from)
    }

    fn guess(&self, guest: &dyn Guest, from: &Position) -> Result<Step, Failure> {
        frame_pointer::guess(guest, from).or_else(|_| scanned(guest, from))
    }
}

/// By frame pointers.
#[derive(Debug)]
struct FramePointers;

impl Callers for FramePointers {
    fn method<'k>(&'k self, _: &'k Kernel) -> Box<dyn Method + 'k> {
        Box::new(Self)
    }
}

impl Method for FramePointers {
    fn step(&self, guest: &dyn Guest, from: &Position) -> Result<Step, Failure> {
        frame_pointer::step(guest, from)
    }

    fn guess(&self, guest: &dyn Guest, from: &Position) -> Result<Step, Failure> {
        scanned(guest, from)
    }
}

fn scanned(guest: &dyn Guest, from: &Position) -> Result<Step, Failure> {
    scan::step(guest, from, calls::ends_in_call, |word| word)
}

#[cfg(test)]
mod walk_tests;
