//! Layouts of structures without BTF, inferred from invariants that hold in every kernel.
//!
//! ```text
//! an invariant                          tasks links structures with a name, the group_leader
//!        │                              of a leader is the leader, ..
//!        ▼
//! the offsets at which it holds ──► one: known    none, or several: not known, and a finding
//! in all tasks, modules, CPUs
//! ```
//!
//! Needs: symbols, and tasks or modules in memory. Gives: the members that the readers
//! here ask for, by the names that BTF has for them. Nothing depends on the version of the
//! kernel, and nothing is guessed: an offset counts if it is the only one at which the invariant
//! holds for all of them. Where the order of members is relied on, the module says so.

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
