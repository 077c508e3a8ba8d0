//! Layouts of structures without BTF: inferred from what is true of them in every kernel.
//!
//! ```text
//! what every kernel's structure has      tasks is a list through structures with a name,
//!        │                               group_leader of a leader is the leader, ..
//!        ▼
//! the offsets at which that is so ──► one: known    none, or several: not known, and said
//! in all tasks, modules, CPUs
//! ```
//!
//! Needs: symbols, and tasks or modules that are there. Gives: the members that the readers
//! here ask for, by the names that BTF has for them. Nothing goes by the version of the
//! kernel, and nothing is guessed: a place counts if it is the only one where all of them have
//! what they must have. What orders of members are relied on is said where it is done.

mod clock;
mod counters;
mod cpus;
mod family;
mod layouts;
mod module;
mod module_memory;
mod module_uses;
mod reference_modules;
mod reference_tasks;
mod samples;
mod saved;
mod task;
mod threads;

use vmcore_formats::addr::VirtAddr;

use super::{Field, TypeError};
use crate::kernel::Kernel;

pub use layouts::Layouts;

/// Infers what can be.
pub(super) fn infer(kernel: &Kernel) -> Layouts {
    let mut layouts = Layouts::default();
    task::infer(kernel, &mut layouts);
    module::infer(kernel, &mut layouts);
    clock::infer(kernel, &mut layouts);
    counters::infer(kernel, &mut layouts);
    layouts
}

/// How far it is from a symbol to the next one.
fn symbol_size(kernel: &Kernel, at: VirtAddr) -> Option<u64> {
    let place = kernel.symbols().ok()?.containing(at)?;
    (place.offset == 0).then_some(place.size)
}

#[cfg(test)]
mod sample_tests;
