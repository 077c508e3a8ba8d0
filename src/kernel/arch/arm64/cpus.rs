//! The state of arm64 vCPUs, out of their notes. These do not have `tpidr_el1`, so that vCPUs are
//! matched with CPUs by the stacks that they use.

use crate::kernel::arch::VcpuState;
use crate::vmcore::Vmcore;
use crate::vmcore::registers::{Registers, Vcpu};

/// The per-CPU pointer to a CPU's interrupt stack.
pub(super) const INTERRUPT_STACK: &str = "irq_stack_ptr";

/// By `NT_PRSTATUS`.
pub(super) fn states(core: &Vmcore) -> Vec<VcpuState> {
    Registers::of(core.notes(), core.identity()).cpus.iter().map(state).collect()
}

fn state(cpu: &Vcpu) -> VcpuState {
    let value = |name| cpu.general.iter().find(|one| one.name == name).map(|one| one.value);
    VcpuState {
        per_cpu: None,
        sp: value("sp").unwrap_or_default(),
        user: value("pstate").map(|pstate| pstate & 0xf == 0),
    }
}
