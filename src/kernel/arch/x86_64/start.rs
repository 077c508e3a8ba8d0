//! Where a stack of an x86-64 kernel begins.

use super::registers::USER;
use crate::kernel::types::SavedContext;
use crate::kernel::unwind::{VcpuStart, VcpuStartError, register};
use crate::vmcore::registers::Vcpu;

/// `thread.sp` points to a `struct inactive_task_frame` on the task's own stack.
pub(super) const SAVED_CONTEXT: SavedContext = SavedContext::OnStack {
    sp: "thread.sp",
    frame: "inactive_task_frame",
    return_address: "ret_addr",
    frame_pointer: "bp",
};

/// By the registers of a vCPU.
pub(super) fn of_vcpu(cpu: &Vcpu) -> Result<VcpuStart, VcpuStartError> {
    let by_selector = || register(cpu, "cs").map(|cs| cs & USER);
    let level = cpu.privilege.map_or_else(by_selector, |level| Ok(level.into()))?;
    Ok(VcpuStart {
        in_user_mode: level == USER,
        ip: register(cpu, "rip")?,
        sp: register(cpu, "rsp")?,
        fp: register(cpu, "rbp")?,
    })
}
