//! The state of x86-64 vCPUs, out of their notes.
//!
//! ```text
//! CPL 0   gs.base          = __per_cpu_offset[cpu]
//! CPL 3   kernel_gs_base   = __per_cpu_offset[cpu]; gs.base is the user's
//! ```

use vmcore_formats::elf::qemu_cpu::QemuCpu;

use crate::kernel::arch::{KERNEL_HALF, VcpuState};
use crate::vmcore::Vmcore;
use crate::vmcore::registers::{Registers, Vcpu};

/// By QEMU's own notes, else by `NT_PRSTATUS`.
pub(super) fn states(core: &Vmcore) -> Vec<VcpuState> {
    let by_qemu = QemuCpu::all(core.notes());
    if !by_qemu.is_empty() {
        // A damaged note keeps its vCPU's place.
        let state = |cpu: &Option<QemuCpu>| cpu.as_ref().map(by_qemu_note).unwrap_or_default();
        return by_qemu.iter().map(state).collect();
    }
    Registers::of(core.notes(), core.identity()).cpus.iter().map(by_prstatus).collect()
}

fn by_qemu_note(cpu: &QemuCpu) -> VcpuState {
    let [cs, _, _, _, gs, ..] = cpu.segments;
    let [_, _, _, _, _, _, rsp, ..] = cpu.general;
    let user = cs.selector & 3 == 3;
    // After an entry from user mode, before swapgs, the base is still the user's.
    let swapped = user || gs.base & KERNEL_HALF == 0;
    let per_cpu = if swapped { cpu.kernel_gs_base } else { Some(gs.base) };
    VcpuState { per_cpu, sp: rsp, user: Some(user) }
}

/// A kdump by the kernel itself has no `kernel_gs_base`.
fn by_prstatus(cpu: &Vcpu) -> VcpuState {
    let value = |name| cpu.general.iter().find(|one| one.name == name).map(|one| one.value);
    VcpuState {
        per_cpu: value("gs_base").filter(|base| base & KERNEL_HALF != 0),
        sp: value("rsp").unwrap_or_default(),
        user: value("cs").map(|cs| cs & 3 == 3),
    }
}
